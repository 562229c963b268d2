"""Keys under which programs ask for changes (`Idempotency-Key`)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from ..models import RequestKey, User

KEPT = timedelta(days=1)


class KeyUsed(Exception):
    """The key was used. digest: of what; rights: of then; status, answer: what was said."""

    def __init__(self, row: RequestKey) -> None:
        super().__init__(row.key)
        self.digest, self.rights, self.status, self.answer = row.digest, row.rights, row.status, row.answer


def request_key_take(*, user: User, key: str, digest: str, rights: str) -> RequestKey:
    """Take a key for what the running transaction does. Somebody who takes the same one meanwhile waits for its end.

    Raises KeyUsed where it is used, and forgets those of the account that are older than KEPT.
    """
    assert connection.in_atomic_block
    RequestKey.objects.filter(created_at__lt=Now() - KEPT, user=user).delete()
    RequestKey.objects.bulk_create(
        [RequestKey(user=user, key=key, digest=digest, rights=rights)], ignore_conflicts=True
    )
    row = RequestKey.objects.select_for_update().get(user=user, key=key)
    if row.status:
        raise KeyUsed(row)
    return row


def request_key_answer(*, taken: RequestKey, status: int, answer: Any) -> None:
    """Keep what is answered, in the same transaction."""
    taken.status, taken.answer = status, answer
    taken.save(update_fields=["status", "answer"])


def request_keys_forget() -> int:
    """Forget all keys that are older; returns how many."""
    return RequestKey.objects.filter(created_at__lt=Now() - KEPT).delete()[0]
