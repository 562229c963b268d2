"""Geometric verification: how many matched keypoints of two crops agree on one similarity transform.

Points are complex numbers here, so that a similarity without reflection is ``z ↦ s·z + t`` with complex s and t.
Hypotheses come from pairs of matches (all of them, or a seeded sample), in the manner of RANSAC (Fischler and Bolles
1981); each is judged by the number of matches it explains in position.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .features import LocalConfig, LocalFeatures

Matches = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Verification:
    """What two crops share.

    inliers: matches that agree with the transform (0 when none is found). matches: tentative matches before geometry.
    transform: 2×3 float64 taking pixels of a's resized crop to b's, or None. pairs: inliers×2 int64, indices into a's
    and b's keypoints. residual: root mean square distance of the inliers in b's pixels. weight: the sum over inliers of
    how distinctive each match is (0…1 each).
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


def verify(a: LocalFeatures, b: LocalFeatures, config: LocalConfig) -> Verification:
    """Matches two crops and keeps what one similarity transform explains. Deterministic; never raises on few points."""
    pairs, weights = tentative_matches(a, b, config)
    if len(pairs) < config.min_inliers:
        return Verification.none(len(pairs))
    return fit(a, b, pairs, weights, config)


def tentative_matches(a: LocalFeatures, b: LocalFeatures, config: LocalConfig) -> Matches:
    """One-to-one m×2 indices that pass the ratio test, and m weights 1 − (ratio of distances)."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    similarity = a.rootsift @ b.rootsift.T
    rows = np.arange(len(a))
    best = similarity.argmax(axis=1)
    first = similarity[rows, best]
    similarity[rows, best] = -1.0
    second = similarity.max(axis=1)
    similarity[rows, best] = first
    # Unit vectors: squared distance is 2 − 2·similarity, so the squared ratio needs no root.
    squared = np.maximum(1.0 - first, 0.0) / np.maximum(1.0 - second, 1e-6)
    kept = np.flatnonzero(squared < config.ratio**2)
    if config.mutual and len(kept):
        kept = kept[similarity[:, best[kept]].max(axis=0) <= first[kept]]
    # One-to-one: of several that want the same keypoint the most similar wins, ties by position.
    kept = kept[np.lexsort((kept, -first[kept]))]
    _, unique = np.unique(best[kept], return_index=True)
    kept = np.sort(kept[unique])
    weights = 1.0 - np.sqrt(squared[kept])
    return np.stack([kept, best[kept]], axis=1), weights.astype(np.float32)


def fit(
    a: LocalFeatures, b: LocalFeatures, pairs: NDArray[np.int64], weights: NDArray[np.float32], config: LocalConfig
) -> Verification:
    """The similarity that most of the given matches agree with, and those matches."""
    za, zb = _complex(a.pixels[pairs[:, 0]]), _complex(b.pixels[pairs[:, 1]])
    slope, shift = _hypotheses(za, zb, config)
    if not len(slope):
        return Verification.none(len(pairs))
    threshold = config.ransac_threshold * max(b.width, b.height)
    errors = np.abs(slope[:, None] * za[None, :] + (shift[:, None] - zb[None, :]))
    agree = errors < threshold
    quality = agree.sum(axis=1) - (errors * agree).sum(axis=1) / (threshold * (len(za) + 1))
    inside = agree[int(quality.argmax())]
    s, t = _least_squares(za[inside], zb[inside])
    for _ in range(2):
        refined = np.abs(s * za + t - zb) < threshold
        if refined.sum() < inside.sum():
            break
        inside = refined
        s, t = _least_squares(za[inside], zb[inside])
    if inside.sum() < config.min_inliers or not _plausible(np.array([s]), config)[0]:
        return Verification.none(len(pairs))
    residual = float(np.sqrt(np.mean(np.abs(s * za[inside] + t - zb[inside]) ** 2)))
    transform = np.array([[s.real, -s.imag, t.real], [s.imag, s.real, t.imag]])
    return Verification(int(inside.sum()), len(pairs), transform, pairs[inside], residual, float(weights[inside].sum()))


def _complex(points: NDArray[np.float32]) -> NDArray[np.complex64]:
    return np.ascontiguousarray(points, np.float32).view(np.complex64)[:, 0]


def _hypotheses(
    za: NDArray[np.complex64], zb: NDArray[np.complex64], config: LocalConfig
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Similarities through pairs of matches: all, or a seeded sample of ``ransac_samples`` of them."""
    i, j = np.triu_indices(len(za), 1)
    if len(i) > config.ransac_samples:
        chosen = np.random.default_rng(config.seed).choice(len(i), config.ransac_samples, replace=False)
        i, j = i[chosen], j[chosen]
    across = za[j] - za[i]
    apart = np.abs(across) > 1.0
    i, j, across = i[apart], j[apart], across[apart]
    slope = (zb[j] - zb[i]) / across
    fine = _plausible(slope, config)
    slope = slope[fine]
    return slope, zb[i[fine]] - slope * za[i[fine]]


def _plausible(slope: NDArray[np.complex64], config: LocalConfig) -> NDArray[np.bool_]:
    """Neither an absurd change of scale nor of direction: an animal is seen upright, not upside down."""
    size = np.abs(slope)
    upright = np.abs(np.angle(slope)) <= np.deg2rad(config.max_rotation)
    return (size <= config.max_scale_change) & (size >= 1.0 / config.max_scale_change) & upright


def _least_squares(za: NDArray[np.complex64], zb: NDArray[np.complex64]) -> tuple[complex, complex]:
    """Best s and t of zb ≈ s·za + t."""
    ma, mb = za.mean(), zb.mean()
    spread = float((np.abs(za - ma) ** 2).sum())
    s = complex((np.conj(za - ma) * (zb - mb)).sum()) / spread if spread > 0 else 1.0 + 0.0j
    return s, complex(mb) - s * complex(ma)
