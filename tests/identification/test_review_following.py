"""The queue in memory follows what changes in the database, and is then what it would be if it were built anew."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identification.models import Candidate, Decision, Detection, Flank, MatchEdge, Role, Survey, User
from identification.selectors import review_comparing, review_queue, review_reading
from identification.selectors.review_queue import Review, review_differs, review_of
from identification.services.decisions import decision_record, decision_undo
from tests.identification import factories as make

PHOTOS = 6
World = tuple[User, Survey, list[Detection]]


@pytest.fixture
def world(db) -> World:  # type: ignore[no-untyped-def]
    """Six photos, each a candidate of every other, one of them of another season; nothing in memory."""
    survey = make.make_survey(matching_state="done")
    before = make.make_survey(survey.population, matching_state="done")
    photos = [make.make_sighting(survey if n else before, files=False) for n in range(PHOTOS)]
    for anchor in photos[1:]:
        others = [photo for photo in photos if photo != anchor]
        for rank, other in enumerate(others, 1):
            probability = 0.9 - 0.1 * abs(photos.index(anchor) - photos.index(other))
            make.make_candidate(anchor, other, rank=rank, probability=probability)
    user = make.make_member(survey, Role.CURATOR)
    make.make_member(before, Role.REVIEWER, user=user)
    review_queue._kept.clear()
    return user, survey, photos


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a large catalogue: nothing is compared unless somebody asks for it, so decisions have to be followed."""
    monkeypatch.setattr(review_comparing, "_COMPARED_ALWAYS", -1)
    monkeypatch.setattr(review_comparing, "_COMPARING", 1e-9)


def known(user: User, survey: Survey) -> dict[str, Any]:
    """Everything that a review knows, in a form that does not tell how it came to know it."""
    with review_of(user=user, survey=survey) as review:
        queue = review.queue
        return {
            "questions": sorted(
                (q.pair.a, q.pair.b, q.probability, q.pair.one_flank, q.settles, q.compared, q.unsure, q.stage)
                for q in queue.questions()
            ),
            "open": queue.open,
            "groups": sorted(map(sorted, queue.groups())),
            "rows": list(review.rows.items()),
            "ranks": dict(review.ranks),
            "boxes": dict(review.boxes),
            "edges": dict(review.edges),
            "answers": (dict(review.shown), dict(review.anchors), review.decisions),
            "progress": review.completeness(0.99),
        }


def anew(user: User, survey: Survey) -> dict[str, Any]:
    review_queue._kept.clear()
    return known(user, survey)


couples = st.sampled_from(list(itertools.combinations(range(PHOTOS), 2)))
places = st.integers(0, PHOTOS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), couples, st.sampled_from(["match", "match", "no_match", "unsure", "incomparable"])),
        st.tuples(st.just("undo"), st.integers(0, 9), st.none()),
        st.tuples(st.just("flank"), places, st.sampled_from([Flank.LEFT, Flank.RIGHT, Flank.UNKNOWN])),
        st.tuples(st.just("usable"), places, st.booleans()),
    ),
    max_size=12,
)


def take(user: User, photos: list[Detection], step: tuple[Any, ...], standing: list[Decision]) -> None:
    kind, what, how = step
    if kind == "say":
        a, b = (Detection.objects.select_related("image__survey").get(pk=photos[place].pk) for place in what)
        if {a.flank, b.flank} == {Flank.LEFT, Flank.RIGHT}:
            return
        anchor = b if a == photos[0] else a
        said = decision_record(
            acting_user=user, first=a, second=b, verdict=how, anchor=anchor, shown=0.5, confirm_contradiction=True
        )
        standing.append(said)
    elif kind == "undo" and standing:
        decision_undo(acting_user=user, decision=standing.pop(what % len(standing)))
    elif kind == "flank":
        Detection.objects.filter(pk=photos[what].pk).update(flank=how)
    elif kind == "usable":
        Detection.objects.filter(pk=photos[what].pk).update(usable=how)


@given(steps=steps)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_changes_the_review_in_memory_is_what_it_would_be_anew(world: World, steps: list) -> None:  # type: ignore[type-arg]
    user, survey, photos = world
    review_queue._kept.clear()
    point = transaction.savepoint()
    try:
        standing: list[Decision] = []
        kept = known(user, survey)
        for step in steps:
            take(user, photos, step, standing)
            kept = known(user, survey)
        assert kept == anew(user, survey)
    finally:
        transaction.savepoint_rollback(point)


@given(steps=steps)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_decisions_and_undos_are_followed_without_comparing_everything(
    world: World,
    seldom: None,
    steps: list,  # type: ignore[type-arg]
) -> None:
    user, survey, photos = world
    review_queue._kept.clear()
    point = transaction.savepoint()
    try:
        standing: list[Decision] = []
        kept = known(user, survey)
        for step in steps:
            if step[0] in ("say", "undo"):
                take(user, photos, step, standing)
                kept = known(user, survey)
        assert kept == anew(user, survey)
    finally:
        transaction.savepoint_rollback(point)


def held(user: User, survey: Survey) -> Review:
    with review_of(user=user, survey=survey) as review:
        return review


def test_neither_answers_nor_undos_nor_boxes_build_the_queue_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, survey, photos = world
    review = held(user, survey)
    monkeypatch.setattr(review_queue, "_build", lambda *_: pytest.fail("built anew"))
    said = decision_record(acting_user=user, first=photos[1], second=photos[2], verdict="match", anchor=photos[1])
    assert held(user, survey) is review and review.queue.group(photos[1].pk) == review.queue.group(photos[2].pk)
    decision_undo(acting_user=user, decision=said)
    assert held(user, survey) is review and review.queue.group(photos[1].pk) != review.queue.group(photos[2].pk)
    Detection.objects.filter(pk=photos[1].pk).update(usable=False)
    assert held(user, survey) is review and photos[1].pk not in review.rows


def test_a_deleted_photo_takes_its_answers_with_it(world: World) -> None:
    user, survey, photos = world
    decision_record(acting_user=user, first=photos[1], second=photos[2], verdict="match", anchor=photos[2], shown=0.5)
    assert known(user, survey)["answers"][2] == 1
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL spotid.purge = 'on'")
    photos[1].image.delete()
    after = known(user, survey)
    assert after["answers"] == ({}, {}, 0) and not MatchEdge.objects.exists()
    assert after == anew(user, survey)


def test_another_matching_of_another_survey_leaves_the_queue_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, survey, photos = world
    review = held(user, survey)
    monkeypatch.setattr(review_queue, "_build", lambda *_: pytest.fail("built anew"))
    make.make_candidate(photos[0], photos[1], rank=1, probability=0.4)
    assert held(user, survey) is review


def test_a_question_whose_box_has_changed_is_noticed_on_its_own_page(world: World, seldom: None) -> None:
    user, survey, photos = world
    held(user, survey)
    Detection.objects.filter(pk=photos[2].pk).update(flank=Flank.LEFT)
    with review_of(user=user, survey=survey) as review:
        assert review.boxes[photos[2].pk].flank == Flank.RIGHT, "in a large catalogue not at once"
    rows = [Detection.objects.select_related("image").get(pk=photo.pk) for photo in photos[1:3]]
    assert not review_differs(review, rows[:1])
    assert review_differs(review, rows)
    assert held(user, survey).boxes[photos[2].pk].flank == Flank.LEFT
    assert known(user, survey) == anew(user, survey)


def test_many_changes_at_once_build_the_queue_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    user, survey, photos = world
    monkeypatch.setattr(review_comparing, "_BOXES_FOLLOWED", 1)
    review = held(user, survey)
    Detection.objects.filter(pk__in=[photo.pk for photo in photos[1:4]]).update(flank=Flank.LEFT)
    assert held(user, survey) is not review
    assert known(user, survey) == anew(user, survey)


def test_reviews_that_take_too_much_memory_are_let_go_the_oldest_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, survey, _ = world
    monkeypatch.setattr(review_queue, "CANDIDATES_KEPT", 1)
    other = Survey.objects.exclude(pk=survey.pk).get(population=survey.population)
    first = held(user, survey)
    held(user, other)
    assert [place.review.survey for place in review_queue._kept.values() if place.review] == [other.pk]
    assert held(user, survey) is not first


@pytest.mark.django_db(transaction=True)
def test_one_builds_while_others_wait_and_what_they_commit_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four requests at once, each in a thread and a transaction of its own, as in the server."""
    survey, animals = make.make_reviewable_survey(individuals=4, photos=3)
    user = make.make_member(survey, Role.REVIEWER)
    review_queue._kept.clear()
    monkeypatch.setattr(review_comparing, "_COMPARED_ALWAYS", -1)
    monkeypatch.setattr(review_comparing, "_COMPARING", 1e-9)
    built: list[int] = []
    build = review_queue._build
    monkeypatch.setattr(review_queue, "_build", lambda *given: built.append(1) or build(*given))
    start, trouble = threading.Barrier(4), []

    def work(own: list[Detection]) -> None:
        try:
            start.wait(30)
            for verdict in ("match", "unsure"):
                held(user, survey)
                said = decision_record(acting_user=user, first=own[0], second=own[1], verdict=verdict, anchor=own[0])
                held(user, survey)
            decision_undo(acting_user=user, decision=said)
            held(user, survey)
        except Exception as error:
            trouble.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(own,)) for own in animals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not trouble and built == [1]
    kept = known(user, survey)
    assert len(kept["edges"]) == 4 and set(kept["edges"].values()) == {"match"}
    assert kept == anew(user, survey)


def test_of_other_populations_decisions_only_the_number_is_noticed(world: World, seldom: None) -> None:
    user, survey, _ = world
    review = held(user, survey)
    elsewhere, animals = make.make_reviewable_survey()
    make.match(None, animals[0][0], animals[0][1])
    assert held(user, survey) is review and not review.edges
    assert review_reading.edges_after(elsewhere.population_id, 0)[0]
    assert Candidate.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_large_review_is_built_anew_beside_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    survey, animals = make.make_reviewable_survey(individuals=3, photos=3)
    user = make.make_member(survey, Role.REVIEWER)
    review_queue._kept.clear()
    review = held(user, survey)
    monkeypatch.setattr(review_queue, "_LARGE", -1)
    go, build = threading.Event(), review_queue._build
    monkeypatch.setattr(review_queue, "_build", lambda *given: go.wait(60) and build(*given))
    Candidate.objects.filter(anchor=animals[0][0], detection=animals[0][1]).update(probability=0.3)
    Candidate.objects.filter(anchor=animals[0][1], detection=animals[0][0]).update(probability=0.3)
    Survey.objects.filter(pk=survey.pk).update(matched_at=make.START)
    assert held(user, survey) is review, "pages go on with the one at hand"
    said = decision_record(
        acting_user=user, first=animals[1][0], second=animals[1][1], verdict="match", anchor=animals[1][0]
    )
    assert held(user, survey) is review and (said.edge.a_id, said.edge.b_id) in review.edges
    (place,) = review_queue._kept.values()
    go.set()
    assert place.builder is not None
    place.builder.join(60)
    after = held(user, survey)
    assert after is not review and (said.edge.a_id, said.edge.b_id) in after.edges
    question = after.queue.question(animals[0][0].pk, animals[0][1].pk)
    assert question is not None and question.probability == 0.3
    assert known(user, survey) == anew(user, survey)


@pytest.mark.django_db(transaction=True)
def test_what_fails_beside_is_built_by_the_next_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    survey, _ = make.make_reviewable_survey()
    user = make.make_member(survey, Role.REVIEWER)
    review_queue._kept.clear()
    review = held(user, survey)
    monkeypatch.setattr(review_queue, "_LARGE", -1)
    with monkeypatch.context() as broken:
        broken.setattr(review_queue, "_build", lambda *_: 1 / 0)
        Survey.objects.filter(pk=survey.pk).update(matched_at=make.START)
        held(user, survey)
        (place,) = review_queue._kept.values()
        assert place.builder is not None
        place.builder.join(60)
    assert "could not be built beside" in caplog.text
    assert held(user, survey) is not review


@pytest.mark.django_db(transaction=True)
def test_sums_that_take_long_are_made_beside_and_followed_by_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    survey, animals = make.make_reviewable_survey(individuals=3, photos=2)
    user = make.make_member(survey, Role.REVIEWER)
    review_queue._kept.clear()
    monkeypatch.setattr(review_comparing, "_COMPARED_ALWAYS", -1)
    monkeypatch.setattr(review_comparing, "_COMPARING", 1e-9)
    review = held(user, survey)
    (place,) = review_queue._kept.values()
    gone = animals[0][0]
    type(gone).objects.filter(pk=gone.pk).update(usable=False)
    decision_record(
        acting_user=user, first=animals[1][0], second=animals[2][0], verdict="no_match", anchor=animals[1][0]
    )
    assert gone.pk in held(user, survey).boxes
    review.compare_at = time.monotonic()
    # The first request that is due waits for nothing, and what is decided before the sums are looked at stays followed.
    assert gone.pk in held(user, survey).boxes
    place.comparing._adder.join(30)
    decision_record(acting_user=user, first=animals[1][1], second=animals[2][1], verdict="unsure", anchor=animals[1][1])
    assert gone.pk not in held(user, survey).boxes
    followed = known(user, survey)
    # What nobody has asked for in a long time is compared at once.
    type(gone).objects.filter(pk=gone.pk).update(usable=True)
    review.compare_at = time.monotonic() - 2 * review_comparing._TOO_OLD
    assert gone.pk in held(user, survey).boxes and held(user, survey) is review
    type(gone).objects.filter(pk=gone.pk).update(usable=False)
    review_queue._kept.clear()
    assert known(user, survey) == followed
