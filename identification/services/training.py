"""The state of retraining: asked for, claimed, renewed, cancelled, resumed. Loads no engine.

A run is claimed by one conditional UPDATE that counts the attempt and commits before the work, as a photo is. A process
that died is found by its lease or its number, and the next one goes on from the checkpoint. An attempt that got
through an epoch clears the count: only what dies again and again at the same place is given up.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import DateTimeField, F, Func, Value
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext

from ..checks import TRAINING_CLUSTER
from ..errors import SpotIDError
from ..models import EmbeddingModel, Population, TrainingRun, User
from ..selectors.training import compared_runs, has_learned, latest_run, network_settings
from ..selectors.training_set import TrainingSet, training_set
from .audit import audit_record
from .models import administrators_only
from .work import LeaseLost, dead_workers, this_worker

State = TrainingRun.State

# With fewer individuals, all of them changing the same way by chance is likelier than 5 %.
_TELLING_INDIVIDUALS = 6
_TEST_SHARE = 0.15
# A checkpoint holds weights, the best weights and two moments of Adam, and is written beside the one it replaces.
_COPIES = 10
_REPORT_BYTES = 200_000_000
# Of backbones whose weights are not here to be measured: EfficientNetV2-B2 and the like take 40 MB, a ViT-L 1.2 GB.
_USUAL_BYTES = {"resnet18": 45_000_000, "test_": 2_000_000, "tf_efficientnetv2_b": 60_000_000, "large": 1_250_000_000}
_UNKNOWN_BYTES = 400_000_000


@dataclass(frozen=True)
class TrainingClaim:
    """The right to work on one run until the lease ends."""

    run_id: int
    token: int


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would have to learn from. It can be started when there is no refusal."""

    photos: TrainingSet
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def training_plan(
    *, population: Population, start_model: EmbeddingModel | None, config: dict[str, Any]
) -> TrainingPlan:
    """What stands for and against training on a population now, in sentences."""
    photos = training_set(population)
    refusals = photos.refusals()
    going_on = TrainingRun.objects.filter(state__in=TrainingRun.OPEN).select_related("population").first()
    if going_on is not None:
        refusals.append(
            f"A training is going on already (number {going_on.pk}, on {going_on.population}). Cancel it or wait."
        )
    refusals += _disk_refusal(start_model, config)
    test_share = float(config.get("test_share", _TEST_SHARE))
    kept = latest_run(population) is not None or bool(compared_runs(start_model))
    warnings = [*photos.warnings(), *_too_few_to_tell(photos, test_share, kept)]
    if start_model is not None and not has_learned(start_model):
        warnings.append(f"{start_model} is untrained: beginning from it is beginning from random numbers.")
    return TrainingPlan(photos, tuple(refusals), tuple(warnings))


def _too_few_to_tell(photos: TrainingSet, test_share: float, kept: bool) -> list[str]:
    """Whether the comparison at the end can find a difference at all. kept: animals have parts of earlier trainings."""
    measured = max(2, round(photos.repeated * test_share))
    if photos.refusals() or measured >= _TELLING_INDIVIDUALS:
        return []
    hint = f"A larger test share ({test_share:g} now) measures on more and learns from fewer."
    if kept:
        hint = (
            "Animals of earlier trainings keep their part, so the test share divides new animals only: confirm more of "
            "them."
        )
    return [
        f"About {measured} individuals would be measured on; at least {_TELLING_INDIVIDUALS} are needed to tell a "
        f"better network from chance. {hint}"
    ]


def _disk_refusal(start_model: EmbeddingModel | None, config: dict[str, Any]) -> list[str]:
    needed = _COPIES * _weight_bytes(start_model, config) + _REPORT_BYTES
    folder = Path(settings.SPOTID_HOME)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return []
    return [
        f"A training needs about {needed / 1e9:.1f} GB for checkpoints and its report; the disk of SpotID's home has "
        f"{free / 1e9:.1f} GB left."
    ]


def _weight_bytes(start_model: EmbeddingModel | None, config: dict[str, Any]) -> int:
    if start_model is not None:
        weights = Path(settings.SPOTID_WEIGHTS_DIR) / start_model.weights_file
        if weights.is_file():
            return weights.stat().st_size
    backbone = str(config.get("backbone", "tf_efficientnetv2_b2"))
    return next((size for part, size in _USUAL_BYTES.items() if part in backbone), _UNKNOWN_BYTES)


def training_request(
    *,
    population: Population,
    start_model: EmbeddingModel | None,
    config: dict[str, Any],
    acting_user: User | None,
    enqueue: bool = True,
) -> TrainingRun:
    """Ask for a training; the queue is woken once the transaction commits.

    config: every parameter as in train.toml; what the start model's network decides is taken from it. Raises
    SpotIDError with every reason against it.
    """
    administrators_only(acting_user)
    taken = _taken_over(start_model, config)
    config = {**config, **taken}
    plan = training_plan(population=population, start_model=start_model, config=config)
    if plan.refusals:
        raise SpotIDError(" ".join(plan.refusals))
    try:
        with transaction.atomic():
            run = TrainingRun.objects.create(
                population=population,
                start_model=start_model,
                config=config,
                epochs=int(config.get("epochs", 0)),
                warnings=[*plan.warnings, *_told(start_model, taken)],
                requested_by=acting_user,
                stage="Waiting",
            )
            run.folder = f"training/{run.pk}"
            run.save(update_fields=["folder"])
            audit_record(
                acting_user=acting_user,
                action="training.request",
                target=run,
                after={"population": population.pk, "start_model": start_model and start_model.pk, "config": config},
            )
    except IntegrityError:
        raise SpotIDError(gettext("A training is going on already. Cancel it or wait.")) from None
    if enqueue:
        training_enqueue(run_id=run.pk)
    return run


def _taken_over(start_model: EmbeddingModel | None, config: dict[str, Any]) -> dict[str, Any]:
    """The settings that the start model overrules."""
    found = network_settings(start_model) if start_model is not None else {}
    return {name: value for name, value in found.items() if config.get(name) != value}


def _told(start_model: EmbeddingModel | None, taken: dict[str, Any]) -> list[str]:
    said = ", ".join(
        f"{name} {', '.join(f'{v:g}' for v in value) if isinstance(value, list) else value}"
        for name, value in taken.items()
    )
    return [f"Taken over from {start_model}: {said}."] if said else []


def training_enqueue(*, run_id: int) -> None:
    """Wake the training worker once the transaction commits. There is one open run, so one task is enough."""
    transaction.on_commit(lambda: _put(run_id))


def _put(run_id: int) -> None:
    from django_q.models import OrmQ
    from django_q.tasks import async_task

    OrmQ.objects.filter(key=TRAINING_CLUSTER).delete()
    async_task("identification.tasks.train_model", run_id, group="train", cluster=TRAINING_CLUSTER)


@transaction.atomic
def training_cancel(*, run: TrainingRun, acting_user: User | None) -> TrainingRun:
    """End a run that waits, or ask one that is going on to end at its next step. Its checkpoint is kept."""
    administrators_only(acting_user)
    run = TrainingRun.objects.select_for_update().get(pk=run.pk)
    if run.state not in TrainingRun.OPEN:
        raise SpotIDError(gettext("The training is over: %(state)s.") % {"state": run.get_state_display().lower()})
    if run.state == State.PENDING:
        run.state, run.stage, run.finished_at = State.CANCELLED, "Cancelled", timezone.now()
    else:
        run.cancel_requested, run.stage = True, "Stopping"
    run.save(update_fields=["state", "stage", "finished_at", "cancel_requested"])
    audit_record(acting_user=acting_user, action="training.cancel", target=run)
    return run


def training_resume(*, run: TrainingRun, acting_user: User | None, enqueue: bool = True) -> TrainingRun:
    """Let a cancelled or failed run go on from its checkpoint. Raises SpotIDError where it cannot."""
    administrators_only(acting_user)
    try:
        with transaction.atomic():
            run = TrainingRun.objects.select_for_update().get(pk=run.pk)
            if run.state not in (State.CANCELLED, State.FAILED):
                raise SpotIDError(
                    gettext("Only a cancelled or failed training can go on; this one is %(state)s.")
                    % {"state": run.get_state_display().lower()}
                )
            refusals = _disk_refusal(run.start_model, run.config)
            if refusals:
                raise SpotIDError(" ".join(refusals))
            run.state, run.stage, run.cancel_requested = State.PENDING, "Waiting", False
            run.attempts, run.error, run.finished_at = 0, "", None
            run.save(update_fields=["state", "stage", "cancel_requested", "attempts", "error", "finished_at"])
            audit_record(acting_user=acting_user, action="training.resume", target=run)
    except IntegrityError:
        raise SpotIDError(gettext("Another training is going on. Cancel it or wait.")) from None
    if enqueue:
        training_enqueue(run_id=run.pk)
    return run


_CLAIM = """
UPDATE identification_trainingrun SET state = 'running', attempts = attempts + 1,
    token = nextval('spotid_fencing_token'), worker = %s, error = '', stage = 'Starting',
    lease_until = clock_timestamp() + make_interval(secs => %s), started_at = coalesce(started_at, clock_timestamp())
WHERE id = %s AND attempts < %s
    AND (state = 'pending' OR (state = 'running' AND lease_until < clock_timestamp()))
RETURNING token
"""


def training_claim(*, run_id: int) -> TrainingClaim | None:
    """Take a waiting run, or one whose lease ran out; None when it is over, taken or out of attempts."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM, [this_worker(), settings.SPOTID_TRAINING_LEASE_SECONDS, run_id, settings.SPOTID_MAX_ATTEMPTS]
        )
        row = cursor.fetchone()
    return TrainingClaim(run_id, row[0]) if row else None


def training_renew(*, claim: TrainingClaim, **said: Any) -> bool:
    """Renew the lease and write what is said of the run (its fields); returns whether it is to be cancelled.

    An epoch that is new clears the count of attempts. Raises LeaseLost.
    """
    with transaction.atomic():
        run = training_fence(claim=claim)
        if said.get("epoch", run.epoch) > run.epoch:
            said["attempts"] = 1
        if run.cancel_requested:
            said["stage"] = "Stopping"
        TrainingRun.objects.filter(pk=run.pk).update(lease_until=_lease(), **said)
    return run.cancel_requested


def training_fence(*, claim: TrainingClaim) -> TrainingRun:
    """Hold the claim's row for the running transaction. Raises LeaseLost when the claim is no longer valid."""
    held = TrainingRun.objects.select_for_update().filter(pk=claim.run_id, token=claim.token, state=State.RUNNING)
    run = held.first()
    if run is None:
        raise LeaseLost("The training was taken over.")
    return run


@transaction.atomic
def training_finish(*, claim: TrainingClaim, candidate: EmbeddingModel, outcome: dict[str, Any]) -> None:
    run = training_fence(claim=claim)
    TrainingRun.objects.filter(pk=run.pk).update(
        state=State.DONE,
        stage="Done",
        progress=1,
        candidate=candidate,
        outcome=outcome,
        lease_until=None,
        worker="",
        cancel_requested=False,
        finished_at=Now(),
    )


@transaction.atomic
def training_stop(*, claim: TrainingClaim, cancelled: bool) -> None:
    """Give a run back unharmed. Cancelled: it waits for a person; else for the next worker, and the attempt is free."""
    run = training_fence(claim=claim)
    TrainingRun.objects.filter(pk=run.pk).update(
        state=State.CANCELLED if cancelled else State.PENDING,
        stage="Cancelled" if cancelled else "Waiting",
        attempts=F("attempts") - 1,
        lease_until=None,
        worker="",
        cancel_requested=False,
        finished_at=Now() if cancelled else None,
    )


@transaction.atomic
def training_fail(*, claim: TrainingClaim, reason: str, final: bool) -> None:
    """Record a failure. Not final: the run waits for its next attempt until none is left."""
    run = training_fence(claim=claim)
    over = final or run.attempts >= settings.SPOTID_MAX_ATTEMPTS
    TrainingRun.objects.filter(pk=run.pk).update(
        state=State.FAILED if over else State.PENDING,
        stage="Failed" if over else "Waiting",
        error=reason[:2000],
        lease_until=None,
        worker="",
        finished_at=Now() if over else None,
    )


_EXPIRED = """
UPDATE identification_trainingrun SET
    state = CASE WHEN cancel_requested THEN 'cancelled' WHEN attempts >= %s THEN 'failed' ELSE 'pending' END,
    stage = CASE WHEN cancel_requested THEN 'Cancelled' WHEN attempts >= %s THEN 'Failed' ELSE 'Waiting' END,
    error = CASE WHEN cancel_requested OR attempts < %s THEN '' ELSE 'The training process died ' || attempts ||
        ' times without getting further. Perhaps there was not enough memory: a smaller batch needs less.' END,
    finished_at = CASE WHEN cancel_requested OR attempts >= %s THEN clock_timestamp() END,
    lease_until = NULL, worker = '', cancel_requested = false, token = nextval('spotid_fencing_token')
WHERE state = 'running' AND (lease_until < clock_timestamp() OR worker = ANY(%s))
"""


def training_expire() -> int:
    """End a lease that ran out, or whose process on this host is gone; returns how many."""
    holders = TrainingRun.objects.filter(state=State.RUNNING).values_list("worker", flat=True)
    dead, attempts = dead_workers(holders), settings.SPOTID_MAX_ATTEMPTS
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, [attempts, attempts, attempts, attempts, dead])
        return cursor.rowcount


def _lease() -> Any:
    seconds = Value(settings.SPOTID_TRAINING_LEASE_SECONDS)
    return Func(
        seconds,
        template="clock_timestamp() + make_interval(secs => %(expressions)s)",
        output_field=DateTimeField(),
    )
