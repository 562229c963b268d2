"""The conflicts page: impossible travel for curators, and the weakest link of every contradiction."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import Detection, Image, MatchEdge, Role, Survey, Verdict
from identification.services.clocks import camera_clock_set
from tests.identification import factories as make
from tests.identification.factories import START, client_of, match

pytestmark = pytest.mark.django_db

KM = 1 / 111.195


def seen(survey: Survey, place: str, hours: float, north_km: float | None = 0.0) -> Detection:
    where = {} if north_km is None else {"latitude": 27 + north_km * KM, "longitude": 84.0}
    station = make.make_station(survey, place, **where)
    image = make.make_image(survey, station=station, captured_at=START + timedelta(hours=hours), files=False)
    return make.make_detection(image, files=False)


def page(client: Client):
    return client.get(reverse("conflict-list"))


def flown(survey: Survey) -> tuple[Detection, Detection]:
    """One animal at two stations, 30 km apart within an hour."""
    first, second = seen(survey, "ST01", 0), seen(survey, "ST02", 1, north_km=30)
    match(None, first, second)
    return first, second


def test_an_animal_that_flew_is_raised_to_curators_and_changes_nothing() -> None:
    survey = make.make_survey()
    first, second = flown(survey)
    response = page(client_of(survey))
    (jump,) = response.context["jumps"]
    assert (jump.first, jump.second, jump.kilometres) == (first, second, None)
    assert [(p.a.pk, p.b.pk) for p in jump.weakest] == [(first.pk, second.pk)]
    text = response.content.decode()
    assert "too far in 1 hour" in text and "km" not in text.split("Too far for the time")[1].split("<footer")[0]
    assert response.context["conflicts"] == []
    first.refresh_from_db()
    assert first.individual is not None, "a warning takes nobody apart"


def test_the_distance_is_for_those_who_may_know_places() -> None:
    survey = make.make_survey()
    flown(survey)
    response = page(client_of(survey, places=True))
    assert response.context["jumps"][0].kilometres == 30 and "30 km in 1 hour" in response.content.decode()


def test_reviewers_and_curators_of_other_surveys_are_told_nothing() -> None:
    survey = make.make_survey()
    flown(survey)
    assert page(client_of(survey, Role.REVIEWER)).context["jumps"] == []
    assert page(client_of(make.make_survey(survey.population), places=True)).context["jumps"] == []


def test_what_is_possible_or_not_known_is_no_warning() -> None:
    survey = make.make_survey()
    start = seen(survey, "ST01", 0)
    match(None, start, seen(survey, "ST02", 4, north_km=30))
    match(None, start, seen(survey, "ST03", 0.1, north_km=None))
    timeless = seen(survey, "ST04", 0.1, north_km=50)
    Image.objects.filter(pk=timeless.image_id).update(captured_at=None)
    match(None, start, timeless)
    apart = seen(survey, "ST05", 0.1, north_km=90)
    assert page(client_of(survey)).context["jumps"] == []
    match(None, start, apart)
    assert len(page(client_of(survey)).context["jumps"]) >= 1


def test_a_clock_that_was_not_set_raises_no_warning_until_a_person_says_how_it_goes() -> None:
    survey = make.make_survey()
    _, second = flown(survey)
    Image.objects.filter(pk=second.image_id).update(flags=["clock_suspect"])
    assert page(client_of(survey)).context["jumps"] == []
    camera_clock_set(acting_user=None, station=second.image.station, camera="A", offset_seconds=0)
    assert len(page(client_of(survey)).context["jumps"]) == 1
    camera_clock_set(acting_user=None, station=second.image.station, camera="A", offset_seconds=4 * 3600)
    assert page(client_of(survey)).context["jumps"] == []


def test_a_contradiction_names_the_match_that_rests_on_least() -> None:
    survey = make.make_survey()
    rows = [seen(survey, "ST01", hours) for hours in range(4)]
    for a, b, probability in ((0, 1, 0.99), (1, 2, 0.3), (2, 3, 0.97)):
        make.make_candidate(rows[a], rows[b], probability=probability)
        match(None, rows[a], rows[b])
    match(None, rows[0], rows[3], Verdict.NO_MATCH, confirm=True)
    response = page(client_of(survey))
    (conflict,) = response.context["conflicts"]
    assert [(p.a.pk, p.b.pk) for p in conflict.weakest] == [(rows[1].pk, rows[2].pk)]
    assert len(conflict.path) == 3 and len(conflict.others) == 2
    assert "The first is the weakest link" in response.content.decode()


def test_a_verdict_that_contradicts_is_shown_the_weakest_link_first() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=3)
    a, b, c = animals[0]
    match(None, a, b)
    match(None, b, c)
    MatchEdge.objects.filter(a=a, b=b).update(probability=0.2)
    form = {"anchor": a.pk, "candidate": c.pk, "version": 0, "verdict": "no_match"}
    response = client_of(survey).post(reverse("review-decide", args=[survey.pk]), form)
    assert response.status_code == 409
    clash = response.context["clash"]
    assert [(p.a.pk, p.b.pk) for p in clash.weakest] == [(a.pk, b.pk)]
    assert [(p.a.pk, p.b.pk) for p in clash.others] == [(b.pk, c.pk)]
