"""Fitting the probability of a pair to a population's own decisions, and going back. Loads engines: not for pages.

A fit is kept only where it foretells pairs of individuals that it has not seen better than the coefficients that ship.
What stands in `Candidate.probability` is computed anew from the stored evidence; nothing is verified again. Decisions,
edges and individuals never change here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from .. import permissions
from ..errors import SpotIDError
from ..inference import engines
from ..inference.calibrating import Fitted, compared, fitted
from ..inference.probabilities import pair_model, probabilities, scoring_version
from ..models import Candidate, PairCalibration, Population, Survey, User
from ..selectors.calibration import (
    Labels,
    active_calibration,
    calibration_before,
    labelled_candidates,
    latest_attempt,
    unmatched,
)
from .activation import active_model
from .audit import audit_record
from .matching import matching_hold, matching_invalidate

logger = logging.getLogger(__name__)

# Fitted again by itself when the labelled pairs have grown by this share, and by at least so many.
_GROWTH, _FEWEST_NEW = 0.25, 20
_BATCH = 2000


@dataclass(frozen=True)
class CalibrationOutcome:
    """What came of a fit. calibration: None where there was too little to fit on. sentence: for people."""

    calibration: PairCalibration | None
    kept: bool
    refreshed: int
    sentence: str


def calibration_fit(*, population: Population, acting_user: User | None) -> CalibrationOutcome:
    """Fit on the population's decisions; use the result if it betters held-out log loss and Brier score.

    acting_user: None for the command line and for the software itself. Raises SpotIDError for an account that does not
    administer the installation. Too few decisions are no error: the outcome says so, and nothing changes.
    """
    _administrators_only(acting_user)
    labels = labelled_candidates(population)
    found = fitted(labels, scoring_version(active_model()), population.pk)
    if found.coefficients is None:
        return CalibrationOutcome(None, False, 0, found.sentence)
    with transaction.atomic():
        surveys = matching_hold(populations=[population.pk])
        before = active_calibration(population)
        if found.kept:
            PairCalibration.objects.filter(population=population, active=True).update(active=False)
        made = PairCalibration.objects.create(
            population=population,
            coefficients=found.coefficients,
            version=found.version,
            features=engines.local_version(),
            pairs=len(labels.pairs),
            right=sum(pair.same for pair in labels.pairs),
            report=_report(found, labels),
            active=found.kept,
            fitted_by=acting_user,
        )
        refreshed = _refresh(population, surveys, made) if found.kept else 0
        audit_record(
            acting_user=acting_user,
            action="calibration.fit",
            target=made,
            before={"active": before.version if before else ""},
            after={"version": made.version, "kept": found.kept, "population": population.name, "pairs": made.pairs},
        )
    return CalibrationOutcome(made, found.kept, refreshed, found.sentence)


def calibration_rollback(*, population: Population, acting_user: User | None) -> PairCalibration | None:
    """Go back to the calibration before the active one; None: the one that ships serves. Raises SpotIDError."""
    _administrators_only(acting_user)
    with transaction.atomic():
        surveys = matching_hold(populations=[population.pk])
        left = active_calibration(population)
        if left is None:
            raise SpotIDError(f"{population} uses the calibration that ships; there is nothing to go back to.")
        earlier = calibration_before(population)
        left.active = False
        left.report = {**left.report, "withdrawn": True}
        left.save(update_fields=["active", "report"])
        if earlier is not None:
            earlier.active = True
            earlier.save(update_fields=["active"])
        _refresh(population, surveys, earlier)
        audit_record(
            acting_user=acting_user,
            action="calibration.rollback",
            target=left,
            before={"active": left.version},
            after={"active": earlier.version if earlier else "", "population": population.name},
        )
    return earlier


def calibration_compare(*, population: Population) -> dict[str, dict[str, Any]]:
    """Reliability of the shipped, the fitted and the original's (`spotid`) on decided candidates; changes nothing."""
    return compared(labelled_candidates(population), scoring_version(active_model()))


def calibration_after_matching(*, population: Population) -> CalibrationOutcome | None:
    """Fit by itself when all surveys are matched and enough is new: decisions, local features or the model in use.

    None when it is not time. A failure is logged: matching has done its work.
    """
    try:
        return calibration_fit(population=population, acting_user=None) if calibration_due(population) else None
    except SpotIDError as refused:
        logger.info("calibration of %s: %s", population, refused)
        return None


def calibration_due(population: Population) -> bool:
    """Whether enough is new since the last fit, kept or not, and there is enough to fit on."""
    if unmatched(population):
        return False
    labels = labelled_candidates(population)
    last = latest_attempt(population)
    if last is None:
        return labels.enough
    if last.features != engines.local_version() or last.coefficients.get("scores") != scoring_version(active_model()):
        return labels.enough
    return labels.enough and len(labels.pairs) - last.pairs >= max(_FEWEST_NEW, _GROWTH * last.pairs)


def _administrators_only(acting_user: User | None) -> None:
    if acting_user is not None and not permissions.is_administrator(acting_user):
        raise SpotIDError("Calibrations are for administrators.")


def _refresh(population: Population, surveys: list[Survey], active: PairCalibration | None) -> int:
    """Probabilities of all candidates anew; a run that is going on, or candidates without evidence, match again."""
    scores = scoring_version(active_model())
    model = pair_model(active.features if active else "", active.coefficients if active else None, scores)
    done = 0
    for survey in surveys:
        rows = Candidate.objects.filter(anchor__image__survey=survey)
        if survey.matching_state == Survey.Matching.RUNNING or rows.filter(evidence={}).exists():
            matching_invalidate(survey=survey)
            continue
        done += _refreshed(rows, model)
    return done


def _refreshed(rows: Any, model: Any) -> int:
    candidates = list(rows.only("pk", "rank", "evidence", "probability"))
    said = probabilities(model, [row.evidence for row in candidates], [row.rank for row in candidates])
    for row, value in zip(candidates, said, strict=True):
        row.probability = row.probability if value is None else value
    Candidate.objects.bulk_update(candidates, ["probability"], batch_size=_BATCH)
    return len(candidates)


def _report(found: Fitted, labels: Labels) -> dict[str, Any]:
    return {
        **found.report,
        "kept": found.kept,
        "sentence": found.sentence,
        "individuals": labels.individuals,
        "right_pairs": labels.right,
        "wrong_pairs": labels.wrong,
    }
