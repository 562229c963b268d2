"""Runs that a worker holds for a while: rows with state, attempts, token, lease_until, error and finished_at.

A claim is a token that nobody else gets: what is written under an old one changes nothing. The attempt is counted
before the work, so that a run that kills its worker ends. Exports, calibrations, imports and what browsers sent are
such rows. Photos and surveys hold the same in columns of their own: `work`, `matching`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Now

from .work import LeaseLost, dead_workers

_CLAIM = """
UPDATE {table} SET state = 'running', attempts = attempts + 1, error = '', {worker}
    token = nextval('spotid_fencing_token'), lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND attempts < %s
    AND (state = 'pending' OR (state = 'running' AND lease_until < clock_timestamp()))
RETURNING token
"""
_RENEW = """
UPDATE {table} SET {progress} lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND token = %s AND state = 'running'
"""
# A row that is held is being ended by its worker: whoever looks for the dead does not wait for it.
_EXPIRED = """
UPDATE {table} SET
    state = CASE WHEN attempts >= %s THEN 'failed' ELSE 'pending' END,
    error = CASE WHEN attempts >= %s THEN 'The worker died ' || attempts || ' ' || %s ELSE error END,
    finished_at = CASE WHEN attempts >= %s THEN clock_timestamp() END,
    lease_until = NULL, worker = '', token = nextval('spotid_fencing_token')
WHERE id IN (
    SELECT id FROM {table}
    WHERE state = 'running' AND (lease_until < clock_timestamp() OR worker = ANY(%s)) FOR UPDATE SKIP LOCKED)
"""


def lease_take(model: type[Model], pk: int, *, seconds: float, worker: str | None = None) -> int | None:
    """The token of a run that waits, or whose lease ran out; None when it is over, taken or out of attempts.

    worker: who takes it, for models that write it down.
    """
    statement = _CLAIM.format(table=model._meta.db_table, worker="" if worker is None else "worker = %s,")
    values: list[Any] = [*([] if worker is None else [worker]), seconds, pk, settings.SPOTID_MAX_ATTEMPTS]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return row[0] if row else None


def lease_renew(
    model: type[Model],
    pk: int,
    token: int,
    *,
    seconds: float,
    progress: tuple[int, int] | None = None,
    by: Any = connection,
) -> None:
    """Renew a claim. progress: (done, total). by: another connection than the thread's. Raises LeaseLost."""
    statement = _RENEW.format(table=model._meta.db_table, progress="" if progress is None else "done = %s, total = %s,")
    with by.cursor() as cursor:
        cursor.execute(statement, [*(progress or ()), seconds, pk, token])
        if cursor.rowcount != 1:
            raise LeaseLost(f"The row of {model._meta.db_table} was taken over.")


def attempt_fail(own: QuerySet[Any], *, reason: str, final: bool, **also: Any) -> None:
    """Record a failure on the row that `own` is. Not final: it waits for its next attempt until none is left.

    also: more fields to set.
    """
    said = {"error": reason[:2000], "lease_until": None, **also}
    over = own.filter(attempts__gte=0 if final else settings.SPOTID_MAX_ATTEMPTS)
    if not over.update(state="failed", finished_at=Now(), **said):
        own.update(state="pending", finished_at=None, **said)


def attempt_release(own: QuerySet[Any]) -> None:
    """Workers stop: it goes on when one starts, with what is done already, and the attempt does not count."""
    own.update(state="pending", attempts=F("attempts") - 1, lease_until=None)


def leases_expire(model: type[Model], died: str) -> int:
    """End leases that ran out, or whose worker on this host is gone; returns how many.

    died: how the sentence ends that tells of deaths, as identification/sentences.py has it.
    """
    rows: Any = model._default_manager
    dead = dead_workers(rows.filter(state="running").values_list("worker", flat=True))
    most = settings.SPOTID_MAX_ATTEMPTS
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED.format(table=model._meta.db_table), [most, most, died, most, dead])
        return int(cursor.rowcount)
