"""Camtrap DP: valid by the official profile and table schemas, and what it says is what was counted by hand."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from identification.exports import ExportOptions, Files, Format, export_write
from identification.exports.camtrapdp_rows import media_path_of
from identification.models import CameraOperation, Detection, Image, Station, Triage
from identification.services.events import events_rebuild
from tests.identification import factories as make
from tests.identification.export_season import PLACES, Season, make_season

pytestmark = pytest.mark.django_db
TABLES = ("deployments", "media", "observations")


@pytest.fixture
def season(tmp_path):
    folder = tmp_path / "originals"
    folder.mkdir()
    return make_season(folder)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def export(out, *seasons, **options):
    asked = ExportOptions(formats=(Format.CAMTRAPDP,), **options)
    surveys = [one.survey for one in seasons]
    return export_write(population=surveys[0].population, surveys=surveys, out=out, options=asked)


def table(out, name):
    with (out / "camtrapdp" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def package(out):
    return json.loads((out / "camtrapdp/datapackage.json").read_text(encoding="utf-8"))


def faults(out: Path, schemas: Path, tmp_path: Path) -> list[object]:
    """What frictionless finds wrong in the tables, and JSON Schema in the descriptor, by the official schemas.

    They are read from copies: nothing is fetched.
    """
    import frictionless
    import jsonschema
    from frictionless import validate
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    folder = tmp_path / "to validate"
    shutil.copytree(out / "camtrapdp", folder)
    described = package(out)
    for resource in described["resources"]:
        if resource["name"] in TABLES:
            assert resource["schema"].endswith(f"/1.0.2/{resource['name']}-table-schema.json")
            resource["schema"] = json.loads((schemas / f"{resource['name']}-table-schema.json").read_text())
    profile = json.loads((schemas / "camtrap-dp-profile.json").read_text())
    # What the profile refers to: Data Package, which frictionless checks below, and GeoJSON, which comes with it.
    data_package = {"type": "object", "required": ["resources"]}
    geojson = json.loads((Path(frictionless.__file__).parent / "assets/profiles/geojson.json").read_text())
    registry = Registry().with_resources(
        [
            (name, Resource(contents=contents, specification=DRAFT4))
            for name, contents in (
                ("https://specs.frictionlessdata.io/schemas/data-package.json", data_package),
                ("http://json.schemastore.org/geojson.json", geojson),
            )
        ]
    )
    # `$defs` holds a version that stands beside `type: string`, which the descriptor's addresses must match.
    checked = jsonschema.Draft4Validator(profile, registry=registry, format_checker=jsonschema.FormatChecker())
    found: list[object] = [error.message for error in checked.iter_errors(package(out))]
    del described["profile"]
    (folder / "datapackage.json").write_text(json.dumps(described))
    report = validate(str(folder / "datapackage.json"))
    return found + report.flatten(["taskNumber", "rowNumber", "fieldName", "type", "note"])


@pytest.fixture
def schemas(shared_data):
    return shared_data / "formats" / "camtrap_dp" / "schemas"


@pytest.mark.shared_data
@pytest.mark.parametrize("places", [False, True])
def test_the_package_passes_the_official_profile_and_table_schemas(season, out, schemas, tmp_path, places):
    person = make.make_image(season.survey, station=season.stations["RIVER"], has_person=True, files=False)
    make.make_detection(person, category="person", flank="unknown", files=False)
    make.make_image(season.survey, station=season.stations["RIVER"], files=False)
    make.make_image(season.survey, station=season.stations["RIVER"], detector="", files=False)
    unplaced = make.make_station(season.survey, "NOWHERE")
    make.make_sighting(season.survey, station=unplaced)
    export(out, season, with_places=places, files=Files.ALL)
    assert faults(out, schemas, tmp_path) == []
    kinds = sorted(row["observationType"] for row in table(out, "observations"))
    assert kinds == ["animal"] * 14 + ["blank", "human", "unclassified"]


@pytest.mark.shared_data
def test_the_check_itself_finds_faults(season, out, schemas, tmp_path):
    export(out, season)
    file = out / "camtrapdp/observations.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(",animal,", ",beast,"), encoding="utf-8")
    assert len(faults(out, schemas, tmp_path)) == 13


@pytest.mark.shared_data
def test_an_empty_survey_is_a_valid_package(tmp_path, out, schemas):
    export(out, Season(tmp_path))
    assert faults(out, schemas, tmp_path) == []
    assert table(out, "media") == []


def test_individuals_are_those_that_people_confirmed_and_none_in_conflict(season, out):
    export(out, season)
    rows = table(out, "observations")
    found = {}
    for row in rows:
        found.setdefault(row["individualID"], []).append(row)
    assert {code: len(own) for code, own in found.items()} == {
        "L-0001": 3, "L-0002": 3, "L-0003": 2, "L-0004": 2, "": 3,
    }  # fmt: skip
    assert {row["sex"] + row["lifeStage"] for row in found["L-0001"]} == {"femaleadult"}
    assert {row["scientificName"] for row in rows} == {"Panthera pardus"}
    assert all("conflict:L-0005" in row["observationTags"] for row in found[""])
    assert all(row["classificationMethod"] == "human" for row in rows)
    assert sorted(row["individualID"] for row in table(out, "individuals")) == [f"L-000{n}" for n in range(1, 6)]


def test_boxes_flanks_and_hashes_come_back_exactly(season, out):
    """What an import needs: the box to the pixel, who named the flank, the photo by its hash."""
    export(out, season)
    photos = {row["mediaID"]: row for row in table(out, "photos")}
    for row in table(out, "observations"):
        box = Detection.objects.select_related("image").get(pk=int(row["observationID"][1:]))
        photo = photos[row["mediaID"]]
        assert photo["sha256"] == box.image.sha256 and photo["relativePath"] == box.image.relative_path
        width, height = int(photo["width"]), int(photo["height"])
        assert float(row["bboxX"]) * width == pytest.approx(box.x1, abs=1e-6)
        assert (float(row["bboxY"]) + float(row["bboxHeight"])) * height == pytest.approx(box.y2, abs=1e-6)
        assert (float(row["bboxX"]) + float(row["bboxWidth"])) * width == pytest.approx(box.x2, abs=1e-6)
        tags = dict(tag.split(":", 1) for tag in row["observationTags"].split(" | "))
        assert tags["flank"] == box.flank and tags["flankBy"] == "person"


def test_times_carry_their_zone_and_events_their_span(season, out):
    export(out, season)
    rows = [row for row in table(out, "observations") if row["individualID"] == "L-0002"]
    assert {(row["eventStart"], row["eventEnd"]) for row in rows} == {
        ("2024-03-02T06:00:00+0545", "2024-03-02T06:09:00+0545"),
        ("2024-03-05T00:00:00+0545", "2024-03-05T00:00:00+0545"),
    }
    assert len({row["eventID"] for row in rows}) == 2
    stamps = {row["mediaID"]: row["timestamp"] for row in table(out, "media")}
    assert stamps[rows[-1]["mediaID"]].endswith("+0545")


def test_without_places_coordinates_are_cells_with_their_uncertainty(season, out):
    export(out, season)
    rows = table(out, "deployments")
    assert {(row["latitude"], row["longitude"]) for row in rows} == {("27.55", "84.25")}
    # Half the diagonal of a cell of 0.1 degrees at 27.5 degrees north.
    assert {row["coordinateUncertainty"] for row in rows} == {"7455"}
    assert package(out)["coordinatePrecision"] == 0.1
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for latitude, longitude in PLACES.values():
        assert str(latitude).encode() not in everything and str(longitude).encode() not in everything
    assert str(season.originals).encode() not in everything


def test_with_places_coordinates_are_exact(season, out):
    export(out, season, with_places=True)
    rows = {row["locationName"]: row for row in table(out, "deployments")}
    assert (rows["RIVER"]["latitude"], rows["RIVER"]["longitude"]) == ("27.5712", "84.2533")
    assert rows["RIVER"]["coordinateUncertainty"] == "" and "coordinatePrecision" not in package(out)


def test_a_deployment_is_a_camera_and_its_time_recorded_or_photographed(season, out):
    river = Station.objects.get(survey=season.survey, code="RIVER")
    CameraOperation.objects.create(
        station=river, camera="A", set_up=date(2024, 2, 28), retrieved=date(2024, 3, 10),
        problems=[["2024-03-07", "2024-03-08T17:30"]],
    )  # fmt: skip
    export(out, season)
    rows = {(row["locationName"], row["cameraID"]): row for row in table(out, "deployments")}
    assert set(rows) == {("ST 01", "A"), ("ST 01", "B"), ("RIVER", "A"), ("Höhle_3", "A")}
    recorded = rows["RIVER", "A"]
    assert (recorded["deploymentStart"], recorded["deploymentEnd"]) == (
        "2024-02-28T12:00:00+0545", "2024-03-10T12:00:00+0545",
    )  # fmt: skip
    assert recorded["deploymentComments"] == "not working from 2024-03-07 to 2024-03-08T17:30"
    assert recorded["deploymentTags"] == "operation:camera operation"
    assert rows["ST 01", "A"]["deploymentEnd"] == "2024-03-05T00:00:00+0545"


def test_files_that_were_asked_for_are_in_the_package_and_people_never(season, out):
    person = make.make_image(
        season.survey, station=season.stations["RIVER"], has_person=True, original=season.originals
    )
    data = Path(person.source_path).read_bytes()
    Image.objects.filter(pk=person.pk).update(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    export(out, season, files=Files.NONE)
    assert not (out / "camtrapdp/media").exists()
    export(out, season, files=Files.IDENTIFIED)
    photos = {row["mediaID"]: row for row in table(out, "photos")}
    there = 0
    for row in table(out, "media"):
        file = out / "camtrapdp" / row["filePath"]
        if file.exists():
            there += 1
            photo = photos[row["mediaID"]]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == photo["fileSHA256"] == photo["sha256"]
    assert there == 13
    export(out, season, files=Files.ALL)
    shown = {row["mediaID"]: row for row in table(out, "media")}[f"m{person.pk}"]
    assert not (out / "camtrapdp" / shown["filePath"]).exists() and "people" in shown["mediaComments"]


def test_an_unusable_box_says_so_and_no_animal_makes_the_photo_blank(season, out):
    blank = season.photo(3, "RIVER", "left", at="10:00")
    dark = season.photo(3, "RIVER", "left", at="15:00")
    other = season.photo(3, "RIVER", "left", at="18:00")
    Detection.objects.filter(pk=blank.pk).update(usable=False, unusable_reason="no animal")
    Detection.objects.filter(pk=dark.pk).update(usable=False, unusable_reason="too | dark")
    Detection.objects.filter(pk=other.pk).update(triage=Triage.OTHER, species="Axis axis")
    events_rebuild(survey=season.survey)
    export(out, season)
    rows = {row["mediaID"]: row for row in table(out, "observations")}
    assert rows[f"m{blank.image_id}"]["observationType"] == "blank"
    assert rows[f"m{blank.image_id}"]["classificationMethod"] == "human"
    assert "usable:no | reason:too / dark" in rows[f"m{dark.image_id}"]["observationTags"]
    assert rows[f"m{other.image_id}"]["scientificName"] == "Axis axis"
    assert {row["scientificName"] for row in package(out)["taxonomic"]} == {"Panthera pardus", "Axis axis"}


def test_photos_without_time_or_station_are_left_out_and_listed(season, out):
    timeless = make.make_sighting(season.survey, captured_at=None).image
    homeless = make.make_image(season.survey, files=False)
    export(out, season)
    with (out / "camtrapdp/left_out.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["what"]: row["reason"] for row in csv.DictReader(stream)}
    assert rows == {timeless.relative_path: "no capture time", homeless.relative_path: "no station"}


def test_paths_never_lead_out_of_the_package():
    assert media_path_of("d", "a....b..jpg") == "media/d/a.b.jpg"


def test_two_surveys_of_a_population_are_one_package(season, out):
    second = make_season_again(season)
    export(out, season, second)
    assert len(table(out, "deployments")) == 8
    rows = table(out, "observations")
    assert len({row["observationID"] for row in rows}) == len(rows)
    assert {row["survey"] for row in table(out, "photos")} == {"Valley 2024", "Valley 2025"}


def make_season_again(season):
    second = Season(season.originals, "Valley 2025", season.survey.population)
    for day, station, camera in ((1, "ST 01", "A"), (1, "ST 01", "B"), (2, "RIVER", "A"), (3, "Höhle_3", "A")):
        second.photo(day, station, "left", camera=camera)
    return second
