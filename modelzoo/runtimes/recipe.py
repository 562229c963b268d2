"""What every runtime is given and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

AGREEMENT = 1e-3
"""How far the cosine of two runtimes' vectors of one image may be from 1."""

EXACT_AGREEMENT = 5e-6
"""How far any number of two unit vectors of one image may differ where exactness was asked for."""


class RuntimeUnavailable(RuntimeError):
    """A runtime that is not installed, cannot convert the network or does not agree with torch. For people."""


class Runner(Protocol):
    """A network ready to run. description: for people, with version and precision."""

    description: str

    def run(self, images: torch.Tensor) -> NDArray[np.float32]:
        """n×C×H×W float32 → n×dimension float32."""
        ...


@dataclass(frozen=True)
class Recipe:
    """One network for one size. load: gives it with its weights, in evaluation mode. key: names weights and settings.

    shape: C, H, W of an image. exact: float32 throughout, instead of bfloat16 where that is quicker. cache_dir: a
    folder for conversions, which need not exist.
    """

    load: Callable[[], nn.Module]
    key: str
    shape: tuple[int, int, int]
    threads: int
    cache_dir: Path
    exact: bool = False

    def agree(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
        """Whether two runtimes' unit rows for the same images are as alike as they have to be."""
        if self.exact:
            return bool(np.all(np.abs(one - other) <= EXACT_AGREEMENT))
        return disagreement(one, other) <= AGREEMENT


def probe(shape: tuple[int, int, int]) -> torch.Tensor:
    """Two images, always the same: coarse blotches with noise, with the range of normalised photos."""
    draw = torch.Generator().manual_seed(20240801)
    channels, height, width = shape
    coarse = torch.randn(2, channels, 6, 9, generator=draw)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return smooth + 0.3 * torch.randn(2, channels, height, width, generator=draw)


def disagreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest 1 − cosine of rows; infinite where a row is no direction."""
    a, b = (rows.astype(np.float64) for rows in (one, other))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not np.all(np.isfinite(lengths)) or np.any(lengths == 0):
        return float("inf")
    return float(np.max(1.0 - (a * b).sum(axis=1) / lengths))
