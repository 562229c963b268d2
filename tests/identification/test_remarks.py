"""What is said of one photo from a question, and Undo that takes it back in its turn."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from identification.errors import KeyTaken, UndoRefused
from identification.models import (
    AuditEntry,
    Candidate,
    Decision,
    Detection,
    Flank,
    Membership,
    Remark,
    ReviewPosition,
    Survey,
    User,
)
from identification.selectors.session_decisions import own_decisions
from identification.services.annotation import detection_annotate
from identification.services.confirming import Ticked, decisions_confirm
from identification.services.remarks import remark_record, remark_undo
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db
JSON = {"headers": {"Accept": "application/json"}}
Place = tuple[Survey, list[list[Detection]]]


@pytest.fixture
def place() -> Place:
    return make.make_reviewable_survey(individuals=3, photos=3)


@pytest.fixture
def reviewer(place: Place) -> User:
    return make.make_member(place[0])


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def aside(user: User, survey: Survey, box: Detection, other: Detection, reason: str = "blurred", **more: Any) -> Any:
    more |= {"usable": False, "unusable_reason": reason}
    return remark_record(user=user, survey=survey, detection=box, pair=(box.pk, other.pk), **more)


def undo(client: Client, survey: Survey, **form: object) -> Any:
    return client.post(reverse("review-undo", args=[survey.pk]), form, **JSON)


def stored() -> list[tuple[Any, ...]]:
    return sorted(Candidate.objects.values_list("anchor", "detection", "rank", "probability", "inliers"))


# ---- the services ----
def test_a_photo_that_was_set_aside_is_back_with_its_candidates(place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    before = stored()
    remark = aside(reviewer, survey, a, b)
    assert not Detection.objects.get(pk=a.pk).usable and len(stored()) < len(before)
    assert remark_undo(user=reviewer, survey=survey) == remark
    a.refresh_from_db()
    assert (a.usable, a.unusable_reason) == (True, "") and stored() == before
    assert AuditEntry.objects.filter(action="detection.annotate", acting_user=reviewer).count() == 2
    assert remark_undo(user=reviewer, survey=survey) is None, "nothing is left"


def test_candidates_that_others_have_taken_the_places_of_stay_away(place, reviewer) -> None:
    survey, animals = place
    a, b, c = animals[0]
    aside(reviewer, survey, a, b)
    taken = Candidate.objects.create(
        anchor=b, detection=animals[2][1], rank=1, score=1.0, probability=0.5, engine="another run"
    )
    Detection.objects.filter(pk=c.pk).update(usable=False)
    remark_undo(user=reviewer, survey=survey)
    assert Candidate.objects.get(anchor=b, rank=1) == taken
    assert not Candidate.objects.filter(anchor=a, detection=c).exists(), "a box that takes no part has none"
    assert Candidate.objects.filter(anchor=a, detection=b).exists()


def test_a_flank_is_what_it_was(place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    Detection.objects.filter(pk=a.pk).update(flank="unknown", flank_by_person=False)
    for said in ("left", "right"):
        remark_record(user=reviewer, survey=survey, detection=a, pair=(a.pk, b.pk), flank=said)
    remark_undo(user=reviewer, survey=survey)
    a.refresh_from_db()
    assert (a.flank, a.flank_by_person) == ("left", True)
    remark_undo(user=reviewer, survey=survey)
    a.refresh_from_db()
    assert (a.flank, a.flank_by_person) == ("unknown", False)
    assert remark_undo(user=reviewer, survey=survey) is None


def test_a_word_that_was_taken_back_is_said_again(place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    detection_annotate(acting_user=None, detections=[a], flank="right")
    pair = (a.pk, b.pk)
    remark_record(user=reviewer, survey=survey, detection=a, pair=pair, flank=Flank.UNKNOWN, flank_said=False)
    a.refresh_from_db()
    assert not a.flank_by_person
    remark_undo(user=reviewer, survey=survey)
    a.refresh_from_db()
    assert (a.flank, a.flank_by_person) == ("right", True)


def test_what_arrives_twice_is_said_once_and_taken_back_once(place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    match(reviewer, animals[1][0], animals[1][1])
    key, back = uuid4(), uuid4()
    first, again = (aside(reviewer, survey, a, b, key=key) for _ in range(2))
    assert first == again and Remark.objects.count() == 1
    assert {remark_undo(user=reviewer, survey=survey, of=key, key=back) for _ in range(2)} == {first}
    assert aside(reviewer, survey, a, b, key=key) == first
    assert Detection.objects.get(pk=a.pk).usable, "whatever has become of it since"
    with pytest.raises(UndoRefused, match="taken back already"):
        remark_undo(user=reviewer, survey=survey, of=key, key=uuid4())
    with pytest.raises(KeyTaken):
        aside(reviewer, survey, b, a, key=key)
    assert Decision.objects.get().verdict == "match", "and nothing before it"


def test_what_changes_nothing_is_no_remark(place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    detection_annotate(acting_user=None, detections=[a], usable=False, unusable_reason="blurred")
    assert aside(reviewer, survey, a, b) is None
    assert not Remark.objects.exists()


def test_what_was_put_right_elsewhere_is_passed_by(place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    first = aside(reviewer, survey, b, a)
    last = aside(reviewer, survey, a, b)
    detection_annotate(acting_user=reviewer, detections=[a], usable=True, unusable_reason="")
    assert remark_undo(user=reviewer, survey=survey) == first
    with pytest.raises(UndoRefused, match="Something else was said"):
        remark_undo(user=reviewer, survey=survey, of=last.key)


def test_it_is_hers_alone_and_while_the_photo_is_open_to_her(place, reviewer) -> None:
    survey, animals = place
    remark = aside(reviewer, survey, *animals[0][:2])
    colleague = make.make_member(survey)
    assert remark_undo(user=colleague, survey=survey) is None
    assert remark_undo(user=colleague, survey=survey, of=remark.key) is None
    Membership.objects.filter(user=reviewer).delete()
    with pytest.raises(UndoRefused, match="not open to you"):
        remark_undo(user=reviewer, survey=survey)
    assert not Detection.objects.get(pk=animals[0][0].pk).usable


# ---- in order with decisions ----
def test_undo_takes_back_the_last_thing_whatever_it_was(place, reviewer) -> None:
    survey, animals = place
    client = client_of(reviewer)
    a, b, c = animals[0]
    ticked = [Ticked(animals[1][0], other, 0, 0.9) for other in animals[1][1:]]
    decisions_confirm(acting_user=reviewer, survey=survey, ticked=ticked)
    form = {"review": survey.pk, "question": f"{a.pk}-{b.pk}"}
    client.post(reverse("detection-annotate", args=[c.pk]), {"flank": "left", **form})
    match(reviewer, a, b)
    client.post(reverse("detection-annotate", args=[a.pk]), {"usable": "no", "unusable_reason": "blurred", **form})
    sent = {"box": b.pk, "question": f"{a.pk}-{b.pk}", "key": str(uuid4())}
    for _ in range(2):
        client.post(reverse("review-empty", args=[survey.pk]), sent, **JSON)
    said = []
    for _ in range(5):
        known = client.get(reverse("review-ahead", args=[survey.pk]), **JSON).json()["undo"]
        said.append(known["verdict"])
        named = {"decision": known["decision"]} if known["decision"] else {"of": known["key"]}
        answer = undo(client, survey, **named).json()
        assert answer["said"] == "undone", answer
        assert answer["words"].startswith("Taken back: ")
    assert said == ["No animal", "Not usable: blurred", "Match", "Flank: left", "2 matches"]
    assert not Detection.objects.filter(usable=False).exists()
    assert client.get(reverse("review-ahead", args=[survey.pk]), **JSON).json()["undo"] is None


def test_the_question_is_there_again(place, reviewer) -> None:
    survey, animals = place
    client = client_of(reviewer)
    a, b, _ = animals[2]
    key = str(uuid4())
    sent = {"box": a.pk, "question": f"{a.pk}-{b.pk}", "key": key}
    answer = client.post(reverse("review-empty", args=[survey.pk]), sent, **JSON).json()
    assert answer["next"]["undo"]["key"] == key and answer["next"]["undo"]["words"] == "The photo is asked about again."
    answer = undo(client, survey, of=key).json()
    assert answer["words"] == "Taken back: No animal. The photo is asked about again."
    assert answer["next"]["first"] and answer["next"]["order"][0]["pair"] == f"{a.pk}-{b.pk}"


@pytest.mark.parametrize("mode", ["queue", "photo"])
def test_without_a_script_too(place, reviewer, mode: str) -> None:
    survey, animals = place
    ReviewPosition.objects.create(user=reviewer, survey=survey, mode=mode)
    client = client_of(reviewer)
    a, b, _ = animals[1]
    match(reviewer, animals[0][0], animals[0][1])
    client.post(reverse("review-empty", args=[survey.pk]), {"box": a.pk, "question": f"{a.pk}-{b.pk}"})
    page = client.get(reverse("review", args=[survey.pk])).content.decode()
    assert f'name="question" value="{a.pk}-' not in page
    back = client.post(reverse("review-undo", args=[survey.pk]), follow=True)
    text = back.content.decode()
    assert "Taken back: No animal." in text and f'data-question="{a.pk}-{b.pk}"' in text
    assert Decision.objects.count() == 1
    client.post(reverse("review-undo", args=[survey.pk]))
    assert Decision.objects.filter(undoes__isnull=False).count() == 1


def test_an_answer_that_came_later_is_taken_back_first(place, reviewer) -> None:
    survey, animals = place
    client = client_of(reviewer)
    aside(reviewer, survey, *animals[0][:2])
    match(reviewer, animals[1][0], animals[1][1])
    assert remark_undo(user=reviewer, survey=survey) is None
    assert "Match" in undo(client, survey).json()["words"]
    assert "Not usable: blurred" in undo(client, survey).json()["words"]


def test_what_is_said_on_the_page_of_a_photo_is_none_of_the_review(place, reviewer) -> None:
    box = place[1][0][0]
    client = client_of(reviewer)
    client.post(reverse("detection-annotate", args=[box.pk]), {"usable": "no", "unusable_reason": "covered"})
    assert not Detection.objects.get(pk=box.pk).usable and not Remark.objects.exists()


def test_the_list_shows_it_and_takes_any_back(place, reviewer) -> None:
    survey, animals = place
    client = client_of(reviewer)
    remark = aside(reviewer, survey, *animals[0][:2], "too dark")
    match(reviewer, animals[1][0], animals[1][1])
    text = client.get(reverse("review-decisions", args=[survey.pk])).content.decode()
    assert "Not usable: too dark" in text and "The photo is asked about again." in text
    assert len(own_decisions(user=reviewer, survey=survey)) == 2
    assert [own.remark for own in own_decisions(user=reviewer, survey=survey, remarks=False)] == [False]
    back = client.post(reverse("review-undo", args=[survey.pk]), {"of": remark.key}, follow=True)
    assert "Taken back: Not usable: too dark." in back.content.decode()
    assert Decision.objects.count() == 1
