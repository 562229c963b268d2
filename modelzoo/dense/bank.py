"""A bank of rendered views with the coat place of every pixel, from which training draws its pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.dense.coats import painted_coat
from modelzoo.synthetic.anatomy import CHART_HEIGHT, CHART_WIDTH
from modelzoo.synthetic.coat import LEFT_FLANK, RIGHT_FLANK
from modelzoo.synthetic.crops import CROP_RESOLUTION, make_crop

Progress = Callable[[int, int, str], None]
STEP = 2  # a coat place is kept for every second pixel of every second row
NO_COAT = 65535
_LEVELS = 65534.0
_TORSO_LENGTHS = np.array([CHART_WIDTH, CHART_HEIGHT], np.float32)


@dataclass(frozen=True, eq=False)
class Bank:
    """grey: n×H×W uint8. mask: n×h×w bool and coat: n×h×w×2 uint16, both of the pixels (2·row, 2·column); coat is the
    place on the chart in 1/65534, NO_COAT off the flank. flank: n, equal for views of one coat."""

    grey: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    coat: NDArray[np.uint16]
    flank: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.grey)

    def save(self, path: Path) -> None:
        """Written beside the path and renamed into place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez(beside, grey=self.grey, mask=self.mask, coat=self.coat, flank=self.flank)
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Bank:
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["grey"], stored["mask"], stored["coat"], stored["flank"])


def render_bank(
    seed: int, flanks: int, views: int, size: tuple[int, int] = (448, 224), progress: Progress | None = None
) -> Bank:
    """`views` of each of `flanks` painted coats, lefts and rights in turn; size: (width, height) of a view."""
    width, height = size
    n = flanks * views
    rows, columns = (height + STEP - 1) // STEP, (width + STEP - 1) // STEP
    bank = Bank(
        np.zeros((n, height, width), np.uint8),
        np.zeros((n, rows, columns), bool),
        np.full((n, rows, columns, 2), NO_COAT, np.uint16),
        np.repeat(np.arange(flanks, dtype=np.int64), views),
    )
    for k in range(flanks):
        flank = RIGHT_FLANK if k % 2 else LEFT_FLANK
        coat = painted_coat(seed, k, flank, CROP_RESOLUTION)
        for view in range(views):
            crop = make_crop(seed, k, flank, view, size, coats=(coat, coat))
            i = k * views + view
            bank.grey[i] = cv2.cvtColor(crop.rgb, cv2.COLOR_RGB2GRAY)
            bank.mask[i] = crop.mask[::STEP, ::STEP]
            bank.coat[i] = to_levels(crop.coat[::STEP, ::STEP])
            if progress is not None:
                progress(i + 1, n, f"coat {k + 1}")
    return bank


def to_levels(coat: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Chart places in 0…1 as stored; NaN becomes NO_COAT."""
    known = ~np.isnan(coat)
    levels = np.full(coat.shape, NO_COAT, np.uint16)
    levels[known] = np.rint(np.clip(coat[known], 0.0, 1.0) * _LEVELS).astype(np.uint16)
    return levels


def coat_at(
    coat: NDArray[np.uint16], x: NDArray[np.float32], y: NDArray[np.float32], jump: float = 0.06
) -> NDArray[np.float32]:
    """Coat places under pixels x, y (any equal shape) of a view whose stored coat is h×w×2, in torso lengths.

    Bilinear between the four stored places around; NaN where one of them is missing or they differ by more than
    `jump` torso lengths, as where a leg passes before the trunk.
    """
    rows, columns = coat.shape[:2]
    at_x, at_y = x / STEP, y / STEP
    left, top = np.floor(at_x).astype(np.int64), np.floor(at_y).astype(np.int64)
    inside = (left >= 0) & (top >= 0) & (left < columns - 1) & (top < rows - 1)
    left, top = np.clip(left, 0, columns - 2), np.clip(top, 0, rows - 2)
    corners = np.stack([coat[top, left], coat[top, left + 1], coat[top + 1, left], coat[top + 1, left + 1]])
    known = inside & (corners != NO_COAT).all(axis=(0, -1))
    places = corners.astype(np.float32) * (_TORSO_LENGTHS / np.float32(_LEVELS))
    known &= (places.max(axis=0) - places.min(axis=0)).max(axis=-1) < jump
    fx, fy = (at_x - left)[..., None], (at_y - top)[..., None]
    upper = places[0] * (1 - fx) + places[1] * fx
    lower = places[2] * (1 - fx) + places[3] * fx
    return np.where(known[..., None], upper * (1 - fy) + lower * fy, np.nan).astype(np.float32)
