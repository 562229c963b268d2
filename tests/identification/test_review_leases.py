"""Leases of questions: one reviewer each, by groups, for two minutes of the database's clock."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from identification.matching.graph import ordered
from identification.models import Detection, ReviewLease, Survey, User, Verdict
from identification.selectors.review_leases import leased_elsewhere, leases_all, question_key
from identification.services.review_leases import LEASES_MOST, questions_lease, questions_release
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db


class World:
    """A survey with two reviewers and a few photos."""

    def __init__(self, photos: int = 6) -> None:
        self.survey: Survey = make.make_survey()
        self.photos: list[Detection] = [self.photo() for _ in range(photos)]
        self.ann, self.ben = make.make_member(self.survey), make.make_member(self.survey)

    def photo(self, survey: Survey | None = None) -> Detection:
        return make.make_detection(make.make_image(survey or self.survey, files=False), files=False)

    def pair(self, a: int, b: int) -> tuple[int, int]:
        return self.photos[a].pk, self.photos[b].pk

    def lease(self, user: User, *pairs: tuple[int, int]) -> list[tuple[int, int]]:
        return questions_lease(user=user, survey=self.survey, pairs=pairs)

    def elsewhere(self, user: User) -> list[tuple[int, int]]:
        return leased_elsewhere(user=user, survey=self.survey)


@pytest.fixture
def world() -> World:
    return World()


def _run_out() -> None:
    ReviewLease.objects.update(until=Now() - timedelta(milliseconds=1))


def test_nothing_is_held_at_first_and_nothing_is_got_for_nothing(world) -> None:
    assert world.elsewhere(world.ann) == []
    assert world.lease(world.ann) == []
    questions_release(user=world.ann, survey=world.survey)
    assert not ReviewLease.objects.exists()


def test_a_held_question_is_not_got_by_another_in_either_order(world) -> None:
    a, b = world.pair(0, 1)
    assert world.lease(world.ann, (b, a), world.pair(2, 3)) == [(b, a), world.pair(2, 3)]
    assert world.lease(world.ben, (a, b), world.pair(4, 5)) == [world.pair(4, 5)]
    assert world.lease(world.ben, (b, a)) == []
    assert world.elsewhere(world.ben) == [(a, b), world.pair(2, 3)]
    assert world.elsewhere(world.ann) == [world.pair(4, 5)]


def test_other_photos_of_the_same_two_groups_are_the_same_question(world) -> None:
    match(None, world.photos[0], world.photos[1])
    match(None, world.photos[2], world.photos[3])
    world.lease(world.ann, world.pair(0, 2))
    assert world.lease(world.ben, world.pair(1, 3), world.pair(1, 4)) == [world.pair(1, 4)]


def test_a_question_is_recognised_after_its_groups_merged(world) -> None:
    world.lease(world.ann, world.pair(0, 2))
    match(None, world.photos[0], world.photos[1])
    assert world.lease(world.ben, world.pair(1, 2)) == []


def test_of_two_leases_that_became_one_question_the_first_one_holds(world) -> None:
    world.lease(world.ann, world.pair(0, 2))
    world.lease(world.ben, world.pair(1, 2))
    match(None, world.photos[0], world.photos[1])
    assert world.lease(world.ann, world.pair(0, 2)) == [world.pair(0, 2)]
    assert world.lease(world.ben, world.pair(1, 2)) == []
    assert world.elsewhere(world.ann) == []
    assert world.elsewhere(world.ben) == [world.pair(0, 2)]


def test_a_match_that_is_judged_again_is_a_question_of_its_own(world) -> None:
    for one, other in ((0, 1), (1, 2)):
        match(None, world.photos[one], world.photos[other])
    world.lease(world.ann, world.pair(0, 1))
    assert world.lease(world.ben, world.pair(0, 1), world.pair(1, 2)) == [world.pair(1, 2)]


def test_a_lease_runs_out_and_its_row_is_cleaned_away(world) -> None:
    world.lease(world.ann, world.pair(0, 1), world.pair(2, 3))
    lasts = ReviewLease.objects.annotate(lasts=F("until") - Now()).first().lasts
    assert timedelta(seconds=110) < lasts <= timedelta(seconds=120)
    _run_out()
    assert world.elsewhere(world.ben) == []
    assert world.lease(world.ben, world.pair(0, 1)) == [world.pair(0, 1)]
    assert ReviewLease.objects.get().user == world.ben


def test_renewing_prolongs_it(world) -> None:
    world.lease(world.ann, world.pair(0, 1))
    ReviewLease.objects.update(until=Now() + timedelta(seconds=1))
    assert world.lease(world.ann, world.pair(0, 1)) == [world.pair(0, 1)]
    assert ReviewLease.objects.filter(until__gt=Now() + timedelta(seconds=110)).count() == 1


def test_release_ends_what_is_named_by_its_groups_or_everything_in_the_survey(world) -> None:
    match(None, world.photos[0], world.photos[1])
    world.lease(world.ann, world.pair(0, 2), world.pair(3, 4))
    world.lease(world.ben, world.pair(4, 5))
    questions_release(user=world.ann, survey=world.survey, pairs=[world.pair(2, 1)])
    assert world.elsewhere(world.ben) == [world.pair(3, 4)]
    questions_release(user=world.ann, survey=world.survey)
    assert world.elsewhere(world.ben) == []
    assert world.elsewhere(world.ann) == [world.pair(4, 5)]


def test_the_answered_question_is_given_up_although_the_answer_merged_its_groups(world) -> None:
    world.lease(world.ann, world.pair(0, 1))
    match(world.ann, world.photos[0], world.photos[1])
    questions_release(user=world.ann, survey=world.survey, pairs=[world.pair(1, 0)])
    assert not ReviewLease.objects.exists()


def test_another_survey_of_the_population_asks_the_same_questions(world) -> None:
    sister = make.make_survey(world.survey.population)
    stranger = world.photo(sister)
    pair = (world.photos[0].pk, stranger.pk)
    assert questions_lease(user=world.ann, survey=sister, pairs=[pair]) == [pair]
    assert world.lease(world.ben, pair) == []
    assert world.elsewhere(world.ben) == [pair]
    questions_release(user=world.ann, survey=world.survey)
    assert world.elsewhere(world.ben) == [pair], "what is held in another survey stays held"


def test_photos_of_another_population_and_of_nothing_are_not_got(world) -> None:
    foreign = world.photo(make.make_survey())
    a = world.photos[0].pk
    assert world.lease(world.ann, (a, foreign.pk), (a, a), (a, 10**9), world.pair(0, 1)) == [world.pair(0, 1)]


def test_nobody_holds_the_whole_survey() -> None:
    world = World(photos=14)
    pairs = [(one.pk, other.pk) for one in world.photos for other in world.photos if one.pk < other.pk]
    assert len(world.lease(world.ann, *pairs)) == LEASES_MOST < len(pairs)
    world.lease(world.ann, pairs[-1])
    assert ReviewLease.objects.count() == LEASES_MOST
    assert pairs[0] not in world.elsewhere(world.ben)
    assert pairs[-1] in world.elsewhere(world.ben)


def test_leases_cost_few_queries_however_many_are_held(world, django_assert_max_num_queries) -> None:
    world.lease(world.ben, world.pair(0, 1), world.pair(2, 3))
    with django_assert_max_num_queries(2):  # leases, and matches that wait for a curator
        world.elsewhere(world.ann)
    with django_assert_max_num_queries(9):  # two of them a savepoint
        world.lease(world.ann, world.pair(0, 4), world.pair(1, 5), world.pair(2, 5))


@pytest.mark.django_db(transaction=True)
def test_of_two_who_ask_for_the_same_question_at_once_one_gets_it() -> None:
    """Two connections, the same groups through different photos, twenty rounds."""
    world = World(photos=4)
    match(None, world.photos[0], world.photos[1])
    asked = {world.ann.pk: world.pair(0, 2), world.ben.pk: world.pair(1, 2)}
    for _ in range(20):
        ReviewLease.objects.all().delete()
        together = threading.Barrier(2)
        got: list[int] = []

        def ask(user: User, together: threading.Barrier = together, got: list[int] = got) -> None:
            try:
                together.wait(timeout=20)
                got += [user.pk] * len(world.lease(user, asked[user.pk]))
            finally:
                connection.close()

        threads = [threading.Thread(target=ask, args=(user,)) for user in (world.ann, world.ben)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert len(got) == 1
        assert ReviewLease.objects.get().user_id == got[0]


@pytest.mark.django_db(transaction=True)
def test_a_reader_does_not_wait_for_a_decision_under_way() -> None:
    """No lock of the graph is needed: a lease is got while another transaction holds the population."""
    from django.db import transaction

    from identification.services.individuals import population_lock

    world = World(photos=3)
    got: list[tuple[int, int]] = []

    def ask() -> None:
        try:
            got.extend(world.lease(world.ben, world.pair(0, 1)))
        finally:
            connection.close()

    with transaction.atomic():
        population_lock(world.survey.population_id)
        match(world.ann, world.photos[1], world.photos[2], Verdict.NO_MATCH)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert got == [world.pair(0, 1)]


def test_the_page_renews_and_gives_back_what_it_names(world) -> None:
    client = Client()
    client.force_login(world.ann)
    address = reverse("review-hold", args=[world.survey.pk])
    world.lease(world.ben, world.pair(2, 3))
    (a, b), (c, d) = world.pair(0, 1), world.pair(2, 3)
    answer = client.post(address, {"pair": [f"{b}-{a}", f"{c}-{d}", "x-1", "", f"{a}-{10**12}"]}).json()
    assert answer == {"held": [f"{a}-{b}"], "seconds": 120}
    assert world.elsewhere(world.ben) == [(a, b)]
    assert client.post(address, {"pair": [f"{a}-{b}", f"{c}-{d}"], "release": "1"}).json()["held"] == []
    assert world.elsewhere(world.ben) == []
    assert world.elsewhere(world.ann) == [(c, d)], "what is another's is not given back"


def test_a_photo_of_a_survey_that_is_not_open_to_her_is_not_held(world) -> None:
    hidden = world.photo(make.make_survey(world.survey.population))
    client = Client()
    client.force_login(world.ann)
    pair = f"{world.photos[0].pk}-{hidden.pk}"
    assert client.post(reverse("review-hold", args=[world.survey.pk]), {"pair": pair}).json()["held"] == []
    assert not ReviewLease.objects.exists()


def test_the_database_names_a_question_as_the_code_does() -> None:
    """Of two animals, of one animal twice, of an animal and a photo without, of two photos without."""
    survey, animals = make.make_reviewable_survey(individuals=4)
    user = make.make_member(survey)
    for own in animals[:2]:
        match(user, *own[:2])
    one, same, two, alone, other = animals[0][0], animals[0][1], animals[1][0], animals[2][0], animals[3][0]
    pairs = [ordered((a.pk, b.pk)) for a, b in ((one, two), (one, same), (one, alone), (other, two), (alone, other))]
    assert questions_lease(user=user, survey=survey, pairs=pairs) == pairs
    of = dict(Detection.objects.values_list("pk", "individual"))
    held = leases_all(population_id=survey.population_id)
    assert {row.pair: row.key for row in held} == {(a, b): question_key((a, of[a]), (b, of[b])) for a, b in pairs}
    assert len({row.key for row in held}) == 5 and all(row.live and row.user_id == user.pk for row in held)
