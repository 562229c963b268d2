"""Seeded noise: random generators keyed by names, value noise and band-limited fields. Pure numpy and OpenCV."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[Any]  # of float32; OpenCV types what it returns as any number


def rng_for(*keys: int | str) -> np.random.Generator:
    """A generator that depends on every key and on nothing else (stable between runs, processes and platforms)."""
    digest = hashlib.sha256("\x1f".join(str(key) for key in keys).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], dtype=np.uint32))


def smoothstep(low: float, high: float, value: NDArray) -> FloatArray:
    """0 below `low`, 1 above `high`, a cubic between; `low` > `high` gives the falling edge."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def value_noise(rng: np.random.Generator, height: int, width: int, cell_y: float, cell_x: float) -> FloatArray:
    """H×W float32, about zero mean and unit variance, smooth over cells of `cell_y`×`cell_x` pixels."""
    rows, columns = max(2, round(height / cell_y) + 2), max(2, round(width / cell_x) + 2)
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    cell: float,
    octaves: int = 4,
    gain: float = 0.5,
    aspect: float = 1.0,
) -> FloatArray:
    """Sum of `octaves` value noises, each half the cell size of the one before; `aspect` stretches along x."""
    total = np.zeros((height, width), np.float32)
    amplitude, power = 1.0, 0.0
    for _ in range(octaves):
        if cell < 1.0:
            break
        total += amplitude * value_noise(rng, height, width, cell, cell * aspect)
        power += amplitude**2
        amplitude, cell = amplitude * gain, cell / 2.0
    return total / np.float32(max(power, 1e-6) ** 0.5)


def noise_tile(rng: np.random.Generator, size: int, cell: int) -> FloatArray:
    """size×size float32 that wraps around at its borders; `cell` must divide `size`."""
    count = size // cell
    grid = rng.standard_normal((count, count)).astype(np.float32)
    padded = np.pad(grid, 2, mode="wrap")
    large = cv2.resize(padded, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[2 * cell : 2 * cell + size, 2 * cell : 2 * cell + size])


def sample_wrapped(tile: NDArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Bilinear samples of a wrapping tile at pixel coordinates x, y (any range)."""
    size_y, size_x = tile.shape[:2]
    map_x = np.mod(x, np.float32(size_x)).astype(np.float32)
    map_y = np.mod(y, np.float32(size_y)).astype(np.float32)
    return np.asarray(cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), dtype=np.float32)


def to_linear(rgb: NDArray) -> FloatArray:
    """sRGB 0–255 to linear light 0–1 by a 2.2 power."""
    return np.asarray((np.asarray(rgb, np.float32) / 255.0) ** 2.2, dtype=np.float32)
