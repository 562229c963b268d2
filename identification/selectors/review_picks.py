"""What somebody in this process was just given to look at and has not leased yet: nobody else picks it meanwhile.

Between the moment in which a question is chosen for a page and the one in which its lease stands lie some dozen
milliseconds. Where many people share a queue, whose first question is the same for all, many would be given it in that
time, all but one would not get the lease, and their pages would be made again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from django.db import connection

from ..models import Survey, User
from .review_leases import leased_elsewhere

Pair = tuple[int, int]
# A page that fails before its lease is asked for keeps its questions for so long.
_SECONDS = 5.0
_picks: dict[tuple[str, int], tuple[float, list[Pair]]] = {}
_lock = threading.Lock()


def _name(user: User) -> tuple[str, int]:
    return str(connection.settings_dict["NAME"]), user.pk


def picks_note(user: User, pairs: Iterable[Pair]) -> None:
    """These are to be leased at once. Call it while the review is locked."""
    with _lock:
        _picks[_name(user)] = time.monotonic() + _SECONDS, list(pairs)


def picks_over(user: User) -> None:
    """The leases stand, or were not got."""
    with _lock:
        _picks.pop(_name(user), None)


def picked_elsewhere(user: User) -> list[Pair]:
    """What others are about to lease. Read it while the review is locked, before the leases are read."""
    database, own = _name(user)
    now = time.monotonic()
    with _lock:
        for name in [name for name, (until, _) in _picks.items() if until < now]:
            del _picks[name]
        return [
            pair for (where, who), (_, pairs) in _picks.items() if where == database and who != own for pair in pairs
        ]


def held_now(user: User, survey: Survey) -> list[Pair]:
    """Pairs whose questions others have, or get at this moment. Read it while the review is locked."""
    return [*picked_elsewhere(user), *leased_elsewhere(user=user, survey=survey)]
