"""Pictures are served through permissions, as what they are, and never from a path that somebody sent."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse
from PIL import ExifTags
from PIL import Image as Pillow

from identification.models import AuditEntry, Detection, Image, Role, Survey
from identification.presenting import screen_widths
from identification.services.media import media_path, screen_file
from identification.templatetags.pictures import picture
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
    settings.SPOTID_ACCEL_PREFIX = "/protected/"
    detection = make.make_sighting(survey)
    response, data = get(client_of(survey, Role.VIEWER), "crop", detection.pk)
    assert response["X-Accel-Redirect"] == f"/protected/{detection.crop}"
    assert (response["Content-Type"], data) == ("image/jpeg", b"")
    assert "private" in response["Cache-Control"] and "no-cache" in response["Cache-Control"]
    known = {"If-None-Match": response["ETag"]}
    again, _ = get(client_of(survey, Role.VIEWER), "crop", detection.pk, **known)
    assert again.status_code == 304 and "X-Accel-Redirect" not in again


@pytest.mark.parametrize("role", [Role.VIEWER, None])
def test_a_front_server_is_told_no_file_that_may_not_be_seen(survey: Survey, settings, role) -> None:
    settings.SPOTID_ACCEL_PREFIX = "/protected"
    person = make.make_detection(make.make_image(survey, has_person=True), category="person")
    client = client_of(survey, role) if role else client_of(make.make_survey(), Role.CURATOR)
    for kind, pk in (("crop", person.pk), ("preview", person.image_id), ("original", person.image_id)):
        response, _ = get(client, kind, pk)
        assert response.status_code == 404 and "X-Accel-Redirect" not in response


def test_a_front_server_is_told_the_blurred_picture_of_people(survey: Survey, settings) -> None:
    settings.SPOTID_ACCEL_PREFIX = "/protected"
    image = make.make_image(survey, has_person=True)
    response, data = get(client_of(survey, Role.REVIEWER), "preview", image.pk)
    assert "-blurred-" in response["X-Accel-Redirect"] and data == b""


@pytest.mark.parametrize("name", ["../secret.jpg", "surveys/../../secret.jpg", "/etc/passwd", "surveys/x\r\nX: y.jpg"])
def test_no_stored_name_leads_a_front_server_elsewhere(survey: Survey, settings, tmp_path: Path, name: str) -> None:
    settings.SPOTID_ACCEL_PREFIX = "/protected/"
    (media_path("").parent / "secret.jpg").write_bytes(make.jpeg(make.frame_pixels(1)))
    detection = make.make_sighting(survey)
    Detection.objects.filter(pk=detection.pk).update(crop=name)
    response, _ = get(client_of(survey, Role.VIEWER), "crop", detection.pk)
    assert response.status_code == 404 and "X-Accel-Redirect" not in response


def test_a_name_with_steps_back_inside_is_told_without_them(survey: Survey, settings) -> None:
    settings.SPOTID_ACCEL_PREFIX = "/protected/"
    detection = make.make_sighting(survey)
    Detection.objects.filter(pk=detection.pk).update(crop=f"surveys/../{detection.crop}")
    response, _ = get(client_of(survey, Role.VIEWER), "crop", detection.pk)
    assert response["X-Accel-Redirect"] == f"/protected/{detection.crop}"


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


def test_that_an_original_was_handed_out_with_its_place_is_written_down(survey: Survey, tmp_path: Path) -> None:
    placed = _photo_with_gps(survey, tmp_path)
    (tmp_path / "b").mkdir()
    bare = make.make_image(survey, original=tmp_path / "b")
    for places in (False, True):
        client = client_of(survey, Role.CURATOR, places=places)
        response, _ = get(client, "original", placed.pk)
        assert get(client, "original", bare.pk)[0].status_code == 200
        assert get(client, "original", placed.pk, **{"If-None-Match": response["ETag"]})[0].status_code == 304
    row = AuditEntry.objects.get()
    assert (row.action, row.object_id, row.acting_user.memberships.get().may_see_places) == (
        "image.place_shown",
        placed.pk,
        True,
    )


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
    viewer = client_of(survey, Role.VIEWER)
    assert get(viewer, "crop", detection.pk)[0].status_code == 200
    assert get(viewer, "preview", detection.image_id)[0].status_code == 404
    assert get(viewer, "thumbnail", detection.image_id)[0].status_code == 404
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


def screen(client: Client, kind: str, pk: int, longest: int, **headers: str) -> tuple[Any, bytes]:
    response = client.get(reverse("media-screen", args=[kind, pk, longest]), headers=headers)
    return response, b"".join(response) if response.streaming else response.content


@pytest.mark.parametrize(("kind", "longest"), [("crop", 240), ("crop", 960), ("cutout", 480)])
def test_a_copy_for_screens_fits_and_is_webp(survey: Survey, kind: str, longest: int) -> None:
    detection = make.make_sighting(survey)
    stored = media_path(getattr(detection, kind))
    before = stored.read_bytes()
    response, data = screen(client_of(survey, Role.VIEWER), kind, detection.pk, longest)
    assert response["Content-Type"] == "image/webp" and "no-cache" in response["Cache-Control"]
    with Pillow.open(io.BytesIO(data)) as copy, Pillow.open(stored) as whole:
        assert copy.format == "WEBP" and not copy.getexif()
        assert max(copy.size) == min(longest, max(whole.size)), "smaller or as it was, never enlarged"
    assert stored.read_bytes() == before, "engines read what they read before"


def test_a_copy_is_made_once_and_again_when_its_picture_changes(survey: Survey, settings) -> None:
    detection = make.make_sighting(survey)
    client = client_of(survey, Role.VIEWER)
    _, first = screen(client, "crop", detection.pk, 240)
    made = media_path(screen_file(detection.crop, 240))
    state = made.stat()
    response, again = screen(client, "crop", detection.pk, 240)
    assert (again, made.stat().st_ino) == (first, state.st_ino)
    unchanged, nothing = screen(client, "crop", detection.pk, 240, **{"If-None-Match": response["ETag"]})
    assert (unchanged.status_code, nothing) == (304, b"")
    media_path(detection.crop).write_bytes(make.jpeg(make.frame_pixels(7)))
    changed, other = screen(client, "crop", detection.pk, 240, **{"If-None-Match": response["ETag"]})
    assert changed.status_code == 200 and other != first
    settings.SPOTID_ACCEL_PREFIX = "/protected/"
    assert (
        screen(client, "crop", detection.pk, 240)[0]["X-Accel-Redirect"]
        == f"/protected/{made.relative_to(media_path(''))}"
    )


def test_on_a_full_disk_the_picture_itself_is_shown(survey: Survey, monkeypatch, caplog) -> None:
    detection = make.make_sighting(survey)

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    response, data = screen(client_of(survey, Role.VIEWER), "crop", detection.pk, 240)
    assert (response["Content-Type"], data) == ("image/jpeg", media_path(detection.crop).read_bytes())
    assert "No space left" in caplog.text
    assert not list(media_path(detection.crop).parent.glob("*.part")), "nothing half written stays"


def test_copies_are_of_some_kinds_and_sizes_only(survey: Survey) -> None:
    detection = make.make_sighting(survey)
    client = client_of(survey, Role.CURATOR)
    for kind, pk, longest in (
        ("mask", detection.pk, 240),
        ("edges", detection.pk, 240),
        ("thumbnail", detection.image_id, 240),
        ("original", detection.image_id, 240),
        ("crop", detection.pk, 241),
        ("crop", detection.pk, 10**9),
    ):
        assert screen(client, kind, pk, longest)[0].status_code == 404
    assert screen(client, "preview", detection.image_id, 240)[0].status_code == 200
    media_path(detection.crop).unlink()
    assert screen(client, "crop", detection.pk, 480)[0].status_code == 404
    Detection.objects.update(crop="")
    assert screen(client, "crop", detection.pk, 480)[0].status_code == 404


def test_a_stored_picture_that_is_broken_is_answered_as_it_is(survey: Survey) -> None:
    detection = make.make_sighting(survey)
    stored = media_path(detection.crop)
    stored.write_bytes(stored.read_bytes()[:400])
    response, data = screen(client_of(survey, Role.VIEWER), "crop", detection.pk, 240)
    assert (response["Content-Type"], data) == ("image/jpeg", stored.read_bytes())


def test_markup_names_the_sizes_that_there_are() -> None:
    assert screen_widths(2000, 1000) == [(240, 240), (480, 480), (960, 960), (1600, 1600)]
    assert screen_widths(500, 1000) == [(240, 120), (480, 240), (960, 480), (1600, 500)]
    assert screen_widths(300, 200) == [(240, 240), (480, 300)]
    assert screen_widths(1, 1) == [(240, 1)]


def test_an_img_element_tells_its_size_before_it_is_there(survey: Survey) -> None:
    detection = make.make_sighting(survey, coat=1)
    element = picture(detection, "crop", "strip", 'A "leopard"')
    with Pillow.open(media_path(detection.crop)) as crop:
        assert f'width="{crop.width}" height="{crop.height}"' in element
    assert 'loading="lazy"' in element and "A &quot;leopard&quot;" in element and "240/ 240w" in element
    assert "loading" not in picture(detection, "crop", "strip", lazy=False)
