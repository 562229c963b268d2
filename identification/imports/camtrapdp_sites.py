"""Deployments of Camtrap DP: stations, places and when cameras worked. Pure functions."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import datetime

from ..matching.operation import Moment, Operation, flaw_of, moment_of
from .camtrapdp_tables import Cells, Package
from .reading import Issue, OperationRecord, StationRecord

# Of coordinates that stand for a wide place: no exact ones are made of them.
COARSE_METRES, COARSE_DEGREES = 5000.0, 0.01
# What our own export writes where operation is only known from photos.
_BY_PHOTOS = "operation:first and last photo"
_PROBLEM = re.compile(r"not working from (\d{4}-\d\d-\d\d(?:T\d\d:\d\d)?) to (\d{4}-\d\d-\d\d(?:T\d\d:\d\d)?)")
GENERALISED = "The place is given for a wide area only; it is left out."
NO_PLACE = "The place is no latitude and longitude in degrees; it is left out."
_FLAWS = {
    "reversed": "The retrieval is not after the set-up.",
    "too_long": "Set-up and retrieval are more than ten years apart.",
    "problem_reversed": "A problem ends before it begins.",
    "problem_outside": "A problem lies outside set-up and retrieval.",
}


@dataclass(frozen=True)
class Site:
    station: str
    camera: str


@dataclass(frozen=True)
class Sites:
    by_id: dict[str, Site]
    stations: tuple[StationRecord, ...]
    operations: tuple[OperationRecord, ...]
    issues: tuple[Issue, ...]


def sites_of(package: Package, zone: zoneinfo.ZoneInfo) -> Sites:
    """zone: of the survey, in which operation is written down."""
    made = _Sites(package, zone)
    for row in package.rows("deployments"):
        made.take(row)
    return Sites(made.by_id, tuple(made.stations.values()), tuple(made.operations), tuple(made.issues))


class _Sites:
    def __init__(self, package: Package, zone: zoneinfo.ZoneInfo) -> None:
        self.file, self.zone = package.file("deployments"), zone
        precision = package.about.get("coordinatePrecision")
        self.coarse = isinstance(precision, (int, float)) and precision >= COARSE_DEGREES
        self.by_id: dict[str, Site] = {}
        self.stations: dict[str, StationRecord] = {}
        self.operations: list[OperationRecord] = []
        self.issues: list[Issue] = []

    def take(self, row: Cells) -> None:
        ident = row["deploymentID"]
        code = " ".join((row["locationName"] or row["locationID"] or ident).split())[:200]
        if not ident or ident in self.by_id:
            self._issue("deployment_twice", "The deployment has no deploymentID, or one that an earlier line has.", row)
            return
        self.by_id[ident] = site = Site(code, row["cameraID"][:64])
        place = self._place(row)
        known = self.stations.get(code)
        if known is None or known.latitude is None:
            self.stations[code] = StationRecord(row.line, code, *(place or (None, None)))
        elif place is not None and (known.latitude, known.longitude) != place:
            self._issue("place_differs", "The station has another place in an earlier line.", row, code)
        if _BY_PHOTOS not in row["deploymentTags"]:
            self._operation(row, site)

    def _issue(self, code: str, words: str, row: Cells, detail: str = "") -> None:
        self.issues.append(Issue(code, words, self.file, row.line, detail or row["deploymentID"][:200]))

    def _place(self, row: Cells) -> tuple[float, float] | None:
        try:
            latitude, longitude = float(row["latitude"]), float(row["longitude"])
            uncertainty = float(row["coordinateUncertainty"] or 0)
        except ValueError:
            if row["latitude"] or row["longitude"]:
                self._issue("bad_place", NO_PLACE, row)
            return None
        if not (abs(latitude) <= 90 and abs(longitude) <= 180):
            self._issue("bad_place", NO_PLACE, row)
            return None
        if self.coarse or uncertainty >= COARSE_METRES:
            self._issue("generalised", GENERALISED, row)
            return None
        return latitude, longitude

    def _operation(self, row: Cells, site: Site) -> None:
        begin, end = self._moment(row["deploymentStart"]), self._moment(row["deploymentEnd"])
        if begin is None or (end is None and row["deploymentEnd"]):
            self._issue(
                "bad_time", "Set-up or retrieval is no time with a zone; when the camera worked is left out.", row
            )
            return
        problems = tuple(
            (moment_of(since), moment_of(until)) for since, until in _PROBLEM.findall(row["deploymentComments"])
        )
        operation = Operation(begin, end, problems, site.camera)
        if flaw := flaw_of(operation):
            self._issue(flaw, _FLAWS[flaw], row)
            return
        same = (known for known in self.operations if known.station == site.station)
        if any((known.operation.camera, known.operation.set_up) == (site.camera, begin) for known in same):
            self._issue("twice", "This camera is set up at the same moment in an earlier line.", row)
            return
        self.operations.append(OperationRecord(row.line, site.station, operation))

    def _moment(self, text: str) -> Moment | None:
        """By the clock of the survey."""
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
        if found.tzinfo is not None:
            found = found.astimezone(self.zone).replace(tzinfo=None)
        return found.replace(second=0, microsecond=0)
