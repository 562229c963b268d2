"""The state of calibrations that were asked for: requested, claimed, fenced, ended. Loads no engine.

Claims, leases and fencing are as in `work`. A run that fails for a reason that another attempt cannot change is over at
once; else it waits for its next attempt until none is left.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import CalibrationRun, PairCalibration, Population, User
from ..permissions import is_administrator
from ..selectors.calibration import active_calibration
from .audit import audit_record
from .leases import attempt_fail, lease_renew, lease_take, leases_expire
from .silence import held, lease_keep
from .work import LeaseLost, heartbeat, this_worker

Kind, State = CalibrationRun.Kind, CalibrationRun.State


@dataclass(frozen=True)
class CalibrationClaim:
    """The right to work on one run until the lease ends."""

    run_id: int
    token: int


def calibration_request(
    *, population: Population, acting_user: User | None, kind: str = CalibrationRun.Kind.FIT
) -> CalibrationRun:
    """Ask for a fit, or for going back; a worker is woken once the transaction commits.

    While the same is waiting or going on, that run is returned and nothing is added. Raises SpotIDError while the other
    is, when there is nothing to go back to, and for an account that does not administer the installation.
    """
    administrators_only(acting_user)
    if kind == Kind.ROLLBACK and active_calibration(population) is None:
        raise SpotIDError(nothing_before(population))
    try:
        with transaction.atomic():
            run = CalibrationRun.objects.create(population=population, kind=kind, requested_by=acting_user)
            audit_record(
                acting_user=acting_user,
                action="calibration.request",
                target=run,
                after={"population": population.name, "kind": kind},
            )
            transaction.on_commit(lambda: calibration_enqueue(run_id=run.pk))
    except IntegrityError:
        going_on = CalibrationRun.objects.filter(population=population, state__in=CalibrationRun.OPEN, kind=kind)
        found = going_on.first()
        if found is None:
            raise SpotIDError(
                gettext("%(population)s is being calibrated. Wait until that is through.") % {"population": population}
            ) from None
        return found
    return run


def administrators_only(acting_user: User | None) -> None:
    if acting_user is not None and not is_administrator(acting_user):
        raise SpotIDError(gettext("Calibrations are for administrators."))


def nothing_before(population: Population) -> str:
    return f"{population} uses the calibration that ships; there is nothing to go back to."


def calibration_enqueue(*, run_id: int) -> None:
    """Wake a worker for it."""
    from django_q.tasks import async_task

    async_task("identification.tasks.calibrate_population", run_id, group="calibrate")


def calibration_claim(*, run_id: int) -> CalibrationClaim | None:
    """Take a run that waits, or whose lease ran out; None when it is over, taken or out of attempts."""
    token = lease_take(CalibrationRun, run_id, seconds=settings.SPOTID_LEASE_SECONDS, worker=this_worker())
    return None if token is None else CalibrationClaim(run_id, token)


def calibration_renew(*, claim: CalibrationClaim) -> None:
    """Renew the lease between two steps. Raises LeaseLost."""
    lease_renew(CalibrationRun, claim.run_id, claim.token, seconds=settings.SPOTID_LEASE_SECONDS)
    heartbeat()


def calibration_held(claim: CalibrationClaim) -> AbstractContextManager[None]:
    """While the run is worked on, whether it has something to say or not."""
    seconds = settings.SPOTID_LEASE_SECONDS
    return held(
        renew=lambda: lease_keep("identification_calibrationrun", claim.run_id, claim.token, seconds),
        fail=lambda reason: calibration_fail(claim=claim, reason=reason, final=False),
    )


def calibration_fence(*, claim: CalibrationClaim) -> CalibrationRun:
    """Hold the run for the running transaction. Raises LeaseLost when the claim is no longer valid."""
    held = CalibrationRun.objects.select_for_update().filter(pk=claim.run_id, token=claim.token, state=State.RUNNING)
    run = held.first()
    if run is None:
        raise LeaseLost("The calibration was taken over.")
    return run


@transaction.atomic
def calibration_finish(*, claim: CalibrationClaim, sentence: str, calibration: PairCalibration | None) -> None:
    """Say what came of it, in the transaction that stores it."""
    run = calibration_fence(claim=claim)
    CalibrationRun.objects.filter(pk=run.pk).update(
        state=State.DONE,
        sentence=sentence,
        calibration=calibration,
        error="",
        lease_until=None,
        worker="",
        finished_at=Now(),
    )


@transaction.atomic
def calibration_fail(*, claim: CalibrationClaim, reason: str, final: bool) -> None:
    """Record a failure. Not final: the run waits for its next attempt until none is left."""
    run = calibration_fence(claim=claim)
    attempt_fail(CalibrationRun.objects.filter(pk=run.pk), reason=reason, final=final, worker="")


def calibration_expire() -> int:
    """End leases that ran out, or whose worker on this host is gone; returns how many."""
    return leases_expire(CalibrationRun, "times while it calibrated.")
