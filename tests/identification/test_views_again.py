"""The page that shows answers which may be wrong, through the real database."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import (
    Decision,
    Image,
    Individual,
    MatchEdge,
    PairCalibration,
    Provenance,
    Role,
    Survey,
)
from identification.selectors.review_doubts import doubtful_answers
from identification.services.decisions import decision_undo_last
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def chained():  # type: ignore[no-untyped-def]
    """Two animals of three photos each, and one wrong match between them that nothing else supports."""
    survey = make.make_survey(matching_state=Survey.Matching.DONE)
    animals = [[make.make_sighting(survey, coat=animal) for _ in range(3)] for animal in range(2)]
    lone = make.make_sighting(survey, coat=5)
    make.make_candidate(lone, animals[0][0], rank=1, probability=0.3)
    user = make.make_member(survey, Role.REVIEWER)
    for own, others in (animals, animals[::-1]):
        for anchor in own:
            for rank, other in enumerate([o for o in own if o != anchor] + others, 1):
                probability = 0.99 if other in own else 0.02
                make.make_candidate(anchor, other, rank=rank, probability=probability)
    for own in animals:
        make.match(user, own[0], own[1])
        make.match(user, own[1], own[2])
    make.match(user, animals[0][2], animals[1][0])
    PairCalibration.objects.create(
        population=survey.population, coefficients={}, version="own", features="f", pairs=40, right=20, active=True
    )
    return survey, animals, user


def doubted(survey: Survey, user) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
    return [found.doubt.pair for found in doubtful_answers(user=user, survey=survey)]


def test_a_wrong_match_is_shown_and_one_answer_parts_the_animals(chained) -> None:  # type: ignore[no-untyped-def]
    survey, animals, user = chained
    pair = (animals[0][2].pk, animals[1][0].pk)
    assert doubted(survey, user) == [pair]
    client = client_of(survey, Role.REVIEWER)
    assert "Look again (1)" in client.get(reverse("review", args=[survey.pk]) + "?on=1").content.decode()
    address = reverse("review-again", args=[survey.pk])
    page = client.get(address)
    assert "Said to be one animal" in page.content.decode()
    token = page.context["doubts"][0].token
    answer = reverse("review-again-answer", args=[survey.pk])
    done = client.post(answer, {"pair": token, "verdict": "no_match"}, follow=True)
    assert "Nothing to look at again" in done.content.decode()
    assert sorted(i.detections.count() for i in Individual.objects.filter(retired=False)) == [3, 3]
    stale = client.post(answer, {"pair": token, "verdict": "match"}, follow=True)
    assert "decided in the meantime" in stale.content.decode()
    decision_undo_last(acting_user=Decision.objects.latest("pk").acting_user, survey=survey)
    assert doubted(survey, user) == [pair], "taken back, it is in doubt again"


def test_who_says_it_again_is_believed_and_nobody_is_asked_a_third_time(chained) -> None:  # type: ignore[no-untyped-def]
    survey, animals, user = chained
    client = client_of(survey, Role.REVIEWER)
    for _ in range(3):
        page = client.get(reverse("review-again", args=[survey.pk]))
        if not page.context["doubts"]:
            break
        token = page.context["doubts"][0].token
        client.post(reverse("review-again-answer", args=[survey.pk]), {"pair": token, "verdict": "match"})
    assert doubted(survey, user) == []
    edge = MatchEdge.objects.get(a=animals[0][2], b=animals[1][0])
    assert edge.verdict == "match" and 2 <= edge.decisions.count() <= 3


def test_nothing_is_doubted_before_calibration_nor_what_time_and_place_say(chained) -> None:  # type: ignore[no-untyped-def]
    survey, animals, user = chained
    PairCalibration.objects.update(active=False)
    assert doubted(survey, user) == []
    PairCalibration.objects.update(active=True)
    MatchEdge.objects.filter(a=animals[0][2], b=animals[1][0]).update(provenance=Provenance.PAIRED_CAMERAS, version=9)
    assert doubted(survey, user) == []


@pytest.mark.parametrize("role", [None, Role.VIEWER])
def test_an_answer_on_a_photo_that_is_not_hers_to_decide_about_is_neither_shown_nor_counted(chained, role) -> None:  # type: ignore[no-untyped-def]
    survey, animals, user = chained
    sister = make.make_survey(survey.population)
    Image.objects.filter(pk=animals[1][0].image_id).update(survey=sister, station=None)
    if role:
        make.make_member(sister, role, user=user)
    client = Client()
    client.force_login(user)
    assert "Look again (" not in client.get(reverse("review", args=[survey.pk]) + "?on=1").content.decode()
    assert doubted(survey, user) == []
    both = make.make_member(survey)
    make.make_member(sister, user=both)
    assert doubted(survey, both) == [(animals[0][2].pk, animals[1][0].pk)]


def test_what_is_no_answer_is_refused_with_a_message_and_foreign_photos_are_not_found(chained) -> None:  # type: ignore[no-untyped-def]
    survey, animals, _ = chained
    client = client_of(survey, Role.REVIEWER)
    answer = reverse("review-again-answer", args=[survey.pk])
    for data in ({}, {"pair": "1:2"}, {"pair": "1:2:3", "verdict": "unsure"}, {"pair": "x", "verdict": "match"}):
        assert "Nothing was recorded" in client.post(answer, data, follow=True).content.decode()
    other = make.make_sighting(make.make_survey())
    foreign = {"pair": f"{animals[0][0].pk}:{other.pk}:0", "verdict": "match"}
    assert client.post(answer, foreign).status_code == 404
    assert Decision.objects.count() == 5


def test_what_she_may_be_asked_blindly_is_not_shown(chained) -> None:  # type: ignore[no-untyped-def]
    survey, animals, user = chained
    other = make.make_member(survey, Role.REVIEWER)
    assert doubted(survey, other) == doubted(survey, user) == [(animals[0][2].pk, animals[1][0].pk)]
    Survey.objects.update(second_review_share=1.0)
    survey.refresh_from_db()
    assert doubted(survey, other) == [], "she is to judge it without knowing what was said"
    assert doubted(survey, user) != [], "it was her own answer"
