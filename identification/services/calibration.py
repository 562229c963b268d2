"""Fitting the probability of a pair to a population's own decisions, and going back. Loads engines: not for pages.

A fit is kept only where it foretells pairs of individuals that it has not seen better than the coefficients that ship.
What stands in `Candidate.probability` is computed anew from the stored evidence; nothing is verified again. Decisions,
edges and individuals never change here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import connection, transaction

from ..errors import SpotIDError
from ..inference import engines
from ..inference.calibrating import Fitted, compared, fitted
from ..inference.probabilities import pair_model, probability, scoring_version
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
from .calibration_queue import (
    CalibrationClaim,
    administrators_only,
    calibration_fence,
    calibration_finish,
    calibration_renew,
    nothing_before,
)
from .individuals import population_lock
from .matching import matching_hold, matching_invalidate

logger = logging.getLogger(__name__)

# Fitted again after matching when the labelled pairs have grown by this share, and by at least so many.
_GROWTH, _FEWEST_NEW = 0.25, 20
_BATCH = 2000


@dataclass(frozen=True)
class CalibrationOutcome:
    """What came of a fit. calibration: None where there was too little to fit on. sentence: for people."""

    calibration: PairCalibration | None
    kept: bool
    refreshed: int
    sentence: str


def calibration_fit(
    *, population: Population, acting_user: User | None, claim: CalibrationClaim | None = None
) -> CalibrationOutcome:
    """Fit on the population's decisions; use the result if it betters held-out log loss and Brier score.

    acting_user: None for the command line and for the software itself. claim: of the run that asked for it, which ends
    in the transaction that stores the fit; a claim that was lost raises LeaseLost, and nothing is stored. Raises
    SpotIDError for an account that does not administer the installation. Too few decisions are no error: the
    outcome says so, and nothing changes.
    """
    administrators_only(acting_user)
    until = _decided_until(population)
    labels = labelled_candidates(population)
    _renew(claim)
    found = fitted(labels, scoring_version(active_model()), population.pk)
    _renew(claim)
    if found.coefficients is None:
        _finish(claim, found.sentence, None)
        return CalibrationOutcome(None, False, 0, found.sentence)
    with transaction.atomic():
        if claim is not None:
            calibration_fence(claim=claim)
        surveys = matching_hold(populations=[population.pk])
        before = active_calibration(population)
        if before is not None and _says_the_same(before, found):
            before.decided_until = until
            before.save(update_fields=["decided_until"])
            _finish(claim, found.sentence, before)
            return CalibrationOutcome(before, True, 0, found.sentence)
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
            decided_until=until,
        )
        refreshed = _refresh(population, surveys, made) if found.kept else 0
        audit_record(
            acting_user=acting_user,
            action="calibration.fit",
            target=made,
            before={"active": before.version if before else ""},
            after={"version": made.version, "kept": found.kept, "population": population.name, "pairs": made.pairs},
        )
        _finish(claim, found.sentence, made)
    return CalibrationOutcome(made, found.kept, refreshed, found.sentence)


def _says_the_same(calibration: PairCalibration, found: Fitted) -> bool:
    """Whether a fit only repeats what is in use: a second one of the same would make going back change nothing."""
    return found.kept and calibration.version == found.version and calibration.coefficients == found.coefficients


def calibration_rollback(
    *, population: Population, acting_user: User | None, claim: CalibrationClaim | None = None
) -> PairCalibration | None:
    """Go back to the calibration before the active one; None: the one that ships serves.

    claim: as for a fit. Raises SpotIDError when there is nothing to go back to.
    """
    administrators_only(acting_user)
    with transaction.atomic():
        if claim is not None:
            calibration_fence(claim=claim)
        surveys = matching_hold(populations=[population.pk])
        left = active_calibration(population)
        if left is None:
            raise SpotIDError(nothing_before(population))
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
        _finish(claim, f"{earlier.version if earlier else 'The calibration that ships'} is in use.", earlier)
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
    """Whether enough is new since the last fit, kept or not, and there is enough to fit on.

    New are decisions, local features, the model in use, and a learned matcher that compared enough of what is decided.
    """
    if unmatched(population):
        return False
    labels = labelled_candidates(population)
    last = latest_attempt(population)
    if last is None:
        return labels.enough
    if last.features != engines.local_version() or last.coefficients.get("scores") != scoring_version(active_model()):
        return labels.enough
    matcher = labels.matcher
    if matcher and last.report.get("learned", {}).get("matcher") != matcher and labels.compared_by(matcher).enough:
        return labels.enough
    return labels.enough and len(labels.pairs) - last.pairs >= max(_FEWEST_NEW, _GROWTH * last.pairs)


def _decided_until(population: Population) -> datetime:
    """A moment until which all decisions are there for whoever reads from now on.

    Whoever decides holds the population from before it is written down when that was until it is committed.
    """
    with transaction.atomic():
        population_lock(population.pk)
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
    return moment


def _renew(claim: CalibrationClaim | None) -> None:
    if claim is not None:
        calibration_renew(claim=claim)


def _finish(claim: CalibrationClaim | None, sentence: str, calibration: PairCalibration | None) -> None:
    if claim is not None:
        calibration_finish(claim=claim, sentence=sentence, calibration=calibration)


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


# Many times as fast as an UPDATE with a case for every row.
_WRITE = """
UPDATE identification_candidate SET probability = said.value
FROM unnest(%s::bigint[], %s::float8[]) AS said (id, value) WHERE identification_candidate.id = said.id
"""


def _refreshed(rows: Any, model: Any) -> int:
    """Read a portion at a time: a large survey's evidence takes more memory than a worker should."""
    done = 0
    candidates = rows.only("pk", "evidence", "probability").iterator(_BATCH)
    while portion := list(islice(candidates, _BATCH)):
        for row in portion:
            said = probability(model, row.evidence)
            row.probability = row.probability if said is None else said
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [[row.pk for row in portion], [row.probability for row in portion]])
            done += cursor.rowcount
    return done


def _report(found: Fitted, labels: Labels) -> dict[str, Any]:
    return {
        **found.report,
        "kept": found.kept,
        "sentence": found.sentence,
        "individuals": labels.individuals,
        "right_pairs": labels.right,
        "wrong_pairs": labels.wrong,
    }
