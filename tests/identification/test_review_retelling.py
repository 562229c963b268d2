"""Answers to earlier probabilities, gone through again with those of now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.utils import timezone

from identification.matching.pooling import Pair
from identification.matching.queue import Queue
from identification.models import PairCalibration, Survey, Verdict
from identification.selectors import review_retelling
from identification.selectors.review_queue import review_of
from identification.selectors.review_reading import Answer, decided_before
from identification.selectors.review_retelling import retold
from identification.services.decisions import decision_record
from tests.identification import factories as make

PHOTOS = {number: number for number in range(1, 7)}
PAIRS = [Pair(1, 2, 0.9), Pair(2, 3, 0.8), Pair(1, 3, 0.1), Pair(4, 5, 0.4), Pair(5, 6, 0.3)]
STANDING = [(1, 2, "match"), (2, 3, "match"), (4, 5, "no_match"), (5, 6, "unsure")]


def build(said: Iterable[tuple[int, int, str]]) -> Queue:
    return Queue(dict(PHOTOS), PAIRS, said)


def answered(told: dict[tuple[int, int], int]) -> dict[tuple[int, int], Answer]:
    verdicts = {(a, b): verdict for a, b, verdict in STANDING}
    return {pair: Answer(1, pair[0], (0.55, verdicts[pair]), number) for pair, number in told.items()}


def test_nothing_is_gone_through_again_where_probabilities_were_never_others() -> None:
    answers = answered({(1, 2): 5, (2, 3): 6})
    queue, told = retold(build, STANDING, answers, 0)
    assert told == answers and queue.group(1) == queue.group(3)


def test_each_answer_has_what_would_have_been_shown_before_it() -> None:
    queue, told = retold(build, STANDING, answered({(1, 2): 5, (2, 3): 6, (4, 5): 7, (5, 6): 9}), 8)
    asked = build([]).question(1, 2)
    assert asked is not None and told[1, 2].shown == (asked.probability, "match")
    then = build([(1, 2, "match")]).question(2, 3)
    assert then is not None and told[2, 3].shown == (then.probability, "match")
    assert then.settles == 2, "the question between a pair and a single photo, as it would be asked now"
    assert told[4, 5].shown == (pytest.approx(0.4), "no_match")
    assert told[5, 6].shown == (0.55, "unsure"), "an answer to the probabilities of now stays"
    whole = build(STANDING)
    assert {queue.group(n) == queue.group(m) for n in PHOTOS for m in PHOTOS if whole.group(n) == whole.group(m)} == {
        True
    }
    assert queue.open == whole.open


def test_what_is_too_long_ago_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_retelling, "RETOLD", 1)
    queue, told = retold(build, STANDING, answered({(1, 2): 5, (2, 3): 6}), 8)
    assert told[1, 2].shown is None and told[2, 3].shown is not None
    assert queue.group(1) == queue.group(3)


@pytest.mark.django_db
def test_a_review_learns_from_answers_as_if_they_had_been_asked_with_the_probabilities_of_now(media_root) -> None:
    survey = make.make_survey(matching_state=Survey.Matching.DONE)
    user = make.make_member(survey)
    a, b, c = (make.make_sighting(survey, coat=0) for _ in range(3))
    for one, other in ((a, b), (b, c)):
        make.make_candidate(one, other, probability=0.2)
    decision_record(acting_user=user, first=a, second=b, verdict=Verdict.MATCH, anchor=a, shown=0.9)
    with review_of(user=user, survey=survey) as review:
        assert review.shown[a.pk, b.pk] == (0.9, "match")
    PairCalibration.objects.create(
        population=survey.population, coefficients={}, version="v", features="f", pairs=1, right=1, active=True
    )
    decision_record(acting_user=user, first=b, second=c, verdict=Verdict.MATCH, anchor=b, shown=0.7)
    with review_of(user=user, survey=survey) as review:
        assert review.shown[a.pk, b.pk] == (pytest.approx(0.2), "match"), "what the question would say today"
        assert review.shown[b.pk, c.pk] == (0.7, "match")


@pytest.mark.django_db
def test_what_was_shown_by_probabilities_that_were_withdrawn_is_gone_through_again(media_root) -> None:
    survey = make.make_survey(matching_state=Survey.Matching.DONE)
    user = make.make_member(survey)
    a, b, c = (make.make_sighting(survey, coat=0) for _ in range(3))
    for one, other in ((a, b), (b, c)):
        make.make_candidate(one, other, probability=0.2)
    values = {"population": survey.population, "coefficients": {}, "features": "f", "pairs": 1, "right": 1}
    first = PairCalibration.objects.create(version="first", active=True, **values)
    second = PairCalibration.objects.create(version="second", active=False, **values)
    PairCalibration.objects.update(created_at=timezone.now() - timedelta(days=2))
    decision_record(acting_user=user, first=a, second=b, verdict=Verdict.MATCH, anchor=a, shown=0.9)
    assert decided_before(survey.population_id) == 0, "it was shown by the first"
    second.report = {"withdrawn": True}
    second.save(update_fields=["report"])
    assert first.active
    with review_of(user=user, survey=survey) as review:
        assert review.shown[a.pk, b.pk] == (pytest.approx(0.2), "match")
