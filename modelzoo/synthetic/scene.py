"""The static view of one camera: what stands in front of it on every day of the survey."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic.animal import Camera
from modelzoo.synthetic.flora import Canvas, clump, jitter, rock, scatter_leaves, trunk, tussock
from modelzoo.synthetic.noise import FloatArray, fractal_noise, noise_tile, rng_for, sample_wrapped, smoothstep

Palette = dict[str, NDArray]
_FARTHEST = 28.0


def _colours(*entries: tuple[int, int, int]) -> NDArray:
    return np.array(entries, np.float32)


HABITATS: tuple[Palette, ...] = (
    {
        "soil": _colours((146, 112, 82)), "path": _colours((172, 136, 102)), "far": _colours((104, 96, 66)),
        "litter": _colours((150, 118, 80), (118, 88, 60), (176, 148, 108), (134, 98, 62), (96, 74, 54)),
        "grass": _colours((182, 164, 114), (160, 142, 92), (198, 182, 138), (130, 122, 72)),
        "leaf": _colours((104, 108, 62), (128, 118, 72), (88, 96, 52)), "bark": _colours((112, 98, 84)),
        "stone": _colours((150, 138, 124)), "amount": np.array([0.9, 1.1, 0.5, 0.4]),
    },
    {
        "soil": _colours((98, 80, 62)), "path": _colours((124, 102, 80)), "far": _colours((62, 76, 46)),
        "litter": _colours((112, 84, 56), (140, 106, 68), (88, 66, 46), (120, 100, 62), (82, 84, 48)),
        "grass": _colours((104, 112, 70), (124, 126, 82), (92, 98, 60), (150, 140, 98)),
        "leaf": _colours((74, 90, 52), (94, 108, 64), (62, 76, 46), (108, 114, 72)), "bark": _colours((90, 80, 68)),
        "stone": _colours((112, 110, 104)), "amount": np.array([1.3, 0.6, 1.2, 0.2]),
    },
    {
        "soil": _colours((172, 152, 122)), "path": _colours((192, 172, 142)), "far": _colours((128, 124, 98)),
        "litter": _colours((160, 136, 102), (190, 172, 136), (128, 108, 82)),
        "grass": _colours((194, 180, 134), (172, 158, 108), (150, 146, 96), (206, 194, 156)),
        "leaf": _colours((112, 114, 78), (134, 130, 92), (94, 100, 64)), "bark": _colours((126, 114, 100)),
        "stone": _colours((158, 150, 140)), "amount": np.array([0.4, 1.0, 0.5, 1.4]),
    },
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """Reflectances in 8-bit sRGB and depths in metres. Front things may hide an animal that passes behind them.

    back H×W×3, back_depth H×W; front H×W×3, front_cover H×W uint8, front_depth H×W; sway H×W float32 pixels that
    leaves and blades move at most; trail: distance in metres of the path that animals use; dapple: share of shade under
    the trees (0 open); tile: noise for their shadows.
    """

    camera: Camera
    back: NDArray[np.uint8]
    back_depth: FloatArray
    front: NDArray[np.uint8]
    front_cover: NDArray[np.uint8]
    front_depth: FloatArray
    sway: FloatArray
    trail: float
    dapple: float
    tile: FloatArray

    def place(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """World x, distance and height above the ground of every pixel of the back layer, in metres."""
        columns = (np.arange(self.camera.width, dtype=np.float32) - self.camera.centre_x) / self.camera.focal
        rows = (self.camera.centre_y - np.arange(self.camera.height, dtype=np.float32)) / self.camera.focal
        c, s = np.float32(np.cos(self.camera.pitch)), np.float32(np.sin(self.camera.pitch))
        height = self.camera.above_ground + self.back_depth * (rows[:, None] * c - s)
        return columns[None, :] * self.back_depth, self.back_depth, np.maximum(height, 0)


class _Painter:
    """Builds the two canvases of a scene, far to near."""

    def __init__(
        self, rng: np.random.Generator, look: np.random.Generator, habitat: Palette, width: int, height: int
    ) -> None:
        self.rng, self.habitat, self.width, self.height = rng, habitat, width, height
        self.unit = width / 1280
        self.camera = Camera(
            width, height, float(rng.uniform(1080, 1250)) * self.unit, width / 2, height / 2,
            float(rng.uniform(0.55, 0.85)), float(rng.uniform(0.04, 0.12)),
        )  # fmt: skip
        self.trail = float(look.uniform(3.0, 4.3))
        self.trail_width = float(look.uniform(0.7, 1.3))
        self.back = Canvas.blank(height, width, _FARTHEST)
        self.front = Canvas.blank(height, width, np.inf)
        self.depth_of_row = self.camera.ground_depth(np.arange(height, dtype=np.float64))
        self.horizon = int(np.searchsorted(-self.depth_of_row, -_FARTHEST))

    def row_at(self, depth: float) -> float:
        """Pixel row of the ground at a distance."""
        point = np.array([[0.0, self._y_of(depth), 0.0]])
        return float(self.camera.project(point)[0][0, 1])

    def _y_of(self, depth: float) -> float:
        c, s = np.cos(self.camera.pitch), np.sin(self.camera.pitch)
        return (depth - self.camera.above_ground * s) / c

    def far(self) -> None:
        """Distant vegetation and glimpses of sky."""
        height, rng = max(self.horizon + 12, 8), self.rng
        height = min(height, self.height)
        mass = fractal_noise(rng, height, self.width, 150 * self.unit, 7, 0.78)
        tone = np.exp(0.36 * mass)
        rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        colour = self.habitat["far"][0] * (0.50 * tone * (1.0 - 0.2 * rows))[..., None]
        openness = rng.uniform(-0.6, 0.7)
        gaps = fractal_noise(rng, height, self.width, 42 * self.unit, 5, 0.8) + openness - 2.2 * rows - 0.25
        sky = np.array([206, 212, 214], np.float32)
        colour += (sky - colour) * (smoothstep(0.1, 1.1, gaps) * 0.9)[..., None]
        self.back.colour[:height] = np.clip(colour, 0, 255).astype(np.uint8)
        self._far_leaves(height)
        blurred = cv2.GaussianBlur(self.back.colour[:height], (0, 0), 1.2 * self.unit).astype(np.float32)
        haze = np.array([168, 174, 166], np.float32)
        self.back.colour[:height] = (blurred + (haze - blurred) * rng.uniform(0.05, 0.18)).astype(np.uint8)

    def _far_leaves(self, height: int) -> None:
        """Thickets and crowns at the back, each a heap of small leaves with its own tint and depth of shade."""
        rng = self.rng
        for _ in range(int(rng.integers(26, 42))):
            x, y = rng.uniform(-0.05, 1.05) * self.width, height * float(rng.beta(2.2, 1.0))
            wide, tall = self.unit * rng.uniform(30, 150), self.unit * rng.uniform(25, 90)
            palette = self.habitat["leaf"] * rng.uniform(0.45, 0.95)
            palette = palette + (palette.mean(axis=1, keepdims=True) - palette) * 0.3
            clump(self.back, rng, (x, y), (wide, tall), 16.0, palette, self.unit * rng.uniform(2.0, 4.5), 150)
        for _ in range(int(rng.integers(8, 18))):
            x, y = rng.uniform(0, self.width), rng.uniform(0, height)
            run, rise = self.unit * rng.normal(0, 60), self.unit * rng.uniform(40, 200)
            half = self.unit * rng.uniform(0.4, 1.6)
            stem = np.array([[x - half, y], [x + run - half, y - rise], [x + run + half, y - rise], [x + half, y]])
            self.back.polygon(stem, jitter(rng, self.habitat["bark"], 1, 0.3)[0] * rng.uniform(0.25, 0.7), 16.0)

    def ground(self) -> None:
        """Soil with a trodden path, mottled at every scale that a pixel can show."""
        top = max(self.horizon, 0)
        depth = self.depth_of_row[top:].astype(np.float32)[:, None]
        columns = (np.arange(self.width, dtype=np.float32) - self.camera.centre_x)[None, :] / self.camera.focal
        x, y = columns * depth, np.broadcast_to(depth, (len(depth), self.width))
        tile = noise_tile(self.rng, 512, 4)
        mottled = np.zeros(x.shape, np.float32)
        footprint = depth / self.camera.focal * np.maximum(depth / self.camera.above_ground * 0.5, 1.0)
        for octave, metres in enumerate((1.6, 0.6, 0.22, 0.085, 0.034, 0.014)):
            scale = 4.0 / metres
            layer = sample_wrapped(tile, x * scale + 37 * octave, y * scale + 91 * octave)
            mottled += layer * smoothstep(1.2, 0.35, footprint / metres) * (0.55, 0.45, 0.42, 0.45, 0.5, 0.5)[octave]
        bends = sample_wrapped(tile, x * 1.3, np.zeros_like(x) + 11) * 0.16
        away = np.abs(y - self.trail - bends + 0.06 * mottled) / (self.trail_width / 2)
        path = smoothstep(1.35, 0.75, away)
        soil, trodden = self.habitat["soil"][0], self.habitat["path"][0]
        colour = soil + (trodden - soil) * path[..., None]
        colour = colour * np.exp((0.21 - 0.07 * path) * mottled)[..., None]
        colour = colour * (0.80 + 0.2 * smoothstep(1.2, 3.0, y))[..., None]
        haze = smoothstep(6, _FARTHEST, y)[..., None] * 0.45
        far = np.broadcast_to(self.habitat["far"][0] * 0.9, colour.shape)
        colour = colour + (far - colour) * haze
        fade = smoothstep(0, 14 * self.unit, np.arange(len(depth), dtype=np.float32))[:, None, None]
        before = self.back.colour[top:].astype(np.float32)
        self.back.colour[top:] = np.clip(before * (1 - fade) + colour * fade, 0, 255).astype(np.uint8)
        self.back.depth[top:] = np.minimum(y, _FARTHEST)

    def litter(self) -> None:
        """Dead leaves, twigs and pebbles on the ground, fewer on the path."""
        rng, amount = self.rng, self.habitat["amount"]
        count = int(6500 * amount[0] * min(1.0, 1.4 * self.unit))  # small frames show fewer
        row = self.horizon + 10 + (self.height - self.horizon - 10) * rng.random(count) ** 0.8
        column = rng.random(count) * self.width
        depth = self.camera.ground_depth(row)
        keep = (np.abs(depth - self.trail) > self.trail_width * 0.45) | (rng.random(count) < 0.25)
        keep &= np.isfinite(depth) & (depth < 16)
        order = np.argsort(-depth[keep])
        row, column, depth = row[keep][order], column[keep][order], depth[keep][order]
        size = self.camera.focal / depth * rng.gamma(3, 0.0055, len(depth))
        colours = jitter(rng, self.habitat["litter"], len(depth), 0.26)
        colours += (colours.mean(axis=1, keepdims=True) - colours) * 0.15
        colours *= (0.75 + 0.25 * rng.random(len(depth)))[:, None]
        shadow = np.stack([column + size * 0.12, row + size * 0.14], 1)
        flat = 0.42
        for place, tints, grow in ((shadow, colours * 0.35, 1.0), (np.stack([column, row], 1), colours, 0.95)):
            sub = np.random.default_rng(7)
            scatter_leaves(self.back, sub, place, size * grow, np.clip(tints, 0, 255), depth, flat)
        for _ in range(int(40 * amount[0])):
            r = rng.uniform(self.horizon + 25, self.height)
            reach = self.camera.focal / float(self.camera.ground_depth(np.array(r))) * rng.uniform(0.05, 0.3)
            c, slope = rng.uniform(0, self.width), rng.uniform(-0.5, 0.5)
            half = max(0.4, reach * 0.009)
            quad = np.array(
                [
                    [c, r - half],
                    [c + reach, r + slope * reach * 0.4 - half],
                    [c + reach, r + slope * reach * 0.4 + half],
                    [c, r + half],
                ]
            )
            self.back.polygon(
                quad, jitter(rng, self.habitat["litter"], 1, 0.3)[0], float(self.camera.ground_depth(np.array(r)))
            )

    def roughen(self) -> None:
        """Fine dirt and small shadows over soil and leaves, so that nothing stays flat; the nearest out of focus."""
        top = max(self.horizon + 6, 0)
        size = self.height - top
        if size < 2:
            return
        broad = fractal_noise(self.rng, size, self.width, 90 * self.unit, 4, 0.7, aspect=2.2)
        fine = fractal_noise(self.rng, size, self.width, 7 * self.unit, 3, 0.9, aspect=1.5)
        ground = self.back.colour[top:].astype(np.float32)
        ground *= np.exp(0.13 * broad + 0.17 * fine)[..., None]
        near = smoothstep(2.6, 1.4, self.depth_of_row[top:])[:, None, None]
        ground += (cv2.GaussianBlur(ground, (0, 0), 1.8 * self.unit) - ground) * near
        self.back.colour[top:] = np.clip(ground, 0, 255).astype(np.uint8)

    def rocks(self) -> None:
        """Stones from far to near; those before the path can hide feet."""
        count = int(self.rng.poisson(26 * self.habitat["amount"][3]))
        depths = np.sort(self.rng.uniform(1.7, 12, count))[::-1]
        for depth in depths:
            size = self.camera.focal / depth * float(np.clip(self.rng.gamma(1.6, 0.05), 0.02, 0.4))
            near = abs(depth - self.trail) < self.trail_width * 0.6
            if near and self.rng.random() < 0.85:
                continue
            canvas = self.front if depth < self.trail else self.back
            stone = jitter(self.rng, self.habitat["stone"], 1, 0.15)[0]
            rock(
                canvas,
                self.rng,
                (self.rng.uniform(0, self.width), self.row_at(float(depth))),
                size,
                float(depth),
                stone,
            )

    def growth(self) -> None:
        """Trunks, bushes and grass in the order of their distance, beyond and before the path."""
        rng, amount = self.rng, self.habitat["amount"]
        things: list[tuple[float, str]] = [(float(d), "trunk") for d in rng.uniform(5.5, 18, rng.integers(4, 10))]
        things += [(float(d), "bush") for d in rng.uniform(5.2, 15, int(rng.integers(9, 16) * amount[2]) + 3)]
        things += [(float(d), "grass") for d in 4.6 + 13 * rng.random(int(150 * amount[1])) ** 1.3]
        near = int(rng.integers(10, 24) * amount[1])
        things += [(float(d), "grass") for d in 1.25 + (self.trail - 1.6) * rng.random(near) ** 0.6]
        if rng.random() < 0.3:
            things.append((float(rng.uniform(1.9, 2.6)), "post"))
        for depth, kind in sorted(things, reverse=True):
            if abs(depth - self.trail) < self.trail_width * 0.5:
                continue
            canvas = self.front if depth < self.trail + 0.5 else self.back
            self._thing(canvas, depth, kind)

    def _thing(self, canvas: Canvas, depth: float, kind: str) -> None:
        rng, metre = self.rng, self.camera.focal / depth
        row, column = self.row_at(depth), float(rng.uniform(-0.05, 1.05) * self.width)
        dim = float(np.clip(1.15 - depth / 30, 0.6, 1.0))
        if kind == "trunk":
            bark = jitter(rng, self.habitat["bark"], 1, 0.2)[0] * dim
            trunk(canvas, rng, (column, row), metre * float(np.clip(rng.gamma(3, 0.06), 0.05, 0.5)), depth, bark)
        elif kind == "post":
            column = float(rng.choice([rng.uniform(0.0, 0.10), rng.uniform(0.9, 1.0)]) * self.width)
            trunk(canvas, rng, (column, row), metre * float(rng.uniform(0.12, 0.22)), depth, self.habitat["bark"][0])
        elif kind == "bush":
            tall, wide = metre * rng.uniform(0.35, 0.9), metre * rng.uniform(0.4, 1.2)
            count = int(np.clip(rng.uniform(250, 520) * (wide * tall / (130 * self.unit) ** 2) ** 0.5, 120, 700))
            leaf = max(1.2 * self.unit, metre * 0.034)
            clump(canvas, rng, (column, row - tall * 0.7), (wide, tall), depth, self.habitat["leaf"] * dim, leaf, count)
        else:
            near = depth < self.trail
            tall = metre * float(np.clip(rng.gamma(5, 0.055), 0.08, 0.55 if near else 0.8))
            blades = int(np.clip(tall * 0.55, 14, 60) * (0.7 if near else 1.0))
            tussock(canvas, rng, (column, row), tall, depth, self.habitat["grass"] * dim, blades)


@lru_cache(maxsize=3)
def camera_scene(seed: int, station: str, camera: str, width: int, height: int) -> Scene:
    """The view of a camera, the same for the same arguments; both cameras of a station share path and vegetation."""
    look = rng_for("station", seed, station)
    habitat = HABITATS[int(look.integers(len(HABITATS)))]
    painter = _Painter(rng_for("scene", seed, station, camera), look, habitat, width, height)
    painter.far()
    painter.ground()
    painter.litter()
    painter.roughen()
    painter.rocks()
    painter.growth()
    bend = cv2.GaussianBlur(np.maximum(painter.back.bend, painter.front.bend), (0, 0), 2.0)
    return Scene(
        painter.camera, painter.back.colour, painter.back.depth, painter.front.colour, painter.front.cover,
        painter.front.depth, np.minimum(bend, 5.0 * painter.unit), painter.trail, float(look.uniform(0.2, 1.0)),
        noise_tile(painter.rng, 512, 16),
    )  # fmt: skip
