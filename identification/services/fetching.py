"""Getting published networks because somebody asks for it in the admin. What came of it is in the audit log."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import EmbeddingModel, User
from .audit import audit_record
from .models import administrators_only, model_import
from .work import heartbeat

ASKED, FETCHED, FAILED = "model.fetch", "model.fetch_done", "model.fetch_failed"


def model_fetch_request(*, name: str, acting_user: User) -> None:
    """Have a worker fetch a published network. Raises SpotIDError for a name that is none of them."""
    from ..inference.public_models import published

    administrators_only(acting_user)
    if name not in {known.name for known in published()}:
        raise SpotIDError(gettext("There is no published network %(name)s.") % {"name": repr(name)})
    with transaction.atomic():
        audit_record(acting_user=acting_user, action=ASKED, target=acting_user, after={"name": name})
        transaction.on_commit(lambda: _enqueue(name, acting_user.pk))


def _enqueue(name: str, user_id: int) -> None:
    from django_q.tasks import async_task

    async_task("identification.tasks.fetch_model", name, user_id, group="fetch")


def model_fetch(*, name: str, user_id: int) -> EmbeddingModel | None:
    """Fetch, and take in as a candidate; None, with the reason in the audit log, when it is not to be had.

    A download that was interrupted goes on where it stopped; what is there already is not fetched again.
    """
    from ..inference.public_models import fetched

    user = User.objects.get(pk=user_id)
    try:
        # A long download is no hang: the watchdog waits for the heartbeat.
        with fetched(name, lambda done, total, text: heartbeat()) as (file, card, explanation):
            model = model_import(path=file, card=card, acting_user=user)
    except SpotIDError as error:
        audit_record(acting_user=user, action=FAILED, target=user, after={"name": name, "reason": str(error)[:2000]})
        return None
    audit_record(acting_user=user, action=FETCHED, target=model, after={"name": name, "reason": explanation})
    return model
