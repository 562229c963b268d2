"""Animals of many builds seen from many sides, for learning which way an animal faces.

The leopard's body is stretched into others (long legs, long raised or grazing neck, slim trunk, no tail), stands at any
angle up to almost head-on, and may look back over its shoulder: what is to be learned is the axis of the body, not
the place of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic import anatomy
from modelzoo.synthetic.anatomy import Mesh, Pose, build_mesh
from modelzoo.synthetic.animal import Camera, place, render_animal
from modelzoo.synthetic.coat import Coat
from modelzoo.synthetic.crops import expose, fit_camera, frame_window, random_light, random_pose
from modelzoo.synthetic.noise import rng_for

SIZE = (160, 112)
HEAD_ON = 1.45  # radians off the pure side view at most
_WITHERS = 0.45  # height up to which longer legs lift the body
_NECK_FROM, _NECK_BASE = 0.93, 0.52  # x and z where a longer neck begins
_TAIL = anatomy.PARTS.index("tail")


@dataclass(frozen=True)
class HeadedView:
    """rgb H×W×3 uint8; mask H×W bool; left: whether its left flank is seen, which is that it faces left in the picture;
    yaw: radians off the pure side view, anticlockwise seen from above, at most HEAD_ON."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    left: bool
    yaw: float


@dataclass(frozen=True)
class Build:
    """How a body differs from the leopard's: factors, and the share of the tail that is there."""

    legs: float = 1.0
    neck: float = 1.0
    slim: float = 1.0
    tail: float = 1.0


def random_build(rng: np.random.Generator) -> Build:
    """A cat's or a hoofed animal's, about half of each."""
    if rng.random() < 0.5:
        return Build(rng.uniform(0.85, 1.2), rng.uniform(0.9, 1.15), rng.uniform(0.9, 1.15), rng.uniform(0.7, 1.0))
    return Build(rng.uniform(1.1, 1.9), rng.uniform(1.0, 1.9), rng.uniform(0.75, 1.1), rng.choice([0.0, 0.25, 0.5]))


def varied_pose(rng: np.random.Generator, build: Build) -> Pose:
    """A pose as cameras see it, with heads up, down to the ground and turned back as well."""
    pose = random_pose(rng)
    if rng.random() < (0.35 if build.neck < 1.15 else 0.85):
        pitch = float(rng.uniform(-1.1, 1.15))
        pose = replace(pose, neck_pitch=pitch, head_pitch=float(rng.normal(-0.75 * pitch, 0.25)))
    if rng.random() < 0.35:
        pose = replace(pose, head_turn=float(rng.uniform(-2.5, 2.5)))
    return replace(pose, spine_bend=float(rng.normal(0, 0.18)))


def stretched(mesh: Mesh, build: Build) -> Mesh:
    """The mesh with the build's proportions; normals are kept."""
    moved = mesh.vertices.astype(np.float64)
    forward = np.maximum(moved[:, 0] - _NECK_FROM, 0.0)
    share = np.clip(forward / 0.12, 0.0, 1.0)
    moved[:, 0] += (build.neck - 1) * forward
    moved[:, 2] += (build.neck - 1) * share * (moved[:, 2] - _NECK_BASE)
    moved[:, 1] *= build.slim
    moved[:, 2] += (build.legs - 1) * np.minimum(moved[:, 2], _WITHERS)
    tail = np.unique(mesh.faces[mesh.face_part == _TAIL])
    if build.tail < 1 and len(tail):
        root = moved[tail[moved[tail, 0].argmax()]]
        moved[tail] = root + (moved[tail] - root) * [build.tail, 1.0, build.tail]
    kept = np.flatnonzero((mesh.face_part != _TAIL) | (build.tail > 0))
    return replace(
        mesh, vertices=moved.astype(np.float32), faces=mesh.faces[kept], face_flank=mesh.face_flank[kept],
        face_part=mesh.face_part[kept],
    )  # fmt: skip


def headed_view(seed: int, number: int, coats: Sequence[tuple[Coat, Coat]], size: tuple[int, int] = SIZE) -> HeadedView:
    """The view of that number, the same for the same arguments; even numbers face left, odd ones right.

    coats: left and right coats to draw from. size: (width, height) of the crop.
    """
    rng = rng_for("heading", seed, number)
    left = number % 2 == 0
    build = random_build(rng)
    mesh = stretched(build_mesh(varied_pose(rng, build), detail=0.55), build)
    yaw = float(np.clip(rng.normal(0, 0.5), -HEAD_ON, HEAD_ON))
    distance = float(rng.uniform(2.4, 8.0))
    world = place(mesh, 0.0, distance, (np.pi if left else 0.0) + yaw)
    high = rng.random() < 0.25
    above = float(rng.uniform(0.9, 1.8) if high else rng.uniform(0.3, 0.9))
    pitch = float(rng.uniform(0.05, 0.3) if high else rng.uniform(0.0, 0.12))
    camera = Camera(size[0], size[1], 500.0, size[0] / 2, size[1] / 2, above, pitch)
    points, _ = camera.project(world[0][np.unique(mesh.faces)])
    camera = fit_camera(camera, points, rng)
    kind = ("day", "infrared", "flash")[int(rng.choice(3, p=[0.5, 0.35, 0.15]))]
    light = replace(random_light(rng, kind), flash=distance**2)
    pair = coats[int(rng.integers(len(coats)))]
    layer = render_animal(mesh, world, camera, pair, light, anatomy.LEFT if left else anatomy.RIGHT, rng)
    mask = np.zeros((size[1], size[0]), bool)
    window, inside = frame_window(layer, size[0], size[1])
    mask[window] = layer.mask[inside]
    return HeadedView(expose(rng, layer, camera, kind), mask, left, yaw)
