"""Asking for the species scores of a survey, and the right to compute them. Our rows are the truth."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from ..models import Survey, TriageRun, User
from .audit import audit_record
from .silence import held
from .work import heartbeat


@dataclass(frozen=True)
class TriageClaim:
    """The right to compute a survey's scores until the lease ends. request: what it answers."""

    survey_id: int
    request: int


@transaction.atomic
def triage_request(*, survey: Survey, acting_user: User | None = None) -> TriageRun:
    """Ask for scores. While a request waits and nobody has begun, another one adds nothing."""
    TriageRun.objects.get_or_create(survey=survey)
    run = TriageRun.objects.select_for_update().get(survey=survey)
    if acting_user is not None:
        audit_record(acting_user=acting_user, action="survey.triage", target=survey, survey=survey)
    if run.waiting and run.lease_until is None and not run.attempts:
        return run
    run.requested = run.requested + 1
    run.attempts, run.error = 0, ""
    run.save(update_fields=["requested", "attempts", "error"])
    transaction.on_commit(lambda: triage_enqueue(survey_id=survey.pk))
    return run


def triage_enqueue(*, survey_id: int) -> None:
    """Wake a worker for it."""
    from django_q.tasks import async_task

    async_task("identification.tasks.triage_survey", survey_id, group="triage")


_CLAIM = """
UPDATE identification_triagerun SET attempts = attempts + 1, error = '',
    lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE survey_id = %s AND requested > served AND attempts < %s
    AND (lease_until IS NULL OR lease_until < clock_timestamp())
RETURNING requested
"""


def triage_claim(*, survey_id: int) -> TriageClaim | None:
    """Take a request that waits, or whose lease ran out; None when there is none, it is taken or out of attempts."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [settings.SPOTID_LEASE_SECONDS, survey_id, settings.SPOTID_MAX_ATTEMPTS])
        row = cursor.fetchone()
    return TriageClaim(survey_id, row[0]) if row else None


_RENEW = """
UPDATE identification_triagerun SET lease_until = clock_timestamp() + make_interval(secs => %s) WHERE survey_id = %s
"""


def triage_renew(*, claim: TriageClaim) -> None:
    """Renew the lease. Two runs of one survey would write the same, so nothing is fenced here but the storing."""
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, [settings.SPOTID_LEASE_SECONDS, claim.survey_id])
    heartbeat()


def triage_held(claim: TriageClaim) -> AbstractContextManager[None]:
    """While scores are computed, whether there is something to say or not."""
    return held(renew=lambda: _keep(claim), fail=lambda reason: triage_fail(claim=claim, reason=reason))


_KEEP = """
UPDATE identification_triagerun SET
    lease_until = greatest(lease_until, clock_timestamp() + make_interval(secs => %s))
WHERE survey_id IN (
    SELECT survey_id FROM identification_triagerun
    WHERE survey_id = %s AND lease_until IS NOT NULL AND served < %s FOR NO KEY UPDATE SKIP LOCKED)
"""


def _keep(claim: TriageClaim) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [settings.SPOTID_LEASE_SECONDS, claim.survey_id, claim.request])


def triage_fail(*, claim: TriageClaim, reason: str) -> None:
    """Record a failure; the request is tried again until its attempts are used up."""
    with transaction.atomic():
        run = TriageRun.objects.select_for_update().get(survey=claim.survey_id)
        run.error, run.lease_until = reason[:2000], None
        run.save(update_fields=["error", "lease_until"])
        if run.attempts < settings.SPOTID_MAX_ATTEMPTS:
            transaction.on_commit(lambda: triage_enqueue(survey_id=claim.survey_id))


def triage_waiting() -> list[int]:
    """Surveys with a request that somebody may take now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT survey_id FROM identification_triagerun WHERE requested > served AND attempts < %s "
            "AND (lease_until IS NULL OR lease_until < clock_timestamp()) ORDER BY survey_id",
            [settings.SPOTID_MAX_ATTEMPTS],
        )
        return [row[0] for row in cursor.fetchall()]


def triage_served(*, claim: TriageClaim, **values: object) -> None:
    """Say what came of it, in the transaction that stores the scores. A request made meanwhile keeps waiting."""
    TriageRun.objects.filter(survey=claim.survey_id).update(
        served=claim.request, version=F("version") + 1, lease_until=None, attempts=0, error="", **values
    )
    if TriageRun.objects.filter(survey=claim.survey_id, requested__gt=F("served")).exists():
        transaction.on_commit(lambda: triage_enqueue(survey_id=claim.survey_id))
