"""When the cameras of a survey stood and worked, as far as people have said it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time

from ..matching.operation import Moment, Operation, effort, moment_of, worked
from ..models import CameraOperation, Survey
from ..presenting import moment_words


def operation_read(row: CameraOperation) -> Operation:
    """A stored row as the pure functions take it."""
    return Operation(
        _moment(row.set_up, row.set_up_time),
        None if row.retrieved is None else _moment(row.retrieved, row.retrieved_time),
        tuple((moment_of(since), moment_of(until)) for since, until in row.problems),
        row.camera,
    )


def _moment(day: date, at: time | None) -> Moment:
    return day if at is None else datetime.combine(day, at)


def operations_of(survey: Survey) -> dict[int, tuple[Operation, ...]]:
    """Operations by station id; stations of which nothing is known are left out. One query."""
    found: dict[int, list[Operation]] = defaultdict(list)
    for row in CameraOperation.objects.filter(station__survey=survey).order_by("station", "camera", "set_up", "pk"):
        found[row.station_id].append(operation_read(row))
    return {station: tuple(rows) for station, rows in found.items()}


def worked_days(
    survey: Survey, *, until: Mapping[int, Moment] | None = None, camera: str | None = None
) -> dict[int, dict[date, float]]:
    """The share of each day on which a station worked, by station id, where it is known; see `matching.operation`.

    until: by station, how long a camera without a retrieval is taken to have stood, for instance to the last photo.
    camera: of one camera alone, and of operations that speak of all cameras.
    """
    last = until or {}
    found = {}
    for station, operations in operations_of(survey).items():
        own = [one for one in operations if camera is None or one.camera in ("", camera)]
        if own:
            found[station] = worked(own, until=last.get(station))
    return found


@dataclass(frozen=True)
class OperationShown:
    """One camera's operation for a page, in the reader's language. days: camera days, None while it stands."""

    station: str
    camera: str
    first: str
    last: str
    problems: str
    days: float | None


def operations_shown(survey: Survey) -> list[OperationShown]:
    """By station and camera. One query."""
    rows = CameraOperation.objects.filter(station__survey=survey).select_related("station")
    ordered = sorted(rows.order_by("set_up", "pk"), key=lambda row: (row.station.label, row.camera))
    return [_shown(row) for row in ordered]


def _shown(row: CameraOperation) -> OperationShown:
    operation = operation_read(row)
    last = operation.retrieved
    return OperationShown(
        station=row.station.label,
        camera=row.camera,
        first=moment_words(operation.set_up),
        last=moment_words(last) if last is not None else "",
        problems="; ".join(f"{moment_words(since)} – {moment_words(until)}" for since, until in operation.problems),
        days=effort(worked([operation])) if last is not None else None,
    )
