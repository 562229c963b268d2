"""Which pairs are compared, and how alike they are: as seen, and with all animals facing one way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .photos import EvaluationPhoto, codes

Matrix = NDArray[np.float64]


def cosines(vectors: ArrayLike, photos: Sequence[EvaluationPhoto]) -> Matrix:
    """n×d unit rows (float64) of n photos; a row of NaN stays one (nothing to compare).

    Raises ValueError for another shape and for a row without direction.
    """
    rows = np.asarray(vectors, np.float64)
    if not len(photos) and rows.size == 0:
        return np.zeros((0, 1))
    if rows.ndim != 2 or len(rows) != len(photos):
        raise ValueError(f"vectors of shape {rows.shape} do not belong to {len(photos)} photos")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isnan(length) | (np.isfinite(length) & (length > 0))).all():
        raise ValueError("a vector is zero or infinite: it has no direction")
    return np.asarray(rows / length)


def as_seen(rows: Matrix) -> Matrix:
    return np.clip(rows @ rows.T, -1.0, 1.0)


def needs_mirrored(photos: Sequence[EvaluationPhoto]) -> bool:
    """Whether animals may face different ways."""
    return may_differ([photo.flank for photo in photos])


def may_differ(flanks: Sequence[str]) -> bool:
    """Whether animals with these flanks may face different ways."""
    return len(set(flanks)) > 1 or "unknown" in flanks


def normalised_cosines(rows: Matrix, mirrored: Matrix, flanks: Sequence[str]) -> Matrix:
    """n×n cosines with all animals facing one way.

    rows, mirrored: n×d unit rows of the coats as seen and mirrored. Photos of a known left flank count mirrored, those
    of a right one as seen. A pair with an unknown flank takes the best of both as seen and either one mirrored, the
    known one facing the common way.
    """
    sides = np.array(flanks, dtype=object)
    facing = np.where((sides == "left")[:, None], mirrored, rows)
    one_way = as_seen(facing)
    unknown = sides == "unknown"
    if not unknown.any():
        return one_way
    turned = np.clip(mirrored @ facing.T, -1.0, 1.0)  # i mirrored against j facing the common way
    best = np.where(unknown[:, None], np.maximum(one_way, turned), one_way)
    return np.where(unknown[None, :], np.maximum(best, turned.T), best)


def normalised_scores(seen: Matrix, mirrored: Matrix, flanks: Sequence[str]) -> Matrix:
    """The same for a scorer without vectors: mirrored[i, j] scores photo i mirrored against photo j as seen.

    Two photos of the same known flank are compared as seen; of different ones the left one mirrored; a pair with an
    unknown flank takes the best of both as seen and either one mirrored. NaN only where all of them are.
    """
    sides = np.array(flanks, dtype=object)
    left, right, unknown = sides == "left", sides == "right", sides == "unknown"
    scores = np.where(left[:, None] & right[None, :], mirrored, seen)
    scores = np.where(right[:, None] & left[None, :], mirrored.T, scores)
    best = np.fmax(np.fmax(seen, mirrored), mirrored.T)
    return np.where(unknown[:, None] | unknown[None, :], best, scores)


def everybody(photos: Sequence[EvaluationPhoto]) -> NDArray[np.bool_]:
    """n×n: every other photo is in a query's gallery."""
    return ~np.eye(len(photos), dtype=bool)


def other_events(photos: Sequence[EvaluationPhoto]) -> NDArray[np.bool_] | str:
    """n×n: the photos of known other events; photos whose event is unknown neither ask nor answer.

    Or the sentence that says why this cannot be told.
    """
    events = codes([photo.event for photo in photos])
    known = events >= 0
    if known.sum() < 2:
        return "The events of the photos are not known, so near-duplicates cannot be left out."
    return known[:, None] & known[None, :] & (events[:, None] != events[None, :])
