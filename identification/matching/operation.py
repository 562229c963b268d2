"""When cameras stood and worked, and what that makes of each day. Pure functions.

Times are those of the survey's zone, without a zone of their own: what a person writes into a field book. Where only a
day is known, a camera stood from noon of its first to noon of its last day, and a problem lasted whole days, both
counted; so camtrapR's `cameraOperation` reads the same table since its version 2.1. A day has 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

_DAY = timedelta(days=1)
_NOON = time(12)
# More is a slip of the pen in a year.
LONGEST_DAYS = 3660

# A day, or an instant of it (a datetime without zone).
Moment = date
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Operation:
    """One camera of a station, or all of them (camera ""), from set-up to retrieval.

    retrieved: None while it stands, or where nobody knows. problems: from and to, in which it did not work.
    """

    set_up: Moment
    retrieved: Moment | None = None
    problems: tuple[tuple[Moment, Moment], ...] = ()
    camera: str = ""


def flaw_of(operation: Operation) -> str:
    """What cannot be in it, as a code: "reversed", "too_long", "problem_reversed", "problem_outside"; "" if nothing."""
    first, last = _begin(operation), _end(operation, None)
    if last is not None:
        if last < first or (last == first and operation.retrieved != operation.set_up):
            return "reversed"
        if (last - first).days > LONGEST_DAYS:
            return "too_long"
    for since, until in operation.problems:
        if _start_of(until) < _start_of(since) or (_is_instant(until) and _as_instant(until) < _start_of(since)):
            return "problem_reversed"
        if _day(until) < _day(operation.set_up) or (
            operation.retrieved is not None and _day(since) > _day(operation.retrieved)
        ):
            return "problem_outside"
    return ""


def worked(operations: Iterable[Operation], *, until: Moment | None = None) -> dict[date, float]:
    """The share of each day, 0 to 1, on which at least one of the cameras worked; 0 on days when one only stood.

    until: how long one without a retrieval is taken to have stood, for instance to the station's last photo; without
    it such a camera is left out, except for the days of others.
    """
    standing: list[Span] = []
    running: list[Span] = []
    for operation in operations:
        last = _end(operation, until)
        first = _begin(operation)
        if last is None or last <= first or (last - first).days > LONGEST_DAYS:
            continue
        standing.append((first, last))
        running += _without((first, last), [_trouble(operation, since, to) for since, to in operation.problems])
    days = {day: 0.0 for day, _ in _by_day(_joined(standing))}
    for day, share in _by_day(_joined(running)):
        days[day] += share
    return {day: min(1.0, share) for day, share in sorted(days.items())}


def effort(days: Mapping[date, float]) -> float:
    """Camera days: the sum of the shares."""
    return round(sum(days.values()), 6)


def moment_text(moment: Moment) -> str:
    """ISO 8601: `2024-03-01`, or `2024-03-01T17:30` with the time. The inverse of `moment_of`."""
    return moment.isoformat(timespec="minutes") if isinstance(moment, datetime) else moment.isoformat()


def moment_of(text: str) -> Moment:
    """Raises ValueError for what is no day and no instant, or has a zone."""
    if len(text) <= 10:
        return date.fromisoformat(text)
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is not None:
        raise ValueError("The time has a zone.")
    return instant


def _is_instant(moment: Moment) -> bool:
    return isinstance(moment, datetime)


def _day(moment: Moment) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _as_instant(moment: Moment, at: time = time()) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, at)


def _start_of(moment: Moment) -> datetime:
    return _as_instant(moment)


def _begin(operation: Operation) -> datetime:
    return _as_instant(operation.set_up, _NOON)


def _end(operation: Operation, until: Moment | None) -> datetime | None:
    if operation.retrieved is not None:
        return _as_instant(operation.retrieved, _NOON)
    if until is None:
        return None
    return until if isinstance(until, datetime) else datetime.combine(until, time()) + _DAY


def _trouble(operation: Operation, since: Moment, until: Moment) -> Span:
    end = until if isinstance(until, datetime) else datetime.combine(until, time()) + _DAY
    return _start_of(since), end


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Spans that do not overlap, in order."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def _without(span: Span, gaps: Iterable[Span]) -> list[Span]:
    left: list[Span] = []
    at = span[0]
    for first, last in _joined(gaps):
        if last <= at or first >= span[1]:
            continue
        if first > at:
            left.append((at, first))
        at = max(at, last)
    if at < span[1]:
        left.append((at, span[1]))
    return left


def _by_day(spans: Iterable[Span]) -> Iterable[tuple[date, float]]:
    """Days with the share of them that lies in a span; a day of two spans comes twice."""
    for first, last in spans:
        day = datetime.combine(first.date(), time())
        while day < last:
            yield day.date(), (min(last, day + _DAY) - max(first, day)) / _DAY
            day += _DAY
