"""The record table of camtrapR (recordTableIndividual) and its table of stations (cameraOperation).

Columns as in recordTableIndividualSample and camtraps of the package; times are those of the survey's clocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from ..errors import SpotIDError
from .histories import CONFLICT, NO_CLOCK, NO_STATION, NO_TIME
from .options import ExportOptions
from .output import Cell, LeftOut, Output
from .places import projection_of
from .snapshot import ExportSurvey, Sighting, SurveySnapshot
from .surroundings import ExportStation, Operation

FOLDER = "camtrapr"
RECORD_COLUMNS = (
    "Station", "Species", "Individual", "DateTimeOriginal", "Date", "Time", "delta.time.secs", "delta.time.mins",
    "delta.time.hours", "delta.time.days", "Directory", "FileName", "n_images", "Camera", "Flank", "Sex", "AgeClass",
    "IndividualName", "Survey",
)  # fmt: skip
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Record:
    """An independent record of one animal at one station. seconds: since its record before, 0 for the first."""

    sighting: Sighting
    seconds: int
    images: int


def camtrapr_write(snapshot: SurveySnapshot, out: Output, options: ExportOptions) -> dict[str, Any]:
    """Write camtrapr/: record_table.csv and camera_operation.csv."""
    records: list[tuple[ExportSurvey, Record]] = []
    left_out: list[LeftOut] = []
    for survey in snapshot.surveys:
        own = [row for row in snapshot.sightings if row.photo.survey_id == survey.id]
        found, missing = records_of(own, survey)
        records += [(survey, record) for record in found]
        left_out += missing
    several = len(snapshot.surveys) > 1
    rows = (_row(survey, record, several) for survey, record in records)
    out.table(f"{FOLDER}/record_table.csv", RECORD_COLUMNS, rows)
    columns, cameras = operation_rows(snapshot, options, several=several)
    out.table(f"{FOLDER}/camera_operation.csv", columns, cameras)
    out.left_out(f"{FOLDER}/left_out.csv", left_out)
    return {
        "records": len(records),
        "operation_from": sorted({row.source for row in snapshot.operations}),
        "left_out": len(left_out),
    }


def records_of(sightings: Iterable[Sighting], survey: ExportSurvey) -> tuple[list[Record], list[LeftOut]]:
    """Records of an animal at a station that follow the photo before by at least the independence interval
    (camtrapR's minDeltaTime with deltaTimeComparedTo = "lastRecord"). Two boxes on one photo are one record each.
    """
    visits: dict[tuple[str, int, int], list[Sighting]] = defaultdict(list)
    out = []
    for row in sightings:
        if row.conflict:
            out.append(LeftOut(row.photo.relative_path, survey.name, CONFLICT))
        elif row.photo.captured_at is None:
            out.append(LeftOut(row.photo.relative_path, survey.name, NO_TIME))
        elif row.photo.station_id is None:
            out.append(LeftOut(row.photo.relative_path, survey.name, NO_STATION))
        elif row.photo.clock_suspect:
            out.append(LeftOut(row.photo.relative_path, survey.name, NO_CLOCK))
        else:
            visits[row.photo.station, row.individual.number, row.photo.station_id].append(row)
    gap = survey.independence_minutes * 60
    records = []
    for key in sorted(visits):
        records += _independent(visits[key], gap)
    return records, out


def _independent(rows: Sequence[Sighting], gap: int) -> list[Record]:
    # Of two times of one zone Python compares the clocks, which a change to winter time sets back.
    ordered = sorted(
        rows, key=lambda row: (_time(row).timestamp(), row.photo.relative_path, row.photo.id, row.detection_id)
    )
    kept: list[tuple[Sighting, int]] = []
    images: list[set[int]] = []
    before: datetime | None = None
    for row in ordered:
        at = _time(row)
        seconds = round(at.timestamp() - before.timestamp()) if before is not None else 0
        if before is None or (seconds >= gap and seconds > 0):
            kept.append((row, seconds))
            images.append(set())
        images[-1].add(row.photo.id)
        before = at
    return [Record(row, seconds, len(seen)) for (row, seconds), seen in zip(kept, images, strict=True)]


def _time(row: Sighting) -> datetime:
    assert row.photo.captured_at is not None
    return row.photo.captured_at


def station_name(survey: ExportSurvey, code: str, *, several: bool) -> str:
    """Stations of two surveys are two stations, even of one name."""
    return f"{code} ({survey.name})" if several else code


def _row(survey: ExportSurvey, record: Record, several: bool) -> list[Cell]:
    row = record.sighting
    photo, individual, at = row.photo, row.individual, _time(row)
    directory, _, name = photo.relative_path.rpartition("/")
    seconds = record.seconds
    return [
        station_name(survey, photo.station, several=several), row.species, individual.code, f"{at:%Y-%m-%d %H:%M:%S}",
        f"{at:%Y-%m-%d}", f"{at:%H:%M:%S}", seconds, round(seconds / 60, 1), round(seconds / 3600, 1),
        round(seconds / 86400, 1), directory, name, record.images, photo.camera, row.flank, individual.sex,
        individual.age_class, individual.name, survey.name,
    ]  # fmt: skip


def operation_rows(
    snapshot: SurveySnapshot, options: ExportOptions, *, several: bool
) -> tuple[list[str], list[list[Cell]]]:
    """The table of stations, a row per camera: set up, retrieved, and from when to when there was a problem.

    With places its coordinates, in degrees and in metres of UTM; without, no coordinates at all.
    """
    surveys = {survey.id: survey for survey in snapshot.surveys}
    stations = {row.id: row for row in snapshot.stations}
    operations = [row for row in snapshot.operations if row.station_id in stations]
    problems = max((len(row.record.problems) for row in operations if row.record is not None), default=0)
    timed = any(_timed(row) for row in operations)
    columns = ["Station", "Camera", "Setup_date", "Retrieval_date"]
    columns += [f"Problem{at}_{end}" for at in range(1, problems + 1) for end in ("from", "to")]
    located = _located(list(stations.values())) if options.with_places else {}
    if located:
        columns += ["latitude", "longitude", "utm_x", "utm_y", "utm_zone"]
    rows: list[list[Cell]] = []
    for operation in operations:
        station = stations[operation.station_id]
        cells: list[Cell] = [
            station_name(surveys[station.survey_id], station.code, several=several),
            operation.camera,
            *_stood(operation, timed),
            *_problems(operation, problems, timed),
        ]
        if located:
            cells += located.get(station.id, [None] * 5)
        rows.append(cells)
    return columns, sorted(rows, key=lambda cells: [str(cell) for cell in cells[:3]])


def _located(stations: Sequence[ExportStation]) -> dict[int, list[Cell]]:
    """Degrees of each station that has them, metres and zone where one zone of UTM holds them all."""
    placed = {row.id: row.degrees for row in stations if row.degrees is not None}
    metres: list[list[Cell]] = [[None, None, None]] * len(placed)
    if placed:
        with suppress(SpotIDError):
            projection = projection_of(list(placed.values()))
            metres = [[x, y, f"EPSG:{projection.epsg}"] for x, y in projection.metres(list(placed.values()))]
    return {pk: [*degrees, *cells] for (pk, degrees), cells in zip(placed.items(), metres, strict=True)}


def _timed(row: Operation) -> bool:
    """Whether an hour of it was recorded."""
    if row.record is None:
        return False
    moments = [row.record.set_up, row.record.retrieved, *(end for span in row.record.problems for end in span)]
    return any(isinstance(moment, datetime) for moment in moments)


def _stood(row: Operation, timed: bool) -> list[Cell]:
    """Set-up and retrieval; camtrapR reads one form of time in a table, so all have their hour where one has."""
    return [f"{at:%Y-%m-%d %H:%M}" if timed else at.date().isoformat() for at in (row.begin, row.end)]


def _problems(row: Operation, columns: int, timed: bool) -> list[Cell]:
    """From and to of each problem. A whole day lasts, with hours, until midnight at its end."""
    cells: list[Cell] = []
    for since, until in row.record.problems if row.record is not None else ():
        cells += [_moment(since, timed, timedelta()), _moment(until, timed, _DAY)]
    return cells + [None] * (2 * columns - len(cells))


def _moment(moment: date, timed: bool, whole_day: timedelta) -> str:
    if isinstance(moment, datetime):
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment + whole_day:%Y-%m-%d} 00:00" if timed else moment.isoformat()
