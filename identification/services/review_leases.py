"""Leases of questions: taken when a question is shown, renewed while its page is open, ended by the database's clock.

No row stays locked between requests. Whoever takes, renews or gives up leases holds an advisory lock of the population
for the few milliseconds in which they are read and written, so of two who ask at once one gets the question.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from ..matching.graph import ordered
from ..models import Detection, ReviewLease, Survey, User
from ..prepared import Written
from ..selectors.review_leases import leases_all, leases_live, question_keys
from ..selectors.review_picks import picks_over

LEASE_SECONDS = 120
# What one person may hold: the question on her page, those that it has loaded ahead, a page of near-certain pairs.
LEASES_MOST = 60
# The first half of the key of advisory locks; whoever takes others in this database uses another one.
_LOCK = 12519195
_LOCKED = Written("SELECT pg_advisory_xact_lock(%(kind)s::int, %(population)s::int)")
_TAKE = """
INSERT INTO identification_reviewlease (population_id, survey_id, user_id, until, a_id, b_id)
SELECT %s, %s, %s, statement_timestamp() + %s, pair.a, pair.b
FROM unnest(%s::bigint[], %s::bigint[]) AS pair(a, b)
ON CONFLICT (a_id, b_id) DO UPDATE SET until = excluded.until, survey_id = excluded.survey_id
"""


def _lock(population_id: int) -> None:
    _LOCKED(kind=_LOCK, population=population_id)


@transaction.atomic
def questions_lease(*, user: User, survey: Survey, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Take or renew the questions of these pairs for two minutes; returns the pairs that were got, as they were given.

    A question that somebody else holds is not got, whichever photos of the two groups stand for it; nor is a pair of
    another population. Of more than LEASES_MOST pairs the first are looked at; whoever holds more loses the oldest.
    """
    given = list(pairs)[:LEASES_MOST]
    if not given:
        return []
    _lock(survey.population_id)
    keys = question_keys(population_id=survey.population_id, pairs=given)
    found = leases_all(population_id=survey.population_id)
    if over := [held.id for held in found if not held.live]:
        ReviewLease.objects.filter(pk__in=over).delete()
    live, own = [held for held in found if held.live], user.pk
    first: dict[tuple[int, int], int] = {}
    for held in live:
        first.setdefault(held.key, held.user_id)
    taken = {held.pair: held.user_id for held in live}
    got = {pair for pair in keys if first.get(keys[pair], own) == own == taken.get(pair, own)}
    if got:
        values: list[Any] = [survey.population_id, survey.pk, own, timedelta(seconds=LEASE_SECONDS)]
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, [*values, [a for a, _ in sorted(got)], [b for _, b in sorted(got)]])
    others = [held.id for held in live if held.user_id == own and held.pair not in got]
    if len(others) + len(got) > LEASES_MOST:
        ReviewLease.objects.filter(pk__in=others[: len(others) + len(got) - LEASES_MOST]).delete()
    picks_over(user)
    return [pair for pair in given if ordered(pair) in got]


@transaction.atomic
def questions_release(
    *, user: User, survey: Survey, pairs: Iterable[tuple[int, int]] | None = None, about: Detection | None = None
) -> None:
    """Give up the questions of these pairs, whichever photos stand for them, or of a photo's, or all in the survey."""
    picks_over(user)
    own = ReviewLease.objects.filter(user=user, population=survey.population_id)
    if not own.exists():
        return
    _lock(survey.population_id)
    if about is not None:
        own.filter(Q(a=about) | Q(b=about)).delete()
        return
    if pairs is None:
        own.filter(survey=survey).delete()
        return
    given = {ordered(pair) for pair in pairs}
    keys = set(question_keys(population_id=survey.population_id, pairs=given).values())
    live = leases_live(population_id=survey.population_id)
    over = Q(pk__in=[held.id for held in live if held.user_id == user.pk and held.key in keys])
    for a, b in given:
        over |= Q(a=a, b=b)
    own.filter(over).delete()
