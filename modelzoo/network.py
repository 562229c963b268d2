"""The embedding network: a timm backbone, a linear layer, unit length; and its weights on disk.

Layout and normalisation follow the SpotID paper (EfficientNetV2-B2 on RGB + edge map, 512×256); any timm backbone takes
its place by name. Weights are safetensors files whose SHA-256 the caller knows; pickle is never read.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import nn
from torch.nn import functional

from . import backbones
from .backbones import set_trainable
from .pipelines import EDGE_MEAN, EDGE_STD, IMAGENET_MEAN, IMAGENET_STD, Pipeline, pipeline_named, usual_pipeline
from .weights import WeightsError, read_registered

__all__ = [
    "EDGE_MEAN",
    "EDGE_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "CoatNet",
    "EmbeddingConfig",
    "initial_weights",
    "load_weights",
    "save_weights",
    "set_trainable",
]


@dataclass(frozen=True)
class EmbeddingConfig:
    """Everything besides the weights that gives a vector its meaning. Sizes in pixels; mean and std on 0…1.

    What is left out of in_channels, mean, std and pipeline follows from the others; all four name one pipeline
    (:mod:`modelzoo.pipelines`), else a ValueError says what does not fit.
    """

    backbone: str = "tf_efficientnetv2_b2"
    in_channels: int = 0
    width: int = 512
    height: int = 256
    dimension: int = 1024
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    pipeline: str = ""

    def __post_init__(self) -> None:
        pipeline = pipeline_named(self.pipeline or usual_pipeline(self.in_channels or 4))
        self._settle("pipeline", pipeline.name)
        self._settle("in_channels", self.in_channels or pipeline.channels)
        self._settle("mean", self.mean or pipeline.mean)
        self._settle("std", self.std or pipeline.std)
        if self.in_channels != pipeline.channels:
            raise ValueError(f"the pipeline {pipeline.name} has {pipeline.channels} channels, not {self.in_channels}")
        if len(self.mean) != self.in_channels or len(self.std) != self.in_channels:
            raise ValueError(f"mean and std need {self.in_channels} values each")
        if min(self.width, self.height, self.dimension) < 1 or min(self.std) <= 0:
            raise ValueError("width, height, dimension and std are positive")

    def _settle(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def preprocessing(self) -> Pipeline:
        """The pipeline that makes the network's input of a coat."""
        return pipeline_named(self.pipeline)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EmbeddingConfig":
        """Inverse of :meth:`to_dict`; an unknown key is a ValueError, a missing one takes its default.

        The kind of model that settings in the database name may be there, when it is this one's.
        """
        if values.get("kind", "coatnet") != "coatnet":
            raise ValueError(f"these are settings of a model of another kind: {values['kind']}")
        unknown = set(values) - {f.name for f in fields(cls)} - {"kind"}
        if unknown:
            raise ValueError(f"unknown embedding settings: {', '.join(sorted(unknown))}")
        known = {key: value for key, value in values.items() if key != "kind"}
        for name in ("mean", "std"):
            if name in known:
                known[name] = tuple(float(v) for v in known[name])
        return cls(**known)


class CoatNet(nn.Module):
    """n×C×H×W float, normalised → n×dimension float, unit rows.

    Transformers see the image enlarged to whole patches, with zeros (the mean colour) at the right and below.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone, size = backbones.build(config.backbone, config.in_channels, config.width, config.height)
        self.embedding = nn.Linear(backbones.output_width(self.backbone), config.dimension)
        self._padding = (0, size[1] - config.width, 0, size[0] - config.height)

    def forward(self, images: torch.Tensor, normalise: bool = True) -> torch.Tensor:
        """normalise: without it the rows keep their length, for losses with a margin in Euclidean distance."""
        if any(self._padding):
            images = functional.pad(images, self._padding)
        rows: torch.Tensor = self.embedding(self.backbone(images))
        return functional.normalize(rows, dim=1) if normalise else rows

    def train(self, mode: bool = True) -> "CoatNet":
        """As in torch, but what :func:`set_trainable` froze keeps its running statistics."""
        super().train(mode)
        if mode:
            backbones.freeze_statistics(self)
        return self


def initial_weights(
    config: EmbeddingConfig, seed: int, rgb_state: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """State of a network before training: the same tensors for the same arguments, whatever ran before.

    rgb_state: weights of the backbone for RGB images, in timm's names; the embedding layer is random all the same.
    Raises WeightsError when they belong to another backbone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = CoatNet(config)
    if rgb_state is not None:
        backbones.load_rgb(net.backbone, config.in_channels, rgb_state)
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def save_weights(path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Writes a safetensors file beside the path and renames it into place; returns its SHA-256 in hex.

    The same tensors and metadata give the same file.
    """
    data = _with_sorted_metadata(
        safetensors_save({k: v.detach().cpu().contiguous() for k, v in state.items()}, dict(metadata))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return hashlib.sha256(data).hexdigest()


def _with_sorted_metadata(data: bytes) -> bytes:
    """A safetensors file whose metadata are in the order of their names: the library's is another at every call."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def load_weights(path: Path, *, sha256: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file whose content has the given SHA-256; :class:`WeightsError` otherwise."""
    data = read_registered(path, sha256)
    try:
        return safetensors_load(data)
    except SafetensorError as error:
        raise WeightsError(f"the weights {path.name} are no safetensors file: {error}") from error
