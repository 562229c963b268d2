"""Files that arrive piece by piece, folders of the server, and what a worker makes of them."""

from __future__ import annotations

import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identification.errors import SpotIDError
from identification.inference.photos import openable_path
from identification.models import AuditEntry, Image, IngestRequest, ReceivedFile, Role, SkippedPhoto, Survey, User
from identification.services import receiving
from identification.services.receiving import Announced, WrongOffset
from identification.services.receiving_run import ingest_request_run
from identification.services.reconcile import reconcile
from identification.services.station_table import station_rows, stations_place
from identification.services.work import stopping_announce, stopping_withdraw
from tests.identification import factories as make

pytestmark = pytest.mark.django_db

World = tuple[Survey, User]


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.SPOTID_UPLOAD_DIR = tmp_path / "photos"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0
    survey = make.make_survey()
    return survey, make.make_member(survey, Role.CURATOR)


def _photo(number: int) -> bytes:
    return make.jpeg(make.frame_pixels(number))


def _announce(world: World, **files: bytes) -> tuple[IngestRequest, dict[str, ReceivedFile]]:
    request = receiving.receiving_open(survey=world[0], acting_user=world[1])
    wanted = [
        Announced(path.replace("__", "/").replace("_dot_", "."), len(data), 1_700_000_000_000)
        for path, data in files.items()
    ]
    rows = receiving.files_announce(request=request, files=wanted)
    return request, {row.relative_path: row for row in rows}


def _piece(request: IngestRequest, row: ReceivedFile, offset: int, data: bytes) -> int:
    found = receiving.piece_receive(request=request, file_id=row.pk, offset=offset, data=data, crc32=zlib.crc32(data))
    return found.received


def _sent(world: World, **files: bytes) -> IngestRequest:
    request, rows = _announce(world, **files)
    for row, data in zip(rows.values(), files.values(), strict=True):
        if not row.code:
            assert _piece(request, row, row.received, data[row.received :]) == len(data)
    return request


def _ingested(request: IngestRequest, user: User) -> IngestRequest:
    receiving.receiving_finish(request=request, acting_user=user)
    assert ingest_request_run(request_id=request.pk)
    request.refresh_from_db()
    return request


def test_nothing_that_arrived_is_nothing_to_ingest(world: World) -> None:
    request = receiving.receiving_open(survey=world[0], acting_user=world[1])
    with pytest.raises(SpotIDError, match="No file has arrived"):
        receiving.receiving_finish(request=request, acting_user=world[1])
    assert receiving.receiving_open(survey=world[0], acting_user=world[1]) == request


def test_photos_in_pieces_become_photos_of_the_survey(world: World) -> None:
    survey, user = world
    data = {"ST01__A__1_dot_jpg": _photo(1), "ST01__B__2_dot_jpg": _photo(2)}
    request, rows = _announce(world, **data)
    rng = random.Random(2)
    for row, whole in zip(rows.values(), data.values(), strict=True):
        at = 0
        while at < len(whole):
            at = _piece(request, row, at, whole[at : at + rng.randint(1, 5000)])
    request = _ingested(request, user)
    assert request.state == "done" and request.report is not None
    assert (request.report.new, request.report.skipped) == (2, 0)
    images = list(survey.images.order_by("relative_path").select_related("station"))
    assert [(image.relative_path, image.camera) for image in images] == [("ST01/A/1.jpg", "A"), ("ST01/B/2.jpg", "B")]
    assert [Path(image.source_path).read_bytes() for image in images] == list(data.values())
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "ingest.request",
        "survey.ingest",
    ]


def test_a_piece_sent_twice_changes_nothing_and_a_missing_one_is_asked_for(world: World) -> None:
    whole = _photo(1)
    request, rows = _announce(world, a_dot_jpg=whole)
    row = rows["a.jpg"]
    assert _piece(request, row, 0, whole[:1000]) == 1000
    assert _piece(request, row, 0, whole[:1000]) == 1000
    assert _piece(request, row, 200, whole[200:700]) == 1000
    with pytest.raises(WrongOffset) as wrong:
        _piece(request, row, 2000, whole[2000:3000])
    assert wrong.value.received == 1000
    with pytest.raises(SpotIDError, match="damaged on the way"):
        receiving.piece_receive(request=request, file_id=row.pk, offset=1000, data=whole[1000:1100], crc32=1)
    with pytest.raises(SpotIDError, match="does not fit"):
        _piece(request, row, 1000, whole)
    assert _piece(request, row, 1000, whole[1000:]) == len(whole)
    assert _piece(request, row, 1000, whole[1000:]) == len(whole)
    assert (receiving.folder_of(request) / "a.jpg").read_bytes() == whole


def test_a_file_goes_on_where_it_stopped_unless_it_changed(world: World) -> None:
    whole = _photo(1)
    request, rows = _announce(world, a_dot_jpg=whole)
    _piece(request, rows["a.jpg"], 0, whole[:500])
    again = _announce(world, a_dot_jpg=whole)[1]["a.jpg"]
    assert (again.pk, again.received) == (rows["a.jpg"].pk, 500)
    changed = _announce(world, a_dot_jpg=whole + b"more")[1]["a.jpg"]
    assert changed.received == 0 and changed.pk != again.pk


def test_a_file_that_is_here_is_not_replaced_by_another_of_its_name(world: World) -> None:
    whole, other = _photo(1), _photo(2) + b"more"
    request, rows = _announce(world, a_dot_jpg=whole)
    _piece(request, rows["a.jpg"], 0, whole)
    second = _announce(world, a_dot_jpg=other)[1]["a.jpg"]
    assert (second.code, second.pk) == ("name_taken", None)
    assert (receiving.folder_of(request) / "a.jpg").read_bytes() == whole
    assert _announce(world, a_dot_jpg=whole)[1]["a.jpg"].received == len(whole)


def test_a_full_disk_ends_a_file_before_the_last_bytes_are_taken(world: World, monkeypatch: Any) -> None:
    whole = _photo(1)
    request, rows = _announce(world, a_dot_jpg=whole)
    monkeypatch.setattr(receiving, "_free", lambda: 100)
    with pytest.raises(SpotIDError, match="no room"):
        _piece(request, rows["a.jpg"], 0, whole)


def test_what_the_disk_lost_is_sent_again(world: World) -> None:
    whole = _photo(1)
    request, rows = _announce(world, a_dot_jpg=whole)
    _piece(request, rows["a.jpg"], 0, whole[:2000])
    arriving = receiving.parts_of(request) / str(rows["a.jpg"].pk)
    arriving.write_bytes(whole[:1200])
    assert _piece(request, rows["a.jpg"], 2000, whole[2000:]) == 1200
    assert _piece(request, rows["a.jpg"], 1200, whole[1200:]) == len(whole)
    assert (receiving.folder_of(request) / "a.jpg").read_bytes() == whole


def test_files_that_are_no_photos_are_refused_by_name_and_reported(world: World, settings: Any) -> None:
    settings.SPOTID_UPLOAD_FILE_MB = 1
    files = {"film_dot_mp4": b"x", "..__evil_dot_jpg": b"x", "empty_dot_jpg": b"", "big_dot_jpg": bytes(1 << 21)}
    request = _sent(world, **files, good_dot_jpg=_photo(3))
    codes = dict(request.files.values_list("relative_path", "code"))
    assert codes == {
        "film.mp4": "video",
        "../evil.jpg": "bad_path",
        "empty.jpg": "empty",
        "big.jpg": "too_large",
        "good.jpg": "",
    }
    request = _ingested(request, world[1])
    assert request.report is not None and request.report.new == 1
    assert set(SkippedPhoto.objects.values_list("relative_path", "code")) == {
        (path, code) for path, code in codes.items() if code
    }
    assert not list(Path(settings.SPOTID_UPLOAD_DIR).parent.rglob("evil*"))


def test_what_did_not_arrive_whole_is_reported(world: World) -> None:
    whole = _photo(1)
    request, rows = _announce(world, a_dot_jpg=whole, b_dot_jpg=_photo(2))
    _piece(request, rows["a.jpg"], 0, whole[:100])
    _piece(request, rows["b.jpg"], 0, _photo(2))
    request = _ingested(request, world[1])
    assert list(SkippedPhoto.objects.values_list("relative_path", "code")) == [("a.jpg", "incomplete")]
    assert Image.objects.count() == 1


def test_a_zip_never_replaces_what_was_sent_beside_it(world: World, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "card.zip", "w") as archive:
        archive.writestr("a.jpg", _photo(2) + b"longer")
    packed, whole = (tmp_path / "card.zip").read_bytes(), _photo(1)
    rows = receiving.files_announce(
        request=receiving.receiving_open(survey=world[0], acting_user=world[1]),
        files=[Announced("card/a.jpg", len(whole), 1000), Announced("card.zip", len(packed), 1000)],
    )
    for row, data in zip(rows, (whole, packed), strict=True):
        _piece(row.request, row, 0, data)
    _ingested(rows[0].request, world[1])
    assert Image.objects.filter(survey=world[0]).count() == 2
    kept = Image.objects.get(survey=world[0], relative_path="card/a.jpg")
    assert Path(kept.source_path).read_bytes() == whole


def test_a_zip_is_unpacked_by_the_worker_and_what_it_refuses_is_named(world: World, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("ST07/A/1.jpg", _photo(1))
        archive.writestr("../evil.jpg", _photo(2))
        archive.writestr("inner.zip", b"PK")
        archive.writestr("notes.txt", b"hello")
        archive.writestr("ST08/torn.jpg", _photo(4)[:300])
    request = _ingested(_sent(world, season_dot_zip=(tmp_path / "s.zip").read_bytes()), world[1])
    assert request.state == "done", request.error
    image = Image.objects.select_related("station").get()
    assert image.station is not None and (image.station.code, image.camera) == ("ST07", "A")
    assert image.relative_path == "season/ST07/A/1.jpg"
    codes = dict(SkippedPhoto.objects.values_list("relative_path", "code"))
    assert codes.pop("season/ST08/torn.jpg")
    assert codes == {
        "season.zip/../evil.jpg": "zip_path",
        "season.zip/inner.zip": "zip_nested",
        "season/notes.txt": "not_photo",
    }
    kept = {path.name for path in receiving.folder_of(request).parent.rglob("*") if path.is_file()}
    assert kept == {"1.jpg"}


def test_photos_that_the_survey_has_are_not_kept_twice(world: World) -> None:
    first = _ingested(_sent(world, ST01__1_dot_jpg=_photo(1)), world[1])
    second = _ingested(_sent(world, ST01__1_dot_jpg=_photo(1), ST01__2_dot_jpg=_photo(2)), world[1])
    assert first.pk != second.pk and second.report is not None
    assert (second.report.new, second.report.skipped) == (1, 1)
    kept = {path.name for path in receiving.folder_of(second).rglob("*") if path.is_file()}
    assert kept == {"2.jpg"}
    assert all(Path(path).is_file() for path in Image.objects.values_list("source_path", flat=True))


def test_a_request_whose_worker_died_is_taken_up_again(world: World, settings: Any, monkeypatch: Any) -> None:
    request = _sent(world, ST01__1_dot_jpg=_photo(1))
    receiving.receiving_finish(request=request, acting_user=world[1])
    put: list[int] = []
    monkeypatch.setattr("identification.services.reconcile.ingest_enqueue", lambda request_id: put.append(request_id))
    IngestRequest.objects.filter(pk=request.pk).update(state="running", attempts=1, lease_until=make.START)
    reconcile()
    assert put == [request.pk]
    assert ingest_request_run(request_id=request.pk) and not ingest_request_run(request_id=request.pk)
    assert Image.objects.count() == 1
    settings.SPOTID_MAX_ATTEMPTS = 2
    IngestRequest.objects.filter(pk=request.pk).update(state="running", attempts=2, lease_until=make.START)
    reconcile()
    request.refresh_from_db()
    assert request.state == "failed" and "died 2 times" in request.error


def test_a_worker_that_is_to_stop_gives_an_ingest_back(world: World) -> None:
    request = _sent(world, ST01__1_dot_jpg=_photo(1))
    receiving.receiving_finish(request=request, acting_user=world[1])
    stopping_announce()
    assert ingest_request_run(request_id=request.pk)
    request.refresh_from_db()
    assert (request.state, request.attempts, request.lease_until) == ("pending", 0, None)
    stopping_withdraw()
    assert ingest_request_run(request_id=request.pk)
    request.refresh_from_db()
    assert (request.state, request.attempts) == ("done", 1) and world[0].images.count() == 1


def test_what_failed_is_tried_again_by_itself_and_then_by_a_person(
    world: World, monkeypatch: Any, settings: Any
) -> None:
    settings.SPOTID_MAX_ATTEMPTS = 2
    request = _sent(world, ST01__1_dot_jpg=_photo(1))
    receiving.receiving_finish(request=request, acting_user=world[1])
    with pytest.raises(SpotIDError, match="Only what failed"):
        receiving.request_retry(request=request, acting_user=world[1])

    def full(**kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("identification.services.receiving_run.survey_ingest", full)
        for state in ("pending", "failed"):
            assert ingest_request_run(request_id=request.pk)
            request.refresh_from_db()
            assert request.state == state and "No space left" in request.error
    assert not ingest_request_run(request_id=request.pk)
    receiving.request_retry(request=request, acting_user=world[1])
    assert ingest_request_run(request_id=request.pk)
    request.refresh_from_db()
    assert (request.state, request.error, Image.objects.count()) == ("done", "", 1)


def test_a_folder_that_is_gone_fails_at_once_in_words(world: World, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    settings.SPOTID_INGEST_ROOTS = [str(tmp_path / "cards")]
    request = receiving.folder_request(survey=world[0], acting_user=world[1], folder=str(tmp_path / "cards"))
    (tmp_path / "cards").rmdir()
    assert ingest_request_run(request_id=request.pk)
    request.refresh_from_db()
    assert request.state == "failed" and "There is no folder" in request.error
    client = Client()
    client.force_login(world[1])
    (tmp_path / "cards").mkdir()
    page = client.get(reverse("survey-ingest", args=[world[0].pk])).content.decode()
    assert "Try again" in page and "There is no folder" in page
    client.post(reverse("ingest-retry", args=[world[0].pk]), {"request": request.pk})
    assert ingest_request_run(request_id=request.pk)
    request.refresh_from_db()
    assert request.state == "done"


def _moved(settings: Any) -> Path:
    """The home's originals, after the home was moved."""
    old = Path(settings.SPOTID_UPLOAD_DIR)
    new = old.parent / "photos" / "another home" / old.name
    (old.parent / "on the way").mkdir()
    old.rename(old.parent / "on the way" / old.name)
    new.parent.mkdir(parents=True)
    (old.parent / "on the way" / old.name).rename(new)
    settings.SPOTID_UPLOAD_DIR = new
    return new


def test_originals_are_found_after_the_home_was_moved(world: World, settings: Any) -> None:
    survey, user = world
    _ingested(_sent(world, photos__ST01__1_dot_jpg=_photo(1)), user)
    image = Image.objects.get()
    new = _moved(settings)
    assert not Path(image.source_path).exists()
    assert (
        openable_path(image.source_path).read_bytes() == _photo(1) and new in openable_path(image.source_path).parents
    )
    client = make.client_of(survey, Role.CURATOR, places=True)
    answer = client.get(reverse("media", args=["original", image.pk]))
    assert b"".join(answer.streaming_content) == _photo(1)
    elsewhere = "/data/photos/2024/ridge/1.jpg"
    assert str(openable_path(elsewhere)) == elsewhere, "only what lay in a home is looked for in this one"


def test_a_delivery_that_goes_on_after_the_home_was_moved_loses_nothing(world: World, settings: Any) -> None:
    request = _ingested(_sent(world, ST01__1_dot_jpg=_photo(1), ST01__2_dot_jpg=_photo(2)), world[1])
    new = _moved(settings)
    IngestRequest.objects.filter(pk=request.pk).update(state="running", attempts=1, lease_until=make.START, report=None)
    assert ingest_request_run(request_id=request.pk)
    assert Image.objects.count() == 2 and {path.name for path in new.rglob("*.jpg")} == {"1.jpg", "2.jpg"}
    assert all(openable_path(path).is_file() for path in Image.objects.values_list("source_path", flat=True))


def test_what_arrived_can_be_deleted(world: World, django_capture_on_commit_callbacks: Any) -> None:
    request = _sent(world, ST01__1_dot_jpg=_photo(1))
    place = receiving.folder_of(request)
    assert place.is_dir()
    with django_capture_on_commit_callbacks(execute=True):
        receiving.receiving_discard(request=request, acting_user=world[1])
    assert not place.exists() and not IngestRequest.objects.exists()


def test_a_request_that_was_handed_over_receives_no_more(world: World) -> None:
    request, rows = _announce(world, a_dot_jpg=_photo(1))
    receiving.receiving_finish(request=request, acting_user=world[1])
    with pytest.raises(SpotIDError, match="handed over"):
        _piece(request, rows["a.jpg"], 0, _photo(1))


def test_folders_are_read_below_the_roots_only(world: World, settings: Any, tmp_path: Path) -> None:
    survey, user = world
    inside, outside = tmp_path / "cards" / "ST05", tmp_path / "private"
    inside.mkdir(parents=True)
    outside.mkdir()
    (inside / "1.jpg").write_bytes(_photo(1))
    (tmp_path / "cards" / "link").symlink_to(outside)
    for folder in (inside, "", "/"):
        with pytest.raises(SpotIDError, match="no folder from which"):
            receiving.folder_request(survey=survey, acting_user=user, folder=str(folder))
    settings.SPOTID_INGEST_ROOTS = [str(tmp_path / "cards"), str(tmp_path / "absent")]
    assert receiving.ingest_roots() == [tmp_path / "cards"]
    for folder in (outside, tmp_path / "cards/../private", tmp_path / "cards/link", tmp_path / "cards-else", "a\x00b"):
        with pytest.raises(SpotIDError, match="no folder from which"):
            receiving.folder_request(survey=survey, acting_user=user, folder=str(folder))
    assert receiving.folders_below(tmp_path / "cards") == [inside]
    request = receiving.folder_request(survey=survey, acting_user=user, folder=str(tmp_path / "cards"))
    with pytest.raises(SpotIDError, match="being read already"):
        receiving.folder_request(survey=survey, acting_user=user, folder=str(tmp_path / "cards"))
    assert ingest_request_run(request_id=request.pk)
    assert Image.objects.get().source_path == str(inside / "1.jpg") and (inside / "1.jpg").is_file()


def test_a_table_of_stations_sets_places(world: World) -> None:
    survey, user = world
    make.make_station(survey, "ST01", latitude=1.0, longitude=1.0)
    rows = station_rows("\ufeffLat;Station;Lon\r\n27,5;ST01;84,25\r\n\r\n-1.5;'=ST02;-84\r\n".encode())
    assert stations_place(survey=survey, acting_user=user, rows=rows) == (1, 1)
    places = set(survey.stations.values_list("code", "latitude", "longitude"))
    assert places == {("ST01", 27.5, 84.25), ("=ST02", -1.5, -84.0)}
    entry = AuditEntry.objects.get(action="stations.place")
    assert entry.after["stations"] == ["ST01", "=ST02"] and "27.5" not in str(entry.after)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing: station, latitude, longitude"),
        ("station,lat\nA,1", "missing: longitude"),
        ("station,lat,lon\n", "holds no station"),
        ("station,lat,lon\nA,1", "Line 2 has too few"),
        ("station,lat,lon\nA,1,2\nA,1,2", "Line 3: A stands in the table twice"),
        ("station,lat,lon\n,1,2", "Line 2 names no station"),
        ("station,lat,lon\nA\x00B,1,2", "Line 2 names no station"),
        ("station,lat,lon\nA,91,2", "Line 2: latitude"),
        ("station,lat,lon\nA,1,nan", "Line 2: longitude"),
        ("station,lat,lon\nA,north,2", "Line 2: latitude"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(text: str, words: str) -> None:
    with pytest.raises(SpotIDError, match=words):
        station_rows(text.encode())


def test_a_table_in_another_encoding_is_refused() -> None:
    with pytest.raises(SpotIDError, match="UTF-8"):
        station_rows("station,lat,lon\nÄ,1,2".encode("latin-1"))
