"""What was left: leases that ran out, photos and surveys that nobody was woken for."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ

from ..checks import TRAINING_CLUSTER
from ..models import CalibrationRun, ModelActivation, ProcessingState, Survey, TrainingRun, Work
from .activation import activation_enqueue, activation_expire
from .calibration_due import calibrations_request_due
from .calibration_queue import calibration_enqueue, calibration_expire
from .export_queue import export_enqueue, export_expire, exports_forget, exports_waiting
from .imports import import_enqueue, imports_tidy, imports_waiting
from .matching import UNFINISHED, matching_enqueue_if_ready, matching_expire
from .queue import work_enqueue
from .receiving import ingest_enqueue, requests_waiting
from .request_keys import request_keys_forget
from .training import training_enqueue, training_expire
from .triage_queue import triage_enqueue, triage_waiting
from .work import dead_workers, work_expire


@dataclass(frozen=True)
class Reconciled:
    """How many leases ended and what was put on the queue. trainings: leases of trainings that ended."""

    expired: int
    queued: int
    surveys: int
    trainings: int = 0


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
    _reconcile_triage()
    _reconcile_ingest()
    _reconcile_imports()
    expired += _reconcile_activation() + _reconcile_calibration() + _reconcile_exports()
    return Reconciled(expired, queued, surveys, _reconcile_training())


def _reconcile_activation() -> int:
    """End the lease of an activation whose worker is gone, and see that one which waits is on the queue."""
    ended = activation_expire()
    for activation in ModelActivation.objects.filter(state=ModelActivation.State.PENDING):
        if not _waiting(settings.Q_CLUSTER["name"], {"activate"}):
            activation_enqueue(activation_id=activation.pk)
    return ended


def _reconcile_calibration() -> int:
    """End leases of calibrations whose worker is gone, and see that those which wait or are due are on the queue."""
    ended = calibration_expire()
    waiting = CalibrationRun.objects.filter(state=CalibrationRun.State.PENDING).values_list("pk", flat=True)
    if waiting and not _waiting(settings.Q_CLUSTER["name"], {"calibrate"}):
        for run_id in waiting:
            calibration_enqueue(run_id=run_id)
    calibrations_request_due()
    return ended


def _reconcile_triage() -> None:
    """See that requests for species scores which nobody is at are on the queue."""
    if not _waiting(settings.Q_CLUSTER["name"], {"triage"}):
        for survey_id in triage_waiting():
            triage_enqueue(survey_id=survey_id)


def _reconcile_ingest() -> None:
    """See that files which arrived and folders which were picked are on the queue."""
    if not _waiting(settings.Q_CLUSTER["name"], {"ingest"}):
        for request_id in requests_waiting():
            ingest_enqueue(request_id=request_id)


def _reconcile_imports() -> None:
    """See that imports which wait are on the queue, and that files which nobody wants any more are deleted."""
    if not _waiting(settings.Q_CLUSTER["name"], {"import"}):
        for run_id in imports_waiting():
            import_enqueue(run_id=run_id)
    imports_tidy()


def _reconcile_exports() -> int:
    """End leases of exports whose worker is gone, see that those which wait are on the queue, remove what is over."""
    ended = export_expire()
    if not _waiting(settings.Q_CLUSTER["name"], {"export"}):
        for run_id in exports_waiting():
            export_enqueue(run_id=run_id)
    exports_forget()
    request_keys_forget()
    return ended


def _reconcile_training() -> int:
    """End the lease of a training whose process is gone, and see that one which waits is on its queue."""
    ended = training_expire()
    for run_id in TrainingRun.objects.filter(state=TrainingRun.State.PENDING).values_list("pk", flat=True):
        if not _waiting(TRAINING_CLUSTER, {"train"}):
            training_enqueue(run_id=run_id)
    return ended


def _tasks_available() -> bool:
    """Whether a worker would find photos or a survey to work on now."""
    return _waiting(settings.Q_CLUSTER["name"], {"process", "match"})


def _waiting(queue: str, groups: set[str]) -> bool:
    """Whether one of a queue's workers would find a task of these groups now.

    Rows that workers hold (or died with) stay, locked until their retry. Heartbeats are no work, and what an old key
    signed reads as nothing.
    """
    rows = OrmQ.objects.filter(key=queue, lock__lte=timezone.now()).order_by("pk")
    return any(entry.task.get("group") in groups for entry in rows.iterator(chunk_size=50))
