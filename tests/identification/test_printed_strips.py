"""What cameras print at the edge of photos may tell where they stand: it is covered for who may not know."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image as Pillow

from identification.exports.options import ExportOptions, Files, Format
from identification.exports.survey import export_write
from identification.models import AuditEntry, Detection, Image, Role, Survey
from identification.services.media import media_path
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db

TALL, WIDE = make.FRAME[1], make.FRAME[0]
TOP, BOTTOM = 0.05, 0.1
KINDS = ("crop", "cutout", "edges")


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    """White photos, with an animal whose box reaches both edges and one whose box reaches none."""
    survey = make.make_survey(print_top=TOP, print_bottom=BOTTOM)
    image = make.make_image(survey, station=make.make_station(survey, "ST01"), original=tmp_path)
    media_path(image.preview).write_bytes(_white(TALL))
    media_path(image.thumbnail).write_bytes(_white(TALL // 4))
    Path(image.source_path).write_bytes(_white(TALL))
    for box in ((10.0, 0.0, 90.0, float(TALL)), (10.0, 0.3 * TALL, 90.0, 0.7 * TALL)):
        detection = make.make_detection(image, box=box)
        for kind in KINDS:
            name = getattr(detection, kind)
            media_path(name).write_bytes(_white(round(box[3] - box[1]), "PNG" if name.endswith("png") else "JPEG"))
    return survey


def _white(height: int, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (WIDE, height), "white").save(buffer, kind)
    return buffer.getvalue()


def _covered(data: bytes) -> tuple[float, float]:
    """Shares of the rows that are not white, from the top and from the bottom, with white between them."""
    rows = np.asarray(Pillow.open(io.BytesIO(data)).convert("L"), dtype=float).mean(axis=1) > 240
    first, last = int(np.argmax(rows)), int(np.argmax(rows[::-1]))
    assert rows[first : len(rows) - last].mean() > 0.97
    return first / len(rows), last / len(rows)


def _get(client: Client, address: str) -> bytes:
    response: Any = client.get(address)
    assert response.status_code == 200, address
    return b"".join(response) if response.streaming else response.content


def _addresses(image: Image) -> dict[str, str]:
    shown = {kind: reverse("media", args=[kind, image.pk]) for kind in ("preview", "thumbnail", "original")}
    return shown | {f"screen {size}": reverse("media-screen", args=["preview", image.pk, size]) for size in (240, 960)}


def test_every_picture_of_a_photo_is_covered_for_who_may_not_see_places(survey: Survey) -> None:
    image = survey.images.get()
    blind, seeing = (client_of(survey, Role.CURATOR, places=places) for places in (False, True))
    for name, address in _addresses(image).items():
        assert _covered(_get(seeing, address)) == (0.0, 0.0), name
        assert _covered(_get(blind, address)) == pytest.approx((TOP, BOTTOM), abs=0.03), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_that_reaches_a_strip_is_covered_there_and_others_are_as_stored(survey: Survey, kind: str) -> None:
    reaching, inside = Detection.objects.order_by("y1")
    viewer = client_of(survey, Role.VIEWER)
    assert _covered(_get(viewer, reverse("media", args=[kind, reaching.pk]))) == pytest.approx((TOP, BOTTOM), abs=0.03)
    stored = media_path(getattr(inside, kind)).read_bytes()
    assert _get(viewer, reverse("media", args=[kind, inside.pk])) == stored
    assert media_path(getattr(reaching, kind)).read_bytes() != stored, "the engines read what is stored"
    assert _covered(media_path(getattr(reaching, kind)).read_bytes()) == (0.0, 0.0)


def test_another_height_makes_another_picture_with_another_tag(survey: Survey) -> None:
    viewer, address = client_of(survey, Role.VIEWER), reverse("media", args=["preview", survey.images.get().pk])
    response: Any = viewer.get(address)
    assert _covered(b"".join(response))[1] == pytest.approx(BOTTOM, abs=0.02)
    assert viewer.get(address, headers={"If-None-Match": response["ETag"]}).status_code == 304
    Survey.objects.filter(pk=survey.pk).update(print_bottom=0.2)
    again: Any = viewer.get(address, headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again["ETag"] == response["ETag"]) == (200, False)
    assert _covered(b"".join(again))[1] == pytest.approx(0.2, abs=0.02)


def test_a_picture_that_cannot_be_covered_is_not_shown(survey: Survey) -> None:
    image = survey.images.get()
    media_path(image.preview).write_bytes(b"\xff\xd8\xff broken")
    assert client_of(survey, Role.VIEWER).get(reverse("media", args=["preview", image.pk])).status_code == 404


def test_exports_without_places_cover_what_is_printed(survey: Survey, tmp_path: Path) -> None:
    box, other = Detection.objects.order_by("y1").last(), make.make_sighting(survey)
    assert box is not None
    make.match(None, box, other)
    media_path(other.image.preview).write_bytes(_white(TALL))
    original = Path(box.image.source_path).read_bytes()
    Image.objects.filter(pk=box.image_id).update(sha256=hashlib.sha256(original).hexdigest(), size_bytes=len(original))
    found = {}
    for places in (False, True):
        out = tmp_path / f"out{places}"
        options = ExportOptions(formats=(Format.FOLDERS,), files=Files.ALL, with_places=places)
        export_write(population=survey.population, surveys=[survey], out=out, options=options)
        found[places] = [file.read_bytes() for file in out.rglob("*.[jJ]*") if file.suffix != ".json"]
    assert original in found[True] and original not in found[False]
    assert len(found[False]) == len(found[True]) == 2
    assert all(_covered(data) == (0.0, 0.0) for data in found[True])
    assert all(_covered(data) == pytest.approx((TOP, BOTTOM), abs=0.03) for data in found[False])


def test_an_administrator_chooses_the_heights_and_the_log_says_so(survey: Survey) -> None:
    administrator = client_of(survey, Role.ADMINISTRATOR, places=True)
    address = reverse("survey-places", args=[survey.pk])
    page = administrator.get(reverse("survey-stations", args=[survey.pk])).content.decode()
    assert 'data-of="print_bottom" y="90%"' in page
    administrator.post(address, {"grid": "0.1", "print_top": "0.0", "print_bottom": "0.08"})
    survey.refresh_from_db()
    assert (survey.print_top, survey.print_bottom) == (0.0, 0.08)
    (row,) = AuditEntry.objects.filter(action="survey.places")
    assert (row.before["print_top"], row.after["print_bottom"]) == (TOP, 0.08)
    for height in ("0.9", "nan", "", "-0.1", "0.081"):
        administrator.post(address, {"grid": "0.1", "print_top": "0.0", "print_bottom": height})
        survey.refresh_from_db()
        assert survey.print_bottom == 0.08
    administrator.post(address, {"grid": "0.5"})
    survey.refresh_from_db()
    assert (survey.place_grid, survey.print_bottom) == (0.5, 0.08), "what is not said stays"


def test_a_survey_without_stations_can_be_covered_too() -> None:
    survey = make.make_survey()
    make.make_image(survey)
    page = client_of(survey, Role.ADMINISTRATOR).get(reverse("survey-stations", args=[survey.pk])).content.decode()
    assert "has no stations" in page and 'name="print_bottom"' in page
