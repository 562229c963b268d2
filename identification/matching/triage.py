"""Whether a box shows the population's species, learned from marks of people. Pure functions.

Learning: regularised least squares whose leave-one-out answers have a closed form (Rifkin and Lippert 2007, "Notes on
regularized least squares"). Those left-out answers become probabilities by a logistic curve with smoothed targets
(Platt 1999), both kinds weighing the same: who marks what is conspicuous, or has confirmed animals to show, mixes marks
otherwise than the survey, and a survey of which much was put aside would go on to lose the rest. Estimating the
survey's own mixture instead (Saerens, Latinne and Decaestecker 2002) put a third of the wanted aside (measured).
Weights and strength were chosen by `benchmarks/triage.py` once and are not fitted to a survey: choosing among few
marks did worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

# Fewer marks of either kind than this teach nothing that could be checked by leaving one out.
LEAST_MARKS = 2
# More marks than this are thinned out evenly: time grows with their cube.
MOST_MARKS = 1500
# What counts of the vectors of the active model beside what the box looks like at a glance.
VECTOR_SHARE = 0.8
_STRENGTH = 0.1
_NEAREST = 10
_TINY = 1e-9


@dataclass(frozen=True)
class Scale:
    """How one kind of numbers of a survey becomes comparable with another: its mean, and a factor for each number."""

    mean: Rows
    factor: Rows

    @classmethod
    def of(cls, rows: Rows, *, each: bool = False, share: float = 1.0) -> Scale:
        """From n×d rows of a survey. each: numbers of their own units get a spread of one before they are weighed.

        share: the mean square length of the scaled rows, which is what this kind counts beside others.
        """
        mean = rows.mean(0)
        spread = rows.std(0) if each else np.ones(rows.shape[1])
        factor = np.where(spread > _TINY, 1 / np.maximum(spread, _TINY), 0.0)
        length = math.sqrt(max(float((((rows - mean) * factor) ** 2).sum(1).mean()), _TINY))
        return cls(mean, factor * math.sqrt(share) / length)

    def apply(self, rows: Rows) -> Rows:
        """Rows of the survey with mean zero and mean square length `share`."""
        return (rows - self.mean) * self.factor


@dataclass(frozen=True)
class Learned:
    """What marks taught.

    slope, offset: of the logistic curve over decisions. auroc: of marks left out (0.5 is chance). left_out: the
    decision on each mark without its group.
    """

    weights: Rows
    slope: float
    offset: float
    auroc: float
    left_out: Rows

    def decision(self, rows: Rows) -> Rows:
        """Larger is more like the wanted species (n); rows scaled, n×d."""
        return rows @ self.weights

    def probability(self, decision: Rows) -> Rows:
        """Estimated probability (n, 0…1) of the wanted species, if beforehand both kinds were equally likely."""
        return _logistic(self.slope * decision + self.offset)


def learn(rows: Rows, wanted: Sequence[bool], groups: Sequence[object]) -> Learned | None:
    """Learn from marked rows (scaled, n×d), which of them are wanted, and the groups they belong to.

    Marks of one group (an encounter, an individual) are left out together when it is measured how well others are
    told. None with fewer than LEAST_MARKS groups of either kind.
    """
    right = np.asarray(wanted, bool)
    blocks = _blocks(groups)
    if any(sum(bool((right[at] == kind).any()) for at in blocks) < LEAST_MARKS for kind in (True, False)):
        return None
    # Both kinds weigh the same, so that leaving one of the rarer kind out does not move the line.
    target = np.where(right, 0.5 / right.mean(), -0.5 / (~right).mean())
    inverse = np.linalg.inv(rows @ rows.T + _STRENGTH * np.eye(len(rows)))
    alpha = inverse @ target
    left_out = np.empty(len(rows))
    for at in blocks:
        left_out[at] = target[at] - np.linalg.solve(inverse[np.ix_(at, at)], alpha[at])
    slope, offset = platt(left_out, right)
    found = auroc(left_out, right)
    assert found is not None
    return Learned(rows.T @ alpha, slope, offset, found, left_out)


def likeness(rows: Rows, known: Rows, *, wanted: bool) -> Rows:
    """An order (n) where marks of one kind only are known (scaled, m×d): like their mean, or not. No probability."""
    return rows @ known.mean(0) * (1 if wanted else -1)


def ordinariness(rows: Rows, reference: Rows) -> Rows:
    """An order (n) where nothing is known: how near the ten nearest of a sample of the survey lie. No probability.

    A species that is most of what a survey holds comes out ordinary; one that is half of it does not.
    """
    gaps = (rows**2).sum(1)[:, None] + (reference**2).sum(1)[None] - 2 * rows @ reference.T
    # The nearest may be the box itself.
    nearest = np.sort(gaps, 1)[:, 1 : _NEAREST + 1]
    return -np.sqrt(np.maximum(nearest, 0)).mean(1) if nearest.shape[1] else np.zeros(len(rows))


def thinned(groups: Sequence[object], most: int = MOST_MARKS) -> list[int]:
    """Places of at most so many marks, as evenly over their groups as can be."""
    blocks = _blocks(groups)
    order = sorted((rank, number, int(at)) for number, block in enumerate(blocks) for rank, at in enumerate(block))
    return sorted(at for _, _, at in order[:most])


def _blocks(groups: Sequence[object]) -> list[NDArray[np.intp]]:
    places: dict[object, list[int]] = {}
    for index, group in enumerate(groups):
        places.setdefault(group, []).append(index)
    return [np.asarray(at) for at in places.values()]


def _logistic(value: Rows) -> Rows:
    return 1 / (1 + np.exp(-np.clip(value, -60, 60)))


def platt(scores: Rows, wanted: NDArray[np.bool_], *, balanced: bool = True) -> tuple[float, float]:
    """Slope (never negative) and offset of the logistic curve through left-out scores; both kinds among them.

    Targets are smoothed by the number of marks (Platt 1999), so few marks never make a probability of 0 or 1.
    balanced: both kinds weigh the same, however many there are of each.
    """
    ones, zeros = int(wanted.sum()), int((~wanted).sum())
    weight = np.where(wanted, 0.5 / wanted.mean(), 0.5 / (~wanted).mean()) if balanced else np.ones(len(wanted))
    target = np.where(wanted, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    slope, offset = 1.0, 0.0
    design = np.stack([scores, np.ones_like(scores)], 1)
    for _ in range(50):
        p = _logistic(slope * scores + offset)
        gradient = design.T @ (weight * (p - target)) + np.array([1e-3 * (slope - 1), 0.0])
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag([1e-3, 1e-6])
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 4.0 / (np.abs(step).max() + _TINY))
        slope, offset = slope - float(step[0]), offset - float(step[1])
        if np.abs(step).max() < 1e-8:
            break
    return max(slope, 0.0), offset


def auroc(scores: Rows, wanted: NDArray[np.bool_]) -> float | None:
    """Share of pairs (wanted, other) that the scores put in the right order, ties half; None without both kinds."""
    scores, wanted = np.asarray(scores, float), np.asarray(wanted, bool)
    ones, zeros = np.sort(scores[wanted]), np.sort(scores[~wanted])
    if not len(ones) or not len(zeros):
        return None
    below = np.searchsorted(zeros, ones, "left") + np.searchsorted(zeros, ones, "right")
    return float(below.sum() / 2 / len(ones) / len(zeros))
