"""Model cards: what gives a weights file its meaning, carried in the metadata of the safetensors file itself.

A safetensors file begins with the length of its header (8 bytes, little endian) and the header, a JSON object whose
``__metadata__`` maps texts to texts (https://huggingface.co/docs/safetensors). The card is one of them. Only headers
are read and written here: standard library only, no tensor is touched.
"""

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from .weights import WeightsError

CARD_KEY = "spotid_card"
_LONGEST_HEADER = 100_000_000
# Zip archives (torch.save) and the PROTO opcode that pickles begin with.
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True)
class ModelCard:
    """One model. config: what :func:`modelzoo.embedders.open_embedder` takes. dimension: of its vectors.

    evaluation: figures, JSON-ready, with the data that they were measured on. parent: name of the model that training
    began from. Raises ValueError for what no model can be.
    """

    name: str
    config: Mapping[str, Any]
    dimension: int
    trained: bool = False
    training_data: str = ""
    licence: str = ""
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    parent: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 120 or not self.name.isprintable() or "/" in self.name:
            raise ValueError("a model's name has 1 to 120 visible characters and no slash")
        if not isinstance(self.config, Mapping) or not isinstance(self.evaluation, Mapping):
            raise ValueError("config and evaluation are tables of settings and figures")
        if isinstance(self.dimension, bool) or not isinstance(self.dimension, int) or not 1 <= self.dimension <= 16000:
            raise ValueError(f"the dimension is a whole number from 1 to 16000, not {self.dimension!r}")
        said = self.config.get("dimension", self.dimension)
        if said != self.dimension:
            raise ValueError(f"the card says {self.dimension} dimensions and its config {said}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "config": dict(self.config), "evaluation": dict(self.evaluation)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelCard":
        """Inverse of :meth:`to_dict`. Unknown or missing keys and values of another kind are a ValueError."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"a card has no {', '.join(sorted(unknown))}")
        missing = {"name", "config", "dimension"} - set(values)
        if missing:
            raise ValueError(f"the card lacks {', '.join(sorted(missing))}")
        for name in ("name", "training_data", "licence", "source", "parent", "notes"):
            if not isinstance(values.get(name, ""), str):
                raise ValueError(f"{name} is a text, not {values[name]!r}")
        if not isinstance(values.get("trained", False), bool):
            raise ValueError(f"trained is true or false, not {values['trained']!r}")
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Inverse of :meth:`to_json`; ValueError for what is no card."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("a card is a JSON object")
        return cls.from_dict(values)


def read_card(path: Path) -> ModelCard | None:
    """The card in a safetensors file, None where it carries none. Raises WeightsError for a file or card of no use."""
    text = read_metadata(path).get(CARD_KEY)
    if text is None:
        return None
    try:
        return ModelCard.from_json(text)
    except ValueError as error:
        raise WeightsError(f"the model card in {path.name} is not readable: {error}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file. Raises WeightsError, with another sentence for a pickle."""
    with _opened(path) as stream:
        header = _header(stream, path)
    return {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}


def write_with_card(source: Path, target: Path, card: ModelCard) -> None:
    """Copies a safetensors file with another card in it; tensors and other metadata stay as they are, byte for byte.

    Written beside the target and renamed into place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out, _opened(source) as stream:
            header = _header(stream, source)
            header["__metadata__"] = {**header.get("__metadata__", {}), CARD_KEY: card.to_json()}
            data = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            # The format aligns tensors to 8 bytes by spaces at the header's end.
            data += b" " * (-len(data) % 8)
            out.write(struct.pack("<Q", len(data)) + data)
            shutil.copyfileobj(stream, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise WeightsError(f"the weights {path.name} cannot be read: {error.strerror or error}") from error


def _header(stream: BinaryIO, path: Path) -> dict[str, Any]:
    """The header; the stream then stands at the tensors."""
    start = stream.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= length <= _LONGEST_HEADER:
        if start.startswith(_PICKLES):
            raise WeightsError(
                f"{path.name} is a pickle (.pt, .pth), which can run any program while it is read; only safetensors "
                "files are taken. The original SpotID checkpoint is imported with its own format, spotid."
            )
        raise WeightsError(f"{path.name} is no safetensors file")
    data = stream.read(length)
    try:
        header = json.loads(data) if len(data) == length else None
    except ValueError:
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise WeightsError(f"{path.name} is no safetensors file, or is cut off")
    return header
