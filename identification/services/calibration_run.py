"""The work of one calibration that was asked for. Loads engines: for tasks."""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError

from ..errors import SpotIDError
from ..models import CalibrationRun
from .calibration import calibration_fit, calibration_rollback
from .calibration_queue import CalibrationClaim, calibration_claim, calibration_fail, calibration_held
from .work import LeaseLost

logger = logging.getLogger(__name__)


def calibration_run(*, run_id: int) -> bool:
    """Fit, or go back, for a run; returns whether it could be claimed. What goes wrong is written down.

    Only the loss of the database is raised.
    """
    claim = calibration_claim(run_id=run_id)
    if claim is None:
        return False
    run = CalibrationRun.objects.select_related("population", "requested_by").get(pk=run_id)
    work = calibration_fit if run.kind == CalibrationRun.Kind.FIT else calibration_rollback
    try:
        with calibration_held(claim):
            work(population=run.population, acting_user=run.requested_by, claim=claim)
    except LeaseLost:
        logger.info("calibration %s was taken over", run_id)
    except (OperationalError, InterfaceError):
        raise
    except SpotIDError as refused:
        _record(claim, str(refused), final=True)
    except Exception as error:
        logger.exception("calibration %s failed", run_id)
        _record(claim, f"{type(error).__name__}: {error}", final=False)
    return True


def _record(claim: CalibrationClaim, reason: str, *, final: bool) -> None:
    try:
        calibration_fail(claim=claim, reason=reason, final=final)
    except LeaseLost:
        logger.info("calibration %s was taken over", claim.run_id)
