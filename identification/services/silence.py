"""A task may take as long as it needs, but not fall silent.

Where a worker is given a task (`listened`), each word of progress (`spoken`) begins the count anew. A task that says
nothing for `SPOTID_TASK_TIMEOUT` seconds hangs: what it holds is given back with a sentence that says so, its attempt
counted, and its process ends, so that nothing of it is written later.

While a task is at it, spoken or not, its leases are kept (`held`): a lease tells whether the process lives, silence
whether it works. One statement may well take longer than a lease.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
_MOST_BETWEEN = 10.0
# How much later the process is ended where no Python runs in it any more.
_LATER = 30.0
# What is held elsewhere, as by the transaction of a task that hangs, is not waited for.
_PATIENCE = "SET lock_timeout = '5s'; SET statement_timeout = '20s'"


@dataclass(frozen=True)
class _Held:
    """renew: keep the lease. fail: give it back with a reason, the attempt counted."""

    renew: Callable[[], object]
    fail: Callable[[str], object]


@dataclass
class _Task:
    """What this process is at. limit: seconds that it may be silent, 0 for ever."""

    name: str
    limit: float
    spoke: float = field(default_factory=time.monotonic)
    held: list[_Held] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


_task: _Task | None = None


def listened(function: Callable[P, R]) -> Callable[P, R]:
    """A task whose silence ends its process. One at a time, as workers take them."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        global _task
        with _watched(_Task(function.__name__, float(settings.SPOTID_TASK_TIMEOUT))) as _task:
            try:
                return function(*args, **kwargs)
            finally:
                _task = None

    return run


def spoken() -> None:
    """The task at hand got further: its silence is counted from now."""
    if _task is not None:
        _task.spoke = time.monotonic()


@contextmanager
def held(*, renew: Callable[[], object], fail: Callable[[str], object]) -> Iterator[None]:
    """Keep a claim while the block runs, also where it has nothing to say for longer than a lease.

    Both are called in a thread with a connection of its own. `fail` is called with the reason when the task is ended.
    Inside a transaction of the caller's nothing is kept: no other connection sees the claim.
    """
    claim, task = _Held(renew, fail), _task
    if connection.in_atomic_block:
        yield
    elif task is not None:
        task.held.append(claim)
        try:
            yield
        finally:
            task.held.remove(claim)
    else:
        # From a command or a page, of which somebody sees whether it gets on.
        with _watched(_Task("", 0.0, held=[claim])):
            yield


@contextmanager
def _watched(task: _Task) -> Iterator[_Task]:
    watch = threading.Thread(target=_listen, args=(task,), name="silence", daemon=True)
    watch.start()
    try:
        yield task
    finally:
        task.over.set()
        watch.join()


def _listen(task: _Task) -> None:
    between = min(_MOST_BETWEEN, settings.SPOTID_LEASE_SECONDS / 6, task.limit / 4 or _MOST_BETWEEN)
    silent, spoke, used = 0.0, task.spoke, False
    try:
        _arm(task)
        while not task.over.wait(between):
            _arm(task)
            # Of a machine that slept, not all the time counts.
            silent = silent + between if task.spoke == spoke else 0.0
            spoke = task.spoke
            if task.limit and silent >= task.limit:
                _end(task)
            elif silent and task.held:
                used = True
                _quietly(lambda: _keep(task))
    finally:
        if task.limit:
            faulthandler.cancel_dump_traceback_later()
        if used:
            connection.close()


def _arm(task: _Task) -> None:
    """What ends the process should a library never let any Python run again, this thread included."""
    if task.limit and sys.__stderr__ is not None:
        with suppress(OSError, ValueError, RuntimeError):
            faulthandler.dump_traceback_later(task.limit + _LATER, exit=True, file=sys.__stderr__)


def _keep(task: _Task) -> None:
    from .work import beat

    _patience()
    for claim in list(task.held):
        claim.renew()
    beat()


def _end(task: _Task) -> None:
    logger.critical("the task %s said nothing for %.0f s; its process is ended", task.name, task.limit)
    if sys.__stderr__ is not None:
        with suppress(OSError, ValueError):
            faulthandler.dump_traceback(file=sys.__stderr__)
    for claim in list(task.held):
        _quietly(lambda claim=claim: _give_back(claim, task.limit))  # type: ignore[misc]
    os._exit(1)


def _give_back(claim: _Held, limit: float) -> None:
    _patience()
    claim.fail(words(limit))


def words(limit: float) -> str:
    """What is stored as the reason."""
    minutes = round(limit / 60)
    if minutes > 1:
        return f"Nothing was heard of it for {minutes} minutes, so it was ended."
    return f"Nothing was heard of it for {limit:.0f} seconds, so it was ended."


def _patience() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_PATIENCE)


def _quietly(act: Callable[[], object]) -> None:
    """A failure is told, no more: it is tried again soon, or nothing comes after it."""
    try:
        act()
    except DatabaseError as error:
        logger.warning("a claim could not be kept or given back: %s", str(error).strip())
        connection.close()
    except Exception:
        logger.exception("a claim could not be kept or given back")


_KEEP = """
UPDATE {table} SET {prefix}lease_until =
    greatest({prefix}lease_until, clock_timestamp() + make_interval(secs => %s))
WHERE id IN (
    SELECT id FROM {table} WHERE id = %s AND {prefix}token = %s AND {prefix}state = 'running'
    FOR NO KEY UPDATE SKIP LOCKED)
"""


def lease_keep(table: str, pk: int, token: int, seconds: float, *, prefix: str = "") -> None:
    """Keep a claim as all tables have them. Where its row is held by its own transaction, nobody can take it anyway."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP.format(table=table, prefix=prefix), [seconds, pk, token])
