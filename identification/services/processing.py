"""One photo through every stage, each idempotent. Loads engines: imported by tasks and commands only."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from ..models import Image, ProcessingStage, ProcessingState, Survey, Work
from . import stages
from .matching import matching_enqueue_if_ready
from .work import (
    Claim,
    LeaseLost,
    stopping_asked,
    work_claim,
    work_enter,
    work_expire,
    work_fail,
    work_finish,
    work_release,
)

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

_STAGES: Sequence[tuple[ProcessingStage, Callable[[Claim, stages.PhotoContext], None]]] = (
    (ProcessingStage.DECODE, stages.decode),
    (ProcessingStage.DETECT, stages.detect),
    (ProcessingStage.ISOLATE, stages.isolate),
    (ProcessingStage.EMBED, stages.embed),
    (ProcessingStage.FEATURES, stages.features),
)


def image_process(*, image_id: int) -> bool:
    """Take one photo through its stages if it can be claimed; returns whether it was.

    What goes wrong is written down with stage and reason; only the loss of the database is raised.
    """
    claim = work_claim(image_id=image_id)
    if claim is None:
        return False
    began = time.monotonic()
    stage = ProcessingStage.DECODE
    try:
        image = Image.objects.select_related("survey", "station").get(pk=image_id)
        context = stages.PhotoContext(image)
        for stage, run in _STAGES:
            work_enter(claim=claim, stage=stage)
            run(claim, context)
        work_finish(claim=claim, seconds=time.monotonic() - began)
    except LeaseLost:
        logger.info("photo %s was taken over by another worker", image_id)
    except (OperationalError, InterfaceError) as error:
        _give_back(claim, error)
        raise
    except Image.DoesNotExist:
        logger.info("photo %s is gone", image_id)
    except Exception as error:
        _record_failure(claim, stage, error)
    return True


def _record_failure(claim: Claim, stage: ProcessingStage, error: Exception) -> None:
    try:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            work_release(claim=claim, code="disk_full", reason="The disk is full; work goes on when there is room.")
            raise WorkPaused from error
        rejected = stages.rejection(error)
        if rejected is not None:
            work_fail(claim=claim, code=rejected[0], reason=rejected[1], final=True)
            return
        logger.exception("photo %s failed at %s", claim.image_id, stage)
        work_fail(claim=claim, code=type(error).__name__, reason=_reason(error), final=False)
    except LeaseLost:
        logger.info("photo %s was taken over by another worker", claim.image_id)


def _give_back(claim: Claim, error: Exception) -> None:
    """After a loss or a full disk of the database: the photo is not to blame, so its attempt does not count."""
    state = getattr(error.__cause__, "sqlstate", None)
    # Classes of PostgreSQL's appendix A: connection, resources (a full disk is one), operator intervention.
    if state is not None and state[:2] not in ("08", "53", "57"):
        return
    try:
        close_old_connections()
        work_release(claim=claim, code="database_away", reason="The database was away or full; work goes on by itself.")
    except (LeaseLost, DatabaseError):
        logger.warning("photo %s could not be given back; its lease will end", claim.image_id)


def _reason(error: Exception) -> str:
    """What members may read. Paths of this server are in the log only."""
    if isinstance(error, OSError):
        said = error.strerror or "a file that is needed cannot be read"
        return f"{type(error).__name__}: {said}. The worker's log says more."
    return str(error) or type(error).__name__


class WorkPaused(Exception):
    """No photo can be processed for now (the disk is full)."""


def batch_process(*, image_ids: Iterable[int], progress: Progress | None = None) -> int:
    """Process photos one after the other, as far as they can be claimed; returns how many were.

    Ends early when workers are asked to stop or the disk is full; the rest waits.
    """
    ids = list(image_ids)
    done = 0
    for index, image_id in enumerate(ids, 1):
        if stopping_asked():
            Work.objects.filter(pk__in=ids[index - 1 :], state=ProcessingState.PENDING).update(queued_at=None)
            break
        try:
            done += image_process(image_id=image_id)
        except WorkPaused:
            logger.warning("the disk is full; processing pauses")
            Work.objects.filter(pk__in=ids[index - 1 :], state=ProcessingState.PENDING).update(queued_at=None)
            break
        if progress is not None:
            progress(index, len(ids), "")
    for survey in Survey.objects.filter(images__in=ids[:1]):
        matching_enqueue_if_ready(survey=survey)
    return done


def survey_process_inline(*, survey: Survey | None, progress: Progress | None = None) -> int:
    """Process what waits in this process, without the queue; returns how many photos were worked on."""
    waiting = Work.objects.filter(state=ProcessingState.PENDING)
    if survey is not None:
        waiting = waiting.filter(image__survey=survey)
    work_expire()
    total = waiting.count()
    done = 0
    failed_before: set[int] = set()
    while True:
        ids = list(waiting.exclude(pk__in=failed_before).order_by("image_id").values_list("pk", flat=True)[:64])
        if not ids:
            return done
        for image_id in ids:
            if not image_process(image_id=image_id):
                failed_before.add(image_id)
            done += 1
            if progress is not None:
                progress(min(done, total), total, "")
