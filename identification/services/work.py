"""Claims, leases and fencing of background work. Our rows are the truth, the queue only wakes workers.

A claim is one conditional UPDATE that counts the attempt and commits before the work begins, so a photo that kills its
process is counted too. Every later write names the claim's token; after the lease was taken over, it is refused. All
times are the database's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.db.models.functions import Now

from ..errors import SpotIDError
from ..models import Heartbeat, ProcessingStage, ProcessingState, Work
from ..selectors.heartbeat import HEARTBEAT
from .silence import spoken


class LeaseLost(SpotIDError):
    """Somebody else has taken this work over; what this process made of it must not be written."""


@dataclass(frozen=True)
class Claim:
    """The right to work on one photo until the lease ends."""

    image_id: int
    token: int


def this_worker() -> str:
    return f"{socket.gethostname()[:80]}:{os.getpid()}"


_CLAIM = """
UPDATE identification_work SET state = 'running', attempts = attempts + 1, token = nextval('spotid_fencing_token'),
    worker = %s, lease_until = clock_timestamp() + make_interval(secs => %s), reason_code = '', reason = ''
WHERE image_id = %s AND attempts < %s
    AND (state = 'pending' OR (state = 'running' AND lease_until < clock_timestamp()))
RETURNING token
"""


def work_claim(*, image_id: int) -> Claim | None:
    """Take a waiting photo, or one whose lease ran out; None when it is done, taken or out of attempts."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [this_worker(), settings.SPOTID_LEASE_SECONDS, image_id, settings.SPOTID_MAX_ATTEMPTS])
        row = cursor.fetchone()
    return Claim(image_id, row[0]) if row else None


_RENEW = """
UPDATE identification_work SET stage = %s, lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE image_id = %s AND token = %s AND state = 'running'
"""


def work_enter(*, claim: Claim, stage: ProcessingStage) -> None:
    """Say that a stage begins, and renew the lease. Raises LeaseLost."""
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, [stage, settings.SPOTID_LEASE_SECONDS, claim.image_id, claim.token])
        if cursor.rowcount != 1:
            raise LeaseLost("The work was taken over.")
    heartbeat()


def work_fence(*, claim: Claim) -> None:
    """Hold the claim's row for the running transaction. Raises LeaseLost when the claim is no longer valid."""
    held = Work.objects.select_for_update().filter(
        image_id=claim.image_id, token=claim.token, state=ProcessingState.RUNNING
    )
    if not held.exists():
        raise LeaseLost("The work was taken over.")


@transaction.atomic
def work_finish(*, claim: Claim, seconds: float) -> None:
    work_fence(claim=claim)
    Work.objects.filter(pk=claim.image_id).update(
        state=ProcessingState.DONE,
        lease_until=None,
        seconds=seconds,
        finished_at=Now(),
        reason_code="",
        reason="",
        worker="",
    )


@transaction.atomic
def work_fail(*, claim: Claim, code: str, reason: str, final: bool) -> None:
    """Record a failure. Not final: the photo waits for its next attempt until none is left."""
    work_fence(claim=claim)
    work = Work.objects.get(pk=claim.image_id)
    over = final or work.attempts >= settings.SPOTID_MAX_ATTEMPTS
    Work.objects.filter(pk=claim.image_id).update(
        state=ProcessingState.FAILED if over else ProcessingState.PENDING,
        lease_until=None,
        reason_code=code[:64],
        reason=reason[:2000],
        finished_at=Now() if over else None,
        queued_at=None,
        worker="",
    )


@transaction.atomic
def work_release(*, claim: Claim, code: str = "", reason: str = "") -> None:
    """Give a photo back unharmed: the attempt does not count (the disk is full, the worker is told to stop)."""
    work_fence(claim=claim)
    Work.objects.filter(pk=claim.image_id).update(
        state=ProcessingState.PENDING,
        attempts=F("attempts") - 1,
        lease_until=None,
        queued_at=None,
        reason_code=code,
        reason=reason,
        worker="",
    )


_EXPIRED = """
UPDATE identification_work SET
    state = CASE WHEN attempts >= %s THEN 'set_aside' ELSE 'pending' END,
    reason_code = CASE WHEN attempts >= %s THEN 'worker_died' ELSE reason_code END,
    reason = CASE WHEN attempts >= %s THEN 'The worker died ' || attempts || ' times on this photo; it is set aside.'
        ELSE reason END,
    finished_at = CASE WHEN attempts >= %s THEN clock_timestamp() END,
    lease_until = NULL, queued_at = NULL, token = nextval('spotid_fencing_token')
WHERE state = 'running' AND (lease_until < clock_timestamp() OR worker = ANY(%s))
"""


def work_expire() -> int:
    """End leases that ran out, or whose worker on this host is gone; returns how many. Out of attempts: set aside."""
    holders = Work.objects.filter(state=ProcessingState.RUNNING).values_list("worker", flat=True).distinct()
    dead = dead_workers(holders)
    attempts = settings.SPOTID_MAX_ATTEMPTS
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, [attempts, attempts, attempts, attempts, dead])
        return cursor.rowcount


def dead_workers(workers: Iterable[str]) -> list[str]:
    """Those that ran on this host and are gone. Workers of other hosts are judged by their lease alone."""
    return [worker for worker in workers if _is_dead(worker)]


def _is_dead(worker: str) -> bool:
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname()[:80] or not pid.isdigit() or os.name == "nt":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def heartbeat(name: str = HEARTBEAT, *, by: BaseDatabaseWrapper | None = None) -> None:
    """Show that work gets on, at most once a second. by: another connection, beside a long transaction."""
    spoken()
    beat(name, by=by)


def beat(name: str = HEARTBEAT, *, by: BaseDatabaseWrapper | None = None) -> None:
    """Show that something lives, whether it gets on or not."""
    with (by or connection).cursor() as cursor:
        cursor.execute(
            "INSERT INTO identification_heartbeat (name, beat_at) VALUES (%s, clock_timestamp()) "
            "ON CONFLICT (name) DO UPDATE SET beat_at = clock_timestamp() "
            "WHERE identification_heartbeat.beat_at < clock_timestamp() - interval '1 second'",
            [name],
        )


STOPPING = "stopping"


def stopping_announce() -> None:
    """Ask workers to stop after the photo they are at."""
    Heartbeat.objects.update_or_create(name=STOPPING, defaults={"beat_at": Now()})


def stopping_withdraw() -> None:
    Heartbeat.objects.filter(name=STOPPING).delete()


def stopping_asked() -> bool:
    return Heartbeat.objects.filter(name=STOPPING).exists()
