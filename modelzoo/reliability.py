"""How well probabilities hold: reliability tables, and predictions for individuals that a fit has not seen.

Expected calibration error: Naeini, Cooper and Hauskrecht 2015, over ten equal bins, weighted by pairs. Brier 1950.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .standing import PairModel, Standing, fit_pair_model

BINS = 10
FOLDS = 5
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Bin:
    """Probabilities from `low` on: how many pairs, their mean probability, and the share of right ones."""

    low: float
    pairs: int
    probability: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """NaN without pairs."""

    pairs: int
    right: float
    ece: float
    brier: float
    log_loss: float
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"bins": [asdict(one) for one in self.bins]}


@dataclass(frozen=True)
class ReliabilityPair:
    """A candidate with its truth. query, candidate: which individuals they show."""

    standing: Standing
    same: bool
    query: str
    candidate: str


def reliability(probabilities: Sequence[float] | NDArray[np.float64], same: Sequence[bool]) -> Reliability:
    p, y = np.asarray(probabilities, float), np.asarray(same, float)
    if not len(p):
        nothing = float("nan")
        return Reliability(0, nothing, nothing, nothing, nothing, ())
    bins = []
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    for number in range(BINS):
        inside = place == number
        if inside.any():
            bins.append(Bin(number / BINS, int(inside.sum()), float(p[inside].mean()), float(y[inside].mean())))
    ece = sum(one.pairs * abs(one.probability - one.right) for one in bins) / len(p)
    bounded = np.clip(p, _SMALLEST, 1 - _SMALLEST)
    loss = -float(np.mean(y * np.log(bounded) + (1 - y) * np.log(1 - bounded)))
    return Reliability(len(p), float(y.mean()), float(ece), float(np.mean((p - y) ** 2)), loss, tuple(bins))


def population_start(
    pairs: Sequence[ReliabilityPair], shipped: PairModel, scores: str
) -> tuple[PairModel, NDArray[np.float64]] | None:
    """Where the fit of a population begins, and its pairs' probabilities by fits that have not seen their animals.

    With every feature (:meth:`PairModel.widened`) where that foretells individuals held out better, by log loss and
    Brier score both; else with those that ship. None where too little is left to tell.
    """
    same = [pair.same for pair in pairs]
    narrow, wide = (cross_validated(pairs, start, scores) for start in (shipped, shipped.widened()))
    if narrow is None or wide is None:
        return None
    by_narrow, by_wide = reliability(narrow, same), reliability(wide, same)
    if by_wide.log_loss < by_narrow.log_loss and by_wide.brier < by_narrow.brier:
        return shipped.widened(), wide
    return shipped, narrow


def cross_validated(pairs: Sequence[ReliabilityPair], start: PairModel, scores: str) -> NDArray[np.float64] | None:
    """Probability of every pair by a fit that has not seen the query's individual; None where too little is left.

    Individuals are dealt into folds by name; a pair is predicted in the fold of its query, by a fit on the pairs that
    show no individual of the fold on either side. That leaves out wrong pairs only, so the odds are set right again.
    """
    individuals = sorted({name for pair in pairs for name in (pair.query, pair.candidate)})
    predicted = np.full(len(pairs), np.nan)
    for fold in range(FOLDS):
        held = set(individuals[fold::FOLDS])
        asked = [index for index, pair in enumerate(pairs) if pair.query in held]
        seen = [pair for pair in pairs if pair.query not in held and pair.candidate not in held]
        try:
            model = fit_pair_model(
                [pair.standing for pair in seen], [pair.same for pair in seen], start, version="", scores=scores
            )
        except ValueError:
            return None
        wrong = sum(not pair.same for pair in pairs if pair.query not in held)
        odds = math.log(sum(not pair.same for pair in seen) / wrong)
        model = replace(model, intercept=model.intercept + odds)
        for index in asked:
            predicted[index] = model.probability(pairs[index].standing)
    return predicted
