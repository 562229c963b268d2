"""Training pairs: two windows on one coat, bent, relit and degraded, with the coat place of every cell of both.

Camera-trap photos of one flank differ most in pose, viewpoint and scale, then in exposure. So each window is cut
through an uneven affine map with a smooth bend on top, exactly the same for the picture and for the coat places under
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.dense.bank import NO_COAT, STEP, Bank, coat_at
from modelzoo.dense.network import STRIDE
from modelzoo.dense.photometry import even_contrast, worsen
from modelzoo.synthetic.anatomy import CHART_HEIGHT, CHART_WIDTH
from modelzoo.synthetic.noise import FloatArray, value_noise

TORSO = (0.06, 0.94)  # share of pairs aims at places with this chart x, in torso lengths
_CHART_LEFT = 0.15


@dataclass(frozen=True)
class PairConfig:
    """width, height: pixels of a window, multiples of 16. zoom: bounds of the mean change of scale. stretch: standard
    deviation of the log of width over height. turn: degrees at most. shear, bend (pixels): standard deviations.
    away: how far the common place may lie from the middle of a window, as shares of half its sides. cover: chance that
    things stand in front of the animal. scenery: chance that the background is another picture."""

    width: int = 160
    height: int = 128
    zoom: tuple[float, float] = (0.75, 1.6)
    stretch: float = 0.14
    turn: float = 15.0
    shear: float = 0.10
    bend: float = 2.5
    away: float = 0.4
    cover: float = 0.4
    scenery: float = 0.6
    contrast_sigma: float = 10.0


@dataclass(frozen=True, eq=False)
class Window:
    """picture: H×W float32, contrast evened out. coat: H/4×W/4×2 float32, torso lengths, NaN off the flank.
    ground: H/4×W/4 bool, cells that show no animal."""

    picture: FloatArray
    coat: FloatArray
    ground: NDArray[np.bool_]


def draw_pair(bank: Bank, config: PairConfig, rng: np.random.Generator, flank: int) -> tuple[Window, Window]:
    """Two windows around one place of a coat, from two views of it."""
    first, second = rng.choice(np.flatnonzero(bank.flank == flank), 2, replace=False)
    at_first, at_second = common_place(bank, int(first), int(second), rng)
    return (
        draw_window(bank, int(first), at_first, config, rng),
        draw_window(bank, int(second), at_second, config, rng),
    )


def common_place(bank: Bank, first: int, second: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Pixel x, y in both views of a place of the coat that both show, mostly on the torso."""
    places = [bank.coat[i].astype(np.float32) / NO_COAT * (CHART_WIDTH, CHART_HEIGHT) for i in (first, second)]
    rows, columns = np.nonzero(bank.coat[first, ..., 0] != NO_COAT)
    x = places[0][rows, columns, 0] - _CHART_LEFT
    wanted = (x > TORSO[0]) & (x < TORSO[1])
    if wanted.any() and rng.random() < 0.85:
        rows, columns = rows[wanted], columns[wanted]
    there_rows, there_columns = np.nonzero(bank.coat[second, ..., 0] != NO_COAT)
    there = places[1][there_rows, there_columns]
    best, nearest = (0, 0), np.inf
    for _ in range(8):
        k = int(rng.integers(len(rows)))
        away = np.abs(there - places[0][rows[k], columns[k]]).sum(axis=1)
        found = int(away.argmin())
        if away[found] < nearest:
            best, nearest = (k, found), float(away[found])
        if nearest < 0.01:
            break
    return (
        np.array([columns[best[0]], rows[best[0]]], np.float32) * STEP,
        np.array([there_columns[best[1]], there_rows[best[1]]], np.float32) * STEP,
    )


def draw_window(
    bank: Bank, view: int, centre: FloatArray, config: PairConfig, rng: np.random.Generator
) -> Window:  # fmt: skip
    """One window of one view around a pixel of it."""
    x, y = window_map(centre, config, rng)
    shown = cv2.remap(bank.grey[view], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    grey = np.asarray(shown, np.uint8)
    animal = cv2.remap(
        bank.mask[view].astype(np.float32), x / STEP, y / STEP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    middle = STRIDE // 2 - 0.5
    cell_x, cell_y = _cells(x, middle), _cells(y, middle)
    coat = coat_at(bank.coat[view], cell_x, cell_y)
    if rng.random() < config.scenery:
        other = bank.grey[int(rng.integers(len(bank)))]
        grey = _behind(grey, np.asarray(animal), other, rng)
    ground = _cells(np.asarray(animal), middle) < 0.02
    if rng.random() < config.cover:
        grey, hidden = _in_front(grey, rng)
        covered = _cells(hidden.astype(np.float32), middle) > 0.5
        coat[covered] = np.nan
        ground |= covered
    return Window(even_contrast(worsen(grey, rng), config.contrast_sigma), coat, ground)


def window_map(centre: FloatArray, config: PairConfig, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """For every pixel of a window the pixel x and y of the view that it shows, each H×W float32."""
    width, height = config.width, config.height
    zoom = float(np.exp(rng.uniform(np.log(config.zoom[0]), np.log(config.zoom[1]))))
    ratio = float(np.exp(rng.normal(0, config.stretch) / 2))
    angle = np.deg2rad(rng.uniform(-config.turn, config.turn))
    c, s = np.cos(angle), np.sin(angle)
    forth = np.array([[c, -s], [s, c]]) @ np.array([[zoom * ratio, rng.normal(0, config.shear)], [0, zoom / ratio]])
    back = np.linalg.inv(forth).astype(np.float32)
    shift = rng.uniform(-config.away, config.away, 2) * (width / 2, height / 2)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    dx = columns - np.float32((width - 1) / 2 + shift[0])
    dy = rows - np.float32((height - 1) / 2 + shift[1])
    dx = dx + np.float32(config.bend) * value_noise(rng, height, width, 48, 48)
    dy = dy + np.float32(config.bend) * value_noise(rng, height, width, 48, 48)
    x = back[0, 0] * dx + back[0, 1] * dy + centre[0]
    y = back[1, 0] * dx + back[1, 1] * dy + centre[1]
    return x.astype(np.float32), y.astype(np.float32)


def _cells(values: FloatArray, middle: float) -> FloatArray:
    """The values at the middles of the cells, which lie between pixels: mean of the four pixels around."""
    k = int(middle)
    return np.asarray(
        (
            values[k::STRIDE, k::STRIDE]
            + values[k + 1 :: STRIDE, k::STRIDE]
            + values[k::STRIDE, k + 1 :: STRIDE]
            + values[k + 1 :: STRIDE, k + 1 :: STRIDE]
        )
        / 4,
        np.float32,
    )


def _behind(
    grey: NDArray[np.uint8], animal: FloatArray, other: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Another view, turned and enlarged at random, where the animal is not."""
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D(
        (float(rng.uniform(0, other.shape[1])), float(rng.uniform(0, other.shape[0]))),
        float(rng.uniform(0, 360)),
        float(np.exp(rng.uniform(-0.4, 1.0))),
    )
    scene = cv2.warpAffine(other, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    mixed = scene * (1 - animal) + grey * animal
    return np.asarray(mixed, np.uint8)


def _in_front(grey: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Blades, branches and boards in front; the picture, and 1 where they are."""
    height, width = grey.shape
    hidden = np.zeros((height, width), np.uint8)
    grey = np.ascontiguousarray(grey)
    for _ in range(int(rng.integers(1, 9))):
        start = rng.uniform((0, 0.3 * height), (width, 1.2 * height))
        tip = start + rng.normal(0, (0.2 * width, 0.1 * height)) - (0, rng.uniform(0.2, 1.0) * height)
        ends = [tuple(int(v) for v in point) for point in (start, tip)]
        thick, shade = int(rng.integers(1, 6)), int(rng.integers(10, 245))
        cv2.line(grey, ends[0], ends[1], shade, thick, cv2.LINE_AA)
        cv2.line(hidden, ends[0], ends[1], 1, thick)
    if rng.random() < 0.3:
        x, y = rng.uniform(-0.2, 0.9) * width, rng.uniform(-0.2, 0.9) * height
        w, h = rng.uniform(0.1, 0.4) * width, rng.uniform(0.1, 0.4) * height
        area = (slice(max(int(y), 0), max(int(y + h), 1)), slice(max(int(x), 0), max(int(x + w), 1)))
        size = grey[area].shape
        grey[area] = np.clip(rng.uniform(20, 230) + rng.uniform(0, 40) * rng.standard_normal(size), 0, 255)
        hidden[area] = 1
    return grey, hidden
