"""Things that grow and lie about: leaves, grass, trunks and rocks, painted on 8-bit sRGB canvases with depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic.noise import FloatArray, fractal_noise

_SHIFT = 3  # fractional bits of OpenCV's polygon points


@dataclass
class Canvas:
    """colour H×W×3 uint8 sRGB, depth H×W float32 metres, cover H×W uint8 (255 painted), bend H×W float32
    pixels of sway."""

    colour: NDArray[np.uint8]
    depth: FloatArray
    cover: NDArray[np.uint8]
    bend: FloatArray

    @staticmethod
    def blank(height: int, width: int, depth: float) -> Canvas:
        return Canvas(
            np.zeros((height, width, 3), np.uint8),
            np.full((height, width), depth, np.float32),
            np.zeros((height, width), np.uint8),
            np.zeros((height, width), np.float32),
        )

    def polygon(self, points: NDArray, colour: NDArray, depth: float, bend: float = 0.0) -> None:
        """Paint one convex polygon (N×2 float pixels)."""
        fixed = np.round(points * (1 << _SHIFT)).astype(np.int32)
        rgb = (int(colour[0]), int(colour[1]), int(colour[2]))
        cv2.fillConvexPoly(self.colour, fixed, rgb, cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(self.depth, fixed, float(depth), cv2.LINE_8, _SHIFT)
        cv2.fillConvexPoly(self.cover, fixed, 255, cv2.LINE_AA, _SHIFT)
        if bend:
            cv2.fillConvexPoly(self.bend, fixed, float(bend), cv2.LINE_8, _SHIFT)


def jitter(rng: np.random.Generator, palette: NDArray, count: int, spread: float = 0.16) -> NDArray:
    """count×3 colours: a random entry of the palette, brighter or darker, a little tinted."""
    base = palette[rng.integers(len(palette), size=count)]
    bright = np.exp(rng.normal(0, spread, (count, 1)))
    return np.clip(base * bright * np.exp(rng.normal(0, 0.03, (count, 3))), 0, 255)


def scatter_leaves(
    canvas: Canvas, rng: np.random.Generator, centres: NDArray, sizes: NDArray, colours: NDArray, depth: NDArray,
    flat: float = 1.0, bend: float = 0.0,
) -> None:  # fmt: skip
    """Leaves as pointed ovals; `flat` below 1 lays them on the ground. Painted in the order given."""
    count = len(centres)
    angle = rng.uniform(0, 2 * np.pi, count)
    slim = rng.uniform(0.28, 0.6, count)
    around = np.array([[-1, 0], [-0.45, 0.8], [0.35, 0.75], [1, 0], [0.35, -0.75], [-0.45, -0.8]])
    local = around[None] * np.stack([sizes, sizes * slim], axis=1)[:, None, :]
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x = local[..., 0] * c - local[..., 1] * s
    y = (local[..., 0] * s + local[..., 1] * c) * flat
    points = np.stack([x, y], axis=-1) + centres[:, None, :]
    for k in range(count):
        canvas.polygon(points[k], colours[k], depth[k], bend)


def clump(
    canvas: Canvas, rng: np.random.Generator, centre: tuple[float, float], radius: tuple[float, float], depth: float,
    palette: NDArray, leaf: float, count: int,
) -> None:  # fmt: skip
    """A bush or crown: leaves in an ellipse, dark inside and below, light towards the top."""
    turn, away = rng.uniform(0, 2 * np.pi, count), rng.random(count) ** 0.5
    lumps = 1 + 0.25 * np.sin(3 * turn + rng.uniform(0, 6)) + 0.15 * np.sin(7 * turn + rng.uniform(0, 6))
    x = centre[0] + radius[0] * away * lumps * np.cos(turn)
    y = centre[1] + radius[1] * away * lumps * np.sin(turn)
    order = np.argsort(away + rng.normal(0, 0.3, count))[::-1]
    x, y = x[order], y[order]
    height = np.clip((centre[1] - y) / radius[1], -1, 1)
    light = 0.34 + 0.30 * (np.arange(count) / count) + 0.26 * height + rng.normal(0, 0.10, count)
    colours = jitter(rng, palette, count, 0.18) * np.clip(light, 0.12, 1.25)[:, None]
    sizes = leaf * rng.uniform(0.5, 1.3, count)
    scatter_leaves(canvas, rng, np.stack([x, y], 1), sizes, np.clip(colours, 0, 255), np.full(count, depth), bend=1.2)


def tussock(
    canvas: Canvas,
    rng: np.random.Generator,
    base: tuple[float, float],
    height: float,
    depth: float,
    palette: NDArray,
    blades: int,
) -> None:
    """A tuft of bent, tapering blades, darker at the foot."""
    foot = np.array(base) + rng.normal(0, 1, (blades, 2)) * [height * 0.22, height * 0.03]
    length = height * rng.uniform(0.35, 1.1, blades)
    lean = rng.normal(0, 0.38, blades)
    curl = rng.normal(0, 0.35, blades) + lean * 0.8
    width = np.clip(height * 0.008 * rng.uniform(0.5, 1.6, blades), 0.3, 4.0)
    colours = jitter(rng, palette, blades, 0.28)
    stations = np.array([0.0, 0.4, 0.72, 1.0])
    for k in range(blades):
        bend = lean[k] + curl[k] * stations
        x = foot[k, 0] + length[k] * stations * np.sin(bend)
        y = foot[k, 1] - length[k] * stations * np.cos(bend)
        half = width[k] * np.array([1.0, 0.9, 0.6, 0.1])
        for i in range(3):
            quad = np.array(
                [
                    [x[i] - half[i], y[i]],
                    [x[i + 1] - half[i + 1], y[i + 1]],
                    [x[i + 1] + half[i + 1], y[i + 1]],
                    [x[i] + half[i], y[i]],
                ]
            )
            canvas.polygon(
                quad, np.clip(colours[k] * (0.45 + 0.28 * i), 0, 255), depth, bend=length[k] * (0.02 + 0.03 * i)
            )


def trunk(
    canvas: Canvas, rng: np.random.Generator, base: tuple[float, float], width: float, depth: float, bark: NDArray
) -> None:
    """A trunk from its foot to above the frame: rough outline, furrowed bark, round shading, roots at the foot."""
    frame_height, frame_width = canvas.depth.shape
    bottom = min(int(base[1]), frame_height)
    if bottom < 4:
        return
    rows = np.arange(bottom, dtype=np.float32)
    lean, wobble = rng.normal(0, 0.05), fractal_noise(rng, bottom, 2, max(width * 3, 8), 3)
    centre = base[0] + (base[1] - rows) * lean + wobble[:, 0] * width * 0.10
    rise = (base[1] - rows) / max(width, 1.0)
    half = width / 2 * (1 + 0.07 * wobble[:, 1] + 0.55 * np.exp(-rise / 0.5) - 0.02 * np.clip(rise, 0, 12))
    x0, x1 = int(max(0, (centre - half).min() - 2)), int(min(frame_width, (centre + half).max() + 3))
    if x1 - x0 < 2:
        return
    across = (np.arange(x0, x1, dtype=np.float32)[None, :] - centre[:, None]) / half[:, None]
    furrow = fractal_noise(rng, bottom, x1 - x0, max(width * 0.45, 4), 5, 0.75)
    fine = cv2.resize(rng.standard_normal((bottom // 3 + 2, x1 - x0)).astype(np.float32), (x1 - x0, bottom))
    side = rng.uniform(-0.5, 0.5)
    roundness = np.sqrt(np.clip(1 - (across - side * 0.3) ** 2, 0.03, 1))
    light = (0.25 + 0.75 * roundness) * np.exp(0.16 * furrow + 0.12 * fine)
    colour = np.clip(bark[None, None, :] * light[..., None], 0, 255)
    alpha = np.clip((1 - np.abs(across)) * half[:, None] + 0.5, 0, 1)
    alpha *= np.clip((base[1] - rows) / 3 + 0.15 * furrow.mean(axis=1), 0, 1)[:, None]
    region = (slice(0, bottom), slice(x0, x1))
    mixed = canvas.colour[region] * (1 - alpha[..., None]) + colour * alpha[..., None]
    canvas.colour[region] = mixed.astype(np.uint8)
    canvas.depth[region] = np.where(alpha > 0.5, depth, canvas.depth[region])
    canvas.cover[region] = np.maximum(canvas.cover[region], (alpha * 255).astype(np.uint8))
    canvas.bend[region] = np.where(alpha > 0.5, 0.0, canvas.bend[region])


def rock(
    canvas: Canvas, rng: np.random.Generator, base: tuple[float, float], size: float, depth: float, stone: NDArray
) -> None:
    """A half-buried stone with a lumpy outline, lit from above, mottled."""
    half_w, half_h = size, size * rng.uniform(0.45, 0.75)
    x0, x1 = int(base[0] - half_w * 1.4), int(base[0] + half_w * 1.4) + 1
    y0, y1 = int(base[1] - half_h * 1.5), int(base[1] + half_h * 0.45) + 1
    height, width = canvas.depth.shape
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height or x1 - x0 < 4 or y1 - y0 < 4:
        return
    u = (np.arange(x0, x1, dtype=np.float32) - base[0])[None, :] / half_w
    v = (np.arange(y0, y1, dtype=np.float32) - base[1])[:, None] / half_h
    lump = fractal_noise(rng, y1 - y0, x1 - x0, max(size * 0.7, 4), 4, 0.6)
    dome = 1 - (u**2 + v**2) + 0.22 * lump
    alpha = np.clip(dome * size * 0.5 + 0.5, 0, 1) * np.clip((0.42 - v + 0.06 * lump) * half_h * 0.5, 0, 1)
    relief = cv2.GaussianBlur(np.clip(dome, 0, 1) ** 0.5 + 0.07 * lump, (0, 0), max(0.6, size / 40))
    slope_y, slope_x = np.gradient(relief)
    slope = np.clip((slope_x * rng.uniform(-0.6, 0.6) - slope_y) * size * 0.25, -0.28, 0.28)
    light = 0.60 - slope - 0.22 * np.clip(v + 0.3, 0, 1)
    mottled = np.exp(0.14 * fractal_noise(rng, y1 - y0, x1 - x0, max(size * 0.2, 3), 3, 0.8))
    colour = np.clip(stone[None, None] * (np.clip(light, 0.15, 1.2) * mottled)[..., None], 0, 255)
    region = (slice(y0, y1), slice(x0, x1))
    shadow = 1 - 0.5 * np.clip(1.25 - np.sqrt(u**2 * 0.8 + (v / 0.55) ** 2), 0, 1)
    under = canvas.colour[region] * shadow[..., None]
    canvas.colour[region] = (under * (1 - alpha[..., None]) + colour * alpha[..., None]).astype(np.uint8)
    canvas.depth[region] = np.where(alpha > 0.5, depth, canvas.depth[region])
    canvas.cover[region] = np.maximum(canvas.cover[region], (alpha * 255).astype(np.uint8))
