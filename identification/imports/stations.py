"""Tables of stations: where they stand and when their cameras worked, as camtrapR and most field books have them.

Columns, by any of these names (capitals, spaces and `_` do not matter):

- `Station`, `Station_ID`, `Code`, `Site`, `Location`
- `Camera`, `Camera_ID`, where a station has several; without it a row speaks of all cameras of its station
- `Latitude`/`Lat`, `Longitude`/`Lon` in degrees; `utm_x` and `utm_y` are not read, because the zone is not in the table
- `Setup_date`, `Start_date`, …; `Retrieval_date`, `End_date`, …; `Problem1_from`, `Problem1_to`, `Problem2_from`, …

Days may be written in many ways; see `identification.imports.dates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_noop

from ..matching.operation import Moment, Operation, flaw_of
from .dates import moment_in, order_of
from .reading import Issue, Kind, OperationRecord, Options, Reading, StationRecord, UnusableFile
from .sheets import Glance
from .tables import Row, Table, number_of, plain, said_nothing, table_of

STATION = ("station", "stationid", "stationcode", "code", "site", "siteid", "location", "locationid")
CAMERA = ("camera", "cameraid", "cam")
LATITUDE = ("latitude", "lat", "decimallatitude", "y")
LONGITUDE = ("longitude", "lon", "long", "lng", "decimallongitude", "x")
SET_UP = ("setupdate", "setup", "setdate", "startdate", "start", "datestart", "deployed", "deploymentstart", "from")
RETRIEVED = (
    "retrievaldate",
    "retrieval",
    "retrieved",
    "pulldate",
    "pickupdate",
    "enddate",
    "end",
    "dateend",
    "deploymentend",
    "to",
)
_PROBLEM = re.compile(r"problem(\d*)(from|to)")
_MOST_STATIONS = 20_000

NO_DEGREES = (
    "The latitude is no number of degrees from -90 to 90.",
    "The longitude is no number of degrees from -180 to 180.",
)
FLAWS = {
    "reversed": "The retrieval is not after the set-up.",
    "too_long": "Set-up and retrieval are more than ten years apart.",
    "problem_reversed": "A problem ends before it begins.",
    "problem_outside": "A problem lies outside set-up and retrieval.",
}


def read(path: Path, options: Options) -> Reading:
    """The reader of the kind `stations`."""
    return read_table(table_of(path.read_bytes()), options, file=path.name)


def looks_like(path: Path) -> bool:
    """Whether the columns are those of a table of stations."""
    try:
        table = Glance(path) if path.is_file() else None
    except (UnusableFile, OSError):
        return False
    return (
        table is not None
        and table.column(*STATION) >= 0
        and (table.column(*SET_UP) >= 0 or min(table.column(*LATITUDE), table.column(*LONGITUDE)) >= 0)
    )


def read_table(table: Table, options: Options, *, file: str = "") -> Reading:
    """Stations and operations of a table. Raises UnusableFile without a column of stations, or with neither places nor
    days, and where day and month cannot be told apart."""
    columns = _Columns(table)
    order = order_of(columns.days()) if columns.dated else None
    if order is not None and order.ambiguous and not options.date_order:
        raise UnusableFile(
            "ambiguous_dates",
            "Day and month cannot be told apart: every day could be read both ways. Say which order they have.",
        )
    said = options.date_order or (order.order if order else "ymd")
    reader = _Rows(columns, said, file)
    items = list(reader.items())
    notes = [table.words, *columns.notes()]
    if order is not None:
        notes.append(
            {
                "ymd": "Days are read as year, month, day.",
                "dmy": "Days are read as day, month, year.",
                "mdy": "Days are read as month, day, year.",
            }[said]
        )
    return Reading(
        notes=tuple(notes),
        issues=tuple(item for item in items if isinstance(item, Issue)),
        stations=tuple(item for item in items if isinstance(item, StationRecord)),
        operations=tuple(item for item in items if isinstance(item, OperationRecord)),
    )


class _Columns:
    """Which column is which."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.station = table.column(*STATION)
        self.camera = table.column(*CAMERA)
        self.latitude, self.longitude = table.column(*LATITUDE), table.column(*LONGITUDE)
        self.set_up, self.retrieved = table.column(*SET_UP), table.column(*RETRIEVED)
        self.placed = self.latitude >= 0 and self.longitude >= 0
        self.dated = self.set_up >= 0
        self.problems = self._problems()
        if self.station < 0:
            raise UnusableFile(
                "no_station_column", "The first line names no column of stations (station, site, location)."
            )
        if not self.placed and not self.dated:
            raise UnusableFile(
                "no_columns",
                "The first line names neither latitude and longitude nor the day of the set-up (Setup_date).",
            )

    def _problems(self) -> list[tuple[int, int]]:
        found: dict[str, dict[str, int]] = {}
        for index, name in enumerate(self.table.heading):
            if match := _PROBLEM.fullmatch(plain(name)):
                found.setdefault(match[1], {})[match[2]] = index
        return [(one["from"], one["to"]) for one in found.values() if len(one) == 2]

    def days(self) -> Iterator[str]:
        """All cells that hold days."""
        pairs = [column for pair in self.problems for column in pair]
        for column in [self.set_up, self.retrieved, *pairs]:
            yield from (self.table.cell(row, column) for row in self.table.rows)

    def notes(self) -> list[str]:
        said = {plain(name) for name in self.table.heading}
        notes = []
        if {"utmx", "utmy"} & said and not self.placed:
            notes.append("utm_x and utm_y are not read: give latitude and longitude in degrees.")
        if self.dated and self.retrieved < 0:
            notes.append("There is no column of retrievals: every camera is taken to stand still.")
        return notes


class _Rows:
    """Row by row, with what was met before."""

    def __init__(self, columns: _Columns, order: str, file: str) -> None:
        self.columns, self.order, self.file = columns, order, file
        self.places: dict[str, tuple[float | None, float | None]] = {}
        self.begun: set[tuple[str, str, Moment]] = set()

    def items(self) -> Iterator[Issue | StationRecord | OperationRecord]:
        for row in self.columns.table.rows:
            code = self.columns.table.cell(row, self.columns.station)
            if not code or len(code) > 200 or not code.isprintable():
                yield self._issue(row, "no_station", "The line names no station.", code[:80])
                continue
            if len(self.places) >= _MOST_STATIONS and code not in self.places:
                yield self._issue(row, "too_many", "More stations than can be read.", code)
                continue
            yield from self._station(row, code)
            if self.columns.dated:
                yield self._operation(row, code)

    def _station(self, row: Row, code: str) -> Iterator[Issue | StationRecord]:
        place: list[float | None] = [None, None]
        if self.columns.placed:
            cells = [self.columns.table.cell(row, column) for column in (self.columns.latitude, self.columns.longitude)]
            if not all(said_nothing(cell) for cell in cells):
                for index, (cell, most) in enumerate(zip(cells, (90, 180), strict=True)):
                    try:
                        value = number_of(cell, self.columns.table.divider)
                    except ValueError:
                        value = 1000.0
                    if abs(value) > most:
                        yield self._issue(row, "bad_coordinate", NO_DEGREES[index], code)
                        return
                    place[index] = value
        known = self.places.get(code)
        if known is not None and place[0] is not None and known[0] is not None and known != (place[0], place[1]):
            yield self._issue(row, "two_places", "The station has another place in an earlier line.", code)
            return
        if known is None or (known[0] is None and place[0] is not None):
            self.places[code] = place[0], place[1]
            yield StationRecord(row.line, code, place[0], place[1])

    def _operation(self, row: Row, code: str) -> Issue | OperationRecord:
        table, columns = self.columns.table, self.columns
        camera = table.cell(row, columns.camera)
        camera = "" if said_nothing(camera) else camera[:64]
        try:
            set_up = self._moment(row, columns.set_up)
            retrieved = self._moment(row, columns.retrieved)
            pairs = [(self._moment(row, since), self._moment(row, until)) for since, until in columns.problems]
        except ValueError as error:
            cell, reason = error.args
            return self._issue(row, "bad_date", f"A day cannot be read: {reason}.", f"{code} {cell}"[:200])
        if set_up is None:
            return self._issue(row, "no_set_up", "There is no day of the set-up.", code)
        if any((since is None) != (until is None) for since, until in pairs):
            return self._issue(row, "half_problem", "A problem has a beginning or an end only.", code)
        problems = tuple((since, until) for since, until in pairs if since is not None and until is not None)
        operation = Operation(set_up, retrieved, problems, camera)
        if flaw := flaw_of(operation):
            return self._issue(row, flaw, FLAWS[flaw], code)
        if (code, camera, set_up) in self.begun:
            return self._issue(row, "twice", "This camera is set up at the same moment in an earlier line.", code)
        self.begun.add((code, camera, set_up))
        return OperationRecord(row.line, code, operation)

    def _moment(self, row: Row, column: int) -> Moment | None:
        """Raises ValueError(cell, reason)."""
        cell = self.columns.table.cell(row, column)
        if said_nothing(cell):
            return None
        try:
            return moment_in(cell, self.order)
        except ValueError as error:
            raise ValueError(cell[:80], str(error)) from None

    def _issue(self, row: Row, code: str, words: str, detail: str) -> Issue:
        return Issue(code, words, self.file, row.line, detail)


KIND = Kind(
    "stations",
    gettext_noop("Stations and camera operation"),
    read,
    looks_like,
    accepts=(".csv", ".tsv", ".txt"),
    asks=("date_order",),
    help=gettext_noop(
        "A table of stations: latitude and longitude, set-up, retrieval and problems of cameras, as camtrapR has it."
    ),
)
