"""A folder becomes rows: what is new, known, skipped; and nothing happens to the files."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Pillow

from identification.errors import SpotIDError
from identification.models import EncounterEvent, Image, IngestReport, Population, Survey, Work
from identification.services.ingest import survey_ingest

pytestmark = pytest.mark.django_db


def write_photo(path: Path, seed: int = 0, *, taken: str = "", size: tuple[int, int] = (320, 240)) -> Path:
    """A little JPEG whose bytes depend on the seed; `taken` as EXIF writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    picture = Pillow.fromarray(pixels)
    exif = Pillow.Exif()
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    picture.save(path, "JPEG", exif=exif)
    return path


def ingest(root: Path, name: str = "Season 1", **values):
    return survey_ingest(root=root, survey_name=name, **values)


def test_an_empty_folder_makes_a_survey_without_photos_and_exits_with_1(tmp_path) -> None:
    with pytest.raises(CommandError, match="Nothing could be read"):
        call_command("ingest", str(tmp_path), "--survey", "Empty")
    assert Survey.objects.get().images.count() == 0


def test_a_folder_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(CommandError, match=r"There is no folder .*nowhere"):
        call_command("ingest", str(tmp_path / "nowhere"), "--survey", "S")
    assert not Survey.objects.exists()


def test_station_camera_time_and_zone_come_from_folders_and_exif(tmp_path) -> None:
    write_photo(tmp_path / "ST01" / "A" / "IMG_0001.JPG", taken="2024:03:01 06:30:00")
    ingest(tmp_path, time_zone="Asia/Kolkata", population_name="Leopards of Sariska")
    image = Image.objects.get()
    assert (image.station.code, image.camera) == ("ST01", "A")
    assert image.captured_at == datetime(2024, 3, 1, 1, 0, tzinfo=UTC)
    assert image.captured_source == "exif"
    assert image.survey.population.name == "Leopards of Sariska"
    assert image.sha256 == hashlib.sha256((tmp_path / "ST01/A/IMG_0001.JPG").read_bytes()).hexdigest()
    assert Work.objects.get().state == "pending"


@pytest.mark.parametrize(
    ("name", "station", "camera", "taken"),
    [
        ("BG-102B-2019-03-01_19-49-36.jpg", "BG-102", "B", datetime(2019, 3, 1, 19, 49, 36, tzinfo=UTC)),
        ("StationA__2009-04-28__17-48-00(3).JPG", "StationA", "", datetime(2009, 4, 28, 17, 48, tzinfo=UTC)),
    ],
)
def test_time_and_station_come_from_the_file_name(tmp_path, name, station, camera, taken) -> None:
    write_photo(tmp_path / name)
    ingest(tmp_path)
    image = Image.objects.get()
    assert (image.station.code, image.camera, image.captured_at, image.captured_source) == (
        station,
        camera,
        taken,
        "name",
    )


def test_an_unknown_time_is_said(tmp_path, capsys) -> None:
    write_photo(tmp_path / "ST01" / "picture.jpg")
    call_command("ingest", str(tmp_path), "--survey", "S")
    assert "1 of the new photos say nowhere when they were taken" in capsys.readouterr().out
    assert Image.objects.get().captured_at is None


def test_a_pattern_names_station_and_camera(tmp_path) -> None:
    write_photo(tmp_path / "north" / "cam7" / "left_0001.jpg")
    ingest(tmp_path, station_pattern=r"cam(?P<station>\d+)/(?P<camera>left|right)")
    image = Image.objects.get()
    assert (image.station.code, image.camera) == ("7", "left")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"station_pattern": "("}, "not a valid regular expression"),
        ({"station_pattern": "ST"}, "group named station"),
        ({"time_zone": "Mars/Olympus"}, "no time zone"),
        ({"edges": Path("/nowhere")}, "no folder /nowhere"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(tmp_path, values, message) -> None:
    with pytest.raises(SpotIDError, match=message):
        ingest(tmp_path, **values)
    assert not Survey.objects.exists()


def test_repeating_adds_only_what_is_new_and_opens_nothing_known(tmp_path, monkeypatch) -> None:
    for number in range(3):
        write_photo(tmp_path / "ST01" / f"{number}.jpg", number)
    first = ingest(tmp_path)
    assert (first.new, first.known) == (3, 0)
    write_photo(tmp_path / "ST01" / "new.JPEG", 9)
    opened = []
    from identification.inference import photos

    real = photos.content_hash
    monkeypatch.setattr(photos, "content_hash", lambda found: opened.append(found.relative_path) or real(found))
    again = ingest(tmp_path)
    assert (again.new, again.known) == (1, 3)
    assert opened == ["ST01/new.JPEG"]
    assert [report.new for report in IngestReport.objects.order_by("pk")] == [3, 1]


def test_the_same_content_is_kept_once_and_the_copy_is_said(tmp_path) -> None:
    write_photo(tmp_path / "a.jpg", 1)
    shutil.copy(tmp_path / "a.jpg", tmp_path / "b.jpg")
    result = ingest(tmp_path)
    assert result.new == 1
    assert [(path, code) for path, code, _ in result.skipped] == [("b.jpg", "duplicate")]


def test_the_same_name_in_two_folders_is_two_photos(tmp_path) -> None:
    write_photo(tmp_path / "ST01" / "8A.jpg", 1)
    write_photo(tmp_path / "ST02" / "8A.jpg", 2)
    write_photo(tmp_path / "ST02" / "118A.jpg", 3)
    assert ingest(tmp_path).new == 3


def test_a_moved_folder_is_followed(tmp_path) -> None:
    write_photo(tmp_path / "old" / "ST01" / "a.jpg", 1)
    ingest(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    result = ingest(tmp_path / "new")
    assert (result.new, result.known, result.skipped) == (0, 1, [])
    assert Image.objects.get().source_path == str(tmp_path / "new" / "ST01" / "a.jpg")


def test_bad_files_are_listed_with_name_and_reason_and_the_rest_goes_on(tmp_path, capsys) -> None:
    good = write_photo(tmp_path / "good.jpg", 1)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html><body>not a photo</body></html>" * 20)
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    write_photo(tmp_path / "tiny.jpg", 2, size=(1, 1))
    (tmp_path / "notes.txt").write_text("hello")
    call_command("ingest", str(tmp_path), "--survey", "S")
    out = capsys.readouterr().out
    assert "1 new" in out
    for name, code in (("empty", "empty"), ("page", "not_image"), ("cut", "truncated"), ("tiny", "too_small")):
        assert any(f"{name}.jpg" in line and f"[{code}]" in line for line in out.splitlines()), (name, out)
    assert IngestReport.objects.get().files.count() == 5


def test_originals_are_never_changed(tmp_path) -> None:
    path = write_photo(tmp_path / "ST01" / "a.jpg", 1)
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
    ingest(tmp_path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["ST01", "a.jpg"]


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_time(tmp_path, monkeypatch) -> None:
    path = write_photo(tmp_path / "a.jpg", 1)
    from identification.inference import photos

    real_walk = photos.walk

    def walk_then_touch(root):
        entries = list(real_walk(root))
        os.utime(path, ns=(1, 1))
        return iter(entries)

    monkeypatch.setattr(photos, "walk", walk_then_touch)
    result = ingest(tmp_path)
    assert (result.new, [code for _, code, _ in result.skipped]) == (0, ["changed"])
    monkeypatch.undo()
    assert ingest(tmp_path).new == 1


def test_names_that_are_not_utf8_or_hold_odd_characters_are_kept(tmp_path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9 \xf0.jpg"
    write_photo(tmp_path / "plain.jpg", 1)
    shutil.copy(tmp_path / "plain.jpg", tmp_path / "x.jpg")
    write_photo(tmp_path / "x.jpg", 2)
    os.rename(tmp_path / "x.jpg", odd)  # noqa: PTH104  (bytes)
    write_photo(tmp_path / "new\nline \u202egpj.jpg", 3)
    assert ingest(tmp_path).new == 3
    assert any("\\xe9" in name for name in Image.objects.values_list("relative_path", flat=True))
    from identification.inference.photos import openable_path

    assert all(openable_path(path).exists() for path in Image.objects.values_list("source_path", flat=True))


def test_a_clock_change_is_flagged(tmp_path) -> None:
    write_photo(tmp_path / "gap.jpg", 1, taken="2024:03:31 02:30:00")
    write_photo(tmp_path / "twice.jpg", 2, taken="2024:10:27 02:30:00")
    ingest(tmp_path, time_zone="Europe/Berlin")
    flags = dict(Image.objects.values_list("relative_path", "flags"))
    assert "clock_change_gap" in flags["gap.jpg"]
    assert "clock_change_twice" in flags["twice.jpg"]


def test_photos_of_one_station_within_the_interval_are_one_event(tmp_path) -> None:
    for number, taken in enumerate(("06:00:00", "06:20:00", "06:45:00", "08:00:00")):
        write_photo(tmp_path / "ST01" / f"{number}.jpg", number, taken=f"2024:03:01 {taken}")
    write_photo(tmp_path / "ST02" / "9.jpg", 9, taken="2024:03:01 06:00:00")
    ingest(tmp_path)
    sizes = sorted(event.images.count() for event in EncounterEvent.objects.all())
    assert sizes == [1, 1, 3]


def test_a_survey_keeps_its_population_and_kind(tmp_path) -> None:
    write_photo(tmp_path / "a.jpg", 1)
    ingest(tmp_path, population_name="North")
    with pytest.raises(SpotIDError, match="belongs to the population North"):
        ingest(tmp_path, population_name="South")
    with pytest.raises(SpotIDError, match="holds whole photos"):
        ingest(tmp_path, crops_only=True)
    assert Population.objects.count() == 1


def test_finished_crops_have_no_stations_and_take_their_edge_maps(tmp_path) -> None:
    write_photo(tmp_path / "crops" / "Asha" / "one.jpg", 1)
    write_photo(tmp_path / "crops" / "Asha" / "two.jpg", 2)
    edges = tmp_path / "edges" / "Asha"
    edges.mkdir(parents=True)
    Pillow.new("L", (320, 240), 255).save(edges / "one.png")
    result = ingest(tmp_path / "crops", crops_only=True, edges=tmp_path / "edges")
    images = {image.name: image for image in Image.objects.all()}
    assert images["one.jpg"].station is None
    assert images["one.jpg"].edges_path == str(edges / "one.png")
    assert [code for _, code, _ in result.skipped] == ["no_edge_map"]


def test_gps_is_kept_apart_from_the_other_exif(tmp_path) -> None:
    picture = Pillow.new("RGB", (320, 240))
    exif = Pillow.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (27.0, 30.0, 0.0), 3: "E", 4: (76.0, 24.0, 0.0)})
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    ingest(tmp_path)
    image = Image.objects.get()
    assert (image.gps_latitude, image.gps_longitude) == pytest.approx((27.5, 76.4))
    assert "27" not in str(image.exif) and image.exif["Make"] == "Maker"


def test_an_ingest_that_was_killed_is_completed_by_the_next(tmp_path, monkeypatch) -> None:
    from identification.services import ingest as module

    write_photo(tmp_path / "ST01" / "a.jpg", 1, taken="2024:03:01 06:00:00")
    survey = ingest(tmp_path).survey
    Survey.objects.update(matching_state="done")
    write_photo(tmp_path / "ST01" / "b.jpg", 2, taken="2024:03:02 06:00:00")
    monkeypatch.setattr(module.IngestRun, "finish", lambda self, acting_user: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ingest(tmp_path)
    monkeypatch.undo()
    assert ingest(tmp_path).new == 0
    survey.refresh_from_db()
    assert survey.matching_state == "stale"
    assert not Image.objects.filter(event=None).exists()


def test_a_name_that_is_too_long_is_refused_with_its_reason(tmp_path) -> None:
    with pytest.raises(SpotIDError, match="at most 200 characters"):
        ingest(tmp_path, "x" * 201)
