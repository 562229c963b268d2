"""Putting a model to use, and going back. Decisions, edges and individuals never change here.

While an activation is open every coat is encoded under the new model and the old one serves. The switch is one
transaction (`model_switch`): it finds no coat without a vector, changes both states and makes every survey's candidates
out of date. Who stores vectors of a photo holds `models_hold`, who switches holds `models_change`, so that no photo
falls between two models. Claims, leases and fencing are as in `work`.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import EmbeddingModel, EncodingFailure, ModelActivation, Survey, User
from ..selectors.models import encodable, model_before, without_vector
from .audit import audit_record
from .leases import attempt_fail, leases_expire
from .matching import matching_invalidate
from .models import administrators_only
from .silence import held, lease_keep
from .work import LeaseLost, heartbeat, this_worker

State = ModelActivation.State

# Any number that nobody else takes: the key of the advisory lock over which model serves.
_SERVING = 0x53504F54
# A stored vector, its row and its place in the index take about three times its numbers.
_BYTES_PER_NUMBER = 4 * 3
_DISK_TO_LEAVE = 256 << 20


@dataclass(frozen=True)
class ActivationClaim:
    """The right to encode for one activation until the lease ends. attempts: since anything was last stored."""

    activation_id: int
    token: int
    attempts: int


def models_hold() -> None:
    """Let no model take over before the running transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_SERVING])


def models_change() -> None:
    """Wait for those who store vectors, and keep others out until the running transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SERVING])


def active_model() -> EmbeddingModel | None:
    return EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).first()


def model_activate(*, model: EmbeddingModel, acting_user: User | None) -> ModelActivation:
    """Begin to put a model to use; returns the activation, which goes on in the background.

    Of the active model itself, what lacks a vector is filled in. Raises SpotIDError when nothing lacks one, another
    activation is open, its file is missing or changed, or the disk is too full for its vectors.
    """
    from ..inference.model_files import verify_weights

    administrators_only(acting_user)
    verify_weights(model)
    try:
        with transaction.atomic():
            models_change()
            model.refresh_from_db()
            serves = model.state == EmbeddingModel.State.ACTIVE
            EncodingFailure.objects.filter(model=model).delete()
            missing = without_vector(model).count()
            if serves and not missing:
                raise SpotIDError(gettext("%(model)s is active already.") % {"model": model})
            _check_disk(model, missing)
            total = encodable().count()
            activation = ModelActivation.objects.create(
                model=model,
                previous=active_model(),
                filling=serves,
                total=total,
                done=total - missing,
                requested_by=acting_user,
            )
            audit_record(
                acting_user=acting_user,
                action="model.activate",
                target=model,
                after={"name": model.name, "activation": activation.pk, "to_encode": missing},
            )
            transaction.on_commit(lambda: activation_enqueue(activation_id=activation.pk))
    except IntegrityError:
        raise SpotIDError(
            gettext("Another model is being activated. Wait until that is through, or cancel it.")
        ) from None
    return activation


def _check_disk(model: EmbeddingModel, vectors: int) -> None:
    needed = vectors * model.dimension * _BYTES_PER_NUMBER
    free = shutil.disk_usage(settings.SPOTID_HOME).free
    if free < needed + _DISK_TO_LEAVE:
        raise SpotIDError(
            gettext(
                "The vectors of %(model)s need about %(needed)s GB and %(free)s GB are free on the disk "
                "of SpotID's home. Make room first."
            )
            % {
                "model": model,
                "needed": f"{(needed + _DISK_TO_LEAVE) / 1e9:.1f}",
                "free": f"{free / 1e9:.1f}",
            }
        )


def model_rollback(*, acting_user: User | None) -> ModelActivation:
    """Go back, at once, to the model that served before the active one.

    Coats without a vector under it are encoded in the background afterwards; until then they have no similarity. An
    open activation is cancelled. Raises SpotIDError when there is no earlier model, or its file is missing or changed.
    """
    from ..inference.model_files import verify_weights

    administrators_only(acting_user)
    target = _to_go_back_to()
    verify_weights(target)
    with transaction.atomic():
        models_change()
        if _to_go_back_to() != target:
            raise SpotIDError(gettext("Another model was activated in the meantime; look again."))
        for open_one in ModelActivation.objects.select_for_update().filter(state__in=ModelActivation.OPEN):
            _cancel(open_one, acting_user)
        left = active_model()
        _serve(target)
        missing = without_vector(target).count()
        total = encodable().count()
        activation = ModelActivation.objects.create(
            model=target,
            previous=left,
            filling=True,
            total=total,
            done=total - missing,
            requested_by=acting_user,
            state=State.PENDING if missing else State.DONE,
            finished_at=None if missing else Now(),
        )
        audit_record(
            acting_user=acting_user,
            action="model.rollback",
            target=target,
            before={"active": left.name if left else ""},
            after={"active": target.name, "to_encode": missing},
        )
        if missing:
            transaction.on_commit(lambda: activation_enqueue(activation_id=activation.pk))
    return activation


def _to_go_back_to() -> EmbeddingModel:
    active = active_model()
    target = model_before(active) if active is not None else None
    if active is None or target is None:
        raise SpotIDError(gettext("There is nothing to go back to. Any other model can be activated."))
    return target


def activation_cancel(*, activation: ModelActivation, acting_user: User | None) -> None:
    """Give an activation up; the old model goes on. What is encoded stays, and need not be done again.

    Raises SpotIDError when it is over.
    """
    administrators_only(acting_user)
    with transaction.atomic():
        activation = ModelActivation.objects.select_for_update().get(pk=activation.pk)
        if activation.state not in ModelActivation.OPEN:
            raise SpotIDError(
                gettext("This activation is over: %(state)s.") % {"state": activation.get_state_display().lower()}
            )
        _cancel(activation, acting_user)


def _cancel(activation: ModelActivation, acting_user: User | None) -> None:
    ModelActivation.objects.filter(pk=activation.pk).update(
        state=State.CANCELLED, token=0, lease_until=None, worker="", finished_at=Now()
    )
    audit_record(
        acting_user=acting_user,
        action="model.activation_cancel",
        target=activation.model,
        after={"name": activation.model.name, "activation": activation.pk, "done": activation.done},
    )


def _serve(model: EmbeddingModel) -> None:
    """Make a model the active one and every candidate out of date; a matching run that is going on loses its claim."""
    EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).exclude(pk=model.pk).update(
        state=EmbeddingModel.State.RETIRED
    )
    EmbeddingModel.objects.filter(pk=model.pk).update(state=EmbeddingModel.State.ACTIVE)
    for survey in Survey.objects.order_by("pk"):
        matching_invalidate(survey=survey)


def model_switch(*, claim: ActivationClaim) -> bool:
    """End an activation when no coat lacks a vector: the new model serves from here on. False: encode on.

    Raises LeaseLost.
    """
    with transaction.atomic():
        models_change()
        activation = activation_fence(claim=claim)
        if without_vector(activation.model).exists():
            return False
        left = active_model()
        # A rollback serves already; what was filled in since makes its candidates out of date.
        _serve(activation.model)
        previous = activation.previous if activation.filling else left
        total = encodable().count()
        ModelActivation.objects.filter(pk=activation.pk).update(
            state=State.DONE,
            previous=previous,
            total=total,
            done=total,
            lease_until=None,
            worker="",
            error="",
            finished_at=Now(),
        )
        if not activation.filling:
            audit_record(
                acting_user=activation.requested_by,
                action="model.switch",
                target=activation.model,
                before={"active": left.name if left else ""},
                after={"active": activation.model.name, "activation": activation.pk},
            )
    return True


def activation_enqueue(*, activation_id: int) -> None:
    """Wake a worker for it."""
    from django_q.tasks import async_task

    async_task("identification.tasks.activate_model", activation_id, group="activate")


_CLAIM = """
UPDATE identification_modelactivation SET state = 'running', attempts = attempts + 1, worker = %s,
    token = nextval('spotid_fencing_token'), lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND attempts < %s
    AND (state = 'pending' OR (state = 'running' AND lease_until < clock_timestamp()))
RETURNING token, attempts
"""


def activation_claim(*, activation_id: int) -> ActivationClaim | None:
    """Take an activation that waits, or whose lease ran out; None when it is over, taken or out of attempts."""
    most = settings.SPOTID_MAX_ATTEMPTS
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [this_worker(), settings.SPOTID_LEASE_SECONDS, activation_id, most])
        row = cursor.fetchone()
    return ActivationClaim(activation_id, *row) if row else None


def activation_held(claim: ActivationClaim) -> AbstractContextManager[None]:
    """While coats are encoded, whether there is something to say or not.

    Where it falls silent no error is written down: the coat that it hangs at is met as one that killed its worker.
    """
    seconds = settings.SPOTID_LEASE_SECONDS
    return held(
        renew=lambda: lease_keep("identification_modelactivation", claim.activation_id, claim.token, seconds),
        fail=lambda reason: None,
    )


def activation_fence(*, claim: ActivationClaim) -> ModelActivation:
    """Hold the activation for the running transaction. Raises LeaseLost when it was cancelled or taken over."""
    held = ModelActivation.objects.select_for_update(of=("self",)).select_related("model", "previous", "requested_by")
    activation = held.filter(pk=claim.activation_id, token=claim.token, state=State.RUNNING).first()
    if activation is None:
        raise LeaseLost("The activation was cancelled or taken over.")
    return activation


_RENEW = """
UPDATE identification_modelactivation SET total = %s, done = %s,
    attempts = CASE WHEN %s THEN 0 ELSE attempts END, error = CASE WHEN %s THEN '' ELSE error END,
    lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND token = %s AND state = 'running'
"""


def activation_renew(*, claim: ActivationClaim, total: int, done: int, stored: bool) -> None:
    """Renew the lease and tell how far it is. stored: attempts count anew, as there is progress. Raises LeaseLost."""
    with connection.cursor() as cursor:
        lease = settings.SPOTID_LEASE_SECONDS
        cursor.execute(_RENEW, [total, done, stored, stored, lease, claim.activation_id, claim.token])
        if cursor.rowcount != 1:
            raise LeaseLost("The activation was cancelled or taken over.")
    heartbeat()


def activation_release(*, claim: ActivationClaim) -> None:
    """Give an activation back unharmed, and wake the next worker for it: a task is short, an activation is not."""
    with transaction.atomic():
        activation_fence(claim=claim)
        ModelActivation.objects.filter(pk=claim.activation_id).update(
            state=State.PENDING, attempts=0, lease_until=None, worker=""
        )
        transaction.on_commit(lambda: activation_enqueue(activation_id=claim.activation_id))


def activation_fail(*, claim: ActivationClaim, reason: str, final: bool) -> None:
    """Record a failure. Not final: it waits for its next attempt until none is left. The old model goes on."""
    with transaction.atomic():
        activation_fence(claim=claim)
        own = ModelActivation.objects.filter(pk=claim.activation_id)
        attempt_fail(own, reason=reason, final=final, worker="")


def activation_expire() -> int:
    """End leases that ran out, or whose worker on this host is gone; returns how many."""
    return leases_expire(ModelActivation, "times while it encoded.")
