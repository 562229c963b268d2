"""Candidates of a photo: one entry for each animal, five at a time, none of them in one step."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import Candidate, Decision, Detection, Flank, MatchEdge, Role, Survey, User
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def many(media_root) -> tuple[Client, User, Survey, Detection, list[Detection]]:
    """A photo with twelve candidates, in the order of their probabilities."""
    survey = make.make_survey(matching_state="done")
    anchor = make.make_sighting(survey)
    others = [make.make_sighting(survey, coat=index) for index in range(12)]
    for rank, other in enumerate(others, 1):
        make.make_candidate(anchor, other, rank=rank, probability=0.9 - 0.05 * rank)
    user = make.make_member(survey)
    client = Client()
    client.force_login(user)
    client.post(reverse("review-mode", args=[survey.pk]), {"mode": "photo"})
    return client, user, survey, anchor, others


def offers(client: Client, survey: Survey, anchor: Detection, more: int = 0) -> Any:
    query = f"?anchor={anchor.pk}" + (f"&more={more}" if more else "")
    return client.get(reverse("review", args=[survey.pk]) + query).context["state"]


def refuse(client: Client, survey: Survey, anchor: Detection, shown: Any, **more: object) -> Any:
    values = [f"{one.detection.pk}:{one.edge_version}:{one.candidate.probability:.6f}" for one in shown]
    form = {"anchor": anchor.pk, "candidate": values, **more}
    return client.post(reverse("review-none", args=[survey.pk]), form, follow=True)


def test_five_are_shown_and_five_more_on_demand(many) -> None:
    client, _, survey, anchor, others = many
    first, second, third = (offers(client, survey, anchor, more) for more in range(3))
    assert [one.detection.pk for one in first.offers] == [other.pk for other in others[:5]]
    assert [one.detection.pk for one in second.offers] == [other.pk for other in others[5:10]]
    assert [one.detection.pk for one in third.offers] == [other.pk for other in others[10:]]
    assert [(state.before, state.further) for state in (first, second, third)] == [(0, 7), (5, 2), (10, 0)]
    assert offers(client, survey, anchor, 9).more == 0, "a strip that is not there shows the first"
    text = client.get(reverse("review", args=[survey.pk]) + f"?anchor={anchor.pk}").content.decode()
    assert f"?anchor={anchor.pk}&amp;more=1" in text and 'data-keys="6"' in text


def test_photos_of_one_animal_are_one_candidate_with_its_best_view(many) -> None:
    client, _, survey, anchor, others = many
    Detection.objects.filter(pk=others[0].pk).update(flank=Flank.UNKNOWN)
    match(None, others[0], others[3])
    match(None, others[3], others[7])
    shown = offers(client, survey, anchor).offers
    assert [one.detection.pk for one in shown] == [others[index].pk for index in (3, 1, 2, 4, 5)]
    assert shown[0].photos == 3, "the view of the anchor's flank stands for all three"
    text = client.get(reverse("review", args=[survey.pk]) + f"?anchor={anchor.pk}").content.decode()
    assert "3 photos" in text
    assert offers(client, survey, anchor, 1).further == 0


def test_none_of_these_refuses_what_was_shown_in_one_step_that_is_taken_back_as_one(many) -> None:
    client, user, survey, anchor, others = many
    text = client.get(reverse("review", args=[survey.pk]) + f"?anchor={anchor.pk}").content.decode()
    assert "Refuses all 5 that are shown here: this photo is parted from 5 photos" in text
    answer = refuse(client, survey, anchor, offers(client, survey, anchor).offers)
    assert (
        "5 candidates are refused" in answer.content.decode() and "Look at more candidates" in answer.content.decode()
    )
    said = Decision.objects.all()
    assert {row.verdict for row in said} == {"no_match"} and len({row.batch for row in said}) == 1
    assert {row.anchor_id for row in said} == {anchor.pk} and {row.acting_user_id for row in said} == {user.pk}
    assert [row.probability_shown for row in said.order_by("pk")] == pytest.approx([0.85, 0.8, 0.75, 0.7, 0.65])
    more = offers(client, survey, anchor, 1)
    assert [one.detection.pk for one in more.offers] == [other.pk for other in others[5:10]]
    answer = client.post(reverse("review-undo", args=[survey.pk]), {"sure": "on"}, follow=True)
    assert "5 refusals" in answer.content.decode()
    assert not MatchEdge.objects.exclude(verdict="").exists()
    assert answer.context["state"].anchor.pk == anchor.pk, "back at the photo"


def test_what_was_refused_in_one_step_is_listed_as_refusals(many) -> None:
    client, _, survey, anchor, _ = many
    refuse(client, survey, anchor, offers(client, survey, anchor).offers)
    text = client.get(reverse("review-decisions", args=[survey.pk])).content.decode()
    assert "5 refusals" in text and "at a glance" not in text


def test_what_was_decided_meanwhile_is_left_out_and_told(many) -> None:
    client, _, survey, anchor, others = many
    shown = offers(client, survey, anchor).offers
    match(None, anchor, others[1])
    answer = refuse(client, survey, anchor, shown)
    assert others[1].image.name in answer.content.decode() and "was left out" in answer.content.decode()
    assert MatchEdge.objects.filter(verdict="no_match").count() == 4
    assert MatchEdge.objects.get(verdict="match")


def test_a_form_of_somebody_else_refuses_nothing(many) -> None:
    client, _, survey, anchor, _ = many
    foreign = make.make_sighting(make.make_survey(survey.population))
    elsewhere = make.make_sighting(make.make_survey())
    address = reverse("review-none", args=[survey.pk])
    values = [
        f"{foreign.pk}:0:0.500000",
        f"{elsewhere.pk}:0:0.500000",
        "nonsense",
        f"{anchor.pk}:0:0.5",
        "9" * 40 + ":0:0.5",
    ]
    assert client.post(address, {"anchor": anchor.pk, "candidate": values}).status_code == 302
    assert not Decision.objects.exists()
    assert client.post(address, {"anchor": foreign.pk, "candidate": values}).status_code == 404
    assert client.get(address).status_code == 405
    assert client_of(survey, Role.VIEWER).post(address, {"anchor": anchor.pk}).status_code == 403


def test_candidates_that_were_refused_one_by_one_leave_five_more_on_demand(many) -> None:
    client, user, survey, anchor, others = many
    for other in others[:5]:
        match(user, anchor, other, "no_match")
    state = client.get(reverse("review", args=[survey.pk])).context["state"]
    assert state.anchor is None or state.anchor.pk != anchor.pk, "five answers are enough by themselves"
    assert len(offers(client, survey, anchor, 1).offers) == 5


def test_a_photo_that_is_of_no_use_is_no_candidate(many) -> None:
    client, _, survey, anchor, others = many
    Candidate.objects.exists()
    form = {"usable": "no", "unusable_reason": "blurred", "next": reverse("review", args=[survey.pk])}
    answer = client.post(reverse("detection-annotate", args=[others[0].pk]), form, follow=True)
    assert "is set aside as not usable: blurred" in answer.content.decode()
    assert reverse("photo-detail", args=[others[0].image_id]) in answer.content.decode()
    assert [one.detection.pk for one in offers(client, survey, anchor).offers] == [row.pk for row in others[1:6]]
