"""What the pages say of a flank, and how a person puts it right."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from identification.models import Detection, Flank, Survey
from identification.presenting import flank_reasons, flank_words
from tests.identification.factories import client_of, make_reviewable_survey

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewable():
    survey, animals = make_reviewable_survey(individuals=2, photos=3)
    Detection.objects.update(
        flank=Flank.UNKNOWN, flank_by_person=False, left_probability=None, flank_evidence="", quality={}
    )
    return survey, animals[0][0], animals[0][1]


def estimated(detection: Detection, left: float, flank: str = Flank.UNKNOWN, **values) -> None:
    said = {"left_probability": left, "flank": flank, "flank_evidence": "model, walking", **values}
    Detection.objects.filter(pk=detection.pk).update(**said)


def chips(page: str) -> list[str]:
    return re.findall(r'<form class="chips".*?</form>', page, re.DOTALL)


def pair_page(survey: Survey, anchor: Detection, candidate: Detection) -> str:
    query = f"anchor={anchor.pk}&offer={candidate.pk}"
    return client_of(survey).get(f"{reverse('review', args=[survey.pk])}?{query}").content.decode()


@pytest.mark.parametrize(
    ("flank", "by_person", "left", "words"),
    [
        ("unknown", False, None, ""),
        ("unknown", False, float("nan"), ""),
        ("unknown", False, 0.93, "probably left, 93 %"),
        ("unknown", False, 0.07, "probably right, 93 %"),
        ("unknown", False, 0.65, "rather left, 65 %"),
        ("unknown", False, 0.5, "estimate: could be either"),
        ("left", False, 0.996, "estimated left, >99 %"),
        ("left", True, 0.02, ""),
        ("unknown", True, 0.98, ""),
    ],
)
def test_an_estimate_in_words(flank: str, by_person: bool, left: float | None, words: str) -> None:
    assert flank_words(flank, by_person, left) == words


def test_reasons_in_words() -> None:
    assert flank_reasons("") == ""
    assert flank_reasons("model, walking, matches").split(", ") == [
        "the axis of the body",
        "the walking direction",
        "matches of the coat",
    ]


def test_the_review_page_tells_guesses_from_what_is_known(reviewable) -> None:
    survey, anchor, candidate = reviewable
    estimated(anchor, 0.93)
    estimated(candidate, 0.998, Flank.LEFT)
    first, second = chips(pair_page(survey, anchor, candidate))
    assert "probably left, 93 %" in first and "the walking direction" in first
    assert "estimated left, &gt;99 %" in second and 'class="chip estimated"' in second
    assert 'aria-pressed="true"' not in first + second and "Take back" not in first + second


def test_both_sides_have_keys_for_every_answer(reviewable) -> None:
    survey, anchor, candidate = reviewable
    first, second = chips(pair_page(survey, anchor, candidate))
    answers = r'value="(left|right|unknown)"[^>]*data-keys="(\w)"'
    assert re.findall(answers, first) == [("left", "l"), ("right", "r"), ("unknown", "f")]
    assert re.findall(answers, second) == [("left", "L"), ("right", "R"), ("unknown", "F")]
    assert reverse("detection-annotate", args=[anchor.pk]) in first
    assert reverse("detection-annotate", args=[candidate.pk]) in second


def test_a_person_s_word_is_filled_in_and_can_be_taken_back(reviewable) -> None:
    survey, anchor, _ = reviewable
    estimated(anchor, 0.93)
    client = client_of(survey)
    client.post(reverse("detection-annotate", args=[anchor.pk]), {"flank": "right"})
    anchor.refresh_from_db()
    assert (anchor.flank, anchor.flank_by_person) == ("right", True)
    shown = chips(client.get(reverse("photo-detail", args=[anchor.image_id])).content.decode())[0]
    assert re.search(r'value="right" aria-pressed="true"', shown) and "probably" not in shown
    assert 'value="withdraw"' in shown
    client.post(reverse("detection-annotate", args=[anchor.pk]), {"flank": "withdraw"})
    anchor.refresh_from_db()
    assert (anchor.flank, anchor.flank_by_person) == ("unknown", False)


def test_that_it_cannot_be_told_is_an_answer_too(reviewable) -> None:
    survey, anchor, _ = reviewable
    estimated(anchor, 0.998, Flank.LEFT)
    client = client_of(survey)
    client.post(reverse("detection-annotate", args=[anchor.pk]), {"flank": "unknown"})
    anchor.refresh_from_db()
    assert (anchor.flank, anchor.flank_by_person) == ("unknown", True)
    shown = chips(client.get(reverse("photo-detail", args=[anchor.image_id])).content.decode())[0]
    assert re.search(r'value="unknown" aria-pressed="true"', shown)


def test_who_may_only_look_reads_the_estimate(reviewable) -> None:
    survey, anchor, _ = reviewable
    estimated(anchor, 0.93)
    page = client_of(survey, role="viewer").get(reverse("photo-detail", args=[anchor.image_id])).content.decode()
    assert chips(page) == [] and "probably left, 93 %" in page
