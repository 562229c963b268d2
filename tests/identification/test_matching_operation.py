"""Days that cameras worked, checked against hours that are counted one by one."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

import pytest

from identification.matching.operation import Operation, effort, flaw_of, moment_of, moment_text, worked

FIRST = date(2024, 3, 1)


def _day(number: int) -> date:
    return FIRST + timedelta(days=number)


def _at(number: int, hour: int) -> datetime:
    return datetime(2024, 3, 1) + timedelta(days=number, hours=hour)


def test_of_nothing_there_is_nothing() -> None:
    assert worked([]) == {} and effort({}) == 0


def test_days_alone_are_noon_to_noon() -> None:
    days = worked([Operation(_day(0), _day(3))])
    assert days == {_day(0): 0.5, _day(1): 1, _day(2): 1, _day(3): 0.5}
    assert effort(days) == 3


def test_instants_count_as_they_are() -> None:
    days = worked([Operation(_at(0, 18), _at(2, 6))])
    assert days == {_day(0): 0.25, _day(1): 1, _day(2): 0.25}


def test_a_problem_takes_whole_days_or_its_hours() -> None:
    whole = worked([Operation(_day(0), _day(5), ((_day(2), _day(3)),))])
    assert [whole[_day(n)] for n in range(6)] == [0.5, 1, 0, 0, 1, 0.5]
    hours = worked([Operation(_day(0), _day(2), ((_at(1, 6), _at(1, 12)),))])
    assert hours[_day(1)] == 0.75
    dead = worked([Operation(_day(0), _day(3), ((_day(2), _day(3)),))])
    assert [dead[_day(n)] for n in range(4)] == [0.5, 1, 0, 0]
    never = worked([Operation(_day(0), _day(1), ((_day(0), _day(1)),))])
    assert never == {_day(0): 0, _day(1): 0}


def test_one_camera_that_works_is_enough_for_a_station() -> None:
    a = Operation(_day(0), _day(4), ((_day(1), _day(2)),), camera="A")
    b = Operation(_day(2), _day(6), camera="B")
    days = worked([a, b])
    assert [days[_day(n)] for n in range(7)] == [0.5, 0, 0.5, 1, 1, 1, 0.5]
    assert days == worked([b, a])


def test_a_camera_that_still_stands_needs_to_be_told_until_when() -> None:
    still = Operation(_day(0))
    assert worked([still]) == {}
    assert worked([still], until=_day(2)) == {_day(0): 0.5, _day(1): 1, _day(2): 1}
    assert worked([still], until=_at(1, 6)) == {_day(0): 0.5, _day(1): 0.25}
    assert worked([still], until=_day(-3)) == {}


def test_the_shares_are_those_of_hours_counted_one_by_one() -> None:
    rng = random.Random(7)
    for _ in range(60):
        operations = []
        for camera in "AB"[: rng.choice((1, 2))]:
            first = rng.randrange(0, 100)
            last = first + rng.randrange(1, 150)
            problems = []
            for _ in range(rng.randrange(3)):
                since = rng.randrange(first, last)
                problems.append((_at(0, since), _at(0, rng.randrange(since, last) + 1)))
            operations.append(Operation(_at(0, first), _at(0, last), tuple(problems), camera))
        expected: dict[date, float] = {}
        for hour in range(300):
            moment = _at(0, hour)
            stands = [o for o in operations if o.set_up <= moment < o.retrieved]  # type: ignore[operator]
            works = [o for o in stands if not any(since <= moment < to for since, to in o.problems)]
            if stands:
                expected.setdefault(moment.date(), 0.0)
                expected[moment.date()] += bool(works) / 24
        found = worked(operations)
        assert set(found) == set(expected)
        assert all(found[day] == pytest.approx(share) for day, share in expected.items())


@pytest.mark.parametrize(
    ("operation", "flaw"),
    [
        (Operation(_day(0), _day(3)), ""),
        (Operation(_day(0), _day(0)), ""),
        (Operation(_day(0)), ""),
        (Operation(_day(3), _day(0)), "reversed"),
        (Operation(_at(3, 8), _at(3, 7)), "reversed"),
        (Operation(date(202, 3, 1), _day(0)), "too_long"),
        (Operation(_day(0), _day(9), ((_day(4), _day(3)),)), "problem_reversed"),
        (Operation(_day(0), _day(9), ((_at(4, 9), _at(4, 8)),)), "problem_reversed"),
        (Operation(_day(4), _day(9), ((_day(1), _day(3)),)), "problem_outside"),
        (Operation(_day(4), _day(9), ((_day(10), _day(12)),)), "problem_outside"),
        (Operation(_day(4), _day(9), ((_day(4), _day(9)),)), ""),
    ],
)
def test_what_cannot_be_is_named(operation: Operation, flaw: str) -> None:
    assert flaw_of(operation) == flaw


@pytest.mark.parametrize("moment", [_day(4), _at(4, 17)])
def test_moments_are_stored_and_read(moment: date) -> None:
    assert moment_of(moment_text(moment)) == moment
    assert type(moment_of(moment_text(moment))) is type(moment)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "2024-03-01T10:00+02:00"])
def test_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        moment_of(text)
