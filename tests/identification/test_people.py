"""Photos of people: curators see them, reviewers blurred, viewers not at all."""

from __future__ import annotations

import io

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image as Pillow

from identification.models import Detection, Image, Role, Survey
from identification.permissions import images_for, images_seen, people_blurred, rights_read_once
from identification.services.media import blurred_copy, media_path
from preprocessing.blurring import BLOCKS, blurred
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db
_KINDS = ("thumbnail", "preview")


@pytest.fixture
def survey() -> Survey:
    return make.make_survey()


@pytest.fixture
def person(survey: Survey) -> Image:
    """A photo of noise, so that nothing of it can be guessed from its neighbourhood, with a person on it."""
    image = make.make_image(survey, has_person=True)
    pixels = np.random.default_rng(7).integers(0, 256, (400, 640, 3), np.uint8)
    for kind in _KINDS:
        media_path(getattr(image, kind)).write_bytes(make.jpeg(pixels))
    make.make_detection(image, category="person", box=(320.0, 100.0, 480.0, 300.0), files=False)
    return image


def shown(client: Client, address: str, **headers: str) -> tuple[int, bytes, str]:
    response = client.get(address, headers=headers)
    data = b"".join(response) if response.streaming else response.content
    return response.status_code, data, response.headers.get("ETag", "")


def addresses(image: Image) -> list[str]:
    kinds = [reverse("media", args=[kind, image.pk]) for kind in _KINDS]
    return [*kinds, *(reverse("media-screen", args=["preview", image.pk, size]) for size in (240, 480, 960, 1600))]


def test_a_reviewer_sees_blocks_in_every_kind_and_size_and_never_a_byte_of_the_file(survey, person) -> None:
    originals = {media_path(getattr(person, kind)).read_bytes() for kind in _KINDS}
    reviewer, curator = client_of(survey, Role.REVIEWER), client_of(survey, Role.CURATOR)
    tags = {shown(curator, address)[2] for address in addresses(person)}
    for address in addresses(person):
        status, data, tag = shown(reviewer, address)
        assert status == 200
        assert data not in originals
        assert tag not in tags
        assert data == media_path(blurred_copy(person)).read_bytes()
        # What a browser has kept of the whole picture is no way to be told that it is still right.
        for known in tags:
            assert shown(reviewer, address, **{"If-None-Match": known})[0] == 200
    assert shown(reviewer, reverse("media", args=["original", person.pk]))[0] == 404


def test_a_curator_sees_the_photo_and_a_viewer_nothing(survey, person) -> None:
    curator, viewer = client_of(survey, Role.CURATOR), client_of(survey, Role.VIEWER)
    preview = media_path(person.preview).read_bytes()
    assert shown(curator, reverse("media", args=["preview", person.pk]))[1] == preview
    for address in addresses(person):
        assert shown(viewer, address)[0] == 404
    assert viewer.get(reverse("photo-detail", args=[person.pk])).status_code == 404


def test_the_box_and_the_crop_of_a_person_stay_hidden(survey, person) -> None:
    box = make.make_detection(person, category="person")
    reviewer = client_of(survey, Role.REVIEWER)
    assert shown(reviewer, reverse("media", args=["crop", box.pk]))[0] == 404
    page = reviewer.get(reverse("photo-detail", args=[person.pk]))
    assert page.status_code == 200
    assert page.context["boxes"] == []
    assert "blurred" in page.content.decode()


def test_a_photo_that_nothing_has_looked_at_is_withheld(survey) -> None:
    image = make.make_image(survey, detector="", has_person=True)
    for address in addresses(image):
        assert shown(client_of(survey, Role.REVIEWER), address)[0] == 404


def test_another_box_makes_another_picture(survey, person) -> None:
    before = blurred_copy(person)
    assert blurred_copy(person) == before
    make.make_detection(person, category="person", box=(0.0, 0.0, 100.0, 100.0), files=False)
    assert blurred_copy(person) != before


def test_where_it_cannot_be_made_nothing_is_shown(survey, person) -> None:
    media_path(person.preview).write_bytes(b"no picture")
    assert shown(client_of(survey, Role.REVIEWER), reverse("media", args=["preview", person.pk]))[0] == 404
    assert shown(client_of(survey, Role.REVIEWER), reverse("media", args=["thumbnail", person.pk]))[0] == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.CURATOR])
def test_rights_that_are_read_once_say_the_same(survey, person, role) -> None:
    user = make.make_member(survey, role)
    rows = [person, make.make_image(survey), make.make_image(survey, detector="")]
    seen = set(images_for(user).values_list("pk", flat=True))
    assert images_seen(user, rows) == seen
    with rights_read_once(user):
        assert set(images_for(user).values_list("pk", flat=True)) == seen
        assert images_seen(user, rows) == seen
        assert people_blurred(user, person) == (role != Role.CURATOR)
    assert (person.pk in seen) == (role != Role.VIEWER)


def test_no_animal_is_kept_from_a_reviewer_by_a_person_beside_it(survey, person) -> None:
    box = make.make_detection(person)
    assert shown(client_of(survey, Role.VIEWER), reverse("media", args=["crop", box.pk]))[0] == 200
    assert Detection.objects.get(pk=box.pk).image.has_person


# ---- the picture itself ----
def test_a_person_is_of_one_colour_and_all_else_of_few(tmp_path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (400, 640, 3), np.uint8)
    source = tmp_path / "photo.png"
    Pillow.fromarray(pixels).save(source)
    found = np.asarray(Pillow.open(io.BytesIO(blurred(source, [(0.5, 0.25, 0.75, 0.75)]))).convert("RGB"), np.int16)
    assert found.shape == (400, 640, 3)
    inside = found[104:296, 324:476]
    assert np.ptp(inside.reshape(-1, 3), axis=0).max() <= 4, "nothing of her is left but a colour"
    blocks = found.reshape(25, 16, BLOCKS, 16, 3)
    means = blocks.mean(axis=(1, 3), keepdims=True)
    assert np.abs(blocks - means).mean() < 2, "within a block there is nothing but what JPEG adds"


def test_where_nobody_knows_where_the_person_is_everything_is_of_one_colour(tmp_path) -> None:
    source = tmp_path / "photo.png"
    Pillow.fromarray(np.random.default_rng(3).integers(0, 256, (90, 160, 3), np.uint8)).save(source)
    found = np.asarray(Pillow.open(io.BytesIO(blurred(source, []))), np.int16)
    assert np.ptp(found.reshape(-1, 3), axis=0).max() <= 2


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0), (-0.2, 0.9, 1.4, 1.3)])
def test_a_box_on_the_edge_covers_a_block_at_least(tmp_path, box) -> None:
    source = tmp_path / "photo.png"
    Pillow.fromarray(np.zeros((3, 500, 3), np.uint8)).save(source)
    assert Pillow.open(io.BytesIO(blurred(source, [box]))).size == (500, 3)


def test_what_is_no_picture_is_refused(tmp_path) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(b"\xff\xd8\xff and no more")
    with pytest.raises(OSError):
        blurred(source, [])
