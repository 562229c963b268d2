"""The dense descriptor network: a descriptor and a reliability for every fourth pixel of a grey picture.

A small residual encoder (He et al. 2016) whose deeper levels are added to the finer ones (Lin et al. 2017, feature
pyramid networks). Descriptors and their reliability come from the same features, as in R2D2 (Revaud et al. 2019);
reliability is learned as the chance that a place is found again, not as average precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional

STRIDE = 4
KIND = "dense-coat"


@dataclass(frozen=True)
class DenseConfig:
    """Everything besides the weights that gives dense descriptors their meaning.

    stem, fine, middle, coarse: channels at 1/2, 1/4, 1/8 and 1/16. animal_side: square root of the animal's area in
    pixels of the picture the network sees, where a mask tells it; mean_side: geometric mean of the picture's sides
    where none does; longest_side bounds both. contrast_sigma: of the window that evens out contrast, in pixels.
    keypoints: at most that many are kept, each the most reliable of a block of `block`×`block` cells.
    """

    dimension: int = 64
    stem: int = 32
    fine: int = 64
    middle: int = 96
    coarse: int = 160
    animal_side: int = 170
    mean_side: int = 300
    longest_side: int = 640
    contrast_sigma: float = 10.0
    keypoints: int = 450
    block: int = 2

    def __post_init__(self) -> None:
        if min(asdict(self).values()) <= 0:
            raise ValueError("all settings of dense descriptors are positive")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the kind of model."""
        return {"kind": KIND, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DenseConfig:
        """Inverse of :meth:`to_dict`; another kind or an unknown key is a ValueError, a missing one its default."""
        known = {k: v for k, v in values.items() if k != "kind"}
        unknown = set(known) - {f.name for f in fields(cls)}
        if unknown or values.get("kind", KIND) != KIND:
            raise ValueError(f"no settings of dense descriptors: {', '.join(sorted(unknown)) or values['kind']}")
        return cls(**known)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x + self.second(self.first(x)))


class _Convolution(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class DenseNet(nn.Module):
    """n×1×H×W float (see `matching.even_contrast`; H, W multiples of 16) → descriptors n×d×H/4×W/4 with unit columns,
    and reliability n×H/4×W/4 as log-odds."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.config = config
        stem, fine, middle, coarse = config.stem, config.fine, config.middle, config.coarse
        self.stem = nn.Sequential(_Convolution(1, stem, stride=2), _Convolution(stem, stem))
        self.fine = nn.Sequential(_Convolution(stem, fine, stride=2), _Residual(fine))
        self.middle = nn.Sequential(_Convolution(fine, middle, stride=2), *(_Residual(middle) for _ in range(2)))
        self.coarse = nn.Sequential(_Convolution(middle, coarse, stride=2), *(_Residual(coarse) for _ in range(3)))
        self.coarse_to_middle = nn.Conv2d(coarse, middle, 1)
        self.middle_to_fine = nn.Conv2d(middle, fine, 1)
        self.merge = _Convolution(fine, fine)
        self.descriptor = nn.Conv2d(fine, config.dimension, 1)
        self.reliability = nn.Conv2d(fine, 1, 1)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(self.stem(pictures))
        middle = self.middle(fine)
        middle = middle + _larger(self.coarse_to_middle(self.coarse(middle)))
        merged = self.merge(functional.relu(fine + _larger(self.middle_to_fine(middle))))
        descriptors = functional.normalize(self.descriptor(merged).float(), dim=1)
        return descriptors, self.reliability(merged)[:, 0].float()


def _larger(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def initial_network(config: DenseConfig, seed: int) -> DenseNet:
    """An untrained network in evaluation mode: the same tensors for the same config and seed, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DenseNet(config).eval()
