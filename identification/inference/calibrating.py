"""A population's own calibration: fitted on labelled candidates, held against the shipped one on other individuals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..selectors.calibration import Labels
from .engines import local_version

if TYPE_CHECKING:
    from modelzoo.reliability import ReliabilityPair
    from modelzoo.standing import PairModel


@dataclass(frozen=True)
class Fitted:
    """coefficients: None where there was too little to fit on. report: reliability of the shipped calibration and of
    the fitted one, both on individuals held out of the fit. sentence: for people."""

    coefficients: dict[str, Any] | None
    version: str
    kept: bool
    report: dict[str, Any]
    sentence: str


@dataclass(frozen=True, eq=False)
class _Refined:
    """held_out: probabilities of all pairs, of individuals held out. model: that reads a learned matcher, None where
    that is not worthwhile. report: empty where no learned matcher compared any of the pairs."""

    held_out: NDArray[np.float64]
    model: PairModel | None = None
    report: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""


def _pairs(labels: Labels) -> list[ReliabilityPair]:
    from modelzoo.reliability import ReliabilityPair
    from modelzoo.standing import Standing

    return [
        ReliabilityPair(Standing.from_dict(pair.evidence), pair.same, str(pair.query), str(pair.candidate))
        for pair in labels.pairs
    ]


def fitted(labels: Labels, scores: str, population: int) -> Fitted:
    """Fit on labelled candidates. scores: version of the calibration that scores pairs now.

    Kept when log loss and Brier score of held-out individuals are both below those of the shipped coefficients. What is
    used is also held to the candidates that nothing follows of yet, by what the shipped coefficients say of them: a
    right pair with a low score follows from others of its animal, a wrong one with the same score is among those that
    nobody was asked about. Without these, the odds of all that is open are too high, at first tenfold.
    """
    from modelzoo.reliability import population_start, reliability
    from modelzoo.standing import PairModel, Standing, fit_pair_model

    if not labels.enough:
        return Fitted(None, "", False, {}, labels.said)
    start, pairs = PairModel.default(), _pairs(labels)
    same = [pair.same for pair in pairs]
    begun = population_start(pairs, start, scores)
    if begun is None:
        return Fitted(
            None, "", False, {}, "Too few decisions to calibrate: they are too unevenly spread over individuals."
        )
    own_start, held_out = begun
    before = reliability([start.probability(pair.standing) for pair in pairs], same)
    version = f"population-{population}-{local_version()}-{len(pairs)}"
    refined = _refined(labels, pairs, held_out, own_start.reading, version, scores)
    after = reliability(refined.held_out, same)
    undecided = [Standing.from_dict(evidence) for evidence in labels.open]
    model = fit_pair_model(
        [*(pair.standing for pair in pairs), *undecided],
        [*map(float, same), *(start.probability(standing) for standing in undecided)],
        own_start,
        version=version,
        scores=scores,
        weights=[*[1.0] * len(pairs), *[labels.open_weight] * len(undecided)],
    )
    model = replace(model, learned=refined.model)
    kept = after.log_loss < before.log_loss and after.brier < before.brier
    error = f"expected calibration error {before.ece:.3f} → {after.ece:.3f}"
    figures = f"Brier {before.brier:.3f} → {after.brier:.3f}, {error}"
    about = f"on {len(pairs)} candidates of {labels.individuals} individuals, each held out of the fit"
    sentence = (
        f"Fitted to this population and in use: {figures} {about}."
        if kept
        else f"Not used, the shipped calibration is no worse: {figures} {about}."
    )
    report = {"shipped": before.to_dict(), "fitted": after.to_dict(), **refined.report}
    return Fitted(model.to_dict(), version, kept, report, sentence + (refined.sentence if kept else ""))


def _refined(
    labels: Labels,
    pairs: Sequence[ReliabilityPair],
    held_out: NDArray[np.float64],
    reading: Callable[[str], PairModel],
    version: str,
    scores: str,
) -> _Refined:
    """Whether what a learned matcher found betters the probabilities of the pairs that it compared.

    held_out: of all pairs, without it. reading: where a fit with it begins. Its findings count when there are decisions
    enough on the pairs that it compared, and log loss and Brier score of held-out individuals are both lower.
    """
    from modelzoo.calibrating import worthwhile
    from modelzoo.reliability import cross_validated, reliability
    from modelzoo.standing import fit_pair_model

    matcher = labels.matcher
    if not matcher:
        return _Refined(held_out)
    about = {"matcher": matcher, "counts": False}
    of = [i for i, pair in enumerate(labels.pairs) if pair.matcher == matcher]
    chosen, same = [pairs[i] for i in of], [pairs[i].same for i in of]
    known = labels.compared_by(matcher)
    predicted = cross_validated(chosen, reading(matcher), scores) if known.enough else None
    if predicted is None:
        few = f"{known.right} right and {known.wrong} wrong pairs of {known.individuals} individuals"
        report = {"learned": about if known.enough else {"counts": False}}
        return _Refined(held_out, None, report, f" The learned matcher does not count: it compared {few} only.")
    without, with_it = reliability(held_out[of], same), reliability(predicted, same)
    figures = f"Brier {without.brier:.3f} → {with_it.brier:.3f} on the {len(of)} candidates that it compared"
    about |= {"candidates": len(of), "without": without.brier, "with": with_it.brier}
    if not (worthwhile(with_it.brier, without.brier) and with_it.log_loss < without.log_loss):
        return _Refined(held_out, None, {"learned": about}, f" The learned matcher does not count: {figures}.")
    model = fit_pair_model([p.standing for p in chosen], same, reading(matcher), version=version, scores=scores)
    found = held_out.copy()
    found[of] = predicted
    return _Refined(found, model, {"learned": about | {"counts": True}}, f" The learned matcher counts: {figures}.")


def compared(labels: Labels, scores: str) -> dict[str, dict[str, Any]]:
    """Reliability on labelled candidates: shipped, fitted (individuals held out), and what the original would say."""
    from modelzoo.calibration import spotid_confidence
    from modelzoo.reliability import population_start, reliability
    from modelzoo.standing import PairModel

    if not labels.pairs:
        return {}
    start, pairs = PairModel.default(), _pairs(labels)
    same = [pair.same for pair in pairs]
    found = {"shipped": reliability([start.probability(p.standing) for p in pairs], same).to_dict()}
    begun = population_start(pairs, start, scores) if labels.enough else None
    if begun is not None:
        refined = _refined(labels, pairs, begun[1], begun[0].reading, "", scores)
        found["fitted"] = reliability(refined.held_out, same).to_dict()
    with_vectors = [pair for pair in pairs if pair.standing.evidence.similarity is not None]
    if with_vectors:
        said = [spotid_confidence(pair.standing.evidence.similarity or 0.0) for pair in with_vectors]
        found["spotid"] = reliability(said, [pair.same for pair in with_vectors]).to_dict()
    return found
