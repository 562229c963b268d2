"""The record table of camtrapR, Wildbook's sheet, the manifest, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from identification.errors import SpotIDError
from identification.exports import ExportOptions, Files, Format, export_write
from identification.exports.camtrapr import records_of
from identification.exports.folders import csv_line
from identification.exports.options import formats_of
from identification.models import AuditEntry, CameraOperation, Decision, Image, LinkProposal, Station, Survey
from identification.services.events import events_rebuild
from identification.services.individuals import individual_rename
from identification.spreadsheets import restore
from tests.identification import factories as make
from tests.identification.export_season import PLACES, Season, make_season

pytestmark = pytest.mark.django_db


@pytest.fixture
def season(tmp_path):
    folder = tmp_path / "originals"
    folder.mkdir()
    return make_season(folder)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def export(out, *seasons, formats, **options):
    asked = ExportOptions(formats=formats_of(formats), **options)
    surveys = [one.survey for one in seasons]
    return export_write(population=surveys[0].population, surveys=surveys, out=out, options=asked)


def table(file):
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def tree(out):
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file()
    }


def test_the_record_table_holds_the_independent_records_counted_by_hand(season, out):
    export(out, season, formats=["camtrapr"])
    rows = table(out / "camtrapr/record_table.csv")
    short = [
        (row["Station"], row["Individual"], row["DateTimeOriginal"], row["delta.time.secs"], row["n_images"])
        for row in rows
    ]
    assert short == [
        ("Höhle_3", "L-0003", "2024-03-03 06:00:00", "0", "1"),
        ("Höhle_3", "L-0003", "2024-03-06 06:00:00", "259200", "1"),
        ("RIVER", "L-0001", "2024-03-04 23:59:00", "0", "1"),
        ("RIVER", "L-0002", "2024-03-02 06:00:00", "0", "2"),
        ("RIVER", "L-0004", "2024-03-02 21:00:00", "0", "1"),
        ("RIVER", "L-0004", "2024-03-03 06:00:00", "32400", "1"),
        ("ST 01", "L-0001", "2024-03-01 06:00:00", "0", "2"),
        ("ST 01", "L-0002", "2024-03-05 00:00:00", "0", "1"),
    ]
    assert (rows[1]["delta.time.mins"], rows[1]["delta.time.hours"], rows[1]["delta.time.days"]) == (
        "4320.0", "72.0", "3.0",
    )  # fmt: skip
    assert (rows[2]["Date"], rows[2]["Time"], rows[2]["Species"]) == ("2024-03-04", "23:59:00", "Panthera pardus")
    assert rows[2]["Directory"] == "RIVER/A" and rows[2]["FileName"].endswith(".JPG")
    out_rows = table(out / "camtrapr/left_out.csv")
    assert len(out_rows) == 3 and {row["reason"] for row in out_rows} == {
        "decisions on its group contradict each other"
    }


def test_cameras_are_set_up_and_retrieved_with_their_problems(season, out):
    river = Station.objects.get(survey=season.survey, code="RIVER")
    CameraOperation.objects.create(
        station=river, camera="A", set_up=date(2024, 2, 28), retrieved=date(2024, 3, 10),
        problems=[["2024-03-07", "2024-03-08"]],
    )  # fmt: skip
    export(out, season, formats=["camtrapr"])
    rows = {(row["Station"], row["Camera"]): row for row in table(out / "camtrapr/camera_operation.csv")}
    assert list(rows) == [("Höhle_3", "A"), ("RIVER", "A"), ("ST 01", "A"), ("ST 01", "B")]
    assert list(rows["RIVER", "A"].values())[2:] == ["2024-02-28", "2024-03-10", "2024-03-07", "2024-03-08"]
    assert "latitude" not in rows["RIVER", "A"]
    export(out, season, formats=["camtrapr"], with_places=True)
    rows = {(row["Station"], row["Camera"]): row for row in table(out / "camtrapr/camera_operation.csv")}
    assert rows["RIVER", "A"]["utm_zone"] == "EPSG:32645" and rows["RIVER", "A"]["latitude"] == "27.5712"


def test_hours_of_one_camera_give_all_of_them_hours(season, out):
    river = Station.objects.get(survey=season.survey, code="RIVER")
    CameraOperation.objects.create(
        station=river, set_up=date(2024, 2, 28), retrieved=date(2024, 3, 10),
        problems=[["2024-03-07", "2024-03-08"], ["2024-03-09T17:30", "2024-03-09T18:00"]],
    )  # fmt: skip
    export(out, season, formats=["camtrapr"])
    rows = {(row["Station"], row["Camera"]): list(row.values()) for row in table(out / "camtrapr/camera_operation.csv")}
    assert rows["RIVER", ""][2:] == [
        "2024-02-28 12:00", "2024-03-10 12:00", "2024-03-07 00:00", "2024-03-09 00:00", "2024-03-09 17:30",
        "2024-03-09 18:00",
    ]  # fmt: skip
    assert rows["ST 01", "A"][2] == "2024-03-01 06:00"


def test_wildbook_has_a_row_for_each_animal_and_visit(season, out):
    export(out, season, formats=["wildbook"], files=Files.IDENTIFIED)
    rows = table(out / "wildbook/bulk_import_01.csv")
    assert [row["Encounter.individualID"] for row in rows] == [
        "L-0001", "L-0001", "L-0002", "L-0002", "L-0003", "L-0003", "L-0004", "L-0004",
    ]  # fmt: skip
    first = rows[0]
    assert (first["Encounter.genus"], first["Encounter.specificEpithet"]) == ("Panthera", "pardus")
    when = [first[f"Encounter.{part}"] for part in ("year", "month", "day", "hour", "minutes")]
    assert when == ["2024", "3", "1", "6", "0"]
    assert first["Encounter.mediaAsset1"] and not rows[1]["Encounter.mediaAsset1"]
    assert first["Encounter.verbatimLocality"] == "ST 01" and first["Encounter.sex"] == "female"
    assert "Encounter.decimalLatitude" not in first
    names = {row[f"Encounter.mediaAsset{at}"] for row in rows for at in range(2)} - {""}
    assert names == {path.name for path in (out / "wildbook/photos").iterdir()} and len(names) == 10
    assert all(set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789. ") for name in names)
    export(out, season, formats=["wildbook"], with_places=True)
    first = table(out / "wildbook/bulk_import_01.csv")[0]
    assert (first["Encounter.decimalLatitude"], first["Encounter.decimalLongitude"]) == ("27.5601", "84.2012")


def test_wildbook_gets_at_most_two_hundred_encounters_a_sheet(tmp_path, out):
    season = Season(tmp_path)
    animal = make.make_sighting(season.survey, captured_at=make.START)
    for at in range(1, 203):
        other = make.make_detection(
            make.make_image(
                season.survey,
                station=season.stations["RIVER"],
                captured_at=make.START + timedelta(hours=at),
                files=False,
            ),
            files=False,
        )
        season.joined(animal, other)
    events_rebuild(survey=season.survey)
    export(out, season, formats=["wildbook"])
    sizes = [len(table(file)) for file in sorted((out / "wildbook").glob("bulk_import_*.csv"))]
    assert sizes == [200, 3]


EVERYTHING = list(Format)


def test_everything_twice_gives_the_same_bytes_and_a_checksum_for_every_file(season, tmp_path):
    for name in ("one", "two"):
        export(tmp_path / name, season, formats=EVERYTHING, with_places=True, files=Files.ALL)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    found = tree(tmp_path / "one")
    manifest = json.loads((tmp_path / "one/manifest.json").read_text(encoding="utf-8"))
    del found["manifest.json"]
    assert manifest["files"] == found
    assert manifest["formats"] == [str(name) for name in Format]
    assert manifest["about"]["secr"]["projection"] == "EPSG:32645, UTM zone 45N"
    assert manifest["spotid_version"] == "0.1.0" and manifest["with_places"] is True
    assert manifest["filters"]["occasion_days"] == 1
    entry = AuditEntry.objects.filter(action="survey.export").first()
    assert entry is not None and entry.after["with_places"] is True and "secr" in entry.after["formats"]


def test_the_table_alone_needs_no_photo_file(season, out):
    for file in season.originals.iterdir():
        file.unlink()
    result = export(out, season, formats=["csv"])
    assert sorted(path.name for path in out.iterdir()) == ["leopard_matches.csv", "manifest.json"]
    assert len(table(out / "leopard_matches.csv")) == 13 and result.missing == ()


def test_a_proposal_that_nobody_confirmed_joins_nothing(tmp_path, out):
    season = Season(tmp_path)
    first, second = season.photo(1, "RIVER", "left"), season.photo(1, "RIVER", "left", at="06:01")
    proposal = LinkProposal.objects.create(
        survey=season.survey, kind="same_event", key="k", started_at=make.START, seconds=60
    )
    proposal.detections.set([first, second])
    make.make_candidate(first, second, probability=0.9999)
    assert not Decision.objects.exists()
    export(out, season, formats=list(Format), with_places=True)
    everything = "".join(path.read_text(encoding="utf-8") for path in out.rglob("*.csv"))
    assert "L-000" not in everything


def test_formulas_in_names_are_neutralised_and_come_back_and_numbers_stay_numbers(season, out):
    from identification.models import Individual

    bad = "=cmd|' /C calc'!A0"
    individual_rename(acting_user=season.user, individual=Individual.objects.get(number=3), name=bad)
    Station.objects.filter(survey=season.survey, code="RIVER").update(code="@RIVER", latitude=-27.5, longitude=-84.25)
    Survey.objects.filter(pk=season.survey.pk).update(name="-Valley")
    season.survey.refresh_from_db()
    export(out, season, formats=["csv", "camtrapdp", "camtrapr", "wildbook", "encounters"], with_places=True)
    for file in sorted(out.rglob("*.csv")):
        for row in table(file):
            for column, cell in row.items():
                numeric = column in {"latitude", "longitude", "utm_x", "utm_y"} or column.startswith(
                    "Encounter.decimal"
                )
                assert numeric or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), (file, column, cell)
    places = {row["Station"]: row["latitude"] for row in table(out / "camtrapr/camera_operation.csv")}
    assert places["'@RIVER"] == "-27.5"
    names = {restore(row["name"]) for row in table(out / "encounters/encounters_left.csv")}
    assert bad in names


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**9), 10**9)))
def test_a_number_in_a_cell_reads_back_as_itself(number):
    (cell,) = next(csv.reader([csv_line([number])]))
    assert float(cell) == number


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"formats": ["xlsx"]}, "There are: folders, csv, camtrapdp"),
        ({"formats": []}, "at least one"),
        ({"formats": ["csv"], "occasion_days": 0}, "1 to 366"),
        ({"formats": ["csv"], "occasion_days": "x"}, "whole number"),
        ({"formats": ["csv"], "first": "1.3.2024"}, "2026-03-31"),
        ({"formats": ["csv"], "first": "2024-03-02", "last": "2024-03-01"}, "before"),
        ({"formats": ["csv"], "files": "some"}, "none, identified, all"),
        ({"formats": ["secr"]}, "exact places"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(said, message):
    with pytest.raises(SpotIDError, match=message):
        ExportOptions.from_json(said)


def test_options_survive_being_stored():
    asked = ExportOptions(
        formats=(Format.CSV, Format.SECR), with_places=True, occasion_days=5, first=date(2024, 3, 1), files=Files.ALL
    )
    assert ExportOptions.from_json(json.loads(json.dumps(asked.as_json()))) == asked


def test_the_command_writes_formats_of_a_survey_and_of_a_population(season, out, capsys):
    call_command("export_survey", "valley 2024", "--formats", "csv,encounters,camtrapr", "--out", str(out))
    told = capsys.readouterr().out
    assert "5 individuals" in told and "camtrapr: records 8" in told
    population = season.survey.population.name
    arguments = (
        "--formats",
        "secr",
        "--with-places",
        "--occasion-days",
        "3",
        "--from",
        "2024-03-01",
        "--to",
        "2024-03-06",
    )
    call_command("export_survey", "--population", population, *arguments, "--out", str(out))
    assert (out / "secr/captures_linked.txt").is_file() and not (out / "encounters").exists()
    with pytest.raises(CommandError, match="exact places"):
        call_command("export_survey", "valley 2024", "--formats", "secr", "--out", str(out))


def test_two_surveys_with_the_same_photo_are_exported_together(season, tmp_path, out):
    second = Season(season.originals, "Again", season.survey.population)
    box = second.photo(1, "ST 01", "left")
    original = Image.objects.get(survey=season.survey, relative_path="ST 01/A/IMG_0000.JPG")
    Image.objects.filter(pk=box.image_id).update(
        sha256=original.sha256, source_path=original.source_path, size_bytes=original.size_bytes
    )
    season.joined(original.detections.get(), box)
    export(out, season, second, formats=["folders"])
    rows = [row for row in table(out / "leopard_matches.csv") if row["sha256"] == original.sha256]
    assert {row["survey"] for row in rows} == {"Valley 2024", "Again"}
    assert len({row["exported_file"] for row in rows}) == 2


def test_nothing_tells_a_place_without_the_permission_in_any_format(season, out):
    """GPS of photos, coordinates of stations and where the originals lie; secr is refused without places."""
    exif = Pillow.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (27.0, 34.0, 12.5), 3: "E", 4: (84.0, 15.0, 11.0)})
    buffer = io.BytesIO()
    Pillow.fromarray(make.frame_pixels(99)).save(buffer, "JPEG", exif=exif)
    for image in Image.objects.filter(survey=season.survey):
        # Every file has GPS, and a last byte of its own.
        data = buffer.getvalue()[:-2] + b"\xff\xfe\x00\x03" + bytes([image.pk % 256]) + b"\xff\xd9"
        Path(image.source_path).write_bytes(data)
        Image.objects.filter(pk=image.pk).update(
            sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), gps_latitude=27.57, gps_longitude=84.2531
        )
    formats = [name for name in Format if name != Format.SECR]
    export(out, season, formats=formats, files=Files.ALL)
    everything = b"".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())
    secret = [str(degrees) for place in PLACES.values() for degrees in place]
    for word in (*secret, "27.57", "84.2531", str(season.originals)):
        assert word.encode() not in everything
    photos = [path for path in out.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"}]
    assert len(photos) >= 30
    for path in photos:
        with Pillow.open(path) as picture:
            assert not picture.getexif().get_ifd(0x8825)


def test_photos_with_people_stay_behind_in_wildbook_too(season, out):
    image = Image.objects.get(survey=season.survey, relative_path="ST 01/A/IMG_0000.JPG")
    Image.objects.filter(pk=image.pk).update(has_person=True)
    export(out, season, formats=["wildbook"], files=Files.ALL)
    assert len(list((out / "wildbook/photos").iterdir())) == 9
    rows = table(out / "wildbook/left_out.csv")
    assert [row["reason"] for row in rows if row["what"] == image.relative_path] == [
        "it shows people: the file stays behind"
    ]


def test_files_of_photos_that_nothing_has_looked_at_stay_behind_too(season, out):
    image = Image.objects.get(survey=season.survey, relative_path="ST 01/A/IMG_0000.JPG")
    Image.objects.filter(pk=image.pk).update(detector="")
    export(out, season, formats=["wildbook", "camtrapdp"], files=Files.ALL)
    assert len(list((out / "wildbook/photos").iterdir())) == 9
    rows = table(out / "wildbook/left_out.csv")
    assert ["may show people" in row["reason"] for row in rows if row["what"] == image.relative_path] == [True]
    (medium,) = (row for row in table(out / "camtrapdp/media.csv") if row["mediaID"] == f"m{image.pk}")
    assert not (out / "camtrapdp" / medium["filePath"]).exists() and "may show people" in medium["mediaComments"]


def test_independent_records_are_told_by_time_where_clocks_are_set_back():
    zone = ZoneInfo("Europe/Madrid")

    def sighting(number, hour, minute):
        at = datetime(2024, 10, 27, hour, minute, tzinfo=UTC).astimezone(zone)
        photo = SimpleNamespace(
            captured_at=at, station_id=1, station="ST01", clock_suspect=False, relative_path=str(number), id=number
        )
        return SimpleNamespace(conflict=False, photo=photo, individual=SimpleNamespace(number=1), detection_id=number)

    # By the clock 02:50, 02:10, 03:20; at one o'clock UTC it went from three back to two.
    rows = [sighting(1, 0, 50), sighting(2, 1, 10), sighting(3, 2, 20)]
    found, _ = records_of(rows, SimpleNamespace(independence_minutes=60, name="Season"))
    assert [(record.sighting.detection_id, record.seconds, record.images) for record in found] == [
        (1, 0, 2),
        (3, 4200, 1),
    ]
