"""The state of matching: a survey is matched when its photos are through, and again when something changed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from ..errors import SpotIDError
from ..models import ProcessingState, Survey, User, Work
from .audit import audit_record
from .silence import held, lease_keep
from .work import LeaseLost, heartbeat, this_worker

UNFINISHED = (ProcessingState.PENDING, ProcessingState.RUNNING)


@dataclass(frozen=True)
class MatchingClaim:
    """The right to match one survey until the lease ends."""

    survey_id: int
    token: int


def matching_invalidate(*, survey: Survey) -> None:
    """Say that the survey's candidates are out of date; a run that is going on loses its claim."""
    Survey.objects.filter(pk=survey.pk).update(
        matching_state=Survey.Matching.STALE,
        matching_attempts=0,
        matching_token=0,
        matching_lease_until=None,
        matching_error="",
        matching_progress=0,
    )
    transaction.on_commit(lambda: matching_enqueue_if_ready(survey=survey))


def matching_ready(*, survey: Survey) -> bool:
    """Whether every photo of the survey is through and its candidates are out of date."""
    stale = Survey.objects.filter(pk=survey.pk, matching_state=Survey.Matching.STALE).exists()
    return stale and not Work.objects.filter(image__survey=survey, state__in=UNFINISHED).exists()


def matching_enqueue_if_ready(*, survey: Survey) -> bool:
    """Wake a worker for the survey's matching if it can run; returns whether it did."""
    if not matching_ready(survey=survey):
        return False
    from django_q.tasks import async_task

    transaction.on_commit(lambda: async_task("identification.tasks.match_survey", survey.pk, group="match"))
    return True


def matching_request(*, survey: Survey, acting_user: User | None) -> None:
    """Match again because a person asks for it.

    Raises SpotIDError while photos are still being processed: the run would miss them, and starts by itself afterwards.
    """
    waiting = Work.objects.filter(image__survey=survey, state__in=UNFINISHED).count()
    if waiting:
        raise SpotIDError(
            f"{waiting} photos of {survey.name} are not through yet. Matching starts by itself when they are."
        )
    with transaction.atomic():
        matching_invalidate(survey=survey)
        audit_record(acting_user=acting_user, action="survey.match", target=survey, survey=survey)


_CLAIM = """
UPDATE identification_survey SET matching_state = 'running', matching_attempts = matching_attempts + 1,
    matching_token = nextval('spotid_fencing_token'), matching_worker = %s, matching_error = '', matching_progress = 0,
    matching_lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND matching_attempts < %s
    AND (matching_state = 'stale' OR (matching_state = 'running' AND matching_lease_until < clock_timestamp()))
    AND NOT EXISTS (
        SELECT 1 FROM identification_work w JOIN identification_image i ON i.id = w.image_id
        WHERE i.survey_id = identification_survey.id AND w.state IN ('pending', 'running'))
RETURNING matching_token
"""


def matching_claim(*, survey_id: int) -> MatchingClaim | None:
    """Take a survey whose photos are through and whose candidates are out of date; None otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [this_worker(), settings.SPOTID_LEASE_SECONDS, survey_id, settings.SPOTID_MAX_ATTEMPTS])
        row = cursor.fetchone()
    return MatchingClaim(survey_id, row[0]) if row else None


_RENEW = """
UPDATE identification_survey SET matching_progress = %s,
    matching_lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND matching_token = %s AND matching_state = 'running'
"""


def matching_renew(*, claim: MatchingClaim, progress: float) -> None:
    """Renew the lease and tell how far the run is (0…1). Raises LeaseLost when the survey changed or was taken over."""
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, [progress, settings.SPOTID_LEASE_SECONDS, claim.survey_id, claim.token])
        if cursor.rowcount != 1:
            raise LeaseLost("The survey changed while it was matched.")
    heartbeat()


def matching_held(claim: MatchingClaim) -> AbstractContextManager[None]:
    """While the survey is matched, and what hangs on that is done, whether there is something to say or not."""
    seconds = settings.SPOTID_LEASE_SECONDS

    def fail(reason: str) -> None:
        if Survey.objects.filter(pk=claim.survey_id, matching_state=Survey.Matching.RUNNING).exists():
            matching_fail(claim=claim, reason=reason)

    return held(
        renew=lambda: lease_keep("identification_survey", claim.survey_id, claim.token, seconds, prefix="matching_"),
        fail=fail,
    )


def matching_hold(*, populations: Iterable[int]) -> list[Survey]:
    """Hold the surveys of populations, in one order, until the transaction ends; boxes are locked before, if at all.

    For who is about to drop or rewrite candidates: a matching run stores before that or after, and as all take surveys
    before candidates, no two of them wait for each other. Decisions go on: they only name the survey.
    """
    surveys = Survey.objects.select_for_update(no_key=True).filter(population__in=list(populations))
    return list(surveys.order_by("pk"))


def matching_fence(*, claim: MatchingClaim) -> None:
    """Hold the survey for the running transaction. Raises LeaseLost when the claim is no longer valid."""
    held = Survey.objects.select_for_update(no_key=True).filter(
        pk=claim.survey_id, matching_token=claim.token, matching_state=Survey.Matching.RUNNING
    )
    if not held.exists():
        raise LeaseLost("The survey changed while it was matched.")


def matching_fail(*, claim: MatchingClaim, reason: str) -> None:
    """Record a failed run; it is tried again until the attempts are used up."""
    survey = Survey.objects.filter(pk=claim.survey_id, matching_token=claim.token)
    for attempts in survey.values_list("matching_attempts", flat=True):
        over = attempts >= settings.SPOTID_MAX_ATTEMPTS
        survey.update(
            matching_state=Survey.Matching.FAILED if over else Survey.Matching.STALE,
            matching_error=reason[:2000],
            matching_lease_until=None,
        )


_DIED = "The worker died while matching. Match again."
_EXPIRED = """
UPDATE identification_survey SET matching_lease_until = NULL, matching_token = 0,
    matching_state = CASE WHEN matching_attempts >= %s THEN 'failed' ELSE 'stale' END,
    matching_error = CASE WHEN matching_attempts >= %s THEN %s ELSE '' END
WHERE matching_state = 'running' AND (matching_lease_until < clock_timestamp() OR matching_worker = ANY(%s))
"""


def matching_expire(*, dead_workers: list[str]) -> int:
    """End leases that ran out or whose worker is gone; returns how many."""
    attempts = settings.SPOTID_MAX_ATTEMPTS
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, [attempts, attempts, _DIED, dead_workers])
        return cursor.rowcount
