"""Writing down when cameras stood and worked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..matching.operation import Moment, Operation, flaw_of, moment_text
from ..models import CameraOperation, Station, Survey, User
from ..selectors.camera_operation import operation_read
from .audit import audit_record


@dataclass(frozen=True)
class OperationsSet:
    """What came of it, in rows of operation: written, left as they were, removed. stations: codes that were made."""

    written: int = 0
    same: int = 0
    removed: int = 0
    stations: tuple[str, ...] = ()


def flaw_words(flaw: str) -> str:
    """What `flaw_of` found, for people; in the reader's language."""
    return {
        "reversed": gettext("the retrieval is not after the set-up"),
        "too_long": gettext("set-up and retrieval are more than ten years apart"),
        "problem_reversed": gettext("a problem ends before it begins"),
        "problem_outside": gettext("a problem lies outside set-up and retrieval"),
    }[flaw]


@transaction.atomic
def operations_set(*, survey: Survey, acting_user: User | None, rows: Iterable[tuple[str, Operation]]) -> OperationsSet:
    """Say of stations, by their code, when their cameras worked. What is said of a station replaces all that was known
    of it; others stay. Saying the same again changes nothing and leaves no audit row.

    Raises SpotIDError for an operation that cannot be, or two of one camera that begin at the same moment.
    """
    wanted: dict[str, list[Operation]] = defaultdict(list)
    for code, operation in rows:
        if flaw := flaw_of(operation):
            raise SpotIDError(f"{code} {operation.camera}".strip() + f": {flaw_words(flaw)}.")
        if any(_key(operation) == _key(other) for other in wanted[code]):
            raise SpotIDError(
                gettext("%(station)s: one camera is set up twice at the same moment.") % {"station": code}
            )
        wanted[code].append(operation)
    known = {station.code: station for station in survey.stations.select_for_update().filter(code__in=wanted)}
    made = Station.objects.bulk_create(Station(survey=survey, code=code) for code in wanted if code not in known)
    known |= {station.code: station for station in made}
    written = same = removed = 0
    for code, operations in wanted.items():
        counts = _replace(known[code], operations)
        written, same, removed = written + counts[0], same + counts[1], removed + counts[2]
    if written or removed or made:
        audit_record(
            acting_user=acting_user,
            action="stations.operation",
            target=survey,
            survey=survey,
            after={"stations": sorted(wanted), "written": written, "removed": removed},
        )
    return OperationsSet(written, same, removed, tuple(station.code for station in made))


@transaction.atomic
def operations_forget(*, survey: Survey, acting_user: User | None, station: Station) -> int:
    """Take back what was said of a station; returns how many operations that were."""
    removed, _ = CameraOperation.objects.filter(station=station, station__survey=survey).delete()
    if removed:
        audit_record(
            acting_user=acting_user,
            action="stations.operation",
            target=survey,
            survey=survey,
            after={"stations": [station.code], "written": 0, "removed": removed},
        )
    return removed


def _key(operation: Operation) -> tuple[str, date, time | None]:
    day, at = _parts(operation.set_up)
    return operation.camera, day, at


def _parts(moment: Moment) -> tuple[date, time | None]:
    return (moment.date(), moment.time()) if isinstance(moment, datetime) else (moment, None)


def _replace(station: Station, operations: list[Operation]) -> tuple[int, int, int]:
    """How many were written, the same, removed."""
    there = {operation_read(row): row.pk for row in station.operations.all()}
    gone = [pk for operation, pk in there.items() if operation not in operations]
    station.operations.filter(pk__in=gone).delete()
    fresh = [operation for operation in operations if operation not in there]
    CameraOperation.objects.bulk_create(_row(station, operation) for operation in fresh)
    return len(fresh), len(operations) - len(fresh), len(gone)


def _row(station: Station, operation: Operation) -> CameraOperation:
    set_up, set_up_time = _parts(operation.set_up)
    retrieved, retrieved_time = _parts(operation.retrieved) if operation.retrieved is not None else (None, None)
    return CameraOperation(
        station=station,
        camera=operation.camera[:64],
        set_up=set_up,
        set_up_time=set_up_time,
        retrieved=retrieved,
        retrieved_time=retrieved_time,
        problems=[[moment_text(since), moment_text(until)] for since, until in operation.problems],
    )
