"""From a posed body to pixels: camera, light on fur, and the layer that a scene composes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic import anatomy
from modelzoo.synthetic.anatomy import Mesh
from modelzoo.synthetic.coat import Coat
from modelzoo.synthetic.noise import FloatArray, smoothstep
from modelzoo.synthetic.raster import rasterise

TORSO_METRES = 0.92


@dataclass(frozen=True)
class Camera:
    """Pinhole at (0, 0, height) metres looking along +y, tilted down by `pitch` radians. World z is up."""

    width: int
    height: int
    focal: float
    centre_x: float
    centre_y: float
    above_ground: float = 0.7
    pitch: float = 0.08

    def project(self, world: NDArray) -> tuple[NDArray, NDArray]:
        """Pixel x, y (N×2) and distance along the axis (N) of N×3 world points."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        z = world[:, 2] - self.above_ground
        depth = np.maximum(world[:, 1] * c - z * s, 0.05)
        up = world[:, 1] * s + z * c
        x = self.centre_x + self.focal * world[:, 0] / depth
        return np.stack([x, self.centre_y - self.focal * up / depth], axis=1), depth

    def ground_depth(self, row: NDArray) -> NDArray:
        """Distance along the axis of the ground seen at pixel rows; infinite at and above the horizon."""
        slope = (row - self.centre_y) / self.focal
        drop = slope * np.cos(self.pitch) + np.sin(self.pitch)
        return np.where(drop > 1e-4, self.above_ground / np.maximum(drop, 1e-4), np.inf)


@dataclass(frozen=True)
class Light:
    """Light of one photo. Colours are linear RGB strengths; `sun` points towards the sun (unit, world).

    kind: "day", "infrared" or "flash" (white flash at night). `flash` is the strength at one metre squared.
    """

    kind: str
    sky: tuple[float, float, float] = (0.62, 0.66, 0.72)
    bounce: tuple[float, float, float] = (0.15, 0.12, 0.09)
    sun_colour: tuple[float, float, float] = (0.9, 0.82, 0.68)
    sun: tuple[float, float, float] = (0.3, -0.5, 0.8)
    flash: float = 8.0


@dataclass(frozen=True)
class AnimalLayer:
    """A rendered animal in a window whose top-left pixel is (left, top) of the frame (may lie outside it).

    colour: h×w×3 float32 linear; mask: h×w bool; alpha: h×w float32 with furry edges; depth: h×w float32 metres
    (inf outside); coat: h×w×2 float32 chart place in [0,1]² (x right, y down) on the seen flank, NaN elsewhere;
    pattern: h×w float32 dark marks of the texture as sampled; glow: h×w float32, where the eye throws light back.
    """

    left: int
    top: int
    colour: FloatArray
    mask: NDArray[np.bool_]
    alpha: FloatArray
    depth: FloatArray
    coat: FloatArray
    pattern: FloatArray
    glow: FloatArray


def place(mesh: Mesh, x: float, y: float, heading: float, scale: float = TORSO_METRES) -> tuple[NDArray, NDArray]:
    """World points and normals of a mesh whose body centre stands at (x, y), looking along `heading`
    (radians anticlockwise from world +x seen from above; π looks to the left of the picture)."""
    c, s = np.cos(heading), np.sin(heading)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    centred = (mesh.vertices - np.array([0.5, 0.0, 0.0])) * scale
    return centred @ turn.T + [x, y, 0.0], mesh.normals @ turn.T


def _window(points: NDArray, camera: Camera) -> tuple[int, int, int, int]:
    """left, top, width, height around the points, at most half a frame outside the frame."""
    low = np.floor(points.min(axis=0)).astype(int) - 6
    high = np.ceil(points.max(axis=0)).astype(int) + 7
    half = np.array([camera.width // 2, camera.height // 2])
    frame = np.array([camera.width, camera.height])
    low, high = np.clip(low, -half, frame + half - 1), np.clip(high, -half + 1, frame + half)
    return int(low[0]), int(low[1]), max(int(high[0] - low[0]), 1), max(int(high[1] - low[1]), 1)


def _masked_blur(image: NDArray, mask: NDArray, sigma: float) -> NDArray:
    """Gaussian mean over the pixels of the mask only (wide ones on a smaller image, which looks the same)."""
    layers = image if image.ndim == 3 else image[..., None]
    stack: FloatArray = np.dstack([layers * mask[..., None], mask]).astype(np.float32)
    shrink = max(1, int(sigma / 2.5))
    if shrink > 1:
        small = (max(1, mask.shape[1] // shrink), max(1, mask.shape[0] // shrink))
        stack = cv2.GaussianBlur(cv2.resize(stack, small, interpolation=cv2.INTER_AREA), (0, 0), sigma / shrink)
        stack = cv2.resize(stack, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR)
    else:
        stack = cv2.GaussianBlur(stack, (0, 0), sigma)
    mean = stack[..., :-1] / np.maximum(stack[..., -1:], 1e-4)
    return mean if image.ndim == 3 else mean[..., 0]


def fur_light(light: Light, normal: FloatArray, view: FloatArray, depth: FloatArray, shade: FloatArray) -> FloatArray:
    """Light on fur, h×w×3, for unit normals, unit directions to the camera, distances, and sun visibility h×w."""
    up = normal[..., 2:3]
    if light.kind == "day":
        sky, bounce = np.array(light.sky, np.float32), np.array(light.bounce, np.float32)
        around = sky * (0.5 + 0.5 * up) + bounce * (0.5 - 0.5 * up)
        facing = normal @ np.array(light.sun, np.float32)
        direct = np.clip((facing + 0.25) / 1.25, 0, None)[..., None] * shade[..., None]
        return np.asarray(around + np.array(light.sun_colour, np.float32) * direct, dtype=np.float32)
    facing = np.clip((normal * view).sum(-1), 0, 1)
    strength = light.flash / np.maximum(depth, 0.5) ** 2 * (0.16 + 0.84 * facing)
    return np.asarray(np.repeat(strength[..., None], 3, axis=2), dtype=np.float32)


@lru_cache(maxsize=6)
def _texture(coat: Coat, softness: float, infrared: bool) -> tuple[FloatArray, FloatArray]:
    """H×W×4 float32, colour (at night infrared reflectance thrice) and marks, blurred by `softness` texels; the eye."""
    colour = np.repeat(coat.infrared[..., None], 3, axis=2) if infrared else coat.albedo
    stack = np.dstack([colour, coat.pattern])
    return (cv2.GaussianBlur(stack, (0, 0), softness) if softness > 0 else stack), coat.eye


class _Surface:
    """The visible skin of a placed mesh in its window: which pixels, and any vertex value spread over them."""

    def __init__(self, mesh: Mesh, world: tuple[NDArray, NDArray], camera: Camera) -> None:
        points, depth = camera.project(world[0])
        self.mesh, self.world, self.camera = mesh, world, camera
        self.left, self.top, self.width, self.height = _window(points, camera)
        self.parts = rasterise(points - [self.left, self.top], depth, mesh.faces, self.width, self.height)
        self.distance = float(np.median(depth))
        self._corner = mesh.faces[self.parts.face]
        self.at = (self.parts.row, self.parts.column)
        self.mask = np.zeros((self.height, self.width), bool)
        self.mask[self.at] = True
        self.depth = np.full((self.height, self.width), np.inf, np.float32)
        self.depth[self.at] = self.parts.depth
        self.chart = self.spread(mesh.chart)

    def spread(self, values: NDArray) -> FloatArray:
        """Vertex values V×c interpolated at the covered pixels, N×c."""
        mixed = sum(values.astype(np.float32)[self._corner[:, k]] * self.parts.weights[:, k : k + 1] for k in range(3))
        return np.asarray(mixed, dtype=np.float32)

    def image(self, values: NDArray) -> FloatArray:
        """N×c values of covered pixels as h×w×c, zero elsewhere."""
        canvas = np.zeros((self.height, self.width, values.shape[1]), np.float32)
        canvas[self.at] = values
        return canvas

    def unit_chart(self) -> FloatArray:
        """Chart places of covered pixels as fractions of the texture, N×2 (x right, y down)."""
        x = (self.chart[:, 0] - anatomy.CHART_X0) / anatomy.CHART_WIDTH
        y = (anatomy.CHART_T0 + anatomy.CHART_HEIGHT - self.chart[:, 1]) / anatomy.CHART_HEIGHT
        return np.stack([x, y], axis=1).astype(np.float32)


def render_animal(
    mesh: Mesh, world: tuple[NDArray, NDArray], camera: Camera, coats: tuple[Coat, Coat], light: Light, seen: int,
    fur: np.random.Generator, shade: FloatArray | None = None,
) -> AnimalLayer:  # fmt: skip
    """Draw a placed mesh. coats: left and right flank; seen: the flank whose coat places are reported; shade: sun
    visibility of the whole frame H×W (1 sunlit), else all sunlit; fur: generator for the hair at the outline."""
    surface = _Surface(mesh, world, camera)
    texels = coats[0].albedo.shape[1] / anatomy.CHART_WIDTH
    scale = camera.focal * TORSO_METRES / surface.distance / texels
    unit, flank = surface.unit_chart(), mesh.face_flank[surface.parts.face]
    skin = surface.image(_skin(unit, flank, coats, scale, light.kind == "infrared"))
    coat_place = np.full((surface.height, surface.width, 2), np.nan, np.float32)
    own = flank == seen
    coat_place[surface.parts.row[own], surface.parts.column[own]] = unit[own]
    colour = _bleed(skin[..., :3] * _lit(surface, light, shade), surface.mask)
    return AnimalLayer(
        surface.left, surface.top, colour, surface.mask, _furry(surface.mask, fur, scale), surface.depth, coat_place,
        skin[..., 3], skin[..., 4],
    )  # fmt: skip


def _skin(unit: FloatArray, flank: NDArray, coats: tuple[Coat, Coat], scale: float, infrared: bool) -> FloatArray:
    """Texture under N chart places, N×5: colour, marks, eye. `scale`: pixels per texel."""
    height, width = coats[0].pattern.shape
    softness = round(0.45 / scale, 1) if scale < 0.8 else 0.0
    found = np.zeros((len(flank), 5), np.float32)
    for side in (anatomy.LEFT, anatomy.RIGHT):
        chosen = np.flatnonzero(flank == side)
        layers = _texture(coats[side], softness, infrared)
        for first in range(0, len(chosen), 30_000):  # OpenCV's remap takes at most 32767 rows
            rows = chosen[first : first + 30_000]
            x, y = unit[rows, :1] * np.float32(width) - 0.5, unit[rows, 1:] * np.float32(height) - 0.5
            parts = [cv2.remap(layer, x, y, cv2.INTER_LINEAR).reshape(len(rows), -1) for layer in layers]
            found[rows] = np.concatenate(parts, axis=1)
    return found


def _lit(surface: _Surface, light: Light, shade: FloatArray | None) -> FloatArray:
    """Light on every pixel of the window: softened normals, folds, insides of legs and feet darkened."""
    height, width, mask = surface.height, surface.width, surface.mask
    size = max(width, 60) / 100.0
    normal = surface.image(surface.spread(surface.world[1]))
    normal = 0.55 * normal + 0.45 * _masked_blur(normal, mask, 1.6 * size)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-6)
    position = surface.image(surface.spread(surface.world[0]))
    view = np.array([0, 0, surface.camera.above_ground], np.float32) - position
    view /= np.maximum(np.linalg.norm(view, axis=2, keepdims=True), 1e-6)
    sun = np.ones((height, width), np.float32)
    if shade is not None:
        rows = np.clip(np.arange(height) + surface.top, 0, shade.shape[0] - 1)
        columns = np.clip(np.arange(width) + surface.left, 0, shade.shape[1] - 1)
        sun = shade[np.ix_(rows, columns)]
    depth = np.where(mask, surface.depth, 0)
    lit = fur_light(light, normal, view, np.where(mask, depth, 1.0).astype(np.float32), sun)
    fold = np.clip((depth - _masked_blur(depth, mask, 1.3 * size)) / 0.10, -1, 1)
    factor = 1 - 0.65 * smoothstep(0.15, 1.0, fold)
    inside = (surface.chart[:, 0] > anatomy.INSIDE_FROM) & (surface.chart[:, 1] < anatomy.TAIL_T0 - 0.075)
    factor[surface.at] *= np.where(inside, np.float32(0.58), np.float32(1.0))
    if light.kind == "day":
        factor *= 0.78 * (0.72 + 0.28 * smoothstep(0.02, 0.30, position[..., 2]))
    return np.asarray(lit * factor[..., None], dtype=np.float32)


def _furry(mask: NDArray, fur: np.random.Generator, scale: float) -> FloatArray:
    """A soft outline, ragged by single hairs."""
    sigma = float(np.clip(1.1 * scale, 0.6, 1.6))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
    hair = cv2.GaussianBlur(fur.standard_normal(mask.shape, dtype=np.float32), (0, 0), 0.7) * 0.55
    return smoothstep(0.22, 0.80, soft + hair * soft * (1 - soft))


def _bleed(colour: NDArray, mask: NDArray) -> FloatArray:
    """Carry the colour of the edge a few pixels outwards, so that soft edges do not darken."""
    near = cv2.blur(colour * mask[..., None], (7, 7)) / np.maximum(
        cv2.blur(mask.astype(np.float32), (7, 7)), 1e-3
    )[..., None]  # fmt: skip
    return np.where(mask[..., None], colour, near).astype(np.float32)
