"""Captures and traps for secr, encounter matrices and their occasions, against a season counted by hand."""

from __future__ import annotations

import csv
import itertools
import math
import shutil
import subprocess
from datetime import date, time, timedelta

import pytest
from django.db.models import F
from hypothesis import given
from hypothesis import strategies as st

from identification.errors import SpotIDError
from identification.exports import ExportOptions, Format, export_write
from identification.exports.identifiers import identifier, identifiers
from identification.exports.occasions import Occasions, occasions_of
from identification.exports.places import generalised, projection_of
from identification.models import CameraClock, CameraOperation, Detection, Image, Station
from identification.services.events import events_rebuild
from tests.identification import factories as make
from tests.identification.export_season import PLACES, Season, make_season
from tests.identification.secr_reader import Refused, read_capthist, read_traps

LEFT = {
    "L-0001": {(1, "ST-01"), (4, "RIVER")},
    "L-0002": {(2, "RIVER"), (5, "ST-01")},
    "L-0003": {(3, "Hohle-3"), (6, "Hohle-3")},
}
RIGHT = {"L-0001": {(1, "ST-01")}, "L-0004": {(2, "RIVER"), (3, "RIVER")}}


@pytest.fixture
def season(db, tmp_path):
    folder = tmp_path / "originals"
    folder.mkdir()
    return make_season(folder)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def export(out, *seasons, **options):
    formats = options.pop("formats", (Format.SECR, Format.ENCOUNTERS))
    asked = ExportOptions(formats=formats, with_places=options.pop("with_places", True), **options)
    return export_write(
        population=seasons[0].survey.population, surveys=[one.survey for one in seasons], out=out, options=asked
    )


def table(file):
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def only_session(found):
    (session,) = found.detections
    assert session == "Valley-2024"
    return {animal: set(seen) for animal, seen in found.detections[session].items()}


@pytest.mark.parametrize(("variant", "expected"), [("left", LEFT), ("right", RIGHT), ("linked", LEFT)])
def test_captures_are_those_counted_by_hand(season, out, variant, expected):
    """Linked: Asha by both flanks, and of the one-sided the two left ones, not the one right one."""
    export(out, season)
    found = read_capthist(out / f"secr/captures_{variant}.txt", [out / "secr/traps.txt"], binary_usage=True)
    assert only_session(found) == expected
    assert found.covariates["L-0001"] == ["female"]
    assert all(found.covariates[animal] == ["NA"] for animal in expected if animal != "L-0001")


def test_usage_is_from_the_first_to_the_last_photo_where_nothing_is_recorded(season, out):
    export(out, season)
    usage = {"ST-01": [1, 1, 1, 1, 1, 0], "RIVER": [0, 1, 1, 1, 1, 0], "Hohle-3": [0, 0, 1, 1, 1, 1]}
    assert read_traps(out / "secr/traps.txt", binary_usage=True).usage == usage
    assert read_traps(out / "secr/traps_effort.txt", binary_usage=False).usage == usage
    assert "first and last photo" in (out / "manifest.json").read_text(encoding="utf-8")


def test_longer_occasions_sum_the_effort(season, out):
    result = export(out, season, occasion_days=2)
    effort = read_traps(out / "secr/traps_effort.txt", binary_usage=False).usage
    assert effort == {"ST-01": [2, 2, 1], "RIVER": [1, 2, 1], "Hohle-3": [0, 2, 2]}
    found = read_capthist(out / "secr/captures_left.txt", [out / "secr/traps_effort.txt"], binary_usage=False)
    assert only_session(found)["L-0003"] == {(2, "Hohle-3"), (3, "Hohle-3")}
    assert result.about["secr"]["sessions"][0]["occasions"] == 3
    days = [(row["first_day"], row["last_day"]) for row in table(out / "secr/occasions.csv")]
    assert days == [("2024-03-01", "2024-03-02"), ("2024-03-03", "2024-03-04"), ("2024-03-05", "2024-03-06")]


def test_recorded_camera_operation_is_used_to_the_half_day_and_problems_are_not_effort(season, out):
    river = Station.objects.get(survey=season.survey, code="RIVER")
    CameraOperation.objects.create(
        station=river, set_up=date(2024, 3, 1), retrieved=date(2024, 3, 5), problems=[["2024-03-03", "2024-03-04"]]
    )
    export(out, season)
    effort = read_traps(out / "secr/traps_effort.txt", binary_usage=False).usage["RIVER"]
    # The photos of the 3rd and 4th say that it worked after all, which is told.
    assert effort == [0.5, 1, 1, 1, 0.5, 0]
    told = [row for row in table(out / "secr/left_out.csv") if row["what"] == "RIVER"]
    assert len(told) == 1 and "recorded as not working" in told[0]["reason"]
    read_capthist(out / "secr/captures_left.txt", [out / "secr/traps.txt"], binary_usage=True)


def test_what_is_left_out_is_listed_with_its_reason(season, out):
    export(out, season)
    rows = {(row["what"], row["reason"]) for row in table(out / "secr/left_out.csv")}
    assert ("L-0005", "decisions on its group contradict each other") in rows
    assert ("L-0004", "linked: known by the right flank only, and could be one of the left flanks") in rows
    assert ("L-0004", "left: no photo of the left flank here") in rows
    assert not any(what == "L-0001" for what, _ in rows)


def test_a_photo_of_a_clock_that_was_not_set_is_no_capture_until_somebody_sets_it_right(season, out):
    lost = season.photo(1, "RIVER", "left")
    season.joined(Detection.objects.get(image__relative_path="RIVER/A/IMG_0003.JPG"), lost)
    image = lost.image
    image.captured_at = image.captured_at.replace(year=2000)
    image.flags = ["clock_suspect"]
    image.save(update_fields=["captured_at", "flags"])
    export(out, season)
    found = read_capthist(out / "secr/captures_left.txt", [out / "secr/traps.txt"], binary_usage=True)
    assert only_session(found) == LEFT
    reasons = {row["what"]: row["reason"] for row in table(out / "encounters/left_out.csv")}
    assert "clock was probably not set" in reasons[image.relative_path]
    image.captured_at = image.captured_at.replace(year=2024)
    image.save(update_fields=["captured_at"])
    CameraClock.objects.create(station=image.station, camera=image.camera, by_person=True)
    export(out, season)
    found = read_capthist(out / "secr/captures_left.txt", [out / "secr/traps.txt"], binary_usage=True)
    assert only_session(found)["L-0002"] == LEFT["L-0002"] | {(1, "RIVER")}


def test_identifiers_lead_back_to_names(season, out):
    export(out, season)
    rows = {row["identifier"]: row["name"] for row in table(out / "secr/identifiers.csv")}
    assert rows["Hohle-3"] == "Höhle_3" and rows["ST-01"] == "ST 01" and rows["L-0001"] == "L-0001 Asha"


def test_coordinates_are_utm_metres_by_a_second_way(season, out):
    export(out, season)
    text = (out / "secr/traps.txt").read_text(encoding="utf-8")
    assert "UTM zone 45N (EPSG:32645)" in text.splitlines()[0]
    found = read_traps(out / "secr/traps.txt", binary_usage=True).metres
    for code, place in PLACES.items():
        x, y = found[identifier(code, "detector")]
        expected = utm(*place, zone=45)
        assert math.dist((x, y), expected) < 0.02


def utm(latitude, longitude, *, zone):
    """Krüger's series (1912) to the third order of n; good to millimetres within a zone."""
    a, f = 6378137.0, 1 / 298.257223563
    n = f / (2 - f)
    radius = a / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    alpha = (n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16, 13 * n**2 / 48 - 3 * n**3 / 5, 61 * n**3 / 240)
    phi, lam = math.radians(latitude), math.radians(longitude - (6 * zone - 183))
    e = 2 * math.sqrt(n) / (1 + n)
    t = math.sinh(math.atanh(math.sin(phi)) - e * math.atanh(e * math.sin(phi)))
    xi, eta = math.atan2(t, math.cos(lam)), math.atanh(math.sin(lam) / math.sqrt(1 + t * t))
    terms = list(enumerate(alpha, 1))
    east = eta + sum(c * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, c in terms)
    north = xi + sum(c * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, c in terms)
    return 500_000 + 0.9996 * radius * east, 0.9996 * radius * north + (0 if latitude >= 0 else 10_000_000)


def test_without_places_secr_is_refused_in_words_and_nothing_is_written(season, out):
    with pytest.raises(SpotIDError, match="exact places"):
        export(out, season, with_places=False)
    assert not out.exists()


def test_stations_without_coordinates_are_left_out_and_none_at_all_is_refused(season, out):
    river = Station.objects.get(survey=season.survey, code="RIVER")
    river.latitude = river.longitude = None
    river.save()
    export(out, season, formats=(Format.SECR,))
    assert set(read_traps(out / "secr/traps.txt", binary_usage=True).metres) == {"ST-01", "Hohle-3"}
    assert ("RIVER", "the station has no coordinates") in {
        (row["what"], row["reason"]) for row in table(out / "secr/left_out.csv")
    }
    season.survey.stations.update(latitude=None, longitude=None)
    with pytest.raises(SpotIDError, match="coordinates"):
        export(out, season, formats=(Format.SECR,))


def test_days_can_be_chosen(season, out):
    export(out, season, first=date(2024, 3, 2), last=date(2024, 3, 4))
    found = read_capthist(out / "secr/captures_left.txt", [out / "secr/traps.txt"], binary_usage=True)
    assert only_session(found) == {
        "L-0001": {(3, "RIVER")}, "L-0002": {(1, "RIVER")}, "L-0003": {(2, "Hohle-3")},
    }  # fmt: skip


def test_sessions_of_a_population_come_in_the_order_of_time(season, out):
    early = Season(season.originals, "Zebra 2023", season.survey.population)
    first, second = early.photo(1, "RIVER", "left"), early.photo(3, "RIVER", "left")
    early.survey.images.update(captured_at=None)
    for box, day in ((first, 1), (second, 3)):
        box.image.captured_at = make.START.replace(year=2023, day=day)
        box.image.save(update_fields=["captured_at"])
    early.joined(first, second)
    events_rebuild(survey=early.survey)
    export(out, season, early)
    traps = [out / "secr/traps_1-Zebra-2023.txt", out / "secr/traps_2-Valley-2024.txt"]
    found = read_capthist(out / "secr/captures_left.txt", traps, binary_usage=True)
    assert found.detections["1-Zebra-2023"] == {"L-0006": {(1, "RIVER"), (3, "RIVER")}}
    assert found.detections["2-Valley-2024"] == LEFT
    assert (out / "encounters/Zebra 2023/encounters_left.inp").is_file()
    early.survey.stations.update(latitude=None, longitude=None)
    export(out, season, early)
    assert (out / "secr/traps.txt").is_file()
    told = {row["what"]: row["reason"] for row in table(out / "secr/left_out.csv")}
    assert "the whole survey is left out" in told["Zebra 2023"]


@pytest.mark.skipif(
    shutil.which("Rscript") is None
    or subprocess.run(["Rscript", "-e", "library(secr)"], capture_output=True, check=False).returncode != 0,
    reason="R with secr is not installed",
)
def test_read_capthist_itself_reads_the_files(season, out):
    export(out, season)
    code = (
        f'library(secr); ch <- read.capthist("{out}/secr/captures_left.txt", "{out}/secr/traps_effort.txt", '
        'detector="proximity", covnames="Sex", binary.usage=FALSE); cat(dim(ch), sum(ch))'
    )
    done = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-4:] == ["3", "6", "3", "6"]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("left", {"L-0001": "100100", "L-0002": "010010", "L-0003": "001001"}),
        ("right", {"L-0001": "100000", "L-0004": "011000"}),
        ("linked", {"L-0001": "100100", "L-0002": "010010", "L-0003": "001001"}),
    ],
)
def test_encounter_matrices_are_those_counted_by_hand(season, out, variant, expected):
    export(out, season, formats=(Format.ENCOUNTERS,), with_places=False)
    rows = table(out / f"encounters/encounters_{variant}.csv")
    assert {row["individual"]: "".join(row[f"o{at}"] for at in range(1, 7)) for row in rows} == expected
    lines = (out / f"encounters/encounters_{variant}.inp").read_text(encoding="utf-8").splitlines()[1:]
    assert lines == [f"/* {code} */ {said} 1;" for code, said in expected.items()]
    effort = [float(row["station_nights"]) for row in table(out / "encounters/occasions.csv")]
    assert effort == [1, 2, 3, 3, 3, 1]


def test_nobody_decided_anything_gives_headers_only(db, tmp_path, out):
    originals = tmp_path / "originals"
    originals.mkdir()
    empty = Season(originals)
    export(out, empty, formats=(Format.ENCOUNTERS,), with_places=False)
    assert table(out / "encounters/encounters_left.csv") == []
    with pytest.raises(SpotIDError):
        export(out, empty)


def test_the_reader_of_the_tests_refuses_what_secr_refuses(tmp_path):
    file = tmp_path / "traps.txt"
    for text in ("A_1 0 0 1\n", "A 0 0 1\nA 1 1 1\n", "A 0 0 11\nB 0 0 1\n", "A 0\n"):
        file.write_text(text)
        with pytest.raises(Refused):
            read_traps(file, binary_usage=True)


@given(st.lists(st.text(max_size=12), max_size=12))
def test_identifiers_are_clean_and_one_to_one(names):
    found = identifiers(list(enumerate(names)), "detector")
    assert len(set(found.values())) == len(names) == len(found)
    for name in found.values():
        assert name and name.isascii() and not set(name) & set(" \t,_#/'\"\n\r;") and name.upper() not in {"NA", "NONE"}


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(0, 300), st.integers(1, 40))
def test_every_day_lies_in_one_occasion_and_occasions_follow_each_other(first, days, length):
    occasions = Occasions(first, first + timedelta(days), length)
    spans = [occasions.span(at) for at in range(1, occasions.number + 1)]
    assert spans[0][0] == first and spans[-1][1] == occasions.last
    assert all(after[0] - before[1] == timedelta(1) for before, after in itertools.pairwise(spans))
    for at, (begin, end) in enumerate(spans, 1):
        assert occasions.of(begin) == occasions.of(end) == at
    assert occasions.of(first - timedelta(1)) is None and occasions.of(occasions.last + timedelta(1)) is None


def test_a_clock_that_was_not_set_does_not_make_forty_years_of_occasions():
    with pytest.raises(SpotIDError, match="clock"):
        occasions_of([date(1970, 1, 1), date(2024, 3, 1)], first=None, last=None, length=1)
    assert occasions_of([], first=None, last=None, length=1) is None


@given(st.floats(-80, 83.9), st.floats(-180, 179.9))
def test_a_generalised_place_hides_within_its_uncertainty(latitude, longitude):
    cell = generalised(latitude, longitude)
    # Distances on a sphere are within half a percent of those on the ellipsoid.
    a = math.radians(latitude), math.radians(longitude)
    b = math.radians(cell.latitude), math.radians(cell.longitude)
    h = math.sin((b[0] - a[0]) / 2) ** 2 + math.cos(a[0]) * math.cos(b[0]) * math.sin((b[1] - a[1]) / 2) ** 2
    assert 2 * 6371008.8 * math.asin(math.sqrt(h)) <= cell.uncertainty * 1.005
    assert generalised(cell.latitude, cell.longitude) == cell


def test_zones_follow_the_stations_across_the_date_line_and_the_equator():
    assert projection_of([(-16.5, 179.9), (-16.6, -179.9)]).name in {"UTM zone 1S", "UTM zone 60S"}
    assert projection_of([(1.0, 37.5)]).epsg == 32637 and projection_of([(-1.0, 37.5)]).epsg == 32737
    for far in ([(27.5, 84.0), (27.5, 8.0)], [(85.0, 10.0)]):
        with pytest.raises(SpotIDError):
            projection_of(far)


def test_a_camera_that_worked_for_minutes_could_take_a_photo(season, out):
    river = Station.objects.get(survey=season.survey, code="RIVER")
    CameraOperation.objects.create(
        station=river,
        set_up=date(2024, 3, 4),
        set_up_time=time(23, 57),
        retrieved=date(2024, 3, 6),
        retrieved_time=time(12, 0),
    )
    export(out, season, first=date(2024, 3, 4))
    found = read_capthist(out / "secr/captures_left.txt", [out / "secr/traps_effort.txt"], binary_usage=False)
    assert (1, "RIVER") in only_session(found)["L-0001"]
    assert read_traps(out / "secr/traps_effort.txt", binary_usage=False).usage["RIVER"][0] == 0.01


def test_a_season_outside_of_the_chosen_days_is_no_session(season, out, tmp_path):
    later = Season(tmp_path / "originals", "Valley 2025", season.survey.population)
    later.joined(later.photo(1, "RIVER", "left"), later.photo(2, "RIVER", "left"))
    Image.objects.filter(survey=later.survey).update(captured_at=F("captured_at") + timedelta(days=365))
    result = export(out, season, later, first=date(2024, 3, 1), last=date(2024, 3, 6))
    assert [session["survey"] for session in result.about["secr"]["sessions"]] == ["Valley 2024"]
    assert any(row["what"] == "Valley 2025" for row in table(out / "secr/left_out.csv"))
