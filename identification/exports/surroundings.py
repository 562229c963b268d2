"""Where and for how long cameras stood, and every box: what formats ask for besides sightings. Read in the snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from django.db import models

from ..matching.operation import Operation as Record
from ..matching.operation import worked
from ..models import CameraClock, CameraOperation, Detection, Image, Station
from ..presenting import GRID_DEGREES
from ..selectors.camera_operation import operation_read
from ..selectors.shots import CLOCK_SUSPECT

if TYPE_CHECKING:
    from .snapshot import ExportSurvey

_DAY = timedelta(days=1)

# Where a camera's days come from.
RECORDED, PHOTOGRAPHED = "camera operation", "first and last photo"


@dataclass(frozen=True)
class ExportStation:
    """A camera location; degrees of WGS 84, or None where nobody has said where it is."""

    id: int
    survey_id: int
    code: str
    latitude: float | None
    longitude: float | None
    grid: float = GRID_DEGREES

    @property
    def degrees(self) -> tuple[float, float] | None:
        """Latitude and longitude."""
        return None if self.latitude is None or self.longitude is None else (self.latitude, self.longitude)


@dataclass(frozen=True)
class Operation:
    """One camera of a station ("" for all of its cameras) from set-up to retrieval, in the survey's zone.

    record: as people wrote it down; None where it is only known from the first and the last photo.
    """

    survey_id: int
    station_id: int
    camera: str
    begin: datetime
    end: datetime
    record: Record | None = None

    @property
    def source(self) -> str:
        return PHOTOGRAPHED if self.record is None else RECORDED

    @property
    def first(self) -> date:
        return self.begin.date()

    @property
    def last(self) -> date:
        return self.end.date()

    def away(self, day: date) -> int:
        """By how many days a day misses the time that it stood; 0 within."""
        return max((self.first - day).days, (day - self.last).days, 0)


@dataclass(frozen=True)
class ExportBox:
    """One box on a photo, whoever made it."""

    id: int
    photo_id: int
    category: str
    box: tuple[float, float, float, float]
    species: str
    triage: str
    triage_by_person: bool
    flank: str
    flank_by_person: bool
    usable: bool
    reason: str
    confidence: float
    engine: str
    drawn: bool


def stations_read(surveys: list[int]) -> tuple[ExportStation, ...]:
    rows = Station.objects.filter(survey__in=surveys).select_related("survey")
    named = sorted(rows, key=lambda row: (row.survey.name, row.label, row.pk))
    return tuple(
        ExportStation(row.pk, row.survey_id, row.label, row.latitude, row.longitude, row.survey.place_grid)
        for row in named
    )


def operations_read(surveys: Sequence[ExportSurvey]) -> tuple[Operation, ...]:
    """What each camera is known to have done: as people recorded it, else from its first to its last photo.

    A camera of which something is recorded is never judged by its photos.
    """
    found = []
    for survey in surveys:
        seen = _photographed(survey)
        recorded = _recorded(survey, seen)
        known = {(row.station_id, row.camera) for row in recorded}
        # What is recorded of a station as a whole speaks of all its cameras.
        whole = {station for station, camera in known if not camera}
        found += recorded
        found += [row for row in seen if (row.station_id, row.camera) not in known and row.station_id not in whole]
    return tuple(sorted(found, key=lambda row: (row.survey_id, row.station_id, row.camera, row.begin)))


def _recorded(survey: ExportSurvey, seen: Sequence[Operation]) -> list[Operation]:
    found = []
    for row in CameraOperation.objects.filter(station__survey=survey.id).order_by("station", "camera", "set_up", "pk"):
        record = operation_read(row)
        begin = _instant(record.set_up, survey)
        photos = [one.end for one in seen if one.station_id == row.station_id and row.camera in ("", one.camera)]
        # A camera that still stands is known to have stood until its last photo.
        end = _instant(record.retrieved, survey) if record.retrieved else max([*photos, begin])
        found.append(Operation(survey.id, row.station_id, row.camera, begin, end, record))
    return found


def _instant(moment: date, survey: ExportSurvey) -> datetime:
    at = moment if isinstance(moment, datetime) else datetime.combine(moment, time(12))
    return at.replace(tzinfo=survey.zone)


def _photographed(survey: ExportSurvey) -> list[Operation]:
    said = CameraClock.objects.filter(
        station=models.OuterRef("station"), camera=models.OuterRef("camera"), by_person=True
    )
    times = (
        Image.objects.filter(survey=survey.id, station__isnull=False, captured_at__isnull=False)
        .exclude(models.Q(flags__contains=[CLOCK_SUSPECT]) & ~models.Exists(said))
        .order_by("station_id", "camera")
        .values("station_id", "camera")
        .annotate(begin=models.Min("captured_at"), end=models.Max("captured_at"))
    )
    return [
        Operation(
            survey.id,
            row["station_id"],
            row["camera"],
            row["begin"].astimezone(survey.zone),
            row["end"].astimezone(survey.zone),
        )
        for row in times
    ]


def days_worked(operations: Iterable[Operation]) -> dict[int, dict[date, float]]:
    """By station the share of each day on which at least one of its cameras worked.

    Recorded to the hour; of a camera known by its photos only, whole days from the first to the last of them.
    """
    stations: dict[int, list[Operation]] = defaultdict(list)
    for operation in operations:
        stations[operation.station_id].append(operation)
    return {station: _shares(rows) for station, rows in stations.items()}


def _shares(rows: Sequence[Operation]) -> dict[date, float]:
    # One that still stands counts to the end of its last photo's day.
    still = {row.record: datetime.combine(row.last + _DAY, time()) for row in rows if row.record is not None}
    records = [record if record.retrieved else replace(record, retrieved=end) for record, end in still.items()]
    days = worked(records)
    for row in rows:
        if row.record is None:
            days |= {row.first + at * _DAY: 1.0 for at in range((row.last - row.first).days + 1)}
    return days


def boxes_read(surveys: list[int]) -> tuple[ExportBox, ...]:
    rows = Detection.objects.filter(image__survey__in=surveys).order_by("image_id", "x1", "y1", "x2", "y2", "pk")
    fields = (
        "pk", "image_id", "category", "x1", "y1", "x2", "y2", "species", "triage", "triage_by_person", "flank",
        "flank_by_person", "usable", "unusable_reason", "confidence", "engine", "source",
    )  # fmt: skip
    return tuple(
        ExportBox(
            id=row["pk"],
            photo_id=row["image_id"],
            category=row["category"],
            box=(row["x1"], row["y1"], row["x2"], row["y2"]),
            species=row["species"],
            triage=row["triage"],
            triage_by_person=row["triage_by_person"],
            flank=row["flank"],
            flank_by_person=row["flank_by_person"],
            usable=row["usable"],
            reason=row["unusable_reason"],
            confidence=row["confidence"],
            engine=row["engine"],
            drawn=row["source"] == "drawn",
        )
        for row in rows.values(*fields).iterator(chunk_size=5000)
    )
