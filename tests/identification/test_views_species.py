"""The species page: what it shows to whom, and that it does exactly what it says."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import AuditEntry, Detection, Role, Survey, Triage, TriageRun
from identification.services.triage import detections_triage
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def scored() -> tuple[Survey, list[Detection]]:
    """Six boxes with learned scores 0.05, 0.15 … 0.55, in the order of their photos."""
    survey, animals = make.make_reviewable_survey(individuals=2, photos=3)
    boxes = [box for animal in animals for box in animal]
    for index, box in enumerate(boxes):
        Detection.objects.filter(pk=box.pk).update(triage_score=0.05 + index / 10)
    report = {"kind": "learned", "auroc": 0.93}
    TriageRun.objects.create(
        survey=survey, version=4, requested=1, served=1, learned=True, wanted=9, other=7, report=report
    )
    return survey, boxes


def _page(client: Client, survey: Survey, query: str = "", name: str = "survey-species") -> str:
    response = client.get(reverse(name, args=[survey.pk]) + query)
    assert response.status_code == 200
    return str(response.content.decode())


def _shown(page: str) -> list[int]:
    return [int(pk) for pk in re.findall(r'name="box" value="(\d+)"', page)]


def test_an_empty_survey_says_so() -> None:
    survey = make.make_survey()
    page = _page(client_of(survey), survey)
    assert "Nothing is undecided" in page and "No scores yet" in page


def test_boxes_are_sorted_by_score_and_filtered(scored) -> None:
    survey, boxes = scored
    client = client_of(survey)
    ids = [box.pk for box in boxes]
    assert _shown(_page(client, survey)) == ids
    assert _shown(_page(client, survey, "?order=most")) == ids[::-1]
    detections_triage(acting_user=None, detections=boxes[:2], triage=Triage.OTHER)
    detections_triage(acting_user=None, detections=boxes[5:], triage=Triage.WANTED)
    assert _shown(_page(client, survey)) == ids[2:5]
    assert _shown(_page(client, survey, "?show=other")) == ids[:2]
    assert _shown(_page(client, survey, "?show=wanted&order=nonsense")) == ids[5:]


def test_the_threshold_of_the_address_counts_both_sides_without_scripts(scored) -> None:
    survey, _ = scored
    page = _page(client_of(survey), survey, "?below=30")
    assert "<strong data-count-below>3</strong> below" in page and "<strong data-count-above>3</strong>" in page
    assert page.count('class="pick low"') == 3
    for odd in ("?below=-4", "?below=x", "?below=1e9", "?below=999"):
        assert "data-count-below" in _page(client_of(survey), survey, odd)


def test_people_are_never_on_the_grid(scored) -> None:
    survey, _ = scored
    person = make.make_detection(make.make_image(survey, has_person=True), category="person")
    animal = make.make_detection(make.make_image(survey, has_person=True))
    for role in (Role.REVIEWER, Role.CURATOR):
        shown = _shown(_page(client_of(survey, role), survey))
        assert person.pk not in shown and animal.pk in shown


def test_without_scores_the_page_says_so_and_offers_no_threshold() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    client = client_of(survey)
    page = _page(client, survey)
    assert "No scores yet" in page and "data-threshold" not in page
    TriageRun.objects.create(survey=survey, version=1, requested=1, served=1, report={"kind": "nothing"})
    for box, order in zip(animals[0], (2.0, 1.0), strict=True):
        Detection.objects.filter(pk=box.pk).update(triage_order=order)
    page = _page(client, survey)
    assert "Sort order only" in page and "data-threshold" not in page and "%</strong>" not in page
    assert _shown(page) == [animals[0][1].pk, animals[0][0].pk]


def test_chosen_boxes_are_marked_and_taken_back(scored) -> None:
    survey, boxes = scored
    client = client_of(survey, Role.REVIEWER)
    form = {"box": [boxes[0].pk, boxes[1].pk], "triage": "other"}
    page = client.post(reverse("survey-species-mark", args=[survey.pk]), form, follow=True).content.decode()
    assert "2 boxes put aside as another species." in page
    assert set(Detection.objects.filter(triage=Triage.OTHER)) == set(boxes[:2])
    entry = AuditEntry.objects.get(action="detection.triage")
    client.post(reverse("survey-species-undo", args=[survey.pk]), {"entry": entry.pk})
    assert not Detection.objects.exclude(triage=Triage.UNDECIDED).exists()
    again = client.post(reverse("survey-species-undo", args=[survey.pk]), {"entry": entry.pk}, follow=True)
    assert "taken back already" in again.content.decode()


def test_restoring_is_saying_undecided(scored) -> None:
    survey, boxes = scored
    detections_triage(acting_user=None, detections=boxes[:1], triage=Triage.OTHER)
    form = {"box": boxes[0].pk, "triage": "undecided"}
    client_of(survey).post(reverse("survey-species-mark", args=[survey.pk]), form)
    assert Detection.objects.comparable().filter(pk=boxes[0].pk).exists()


@pytest.mark.parametrize(
    "form", [{}, {"triage": "other"}, {"box": "x", "triage": "other"}, {"box": "1", "triage": "?"}]
)
def test_a_form_that_says_nothing_changes_nothing(scored, form: dict[str, str]) -> None:
    survey, _ = scored
    response = client_of(survey).post(reverse("survey-species-mark", args=[survey.pk]), form, follow=True)
    assert "Nothing was changed" in response.content.decode()
    assert not AuditEntry.objects.exists()


def test_boxes_of_another_survey_cannot_be_marked(scored) -> None:
    survey, _ = scored
    foreign = make.make_sighting(make.make_survey(survey.population))
    client_of(survey).post(reverse("survey-species-mark", args=[survey.pk]), {"box": foreign.pk, "triage": "other"})
    foreign.refresh_from_db()
    assert foreign.triage == Triage.UNDECIDED


def test_a_matched_box_needs_a_yes_of_a_curator(scored) -> None:
    survey, boxes = scored
    make.match(None, boxes[0], boxes[1])
    address = reverse("survey-species-mark", args=[survey.pk])
    form = {"box": boxes[0].pk, "triage": "other"}
    refused = client_of(survey).post(address, form, follow=True).content.decode()
    assert "in confirmed matches" in refused and not Detection.objects.filter(triage=Triage.OTHER).exists()
    assert client_of(survey, Role.REVIEWER).post(address, form | {"with_matched": "on"}).status_code == 403
    client_of(survey).post(address, form | {"with_matched": "on"})
    assert Detection.objects.filter(triage=Triage.OTHER).count() == 1


def _confirmation(page: str) -> dict[str, str]:
    return dict(re.findall(r'name="(below|version|expected)" value="(\d+)"', page))


def test_the_confirmation_says_what_the_button_then_does(scored) -> None:
    survey, boxes = scored
    make.match(None, boxes[1], boxes[4])
    client = client_of(survey)
    page = _page(client, survey, "?below=30", "survey-species-below")
    form = _confirmation(page)
    assert "Put 2 boxes aside as another species?" in page
    assert form == {"below": "30", "version": "4", "expected": "2"}
    assert not Detection.objects.filter(triage=Triage.OTHER).exists()
    client.post(reverse("survey-species-below", args=[survey.pk]), form)
    assert set(Detection.objects.filter(triage=Triage.OTHER)) == {boxes[0], boxes[2]}


def test_what_changed_since_the_confirmation_was_shown_is_asked_again(scored) -> None:
    survey, boxes = scored
    client = client_of(survey)
    form = _confirmation(_page(client, survey, "?below=30", "survey-species-below"))
    detections_triage(acting_user=None, detections=boxes[:1], triage=Triage.WANTED)
    response = client.post(reverse("survey-species-below", args=[survey.pk]), form)
    assert response.status_code == 409 and "Put 2 boxes aside" in response.content.decode()
    TriageRun.objects.update(version=5)
    form = _confirmation(response.content.decode())
    assert client.post(reverse("survey-species-below", args=[survey.pk]), form).status_code == 409
    assert not Detection.objects.filter(triage=Triage.OTHER).exists()


def test_a_page_holds_sixty_and_the_bulk_action_all(scored) -> None:
    survey, _ = scored
    image = make.make_image(survey, files=False)
    Detection.objects.bulk_create(
        Detection(image=image, x1=i, y1=0, x2=i + 5, y2=5, engine="test", triage_score=0.01) for i in range(100)
    )
    client = client_of(survey)
    assert len(_shown(_page(client, survey))) == 60 and len(_shown(_page(client, survey, "?page=2"))) == 46
    form = _confirmation(_page(client, survey, "?below=2", "survey-species-below"))
    assert form["expected"] == "100"
    client.post(reverse("survey-species-below", args=[survey.pk]), form)
    assert Detection.objects.filter(triage=Triage.OTHER).count() == 100


def test_the_number_of_queries_does_not_grow(scored, django_assert_max_num_queries) -> None:
    survey, _ = scored
    for index in range(12):
        make.make_sighting(survey, coat=index)
    client = client_of(survey)
    with django_assert_max_num_queries(24):
        _page(client, survey)


def test_a_person_can_have_scores_computed(scored) -> None:
    survey, _ = scored
    client = client_of(survey)
    client.post(reverse("survey-species-score", args=[survey.pk]))
    assert TriageRun.objects.get(survey=survey).waiting
    assert "Scores are being computed" in _page(client, survey)
    TriageRun.objects.update(error="ValueError: broken")
    assert "could not be computed: ValueError: broken" in _page(client, survey)


def test_the_survey_page_leads_there_for_those_who_decide(scored) -> None:
    survey, boxes = scored
    detections_triage(acting_user=None, detections=boxes[:2], triage=Triage.OTHER)
    address = reverse("survey-species", args=[survey.pk])
    page = client_of(survey, Role.REVIEWER).get(reverse("survey-detail", args=[survey.pk])).content.decode()
    assert f'href="{address}"' in page and f'href="{address}?show=other">2</a>' in page
    assert (
        address not in client_of(survey, Role.VIEWER).get(reverse("survey-detail", args=[survey.pk])).content.decode()
    )
