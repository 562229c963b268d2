"""The state of exports that were asked for: requested, claimed, fenced, ended, removed. Writes no export itself.

Claims, leases and fencing are as in `work`. A run that fails for a reason that another attempt cannot change is over at
once; else it waits for its next attempt until none is left.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from ..models import ExportRun, Population, Survey, User
from .audit import audit_record
from .leases import attempt_fail, lease_renew, lease_take, leases_expire
from .silence import held, lease_keep
from .work import LeaseLost, heartbeat, this_worker

State = ExportRun.State
# Reading a large population in one snapshot takes a while, in which nothing can be renewed.
LEASE_SECONDS = max(settings.SPOTID_LEASE_SECONDS, 900)
_RENEW_EVERY = 2.0


def exports_folder() -> Path:
    """Where exports lie until they are fetched; nobody else may read it. Raises OSError."""
    home = Path(settings.SPOTID_HOME) / "exports"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return home


@dataclass
class ExportClaim:
    """The right to work on one run until the lease ends."""

    run_id: int
    token: int
    _last: float = field(default=0.0, repr=False)

    def progress(self, done: int, total: int, _name: str = "") -> None:
        """Say how far it is and renew the lease, now and then. Raises LeaseLost."""
        if time.monotonic() - self._last < _RENEW_EVERY and not done == total > 0:
            return
        self._last = time.monotonic()
        lease_renew(ExportRun, self.run_id, self.token, seconds=LEASE_SECONDS, progress=(done, total))
        heartbeat()


@transaction.atomic
def export_create(
    *,
    acting_user: User | None,
    population: Population,
    survey: Survey | None,
    surveys: Sequence[Survey],
    options: dict[str, Any],
    enqueue: bool = True,
) -> ExportRun:
    """Ask for an export; a worker is woken once the transaction commits. The caller checks rights and options."""
    run = ExportRun.objects.create(
        population=population,
        survey=survey,
        survey_ids=sorted(row.pk for row in surveys),
        options=options,
        requested_by=acting_user,
    )
    for row in surveys:
        audit_record(
            acting_user=acting_user,
            action="survey.export_request",
            target=run,
            survey=row,
            after={"population": population.name, **options},
        )
    if enqueue:
        transaction.on_commit(lambda: export_enqueue(run_id=run.pk))
    return run


def export_enqueue(*, run_id: int) -> None:
    """Wake a worker for it."""
    from django_q.tasks import async_task

    async_task("identification.tasks.write_export", run_id, group="export")


def export_claim(*, run_id: int) -> ExportClaim | None:
    """Take a run that waits, or whose lease ran out; None when it is over, taken or out of attempts."""
    token = lease_take(ExportRun, run_id, seconds=LEASE_SECONDS, worker=this_worker())
    return None if token is None else ExportClaim(run_id, token)


def export_held(claim: ExportClaim) -> AbstractContextManager[None]:
    """While the run is worked on, whether it has something to say or not."""
    return held(
        renew=lambda: lease_keep("identification_exportrun", claim.run_id, claim.token, LEASE_SECONDS),
        fail=lambda reason: export_fail(claim=claim, reason=reason, final=False),
    )


def export_fence(*, claim: ExportClaim) -> ExportRun:
    """Hold the run for the running transaction. Raises LeaseLost when the claim is no longer valid."""
    run = ExportRun.objects.select_for_update().filter(pk=claim.run_id, token=claim.token, state=State.RUNNING).first()
    if run is None:
        raise LeaseLost("The export was taken over.")
    return run


def export_finish(*, claim: ExportClaim, file: str, size: int, sha256: str, counts: dict[str, Any]) -> None:
    """Publish the file. Call it in the transaction that records what came of it. Raises LeaseLost."""
    run = export_fence(claim=claim)
    ExportRun.objects.filter(pk=run.pk).update(
        state=State.DONE,
        file=file,
        size=size,
        sha256=sha256,
        counts=counts,
        error="",
        lease_until=None,
        worker="",
        finished_at=Now(),
        expires_at=Now() + timedelta(hours=settings.SPOTID_EXPORT_HOURS),
    )


@transaction.atomic
def export_fail(*, claim: ExportClaim, reason: str, final: bool) -> None:
    """Record a failure. Not final: the run waits for its next attempt until none is left. Raises LeaseLost."""
    run = export_fence(claim=claim)
    attempt_fail(ExportRun.objects.filter(pk=run.pk), reason=reason, final=final, worker="")


def export_expire() -> int:
    """End leases that ran out, or whose worker on this host is gone; returns how many."""
    return leases_expire(ExportRun, "times while it exported.")


def exports_waiting() -> list[int]:
    return list(ExportRun.objects.filter(state=State.PENDING).order_by("pk").values_list("pk", flat=True))


def exports_forget() -> int:
    """Remove files whose time is over, and what belongs to no run any more; returns how many files went."""
    over = ExportRun.objects.exclude(file="").filter(expires_at__lt=Now())
    gone = 0
    for pk, name in over.values_list("pk", "file"):
        with suppress(OSError):
            (exports_folder() / name).unlink(missing_ok=True)
            gone += ExportRun.objects.filter(pk=pk).update(file="")
    with suppress(OSError):
        gone += _forget_strays()
    return gone


def _forget_strays() -> int:
    """Files that no row names: their survey was deleted, or their worker died between writing and saying so.

    And, while nothing is being written, the folders that killed workers left.
    """
    known = set(ExportRun.objects.exclude(file="").values_list("file", flat=True))
    limit = time.time() - 2 * LEASE_SECONDS
    gone = 0
    for path in exports_folder().glob("run-*.zip"):
        if path.name not in known and path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
            gone += 1
    if not ExportRun.objects.filter(state=State.RUNNING).exists():
        for path in exports_folder().glob("work-*"):
            if path.stat().st_mtime < limit:
                shutil.rmtree(path)
                gone += 1
    return gone
