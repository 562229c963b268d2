"""The queue that wakes workers. It holds nothing that our rows do not say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from ..models import Image, ProcessingState, Survey, User, Work
from .audit import audit_record
from .matching import matching_invalidate

_LONGEST_QUEUE = 500


def work_enqueue(*, survey: Survey | None = None, stale_only: bool = False) -> int:
    """Put waiting photos on the queue in batches, once the transaction commits; returns how many photos.

    With `stale_only`, photos that were queued lately are left alone.
    """
    waiting = Work.objects.filter(state=ProcessingState.PENDING)
    if survey is not None:
        waiting = waiting.filter(image__survey=survey)
    if stale_only:
        waiting = waiting.filter(
            Q(queued_at__isnull=True) | Q(queued_at__lt=Now() - timedelta(seconds=settings.SPOTID_REQUEUE_SECONDS))
        )
    rows = list(waiting.order_by("image__survey_id", "image_id").values_list("image__survey_id", "image_id"))
    batches: list[list[int]] = []
    last = None
    for survey_id, image_id in rows:
        if survey_id != last or len(batches[-1]) >= settings.SPOTID_BATCH_SIZE:
            batches.append([])
        batches[-1].append(image_id)
        last = survey_id
    # A long queue is slow and holds nothing that our rows do not; the reconciler adds the rest.
    batches = batches[:_LONGEST_QUEUE]
    queued = [image_id for batch in batches for image_id in batch]
    Work.objects.filter(pk__in=queued).update(queued_at=Now())
    transaction.on_commit(lambda: _put(batches))
    return len(queued)


def _put(batches: list[list[int]]) -> None:
    from django_q.tasks import async_task

    for batch in batches:
        async_task("identification.tasks.process_batch", batch, group="process")


def queue_unlock() -> int:
    """Let tasks be fetched again that a cluster had when it went, instead of after the queue's own `retry`.

    One that another machine's cluster is at is taken twice: the second finds that it cannot be claimed.
    """
    from django_q.models import OrmQ

    taken = OrmQ.objects.filter(key=settings.Q_CLUSTER["name"], lock__gt=timezone.now())
    return taken.update(lock=timezone.now())


@transaction.atomic
def work_requeue(*, images: Iterable[Image], acting_user: User | None = None) -> int:
    """Process photos again from the start, with fresh attempts; returns how many.

    A worker that is at one of them now loses its claim.
    """
    chosen = list(images)
    with_work = Work.objects.select_for_update().filter(pk__in=[image.pk for image in chosen])
    count = with_work.update(
        state=ProcessingState.PENDING,
        attempts=0,
        token=0,
        lease_until=None,
        queued_at=None,
        reason_code="",
        reason="",
        finished_at=None,
        worker="",
    )
    surveys = {image.survey for image in chosen}
    if acting_user is not None:
        for image in chosen:
            audit_record(acting_user=acting_user, action="image.retry", target=image, survey=image.survey)
    for survey in surveys:
        matching_invalidate(survey=survey)
        work_enqueue(survey=survey, stale_only=True)
    return count
