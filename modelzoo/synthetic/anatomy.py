"""A leopard's body as tubes: rest form, walking pose, and the chart that ties skin to coat texture.

Lengths are in torso lengths (rump to chest = 1). Animal axes: x forward, y to its left, z up, ground at z = 0.
Proportions were measured on side views of real leopards (shoulder height 0.70, trunk depth 0.42, tail 0.85).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

# x, centre z, half height, half width of the trunk from rump to nose.
_TRUNK = np.array(
    [
        (-0.035, 0.545, 0.012, 0.012), (-0.028, 0.540, 0.050, 0.040), (-0.005, 0.528, 0.092, 0.078),
        (0.040, 0.508, 0.135, 0.115), (0.110, 0.488, 0.176, 0.145), (0.200, 0.490, 0.186, 0.155),
        (0.310, 0.483, 0.182, 0.152), (0.450, 0.465, 0.192, 0.162), (0.580, 0.451, 0.205, 0.170),
        (0.700, 0.444, 0.216, 0.166), (0.800, 0.456, 0.222, 0.152), (0.880, 0.484, 0.192, 0.132),
        (0.950, 0.516, 0.156, 0.112), (1.020, 0.546, 0.130, 0.098), (1.080, 0.564, 0.125, 0.095),
        (1.140, 0.572, 0.126, 0.099), (1.195, 0.572, 0.128, 0.103), (1.240, 0.566, 0.125, 0.101),
        (1.280, 0.553, 0.115, 0.090), (1.310, 0.540, 0.097, 0.072), (1.340, 0.530, 0.086, 0.062),
        (1.370, 0.524, 0.079, 0.057), (1.395, 0.521, 0.073, 0.053), (1.412, 0.521, 0.062, 0.046),
        (1.424, 0.523, 0.045, 0.036), (1.431, 0.525, 0.010, 0.009),
    ]
)  # fmt: skip
# station along the leg (0 top to 1 toe), half width in the walking plane, half width sideways
_HIND_GIRTH = np.array(
    [
        (0.0, 0.085, 0.030), (0.14, 0.140, 0.078), (0.27, 0.138, 0.086), (0.42, 0.105, 0.076), (0.53, 0.069, 0.054),
        (0.64, 0.053, 0.040), (0.7, 0.050, 0.038), (0.82, 0.041, 0.037), (0.89, 0.046, 0.047), (0.94, 0.045, 0.053),
        (0.985, 0.026, 0.036), (1.0, 0.006, 0.012),
    ]
)  # fmt: skip
_FORE_GIRTH = np.array(
    [
        (0.0, 0.060, 0.028), (0.14, 0.100, 0.060), (0.3, 0.112, 0.070), (0.45, 0.087, 0.069), (0.58, 0.065, 0.056),
        (0.7, 0.054, 0.048), (0.78, 0.050, 0.046), (0.87, 0.047, 0.049), (0.93, 0.046, 0.055), (0.985, 0.027, 0.038),
        (1.0, 0.006, 0.012),
    ]
)  # fmt: skip
_HIP, _SHOULDER = np.array([0.125, 0.475]), np.array([0.895, 0.440])
_HIND_BONES, _FORE_BONES = (0.178, 0.190, 0.145), (0.150, 0.185, 0.100)
_UNROLL = 0.88  # arc length per radian over the half height, for sections about 0.19 high and 0.16 wide
TAIL_LENGTH = 0.86

# Chart (coat texture) frame: x from CHART_X0, t up from CHART_T0. Extra patches lie right of the nose.
CHART_X0, CHART_T0, CHART_WIDTH, CHART_HEIGHT = -0.15, -0.12, 2.58, 1.08
HIND_INSIDE_SHIFT, FORE_INSIDE_SHIFT = 1.66, 1.38
INSIDE_FROM = 1.48  # chart x beyond which the insides of the legs lie
TAIL_X0, TAIL_T0 = 1.54, 0.80
EAR_X0, EAR_T0 = 1.56, 0.915
LEFT, RIGHT = 0, 1


@dataclass(frozen=True)
class Pose:
    """One moment of a walking leopard; angles in radians, upwards and to the animal's left positive."""

    phase: float = 0.0  # of the walk cycle, 0 to 1
    stride: float = 0.16  # reach of a foot before and behind its rest place
    crouch: float = 0.0  # how much the trunk is lowered (stalking about 0.1)
    neck_pitch: float = -0.15
    head_pitch: float = -0.1
    head_turn: float = 0.0
    spine_bend: float = 0.0  # sideways curve of the trunk
    tail_lift: float = 0.0  # -0.4 hanging to 1 raised
    tail_curl: float = 1.0
    girth: float = 1.0


@dataclass(frozen=True)
class Mesh:
    """vertices V×3, normals V×3 (unit, outwards), chart V×2 (x, t), faces F×3, face_flank F (LEFT or RIGHT:
    whose coat), face_part F (index into PARTS). Seen from outside, faces are wound clockwise on the screen."""

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    chart: NDArray[np.float32]
    faces: NDArray[np.int64]
    face_flank: NDArray[np.int64]
    face_part: NDArray[np.int64]


PARTS = ("trunk", "hind_left", "hind_right", "fore_left", "fore_right", "tail", "ears")


def _smooth(x: NDArray, table: NDArray) -> NDArray:
    """Monotone-looking cubic through table (first column is the abscissa); Catmull-Rom slopes."""
    knots, values = table[:, 0], table[:, 1:]
    slope = np.gradient(values, knots, axis=0)
    i = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    width = (knots[i + 1] - knots[i])[:, None]
    s = ((x - knots[i])[:, None]) / width
    h00, h10 = (1 + 2 * s) * (1 - s) ** 2, s * (1 - s) ** 2
    h01, h11 = s * s * (3 - 2 * s), s * s * (s - 1)
    return h00 * values[i] + h10 * width * slope[i] + h01 * values[i + 1] + h11 * width * slope[i + 1]


@cache
def _trunk_rest(stations: int) -> tuple[NDArray, NDArray]:
    """Station x and (centre z, half height, half width), denser at both ends."""
    even = np.linspace(_TRUNK[0, 0], _TRUNK[-1, 0], stations)
    x = np.unique(np.concatenate([even, _TRUNK[:, 0]]))
    return x, np.maximum(_smooth(x, _TRUNK), [[0.0, 0.004, 0.004]])


def _rise(low: float, high: float, x: NDArray) -> NDArray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass
class _Builder:
    vertices: list[NDArray]
    normals: list[NDArray]
    chart: list[NDArray]
    faces: list[NDArray]
    flank: list[NDArray]
    part: list[NDArray]
    count: int = 0

    def sheet(self, grid: NDArray, chart: NDArray, flank: int, part: int, flip: bool) -> None:
        """Add an n×m×3 grid of surface points with n×m×2 chart coordinates."""
        n, m = grid.shape[:2]
        along, around = np.gradient(grid, axis=0), np.gradient(grid, axis=1)
        normal = np.cross(along, around)
        if flip:
            normal = -normal
        normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
        index = self.count + np.arange(n * m).reshape(n, m)
        p, q, r, s = (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:])
        faces = np.concatenate([np.stack([p, q, r], -1).reshape(-1, 3), np.stack([p, r, s], -1).reshape(-1, 3)])
        self.faces.append(faces[:, ::-1] if not flip else faces)
        self.vertices.append(grid.reshape(-1, 3))
        self.normals.append(normal.reshape(-1, 3))
        self.chart.append(chart.reshape(-1, 2))
        self.flank.append(np.full(len(faces), flank))
        self.part.append(np.full(len(faces), part))
        self.count += n * m


def trunk_profile(x: NDArray) -> tuple[NDArray, NDArray]:
    """Centre height and half height of the resting trunk at x (clamped to the trunk)."""
    station, rest = _trunk_rest(80)
    return np.interp(x, station, rest[:, 0]), np.interp(x, station, rest[:, 1])


def trunk_chart_t(x: NDArray, angle: NDArray) -> NDArray:
    """Chart height of the trunk skin at x and angle round the section (0 side, π/2 spine, -π/2 belly)."""
    centre, half = trunk_profile(x)
    return centre + _UNROLL * half * angle


def _leg_chart(x: NDArray, z: NDArray) -> NDArray:
    """Chart t of leg skin at rest place x, z: the trunk's where the leg lies on it, lengths below."""
    centre, half = trunk_profile(x)
    q = np.clip((z - centre) / half, -0.6, 0.95)
    return centre + _UNROLL * half * np.arcsin(q) + (z - (centre + half * q))


def _place_trunk(pose: Pose, stations: int) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """Station x, centres n×3, up n×3, left n×3, and (z, half height, half width) at rest."""
    x, rest = _trunk_rest(stations)
    pitch = pose.neck_pitch * _rise(0.86, 1.06, x) + pose.head_pitch * _rise(1.08, 1.20, x)
    pitch = pitch + 0.03 * np.sin(4 * np.pi * pose.phase) * _rise(0.1, 0.4, x) * (1 - _rise(0.6, 0.9, x))
    yaw = pose.spine_bend * (x - 0.45) + pose.head_turn * _rise(0.92, 1.18, x)
    cp, sp, cy, sy = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    forward = np.stack([cp * cy, cp * sy, sp], axis=1)
    up = np.stack([-sp * cy, -sp * sy, cp], axis=1)
    left = np.stack([-sy, cy, np.zeros_like(x)], axis=1)
    dx = np.diff(x)[:, None]
    dz = np.diff(rest[:, 0])[:, None]
    middle = lambda v: 0.5 * (v[1:] + v[:-1])  # noqa: E731
    moved = np.cumsum(middle(forward) * dx + middle(up) * dz, axis=0)
    centre = np.vstack([np.zeros(3), moved]) + np.array([x[0], 0.0, rest[0, 0]])
    anchor = int(np.searchsorted(x, 0.3))
    centre += np.array([x[anchor], 0.0, rest[anchor, 0]]) - centre[anchor]
    centre[:, 2] += -pose.crouch + 0.008 * np.sin(4 * np.pi * pose.phase + 0.6)
    return x, centre, up, left, rest


def _add_trunk(build: _Builder, pose: Pose, stations: int, around: int) -> None:
    x, centre, up, left, rest = _place_trunk(pose, stations)
    angle = np.linspace(-np.pi / 2, np.pi / 2, around)
    # a little flatter than an ellipse at the sides, as a cat's flank is
    side = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.85
    body = 1 + (pose.girth - 1) * (1 - _rise(0.9, 1.1, x))
    low = np.where(angle < 0, 1.0, 0.0)[None, :] * (body - 1)[:, None] + 1.0
    for flank, sign in ((LEFT, 1.0), (RIGHT, -1.0)):
        grid = (
            centre[:, None, :]
            + up[:, None, :] * (rest[:, 1, None] * low * np.sin(angle))[:, :, None]
            + sign * left[:, None, :] * (rest[:, 2, None] * side)[:, :, None]
        )
        chart = np.stack(np.broadcast_arrays(x[:, None], trunk_chart_t(x[:, None], angle[None, :])), axis=-1)
        build.sheet(grid, chart, flank, 0, flip=flank == LEFT)
    _add_ears(build, x, centre, up, left, rest)


def _add_ears(build: _Builder, x: NDArray, centre: NDArray, up: NDArray, left: NDArray, rest: NDArray) -> None:
    i = int(np.searchsorted(x, 1.185))
    forward = np.cross(left[i], up[i])
    for flank, sign in ((LEFT, 1.0), (RIGHT, -1.0)):
        base = centre[i] + up[i] * rest[i, 1] * 0.72 + sign * left[i] * rest[i, 2] * 0.62
        axis = up[i] * 0.86 + sign * left[i] * 0.42 - forward * 0.30
        s = np.linspace(0, 1, 8)
        width = 0.044 * np.sqrt(np.clip(1 - (s * 0.96) ** 2.2, 0, 1)) + 0.002
        for half in (0, 1):
            a = np.linspace(-np.pi / 2, np.pi / 2, 7) + half * np.pi
            grid = (
                base
                + axis * (s * 0.078)[:, None, None]
                + forward * (width[:, None] * np.sin(a))[:, :, None]
                + sign * left[i] * (0.45 * width[:, None] * np.cos(a))[:, :, None]
            )
            chart = np.stack(
                np.broadcast_arrays(
                    EAR_X0 + 0.09 * half + 0.03 * np.sin(a)[None, :], EAR_T0 - 0.03 + 0.06 * s[:, None]
                ),
                -1,
            )
            build.sheet(grid, chart, flank, 6, flip=flank == RIGHT)


def _bend(start: NDArray, end: NDArray, first: float, second: float, forward: bool) -> NDArray:
    """The middle joint of two bones between start and end (x, z), bent forwards or backwards."""
    reach = end - start
    distance = float(np.clip(np.linalg.norm(reach), 1e-6, (first + second) * 0.995))
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    height = np.sqrt(max(first**2 - along**2, 0.0))
    unit = reach / max(float(np.linalg.norm(reach)), 1e-6)
    normal = np.array([-unit[1], unit[0]])
    if (normal[0] > 0) != forward:
        normal = -normal
    return start + unit * along + normal * height


def _foot(phase: float, stride: float) -> tuple[float, float, float]:
    """Foot offset x, lift z, and swing amount (0 on the ground) at a phase of the walk; 65 % of the cycle stands."""
    phase %= 1.0
    if phase < 0.65:
        return stride * (1 - 2 * phase / 0.65), 0.0, 0.0
    t = (phase - 0.65) / 0.35
    return stride * (-1 + 2 * t * t * (3 - 2 * t)), 0.085 * np.sin(np.pi * t) ** 1.2, float(np.sin(np.pi * t))


def _leg_joints(pose: Pose, fore: bool, phase: float, drop: float) -> NDArray:
    """Joint polyline x, z of one leg: top, main joint, knee or elbow, hock or wrist, paw, toe."""
    dx, lift, swing = _foot(phase, pose.stride)
    top = (_SHOULDER if fore else _HIP) + [0.0, -drop]
    rest_x = 0.865 if fore else 0.115
    paw = np.array([rest_x + dx, 0.042 + lift])
    reach = dx / max(pose.stride, 1e-6)
    if fore:
        lean = 1.50 + 0.28 * reach - 0.9 * swing * (1 - 0.4 * reach)
        lower = paw + _FORE_BONES[2] * np.array([np.cos(np.pi - lean), np.sin(lean)])
        middle = _bend(top, lower, _FORE_BONES[0], _FORE_BONES[1], forward=False)
        summit = top + np.array([-0.075, 0.165])
    else:
        lean = 1.18 + 0.30 * reach - 0.55 * swing
        lower = paw + _HIND_BONES[2] * np.array([np.cos(np.pi - lean), np.sin(lean)])
        middle = _bend(top, lower, _HIND_BONES[0], _HIND_BONES[1], forward=True)
        summit = top + np.array([0.01, 0.12])
    toe_drop = -0.6 * swing
    toe = paw + 0.078 * np.array([np.cos(toe_drop), np.sin(toe_drop)]) + [0, -0.012]
    return np.vstack([summit, top, middle, lower, paw, toe])


def _leg_curve(joints: NDArray, stations: int) -> tuple[NDArray, NDArray, NDArray]:
    """Station parameter, points n×2 and unit tangents n×2 of a smooth curve through the joints."""
    knots = np.array([0.0, 0.22, 0.46, 0.74, 0.91, 1.0])
    s = np.concatenate([np.linspace(0, 0.94, stations - 5), [0.955, 0.97, 0.983, 0.993, 1.0]])
    points = _smooth(s, np.column_stack([knots, joints]))
    tangent = np.gradient(points, s, axis=0)
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    tangent = np.stack([np.convolve(np.pad(tangent[:, k], 2, mode="edge"), kernel, "valid") for k in (0, 1)], axis=1)
    return s, points, tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)


def _leg_section(points: NDArray, tangent: NDArray, girth: NDArray, angle: NDArray) -> NDArray:
    """x, z of leg skin, n×m×2, for section angles (0 outwards, ±π/2 front and back)."""
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return points[:, None, :] + normal[:, None, :] * (girth[:, 0, None] * np.sin(angle)[None, :])[:, :, None]


def _add_leg(build: _Builder, pose: Pose, fore: bool, flank: int, phase: float, stations: int, around: int) -> None:
    girth_table = _FORE_GIRTH if fore else _HIND_GIRTH
    s, points, tangent = _leg_curve(_leg_joints(pose, fore, phase, pose.crouch), stations)
    rest_pose = Pose()
    _, rest_points, rest_tangent = _leg_curve(_leg_joints(rest_pose, fore, 0.325, 0.0), stations)
    girth = np.maximum(_smooth(s, girth_table), 0.004)
    sign = 1.0 if flank == LEFT else -1.0
    centre_y = np.interp(s, [0, 0.14, 0.3, 0.6, 1.0], [0.075, 0.068, 0.070, 0.070, 0.060])
    shift = FORE_INSIDE_SHIFT if fore else HIND_INSIDE_SHIFT
    for inside in (False, True):
        angle = np.linspace(-np.pi / 2, np.pi / 2, around)
        across = np.cos(angle) * (-0.8 if inside else 1.0)
        xz = _leg_section(points, tangent, girth, angle)
        y = sign * (centre_y[:, None] + girth[:, 1, None] * across[None, :])
        grid = np.stack([xz[..., 0], y, xz[..., 1]], axis=-1)
        flat = _leg_section(rest_points, rest_tangent, girth, angle)
        rolled = _leg_section(rest_points, rest_tangent, girth * _UNROLL, np.zeros_like(angle))
        normal = np.stack([-rest_tangent[:, 1], rest_tangent[:, 0]], axis=1)
        rolled = rolled + normal[:, None, :] * (girth[:, 0, None] * _UNROLL * angle[None, :])[:, :, None]
        weight = _rise(0.30, 0.55, s)[:, None, None]
        place = flat * (1 - weight) + rolled * weight
        chart = np.stack([place[..., 0] + (shift if inside else 0.0), _leg_chart(place[..., 0], place[..., 1])], -1)
        part = 1 + 2 * int(fore) + flank
        build.sheet(grid, chart, flank, part, flip=(flank == LEFT) != inside)


def _add_tail(build: _Builder, pose: Pose, root: NDArray, stations: int, around: int) -> None:
    s = np.concatenate([np.linspace(0, 0.95, stations - 4), [0.965, 0.98, 0.992, 1.0]])
    # leaves the rump backwards and down, hangs, then turns up towards the tip
    pitch = -0.75 + pose.tail_lift * 0.8 - (0.35 - 0.3 * pose.tail_lift) * np.sin(np.pi * np.clip(s / 0.55, 0, 1))
    pitch = pitch + pose.tail_curl * 1.5 * _rise(0.45, 1.0, s)
    sway = 0.25 * np.sin(2 * np.pi * pose.phase) * s
    direction = np.stack([-np.cos(pitch) * np.cos(sway), np.sin(sway), np.sin(pitch)], axis=1)
    moved = np.cumsum(direction * np.gradient(s)[:, None], axis=0) * TAIL_LENGTH
    centre = root + moved
    centre[:, 2] = np.maximum(centre[:, 2], 0.035)
    normal = np.stack([np.sin(pitch), np.zeros_like(s), np.cos(pitch)], axis=1)
    radius = np.interp(
        s, [0, 0.06, 0.25, 0.6, 0.95, 0.98, 0.992, 1.0], [0.070, 0.056, 0.043, 0.038, 0.036, 0.028, 0.017, 0.003]
    )
    angle = np.linspace(-np.pi / 2, np.pi / 2, around)
    for flank, sign in ((LEFT, 1.0), (RIGHT, -1.0)):
        grid = centre[:, None, :] + normal[:, None, :] * (radius[:, None] * np.sin(angle))[:, :, None]
        grid = grid + np.array([0.0, sign, 0.0]) * (radius[:, None] * np.cos(angle))[:, :, None]
        t = TAIL_T0 + _UNROLL * 0.045 * angle
        chart = np.stack(np.broadcast_arrays(TAIL_X0 + TAIL_LENGTH * s[:, None], t[None, :]), axis=-1)
        build.sheet(grid, chart, flank, 5, flip=flank == RIGHT)


def build_mesh(pose: Pose, detail: float = 1.0) -> Mesh:
    """The posed body. `detail` scales the number of stations (1 suits a torso of about 400 pixels)."""
    build = _Builder([], [], [], [], [], [])
    count = lambda n: max(6, round(n * detail))  # noqa: E731
    _add_trunk(build, pose, count(56), count(17))
    for fore, flank, offset in ((False, LEFT, 0.0), (True, LEFT, 0.27), (False, RIGHT, 0.5), (True, RIGHT, 0.77)):
        _add_leg(build, pose, fore, flank, pose.phase + offset, count(30) + 6, count(10))
    _, centre, *_ = _place_trunk(pose, count(56))
    _add_tail(build, pose, centre[2] + [0.045, 0.0, 0.0], count(34), count(8))
    return Mesh(
        np.concatenate(build.vertices).astype(np.float32),
        np.concatenate(build.normals).astype(np.float32),
        np.concatenate(build.chart).astype(np.float32),
        np.concatenate(build.faces).astype(np.int64),
        np.concatenate(build.flank).astype(np.int64),
        np.concatenate(build.part).astype(np.int64),
    )
