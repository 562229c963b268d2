"""What an export writes: the folder, the table, the manifest, and what happens to what was there."""

import csv
import hashlib
import io
import itertools
import json
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Pillow

from identification.errors import SpotIDError
from identification.exports import survey_export, survey_export_zip
from identification.exports.folders import CSV_NAME, MANIFEST_NAME
from identification.models import AuditEntry, Detection, Individual
from identification.services.decisions import decision_record
from identification.services.individuals import individual_declare, individual_rename
from tests.identification.factories import (
    frame_pixels,
    jpeg,
    make_detection,
    make_image,
    make_station,
    make_survey,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def originals(tmp_path):
    folder = tmp_path / "originals"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def photographed(survey, originals, path, *, data=None, station="ST01", **values) -> Detection:
    """A detection on a photo whose original file is there, as ingest would have read it."""
    number = survey.images.count()
    data = data if data is not None else jpeg(frame_pixels(number + 1))
    file = originals / f"{number}-{Path(path).name}"
    file.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    image = make_image(
        survey,
        station=make_station(survey, station),
        relative_path=path,
        source_path=str(file),
        sha256=sha256,
        **values,
    )
    image.size_bytes = len(data)
    image.save(update_fields=["size_bytes"])
    return make_detection(image, files=False)


def match(user, *detections, verdict="match", **options):
    for first, second in itertools.pairwise(detections):
        decision_record(acting_user=user, first=first, second=second, verdict=verdict, **options)


def table(out):
    with (out / CSV_NAME).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def tree(out):
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def pair(originals):
    """A survey with one matched animal on two photos, and a photo that nobody decided."""
    survey, user = make_survey(name="Valley 2024", time_zone="Asia/Kolkata"), make_user("asha")
    first = photographed(survey, originals, "ST01/A/IMG_0001.JPG")
    second = photographed(survey, originals, "ST02/B/IMG_0001.JPG", station="ST02", camera="B")
    photographed(survey, originals, "ST02/B/IMG_0009.JPG", station="ST02")
    match(user, first, second)
    return survey, user, first, second


def test_with_nothing_decided_the_table_has_its_header_only(out):
    result = survey_export(survey=make_survey(), out=out)
    assert (result.individuals, result.photos, result.missing) == (0, 0, ())
    (line,) = (out / CSV_NAME).read_text(encoding="utf-8").splitlines()
    assert line.startswith("Image Path,Leopard ID,x1,y1,x2,y2,flank,station,camera,captured_at,decided_by,")
    assert sorted(path.name for path in out.iterdir()) == [CSV_NAME, MANIFEST_NAME]


def test_a_matched_animal_has_a_folder_with_its_photos_and_rows(pair, out):
    survey, user, first, _second = pair
    result = survey_export(survey=survey, out=out, acting_user=user)
    assert (result.individuals, result.photos, result.missing) == (1, 2, ())
    rows = table(out)
    assert [row["Image Path"] for row in rows] == ["ST01/A/IMG_0001.JPG", "ST02/B/IMG_0001.JPG"]
    assert {row["Leopard ID"] for row in rows} == {"leopard_1"}
    assert [row["exported_file"] for row in rows] == ["leopard_1/IMG_0001_ST01_A.JPG", "leopard_1/IMG_0001_ST02_B.JPG"]
    assert (rows[0]["x1"], rows[0]["y2"]) == ("160.0", "290.0")
    assert (rows[1]["station"], rows[1]["camera"], rows[1]["flank"]) == ("ST02", "B", "right")
    assert rows[0]["decided_by"] == "asha" and rows[0]["conflict"] == "" and rows[0]["note"] == ""
    assert rows[0]["captured_at"] == first.image.captured_at.astimezone(survey_zone(survey)).isoformat()
    for row in rows:
        assert hashlib.sha256((out / row["exported_file"]).read_bytes()).hexdigest() == row["sha256"]
    assert "original_path" not in rows[0]
    entry = AuditEntry.objects.get(action="survey.export")
    assert (entry.acting_user, entry.after["photos"]) == (user, 2)


def survey_zone(survey):
    import zoneinfo

    return zoneinfo.ZoneInfo(survey.time_zone)


def test_numbers_are_the_individuals_own_and_stay_when_others_go(pair, originals, out):
    survey, user, first, second = pair
    third = photographed(survey, originals, "ST03/A/X.JPG")
    fourth = photographed(survey, originals, "ST03/A/Y.JPG")
    match(user, third, fourth)
    Detection.objects.filter(pk__in=[first.pk, second.pk]).update(usable=False)
    survey_export(survey=survey, out=out)
    assert {row["Leopard ID"] for row in table(out)} == {"leopard_2"}


def test_a_photo_seen_once_is_exported_when_a_person_declares_it(pair, originals, out):
    survey, _user, *_ = pair
    lone = photographed(survey, originals, "ST03/A/X.JPG")
    survey_export(survey=survey, out=out)
    assert len(table(out)) == 2
    individual_declare(acting_user=make_user("bela"), detection=lone)
    survey_export(survey=survey, out=out)
    row = next(row for row in table(out) if row["Image Path"] == "ST03/A/X.JPG")
    assert (row["Leopard ID"], row["decided_by"]) == ("leopard_2", "bela")


def test_an_animal_of_two_surveys_is_exported_where_it_was_seen_once(pair, originals, out):
    survey, user, first, _ = pair
    other = make_survey(survey.population)
    again = photographed(other, originals, "ST01/A/AGAIN.JPG")
    match(user, first, again)
    survey_export(survey=other, out=out)
    assert [(row["Image Path"], row["Leopard ID"]) for row in table(out)] == [("ST01/A/AGAIN.JPG", "leopard_1")]


def test_two_animals_on_one_photo_are_two_rows_and_two_files(originals, out):
    survey, user = make_survey(), make_user()
    shared = photographed(survey, originals, "S/both.jpg")
    beside = make_detection(shared.image, box=(10, 10, 90, 90), files=False)
    for detection in (shared, beside):
        individual_declare(acting_user=user, detection=detection)
    assert survey_export(survey=survey, out=out).photos == 1
    assert [(row["Image Path"], row["exported_file"]) for row in table(out)] == [
        ("S/both.jpg", "leopard_1/both.jpg"),
        ("S/both.jpg", "leopard_2/both.jpg"),
    ]


def test_named_individuals_have_folders_of_their_names_even_when_equal(originals, out):
    survey, user = make_survey(), make_user()
    for index in range(2):
        lone = photographed(survey, originals, f"S/{index}.jpg")
        individual = individual_declare(acting_user=user, detection=lone)
        individual_rename(acting_user=user, individual=individual, name="=Asha/1")
    survey_export(survey=survey, out=out)
    rows = table(out)
    assert [row["Leopard ID"] for row in rows] == ["'=Asha_1 L-0001", "'=Asha_1 L-0002"]
    assert rows[0]["individual_name"] == "'=Asha/1"
    assert (out / "=Asha_1 L-0001" / "0.jpg").is_file()


def test_a_contradiction_is_marked(pair, originals, out):
    survey, user, first, second = pair
    third = photographed(survey, originals, "S/3.jpg")
    match(user, second, third)
    match(user, first, third, verdict="no_match", confirm_contradiction=True)
    survey_export(survey=survey, out=out)
    assert {row["conflict"] for row in table(out)} == {"yes"}


def test_who_decided_last_is_named_and_what_was_taken_back_is_not(originals, out):
    from identification.services.decisions import decision_undo

    survey, asha, bela = make_survey(), make_user("asha"), make_user("bela")
    first, second = (photographed(survey, originals, f"S/{n}.jpg") for n in "12")
    match(asha, first, second)
    again = decision_record(acting_user=bela, first=first, second=second, verdict="match")
    survey_export(survey=survey, out=out)
    assert table(out)[0]["decided_by"] == "bela"
    decision_undo(acting_user=bela, decision=again)
    survey_export(survey=survey, out=out)
    assert table(out)[0]["decided_by"] == "asha"


def test_a_missing_or_changed_original_is_replaced_by_its_preview_and_named(pair, out):
    survey, _, first, second = pair
    Path(first.image.source_path).unlink()
    file = Path(second.image.source_path)
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    result = survey_export(survey=survey, out=out)
    assert result.photos == 2
    assert [photo.reason.split(" ")[0] for photo in result.missing] == ["preview:", "preview:"]
    rows = table(out)
    assert rows[0]["exported_file"] == "leopard_1/IMG_0001_ST01_A.preview.jpg"
    assert "not where it was read" in rows[0]["note"] and "any more" in rows[1]["note"]
    notes = json.loads((out / MANIFEST_NAME).read_text(encoding="utf-8"))["notes"]
    assert [note["image_path"] for note in notes] == ["ST01/A/IMG_0001.JPG", "ST02/B/IMG_0001.JPG"]


def test_without_original_and_preview_the_row_stays_and_says_so(pair, out):
    survey, _, first, _ = pair
    Path(first.image.source_path).unlink()
    first.image.preview = ""
    first.image.save(update_fields=["preview"])
    result = survey_export(survey=survey, out=out)
    assert result.photos == 1 and len(result.missing) == 1
    row = table(out)[0]
    assert row["exported_file"] == "" and row["note"].startswith("no file")


def test_gps_stays_behind_unless_places_are_asked_for(originals, out):
    exif = Pillow.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (28.0, 30.0, 12.5), 3: "E", 4: (84.0, 3.0, 1.0)})
    buffer = io.BytesIO()
    Pillow.fromarray(frame_pixels(1)).save(buffer, "JPEG", exif=exif)
    survey = make_survey()
    lone = photographed(survey, originals, "S/1.jpg", data=buffer.getvalue(), gps_latitude=28.5, gps_longitude=84.05)
    individual_declare(acting_user=None, detection=lone)
    survey_export(survey=survey, out=out)
    with Pillow.open(out / "leopard_1" / "1.jpg") as image:
        assert not image.getexif().get_ifd(0x8825)
    assert "removed" in table(out)[0]["note"] and table(out)[0]["decided_by"] == "command line"
    survey_export(survey=survey, out=out, with_places=True)
    assert (out / "leopard_1" / "1.jpg").read_bytes() == buffer.getvalue()
    assert table(out)[0]["original_path"] == lone.image.source_path


def test_a_format_that_cannot_be_cleaned_is_exported_as_its_preview(originals, out):
    buffer = io.BytesIO()
    Pillow.fromarray(frame_pixels(1)).save(buffer, "TIFF")
    survey = make_survey()
    individual_declare(acting_user=None, detection=photographed(survey, originals, "S/1.tif", data=buffer.getvalue()))
    survey_export(survey=survey, out=out)
    assert table(out)[0]["exported_file"] == "leopard_1/1.preview.jpg"
    survey_export(survey=survey, out=out, with_places=True)
    assert table(out)[0]["exported_file"] == "leopard_1/1.tif"


def test_the_manifest_holds_the_checksum_of_every_file(pair, out):
    survey_export(survey=pair[0], out=out)
    manifest = json.loads((out / MANIFEST_NAME).read_text(encoding="utf-8"))
    found = tree(out)
    del found[MANIFEST_NAME]
    assert manifest["files"] == found
    assert manifest["counts"] == {
        "photos_in_survey": 3, "individuals": 1, "photos": 2, "rows": 2, "not_original": 0,
    }  # fmt: skip


def test_the_same_state_gives_the_same_bytes(pair, tmp_path):
    survey_export(survey=pair[0], out=tmp_path / "one")
    survey_export(survey=pair[0], out=tmp_path / "two")
    survey_export(survey=pair[0], out=tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_zip_is_the_same_export_and_the_same_bytes(pair, out, settings, tmp_path):
    settings.SPOTID_HOME = tmp_path / "home"
    survey, user, *_ = pair
    first, second = (survey_export_zip(survey=survey, acting_user=user) for _ in range(2))
    assert first.read_bytes() == second.read_bytes()
    survey_export(survey=survey, out=out)
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        packed = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert packed == tree(out)
    assert sorted(path.suffix for path in (tmp_path / "home" / "exports").iterdir()) == [".zip", ".zip"]


def test_zips_of_earlier_downloads_are_removed(pair, settings, tmp_path):
    import os
    import time

    settings.SPOTID_HOME = tmp_path / "home"
    old = survey_export_zip(survey=pair[0], acting_user=None)
    foreign = old.with_name("notes.txt")
    foreign.write_text("mine")
    for path in (old, foreign):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    new = survey_export_zip(survey=pair[0], acting_user=None)
    assert not old.exists() and new.exists() and foreign.exists()


def test_the_command_tells_what_it_wrote(pair, out, capsys):
    Path(pair[2].image.source_path).unlink()
    call_command("export_survey", "--survey", "valley 2024", "--out", str(out))
    told = capsys.readouterr().out
    assert "1 individuals with 2 photos" in told
    assert "ST01/A/IMG_0001.JPG: preview" in told


def test_the_command_succeeds_with_nothing_decided_and_says_so(out, capsys):
    call_command("export_survey", "--survey", make_survey().name, "--out", str(out))
    assert "Nothing is decided" in capsys.readouterr().out


def test_an_unknown_survey_is_an_error_that_names_the_known_ones(out):
    make_survey(name="Valley 2024")
    with pytest.raises(CommandError, match="Valley 2024") as error:
        call_command("export_survey", "--survey", "Vally", "--out", str(out))
    assert error.value.returncode == 1
    assert not out.exists()


def test_an_export_into_the_folder_of_the_originals_is_refused(pair, originals):
    survey = pair[0]
    survey.source_root = str(originals)
    survey.save(update_fields=["source_root"])
    with pytest.raises(SpotIDError, match="outside"):
        survey_export(survey=survey, out=originals / "export")
    assert not (originals / "export").exists()


def test_individuals_that_were_merged_away_have_no_folder(pair, originals, out):
    survey, user, first, _ = pair
    third, fourth = (photographed(survey, originals, f"S/{n}.jpg") for n in "34")
    match(user, third, fourth)
    match(user, first, third)
    assert Individual.objects.filter(retired=True).count() == 1
    survey_export(survey=survey, out=out)
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["leopard_1"]
    assert len(table(out)) == 4
