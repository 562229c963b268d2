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

ON_PROBE = AGREEMENT / 4
"""The same for the images of :func:`probe`: other images may come out worse."""

_OF_SPREAD = 0.05
_NOISE = 1e-7

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

    def agree(self, found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
        """Whether a runtime's unit rows of the images of :func:`probe` are as near torch's as they have to be.

        An untrained network gives nearly the same vector for every image: two runtimes must differ by much less than
        two images do.
        """
        if self.exact:
            return bool(np.all(np.abs(found - expected) <= EXACT_AGREEMENT))
        n = len(expected)
        spread = min(disagreement(expected[i : i + 1], expected[j : j + 1]) for i in range(n) for j in range(i))
        return disagreement(found, expected) <= min(ON_PROBE, max(_OF_SPREAD * spread, _NOISE))


def probe(shape: tuple[int, int, int]) -> torch.Tensor:
    """Four images, always the same, with the range of normalised photos: blotches, dark, bright, and hard."""
    draw = torch.Generator().manual_seed(20240801)
    channels, height, width = shape
    coarse = torch.randn(4, channels, 6, 9, generator=draw)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    noise = torch.randn(4, channels, height, width, generator=draw)
    blotches, dark, bright, hard = smooth
    images = [blotches, 0.2 * dark - 1.8, 0.3 * bright + 2.0, 2.0 * hard.sign()]
    return torch.stack(images) + 0.2 * noise


def disagreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest 1 − cosine of rows; infinite where a row is no direction."""
    a, b = (rows.astype(np.float64) for rows in (one, other))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not np.all(np.isfinite(lengths)) or np.any(lengths == 0):
        return float("inf")
    return float(np.max(1.0 - (a * b).sum(axis=1) / lengths))
