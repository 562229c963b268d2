"""Calibrations that the software asks for by itself, while people review. Loads no engine.

What a population's first answers teach puts the right pairs first among the many that are left: on a hard set the rest
of a review takes less than half of the answers (docs/decisions/0026).
"""

from __future__ import annotations

from datetime import datetime

from ..errors import SpotIDError
from ..models import CalibrationRun, Decision, PairCalibration, Population
from ..selectors.calibration import unmatched
from .calibration_queue import calibration_request

# Once decisions have grown by this share since the last attempt, and by at least so many.
GROWTH, FEWEST_NEW = 0.1, 12


def calibrations_request_due() -> int:
    """Ask for a fit of every population in which enough was decided since the last one; returns how many."""
    return sum(_request_due(population) for population in Population.objects.all())


def _request_due(population: Population) -> bool:
    if CalibrationRun.objects.filter(population=population, state__in=CalibrationRun.OPEN).exists():
        return False
    said = Decision.objects.filter(edge__a__image__survey__population=population, undoes__isnull=True)
    last = _last_attempt(population)
    fresh = said.count() if last is None else said.filter(created_at__gt=last).count()
    if fresh < FEWEST_NEW:
        return False
    before = 0 if last is None else said.filter(created_at__lte=last).count()
    if fresh < GROWTH * before or unmatched(population):
        return False
    try:
        calibration_request(population=population, acting_user=None)
    except SpotIDError:
        return False  # somebody has asked for something else in the same moment
    return True


def _last_attempt(population: Population) -> datetime | None:
    """Until when decisions were last looked at: by a run, whatever came of it, or after matching.

    A fit takes minutes: what people decided meanwhile is not in it, and is new.
    """
    run = CalibrationRun.objects.filter(population=population, kind=CalibrationRun.Kind.FIT).order_by("-pk").first()
    made = PairCalibration.objects.filter(population=population).order_by("-pk").first()
    looked = [run.created_at] if run is not None else []
    if made is not None:
        looked.append(made.decided_until or made.created_at)
    return max(looked, default=None)
