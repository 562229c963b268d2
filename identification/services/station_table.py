"""Coordinates of stations from a table that somebody made in a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..imports.reading import UnusableFile
from ..imports.tables import decoded
from ..models import Station, Survey, User
from ..sentences import stored_words
from ..spreadsheets import restore
from .audit import audit_record

MOST_BYTES = 2 << 20
_NAMES = {
    "code": ("station", "code", "station_id", "site", "location"),
    "latitude": ("latitude", "lat", "decimallatitude", "y"),
    "longitude": ("longitude", "lon", "long", "lng", "decimallongitude", "x"),
}


@dataclass(frozen=True)
class StationRow:
    """Degrees, north and east positive."""

    code: str
    latitude: float
    longitude: float


def station_rows(data: bytes) -> list[StationRow]:
    """A table with the columns station, latitude and longitude, divided by commas, semicolons or tabs.

    Raises SpotIDError that names the line of what cannot be read.
    """
    if len(data) > MOST_BYTES:
        raise SpotIDError(gettext("A table of stations may have at most %(number)s MB.") % {"number": MOST_BYTES >> 20})
    try:
        text, encoding = decoded(data)
    except UnusableFile as refused:
        raise SpotIDError(stored_words(refused.words)) from None
    if encoding not in ("UTF-8", "UTF-16"):
        # Nobody looks at what comes of it here; an import shows it first.
        raise SpotIDError(gettext("The table is not UTF-8 text. Save it as CSV UTF-8."))
    head = text.split("\n", 1)[0]
    divider = max(",;\t", key=head.count)
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=divider))
    except csv.Error as error:
        raise SpotIDError(gettext("The table cannot be read: %(error)s.") % {"error": error}) from None
    columns = _columns(lines[0] if lines else [])
    rows: dict[str, StationRow] = {}
    for number, cells in enumerate(lines[1:], 2):
        if any(cell.strip() for cell in cells):
            row = _row(number, cells, columns, divider)
            if row.code in rows:
                raise SpotIDError(
                    gettext("Line %(number)s: %(code)s stands in the table twice.")
                    % {"number": number, "code": row.code}
                )
            rows[row.code] = row
    if not rows:
        raise SpotIDError(gettext("The table holds no station."))
    return list(rows.values())


def _columns(head: list[str]) -> dict[str, int]:
    said = [cell.strip().casefold() for cell in head]
    found = {name: next((said.index(word) for word in words if word in said), -1) for name, words in _NAMES.items()}
    missing = [name for name, column in found.items() if column < 0]
    if missing:
        wanted = ", ".join("station" if name == "code" else name for name in missing)
        raise SpotIDError(
            gettext("The first line has to name the columns station, latitude and longitude; missing: %(wanted)s.")
            % {"wanted": wanted}
        )
    return found


def _row(number: int, cells: list[str], columns: dict[str, int], divider: str) -> StationRow:
    if len(cells) <= max(columns.values()):
        raise SpotIDError(gettext("Line %(number)s has too few cells.") % {"number": number})
    code = restore(cells[columns["code"]].strip())
    if not code or len(code) > 200 or not code.isprintable():
        raise SpotIDError(gettext("Line %(number)s names no station.") % {"number": number})
    place = []
    for name, most in (("latitude", 90.0), ("longitude", 180.0)):
        cell = restore(cells[columns[name]].strip())
        try:
            degrees = float(cell.replace(",", ".") if divider != "," else cell)
        except ValueError:
            degrees = math.nan
        if not abs(degrees) <= most:
            raise SpotIDError(
                gettext("Line %(number)s: %(name)s has to be a number of degrees from -%(most)s to %(most)s.")
                % {"number": number, "name": name, "most": f"{most:.0f}"}
            )
        place.append(degrees)
    return StationRow(code, place[0], place[1])


@transaction.atomic
def stations_place(*, survey: Survey, acting_user: User | None, rows: list[StationRow]) -> tuple[int, int]:
    """Set the coordinates of stations by their code; returns how many were known and how many were made.

    All or none; the audit row holds codes and no places.
    """
    known = {station.code: station for station in survey.stations.select_for_update()}
    made = []
    for row in rows:
        station = known.get(row.code)
        if station is None:
            made.append(Station(survey=survey, code=row.code, latitude=row.latitude, longitude=row.longitude))
        else:
            station.latitude, station.longitude = row.latitude, row.longitude
            station.save(update_fields=["latitude", "longitude"])
    Station.objects.bulk_create(made)
    audit_record(
        acting_user=acting_user,
        action="stations.place",
        target=survey,
        survey=survey,
        after={"stations": [row.code for row in rows], "new": [station.code for station in made]},
    )
    return len(rows) - len(made), len(made)
