"""The coat of one flank as a texture in chart coordinates (see `anatomy`): rosettes, spots, ground colour, hair.

The layout is drawn from (seed, individual, flank) only; colours and sizes follow the same statistics for everybody,
so that nothing but the layout tells individuals apart. Real flanks served as the measure: about 12 columns and
7 rows of rosettes between shoulder and hip, smaller and solid towards head and legs, large blotches on the belly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic import anatomy
from modelzoo.synthetic.noise import FloatArray, fractal_noise, rng_for, smoothstep, value_noise

RESOLUTION = 448  # texels per torso length
LEFT_FLANK, RIGHT_FLANK = "left", "right"


@dataclass(frozen=True, eq=False)
class Coat:
    """albedo: H×W×3 float32 linear light 0–1; pattern: H×W float32, 1 on dark marks; infrared: H×W float32 reflectance
    to infrared flash; eye: H×W float32, 1 where the eye shines. Row 0 is the top (large chart t)."""

    albedo: FloatArray
    pattern: FloatArray
    infrared: FloatArray
    eye: FloatArray


def chart_grid(resolution: int) -> tuple[FloatArray, FloatArray]:
    """Chart x and t of every texel centre."""
    width, height = round(anatomy.CHART_WIDTH * resolution), round(anatomy.CHART_HEIGHT * resolution)
    x = anatomy.CHART_X0 + (np.arange(width, dtype=np.float32) + 0.5) / resolution
    t = anatomy.CHART_T0 + anatomy.CHART_HEIGHT - (np.arange(height, dtype=np.float32) + 0.5) / resolution
    grid_x, grid_t = np.meshgrid(x, t)
    return grid_x.astype(np.float32), grid_t.astype(np.float32)


def _body_place(x: NDArray, t: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Body x and t behind a chart place (inside patches folded back), and masks for tail and inner legs."""
    tail = (x > anatomy.TAIL_X0 - 0.03) & (t > anatomy.TAIL_T0 - 0.075) & (t < anatomy.TAIL_T0 + 0.075)
    inside = (x > anatomy.INSIDE_FROM) & (t <= anatomy.TAIL_T0 - 0.075)
    shift = np.where(x > 2.06, anatomy.FORE_INSIDE_SHIFT, anatomy.HIND_INSIDE_SHIFT)
    return np.where(inside, x - shift, x), t, tail, inside


def _spacing(x: NDArray, t: NDArray) -> NDArray:
    """Distance between neighbouring marks at a chart place, in torso lengths."""
    body_x, _, tail, inside = _body_place(x, t)
    size = np.full(x.shape, 0.060)
    size *= 1 - 0.40 * smoothstep(0.80, 1.02, body_x)
    size *= 1 - 0.38 * smoothstep(1.06, 1.22, body_x)
    size *= 1 - 0.25 * smoothstep(1.26, 1.36, body_x)
    belly = smoothstep(0.33, 0.26, t) * smoothstep(0.25, 0.36, body_x) * smoothstep(0.80, 0.70, body_x)
    size *= 1 + 0.25 * belly
    leg = smoothstep(0.36, 0.22, t) * (1 - belly)
    size *= 1 - 0.10 * leg
    size *= 1 - 0.42 * smoothstep(0.17, 0.03, t) * (1 - belly)
    size *= 1 - 0.22 * smoothstep(0.62, 0.72, t) * smoothstep(1.0, 0.9, body_x)
    size = np.where(inside, size * 1.15, size)
    tail_size = 0.046 + 0.020 * smoothstep(anatomy.TAIL_X0 + 0.3, anatomy.TAIL_X0 + 0.7, x)
    return np.where(tail, tail_size, size)


def _centres(rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Mark centres N×2 (x, t) as a blue-noise set with its local spacing N, by dart throwing on an occupancy map."""
    scale = 256
    height, width = round(anatomy.CHART_HEIGHT * scale), round(anatomy.CHART_WIDTH * scale)
    taken = np.zeros((height, width), np.uint8)
    placed: list[NDArray] = []
    for throw in (1500, 3000, 5000, 8000, 12000, 16000, 20000, 24000):
        dart = rng.random((throw, 2)) * [width - 1, height - 1]
        column, row = dart.astype(np.int64).T
        free = np.flatnonzero(taken[row, column] == 0)
        x = anatomy.CHART_X0 + (dart[free, 0] + 0.5) / scale
        t = anatomy.CHART_T0 + anatomy.CHART_HEIGHT - (dart[free, 1] + 0.5) / scale
        reach = _spacing(x, t) * rng.uniform(0.88, 1.12, len(free))
        for i, k in enumerate(free.tolist()):
            if not taken[row[k], column[k]]:
                placed.append(np.array([x[i], t[i], reach[i]]))
                cv2.circle(taken, (int(column[k]), int(row[k])), round(reach[i] * 0.88 * scale), 1, -1)
    found = np.array(placed)
    return found[:, :2], found[:, 2]


def _kind(x: NDArray, t: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Chance of being a ring, stretch along x (above 1) or along t (below 1), and fill of the cell, at places x, t."""
    body_x, _, tail, inside = _body_place(x, t)
    ring = smoothstep(0.28, 0.36, t) * smoothstep(1.00, 0.86, body_x)
    ring = np.where(tail | inside, 0.0, ring)
    belly = smoothstep(0.33, 0.25, t) * smoothstep(0.25, 0.36, body_x) * smoothstep(0.80, 0.70, body_x)
    stretch = 1 + 0.25 * smoothstep(0.62, 0.70, t) + 0.45 * belly
    stretch = np.where(inside, 1.5, stretch)
    stretch = np.where(tail, 0.62 + 0.3 * smoothstep(anatomy.TAIL_X0 + 0.4, anatomy.TAIL_X0, x), stretch)
    fill = 0.80 + 0.08 * ring - 0.10 * smoothstep(1.0, 1.2, body_x) - 0.10 * smoothstep(0.12, 0.02, t)
    fill = np.where(inside, 0.74, fill)
    return ring, stretch, np.where(tail, 0.95, fill)


def _draw_mark(
    field: FloatArray, heart: FloatArray, rng: np.random.Generator, column: float, row: float, size: float, shape: tuple
) -> None:
    """Max-blend one mark into `field` (dark) and `heart` (tawny centre); size is the half extent in texels."""
    is_ring, stretch, angle = shape
    reach = int(np.ceil(size * 1.75)) + 1
    x0, y0 = int(column) - reach, int(row) - reach
    x1, y1 = min(field.shape[1], x0 + 2 * reach + 1), min(field.shape[0], y0 + 2 * reach + 1)
    x0, y0 = max(0, x0), max(0, y0)
    if x1 <= x0 or y1 <= y0:
        return
    dx = (np.arange(x0, x1, dtype=np.float32) - np.float32(column))[None, :]
    dy = (np.arange(y0, y1, dtype=np.float32) - np.float32(row))[:, None]
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = (dx * c + dy * s) / np.float32(size * stretch**0.5), (dy * c - dx * s) / np.float32(size / stretch**0.5)
    radius = np.sqrt(u * u + v * v)
    turn = np.arctan2(v, u)
    wave = rng.normal(0, 1, 5) * ([0.08, 0.06, 0.045, 0.03, 0.02] if is_ring else [0.08, 0.09, 0.06, 0.04, 0.0])
    start = rng.uniform(0, 2 * np.pi, 5)
    outline = np.ones_like(radius)
    for k in range(5):
        outline += np.float32(wave[k]) * np.cos((k + 2) * turn + np.float32(start[k]))
    if not is_ring:
        dark = (outline * np.float32(0.82) - radius) / np.float32(0.22)
    else:
        thick = np.full_like(radius, rng.uniform(0.17, 0.23))
        for k, amount in ((2, 0.05), (3, 0.06), (4, 0.05), (5, 0.05)):
            thick += np.float32(amount * rng.normal()) * np.cos(k * turn + np.float32(rng.uniform(0, 2 * np.pi)))
        gaps = rng.choice([1, 2, 3, 4], p=[0.2, 0.35, 0.3, 0.15])
        for _ in range(gaps):
            away = np.abs((turn - rng.uniform(-np.pi, np.pi) + np.pi) % (2 * np.pi) - np.pi)
            thick -= np.float32(rng.uniform(0.22, 0.5)) * np.exp(-((away / np.float32(rng.uniform(0.16, 0.34))) ** 2))
        middle = outline * np.float32(0.74)
        dark = (thick - np.abs(radius - middle)) / np.float32(0.16)
        inner = np.clip((middle - radius) / np.float32(0.25) + np.float32(0.3), 0, 1)
        np.maximum(heart[y0:y1, x0:x1], inner, out=heart[y0:y1, x0:x1])
    np.maximum(field[y0:y1, x0:x1], np.clip(dark + np.float32(0.5), 0, 1), out=field[y0:y1, x0:x1])


def _layout(rng: np.random.Generator, resolution: int) -> tuple[FloatArray, FloatArray]:
    """Dark field and tawny hearts, H×W float32 0–1, before hair roughens them."""
    x, _ = chart_grid(resolution)
    field, heart = np.zeros_like(x), np.zeros_like(x)
    centres, cell = _centres(rng)
    ring, stretch, fill = _kind(centres[:, 0], centres[:, 1])
    top = anatomy.CHART_T0 + anatomy.CHART_HEIGHT
    for i in range(len(centres)):
        column = (centres[i, 0] - anatomy.CHART_X0) * resolution - 0.5
        row = (top - centres[i, 1]) * resolution - 0.5
        is_ring = bool(rng.random() < ring[i] * 0.93)
        grown = fill[i] * (1.02 if is_ring else 0.86)
        lengthen = float(stretch[i] * np.exp(rng.normal(0, 0.10 if is_ring else 0.16)))
        angle = rng.normal(0, 0.45 if is_ring else 0.3)
        _draw_mark(
            field,
            heart,
            rng,
            column,
            row,
            cell[i] * resolution * (0.565 if is_ring else 0.66) * grown,
            (is_ring, lengthen, angle),
        )
    return field, heart


def _ground(x: FloatArray, t: FloatArray, rng: np.random.Generator, resolution: int) -> FloatArray:
    """Ground colour without marks, H×W×3 sRGB 0–255: ochre back, buff sides, white belly, throat and inner legs."""
    body_x, _, tail, inside = _body_place(x, t)
    back, side = np.array([176, 138, 92], np.float32), np.array([202, 170, 124], np.float32)
    pale, white = np.array([212, 188, 150], np.float32), np.array([226, 219, 204], np.float32)
    drift = fractal_noise(rng, x.shape[0], x.shape[1], resolution * 0.3, 3)[..., None]
    shade = smoothstep(0.40, 0.66, t)[..., None]
    rgb = side + (back - side) * shade
    low = smoothstep(0.48, 0.27, t)[..., None]
    rgb = rgb + (pale - rgb) * low * 0.8
    belly = smoothstep(0.42, 0.28, t) * smoothstep(0.22, 0.34, body_x) * smoothstep(0.84, 0.74, body_x)
    throat = smoothstep(0.52, 0.42, t) * smoothstep(0.98, 1.06, body_x)
    muzzle = smoothstep(0.53, 0.49, t) * smoothstep(1.30, 1.36, body_x)
    paws = 0.35 * smoothstep(0.12, 0.03, t)
    whiteness = np.maximum.reduce([belly, throat, muzzle, paws])
    whiteness = np.where(inside, 0.9, whiteness)
    under = smoothstep(anatomy.TAIL_T0, anatomy.TAIL_T0 - 0.035, t) * smoothstep(1.55, 1.75, x)
    whiteness = np.where(tail, 0.85 * under, whiteness)
    rgb = rgb + (white - rgb) * whiteness.astype(np.float32)[..., None]
    return np.asarray(rgb * (1 + 0.035 * drift), dtype=np.float32)


def _hair(rng: np.random.Generator, t: FloatArray, resolution: int) -> FloatArray:
    """Unit-variance streaks along the hair: backwards on the body, downwards on the legs."""
    height, width = t.shape
    cell = resolution / 448 * 1.6
    along = value_noise(rng, height, width, cell, cell * 6)
    down = value_noise(rng, height, width, cell * 5, cell)
    leg = smoothstep(0.34, 0.24, t)
    return along * (1 - leg) + down * leg


class _Brush:
    """Soft marks painted into small regions of a chart-sized colour image."""

    def __init__(self, rgb: FloatArray, x: FloatArray, t: FloatArray) -> None:
        self.rgb, self.x, self.t = rgb, x, t

    def oval(
        self, cx: float, ct: float, rx: float, rt: float, rgb: tuple[int, int, int], strength: float = 1.0
    ) -> None:
        rows, columns = self.region(cx, ct, rx * 1.4, rt * 1.4)
        mask = strength * _oval(self.x[rows, columns], self.t[rows, columns], cx, ct, rx, rt)
        area = self.rgb[rows, columns]
        area += (np.array(rgb, np.float32) - area) * mask[..., None]

    def region(self, cx: float, ct: float, rx: float, rt: float) -> tuple[slice, slice]:
        columns = np.searchsorted(self.x[0], [cx - rx, cx + rx])
        rows = np.searchsorted(-self.t[:, 0], [-ct - rt, -ct + rt])
        return slice(int(rows[0]), int(rows[1]) + 1), slice(int(columns[0]), int(columns[1]) + 1)


def _oval(x: FloatArray, t: FloatArray, cx: float, ct: float, rx: float, rt: float) -> FloatArray:
    """1 inside an ellipse, 0 outside, soft at the rim."""
    return smoothstep(1.35, 0.65, np.sqrt(((x - cx) / rx) ** 2 + ((t - ct) / rt) ** 2))


def _features(rgb: FloatArray, x: FloatArray, t: FloatArray) -> FloatArray:
    """Paint eye, mouth, nose and ears into the colour; returns where the eye shines."""
    brush = _Brush(rgb, x, t)
    eye_t = float(anatomy.trunk_chart_t(np.array(1.308), np.array(0.52)))
    brush.oval(1.308, eye_t, 0.020, 0.014, (32, 24, 20))
    brush.oval(1.290, eye_t - 0.020, 0.020, 0.006, (48, 36, 28))
    brush.oval(1.308, eye_t, 0.010, 0.010, (150, 120, 60))
    brush.oval(1.308, eye_t, 0.005, 0.006, (12, 10, 10))
    lip_t = float(anatomy.trunk_chart_t(np.array(1.385), np.array(-0.62)))
    brush.oval(1.385, lip_t, 0.052, 0.007, (36, 26, 24))
    brush.oval(1.352, lip_t - 0.012, 0.022, 0.011, (40, 30, 26))
    for k in range(3):
        brush.oval(1.375, lip_t + 0.022 + 0.011 * k, 0.022, 0.0028, (60, 44, 36), 0.6)
    rows, columns = brush.region(1.425, 0.575, 0.016, 0.080)
    tip = smoothstep(1.409, 1.417, x[rows, columns]) * smoothstep(0.50, 0.535, t[rows, columns])
    rgb[rows, columns] += (np.array((96, 62, 56), np.float32) - rgb[rows, columns]) * tip[..., None]
    ear = (anatomy.EAR_X0 + 0.045, anatomy.EAR_T0, 0.085, 0.04)
    rows, columns = brush.region(*ear)
    outer = (x[rows, columns] >= anatomy.EAR_X0 + 0.045)[..., None]
    rgb[rows, columns] = np.where(outer, np.array((38, 32, 30), np.float32), np.array((170, 138, 106), np.float32))
    brush.oval(anatomy.EAR_X0, anatomy.EAR_T0 + 0.022, 0.05, 0.018, (92, 74, 60))
    brush.oval(anatomy.EAR_X0 + 0.09, anatomy.EAR_T0 + 0.008, 0.018, 0.012, (206, 196, 180))
    eye = np.zeros_like(x)
    rows, columns = brush.region(1.308, eye_t, 0.016, 0.013)
    eye[rows, columns] = _oval(x[rows, columns], t[rows, columns], 1.308, eye_t, 0.008, 0.011)
    return eye


@lru_cache(maxsize=16)
def coat_texture(seed: int, individual: int, flank: str, resolution: int = RESOLUTION) -> Coat:
    """The coat of one flank ("left" or "right"), the same for the same arguments. Raises ValueError on
    another flank."""
    if flank not in (LEFT_FLANK, RIGHT_FLANK):
        raise ValueError(f"flank must be left or right, not {flank!r}")
    rng = rng_for("coat", seed, individual, flank)
    x, t = chart_grid(resolution)
    field, heart = _layout(rng, resolution)
    common = rng_for("fur", seed, individual, flank)
    hair = _hair(common, t, resolution)
    # hair carries the pigment's edge back and forth
    warp = 0.0024 * resolution
    height, width = x.shape
    shift_x, shift_y = (warp * value_noise(common, height, width, 0.016 * resolution, 0.016 * resolution) for _ in "xy")
    shift_x = shift_x + 0.35 * warp * hair
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    both = cv2.remap(
        np.dstack([field, heart]), columns + shift_x, rows + shift_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    pattern, heart = smoothstep(0.18, 0.82, both[..., 0]), both[..., 1]
    tip = smoothstep(anatomy.TAIL_X0 + 0.74, anatomy.TAIL_X0 + 0.82, x) * (np.abs(t - anatomy.TAIL_T0) < 0.075)
    pattern = np.maximum(pattern, (0.85 * tip).astype(np.float32))
    rgb = _ground(x, t, common, resolution)
    rgb += (np.array([158, 112, 66], np.float32) - rgb) * (0.60 * heart * (1 - pattern))[..., None]
    dark = np.array([40, 32, 28], np.float32) + 9 * hair[..., None]
    rgb += (dark - rgb) * (0.95 * pattern)[..., None]
    rgb *= 1 + 0.075 * hair[..., None]
    eye = _features(rgb, x, t)
    albedo = np.clip(rgb / 255.0, 0.004, 1.0) ** 2.2
    grey = albedo @ np.array([0.5, 0.35, 0.15], np.float32)
    infrared = 0.16 + 0.75 * grey**0.8
    return Coat(albedo.astype(np.float32), pattern, infrared.astype(np.float32), eye)
