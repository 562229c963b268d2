"""Clocks of cameras: every time follows an offset, and goes back exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from identification.errors import SpotIDError
from identification.exports.snapshot import survey_snapshot
from identification.models import AuditEntry, CameraClock, EncounterEvent, Image, LinkProposal, Role, Survey
from identification.selectors.clocks import offset_words, station_clocks
from identification.services.catalogue import survey_update
from identification.services.clocks import camera_clock_set, clocks_apply
from identification.services.ingest import survey_ingest
from identification.services.proposals import proposals_refresh
from tests.identification import factories as make
from tests.identification.factories import START, client_of, match

pytestmark = pytest.mark.django_db


def sighting(survey: Survey, second: float, camera: str = "A", place: str = "ST01", **values):
    at = START + timedelta(seconds=second)
    image = make.make_image(
        survey, station=make.make_station(survey, place), camera=camera, captured_at=at, files=False, **values
    )
    return make.make_detection(image, files=False)


def times(survey: Survey) -> dict[int, datetime | None]:
    return dict(Image.objects.filter(survey=survey).values_list("pk", "captured_at"))


def passing_both(survey: Survey, *, behind: float, visits: int = 8) -> None:
    """Visits days apart that both cameras see, B's clock being behind."""
    for number in range(visits):
        start = 86400.0 * number + 7919 * number**2 % 40000
        sighting(survey, start)
        sighting(survey, start + 2 - behind, "B")


def test_only_that_cameras_photos_move_and_go_back_exactly(django_capture_on_commit_callbacks) -> None:
    survey = make.make_survey()
    odd = sighting(survey, 0.123456).image
    sighting(survey, 5)
    other, elsewhere = sighting(survey, 3, "B").image, sighting(survey, 3, place="ST02").image
    timeless = make.make_image(survey, station=odd.station, captured_at=None, files=False)
    before = times(survey)
    curator = make.make_user("curator")
    with django_capture_on_commit_callbacks(execute=True):
        assert camera_clock_set(acting_user=curator, station=odd.station, camera="A", offset_seconds=-3600) == 2
    moved = times(survey)
    assert moved[odd.pk] == START + timedelta(seconds=0.123456 - 3600)
    assert all(moved[image.pk] == before[image.pk] for image in (other, elsewhere, timeless))
    odd.refresh_from_db()
    assert odd.clock_offset_seconds == -3600
    with django_capture_on_commit_callbacks(execute=True):
        camera_clock_set(acting_user=curator, station=odd.station, camera="A", offset_seconds=77)
        camera_clock_set(acting_user=curator, station=odd.station, camera="A", offset_seconds=0)
    assert times(survey) == before
    assert not Image.objects.exclude(clock_offset_seconds=0).exists()
    entries = AuditEntry.objects.filter(action="clock.set").order_by("pk")
    assert [entry.after["offset_seconds"] for entry in entries] == [-3600, 77, 0]
    assert [entry.before["offset_seconds"] for entry in entries] == [0, -3600, 77]
    assert {entry.acting_user for entry in entries} == {curator}


def test_events_proposals_and_matching_follow(django_capture_on_commit_callbacks) -> None:
    survey = make.make_survey(matching_state="done")
    first = sighting(survey, 0)
    sighting(survey, 7203, "B")
    proposals_refresh(survey=survey)
    assert not LinkProposal.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        camera_clock_set(acting_user=None, station=first.image.station, camera="B", offset_seconds=-7200)
    assert LinkProposal.objects.get().kind == "paired_cameras"
    assert EncounterEvent.objects.count() == 1
    survey.refresh_from_db()
    assert survey.matching_state == "stale"
    with django_capture_on_commit_callbacks(execute=True):
        camera_clock_set(acting_user=None, station=first.image.station, camera="B", offset_seconds=0)
    assert not LinkProposal.objects.exists() and EncounterEvent.objects.count() == 2


def test_the_export_carries_the_corrected_time() -> None:
    survey = make.make_survey(time_zone="Asia/Kolkata")
    first, second = sighting(survey, 0), sighting(survey, 60)
    match(None, first, second)
    camera_clock_set(acting_user=None, station=first.image.station, camera="A", offset_seconds=90)
    photos = survey_snapshot(survey).photos
    assert [photo.captured_at for photo in photos] == [START + timedelta(seconds=s) for s in (90, 150)]
    assert photos[0].captured_at is not None and photos[0].captured_at.utcoffset() == timedelta(hours=5, minutes=30)


def test_what_cannot_be_is_refused_and_nothing_changes() -> None:
    survey = make.make_survey()
    image = sighting(survey, 0).image
    before = times(survey)
    for camera, offset in (("Z", 5), ("A", 2**31), ("A", -(2**31))):
        with pytest.raises(SpotIDError):
            camera_clock_set(acting_user=None, station=image.station, camera=camera, offset_seconds=offset)
    Image.objects.filter(pk=image.pk).update(captured_at=datetime(1905, 1, 1, tzinfo=UTC))
    with pytest.raises(SpotIDError, match="before 1900"):
        camera_clock_set(acting_user=None, station=image.station, camera="A", offset_seconds=-(2**31) + 1)
    Image.objects.filter(pk=image.pk).update(captured_at=before[image.pk])
    assert times(survey) == before and not CameraClock.objects.exists() and not AuditEntry.objects.exists()


def test_a_suspect_clock_pairs_again_once_a_person_has_set_it(django_capture_on_commit_callbacks) -> None:
    survey = make.make_survey()
    first = sighting(survey, 0)
    Image.objects.filter(pk=sighting(survey, 4, "B").image_id).update(flags=["clock_suspect"])
    proposals_refresh(survey=survey)
    assert not LinkProposal.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        camera_clock_set(acting_user=None, station=first.image.station, camera="B", offset_seconds=0)
    assert LinkProposal.objects.count() == 1


def test_photos_ingested_later_get_the_offset(tmp_path: Path) -> None:
    folder = tmp_path / "ST01" / "A"
    folder.mkdir(parents=True)
    (folder / "2024-03-01_06-00-00.jpg").write_bytes(make.jpeg(make.frame_pixels(1)))
    result = survey_ingest(root=tmp_path, survey_name="Clocks")
    survey = result.survey
    station = survey.stations.get()
    camera_clock_set(acting_user=None, station=station, camera="A", offset_seconds=86400)
    (folder / "2024-03-01_07-00-00.jpg").write_bytes(make.jpeg(make.frame_pixels(2)))
    survey_ingest(root=tmp_path, survey_name="Clocks")
    assert sorted(Image.objects.values_list("captured_at", "clock_offset_seconds")) == [
        (datetime(2024, 3, 2, hour, tzinfo=UTC), 86400) for hour in (6, 7)
    ]
    assert not Image.objects.filter(event__isnull=True).exists()
    assert clocks_apply(survey=survey) == 0


def test_another_time_zone_reads_the_clock_anew_and_keeps_what_was_added() -> None:
    survey = make.make_survey(time_zone="UTC")
    image = sighting(survey, 0, captured_source="name").image
    camera_clock_set(acting_user=None, station=image.station, camera="A", offset_seconds=1800)
    survey_update(acting_user=None, survey=survey, time_zone="Asia/Kolkata")
    image.refresh_from_db()
    assert image.captured_at == START - timedelta(hours=5, minutes=30) + timedelta(seconds=1800)
    camera_clock_set(acting_user=None, station=image.station, camera="A", offset_seconds=0)
    image.refresh_from_db()
    assert image.captured_at == START - timedelta(hours=5, minutes=30)


def test_the_page_shows_cameras_and_compares_them_for_curators() -> None:
    survey = make.make_survey()
    passing_both(survey, behind=3600)
    address = reverse("survey-stations", args=[survey.pk])
    seen = client_of(survey, Role.REVIEWER).get(address + "?compare=1")
    assert seen.context["clocks"][0].comparisons == [] and b"offset_seconds" not in seen.content
    text = client_of(survey).get(address + "?compare=1").content.decode()
    assert "B is 1 hour (3598 s) behind: 8 of 8 and 8 visits say so" in text
    assert "A is wrong: set it to" in text and "Nothing tells which of the two is wrong" in text


def test_setting_the_offset_that_was_found_makes_the_clocks_agree() -> None:
    survey = make.make_survey()
    passing_both(survey, behind=250)
    client = client_of(survey)
    [comparison] = station_clocks(survey, user=make.make_user(superuser=True), compare=True)[0].comparisons
    remedy = next(item for item in comparison.remedies if item.camera == "B")
    assert abs(remedy.offset - 248) <= 1
    form = {"station": survey.stations.get().pk, "camera": "B", "offset_seconds": remedy.offset, "compare": "1"}
    answer = client.post(reverse("survey-clocks", args=[survey.pk]), form, follow=True)
    assert "The times of 8 photos moved" in answer.content.decode()
    [comparison] = station_clocks(survey, user=make.make_user(superuser=True), compare=True)[0].comparisons
    assert comparison.estimate is not None and comparison.estimate.agrees and comparison.remedies == []


def test_an_implausible_clock_is_named() -> None:
    survey = make.make_survey()
    passing_both(survey, behind=400 * 86400)
    for number in range(5):
        sighting(survey, 86400 * number, place="ST02")
    [comparison] = station_clocks(survey, user=make.make_user(superuser=True), compare=True)[0].comparisons
    assert [(item.camera, item.likelier) for item in comparison.remedies] == [("B", True), ("A", False)]


def test_a_form_that_says_nothing_sensible_changes_nothing() -> None:
    survey = make.make_survey()
    image = sighting(survey, 0).image
    client, address = client_of(survey), reverse("survey-clocks", args=[survey.pk])
    for offset in ("", "soon", "1.5", str(10**12)):
        answer = client.post(
            address, {"station": image.station_id, "camera": "A", "offset_seconds": offset}, follow=True
        )
        assert "Nothing was changed" in answer.content.decode()
    foreign = make.make_station(make.make_survey())
    assert client.post(address, {"station": foreign.pk, "camera": "A", "offset_seconds": 5}).status_code == 404
    assert Client().post(address).status_code == 302
    assert not CameraClock.objects.exists()


def test_offsets_in_words() -> None:
    assert [offset_words(s) for s in (0, 45, -3660)] == ["none", "+45 seconds", "−1 h 1 min (3660 s)"]


def test_photos_of_people_are_counted_only_for_those_who_may_see_them() -> None:
    survey = make.make_survey()
    sighting(survey, 0)
    sighting(survey, 86400, has_person=True)
    of_viewer = station_clocks(survey, user=make.make_member(survey, Role.VIEWER))[0].cameras
    of_curator = station_clocks(survey, user=make.make_member(survey, Role.CURATOR))[0].cameras
    assert [(row.photos, row.last) for row in of_viewer] == [(1, START)]
    assert [row.photos for row in of_curator] == [2]
