"""Whether the similarities of a model's vectors deserve a say in the score, asked of pairs as reviewers meet them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibration import Calibration, Evidence, fit

# As many as a reviewer looks at of one anchor.
CANDIDATES = 5
# What the similarity has to take off the held-out Brier score, as a share of it, for the trouble that it may make.
WORTHWHILE = 0.02
FOLDS = 5
FEWEST_INDIVIDUALS = 5
FEWEST_OF_A_KIND = 20


@dataclass(frozen=True)
class ShownPair:
    """A query and one of its best candidates. query, candidate: which individuals they show; key: of the two photos."""

    evidence: Evidence
    query: str
    candidate: str
    key: tuple[int, int]

    @property
    def same(self) -> bool:
        return self.query == self.candidate


@dataclass(frozen=True)
class Judged:
    """Whether a similarity counts. calibration: the coefficients under which it does, else None.

    with_similarity, without: Brier scores of pairs of individuals held out of the fit, NaN where there are too few.
    pairs, right: how many pairs of a query and a candidate there are, and how many of these are of one individual.
    sentence: the same for people.
    """

    calibration: Calibration | None
    with_similarity: float
    without: float
    pairs: int
    right: int
    individuals: int
    sentence: str


def best_candidates(
    weight: NDArray[np.float64], similarity: NDArray[np.float64] | None = None
) -> Iterator[tuple[int, int]]:
    """Every query with its CANDIDATES best, by an n×n matrix of verification weights; below 0: not compared.

    similarity: n×n cosines, NaN where there is none. With it, the query's CANDIDATES best by cosine are candidates too:
    where local features find nothing, it is those that a similarity that counts would bring before people.
    """
    for query, row in enumerate(weight):
        by_weight = [j for j in np.argsort(-row, kind="stable").tolist() if row[j] >= 0]
        chosen = by_weight[:CANDIDATES]
        if similarity is not None:
            alike = np.where((row >= 0) & ~np.isnan(similarity[query]), similarity[query], -np.inf)
            by_likeness = [j for j in np.argsort(-alike, kind="stable").tolist() if alike[j] > -np.inf]
            chosen += [j for j in by_likeness[:CANDIDATES] if j not in chosen]
        for candidate in chosen:
            yield query, candidate


def brier(probabilities: Sequence[float], same: Sequence[bool]) -> float:
    """Mean squared difference between probability and truth (Brier 1950): 0 is perfect, NaN without pairs."""
    if not len(same):
        return float("nan")
    return float(np.mean((np.asarray(probabilities, float) - np.asarray(same, float)) ** 2))


def worthwhile(with_similarity: float, without: float) -> bool:
    """Whether one Brier score is enough below the other for the similarity to count."""
    return with_similarity < (1 - WORTHWHILE) * without


def alone(evidence: Evidence) -> Evidence:
    """The same evidence without its similarity."""
    return replace(evidence, similarity=None)


def without_similarity(calibration: Calibration) -> Calibration:
    """The same calibration, under which no similarity counts."""
    return replace(
        calibration,
        fused_intercept=calibration.intercept,
        fused_weight=calibration.weight,
        similarity=0.0,
        embedding="",
    )


def judge(pairs: Sequence[ShownPair], start: Calibration, version: str) -> Judged:
    """Fit a calibration to the pairs, and keep it if the similarity is worthwhile on individuals left out of the fit.

    The individuals are dealt into folds. Of each fold, the pairs whose query it holds are predicted, with the
    similarity and without, by coefficients fitted on the pairs that show none of its individuals. version: of the
    calibration. The pairs' similarities are all of one model; a pair without one is predicted alike both ways.
    """
    same = [pair.same for pair in pairs]
    right = len({frozenset(pair.key) for pair in pairs if pair.same})
    wrong = len({frozenset(pair.key) for pair in pairs if not pair.same})
    individuals = sorted({pair.query for pair in pairs} | {pair.candidate for pair in pairs})

    def judged(found: Calibration | None, fused: float, plain: float, sentence: str) -> Judged:
        return Judged(found, fused, plain, len(pairs), sum(same), len(individuals), sentence)

    few = (
        f"Similarity does not count in the score: {FEWEST_OF_A_KIND} right and {FEWEST_OF_A_KIND} wrong pairs of "
        f"{FEWEST_INDIVIDUALS} individuals are needed to tell; there are {right} right and {wrong} "
        f"wrong ones of {len(individuals)}."
    )
    if min(right, wrong) < FEWEST_OF_A_KIND or len(individuals) < FEWEST_INDIVIDUALS:
        return judged(None, float("nan"), float("nan"), few)
    predicted = _held_out(pairs, without_similarity(start), individuals)
    if predicted is None:
        return judged(None, float("nan"), float("nan"), few[:-1] + ", too unevenly spread.")
    fused, plain = (brier(column, same) for column in predicted.T)
    found = fit([pair.evidence for pair in pairs], same, without_similarity(start), version)
    figures = f"Brier {plain:.3f} → {fused:.3f} on {len(pairs)} pairs of {len(individuals)} individuals, each held out"
    if found.similarity > 0 and found.embedding and worthwhile(fused, plain):
        return judged(found, fused, plain, f"Similarity counts in the score: {figures}.")
    needed = f"that is not {WORTHWHILE:.0%} better"
    return judged(None, fused, plain, f"Similarity does not count in the score: {figures}; {needed}.")


def _held_out(pairs: Sequence[ShownPair], start: Calibration, individuals: Sequence[str]) -> NDArray[Any] | None:
    """n×2 probabilities, with and without similarity; None where a fold leaves too little to fit on."""
    predicted = np.full((len(pairs), 2), np.nan)
    for fold in range(FOLDS):
        held = set(individuals[fold::FOLDS])
        seen = [pair for pair in pairs if pair.query not in held and pair.candidate not in held]
        try:
            fitted = fit([pair.evidence for pair in seen], [pair.same for pair in seen], start, "")
        except ValueError:
            return None
        for index, pair in enumerate(pairs):
            if pair.query in held:
                predicted[index] = fitted.probability(pair.evidence), fitted.probability(alone(pair.evidence))
    return predicted
