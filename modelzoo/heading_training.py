"""Teaches :mod:`modelzoo.heading` on rendered animals, made worse until they look like what segmenters give.

Real masks lack legs in grass, run over into the background, are coarse, or are not there at all; boxes cut heads off;
another animal stands behind. Each is done to the rendered views at random, so that the network says little where
little is to be seen. Its loss is a proper one (binary cross-entropy), for its answers are to be probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from .heading import PLANES, HeadingConfig, HeadingModel, planes_of

Progress = Callable[[int, int, str], None]
Pixels = NDArray[np.uint8]
_STRIDE = 2


@dataclass(frozen=True)
class HeadingViews:
    """rgb n×H×W×3 uint8, mask n×H×W bool, left n bool, yaw n float32 radians off the side view."""

    rgb: Pixels
    mask: NDArray[np.bool_]
    left: NDArray[np.bool_]
    yaw: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)

    def part(self, first: int, last: int) -> HeadingViews:
        """Views number first to last, the last excluded."""
        return HeadingViews(self.rgb[first:last], self.mask[first:last], self.left[first:last], self.yaw[first:last])


@dataclass(frozen=True)
class HeadingTraining:
    """steps of `batch` views each; rate: the highest learning rate, falling to 0 along a half cosine."""

    steps: int = 3000
    batch: int = 64
    rate: float = 2e-3
    decay: float = 2e-2
    dropout: float = 0.3
    seed: int = 11


class HeadingNet(nn.Module):
    """The network of :class:`modelzoo.heading.HeadingModel`, to be trained: n×2×h×w planes to n×1."""

    def __init__(self, config: HeadingConfig, dropout: float) -> None:
        super().__init__()
        before = PLANES
        self.layers = len(config.channels)
        for i, (kernel, channels) in enumerate(zip(config.kernels, config.channels, strict=True)):
            self.add_module(f"conv{i}", nn.Conv2d(before, channels, kernel, _STRIDE, kernel // 2))
            before = channels
        self.hidden = nn.Linear(config.flat, config.hidden)
        # A constant would cancel between a picture and its mirror image.
        self.out = nn.Linear(config.hidden, 1, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        for i in range(self.layers):
            planes = functional.relu(self.get_submodule(f"conv{i}")(planes))
        return self.out(self.drop(functional.relu(self.hidden(self.drop(planes.flatten(1))))))


def spoiled(
    rgb: Pixels, mask: NDArray[np.bool_], other: tuple[Pixels, NDArray[np.bool_]], rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Crop and mask (0/255) as a camera and a segmenter might have given them. other: an animal to stand behind."""
    # The network sees grey only.
    seen, shape = _warped(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), mask.astype(np.uint8) * 255, rng)
    if rng.random() < 0.15:
        seen, shape = _with_another(seen, shape, other, rng)
    seen = _toned(seen, rng)
    if rng.random() < 0.35:
        shape = _hidden(shape, rng)
    if rng.random() < 0.85:
        shape = _coarse(shape, rng)
    if rng.random() < 0.3:
        seen, shape = _cut(seen, shape, rng)
    if rng.random() < 0.06 or not shape.any():
        shape = np.full_like(shape, 255)
    return np.asarray(cv2.cvtColor(seen, cv2.COLOR_GRAY2RGB), np.uint8), shape


def _warped(seen: Pixels, shape: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Other proportions, a slope, a shear."""
    height, width = shape.shape
    angle, shear = rng.normal(0, 0.10), rng.normal(0, 0.08)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    grow = np.diag(np.exp(rng.normal(0, 0.12, 2)) * rng.uniform(0.75, 0.95))
    linear = turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ grow
    centre = np.array([width, height]) / 2
    matrix = np.hstack([linear, (centre - linear @ centre)[:, None]])
    seen = np.asarray(cv2.warpAffine(seen, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)
    return seen, np.where(cv2.warpAffine(shape, matrix, (width, height)) > 127, 255, 0).astype(np.uint8)


def _with_another(
    seen: Pixels, shape: Pixels, other: tuple[Pixels, NDArray[np.bool_]], rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Part of a second animal behind the first; at times the segmenter takes it in."""
    moved = np.array(
        [[1, 0, rng.uniform(0.35, 0.9) * seen.shape[1] * rng.choice([-1, 1])], [0, 1, rng.uniform(-25, 25)]], np.float32
    )
    size = (seen.shape[1], seen.shape[0])
    behind = cv2.warpAffine(cv2.cvtColor(other[0], cv2.COLOR_RGB2GRAY), moved, size)
    there = (cv2.warpAffine(other[1].astype(np.uint8), moved, size) > 0) & (shape == 0)
    seen = np.where(there, behind, seen)
    return seen, np.where(there, 255, shape).astype(np.uint8) if rng.random() < 0.5 else shape


def _toned(seen: Pixels, rng: np.random.Generator) -> Pixels:
    """Another exposure, blur and grain; at times so flat that only the outline tells."""
    curve = (np.arange(256, dtype=np.float32) / 255) ** np.float32(np.exp(rng.normal(0, 0.35)))
    tone = curve[seen]
    if rng.random() < 0.15:
        tone = 1 - tone
    if rng.random() < 0.4:
        tone = np.asarray(cv2.GaussianBlur(tone, (0, 0), float(rng.uniform(0.5, 5.0))), np.float32)
    tone = tone + rng.standard_normal(tone.shape, np.float32) * np.float32(rng.uniform(0, 0.06))
    light = rng.normal(0, 0.15, 2)
    across = np.linspace(-1, 1, seen.shape[1])[None, :] * light[0]
    down = np.linspace(-1, 1, seen.shape[0])[:, None] * light[1]
    return np.asarray(np.clip(tone * (1 + across + down), 0, 1) * 255, np.uint8)


def _hidden(shape: Pixels, rng: np.random.Generator) -> Pixels:
    """Legs in grass, or a trunk or bush in front."""
    shape = shape.copy()
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    if not len(rows):
        return shape
    top, tall, left, wide = rows[0], len(rows), columns[0], columns[-1] - columns[0] + 1
    if rng.random() < 0.6:
        knots = rng.normal(0, 0.08, 9).cumsum() / 2 + rng.uniform(0.5, 0.95)
        line = np.interp(np.arange(shape.shape[1]), np.linspace(0, shape.shape[1], 9), knots)
        shape[np.arange(shape.shape[0])[:, None] > top + tall * line[None, :]] = 0
        return shape
    middle = (left + wide * rng.uniform(0, 1), top + tall * rng.uniform(0, 1))
    axes = (wide * rng.uniform(0.04, 0.22), tall * rng.uniform(0.1, 1.2))
    cv2.ellipse(shape, (middle, (2 * axes[0], 2 * axes[1]), float(rng.uniform(-30, 30))), 0, -1)
    return shape


def _coarse(shape: Pixels, rng: np.random.Generator) -> Pixels:
    """The outline of a network with few cells, rough by noise, too wide or too narrow."""
    height, width = shape.shape
    cells = int(rng.uniform(14, 90))
    small = cv2.resize(shape, (cells, max(6, cells * height // width)), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    noise = rng.standard_normal((height, width), np.float32)
    rough = np.asarray(cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(2, 8))), np.float32)
    near = np.clip(4 * cv2.GaussianBlur(back, (0, 0), 3.0), 0, 1)
    rough *= near * rng.uniform(0, 0.35) / max(float(rough.std()), 1e-6)
    return np.where(back + rough > rng.uniform(0.25, 0.75), 255, 0).astype(np.uint8)


def _cut(seen: Pixels, shape: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """A frame or box that ends before the animal does."""
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    if not len(rows):
        return seen, shape
    share = rng.uniform(0.0, 0.35)
    side = rng.integers(4)
    left, right = columns[0], columns[-1] + 1
    top, bottom = rows[0], rows[-1] + 1
    if side == 0:
        left += round(share * (right - left))
    elif side == 1:
        right -= round(share * (right - left))
    elif side == 2:
        bottom -= round(share * (bottom - top))
    else:
        top += round(0.5 * share * (bottom - top))
    return seen[top:bottom, left:right], shape[top:bottom, left:right]


def planes_pool(
    views: HeadingViews, config: HeadingConfig, versions: int, seed: int, progress: Progress | None = None
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Each view spoiled that many times: (n·versions)×2×h×w planes, and 1 where it faces left, else 0.

    Made once, for it takes longer than a step of training. The same seed gives the same planes.
    """
    rng = np.random.default_rng(seed)
    count = len(views) * versions
    planes = np.empty((count, PLANES, config.height, config.width), np.float16)
    for i in range(count):
        one, other = i % len(views), int(rng.integers(len(views)))
        planes[i] = planes_of(
            *spoiled(views.rgb[one], views.mask[one], (views.rgb[other], views.mask[other]), rng), config
        )
        if progress is not None and i % 500 == 499:
            progress(i + 1, count, "views made worse")
    return planes, np.tile(views.left, versions).astype(np.float32)


def train(
    planes: NDArray[np.float16],
    left: NDArray[np.float32],
    config: HeadingConfig,
    training: HeadingTraining,
    progress: Progress | None = None,
) -> HeadingModel:
    """The network after all steps, temperature as in the config. The same seed gives the same bits on one machine.

    planes, left: as :func:`planes_pool` gives them. Mirrored pictures need not be shown: they would give the same loss.
    """
    tell = progress or (lambda done, total, message: None)
    torch.manual_seed(training.seed)
    rng = np.random.default_rng(training.seed)
    network = HeadingNet(config, training.dropout).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=training.rate, weight_decay=training.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, training.steps)
    running = 0.0
    for step in range(training.steps):
        chosen = rng.integers(len(planes), size=training.batch)
        seen = torch.from_numpy(planes[chosen].astype(np.float32))
        both = network(torch.cat([seen, seen.flip(-1)]))[:, 0]
        logit = both[: training.batch] - both[training.batch :]
        loss = functional.binary_cross_entropy_with_logits(logit, torch.from_numpy(left[chosen]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running += (float(loss.detach()) - running) / min(step + 1, 100)
        if step % 100 == 99:
            tell(step + 1, training.steps, f"loss {running:.3f}")
    return model_of(network, config)


def model_of(network: HeadingNet, config: HeadingConfig) -> HeadingModel:
    """Its weights as they are kept: numbers of two bytes."""
    tensors = {name: value.detach().half().numpy() for name, value in network.state_dict().items()}
    return HeadingModel(config, tensors)


def tempered(model: HeadingModel, planes: NDArray[np.float16], left: NDArray[np.float32]) -> HeadingModel:
    """The model with the temperature that suits spoiled views it has not seen (least cross-entropy, on a grid)."""
    logits = model.logits_of_planes(planes).astype(np.float64)
    sign = np.where(left > 0.5, 1.0, -1.0)
    grid = np.exp(np.linspace(np.log(0.25), np.log(8), 101))
    loss = [np.logaddexp(0, -sign * logits / t).mean() for t in grid]
    config = replace(model.config, temperature=round(float(grid[int(np.argmin(loss))]), 4))
    return HeadingModel(config, model.tensors)
