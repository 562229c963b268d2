"""Geometric verification: how many matched keypoints of two crops agree on one similarity transform.

Points are complex numbers here, so that a similarity without reflection is ``z ↦ s·z + t`` with complex s and t. A
match of two SIFT keypoints fixes one by itself (its scale and direction), a pair of matches fixes one more exactly: all
of the first and the pairs of the most distinctive matches are tried, so nothing is random. A match supports a transform
when it agrees in place, scale and direction, as in HotSpotter (Crall et al. 2013); the tolerances leave room for a body
that bends. A match weighs 1 − ratio, the mean of Lowe's ratio in both directions.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .features import LocalConfig, LocalFeatures

_PAIRED_MATCHES = 24
_REFINEMENTS = 2

FrameBox = tuple[float, float, float, float]
"""x1, y1, x2, y2 of a crop in pixels of the photo it was cut from."""


@dataclass(frozen=True, eq=False)
class Verification:
    """What two crops share.

    inliers: matches that agree with the transform (0 when none is found). matches: tentative matches before geometry.
    transform: 2×3 float64 taking pixels of a's resized crop to b's, or None. pairs: inliers×2 int64, indices into a's
    and b's keypoints. residual: root mean square distance of the inliers in b's pixels. weight: the sum over inliers of
    how distinctive each match is (0…1 each): the best single number for ranking.
    """

    inliers: int
    matches: int
    transform: NDArray[np.float64] | None
    pairs: NDArray[np.int64]
    residual: float
    weight: float

    @classmethod
    def none(cls, matches: int = 0) -> "Verification":
        return cls(0, matches, None, np.zeros((0, 2), np.int64), 0.0, 0.0)


class Keypoints(Protocol):
    """What geometry needs of a coat's keypoints: see :class:`LocalFeatures`."""

    @property
    def points(self) -> NDArray[np.float32]: ...
    @property
    def pixels(self) -> NDArray[np.float32]: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


@dataclass(frozen=True, eq=False)
class _Matched:
    """m tentative matches: places in both crops, log2 of the change of scale, unit numbers for the turn."""

    za: NDArray[np.complex64]
    zb: NDArray[np.complex64]
    scale: NDArray[np.float32]
    turn: NDArray[np.complex64]
    weights: NDArray[np.float32]


def verify(
    a: LocalFeatures, b: LocalFeatures, config: LocalConfig, same_camera: tuple[FrameBox, FrameBox] | None = None
) -> Verification:
    """Matches two crops and keeps what one similarity transform explains. Deterministic; never raises on few points.

    same_camera: where both crops lay, when one fixed camera took both photos at different events. What then matches in
    the same place of the frame is scenery behind the animals, and is left out.
    """
    pairs, weights = tentative_matches(a, b, config)
    if same_camera is not None:
        moved = ~_in_place(a, b, pairs, same_camera, config)
        pairs, weights = pairs[moved], weights[moved]
    if len(pairs) < config.min_inliers:
        return Verification.none(len(pairs))
    return fit(a, b, pairs, weights, config)


def tentative_matches(
    a: LocalFeatures, b: LocalFeatures, config: LocalConfig
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """m×2 indices of keypoints that are each other's nearest and pass the ratio test, and m weights 1 − ratio.

    The ratio is the mean of both directions; the same matches come out when a and b are exchanged.
    """
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    similarity = a.rootsift @ b.rootsift.T
    best = similarity.argmax(axis=1)
    nearest = similarity[np.arange(len(a)), best]
    rows = np.flatnonzero(similarity.max(axis=0)[best] <= nearest)
    columns = best[rows]
    # Equal descriptors can make one keypoint the nearest of several: the first keeps it.
    _, first = np.unique(columns, return_index=True)
    rows, columns = rows[np.sort(first)], columns[np.sort(first)]
    nearest = nearest[rows]
    similarity[rows, columns] = -1.0
    # Unit vectors: the distance is the root of 2 − 2·similarity.
    gap = np.maximum(1.0 - nearest, 0.0)
    forth = np.sqrt(gap / np.maximum(1.0 - similarity[rows].max(axis=1), 1e-6))
    back = np.sqrt(gap / np.maximum(1.0 - similarity[:, columns].max(axis=0), 1e-6))
    weights = 1.0 - (forth + back) / 2.0
    kept = weights > 1.0 - config.ratio
    return np.stack([rows[kept], columns[kept]], axis=1), weights[kept].astype(np.float32)


def _in_place(
    a: LocalFeatures, b: LocalFeatures, pairs: NDArray[np.int64], boxes: tuple[FrameBox, FrameBox], config: LocalConfig
) -> NDArray[np.bool_]:
    """Which matches join the same place of the frame."""
    places = []
    for features, column, (x1, y1, x2, y2) in ((a, 0, boxes[0]), (b, 1, boxes[1])):
        places.append(features.points[pairs[:, column], :2] * (x2 - x1, y2 - y1) + (x1, y1))
    side = max(max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes)
    distance = np.hypot(*(places[0] - places[1]).T)
    return np.asarray(distance < config.scenery_tolerance * side)


def fit(
    a: Keypoints, b: Keypoints, pairs: NDArray[np.int64], weights: NDArray[np.float32], config: LocalConfig
) -> Verification:
    """The similarity that most of the given matches, by weight, agree with, and those matches."""
    pa, pb = a.points[pairs[:, 0]], b.points[pairs[:, 1]]
    turn = np.exp(1j * np.deg2rad(pb[:, 3] - pa[:, 3])).astype(np.complex64)
    scale = np.log2(pb[:, 2] / pa[:, 2])
    matched = _Matched(_complex(a.pixels[pairs[:, 0]]), _complex(b.pixels[pairs[:, 1]]), scale, turn, weights)
    threshold = config.tolerance * max(b.width, b.height)
    slope, shift = _hypotheses(matched, config)
    if not len(slope):
        return Verification.none(len(pairs))
    agree = _agree(matched, slope, shift, threshold, config)
    best = int((agree @ weights).argmax())
    inside, s, t = agree[best], complex(slope[best]), complex(shift[best])
    for _ in range(_REFINEMENTS):
        refined = _least_squares(matched, inside)
        if refined is None or not _plausible(np.array([refined[0]]), config)[0]:
            break
        again = _agree(matched, np.array([refined[0]]), np.array([refined[1]]), threshold, config)[0]
        if weights[again].sum() < weights[inside].sum():
            break
        inside, (s, t) = again, refined
    count = int(inside.sum())
    if count < config.min_inliers:
        return Verification.none(len(pairs))
    residual = float(np.sqrt(np.mean(np.abs(s * matched.za[inside] + t - matched.zb[inside]) ** 2)))
    transform = np.array([[s.real, -s.imag, t.real], [s.imag, s.real, t.imag]])
    return Verification(count, len(pairs), transform, pairs[inside], residual, float(weights[inside].sum()))


def _complex(points: NDArray[np.float32]) -> NDArray[np.complex64]:
    return np.ascontiguousarray(points, np.float32).view(np.complex64)[:, 0]


def _hypotheses(matched: _Matched, config: LocalConfig) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Plausible similarities from single matches and from pairs of the most distinctive ones."""
    za, zb = matched.za, matched.zb
    single = np.exp2(matched.scale) * matched.turn
    order = np.argsort(-matched.weights, kind="stable")[:_PAIRED_MATCHES]
    i, j = np.triu_indices(len(order), 1)
    i, j = order[i], order[j]
    across = za[j] - za[i]
    apart = np.abs(across) > 1.0
    i, j = i[apart], j[apart]
    paired = (zb[j] - zb[i]) / across[apart]
    slope = np.concatenate([single, paired]).astype(np.complex64)
    shift = np.concatenate([zb - single * za, zb[i] - paired * za[i]]).astype(np.complex64)
    fine = _plausible(slope, config)
    return slope[fine], shift[fine]


def _plausible(slope: NDArray[np.complex64], config: LocalConfig) -> NDArray[np.bool_]:
    """Neither an absurd change of scale nor of direction: an animal is seen upright, not upside down."""
    size = np.abs(slope)
    upright = slope.real >= np.cos(np.deg2rad(config.max_rotation)) * size
    return (size <= config.max_scale_change) & (size >= 1.0 / config.max_scale_change) & upright


def _agree(
    matched: _Matched,
    slope: NDArray[np.complex64],
    shift: NDArray[np.complex64],
    threshold: float,
    config: LocalConfig,
) -> NDArray[np.bool_]:
    """Hypotheses × matches: which match agrees with which transform in place, scale and direction."""
    size = np.abs(slope)[:, None]
    near = np.abs(slope[:, None] * matched.za + (shift[:, None] - matched.zb)) < threshold
    near &= np.abs(matched.scale - np.log2(size)) < config.scale_tolerance
    # |s|·cos(angle between s and the match's own turn), without computing the angle.
    along = slope.real[:, None] * matched.turn.real + slope.imag[:, None] * matched.turn.imag
    near &= along > np.cos(np.deg2rad(config.rotation_tolerance)) * size
    return near


def _least_squares(matched: _Matched, inside: NDArray[np.bool_]) -> tuple[complex, complex] | None:
    """Weighted best s and t of zb ≈ s·za + t over some matches; None where they do not fix one."""
    weights = matched.weights[inside]
    total = float(weights.sum())
    if total <= 0:
        return None
    weights = weights / total
    za, zb = matched.za[inside], matched.zb[inside]
    ma, mb = (weights * za).sum(), (weights * zb).sum()
    spread = float((weights * np.abs(za - ma) ** 2).sum())
    if spread < 1.0:
        return None
    s = complex((weights * np.conj(za - ma) * (zb - mb)).sum()) / spread
    return s, complex(mb) - s * complex(ma)
