"""Pictures are served through permissions, as what they are, and never from a path that somebody sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse
from PIL import ExifTags
from PIL import Image as Pillow

from identification.models import Detection, Image, Role, Survey
from identification.services.media import media_path
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def survey() -> Survey:
    return make.make_survey()


def get(client: Client, kind: str, pk: int, **headers: str) -> tuple[Any, bytes]:
    response = client.get(reverse("media", args=[kind, pk]), headers=headers)
    return response, b"".join(response) if response.streaming else response.content


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [("crop", "image/jpeg"), ("mask", "image/png"), ("cutout", "image/png"), ("edges", "image/png")],
)
def test_a_derivative_is_served_as_what_it_is_and_nothing_else(survey: Survey, kind: str, content_type: str) -> None:
    detection = make.make_sighting(survey)
    response, data = get(client_of(survey, Role.VIEWER), kind, detection.pk)
    assert data == media_path(getattr(detection, kind)).read_bytes()
    assert response["Content-Type"] == content_type
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "private" in response["Cache-Control"] and "no-cache" in response["Cache-Control"]
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_a_file_that_is_no_picture_is_not_served(survey: Survey) -> None:
    detection = make.make_sighting(survey)
    media_path(detection.crop).write_bytes(b"<html><script>alert(1)</script>")
    assert get(client_of(survey, Role.VIEWER), "crop", detection.pk)[0].status_code == 404


def test_a_picture_not_made_yet_or_gone_is_not_there(survey: Survey) -> None:
    detection = make.make_detection(make.make_image(survey, files=False), files=False)
    client = client_of(survey, Role.VIEWER)
    assert get(client, "crop", detection.pk)[0].status_code == 404
    assert get(client, "preview", detection.image_id)[0].status_code == 404
    Detection.objects.filter(pk=detection.pk).update(crop="surveys/1/0/gone.jpg")
    assert get(client, "crop", detection.pk)[0].status_code == 404


def test_a_stored_name_that_leads_out_of_the_media_folder_is_not_followed(survey: Survey, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(make.jpeg(make.frame_pixels(1)))
    detection = make.make_sighting(survey)
    for name in (str(secret), f"../{secret.parent.name}/secret.jpg"):
        Detection.objects.filter(pk=detection.pk).update(crop=name)
        assert get(client_of(survey, Role.VIEWER), "crop", detection.pk)[0].status_code == 404


def test_no_part_of_a_path_comes_from_the_address(survey: Survey) -> None:
    client = client_of(survey, Role.VIEWER)
    for address in (
        "/media/crop/../../etc/passwd",
        "/media/crop/%2e%2e%2fx/",
        "/media/weights/1/",
        "/media/crop/1.jpg",
    ):
        assert client.get(address).status_code == 404
    with pytest.raises(NoReverseMatch):
        reverse("media", args=["weights", 1])


def test_the_browser_asks_again_and_is_answered_only_while_it_may_see(survey: Survey) -> None:
    detection = make.make_sighting(survey)
    client = client_of(survey, Role.VIEWER)
    response, _ = get(client, "crop", detection.pk)
    again, data = get(client, "crop", detection.pk, **{"If-None-Match": response["ETag"]})
    assert (again.status_code, data) == (304, b"")
    survey.memberships.all().delete()
    assert get(client, "crop", detection.pk, **{"If-None-Match": response["ETag"]})[0].status_code == 404


def test_the_tag_changes_with_the_file_and_is_the_same_for_everybody(survey: Survey) -> None:
    detection = make.make_sighting(survey)
    one, other = (get(client_of(survey, role), "crop", detection.pk)[0]["ETag"] for role in (Role.VIEWER, Role.CURATOR))
    assert one == other
    media_path(detection.crop).write_bytes(make.jpeg(make.frame_pixels(3)))
    assert get(client_of(survey, Role.VIEWER), "crop", detection.pk)[0]["ETag"] != one


def test_a_front_server_is_asked_to_send_the_file_when_the_settings_say_so(survey: Survey, settings) -> None:
    settings.SPOTID_X_ACCEL = "/protected/"
    detection = make.make_sighting(survey)
    response, data = get(client_of(survey, Role.VIEWER), "crop", detection.pk)
    assert response["X-Accel-Redirect"] == f"/protected/{detection.crop}"
    assert (response["Content-Type"], data) == ("image/jpeg", b"")


def _photo_with_gps(survey: Survey, folder: Path) -> Image:
    image = make.make_image(survey, original=folder, gps_latitude=27.5, gps_longitude=84.3)
    exif = Pillow.Exif()
    exif[ExifTags.Base.DateTime] = "2024:03:01 06:00:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (27.0, 30.0, 0.0), 3: "E", 4: (84.0, 18.0, 0.0)})
    Pillow.fromarray(make.frame_pixels(2)).save(image.source_path, exif=exif)
    return image


def _gps(data: bytes, folder: Path) -> dict[int, Any]:
    copy = folder / "copy.jpg"
    copy.write_bytes(data)
    with Pillow.open(copy) as picture:
        return dict(picture.getexif().get_ifd(ExifTags.IFD.GPSInfo))


def test_an_original_tells_its_place_only_to_those_who_may_know_it(survey: Survey, tmp_path: Path) -> None:
    image = _photo_with_gps(survey, tmp_path)
    original = Path(image.source_path).read_bytes()
    assert _gps(original, tmp_path), "the photo of this test holds a position"
    _, whole = get(client_of(survey, Role.CURATOR, places=True), "original", image.pk)
    assert whole == original
    response, clean = get(client_of(survey, Role.CURATOR), "original", image.pk)
    assert response.status_code == 200
    assert not _gps(clean, tmp_path)
    assert clean != original


def test_the_tag_of_the_whole_original_is_no_key_to_it(survey: Survey, tmp_path: Path) -> None:
    image = _photo_with_gps(survey, tmp_path)
    granted, _ = get(client_of(survey, Role.CURATOR, places=True), "original", image.pk)
    curator = client_of(survey, Role.CURATOR)
    answered, data = get(curator, "original", image.pk, **{"If-None-Match": granted["ETag"]})
    assert answered.status_code == 200
    assert not _gps(data, tmp_path)


def test_an_original_that_cannot_be_cleaned_is_answered_with_its_preview(survey: Survey, tmp_path: Path) -> None:
    image = make.make_image(survey, original=tmp_path, format="tif")
    Pillow.fromarray(make.frame_pixels(2)).save(image.source_path, "TIFF")
    _, data = get(client_of(survey, Role.CURATOR), "original", image.pk)
    assert data == media_path(image.preview).read_bytes()
    _, whole = get(client_of(survey, Role.CURATOR, places=True), "original", image.pk)
    assert whole == Path(image.source_path).read_bytes()


def test_an_original_that_has_gone_is_not_there(survey: Survey, tmp_path: Path) -> None:
    image = make.make_image(survey, original=tmp_path)
    Path(image.source_path).unlink()
    assert get(client_of(survey, Role.CURATOR), "original", image.pk)[0].status_code == 404


def test_the_name_of_a_download_cannot_break_its_header(survey: Survey, tmp_path: Path) -> None:
    image = make.make_image(survey, original=tmp_path, relative_path='ST01/a"\r\nSet-Cookie: x=1.jpg')
    response, _ = get(client_of(survey, Role.CURATOR), "original", image.pk)
    assert "Set-Cookie" not in response
    assert "\r" not in response["Content-Disposition"]


def test_a_crop_stays_visible_where_the_whole_photo_shows_a_person(survey: Survey) -> None:
    detection = make.make_sighting(survey, has_person=True)
    reviewer = client_of(survey, Role.REVIEWER)
    assert get(reviewer, "crop", detection.pk)[0].status_code == 200
    assert get(reviewer, "preview", detection.image_id)[0].status_code == 404
    assert get(reviewer, "thumbnail", detection.image_id)[0].status_code == 404
    assert get(client_of(survey, Role.CURATOR), "preview", detection.image_id)[0].status_code == 200


def test_a_picture_costs_few_questions(survey: Survey, django_assert_max_num_queries) -> None:
    detection = make.make_sighting(survey)
    client = client_of(survey, Role.VIEWER)
    with django_assert_max_num_queries(4):
        assert get(client, "crop", detection.pk)[0].status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_a_photo_that_nothing_has_looked_at_is_kept_from_who_may_not_see_people(survey: Survey, role: str) -> None:
    image = make.make_image(survey, state="pending", detector="")
    client, curator = client_of(survey, role), client_of(survey, Role.CURATOR)
    listed = reverse("photo-list", args=[survey.pk])
    assert curator.get(listed).context["page"].paginator.count == 1
    assert client.get(listed).context["page"].paginator.count == 0
    assert client.get(reverse("photo-detail", args=[image.pk])).status_code == 404
    for kind in ("preview", "thumbnail"):
        assert get(client, kind, image.pk)[0].status_code == 404
        assert get(curator, kind, image.pk)[0].status_code == 200
    Image.objects.update(detector="finished-crop/1")
    assert get(client, "preview", image.pk)[0].status_code == 200
