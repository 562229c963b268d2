"""What an animal looks like at a coarse glance: colour, texture, outline. Tells species apart, never individuals."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .types import GrayImage, Image

VERSION = 1
_SIDE = 128
_SCALES = (1.0, 2.0, 4.0)
_GRID = (6, 8)
_CELLS = (3, 4)
_ORIENTATIONS = 6
_CLIP = 0.3
_TINY = 1e-6

# How many numbers each part has, in order: what is learned weighs the parts against each other.
PARTS = {"shape": 2, "colour": 10, "texture": 4, "outline": _GRID[0] * _GRID[1] // 2, "gradients": 36}
LENGTH = sum(PARTS.values())


def appearance(crop: Image, mask: GrayImage | None = None) -> NDArray[np.float32]:
    """Numbers (float32, :data:`LENGTH`) of a crop (RGB uint8 H×W×3) and its mask (H×W, 0 outside the animal).

    Without a mask, or with an empty one, the whole crop is the animal. Left and right views give the same numbers.
    colour: mean and spread of CIELAB inside the mask, chroma, and how the animal differs from its surroundings.
    texture: brightness differences at three scales and sharpness. outline: the mask on a grid. gradients: histograms of
    unsigned gradients in cells (Dalal and Triggs 2005), folded at the middle.
    """
    height, width = crop.shape[:2]
    inside = mask > 0 if mask is not None and np.any(mask) else np.ones((height, width), bool)
    shape = [np.log(width / height), float(inside.mean())]
    scale = _SIDE / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    animal = np.asarray(cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100, np.float32)
    light = np.ascontiguousarray(lab[:, :, 0])
    parts = [
        np.asarray(shape),
        _colour(lab, animal),
        _texture(light, animal),
        _outline(animal),
        _gradients(light, animal),
    ]
    return np.concatenate(parts).astype(np.float32)


def _colour(lab: NDArray[np.float32], animal: NDArray[np.float32]) -> NDArray[np.floating]:
    weight = animal[..., None]
    mean = (lab * weight).sum((0, 1)) / (animal.sum() + _TINY)
    spread = np.sqrt(((lab - mean) ** 2 * weight).sum((0, 1)) / (animal.sum() + _TINY))
    around = (lab * (1 - weight)).sum((0, 1)) / max((1 - animal).sum(), 1.0)
    apart = mean - around if (1 - animal).sum() >= 1 else np.zeros(3)
    return np.concatenate([mean, spread, [np.hypot(mean[1], mean[2])], apart])


def _texture(light: NDArray[np.float32], animal: NDArray[np.float32]) -> NDArray[np.floating]:
    total = animal.sum() + _TINY
    energy = []
    for sigma in _SCALES:
        band = cv2.GaussianBlur(light, (0, 0), sigma) - cv2.GaussianBlur(light, (0, 0), sigma * 1.6)
        energy.append(np.log(np.sqrt((band**2 * animal).sum() / total) + 1e-4))
    edges = cv2.Laplacian(light, cv2.CV_32F)
    return np.asarray([*energy, np.log(np.sqrt((edges**2 * animal).sum() / total) + 1e-4)])


def _outline(animal: NDArray[np.float32]) -> NDArray[np.floating]:
    grid = cv2.resize(animal, (_GRID[1], _GRID[0]), interpolation=cv2.INTER_AREA)
    return ((grid + grid[:, ::-1]) / 2)[:, : _GRID[1] // 2].ravel()


def _gradients(light: NDArray[np.float32], animal: NDArray[np.float32]) -> NDArray[np.floating]:
    dx = cv2.Sobel(light, cv2.CV_32F, 1, 0)
    dy = cv2.Sobel(light, cv2.CV_32F, 0, 1)
    strength = np.hypot(dx, dy) * animal
    angle = np.mod(np.arctan2(dy, dx), np.pi) / np.pi * _ORIENTATIONS
    near = np.floor(angle - 0.5).astype(int)
    share = angle - 0.5 - near
    rows = np.minimum(np.arange(light.shape[0]) * _CELLS[0] // light.shape[0], _CELLS[0] - 1)
    columns = np.minimum(np.arange(light.shape[1]) * _CELLS[1] // light.shape[1], _CELLS[1] - 1)
    cells = np.zeros((*_CELLS, _ORIENTATIONS))
    at = np.broadcast_arrays(rows[:, None], columns[None, :])
    for bin_, part in ((near, 1 - share), (near + 1, share)):
        np.add.at(cells, (*at, bin_ % _ORIENTATIONS), strength * part)
    # A mirrored view has its columns and its orientations turned round.
    folded = (cells + cells[:, ::-1, ::-1])[:, : _CELLS[1] // 2].ravel()
    for _ in range(2):
        folded = np.minimum(folded / (np.linalg.norm(folded) + _TINY), _CLIP)
    return folded
