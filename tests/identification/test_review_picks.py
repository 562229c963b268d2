"""Nobody is given what somebody else was just given: pages of many people are made once, not again and again."""

from __future__ import annotations

import pytest

from identification.models import Role
from identification.selectors import review_picks
from identification.selectors.review_ahead import questions_ahead
from identification.selectors.review_questions import queue_state
from identification.services.review_leases import questions_lease, questions_release
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_picked() -> None:
    review_picks._picks.clear()


def test_what_was_picked_is_passed_by_until_its_lease_stands() -> None:
    survey, _ = make.make_reviewable_survey(individuals=3, photos=3)
    first, second = make.make_member(survey, Role.REVIEWER), make.make_member(survey, Role.REVIEWER)
    asked = queue_state(user=first, survey=survey).asked
    other = queue_state(user=second, survey=survey).asked
    assert asked and other and asked.question.pair != other.question.pair, "before anything is leased"
    again = queue_state(user=first, survey=survey).asked
    assert again and again.question.pair == asked.question.pair, "one's own is not passed by"
    pair = (asked.question.pair.a, asked.question.pair.b)
    assert questions_lease(user=first, survey=survey, pairs=[pair]) == [pair]
    assert first.pk not in {who for _, who in review_picks._picks}
    still = queue_state(user=second, survey=survey).asked
    assert still and still.question.pair != asked.question.pair
    questions_release(user=first, survey=survey)
    back = queue_state(user=second, survey=survey).asked
    assert back and back.question.pair == asked.question.pair


def test_questions_ahead_of_two_people_do_not_overlap_before_they_are_leased() -> None:
    survey, _ = make.make_reviewable_survey(individuals=4, photos=4)
    people = [make.make_member(survey, Role.REVIEWER) for _ in range(2)]
    own = [
        {one.pick.question.pair for one in questions_ahead(user=person, survey=survey, most=4).questions}
        for person in people
    ]
    assert own[0] and own[1] and not own[0] & own[1]


def test_a_page_that_fails_keeps_its_questions_for_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    survey, _ = make.make_reviewable_survey()
    first, second = make.make_member(survey, Role.REVIEWER), make.make_member(survey, Role.REVIEWER)
    review_picks.picks_note(first, [(1, 2)])
    assert review_picks.picked_elsewhere(second) == [(1, 2)] and review_picks.picked_elsewhere(first) == []
    now = review_picks.time.monotonic()
    monkeypatch.setattr(review_picks.time, "monotonic", lambda: now + 6)
    assert review_picks.picked_elsewhere(second) == [] and not review_picks._picks
