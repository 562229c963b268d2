"""The ingest page and what its script asks for."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from identification.models import IngestRequest, ReceivedFile, Role, Survey
from identification.services.receiving_run import ingest_request_run
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def survey(settings: Any, tmp_path: Path) -> Survey:
    settings.SPOTID_UPLOAD_DIR = tmp_path / "photos"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0
    return make.make_survey()


def _announce(client: Client, survey: Survey, *files: list[Any]) -> Any:
    address = reverse("ingest-announce", args=[survey.pk])
    return client.post(address, json.dumps({"files": files}), content_type="application/json")


def _piece(client: Client, survey: Survey, file_id: int, offset: int, data: bytes, crc: int | None = None) -> Any:
    address = reverse("ingest-piece", args=[survey.pk]) + f"?file={file_id}&offset={offset}"
    checksum = str(zlib.crc32(data) if crc is None else crc)
    return client.post(address, data, content_type="application/octet-stream", headers={"X-Piece-CRC32": checksum})


def test_a_photo_goes_from_the_browser_into_the_survey(survey: Survey) -> None:
    client, data = client_of(survey), make.jpeg(make.frame_pixels(1))
    (row,) = _announce(client, survey, ["ST01/A/1.jpg", len(data), 5]).json()["files"]
    assert (row["received"], row["code"]) == (0, "")
    assert _piece(client, survey, row["id"], 0, data[:900]).json() == {"received": 900}
    page = client.get(reverse("survey-ingest", args=[survey.pk])).content.decode()
    assert "0 of 1 file arrived" in page
    wrong = _piece(client, survey, row["id"], 1000, data[1000:])
    assert (wrong.status_code, wrong.json()["received"]) == (409, 900)
    assert _piece(client, survey, row["id"], 900, data[900:], crc=7).status_code == 400
    assert _piece(client, survey, row["id"], 900, data[900:]).json() == {"received": len(data)}
    client.post(reverse("ingest-finish", args=[survey.pk]))
    address = reverse("ingest-state", args=[survey.pk])
    state = client.get(address).content.decode()
    assert "Waiting" in state and f'hx-get="{address}?request={IngestRequest.objects.get().pk}"' in state
    assert client.get(address, {"request": 10**9}).content.strip() == b""
    assert ingest_request_run(request_id=IngestRequest.objects.get().pk)
    page = client.get(reverse("survey-ingest", args=[survey.pk])).content.decode()
    assert "1 new · 0 known · 0 skipped" in page
    state = client.get(address, {"request": IngestRequest.objects.get().pk}).content.decode()
    assert "1 new · 0 known · 0 skipped" in state and "hx-get" not in state, "it asks no more"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"files": 3}',
        '{"files": [["a.jpg", 1]]}',
        '{"files": [["a.jpg", "1", 1]]}',
        '{"files": [["a.jpg", -1, 1]]}',
        '{"files": [["a.jpg", 1.5, 1]]}',
        '{"files": [["a\\u0000.jpg", 1, 1]]}',
        '{"files": [["\\ud800.jpg", 1, 1]]}',
        '{"files": [["a.jpg", 99999999999999999999, 1]]}',
        "[" * 100_000,
    ],
)
def test_a_list_that_is_none_is_refused(survey: Survey, body: str) -> None:
    address = reverse("ingest-announce", args=[survey.pk])
    response = client_of(survey).post(address, body, content_type="application/json")
    assert response.status_code == 400 and "cannot be read" in response.json()["error"]
    assert not ReceivedFile.objects.exists()


def test_pieces_are_bounded_and_belong_to_their_account(survey: Survey, settings: Any) -> None:
    settings.SPOTID_UPLOAD_CHUNK_KB = 1
    client = client_of(survey)
    (row,) = _announce(client, survey, ["a.jpg", 5000, 5]).json()["files"]
    assert _piece(client, survey, row["id"], 0, bytes(1025)).status_code == 413
    assert _piece(client, survey, row["id"], 0, b"").status_code == 400
    assert _piece(client_of(survey), survey, row["id"], 0, b"x").status_code == 400
    foreign = make.make_survey()
    assert _piece(client_of(foreign), foreign, row["id"], 0, b"x").status_code == 400
    assert ReceivedFile.objects.get().received == 0


def test_folders_are_offered_to_administrators_below_the_roots_only(
    survey: Survey, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "cards" / "May <b>").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    client, address = Client(), reverse("survey-ingest", args=[survey.pk])
    client.force_login(make.make_user(superuser=True))
    assert "From a folder of the server" not in client.get(address).content.decode()
    settings.SPOTID_INGEST_ROOTS = [str(tmp_path / "cards")]
    assert str(tmp_path / "cards") in client.get(address).content.decode()
    curator = client_of(survey)
    assert str(tmp_path / "cards") not in curator.get(address).content.decode()
    refused = curator.post(reverse("ingest-folder", args=[survey.pk]), {"folder": str(tmp_path / "cards")})
    assert refused.status_code == 403 and not IngestRequest.objects.exists()
    inside = client.get(address, {"in": str(tmp_path / "cards")}).content.decode()
    assert "May &lt;b&gt;" in inside and "private" not in inside
    outside = client.get(address, {"in": str(tmp_path)}).content.decode()
    assert "private" not in outside and "Read this folder" not in outside
    refused = client.post(reverse("ingest-folder", args=[survey.pk]), {"folder": str(tmp_path)}, follow=True)
    assert "no folder from which photos may be read" in refused.content.decode()
    client.post(reverse("ingest-folder", args=[survey.pk]), {"folder": str(tmp_path / "cards")})
    assert IngestRequest.objects.get().folder == str(tmp_path / "cards")


def test_places_come_from_a_table_for_those_who_may_know_them(survey: Survey) -> None:
    address, page = reverse("survey-station-table", args=[survey.pk]), reverse("survey-ingest", args=[survey.pk])
    assert "Where the stations stand" not in client_of(survey).get(page).content.decode()
    client = client_of(survey, Role.CURATOR, places=True)
    assert "Where the stations stand" in client.get(page).content.decode()
    table = SimpleUploadedFile("t.csv", b"station,latitude,longitude\nST01,27.5,84.5\n")
    assert "set of 1 station, new among them: 1" in client.post(address, {"table": table}, follow=True).content.decode()
    assert "Choose a table first" in client.post(address, follow=True).content.decode()
    broken = SimpleUploadedFile("t.csv", b"station,latitude,longitude\nST01,x,84.5\n")
    assert "Line 2: latitude" in client.post(address, {"table": broken}, follow=True).content.decode()
    assert survey.stations.get().latitude == 27.5
