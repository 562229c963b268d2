"""The page "Same visit": groups confirmed in one glance, singly and many at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import Decision, Image, Individual, LinkProposal, MatchEdge, Role, Survey, User, Verdict
from identification.services.proposals import proposal_confirm, proposals_refresh
from tests.identification import factories as make
from tests.identification.factories import START, client_of, match

pytestmark = pytest.mark.django_db


def burst(survey: Survey, start: float, cameras: str = "AA", **values):
    station = make.make_station(survey, "ST01")
    return [
        make.make_detection(
            make.make_image(
                survey,
                station=station,
                camera=camera,
                captured_at=START + timedelta(seconds=start + 2 * i),
                files=False,
            ),
            **{"flank": "unknown", **values},
        )
        for i, camera in enumerate(cameras)
    ]


@pytest.fixture
def survey() -> Survey:
    """Three groups: a burst, two cameras, a burst."""
    survey = make.make_survey()
    for number, cameras in enumerate(("AAA", "AB", "BB")):
        burst(survey, 1000 * number, cameras)
    proposals_refresh(survey=survey)
    return survey


def signed_in(survey: Survey, role: str = Role.REVIEWER) -> tuple[Client, User]:
    user = make.make_member(survey, role)
    client = Client()
    client.force_login(user)
    return client, user


def form_of(*proposals: LinkProposal, field: str = "group") -> dict[str, object]:
    """What the page sends: every photo ticked."""
    form: dict[str, object] = {field: [p.pk for p in proposals]}
    for proposal in LinkProposal.objects.all():
        form[f"photo-{proposal.pk}"] = list(proposal.detections.values_list("pk", flat=True))
    return form


def address(survey: Survey, name: str = "") -> str:
    return reverse(f"survey-links{'-' + name if name else ''}", args=[survey.pk])


def test_without_groups_the_page_says_where_they_come_from() -> None:
    survey = make.make_survey()
    text = client_of(survey).get(address(survey)).content.decode()
    assert "No group to look at" in text and "data-group" not in text


def test_groups_are_shown_in_time_order_with_camera_time_and_flank(survey) -> None:
    client, _ = signed_in(survey)
    response = client.get(address(survey))
    cards = response.context["cards"]
    assert [card.paired for card in cards] == [False, True, False]
    assert [time for _, time in cards[0].rows] == ["06:00:00", "06:00:02", "06:00:04"]
    text = response.content.decode()
    assert text.count("data-group") == 3 and "within 4 seconds" in text and "Flank unknown" in text
    assert "Same visit (3)" in client.get(reverse("survey-detail", args=[survey.pk])).content.decode()


def test_one_group_is_confirmed_without_the_photos_that_were_unticked(survey) -> None:
    client, user = signed_in(survey)
    proposal = LinkProposal.objects.order_by("started_at")[0]
    ids = sorted(proposal.detections.values_list("pk", flat=True))
    form = {"only": proposal.pk, f"photo-{proposal.pk}": ids[:2], "page": "1"}
    response = client.post(address(survey, "confirm"), form, follow=True)
    assert "1 group confirmed, 1 match recorded" in response.content.decode()
    assert [(e.a_id, e.b_id) for e in MatchEdge.objects.all()] == [tuple(ids[:2])]
    assert Decision.objects.get().acting_user == user
    assert len(response.context["cards"]) == 2 and response.context["answered"][0].left_out == 1


def test_many_are_confirmed_in_one_request_and_taken_back_by_one_key(survey) -> None:
    client, _ = signed_in(survey)
    proposals = list(LinkProposal.objects.order_by("started_at"))
    text = client.post(address(survey, "confirm"), form_of(*proposals[:2]), follow=True).content.decode()
    assert "2 groups confirmed, 3 matches recorded" in text
    assert Individual.objects.filter(retired=False).count() == 2
    text = client.post(address(survey, "undo"), follow=True).content.decode()
    assert "2 groups open again, 3 matches taken back" in text
    assert not MatchEdge.objects.exclude(verdict="").exists()


def test_only_what_is_ticked_counts(survey) -> None:
    client, _ = signed_in(survey)
    text = client.post(address(survey, "confirm"), form_of(), follow=True).content.decode()
    assert "No group was ticked" in text and not MatchEdge.objects.exists()


def test_groups_are_left_apart_and_taken_up_again(survey) -> None:
    client, _ = signed_in(survey)
    first, *_ = LinkProposal.objects.order_by("started_at")
    text = client.post(address(survey, "dismiss"), {"only": first.pk}, follow=True).content.decode()
    assert "1 group left apart" in text and not Decision.objects.exists()
    proposals_refresh(survey=survey)
    assert len(client.get(address(survey)).context["cards"]) == 2
    client.post(address(survey, "undo"), {"group": first.pk})
    assert len(client.get(address(survey)).context["cards"]) == 3


def test_a_contradiction_is_shown_and_the_other_groups_go_on(survey) -> None:
    client, _ = signed_in(survey)
    proposals = list(LinkProposal.objects.order_by("started_at"))
    ids = sorted(proposals[0].detections.values_list("pk", flat=True))
    rows = {row.pk: row for row in proposals[0].detections.all()}
    match(None, rows[ids[0]], rows[ids[2]], Verdict.NO_MATCH)
    page = client.get(address(survey))
    assert "an earlier decision says that two of these are different animals" in page.content.decode()
    assert page.content.decode().count("data-caution") == 1
    text = client.post(address(survey, "confirm"), form_of(*proposals), follow=True).content.decode()
    assert "2 groups confirmed, 2 matches recorded" in text and "Nothing of this group was recorded" in text
    assert LinkProposal.objects.get(state="open") == proposals[0]


def test_a_turned_animal_and_the_same_flank_on_two_cameras_are_pointed_out() -> None:
    survey = make.make_survey()
    left, right = burst(survey, 0)
    for row, flank in ((left, "left"), (right, "right")):
        row.flank = flank
        row.save()
    burst(survey, 1000, "AB", flank="left")
    proposals_refresh(survey=survey)
    text = client_of(survey).get(address(survey)).content.decode()
    assert "it turned, or these are two" in text and "both cameras show the same flank" in text


def test_the_answer_of_somebody_else_is_a_curators_to_take_back(survey) -> None:
    proposal = LinkProposal.objects.order_by("started_at")[0]
    client, _ = signed_in(survey)
    proposal_confirm(acting_user=make.make_member(survey, Role.REVIEWER), proposal=proposal)
    page = client.get(address(survey))
    assert not page.context["own"] and not page.context["answered"][0].may_undo
    text = client.post(address(survey, "undo"), {"group": proposal.pk}, follow=True).content.decode()
    assert "somebody else" in text and MatchEdge.objects.filter(verdict="match").count() == 2
    curator, _ = signed_in(survey, Role.CURATOR)
    curator.post(address(survey, "undo"), {"group": proposal.pk})
    assert not MatchEdge.objects.exclude(verdict="").exists()


def test_groups_of_another_survey_do_not_exist(survey) -> None:
    other = make.make_survey(survey.population)
    client, _ = signed_in(other)
    proposal = LinkProposal.objects.first()
    assert proposal is not None
    for name, form in (
        ("confirm", form_of(proposal)),
        ("dismiss", {"only": proposal.pk}),
        ("undo", {"group": proposal.pk}),
    ):
        assert client.post(address(other, name), form).status_code == 404
    assert not LinkProposal.objects.exclude(state="open").exists()


def test_the_whole_photo_is_not_linked_where_nothing_has_looked_for_people_yet(survey) -> None:
    row = LinkProposal.objects.order_by("started_at")[0].detections.first()
    assert row is not None
    Image.objects.filter(pk=row.image_id).update(detector="")
    link = reverse("photo-detail", args=[row.image_id])
    assert link not in signed_in(survey)[0].get(address(survey)).content.decode()
    assert link in signed_in(survey, Role.CURATOR)[0].get(address(survey)).content.decode()


def test_the_page_asks_the_database_equally_often_for_many_groups(django_assert_max_num_queries) -> None:
    survey = make.make_survey()
    for number in range(25):
        burst(survey, 1000 * number)
    proposals_refresh(survey=survey)
    client, _ = signed_in(survey)
    with django_assert_max_num_queries(24):
        response = client.get(address(survey))
    assert len(response.context["cards"]) == 20 and "Page 1 of 2" in response.content.decode()


def test_conflicts_stand_in_the_bar_of_those_who_decide() -> None:
    survey = make.make_survey()
    address = reverse("conflict-list")
    for role, there in ((Role.VIEWER, False), (Role.REVIEWER, True), (Role.CURATOR, True)):
        client = client_of(survey, role)
        for page in (reverse("survey-list"), reverse("individual-list")):
            assert (address in client.get(page).content.decode()) is there, f"{role}: {page}"
