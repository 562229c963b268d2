"""Files of embedding models: cards, hashes, and a trial run. The door to `modelzoo.cards` and its neighbours."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from ..errors import SpotIDError
from ..models import EmbeddingModel


class UnfitModel(SpotIDError):
    """A weights file that is missing, changed or belongs to another network. The message is for people."""


def weights_path(model: EmbeddingModel) -> Path:
    """Where the model's file is. Raises UnfitModel for a name that leads out of the weights folder."""
    folder = Path(settings.SPOTID_WEIGHTS_DIR).resolve()
    path = (folder / model.weights_file).resolve()
    if not path.is_relative_to(folder):
        raise UnfitModel(f"The weights of {model} are outside the weights folder.")
    return path


def verify_weights(model: EmbeddingModel) -> Path:
    """The model's file, when its content is what was registered. Raises UnfitModel."""
    path = weights_path(model)
    if not path.is_file():
        raise UnfitModel(f"The weights of {model}, {model.weights_file}, are not in the weights folder any more.")
    found = file_sha256(path)
    if found != model.checksum:
        raise UnfitModel(
            f"The weights of {model} are not the registered ones: SHA-256 is {found}, registered is {model.checksum}. "
            "The file is damaged or was replaced; restore it, or import the model again."
        )
    return path


def file_sha256(path: Path) -> str:
    from modelzoo.weights import sha256_of

    return sha256_of(path)


def place(source: Path, name: str) -> str:
    """Copy a file into the weights folder under a name, beside and renamed; returns its SHA-256.

    A file of the same content that is there already is left alone; one of another content is a SpotIDError.
    """
    folder = Path(settings.SPOTID_WEIGHTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    target, digest = folder / name, file_sha256(source)
    if target.exists():
        if file_sha256(target) != digest:
            raise SpotIDError(f"There is another file {name} in the weights folder.")
        return digest
    handle, beside = tempfile.mkstemp(prefix=f".{name[:80]}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as out, source.open("rb") as stream:
            shutil.copyfileobj(stream, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
        if file_sha256(Path(beside)) != digest:
            raise SpotIDError(f"{source.name} changed while it was copied; try again.")
        Path(beside).chmod(0o644)
        Path(beside).replace(target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return digest


def checked_card(values: Mapping[str, Any]) -> dict[str, Any]:
    """A card with every field, JSON-ready. Raises UnfitModel where it says what no model can be."""
    from modelzoo.cards import ModelCard

    try:
        return ModelCard.from_dict(values).to_dict()
    except (ValueError, TypeError) as error:
        raise UnfitModel(f"The model card is not usable: {error}.") from None


def card_in(path: Path) -> dict[str, Any] | None:
    """The card that a safetensors file carries, None where it carries none. Raises UnfitModel."""
    from modelzoo.cards import read_card
    from modelzoo.weights import WeightsError

    try:
        card = read_card(path)
    except WeightsError as error:
        raise UnfitModel(_sentence(error)) from None
    return None if card is None else card.to_dict()


def write_with_card(source: Path, target: Path, card: Mapping[str, Any]) -> None:
    """Copy a weights file with the card in its metadata. Raises UnfitModel."""
    from modelzoo.cards import ModelCard
    from modelzoo.cards import write_with_card as write
    from modelzoo.weights import WeightsError

    try:
        write(source, target, ModelCard.from_dict(card))
    except (WeightsError, ValueError) as error:
        raise UnfitModel(_sentence(error)) from None


def probe(path: Path, card: Mapping[str, Any]) -> str:
    """Load the network once and encode a made-up coat; returns what computes its vectors here, and why.

    Raises UnfitModel where weights and card do not fit together.
    """
    import numpy as np

    from modelzoo.coats import CoatPixels, EncodingError
    from modelzoo.embedders import open_embedder
    from modelzoo.weights import WeightsError

    noise = np.random.default_rng(0)
    crop = noise.integers(0, 255, (96, 192, 3), np.uint8)
    edges = np.where(noise.random((96, 192)) < 0.1, 255, 0).astype(np.uint8)
    coat = CoatPixels(crop, edges, np.full((96, 192), 255, np.uint8))
    try:
        embedder = open_embedder(card["config"], path, file_sha256(path))
        vectors = embedder.encode([coat])
    except (WeightsError, EncodingError) as error:
        raise UnfitModel(_sentence(error)) from None
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise UnfitModel(f"No network can be made of the card's settings: {error}.") from None
    if vectors.shape != (1, card["dimension"]):
        raise UnfitModel(f"The card says {card['dimension']} dimensions, but the network makes {vectors.shape[1]}.")
    return embedder.describe()


def _sentence(error: Exception) -> str:
    text = str(error).rstrip(".")
    return text[:1].upper() + text[1:] + "."
