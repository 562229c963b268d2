"""Pairs that tell people most: what was nearly missed, what was missed, and what was mistaken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .photos import EvaluationPhoto, codes

PAIRS = 8
TITLES = {
    "right": "Right although hard: found at rank 1 with the lowest similarity",
    "missed": "Missed: the best photo of the same animal stands far down",
    "wrong": "Wrong: another animal at rank 1 with the highest similarity",
}


@dataclass(frozen=True)
class Pair:
    """Positions of two photos; rank: of `other` in the list of `query`."""

    query: int
    other: int
    score: float
    rank: int


def telling_pairs(
    scores: NDArray[np.float64], gallery: NDArray[np.bool_], photos: Sequence[EvaluationPhoto], *, most: int = PAIRS
) -> dict[str, tuple[Pair, ...]]:
    """By the keys of TITLES, at most `most` pairs each, no pair of photos twice. scores, gallery: n×n, row by query."""
    identities = codes([photo.identity for photo in photos])
    individuals = codes([photo.individual for photo in photos])
    right, missed, wrong = [], [], []
    for i in range(len(photos)):
        usable = np.where(gallery[i] & ~np.isnan(scores[i]), scores[i], -np.inf)
        if not np.isfinite(usable.max(initial=-np.inf)):
            continue
        first = int(usable.argmax())
        if identities[first] == identities[i]:
            right.append(Pair(i, first, float(usable[first]), 1))
        elif individuals[first] != individuals[i] and photos[i].labelled and photos[first].labelled:
            wrong.append(Pair(i, first, float(usable[first]), 1))
        own = np.where(identities == identities[i], usable, -np.inf)
        best = int(own.argmax())
        rank = int((usable > own[best]).sum()) + 1
        if np.isfinite(own[best]) and rank > 1:
            missed.append(Pair(i, best, float(own[best]), rank))
    return {
        "right": _distinct(sorted(right, key=lambda pair: pair.score), most),
        "missed": _distinct(sorted(missed, key=lambda pair: (-pair.rank, pair.score)), most),
        "wrong": _distinct(sorted(wrong, key=lambda pair: -pair.score), most),
    }


def _distinct(pairs: list[Pair], most: int) -> tuple[Pair, ...]:
    found: dict[frozenset[int], Pair] = {}
    for pair in pairs:
        found.setdefault(frozenset((pair.query, pair.other)), pair)
    return tuple(found.values())[:most]
