"""Decisions that a browser sends twice, because the answer to the first was lost, are recorded once."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from identification.errors import Contradiction, KeyTaken, StaleEdge, UndoRefused
from identification.models import Decision, Detection, MatchEdge, User, Verdict
from identification.services.decisions import decision_record, decision_undo_last
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def photos() -> list[Detection]:
    survey = make.make_survey()
    return [make.make_sighting(survey, files=False) for _ in range(3)]


@pytest.fixture
def reviewer(photos: list[Detection]) -> User:
    return make.make_member(photos[0].image.survey)


def say(user: User, a: Detection, b: Detection, verdict: str = Verdict.MATCH, **values) -> Decision:  # type: ignore[no-untyped-def]
    return decision_record(acting_user=user, first=a, second=b, verdict=verdict, anchor=a, **values)


def test_the_same_decision_under_the_same_key_is_recorded_once(photos, reviewer) -> None:
    key = uuid4()
    first = say(reviewer, photos[0], photos[1], key=key, expected_version=0)
    again = say(reviewer, photos[1], photos[0], key=key, expected_version=0)
    assert again.pk == first.pk, "although the pair is not at the version any more that it was decided at"
    assert Decision.objects.count() == 1
    assert MatchEdge.objects.get().version == 1


def test_another_content_under_the_same_key_is_refused(photos, reviewer) -> None:
    key = uuid4()
    say(reviewer, photos[0], photos[1], key=key)
    for a, b, verdict in ((photos[0], photos[1], Verdict.UNSURE), (photos[0], photos[2], Verdict.MATCH)):
        with pytest.raises(KeyTaken):
            say(reviewer, a, b, verdict, key=key)
    with pytest.raises(KeyTaken):
        say(make.make_member(photos[0].image.survey), photos[0], photos[1], key=key)
    with pytest.raises(KeyTaken):
        decision_undo_last(acting_user=reviewer, survey=photos[0].image.survey, key=key)
    assert Decision.objects.count() == 1


def test_a_key_of_something_refused_can_be_used_again(photos, reviewer) -> None:
    key, other = uuid4(), make.make_member(photos[0].image.survey)
    make.match(other, photos[0], photos[1], Verdict.NO_MATCH)
    with pytest.raises(StaleEdge):
        say(reviewer, photos[0], photos[1], key=key, expected_version=0)
    with pytest.raises(Contradiction):
        make.match(other, photos[1], photos[2])
        say(reviewer, photos[0], photos[2], key=key)
    assert say(reviewer, photos[0], photos[1], Verdict.NO_MATCH, key=key, expected_version=1).key == key


def test_a_decision_that_comes_again_after_it_was_taken_back_does_not_stand_again(photos, reviewer) -> None:
    key = uuid4()
    say(reviewer, photos[0], photos[1], key=key)
    decision_undo_last(acting_user=reviewer, survey=photos[0].image.survey)
    say(reviewer, photos[0], photos[1], key=key)
    assert Decision.objects.count() == 2
    assert MatchEdge.objects.get().verdict == ""


def test_an_undo_that_comes_twice_takes_back_once(photos, reviewer) -> None:
    survey, key = photos[0].image.survey, uuid4()
    say(reviewer, photos[0], photos[1])
    last = say(reviewer, photos[0], photos[2])
    for _ in range(2):
        assert decision_undo_last(acting_user=reviewer, survey=survey, key=key)[0].pk == last.pk
    assert Decision.objects.count() == 3
    assert MatchEdge.objects.filter(verdict=Verdict.MATCH).count() == 1


def test_any_decision_of_the_session_can_be_taken_back_by_its_id_or_its_key(photos, reviewer) -> None:
    survey, key = photos[0].image.survey, uuid4()
    first = say(reviewer, photos[0], photos[1], key=key)
    second = say(reviewer, photos[0], photos[2])
    say(reviewer, photos[1], photos[2])
    assert decision_undo_last(acting_user=reviewer, survey=survey, of=key)[0].pk == first.pk
    assert decision_undo_last(acting_user=reviewer, survey=survey, decision=second.pk)[0].pk == second.pk
    with pytest.raises(UndoRefused, match="already"):
        decision_undo_last(acting_user=reviewer, survey=survey, decision=second.pk)
    stranger = make.make_member(survey)
    with pytest.raises(UndoRefused):
        decision_undo_last(acting_user=stranger, survey=survey, decision=first.pk)
    with pytest.raises(UndoRefused):
        decision_undo_last(acting_user=reviewer, survey=survey, of=uuid4())


def test_the_database_itself_keeps_a_key_for_one_decision(photos, reviewer) -> None:
    key = uuid4()
    decision = say(reviewer, photos[0], photos[1], key=key)
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.create(edge=decision.edge, acting_user=reviewer, verdict=Verdict.UNSURE, key=key)


@pytest.mark.django_db(transaction=True)
def test_sent_twice_at_the_same_instant_it_is_recorded_once() -> None:
    survey = make.make_survey()
    a, b = (make.make_sighting(survey, files=False) for _ in range(2))
    user, key, start, ids = make.make_member(survey), uuid4(), threading.Barrier(2), []

    def send() -> None:
        start.wait()
        ids.append(say(user, a, b, key=key, expected_version=0).pk)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 2 and len(set(ids)) == 1
    assert Decision.objects.count() == 1
