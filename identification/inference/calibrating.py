"""A population's own calibration: fitted on labelled candidates, held against the shipped one on other individuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..selectors.calibration import Labels
from .engines import local_version


@dataclass(frozen=True)
class Fitted:
    """coefficients: None where there was too little to fit on. report: reliability of the shipped calibration and of
    the fitted one, both on individuals held out of the fit. sentence: for people."""

    coefficients: dict[str, Any] | None
    version: str
    kept: bool
    report: dict[str, Any]
    sentence: str


def fitted(labels: Labels, scores: str, population: int) -> Fitted:
    """Fit on labelled candidates. scores: version of the calibration that scores pairs now.

    Kept when log loss and Brier score of held-out individuals are both below those of the shipped coefficients.
    """
    from modelzoo.reliability import ReliabilityPair, cross_validated, reliability
    from modelzoo.standing import PairModel, Standing, adaptation, fit_pair_model

    if not labels.enough:
        return Fitted(None, "", False, {}, labels.said)
    start = PairModel.default()
    pairs = [
        ReliabilityPair(Standing.from_dict(pair.evidence), pair.same, str(pair.query), str(pair.candidate))
        for pair in labels.pairs
    ]
    same = [pair.same for pair in pairs]
    held_out = cross_validated(pairs, start, scores)
    if held_out is None:
        return Fitted(
            None, "", False, {}, "Too few decisions to calibrate: they are too unevenly spread over individuals."
        )
    shift = adaptation(start, [pair.standing for pair in pairs])
    before = reliability([start.probability(pair.standing, shift=shift) for pair in pairs], same)
    after = reliability(held_out, same)
    version = f"population-{population}-{local_version()}-{len(pairs)}"
    model = fit_pair_model([pair.standing for pair in pairs], same, start, version=version, scores=scores)
    kept = after.log_loss < before.log_loss and after.brier < before.brier
    error = f"expected calibration error {before.ece:.3f} → {after.ece:.3f}"
    figures = f"Brier {before.brier:.3f} → {after.brier:.3f}, {error}"
    about = f"on {len(pairs)} candidates of {labels.individuals} individuals, each held out of the fit"
    sentence = (
        f"Fitted to this population and in use: {figures} {about}."
        if kept
        else f"Not used, the shipped calibration is no worse: {figures} {about}."
    )
    report = {"shipped": before.to_dict(), "fitted": after.to_dict()}
    return Fitted(model.to_dict(), version, kept, report, sentence)


def compared(labels: Labels, scores: str) -> dict[str, dict[str, Any]]:
    """Reliability on labelled candidates: shipped, fitted (individuals held out), and what the original would say."""
    from modelzoo.calibration import spotid_confidence
    from modelzoo.reliability import ReliabilityPair, cross_validated, reliability
    from modelzoo.standing import PairModel, Standing, adaptation

    if not labels.pairs:
        return {}
    start = PairModel.default()
    pairs = [
        ReliabilityPair(Standing.from_dict(pair.evidence), pair.same, str(pair.query), str(pair.candidate))
        for pair in labels.pairs
    ]
    same = [pair.same for pair in pairs]
    shift = adaptation(start, [pair.standing for pair in pairs])
    found = {"shipped": reliability([start.probability(p.standing, shift=shift) for p in pairs], same).to_dict()}
    held_out = cross_validated(pairs, start, scores) if labels.enough else None
    if held_out is not None:
        found["fitted"] = reliability(held_out, same).to_dict()
    with_vectors = [pair for pair in pairs if pair.standing.evidence.similarity is not None]
    if with_vectors:
        said = [spotid_confidence(pair.standing.evidence.similarity or 0.0) for pair in with_vectors]
        found["spotid"] = reliability(said, [pair.same for pair in with_vectors]).to_dict()
    return found
