"""What a review in memory does beside answering: an estimate that is a little behind, threads that change often."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from identification.models import Role
from identification.permissions import rights_read_once
from identification.selectors import review_queue
from identification.selectors.joins import joins_count
from identification.selectors.review_queue import review_of
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = 1000.0

    def go_on(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(review_queue.time, "monotonic", lambda: now)
    return go_on


def test_an_estimate_that_takes_long_is_kept_for_a_while_and_no_longer(monkeypatch: Any, clock: Any) -> None:
    survey, animals = make.make_reviewable_survey(individuals=4)
    reviewer = make.make_member(survey)
    estimate, seconds = review_queue.completeness, 0.2

    def slow(**named: Any) -> Any:
        clock(seconds)
        return estimate(**named)

    monkeypatch.setattr(review_queue, "completeness", slow)

    def answers(goal: float = 0.99) -> int:
        with review_of(user=reviewer, survey=survey) as review:
            return review.completeness(goal).answers

    assert answers() == 0
    match(reviewer, *animals[0][:2])
    assert answers() == 0, "0.2 s of every 4"
    assert answers(0.9) == 1, "another goal is another question"
    match(reviewer, *animals[1][:2])
    clock(3.9)
    assert answers(0.9) == 2
    match(reviewer, *animals[2][:2])
    clock(0.05)
    assert answers(0.9) == 2
    clock(4)
    assert answers(0.9) == 3
    seconds = 0.001
    clock(10)
    match(reviewer, *animals[3][:2])
    assert answers(0.9) == 4
    match(reviewer, animals[0][0], animals[1][0], "no_match")
    assert answers(0.9) == 5, "what takes a moment is never behind"


def test_threads_change_often_while_a_review_is_built_and_not_afterwards(monkeypatch: Any) -> None:
    survey, _ = make.make_reviewable_survey()
    reviewer = make.make_member(survey)
    before, seen = sys.getswitchinterval(), []
    read = review_queue._read

    def reading(*given: Any) -> Any:
        with review_queue._others_let_in():
            pass
        seen.append(sys.getswitchinterval())
        return read(*given)

    monkeypatch.setattr(review_queue, "_read", reading)
    with review_of(user=reviewer, survey=survey):
        assert sys.getswitchinterval() == before
    assert seen == [pytest.approx(0.0005)] and threading.active_count() >= 1


def test_who_curates_nothing_is_not_counted_for(django_assert_num_queries: Any) -> None:
    survey, _ = make.make_reviewable_survey()
    reviewer, curator = make.make_member(survey), make.make_member(survey, Role.CURATOR)
    with rights_read_once(reviewer), django_assert_num_queries(0):
        assert joins_count(reviewer) == 0
    with rights_read_once(curator), django_assert_num_queries(1):
        assert joins_count(curator) == 0
