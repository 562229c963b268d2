"""Who holds which question now, so that two reviewers are never asked the same one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..matching.graph import ordered
from ..models import Survey, User
from ..prepared import Written
from .joins import pairs_waiting

Pair = tuple[int, int]
# Asked several times on each page of a review: SQL as it is, which takes a third of the time of building it.
_LEASES = Written("""
SELECT lease.id, lease.user_id, lease.a_id, lease.b_id, least(question.a, question.b), greatest(question.a, question.b),
       lease.until > statement_timestamp()
FROM identification_reviewlease lease
    JOIN identification_detection a ON a.id = lease.a_id JOIN identification_detection b ON b.id = lease.b_id
    CROSS JOIN LATERAL (
        -- As `question_key` says it.
        SELECT CASE WHEN a.individual_id IS NULL OR a.individual_id = b.individual_id THEN lease.a_id
                    ELSE -a.individual_id END AS a,
               CASE WHEN b.individual_id IS NULL OR a.individual_id = b.individual_id THEN lease.b_id
                    ELSE -b.individual_id END AS b
    ) question
WHERE lease.population_id = %(population)s
ORDER BY lease.id
""")
_INDIVIDUALS = Written("""
SELECT box.id, box.individual_id
FROM identification_detection box JOIN identification_image photo ON photo.id = box.image_id
    JOIN identification_survey survey ON survey.id = photo.survey_id
WHERE box.id = ANY(%(boxes)s) AND survey.population_id = %(population)s
""")


class Held(NamedTuple):
    """A lease. key: what is asked, as :func:`question_key` says; user_id: who holds it; live: until it runs out."""

    id: int
    user_id: int
    pair: Pair
    key: Pair
    live: bool = True


def question_key(a: tuple[int, int | None], b: tuple[int, int | None]) -> Pair:
    """The question of a pair, told by its two groups, so that it stays one when groups merge.

    a, b: detection and individual. An individual stands for its group, a photo without one for itself. Of a pair within
    one group (a match that is judged again) the pair itself is the question.
    """
    if a[1] is not None and a[1] == b[1]:
        return ordered((a[0], b[0]))
    # Individuals below zero, so that their numbers never meet those of detections.
    left, right = (detection if individual is None else -individual for detection, individual in (a, b))
    return ordered((left, right))


def leases_all(*, population_id: int) -> list[Held]:
    """Every lease of a population, also those that have run out by the database's clock, in the order of their ids."""
    rows = _LEASES(population=population_id)
    return [Held(pk, user, (a, b), (one, other), live) for pk, user, a, b, one, other, live in rows]


def leases_live(*, population_id: int) -> list[Held]:
    """Every lease of a population that has not run out by the database's clock, the one that was taken first first."""
    return [held for held in leases_all(population_id=population_id) if held.live]


def question_keys(*, population_id: int, pairs: Iterable[Pair]) -> dict[Pair, Pair]:
    """The question of each pair (ordered); pairs with a detection of another population are left out."""
    wanted = {ordered(pair) for pair in pairs}
    ids = {detection for pair in wanted for detection in pair}
    individuals: dict[int, int | None] = dict(_INDIVIDUALS(boxes=list(ids), population=population_id))
    return {
        (a, b): question_key((a, individuals[a]), (b, individuals[b]))
        for a, b in wanted
        if a != b and a in individuals and b in individuals
    }


def leased_elsewhere(*, user: User, survey: Survey) -> list[Pair]:
    """Pairs of detections that stand for the questions which others hold now, in any survey of the population, or
    which wait for a curator and are not this account's to settle.

    Compare them by groups, not as pairs: the question between two groups is one, whatever photos are shown. Where
    groups merged under two leases, so that both are now the same question, it is hers who took her lease first.
    """
    live, own = leases_live(population_id=survey.population_id), user.pk
    first: dict[Pair, int] = {}
    for held in live:
        first.setdefault(held.key, held.user_id)
    waiting = pairs_waiting(user=user, population_id=survey.population_id)
    return waiting + [held.pair for held in live if held.user_id != own and first[held.key] != own]
