"""Which way an animal faces in the picture: left, and its left flank is seen, or right.

A small convolutional network g looks at the silhouette and the grey picture inside it. The answer is
σ((g(picture) − g(mirrored picture)) / T), so that p(left | mirrored) = 1 − p(left | picture) by construction,
whatever was learned; T is the temperature of Guo et al. 2017, "On calibration of modern neural networks". NumPy and
OpenCV only: the worker need not load torch for it. Learned by :mod:`modelzoo.heading_training`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as safetensors_load

from .shipped import shipped_model
from .weights import WeightsError, read_registered

KIND = "heading"
NAME = "heading"
PLANES = 2
Floats = NDArray[np.float32]

_CRUMB = 0.1  # pieces of a mask smaller than this share of the largest are left out
_FLAT = 1e-3  # a coat whose grey varies less than this (of 0…1) has nothing to normalise by


@dataclass(frozen=True)
class HeadingConfig:
    """Shape of the network. width, height: of its input in pixels. kernels, channels: of each layer, all of stride 2.

    margin: room around the silhouette as a share of its longer side. temperature: divides the logit.
    """

    width: int = 64
    height: int = 48
    kernels: tuple[int, ...] = (5, 3, 3, 3)
    channels: tuple[int, ...] = (16, 32, 48, 64)
    hidden: int = 32
    margin: float = 0.06
    temperature: float = 1.0

    def __post_init__(self) -> None:
        step = 2 ** len(self.channels)
        if len(self.kernels) != len(self.channels) or self.width % step or self.height % step:
            raise ValueError(f"one kernel per layer, width and height multiples of {step}")
        if min(self.width, self.height, self.hidden, *self.channels) < 1 or any(k % 2 == 0 for k in self.kernels):
            raise ValueError("sizes are positive and kernels odd")
        if self.temperature <= 0 or not 0 <= self.margin < 1:
            raise ValueError("the temperature is positive and the margin a share")

    @property
    def flat(self) -> int:
        """Numbers that the last convolution leaves."""
        step = 2 ** len(self.channels)
        return self.channels[-1] * (self.width // step) * (self.height // step)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every tensor, by the name that it has in the file."""
        found: dict[str, tuple[int, ...]] = {}
        before = PLANES
        for i, (kernel, channels) in enumerate(zip(self.kernels, self.channels, strict=True)):
            found[f"conv{i}.weight"], found[f"conv{i}.bias"] = (channels, before, kernel, kernel), (channels,)
            before = channels
        found |= {"hidden.weight": (self.hidden, self.flat), "hidden.bias": (self.hidden,)}
        return found | {"out.weight": (1, self.hidden)}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with kind and dimension."""
        return {"kind": KIND, "dimension": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeadingConfig:
        """Inverse of :meth:`to_dict`; another kind and unknown keys are a ValueError."""
        known = {key: value for key, value in values.items() if key not in ("kind", "dimension")}
        unknown = set(known) - {f.name for f in fields(cls)}
        if values.get("kind", KIND) != KIND or unknown:
            raise ValueError(f"no settings of {KIND}: {values.get('kind')!r}, unknown {', '.join(sorted(unknown))}")
        given: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in known.items()}
        return cls(**given)


def planes_of(crop: NDArray[np.uint8], mask: NDArray[np.uint8] | None, config: HeadingConfig) -> Floats:
    """2×height×width float32: the silhouette (0…1), and the grey inside it at mean 0 and deviation 1.

    crop: H×W×3 RGB uint8. mask: H×W, non-zero on the animal; None or an empty one takes the whole crop. The box around
    the silhouette fills the planes up to the margin, its proportions kept.
    """
    inside = np.ones(crop.shape[:2], np.float32) if mask is None or not mask.any() else _without_crumbs(mask)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    window = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    inside, colour = inside[window], crop[window]
    height, width = inside.shape
    room = 1 - 2 * config.margin
    scale = min(config.width * room / width, config.height * room / height)
    # Even sizes in even planes lie in the middle, so that a mirrored photo gives mirrored planes.
    size = (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))
    grey = cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    small = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    # Premultiplied, so that nothing around the animal comes in at its edge.
    tone = cv2.resize(grey * inside, size, interpolation=cv2.INTER_AREA) / np.maximum(small, 1e-6)
    mean = float((tone * small).sum() / small.sum())
    deviation = float(np.sqrt((((tone - mean) ** 2) * small).sum() / small.sum()))
    tone = np.clip((tone - mean) / max(deviation, _FLAT), -3, 3) * small
    planes = np.zeros((PLANES, config.height, config.width), np.float32)
    top, left = (config.height - size[1]) // 2, (config.width - size[0]) // 2
    planes[0, top : top + size[1], left : left + size[0]] = small
    planes[1, top : top + size[1], left : left + size[0]] = tone
    return planes


def _without_crumbs(mask: NDArray[np.uint8]) -> Floats:
    """0 and 1: the largest piece of a mask, and those that are no crumbs beside it."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return (areas >= _CRUMB * areas.max())[labels].astype(np.float32) * (labels > 0)


def mirrored(
    crop: NDArray[np.uint8], mask: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Crop and mask with left and right exchanged."""
    return crop[:, ::-1], None if mask is None else mask[:, ::-1]


def convolved(batch: Floats, weight: Floats, bias: Floats) -> Floats:
    """n×c×h×w through an odd k×k kernel, stride 2, zeros k//2 around, and what is negative set to 0 (ReLU)."""
    k = weight.shape[2]
    padded = np.pad(batch, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::2, ::2]
    n, c, h, w = patches.shape[:4]
    columns = patches.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * k * k)
    out = columns @ weight.reshape(len(weight), -1).T + bias
    return np.ascontiguousarray(np.maximum(out, 0).reshape(n, h, w, -1).transpose(0, 3, 1, 2), np.float32)


class HeadingModel:
    """The network with its weights. Raises WeightsError for tensors of another shape or that are not finite."""

    def __init__(self, config: HeadingConfig, tensors: Mapping[str, Floats]) -> None:
        if {name: value.shape for name, value in tensors.items()} != config.shapes():
            raise WeightsError("these weights of the heading model belong to other settings")
        self.config = config
        self.tensors = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
        if not all(np.isfinite(value).all() for value in self.tensors.values()):
            raise WeightsError("the weights of the heading model hold numbers that are not finite")

    @classmethod
    def read(cls, path: Path, sha256: str, config: HeadingConfig) -> HeadingModel:
        """Of a safetensors file with that SHA-256. Raises WeightsError for anything else."""
        data = read_registered(path, sha256)
        try:
            return cls(config, safetensors_load(data))
        except (SafetensorError, KeyError, ValueError) as error:
            raise WeightsError(f"the weights {path.name} are no safetensors file: {error}") from error

    def left_probability(self, crop: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> float:
        """Probability that the animal faces left in the picture. crop: H×W×3 RGB uint8. mask: H×W uint8 or None."""
        return float(self.left_probabilities([(crop, mask)])[0])

    def left_probabilities(self, coats: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8] | None]]) -> Floats:
        """n probabilities (0…1) for n pairs of crop and mask."""
        logits = self.logits(coats) / self.config.temperature
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)

    def logits(self, coats: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8] | None]]) -> Floats:
        """n logits before the temperature; exactly the negative for mirrored coats."""
        # Mirrored as a photo, not as planes: shrinking rounds a little differently from the other side.
        both = [(planes_of(*coat, self.config), planes_of(*mirrored(*coat), self.config)) for coat in coats]
        return np.array([self._seen(one) - self._seen(other) for one, other in both], np.float32)

    def logits_of_planes(self, planes: NDArray[np.floating]) -> Floats:
        """n logits for n×2×h×w planes of :func:`planes_of`."""
        rows = np.asarray(planes, np.float32)
        return np.array([self._seen(one) - self._seen(one[:, :, ::-1]) for one in rows], np.float32)

    def _seen(self, planes: Floats) -> float:
        batch = planes[None]
        for i in range(len(self.config.channels)):
            batch = convolved(batch, self.tensors[f"conv{i}.weight"], self.tensors[f"conv{i}.bias"])
        hidden = batch.reshape(1, -1) @ self.tensors["hidden.weight"].T + self.tensors["hidden.bias"]
        return float((np.maximum(hidden, 0) @ self.tensors["out.weight"].T)[0, 0])


@lru_cache(maxsize=1)
def shipped_heading() -> HeadingModel:
    """The model that comes with SpotID. Raises WeightsError when its file or card is not the one that was shipped."""
    shipped = shipped_model(NAME)
    try:
        config = HeadingConfig.from_dict(shipped.card.config)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"the card of the shipped model {NAME} is not readable: {error}") from error
    return HeadingModel.read(shipped.path, shipped.sha256, config)
