"""Who counts in which history, against a second way of saying it; and tables of several surveys."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identification.exports import ExportOptions, Format, export_write
from identification.exports.histories import Variant, history_of, one_sided_side, usable_sightings
from identification.exports.snapshot import ExportIndividual, ExportPhoto, Sighting
from tests.identification.export_season import Season, make_season

ZONE = ZoneInfo("Asia/Kathmandu")
FLANKS = st.sampled_from([frozenset(), frozenset({"left"}), frozenset({"right"}), frozenset({"left", "right"})])


def individual(number: int, flanks: frozenset[str]) -> ExportIndividual:
    return ExportIndividual(number, number, f"L-{number:04d}", "", "", "", False, flanks)


def sighting(pk: int, animal: ExportIndividual, day: int, station: int | None, flank: str, conflict: bool) -> Sighting:
    at = datetime(2024, 3, day, 6, tzinfo=ZONE) if day else None
    photo = ExportPhoto(
        id=pk, survey_id=1, relative_path=f"{pk}.jpg", source_path="", sha256=f"{pk:064x}", size_bytes=1, width=10,
        height=10, station_id=station, station=f"S{station}", camera="A", captured_at=at, preview="", has_person=False,
        looked_at=True, clock_suspect=False, event=None,
    )  # fmt: skip
    return Sighting(pk, photo, animal, (0, 0, 1, 1), flank, "", "", conflict)


@st.composite
def seasons(draw) -> list[Sighting]:  # type: ignore[no-untyped-def]
    animals = [individual(number, flanks) for number, flanks in enumerate(draw(st.lists(FLANKS, max_size=7)), 1)]
    rows = []
    for pk in range(draw(st.integers(0, 25)) if animals else 0):
        animal = draw(st.sampled_from(animals))
        # A flank that the catalogue knows of the animal, or none that anybody could tell.
        flank = draw(st.sampled_from([*sorted(animal.flanks), "unknown"]))
        day, station = draw(st.integers(0, 5)), draw(st.sampled_from([None, 1, 2, 3]))
        rows.append(sighting(pk, animal, day, station, flank, draw(st.integers(0, 9)) == 0))
    return rows


@given(seasons())
def test_histories_hold_exactly_those_who_may_be_counted(rows: list[Sighting]) -> None:
    usable, left_out = usable_sightings(rows, "survey")
    torn = {row.individual.code for row in rows if row.conflict}
    assert torn == {row.what for row in left_out if row.what.startswith("L-")}
    assert {row.individual.code for row in usable} & torn == set()
    seen = {(r.individual.code, r.photo.day, r.photo.station_id, r.flank, r.individual.flanks) for r in usable}
    for flank in (Variant.LEFT, Variant.RIGHT):
        history = history_of(flank, usable, "survey")
        assert {(c.individual.code, c.day, c.station_id) for c in history.captures} == {
            (code, day, station) for code, day, station, said, _ in seen if said == flank
        }
        assert len(history.captures) == len(set(history.captures))
    linked = history_of(Variant.LINKED, usable, "survey")
    counted = {capture.individual for capture in linked.captures}
    # Two animals known by one flank each, a left and a right one, could be one: never both are counted.
    assert not {frozenset({"left"}), frozenset({"right"})} <= {found.flanks for found in counted}
    everybody = {row.individual for row in usable}
    assert {found for found in everybody if len(found.flanks) == 2} <= counted
    one_sided = Counter(next(iter(found.flanks)) for found in everybody if len(found.flanks) == 1)
    assert sum(len(found.flanks) == 1 for found in counted) == max(one_sided.values(), default=0)
    assert {row.what for row in linked.left_out} == {found.code for found in everybody - counted}
    assert one_sided_side(usable) == linked.side


def table(file):  # type: ignore[no-untyped-def]
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.django_db
def test_stations_of_two_surveys_are_two_stations_even_of_one_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first = make_season(tmp_path)
    second = Season(tmp_path, "Valley 2025", first.survey.population)
    second.joined(second.photo(1, "RIVER", "left"), second.photo(2, "RIVER", "left"))
    export_write(
        population=first.survey.population,
        surveys=[first.survey, second.survey],
        out=tmp_path / "out",
        options=ExportOptions(formats=(Format.CAMTRAPR, Format.WILDBOOK, Format.ENCOUNTERS)),
    )
    records = table(tmp_path / "out/camtrapr/record_table.csv")
    rivers = Counter(row["Station"] for row in records if row["Station"].startswith("RIVER"))
    assert rivers == {"RIVER (Valley 2024)": 4, "RIVER (Valley 2025)": 2}
    cameras = {row["Station"] for row in table(tmp_path / "out/camtrapr/camera_operation.csv")}
    assert set(rivers) < cameras and len(cameras) == 4
    assert len(table(tmp_path / "out/wildbook/bulk_import_01.csv")) == 10
    names = [row["file"] for row in table(tmp_path / "out/wildbook/photos.csv")]
    assert len(names) == len(set(names)) == 12
    assert [row["individual"] for row in table(tmp_path / "out/encounters/Valley 2025/encounters_left.csv")] == [
        "L-0006"
    ]
