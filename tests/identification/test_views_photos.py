"""The photo list, one photo, and what people say of the boxes on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse

from identification.models import (
    Detection,
    ProcessingState,
    Role,
    Work,
)
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


def test_photos_are_narrowed_down() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    match(None, *animals[0])
    alone = make.make_sighting(survey, station=make.make_station(survey, "ST09"))
    empty = make.make_image(survey)
    person = make.make_image(survey, has_person=True)
    make.make_detection(person, category="person")
    failed = make.make_image(survey, state="set_aside", reason="The worker died.")
    client = client_of(survey)
    address = reverse("photo-list", args=[survey.pk])

    def found(query: str) -> set[int]:
        return {image.pk for image in client.get(address + query).context["page"]}

    both = {detection.image_id for detection in animals[0]}
    assert found("?show=animals") == both | {alone.image_id}
    assert found("?show=unnamed") == {alone.image_id}
    assert found("?show=empty") == {empty.pk}
    assert found("?show=people") == {person.pk}
    assert found("?show=failed") == {failed.pk}
    assert found("?show=waiting") == set()
    assert found(f"?station={alone.image.station_id}") == {alone.image_id}
    assert found("?show=drop%20table&station=x&page=-4") == found("")


def test_a_photo_shows_its_boxes_and_no_place_of_its_file(tmp_path: Path) -> None:
    survey = make.make_survey(time_zone="Asia/Kolkata")
    image = make.make_image(survey, source_path="/secret/ranch/IMG_1.JPG", gps_latitude=27.51234, gps_longitude=84.3)
    make.make_detection(image, box=(10, 20, 110, 220))
    text = client_of(survey, Role.VIEWER).get(reverse("photo-detail", args=[image.pk])).content.decode()
    assert '<rect class="animal" x="10.0" y="20.0" width="100.0" height="200.0">' in text
    assert "secret" not in text and "27.5" not in text
    assert "Draw a box" not in text and "Original file" not in text


def test_numbers_of_a_box_do_not_follow_the_readers_language() -> None:
    detection = make.make_sighting(make.make_survey())
    client = client_of(detection.image.survey)
    address = reverse("photo-detail", args=[detection.image_id])
    assert 'x="160.0"' in client.get(address, headers={"Accept-Language": "de"}).content.decode()


def test_a_box_is_drawn_corrected_and_refused() -> None:
    survey = make.make_survey()
    image = make.make_image(survey)
    client = client_of(survey)
    draw = reverse("photo-draw", args=[image.pk])
    client.post(draw, {"x1": "100", "y1": "100", "x2": "300.5", "y2": "200"})
    drawn = Detection.objects.get()
    assert (drawn.source, drawn.x2) == ("drawn", 300.5)
    assert Work.objects.get().state == ProcessingState.PENDING
    client.post(reverse("detection-redraw", args=[drawn.pk]), {"x1": "90", "y1": "100", "x2": "300", "y2": "200"})
    drawn.refresh_from_db()
    assert drawn.x1 == 90
    for bad in ({}, {"x1": "1", "y1": "1", "x2": "2", "y2": "2"}, {"x1": "nan", "y1": "0", "x2": "9", "y2": "9"}):
        assert client.post(draw, bad).status_code == 302
    assert Detection.objects.count() == 1


def test_usability_is_said_and_taken_back() -> None:
    detection = make.make_sighting(make.make_survey())
    client = client_of(detection.image.survey, Role.REVIEWER)
    address = reverse("detection-annotate", args=[detection.pk])
    client.post(address, {"usable": "no", "unusable_reason": "blurred"})
    detection.refresh_from_db()
    assert (detection.usable, detection.unusable_reason) == (False, "blurred")
    client.post(address, {"usable": "yes"})
    detection.refresh_from_db()
    assert (detection.usable, detection.unusable_reason) == (True, "")
    client.post(address, {"flank": "both", "category": "person"})
    detection.refresh_from_db()
    assert (detection.flank, detection.category) == ("right", "animal")


def test_flags_of_a_photo_are_said_in_words() -> None:
    survey = make.make_survey()
    image = make.make_image(survey, flags=["clock_change_gap", "odd_one"])
    text = client_of(survey, Role.VIEWER).get(reverse("photo-detail", args=[image.pk])).content.decode()
    assert "the clocks skipped this hour" in text and "odd one" in text
    assert "clock_change_gap" not in text and "odd_one" not in text
