"""Painted coats of many kinds on the generator's chart: what dense descriptors learn from besides leopards.

A descriptor that has seen only rosettes learns rosettes. These coats carry marks of other kinds (dark stripes, few pale
stripes with spots, spots, blotches, marbling), so that what is learned is to tell places of a pattern apart, whatever
the pattern is.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from modelzoo.synthetic.coat import LEFT_FLANK, RIGHT_FLANK, Coat, chart_grid, coat_texture
from modelzoo.synthetic.noise import FloatArray, fractal_noise, rng_for, smoothstep, value_noise

FAMILIES = ("leopard", "stripes", "pale_stripes", "spots", "blotches", "marbled")
_SHARES = (0.34, 0.16, 0.20, 0.12, 0.10, 0.08)
_DARK_GROUNDS = ((96, 60, 38), (150, 84, 40), (70, 58, 50), (110, 88, 66), (48, 40, 36))
_PALE_GROUNDS = ((200, 150, 90), (214, 186, 140), (190, 120, 60), (205, 200, 190), (170, 150, 120))


def family_of(seed: int, individual: int) -> str:
    """The kind of coat of one individual; both flanks share it."""
    return str(rng_for("family", seed, individual).choice(FAMILIES, p=_SHARES))


def painted_coat(seed: int, individual: int, flank: str, resolution: int) -> Coat:
    """The coat of one flank, the same for the same arguments. Raises ValueError on a flank other than left or right."""
    if flank not in (LEFT_FLANK, RIGHT_FLANK):
        raise ValueError(f"flank must be left or right, not {flank!r}")
    family = family_of(seed, individual)
    if family == "leopard":
        return coat_texture(seed, individual, flank, resolution)
    # What an animal has of its kind on both flanks comes from the first generator, where its marks lie from the other.
    kind = rng_for("painted kind", seed, individual)
    place = rng_for("painted place", seed, individual, flank)
    x, t = chart_grid(resolution)
    x, t = _warped(place, x, t, resolution, 0.4 if family == "pale_stripes" else 1.0)
    marks = np.clip(_PAINTERS[family](kind, place, x, t, resolution), 0.0, 1.0)
    return _coloured(kind, place, marks, resolution, pale=family == "pale_stripes" or kind.random() < 0.25)


def _warped(
    rng: np.random.Generator, x: FloatArray, t: FloatArray, resolution: int, share: float
) -> tuple[FloatArray, FloatArray]:
    """Chart places moved a little, so that nothing painted on them is straight or regular."""
    height, width = x.shape
    for cell, full in ((0.22, 0.028), (0.07, 0.009), (0.025, 0.003)):
        amount = share * full
        x = x + amount * value_noise(rng, height, width, cell * resolution, cell * resolution)
        t = t + amount * value_noise(rng, height, width, cell * resolution, cell * resolution)
    return x.astype(np.float32), t.astype(np.float32)


def _stripes(
    kind: np.random.Generator, place: np.random.Generator, x: FloatArray, t: FloatArray, resolution: int
) -> FloatArray:
    """Upright dark stripes that fork, fade and break, as tigers and zebras have them."""
    height, width = x.shape
    spacing = kind.uniform(0.05, 0.12)
    lean = kind.uniform(-0.25, 0.25)
    drift = 1.2 * fractal_noise(place, height, width, 0.30 * resolution, 2)
    fork = 0.9 * value_noise(place, height, width, 0.35 * resolution, 0.12 * resolution)
    wave = np.sin(2 * np.pi * (x + lean * t) / spacing + 2.0 * drift + fork)
    level = kind.uniform(0.05, 0.5) + 0.40 * value_noise(place, height, width, 0.16 * resolution, 0.09 * resolution)
    marks = smoothstep(-0.12, 0.16, wave - level)
    if kind.random() < 0.4:  # a pair of thin lines around a paler middle
        marks = marks * (1 - 0.7 * smoothstep(0.25, 0.55, wave - level))
    return marks


def _pale_stripes(
    kind: np.random.Generator, place: np.random.Generator, x: FloatArray, t: FloatArray, resolution: int
) -> FloatArray:
    """A dozen thin upright lines of uneven spacing, length and strength, and a few spots, as antelopes have them."""
    height, width = x.shape
    marks = np.zeros((height, width), np.float32)
    lines = int(kind.integers(5, 16))
    usual_width = kind.uniform(0.004, 0.010)
    for start in np.linspace(0.02, 0.98, lines) + place.normal(0, 0.22 / lines, lines):
        top, bottom = place.uniform(0.55, 0.72), place.uniform(0.22, 0.50)
        lean, bow = place.normal(0, 0.10), place.normal(0, 0.10)
        height_on_line = t - 0.45
        away = np.abs(x - (start + lean * height_on_line + bow * height_on_line**2))
        thick = usual_width * place.uniform(0.6, 1.5)
        line = smoothstep(thick * 1.5, thick * 0.5, away)
        line *= smoothstep(top + 0.02, top - 0.02, t) * smoothstep(bottom - 0.03, bottom + 0.03, t)
        marks = np.maximum(marks, line * place.uniform(0.35, 1.0))
    broken = value_noise(place, height, width, 0.05 * resolution, 0.05 * resolution)
    marks *= smoothstep(-1.9, -0.9, broken)
    spots = int(kind.integers(3, 30))
    centres = np.stack([place.uniform(-0.02, 1.0, spots), place.uniform(0.22, 0.65, spots)], axis=1)
    return np.maximum(marks, _dots(place, x, t, centres, kind.uniform(0.006, 0.014), resolution))


def _spots(
    kind: np.random.Generator, place: np.random.Generator, x: FloatArray, t: FloatArray, resolution: int
) -> FloatArray:
    """Solid spots of a size and density of the animal's own, thrown without order."""
    count = int(kind.integers(60, 900))
    centres = np.stack([place.uniform(-0.15, 1.6, count), place.uniform(-0.1, 0.9, count)], axis=1)
    return _dots(place, x, t, centres, kind.uniform(0.35, 0.6) * (1.6 / count) ** 0.5 * 0.55, resolution)


def _dots(
    rng: np.random.Generator, x: FloatArray, t: FloatArray, centres: FloatArray, size: float, resolution: int
) -> FloatArray:
    """Ovals around chart places, each drawn in its own neighbourhood of the (warped) chart."""
    field = np.zeros(x.shape, np.float32)
    plain_x, plain_t = chart_grid(resolution)
    for cx, ct in centres:
        radius = size * float(np.exp(rng.normal(0, 0.3)))
        squeeze = float(np.exp(rng.normal(0, 0.2)))
        reach = 1.8 * radius + 0.06
        columns = np.searchsorted(plain_x[0], [cx - reach, cx + reach])
        rows = np.searchsorted(-plain_t[:, 0], [-ct - reach, -ct + reach])
        area = (slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1])))
        away = np.hypot((x[area] - cx) / squeeze, (t[area] - ct) * squeeze)
        field[area] = np.maximum(field[area], smoothstep(1.25, 0.8, away / radius) * rng.uniform(0.6, 1.0))
    return field


def _blotches(
    kind: np.random.Generator, place: np.random.Generator, x: FloatArray, t: FloatArray, resolution: int
) -> FloatArray:
    """Patches between a net of lines (distance to the two nearest of many centres), as giraffes have them."""
    count = int(kind.integers(60, 260))
    height, width = x.shape
    seeds = np.full((height, width), 255, np.uint8)
    seeds[place.integers(0, height, count), place.integers(0, width, count)] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    edges = (cells != np.roll(cells, 1, 0)) | (cells != np.roll(cells, 1, 1))
    gap = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, 5) / resolution
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    plain_x, plain_t = chart_grid(resolution)
    gap = cv2.remap(gap, columns + (x - plain_x) * resolution, rows - (t - plain_t) * resolution, cv2.INTER_LINEAR)
    line = kind.uniform(0.004, 0.014)
    return smoothstep(line * 0.6, line * 1.5, np.asarray(gap, np.float32))


def _marbled(
    kind: np.random.Generator, place: np.random.Generator, x: FloatArray, t: FloatArray, resolution: int
) -> FloatArray:
    """Thresholded noise of one scale, isotropic or stretched."""
    height, width = x.shape
    cell, stretch = kind.uniform(0.03, 0.10) * resolution, float(np.exp(kind.normal(0, 0.5)))
    noise = fractal_noise(place, height, width, cell, 2, 0.4, aspect=stretch)
    level = kind.uniform(-0.3, 0.8)
    return smoothstep(level - 0.2, level + 0.2, noise)


_PAINTERS: dict[str, Callable[..., FloatArray]] = {
    "stripes": _stripes,
    "pale_stripes": _pale_stripes,
    "spots": _spots,
    "blotches": _blotches,
    "marbled": _marbled,
}


def _coloured(
    kind: np.random.Generator, place: np.random.Generator, marks: FloatArray, resolution: int, *, pale: bool
) -> Coat:
    """Ground, marks lighter or darker than it, a paler belly, hair and drift."""
    x, t = chart_grid(resolution)
    height, width = x.shape
    grounds = _DARK_GROUNDS if pale else _PALE_GROUNDS
    ground = np.array(grounds[int(kind.integers(len(grounds)))], np.float32) * kind.uniform(0.8, 1.15)
    mark = np.array((226, 216, 196) if pale else (40, 32, 28), np.float32)
    rgb = np.broadcast_to(ground, (height, width, 3)).copy()
    belly = smoothstep(0.40, 0.26, t)[..., None] * kind.uniform(0.0, 0.7)
    rgb += (np.array([220, 205, 180], np.float32) - rgb) * belly
    back = smoothstep(0.58, 0.70, t)[..., None] * kind.uniform(-0.1, 0.35)
    rgb *= 1 - back
    rgb *= 1 + 0.06 * fractal_noise(place, height, width, 0.25 * resolution, 4)[..., None]
    strength = kind.uniform(0.45, 0.97)
    rgb += (mark - rgb) * (strength * marks)[..., None]
    cell = resolution / 448 * 1.6
    rgb *= 1 + 0.08 * value_noise(place, height, width, cell, cell * 6)[..., None]
    albedo = np.clip(rgb / 255.0, 0.004, 1.0).astype(np.float32) ** 2.2
    infrared = 0.16 + 0.75 * (albedo @ np.array([0.5, 0.35, 0.15], np.float32)) ** 0.8
    return Coat(albedo, marks.astype(np.float32), infrared.astype(np.float32), np.zeros((height, width), np.float32))
