"""What could be asked as a check, kept in memory: it is what the database would say, and costs little to ask."""

from __future__ import annotations

import random

import pytest

from identification.models import Decision, Detection, Membership, Provenance, Role
from identification.selectors import check_pool, checks, known_pairs
from identification.selectors.check_pool import Pool, pool_of, seconds_wanted
from identification.selectors.checks import checks_due
from identification.services.decisions import decision_record, decision_undo
from identification.services.opinions import opinion_record, opinion_seen, opinion_withdraw
from tests.identification import factories as make
from tests.identification.test_second_review import World

pytestmark = pytest.mark.django_db
VERDICTS = ["match", "match", "no_match", "no_match", "unsure"]


def kept(pool: Pool) -> tuple[set[tuple[int, int]], dict[str, set[int]], set[int]]:
    wanted = {(who, edge) for who, edges in pool.wanted.items() for edge, _ in edges}
    known = {truth: {edge for edge, _ in edges} for truth, edges in pool.known.items() if len(edges)}
    return wanted, known, {edge for edge, _ in pool.labelled}


def read(world: World) -> Pool:
    """The pool of the survey with everything read that is ever asked of it."""
    with pool_of(world.survey) as pool:
        pool.waiting(world.ben, world.survey, without=(), most=1)
        pool.could_be_known(world.ben, world.survey, "match", start=0.0, most=1)
        return pool


def anew(world: World) -> Pool:
    check_pool._kept.clear()
    return read(world)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_following_gives_what_is_read_anew(seed) -> None:
    draw = random.Random(seed)
    world = World(photos=6, second_review_share=1.0, known_pairs_share=0.2)
    people = [world.ann, world.ben, world.cleo]
    pool = anew(world)
    for _ in range(40):
        a, b = draw.sample(range(6), 2)
        who, kind = draw.choice(people), draw.random()
        if kind < 0.5:
            imported = {"provenance": Provenance.IMPORTED, "shown": None} if draw.random() < 0.2 else {}
            world.decide(who, a, b, draw.choice(VERDICTS), confirm_contradiction=True, **imported)
        elif kind < 0.65:
            standing = Decision.objects.filter(undoes__isnull=True, undone_by__isnull=True).order_by("-pk").first()
            if standing is not None:
                decision_undo(acting_user=world.cleo, decision=standing, any_user=True)
        elif kind < 0.9:
            for check in world.rest(who)[:2]:
                opinion_record(user=who, survey=world.survey, check=check, verdict=draw.choice(VERDICTS))
        else:
            opinion_withdraw(user=who, survey=world.survey)
        followed = kept(read(world))
        with pool_of(world.survey) as now:
            assert now is pool, "it was followed, not read again"
        assert followed == kept(fresh(world))
    assert Decision.objects.count() > 10


def fresh(world: World) -> Pool:
    """What a process that has just started would read."""
    pool = Pool(world.survey.pk, world.survey.population_id, 0, 0)
    pool.waiting(world.ben, world.survey, without=(), most=1)
    pool.could_be_known(world.ben, world.survey, "match", start=0.0, most=1)
    assert {edge for _, edge in kept(pool)[0]} == set(
        seconds_wanted(survey=world.survey).values_list("edge_id", flat=True)
    )
    return pool


def test_once_read_a_request_asks_few_things_of_the_database_however_much_is_decided(
    django_assert_max_num_queries,
) -> None:
    world = World(photos=30, second_review_share=1.0, known_pairs_share=0.5)
    for index in range(0, 30, 2):
        world.decide(world.ann, index, index + 1)
        world.decide(world.cleo, index, (index + 3) % 30, "no_match")
    first = checks_due(user=world.ben, survey=world.survey, most=24)
    assert {check.kind for check in first.values()} == {"second", "known"}
    with django_assert_max_num_queries(6):
        assert checks_due(user=world.ben, survey=world.survey, most=24) == first
    answered = first[min(first)]
    opinion_record(user=world.ben, survey=world.survey, check=answered, verdict="match")
    # One more place, and what was touched; both kinds may have to be found anew for it.
    with django_assert_max_num_queries(16):
        after = checks_due(user=world.ben, survey=world.survey, most=24)
    assert answered.pair not in {check.pair for check in after.values()}


def test_who_cannot_be_asked_about_the_first_ones_gets_to_the_others(monkeypatch) -> None:
    monkeypatch.setattr(checks, "_LOOKED_AT", 2)
    world = World(photos=20, second_review_share=1.0)
    decisions = [world.decide(world.ann, index, index + 1, "no_match") for index in range(0, 18, 2)]
    for decision in decisions[:-1]:
        opinion_seen(user=world.ben, survey=world.survey, decision=decision)
    assert world.pairs(world.ben) == [world.pair(16, 17)]
    monkeypatch.setattr(checks, "_LOOKS_AT_THE_END", 1)
    check_pool._kept.clear()
    found = [world.pairs(world.ben) for _ in range(6)]
    assert found[0] == [] and found[-1] == [world.pair(16, 17)], "each request looks a little further"
    assert world.pairs(world.cleo)[:1] == [world.pair(0, 1)]


def test_what_is_known_is_found_among_much_that_cannot_be_asked(monkeypatch) -> None:
    monkeypatch.setattr(known_pairs, "_LOOKED_AT", 2)
    world = World(photos=20, known_pairs_share=0.5)
    for index in range(0, 18, 2):
        world.decide(world.cleo, index, index + 1)
        if index != 6:
            Detection.objects.filter(pk=world.photos[index].pk).update(usable=False)
    asked = [checks_due(user=world.ben, survey=world.survey, start=place).get(0) for place in range(60)]
    assert {check.pair for check in asked if check} == {world.pair(6, 7)}


def test_a_box_that_is_put_aside_is_not_offered_any_more() -> None:
    world = World(second_review_share=1.0)
    world.decide(world.ann, 0, 1)
    world.decide(world.ann, 2, 3)
    assert world.pairs(world.ben) == [world.pair(0, 1), world.pair(2, 3)]
    Detection.objects.filter(pk=world.photos[1].pk).update(usable=False)
    assert world.pairs(world.ben) == [world.pair(2, 3)]


def test_what_one_answers_is_not_offered_to_another() -> None:
    world = World(second_review_share=1.0)
    dora = make.make_member(world.survey)
    world.decide(world.ann, 0, 1)
    (check,) = world.rest(world.ben)
    assert world.rest(dora) == [check]
    opinion = opinion_record(user=dora, survey=world.survey, check=check, verdict="match")
    assert world.rest(world.ben) == []
    opinion_withdraw(user=dora, survey=world.survey, of=opinion.key)
    assert world.rest(world.ben) == [check]


def test_who_is_no_curator_any_more_says_nothing_that_is_known() -> None:
    world = World(known_pairs_share=0.5)
    world.decide(world.cleo, 0, 1)
    assert world.known(world.ben) != set()
    Membership.objects.filter(user=world.cleo).update(role=Role.REVIEWER)
    assert world.known(world.ben) == set()
    Membership.objects.filter(user=world.ann).update(role=Role.CURATOR)
    decision_record(
        acting_user=world.ann,
        first=world.photos[2],
        second=world.photos[3],
        verdict="match",
        anchor=world.photos[2],
        shown=0.7,
    )
    assert {pair for pair, _, _ in world.known(world.ben)} == {world.pair(2, 3)}
