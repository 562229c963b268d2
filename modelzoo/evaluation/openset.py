"""Telling animals that are known from those that are new, by the best similarity of a photo.

Leave-one-individual-out, every photo in two roles:

- *known case*: a photo with another photo of its identity in its gallery. Its score is the best similarity to any photo
  of the gallery (whether right or wrong: what is asked is only whether the animal has been seen before).
- *new case*: every labelled photo, singletons too, after all photos of its individual (both flanks) are taken out of
  the gallery. Its score is the best similarity to what is left; without anything left it is no case.

A photo that can be compared with nothing scores −∞: it is taken for new.

- **AUROC**: the probability that a known case scores above a new case, ties counted by half. Chance
  is a little above 0.5, because the gallery of a known case is the larger one; see `chance`.
- **False-new rate at 1 % false-known**: an animal is taken for known when its score is above a threshold t. t is the
  lowest score of a new case above which at most 1 % of the new cases lie (with fewer than 100 new cases: none); the
  rate is the share of known cases at or below t, which would be taken for new animals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Figure, Resampler, Vector, interval

FALSE_KNOWN = 0.01


@dataclass(frozen=True)
class OpenSet:
    """auroc, false_new: with intervals. threshold: t above. roc: (false-known share, known share) points, rising."""

    auroc: Figure
    false_new: Figure
    threshold: float
    known_cases: int
    new_cases: int
    roc: tuple[tuple[float, float], ...]


def open_set(
    scores: NDArray[np.float64],
    gallery: NDArray[np.bool_],
    identities: NDArray[np.int64],
    resampler: Resampler,
) -> OpenSet:
    """scores, gallery: n×n, row by query; gallery says which photos a query is compared with. See the module."""
    same = identities[:, None] == identities[None, :]
    others = _others(gallery, resampler)
    known_rows = np.flatnonzero((gallery & same).any(axis=1))
    new_rows = np.flatnonzero(others.any(axis=1))
    known = _best(scores[known_rows], gallery[known_rows])
    new = _best(scores[new_rows], others[new_rows])
    if not len(known) or not len(new):
        nothing = Figure(float("nan"))
        return OpenSet(nothing, nothing, float("nan"), len(known), len(new), ())
    ranks = _Ranks(known, new, known_rows, new_rows)
    everybody = np.ones((1, len(scores)))
    auroc = interval(float(ranks.auroc(everybody)[0]), resampler.each(ranks.auroc, 3 * len(scores)))
    false_new = interval(float(ranks.false_new(everybody)[0]), resampler.each(ranks.false_new, 3 * len(scores)))
    return OpenSet(auroc, false_new, ranks.threshold(), len(known), len(new), ranks.roc())


def _others(gallery: NDArray[np.bool_], resampler: Resampler) -> NDArray[np.bool_]:
    """The gallery of each new case; empty for a photo that is none."""
    individuals = resampler.individuals
    return gallery & (individuals[:, None] != individuals[None, :]) & resampler.labelled[:, None]


def chance(gallery: NDArray[np.bool_], identities: NDArray[np.int64], resampler: Resampler) -> float:
    """AUROC of independent random scores: the best of g and h of them is among the g with probability g/(g + h)."""
    same = identities[:, None] == identities[None, :]
    known = gallery[(gallery & same).any(axis=1)].sum(axis=1)
    new = _others(gallery, resampler).sum(axis=1)
    (g, g_count), (h, h_count) = np.unique(known, return_counts=True), np.unique(new[new > 0], return_counts=True)
    if not len(g) or not len(h):
        return float("nan")
    wins = g[:, None] / (g[:, None] + h[None, :])
    return float(np.average(np.average(wins, axis=1, weights=h_count), weights=g_count))


def _best(scores: NDArray[np.float64], allowed: NDArray[np.bool_]) -> Vector:
    usable = allowed & ~np.isnan(scores)
    return np.where(usable, scores, -np.inf).max(axis=1, initial=-np.inf)


class _Ranks:
    """Both kinds of cases sorted once; each resample only weighs them anew (r×n weights of the photos → r values)."""

    def __init__(self, known: Vector, new: Vector, known_rows: NDArray[np.int64], new_rows: NDArray[np.int64]) -> None:
        order, self.known_rows = np.argsort(known), known_rows
        self.known, self.known_rows = known[order], known_rows[order]
        order = np.argsort(new)
        self.new, self.new_rows = new[order], new_rows[order]
        self.below = np.searchsorted(self.new, self.known, "left")
        self.not_above = np.searchsorted(self.new, self.known, "right")
        # Per new case: how many known cases lie at or below it, how many new cases lie at or below it.
        self.known_at = np.searchsorted(self.known, self.new, "right")
        self.new_at = np.searchsorted(self.new, self.new, "right")

    def auroc(self, weights: Vector) -> Vector:
        of_new = _cumulative(weights[:, self.new_rows])
        of_known = weights[:, self.known_rows]
        wins = (of_new[:, self.below] + of_new[:, self.not_above]) / 2
        with np.errstate(invalid="ignore"):
            return np.asarray((of_known * wins).sum(axis=1) / (of_known.sum(axis=1) * of_new[:, -1]))

    def false_new(self, weights: Vector) -> Vector:
        of_new, of_known = _cumulative(weights[:, self.new_rows]), _cumulative(weights[:, self.known_rows])
        total = of_new[:, -1:]
        above = total - of_new[:, self.new_at]
        drawn = weights[:, self.new_rows] > 0
        first = ((above <= FALSE_KNOWN * total + 1e-9) & drawn).argmax(axis=1)
        with np.errstate(invalid="ignore"):
            share = of_known[np.arange(len(weights)), self.known_at[first]] / of_known[:, -1]
        return np.where(total[:, 0] > 0, share, np.nan)

    def threshold(self) -> float:
        """The score of a new case above which at most 1 % of the new cases lie."""
        allowed = int(np.floor(FALSE_KNOWN * len(self.new) + 1e-9))
        return float(self.new[len(self.new) - 1 - allowed])

    def roc(self, points: int = 200) -> tuple[tuple[float, float], ...]:
        levels = np.unique(np.concatenate([self.known, self.new]))[::-1]
        false_known = 1 - np.searchsorted(self.new, levels, "left") / len(self.new)
        right = 1 - np.searchsorted(self.known, levels, "left") / len(self.known)
        keep = np.unique(np.linspace(0, len(levels) - 1, min(points, len(levels))).round().astype(int))
        return ((0.0, 0.0), *((float(false_known[i]), float(right[i])) for i in keep))


def _cumulative(weights: Vector) -> Vector:
    """r×n → r×(n+1) running sums with a leading 0."""
    return np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights, axis=1)], axis=1)
