"""Boxes without an animal: set aside many at once, taken back step by step, out of everything that compares."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from identification.errors import SpotIDError, UndoRefused
from identification.models import AuditEntry, Candidate, Detection, DetectionSource, Image, Role, Survey, Triage, User
from identification.models.image import Unusable
from identification.selectors.review_queue import review_of
from identification.selectors.triage import by_place, empty_boxes, found_by_change, species_counts, species_page
from identification.services.empties import detections_empty, empties_undo
from identification.services.triage import detections_triage
from identification.services.triage_run import marks_of
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(media_root) -> tuple[Survey, User, list[Detection]]:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=3)
    return survey, make.make_member(survey), [box for animal in animals for box in animal]


def states() -> dict[int, tuple[bool, str]]:
    return {
        pk: (usable, reason) for pk, usable, reason in Detection.objects.values_list("pk", "usable", "unusable_reason")
    }


def test_nothing_is_changed_by_no_boxes(place) -> None:
    _, user, _ = place
    done = detections_empty(acting_user=user, detections=[])
    assert (done.entries, done.changed, done.left) == ((), 0, 0)


def test_they_leave_matching_and_review_and_make_room_for_other_candidates(place) -> None:
    survey, user, boxes = place
    gone, kept = boxes[:2], boxes[2:]
    survey.refresh_from_db()
    done = detections_empty(acting_user=user, detections=gone)
    assert done.changed == 2 and [states()[box.pk] for box in gone] == [(False, Unusable.NOTHING.value)] * 2
    assert (
        not Candidate.objects.filter(detection__in=gone).exists()
        and not Candidate.objects.filter(anchor__in=gone).exists()
    )
    with review_of(user=user, survey=survey) as review:
        assert set(review.rows) <= {box.pk for box in kept}
    survey.refresh_from_db()
    assert survey.matching_state != "done", "those that had them as candidates are matched again"
    (entry,) = AuditEntry.objects.filter(action="detection.empty")
    assert entry.acting_user == user and entry.after["boxes"] == [box.pk for box in gone]
    assert species_counts(survey)["undecided"] == 4 and set(empty_boxes(survey)) == set(gone)


def test_a_step_is_taken_back_exactly_once_and_leaves_what_was_said_since(place) -> None:
    _, user, boxes = place
    Detection.objects.filter(pk=boxes[0].pk).update(usable=False, unusable_reason="too dark")
    before = states()
    (entry,) = detections_empty(acting_user=user, detections=boxes[:3]).entries
    detections_empty(acting_user=user, detections=[boxes[2]], empty=False)
    done = empties_undo(acting_user=user, entry=entry)
    assert (done.changed, done.left) == (2, 1) and states() == before
    with pytest.raises(UndoRefused, match="taken back already"):
        empties_undo(acting_user=user, entry=entry)
    with pytest.raises(UndoRefused, match="no step"):
        empties_undo(acting_user=user, entry=AuditEntry.objects.filter(action="detection.empty_undo").get())


def test_only_what_is_empty_is_restored(place) -> None:
    _, user, boxes = place
    Detection.objects.filter(pk=boxes[0].pk).update(usable=False, unusable_reason="too dark")
    done = detections_empty(acting_user=user, detections=boxes[:2], empty=False)
    assert (done.changed, done.left) == (0, 2) and states()[boxes[0].pk] == (False, "too dark")


def test_boxes_in_confirmed_matches_are_refused_and_all_stay(place) -> None:
    _, user, boxes = place
    match(user, boxes[0], boxes[1])
    with pytest.raises(SpotIDError, match="confirmed matches"):
        detections_empty(acting_user=user, detections=[boxes[0], boxes[4]])
    assert all(usable for usable, _ in states().values())
    assert detections_empty(acting_user=user, detections=[boxes[0]], with_matched=True).changed == 1
    assert Detection.objects.get(pk=boxes[0].pk).individual is not None, "what was decided stands"


def test_people_are_no_empty_boxes(place) -> None:
    _, user, boxes = place
    Detection.objects.filter(pk=boxes[0].pk).update(category="person")
    with pytest.raises(SpotIDError, match="taken for animals"):
        detections_empty(acting_user=user, detections=boxes[:1])


def test_they_teach_the_scores_what_is_no_animal(place) -> None:
    survey, user, boxes = place
    detections_triage(acting_user=user, detections=boxes[:1], triage=Triage.WANTED)
    detections_empty(acting_user=user, detections=boxes[3:5])
    marks = marks_of(survey)
    assert dict(zip(marks.ids, marks.wanted, strict=True)) == {
        boxes[0].pk: True,
        boxes[3].pk: False,
        boxes[4].pk: False,
    }


def test_what_stands_at_one_place_again_and_again_comes_first_the_least_certain_before(place) -> None:
    survey, user, boxes = place
    Image.objects.update(station=boxes[0].image.station, camera="A")
    spots = [(10, 10, 0.9), (300, 200, 0.3), (302, 201, 0.2), (600, 40, 0.8), (299, 202, 0.5), (10, 400, 0.1)]
    for box, (x, y, sure) in zip(boxes, spots, strict=True):
        Detection.objects.filter(pk=box.pk).update(x1=x, y1=y, x2=x + 120, y2=y + 80, confidence=sure)
    found = list(by_place(Detection.objects.filter(image__survey=survey)))
    assert [box.pk for box in found[:3]] == [boxes[2].pk, boxes[1].pk, boxes[4].pk]
    assert [box.again for box in found] == [3, 3, 3, 1, 1, 1]
    page = species_page(user=user, survey=survey, show="undecided", order="place")
    assert [box.pk for box in page.boxes][:3] == [box.pk for box in found[:3]]


def test_the_grid_sets_many_aside_restores_them_and_takes_steps_back(place) -> None:
    survey, user, boxes = place
    client = Client()
    client.force_login(user)
    grid = reverse("survey-species", args=[survey.pk])
    mark, undo = reverse("survey-species-mark", args=[survey.pk]), reverse("survey-species-undo", args=[survey.pk])
    chosen = {"box": [box.pk for box in boxes[:4]], "triage": "nothing"}
    page = client.post(mark, chosen, follow=True)
    assert "4 boxes set aside: no animal." in page.content.decode()
    page = client.get(grid, {"show": "nothing"})
    assert page.context["found"].counts == {"undecided": 2, "wanted": 0, "other": 0, "nothing": 4}
    assert set(page.context["page"].object_list) == set(boxes[:4]) and "no animal" in page.content.decode()
    client.post(mark, {"box": boxes[0].pk, "triage": "animal"})
    assert states()[boxes[0].pk] == (True, "")
    first = AuditEntry.objects.filter(action="detection.empty").order_by("pk")[0]
    other = client_of(survey, Role.REVIEWER)
    assert other.post(undo, {"entry": first.pk}).status_code == 403, "somebody else's step is for curators"
    assert client_of(survey).post(undo, {"entry": first.pk}).status_code == 302
    assert all(usable for usable, _ in states().values())


def test_a_survey_of_fallback_boxes_leads_to_the_grid(place) -> None:
    survey, user, boxes = place
    Detection.objects.filter(pk__in=[box.pk for box in boxes[:5]]).update(source=DetectionSource.BACKGROUND)
    assert found_by_change(survey) == (5, 6)
    client = Client()
    client.force_login(user)
    grid = reverse("survey-species", args=[survey.pk]) + "?order=place"
    for name in ("survey-detail", "review"):
        if name == "review":
            match_all(user, boxes)
        assert f'href="{grid}"' in client.get(reverse(name, args=[survey.pk])).content.decode(), name
    Detection.objects.update(source=DetectionSource.DETECTOR)
    assert f'href="{grid}"' not in client.get(reverse("survey-detail", args=[survey.pk])).content.decode()


def match_all(user: User, boxes: list[Detection]) -> None:
    """Answer everything, so that the review is at its end."""
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            match(user, one, other, "no_match")


def test_from_a_question_a_box_is_set_aside_at_once(place) -> None:
    survey, user, boxes = place
    client = Client()
    client.force_login(user)
    page = client.get(reverse("review", args=[survey.pk]))
    box = page.context["page"].left.detection
    aside = reverse("review-empty", args=[survey.pk])
    assert f'action="{aside}"' in page.content.decode()
    for _ in range(2):
        answer = client.post(aside, {"box": box.pk}, HTTP_ACCEPT="application/json")
        assert answer.status_code == 200 and "is set aside: no animal" in answer.json()["words"]
        assert all(str(box.pk) not in row["pair"].split("-") for row in answer.json()["next"]["order"])
    assert states()[box.pk] == (False, "no animal")
    assert AuditEntry.objects.filter(action="detection.annotate").count() == 1
    assert client.post(aside, {"box": boxes[1].pk}).status_code == 302
    assert client_of(survey, Role.VIEWER).post(aside, {"box": boxes[2].pk}).status_code == 403
    elsewhere = make.make_sighting(make.make_survey())
    assert client.post(aside, {"box": elsewhere.pk}).status_code == 404
