"""The embedding network: a timm backbone, a linear layer, unit length; and its weights on disk.

Layout and normalisation follow the SpotID paper (EfficientNetV2-B2 on RGB + edge map, 512×256). Weights are safetensors
files whose SHA-256 the caller knows; pickle is never read.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import nn
from torch.nn import functional

from .weights import ChecksumError, WeightsError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
EDGE_MEAN = 0.456
EDGE_STD = 0.225


@dataclass(frozen=True)
class EmbeddingConfig:
    """Everything besides the weights that gives a vector its meaning. Sizes in pixels; mean and std on 0…1."""

    backbone: str = "tf_efficientnetv2_b2"
    in_channels: int = 4
    width: int = 512
    height: int = 256
    dimension: int = 1024
    mean: tuple[float, ...] = (*IMAGENET_MEAN, EDGE_MEAN)
    std: tuple[float, ...] = (*IMAGENET_STD, EDGE_STD)

    def __post_init__(self) -> None:
        if self.in_channels not in (1, 3, 4):
            raise ValueError(f"in_channels is 1 (edges), 3 (RGB) or 4 (RGB and edges), not {self.in_channels}")
        if len(self.mean) != self.in_channels or len(self.std) != self.in_channels:
            raise ValueError(f"mean and std need {self.in_channels} values each")
        if min(self.width, self.height, self.dimension) < 1 or min(self.std) <= 0:
            raise ValueError("width, height, dimension and std are positive")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EmbeddingConfig":
        """Inverse of :meth:`to_dict`; an unknown key is a ValueError, a missing one takes its default."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown embedding settings: {', '.join(sorted(unknown))}")
        known = dict(values)
        for name in ("mean", "std"):
            if name in known:
                known[name] = tuple(float(v) for v in known[name])
        return cls(**known)


class CoatNet(nn.Module):
    """n×C×H×W float, normalised → n×dimension float, unit rows."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = timm.create_model(
            config.backbone, pretrained=False, in_chans=config.in_channels, num_classes=0, global_pool="avg"
        )
        width: Any = self.backbone.num_features
        self.embedding = nn.Linear(width, config.dimension)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.embedding(self.backbone(images)), dim=1)


def initial_weights(config: EmbeddingConfig, seed: int) -> dict[str, torch.Tensor]:
    """State of an untrained network: the same tensors for the same config and seed, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {name: value.detach().clone() for name, value in CoatNet(config).state_dict().items()}


def save_weights(path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Writes a safetensors file beside the path and renames it into place; returns its SHA-256 in hex."""
    data = safetensors_save({k: v.detach().cpu().contiguous() for k, v in state.items()}, dict(metadata))
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


def load_weights(path: Path, *, sha256: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file whose content has the given SHA-256; :class:`WeightsError` otherwise."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read: {error.strerror or error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise ChecksumError(
            f"the weights {path} are not the registered ones: SHA-256 is {found}, registered is {sha256.lower()}. "
            "The file is damaged or was replaced; restore it or register the new one."
        )
    try:
        return safetensors_load(data)
    except SafetensorError as error:
        raise WeightsError(f"the weights {path} are no safetensors file: {error}") from error
