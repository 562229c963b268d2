"""What was left: leases that ran out, photos and surveys that nobody was woken for."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone
from django_q.models import OrmQ

from ..models import ProcessingState, Survey, Work
from .matching import UNFINISHED, matching_enqueue_if_ready, matching_expire
from .queue import work_enqueue
from .work import dead_workers, work_expire


@dataclass(frozen=True)
class Reconciled:
    """How many leases ended and what was put on the queue."""

    expired: int
    queued: int
    surveys: int


def reconcile() -> Reconciled:
    """Bring the queue in line with our rows. Cheap, safe to call at any time and from several processes."""
    gone = dead_workers(
        [
            *Work.objects.filter(state=ProcessingState.RUNNING).values_list("worker", flat=True).distinct(),
            *Survey.objects.filter(matching_state=Survey.Matching.RUNNING).values_list("matching_worker", flat=True),
        ]
    )
    expired = work_expire() + matching_expire(dead_workers=gone)
    if not _tasks_available() and not Work.objects.filter(state=ProcessingState.RUNNING).exists():
        # The queue was lost, its key rotated, or a batch died with its worker: nobody is on the way to what waits.
        Work.objects.filter(state=ProcessingState.PENDING).update(queued_at=None)
    queued = work_enqueue(stale_only=True)
    surveys = 0
    if not _tasks_available():
        ready = Survey.objects.filter(matching_state=Survey.Matching.STALE, images__isnull=False).distinct()
        for survey in ready.exclude(images__work__state__in=UNFINISHED):
            surveys += matching_enqueue_if_ready(survey=survey)
    return Reconciled(expired, queued, surveys)


def _tasks_available() -> bool:
    """Whether a worker would find photos or a survey to work on now.

    Rows that workers hold (or died with) stay, locked until their retry. Heartbeats are no work, and what an old key
    signed reads as nothing.
    """
    waiting = OrmQ.objects.filter(lock__lte=timezone.now()).order_by("pk")
    return any(entry.task.get("group") in ("process", "match") for entry in waiting.iterator(chunk_size=50))
