"""Crops without a scene: one animal filling the picture, with exact coat places, for benchmarks and pretraining."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic import anatomy, sensor
from modelzoo.synthetic.anatomy import Pose, build_mesh
from modelzoo.synthetic.animal import AnimalLayer, Camera, Light, place, render_animal
from modelzoo.synthetic.coat import LEFT_FLANK, RIGHT_FLANK, Coat, coat_texture
from modelzoo.synthetic.noise import FloatArray, fractal_noise, rng_for

CROP_RESOLUTION = 320  # texels per torso length; a crop's torso is rarely wider
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Crop:
    """rgb H×W×3 uint8; mask H×W bool; coat H×W×2 float32 (see AnimalLayer.coat); who, which
    flank and view; kind of light."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    coat: FloatArray
    individual: int
    flank: str
    view: int
    kind: str


def random_pose(rng: np.random.Generator, phase: float | None = None) -> Pose:
    """A pose of an animal that passes a camera: mostly walking, at times stalking or standing with raised head."""
    stalking, looking = rng.random() < 0.12, rng.random() < 0.2
    neck = rng.normal(-0.16, 0.11) - 0.12 * stalking + 0.25 * looking
    return Pose(
        phase=float(rng.random() if phase is None else phase),
        stride=float(rng.uniform(0.10, 0.18)),
        crouch=float(rng.uniform(0.05, 0.09) if stalking else rng.uniform(0.0, 0.02)),
        neck_pitch=float(np.clip(neck, -0.5, 0.3)),
        head_pitch=float(np.clip(rng.normal(-0.12 - 0.4 * neck, 0.10), -0.5, 0.4)),
        head_turn=float(rng.normal(0, 0.16)),
        spine_bend=float(rng.normal(0, 0.09)),
        tail_lift=float(np.clip(rng.normal(0.05, 0.25), -0.3, 0.9)),
        tail_curl=float(rng.uniform(0.4, 1.5)),
        girth=float(rng.uniform(0.97, 1.10)),
    )


def random_light(rng: np.random.Generator, kind: str) -> Light:
    """Light of a kind: day with any sun or overcast, infrared or white flash of varied strength."""
    if kind != "day":
        return Light(kind, flash=float(np.exp(rng.normal(np.log(9.0), 0.30))))
    overcast = rng.random() < 0.35
    azimuth, elevation = rng.uniform(-np.pi, 0.0), rng.uniform(0.35, 1.2)
    sun = (np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation))
    warm = rng.uniform(-0.5, 1.0) * (1.2 - elevation / 1.2)
    strength = 0.05 if overcast else rng.uniform(0.5, 1.1)
    colour = (strength * (1 + 0.12 * warm), strength, strength * (1 - 0.22 * warm))
    return Light("day", sun_colour=colour, sun=(float(sun[0]), float(sun[1]), float(sun[2])))


def coats_of(seed: int, individual: int, resolution: int) -> tuple[Coat, Coat]:
    """Left and right coat of an individual."""
    return (
        coat_texture(seed, individual, "left", resolution),
        coat_texture(seed, individual, "right", resolution),
    )


def fit_camera(camera: Camera, points: NDArray, rng: np.random.Generator) -> Camera:
    """The camera cropped and scaled so that the points fill its frame with a small uneven margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([camera.width, camera.height]) * rng.uniform(0.86, 0.97)
    scale = float((room / (high - low)).min())
    slack = np.array([camera.width, camera.height]) - (high - low) * scale
    offset = slack * rng.uniform(0.35, 0.65, 2) - low * scale
    return replace(
        camera, focal=camera.focal * scale, centre_x=camera.centre_x * scale + float(offset[0]),
        centre_y=camera.centre_y * scale + float(offset[1]),
    )  # fmt: skip


def _backdrop(rng: np.random.Generator, camera: Camera, night: bool) -> FloatArray:
    """A blurred scene in linear light: darker above, ground below, streaks and blotches."""
    height, width = camera.height, camera.width
    blotch = fractal_noise(rng, height, width, 70, 5, 0.6)
    fine = fractal_noise(rng, height, width, 9, 2, 0.7, aspect=1.6)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ground = np.clip((rows - rng.uniform(0.3, 0.55)) * 6 + 0.4 * blotch, 0, 1)[..., None]
    far = np.array([0.10, 0.13, 0.06], np.float32) * rng.uniform(0.6, 1.5)
    near = np.array([0.30, 0.23, 0.15], np.float32) * rng.uniform(0.6, 1.3)
    scene = (far + (near - far) * ground) * np.exp(0.35 * blotch + 0.22 * fine)[..., None]
    if night:
        scene = scene * (0.06 + 0.5 * ground * rows[..., None])
    return np.asarray(scene, dtype=np.float32)


def expose(rng: np.random.Generator, layer: AnimalLayer, camera: Camera, kind: str) -> NDArray[np.uint8]:
    """Composite over a backdrop and expose."""
    night = kind != "day"
    frame = _backdrop(rng, camera, night)
    if kind == "infrared":
        frame = np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2)
    window, inside = frame_window(layer, camera.width, camera.height)
    alpha = layer.alpha[inside][..., None]
    frame[window] = frame[window] * (1 - alpha) + layer.colour[inside] * alpha
    meter = float(np.median(layer.colour[layer.mask].mean(axis=1))) if layer.mask.any() else 0.2
    wanted = 0.30 * np.exp(rng.normal(0, 0.35))
    image = sensor.tone(frame, wanted / max(meter, 1e-3), rng.uniform(0.9, 1.25))
    if rng.random() < 0.3:
        image = cv2.filter2D(image, -1, sensor.motion_kernel(rng.uniform(2, max(3, camera.width / 70))))
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.1)))
    image = sensor.sharpen(image, 1.5, rng.uniform(0.2, 0.7))
    if not night:
        image = image * np.array([1 + rng.normal(0, 0.04), 1.0, 1 + rng.normal(0, 0.06)], np.float32)
    image = sensor.add_noise(image, rng, rng.uniform(0.006, 0.03 if night else 0.015), 0.012, kind == "infrared")
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def frame_window(layer: AnimalLayer, width: int, height: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the frame that a layer covers, and of the layer that lie in the frame (empty when it is outside)."""
    h, w = layer.mask.shape
    x0, y0 = np.clip(layer.left, 0, width), np.clip(layer.top, 0, height)
    x1, y1 = np.clip(layer.left + w, x0, width), np.clip(layer.top + h, y0, height)
    window = (slice(int(y0), int(y1)), slice(int(x0), int(x1)))
    return window, (slice(int(y0 - layer.top), int(y1 - layer.top)), slice(int(x0 - layer.left), int(x1 - layer.left)))


def make_crop(
    seed: int, individual: int, flank: str, view_seed: int, size: tuple[int, int] = (512, 256),
    coats: tuple[Coat, Coat] | None = None,
) -> Crop:  # fmt: skip
    """One view of one flank, `size` = (width, height). The view (pose, angle, light, noise) depends on the first four.

    coats: left and right, instead of the individual's own leopard coats."""
    if flank not in (LEFT_FLANK, RIGHT_FLANK):
        raise ValueError(f"flank must be left or right, not {flank!r}")
    coats = coats or coats_of(seed, individual, CROP_RESOLUTION)
    rng = rng_for("view", seed, individual, flank, view_seed)
    kind = ("day", "infrared", "flash")[int(rng.choice(3, p=[0.4, 0.4, 0.2]))]
    pose = random_pose(rng)
    heading = (np.pi if flank == LEFT_FLANK else 0.0) + float(np.clip(rng.normal(0, 0.22), -0.5, 0.5))
    distance = float(rng.uniform(2.4, 6.0))
    mesh = build_mesh(pose, detail=float(np.clip(size[0] / 640, 0.55, 1.2)))
    world = place(mesh, 0.0, distance, heading)
    camera = Camera(
        size[0], size[1], 500.0, size[0] / 2, size[1] / 2, float(rng.uniform(0.4, 0.9)), float(rng.uniform(0, 0.12))
    )
    points, _ = camera.project(world[0])
    camera = fit_camera(camera, points, rng)
    light = replace(random_light(rng, kind), flash=distance**2)
    seen = anatomy.LEFT if flank == LEFT_FLANK else anatomy.RIGHT
    layer = render_animal(mesh, world, camera, coats, light, seen, rng)
    rgb = expose(rng, layer, camera, kind)
    mask = np.zeros((size[1], size[0]), bool)
    coat = np.full((size[1], size[0], 2), np.nan, np.float32)
    window, inside = frame_window(layer, size[0], size[1])
    mask[window], coat[window] = layer.mask[inside], layer.coat[inside]
    return Crop(rgb, mask, coat, individual, flank, view_seed, kind)


def render_crop(
    seed: int, individual: int, flank: str, view_seed: int, size: tuple[int, int] = (512, 256)
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], FloatArray]:
    """rgb H×W×3 uint8, mask H×W bool, and the coat place of every pixel, H×W×2 float32 in [0,1]², NaN off the flank.

    Pixels of any two views of a flank with the same coat place show the same texel of its coat. (Skin of the trunk that
    a moving leg uncovers shares its place with the leg.) size: (width, height).
    """
    crop = make_crop(seed, individual, flank, view_seed, size)
    return crop.rgb, crop.mask, crop.coat


def render_pair_catalogue(
    individuals: int, views: int, seed: int = 0, size: tuple[int, int] = (512, 256),
    flanks: tuple[str, ...] = ("left", "right"), progress: Progress | None = None,
) -> list[Crop]:  # fmt: skip
    """`views` crops of every flank of `individuals` animals, individual by individual (so each coat is drawn once)."""
    total = individuals * views * len(flanks)
    crops: list[Crop] = []
    for individual in range(individuals):
        for flank in flanks:
            for view in range(views):
                crops.append(make_crop(seed, individual, flank, view, size))
                if progress is not None:
                    progress(len(crops), total, f"individual {individual + 1}, {flank}")
    return crops
