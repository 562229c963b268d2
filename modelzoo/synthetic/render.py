"""One photo of a planned survey: scene, light of the hour, the animal, and the camera's imperfections."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic import anatomy, sensor
from modelzoo.synthetic.anatomy import Mesh, build_mesh
from modelzoo.synthetic.animal import TORSO_METRES, AnimalLayer, Camera, Light, place, render_animal
from modelzoo.synthetic.coat import RESOLUTION
from modelzoo.synthetic.crops import coats_of, frame_window, random_light, random_pose
from modelzoo.synthetic.noise import FloatArray, rng_for, sample_wrapped, smoothstep
from modelzoo.synthetic.plan import PlannedPhoto, SurveyPlan
from modelzoo.synthetic.scene import Scene, camera_scene

_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)


@dataclass(frozen=True)
class RenderedPhoto:
    """pixels H×W×3 uint8 RGB; box x1, y1, x2, y2 pixels around what is visible (x2, y2 exclusive), None when nothing
    is; mask H×W bool, visible pixels of the animal; visible_fraction: of the whole animal, 0 for an empty photo."""

    planned: PlannedPhoto
    pixels: NDArray[np.uint8]
    box: tuple[float, float, float, float] | None
    mask: NDArray[np.bool_]
    visible_fraction: float


def _sun_visibility(scene: Scene, rng: np.random.Generator, hour: float) -> FloatArray:
    """H×W float32, 1 in the sun, 0 in the shade of trees; the pattern wanders with the hour."""
    x, y, z = scene.place()
    y = y + np.float32(1.7) * z
    drift = hour * 6.0 + float(rng.normal(0, 0.4))
    x, y = x[::2, ::2], y[::2, ::2]  # shadows of leaves have soft edges: half the resolution suffices
    coarse = sample_wrapped(scene.tile, x * 26 + drift * 16, y * 26)
    fine = sample_wrapped(scene.tile, x * 90 + drift * 55, y * 90 + 200)
    lit = smoothstep(-0.25, 0.25, coarse + 0.55 * fine + 1.4 - 1.6 * scene.dapple)
    return np.asarray(cv2.resize(lit, (scene.camera.width, scene.camera.height)), dtype=np.float32)


def _shadow(mesh: Mesh, world: NDArray, camera: Camera, towards: tuple[float, float, float], soft: float) -> FloatArray:
    """H×W float32 0–1: the animal's shadow on the ground under light from `towards` (z > 0)."""
    steep = max(towards[2], 0.25)
    ground = world - world[:, 2:3] * (np.array(towards) / steep)
    ground[:, 2] = 0.0
    ground[:, 1] = np.maximum(ground[:, 1], 0.6)
    points, _ = camera.project(ground)
    half = np.round(points * 0.5 * 8).astype(np.int32)
    image = np.zeros((camera.height // 2, camera.width // 2), np.uint8)
    for triangle in half[mesh.faces[::2]]:
        cv2.fillConvexPoly(image, triangle, 255, cv2.LINE_8, 3)
    blurred = cv2.GaussianBlur(image, (0, 0), max(soft * 0.5, 0.5))
    return cv2.resize(blurred, (camera.width, camera.height)).astype(np.float32) / 255.0


def _swayed(scene: Scene, rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
    """Back, front and front cover with leaves and blades moved a little by the wind."""
    height, width = scene.sway.shape
    wind = float(np.clip(rng.gamma(1.2, 0.35), 0, 1.5))
    cell = max(8, width // 32)
    field = rng.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
    push = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) * scene.sway * wind * 0.5
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    columns = columns + push
    move = [cv2.remap(part, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in
            (scene.back, scene.front, scene.front_cover)]  # fmt: skip
    return move[0], move[1], move[2]


def _light_on(linear: FloatArray, depth: NDArray, light: Light, shade: FloatArray | None) -> FloatArray:
    """Light reflected by still things, H×W×3 linear (or H×W×3 grey in infrared)."""
    if light.kind == "day":
        assert shade is not None
        sun = np.array(light.sun_colour, np.float32) * np.float32(max(light.sun[2], 0.35))
        return linear * (np.array(light.sky, np.float32) * 0.85 + sun * shade[..., None])
    if light.kind == "infrared":  # leaves and dry grass throw back much of the near infrared
        grey = 0.10 + 0.62 * np.sqrt(linear @ np.array([0.35, 0.5, 0.15], np.float32))
        linear = np.repeat((grey * 0.55)[..., None], 3, axis=2)
    fall = light.flash / np.maximum(depth, 0.6) ** 2
    return linear * np.minimum(fall, light.flash)[..., None]


def _front_light(scene: Scene, front: NDArray, cover: NDArray, light: Light, shade: FloatArray | None) -> FloatArray:
    """Lit front things, H×W×3 linear; black where nothing stands in front."""
    lit = np.zeros(front.shape, np.float32)
    rows = np.flatnonzero(cover.any(axis=1))
    if len(rows):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        depth = np.where(np.isfinite(scene.front_depth[part]), scene.front_depth[part], 2.0)
        lit[part] = _light_on(_LINEAR[front[part]], depth, light, None if shade is None else shade[part])
    return lit


def _blend(frame: FloatArray, front: FloatArray, share: FloatArray) -> None:
    """Lay front things over the frame, in place, where they are."""
    rows = np.flatnonzero(share.any(axis=1))
    if len(rows):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        frame[part] += (front[part] - frame[part]) * share[part, :, None]


def _animal(
    config: SurveyPlan, planned: PlannedPhoto, scene: Scene, light: Light, shade: FloatArray | None
) -> tuple[AnimalLayer, Mesh, NDArray]:
    """The animal of a photo, placed on the path and walking on from frame to frame: layer, mesh, world points."""
    assert planned.individual is not None and planned.flank is not None
    event = rng_for("passage", config.seed, planned.event, planned.camera)
    moment = rng_for("moment", config.seed, planned.event, planned.camera, planned.frame)
    to_left = planned.flank == "left"
    direction = -1.0 if to_left else 1.0
    phase = event.random()
    pose = random_pose(event, (phase + 0.37 * planned.frame) % 1.0)
    turn = float(np.clip(event.normal(0, 0.30), -0.70, 0.70))
    heading = (np.pi if to_left else 0.0) + turn
    distance = scene.trail + float(event.uniform(-0.35, 0.45))
    start = float(event.uniform(-0.45, 0.45)) - 0.35 * (planned.frames - 1)
    x = direction * (start + 0.62 * planned.frame) + float(moment.normal(0, 0.04))
    y = distance + np.sin(turn) * direction * x * 0.5
    mesh = build_mesh(pose, detail=float(np.clip(scene.camera.focal / scene.trail * TORSO_METRES / 330, 0.5, 1.4)))
    world = place(mesh, x, max(y, 1.6), heading)
    coats = coats_of(config.seed, planned.individual, RESOLUTION)
    seen = anatomy.LEFT if to_left else anatomy.RIGHT
    return render_animal(mesh, world, scene.camera, coats, light, seen, moment, shade), mesh, world[0]


def _compose(
    frame: FloatArray, front: FloatArray, cover: FloatArray, scene: Scene, layer: AnimalLayer | None, daylight: bool
) -> NDArray[np.bool_] | None:
    """Lay front things and the animal over the frame, in place, by distance; its visible mask."""
    if layer is None:
        _blend(frame, front, cover)
        return None
    window, inside = frame_window(layer, scene.camera.width, scene.camera.height)
    depth = layer.depth[inside]
    alpha = layer.alpha[inside]
    reach = cv2.erode(np.where(np.isfinite(depth), depth, 1e6).astype(np.float32), np.ones((5, 5), np.uint8))
    hiding = cover[window] * (scene.front_depth[window] < reach)
    near = cover.copy()
    near[window] = hiding
    _blend(frame, front, cover - near)
    frame[window] = frame[window] * (1 - alpha[..., None]) + layer.colour[inside] * alpha[..., None]
    glow = layer.glow[inside]
    frame[window] += glow[..., None] * (0.0 if daylight else 0.9)
    _blend(frame, front, near)
    visible = np.zeros(cover.shape, bool)
    visible[window] = layer.mask[inside] & (hiding < 0.5)
    return visible


@dataclass(frozen=True)
class Fault:
    """What went wrong with a passage: gain of the exposure, smear of the animal in pixels of a 1280
    frame, mist on the lens."""

    gain: float = 1.0
    smear: float = 0.0
    mist: float = 0.0


def _fault(config: SurveyPlan, planned: PlannedPhoto) -> Fault:
    """About a third of the passages are badly lit, smeared or misty, as field photos are."""
    rng = rng_for("fault", config.seed, planned.event, planned.camera)
    kind = rng.choice(["none", "smear", "bright", "dark", "mist"], p=[0.66, 0.14, 0.08, 0.06, 0.06])
    slight = float(rng.uniform(1, 7)) if rng.random() < (0.5 if planned.infrared else 0.2) else 0.0
    if kind == "smear":
        return Fault(smear=float(rng.uniform(8, 17)))
    if kind == "bright":
        return Fault(gain=float(rng.uniform(2.0, 4.0)), smear=slight)
    if kind == "dark":
        return Fault(gain=float(rng.uniform(0.2, 0.4)), smear=slight)
    return Fault(smear=slight, mist=float(rng.uniform(0.12, 0.35)) if kind == "mist" else 0.0)


def _expose(frame: FloatArray, rng: np.random.Generator, light: Light, fault: Fault) -> FloatArray:
    """Automatic exposure with its errors, tone, haze, lens, sharpening and grain; display values 0–1."""
    height, width = frame.shape[:2]
    day = light.kind == "day"
    scenery = frame[: height - sensor.strip_height(height) : 4, ::4].mean(axis=2)
    meter = max(float(np.percentile(scenery, 70 if day else 82)), 1e-3)
    unit = width / 1280
    if day:
        exposure = 0.22 / meter * fault.gain * float(np.exp(rng.normal(0, 0.22)))
        haze = float(np.clip(rng.gamma(1.5, 0.012), 0, 0.08)) + 0.6 * fault.mist
        image = sensor.tone(frame * exposure * (1 - haze) + 0.6 * haze, 1.0, float(rng.uniform(1.1, 1.5)))
        cast = np.array([1 + rng.normal(0, 0.02), 1.0, 1 + rng.normal(0, 0.035)], np.float32)
        grey = image.mean(axis=2, keepdims=True)
        image = (grey + (image - grey) * np.float32(rng.uniform(0.70, 0.95))) * cast
    else:
        exposure = min(0.20 / meter * float(np.exp(rng.normal(0, 0.30))), 3.0) * fault.gain
        image = sensor.tone(frame * exposure + 0.25 * fault.mist, 1.0, float(rng.uniform(1.0, 1.3)))
        image = image * sensor.vignette(width, height, float(rng.uniform(0.25, 0.5)))[..., None] + 0.012
    sigma = (float(rng.uniform(0.55, 0.9)) + 5.0 * fault.mist) * unit
    image = cv2.GaussianBlur(image, (0, 0), max(0.35, sigma))
    image = sensor.sharpen(image, max(0.6, 1.3 * unit), float(rng.uniform(0.3, 0.7)))
    grain = float(rng.uniform(0.004, 0.012) if day else rng.uniform(0.014, 0.034))
    grain *= 1.8 if fault.gain < 1 else 1.0
    return sensor.add_noise(image, rng, grain, 0.008, light.kind == "infrared")


def _temperature(config: SurveyPlan, planned: PlannedPhoto) -> int:
    hour = planned.captured_at.hour + planned.captured_at.minute / 60
    day = rng_for("weather", config.seed, planned.captured_at.date().isoformat()).normal(19, 2.5)
    return round(float(day + 7 * np.cos((hour - 14.5) / 24 * 2 * np.pi)))


def render_photo(config: SurveyPlan, planned: PlannedPhoto) -> RenderedPhoto:
    """Draw one photo of a plan; depends on nothing but the arguments."""
    width, height = config.width, config.height
    scene = camera_scene(config.seed, planned.station, planned.camera, width, height)
    hour = planned.captured_at.hour + planned.captured_at.minute / 60
    light_rng = rng_for("light", config.seed, planned.event, planned.station, planned.camera)
    rng = rng_for("photo", config.seed, planned.event, planned.camera, planned.frame)
    light = random_light(light_rng, "infrared" if planned.infrared else "day")
    shade = None if planned.infrared else _sun_visibility(scene, light_rng, hour)
    back, front, cover = _swayed(scene, rng)
    frame = _light_on(_LINEAR[back], scene.back_depth, light, shade)
    front_lit = _front_light(scene, front, cover, light, shade)
    layer = None
    fault = _fault(config, planned)
    if planned.individual is not None:
        layer, mesh, world = _animal(config, planned, scene, light, shade)
        frame *= 1 - 0.6 * _shadow(mesh, world * [1, 1, 0.25], scene.camera, (0, 0, 1), 9 * width / 1280)[..., None]
        if light.kind == "day" and light.sun_colour[1] > 0.2:
            cast = _shadow(mesh, world, scene.camera, light.sun, 2.5 * width / 1280)
            frame *= 1 - 0.45 * cast[..., None]
        if fault.smear * width / 1280 >= 1.5:
            layer = _smeared(layer, fault.smear * width / 1280)
    visible = _compose(frame, front_lit, cover.astype(np.float32) / 255.0, scene, layer, light.kind == "day")
    image = _expose(frame, rng, light, fault)
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if planned.infrared:
        pixels = np.repeat(pixels[..., 1:2], 3, axis=2)
    name = f"{planned.station}-{planned.camera}"
    pixels = sensor.draw_strip(
        pixels, name, planned.captured_at, _temperature(config, planned), f"{planned.frame + 1}/{planned.frames}"
    )
    return _with_truth(planned, pixels, visible, layer)


def _smeared(layer: AnimalLayer, length: float) -> AnimalLayer:
    """The animal blurred by its own movement."""
    kernel = sensor.motion_kernel(length)
    colour, alpha, glow = (cv2.filter2D(part, -1, kernel) for part in (layer.colour, layer.alpha, layer.glow))
    return replace(layer, colour=colour, alpha=alpha, glow=glow)


def _with_truth(
    planned: PlannedPhoto, pixels: NDArray[np.uint8], visible: NDArray | None, layer: AnimalLayer | None
) -> RenderedPhoto:
    """Box, mask and visible share of the finished photo; the strip hides what lies under it."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), bool) if visible is None else visible
    mask[height - sensor.strip_height(height) :] = False
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if layer is None or not len(rows):
        return RenderedPhoto(planned, pixels, None, mask, 0.0)
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return RenderedPhoto(planned, pixels, box, mask, float(mask.sum() / max(int(layer.mask.sum()), 1)))
