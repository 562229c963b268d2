"""Gaps, effort and accumulation, checked by counting and by drawing at random."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from identification.matching.effort import accumulation_of, gaps_of, rarefied, silences_of, station_nights

MONDAY = date(2024, 3, 4)


def _day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def test_of_nothing_there_is_nothing() -> None:
    assert gaps_of([]) == []
    assert station_nights(None) == 0
    nothing = accumulation_of({}, [])
    assert (nothing.individuals, nothing.nights, nothing.observed, nothing.expected) == (0, 0, (), ())
    assert accumulation_of({1: (_day(0), _day(9))}, []).observed == ()


def test_gaps_are_the_days_between() -> None:
    days = [_day(0), _day(1), _day(9), _day(9), _day(16)]
    assert [(gap.first, gap.last, gap.days) for gap in gaps_of(days)] == [(_day(2), _day(8), 7)]
    assert [gap.days for gap in gaps_of(days, least=6)] == [7, 6]
    assert station_nights((_day(0), _day(16))) == 17


def test_silence_is_a_run_of_working_days_without_a_photo() -> None:
    assert silences_of([], []) == [] and silences_of([_day(1)], []) == []
    working = [_day(n) for n in range(30) if n not in (12, 13)]
    found = silences_of([_day(8), _day(21)], working)
    assert [(gap.first, gap.last) for gap in found] == [(_day(0), _day(7)), (_day(14), _day(20)), (_day(22), _day(29))]


def test_days_that_are_known_take_the_place_of_first_and_last() -> None:
    spans = {1: (_day(0), _day(9)), 2: (_day(0), _day(3))}
    seen = [(7, 1, _day(1)), (8, 2, _day(3))]
    found = accumulation_of(spans, seen, worked={1: {_day(1), _day(5)}})
    assert found.observed == ((0, 0), (1, 0), (3, 1), (4, 1), (5, 2), (6, 2))
    assert accumulation_of({}, [(7, 1, _day(1))], worked={1: {_day(1)}}).nights == 1


def test_the_observed_curve_adds_up_day_by_day() -> None:
    spans = {1: (_day(0), _day(4)), 2: (_day(2), _day(3)), 3: (_day(7), _day(8))}
    seen = [(10, 1, _day(1)), (10, 2, _day(2)), (11, 2, _day(3)), (11, 2, _day(3)), (12, 3, _day(7))]
    found = accumulation_of(spans, seen)
    assert found.observed == ((0, 0), (1, 0), (2, 1), (4, 1), (6, 2), (7, 2), (8, 3), (9, 3))
    assert (found.nights, found.individuals, found.once) == (9, 3, 2)
    assert found.nights == sum(station_nights(span) for span in spans.values())


def test_the_expected_curve_is_the_mean_over_random_orders() -> None:
    rng = random.Random(3)
    nights = [(station, _day(day)) for station in (1, 2, 3) for day in range(20)]
    seen = [(animal, *night) for animal in range(8) for night in rng.sample(nights, rng.choice((1, 1, 2, 5, 12)))]
    spans = {station: (_day(0), _day(19)) for station in (1, 2, 3)}
    expected = dict(accumulation_of(spans, seen).expected)
    by_night: dict[tuple[int, date], set[int]] = {}
    for animal, station, day in seen:
        by_night.setdefault((station, day), set()).add(animal)
    totals: Counter[int] = Counter()
    draws = 4000
    for _ in range(draws):
        rng.shuffle(nights)
        found: set[int] = set()
        for number, night in enumerate(nights, 1):
            found |= by_night.get(night, set())
            totals[number] += len(found)
    assert expected[0] == 0
    assert expected[60] == pytest.approx(8)
    for number, value in expected.items():
        assert value == pytest.approx(totals[number] / draws, abs=0.12)


def test_an_individual_in_every_sample_is_found_by_the_first() -> None:
    assert rarefied({5: 1}, 5, 1) == pytest.approx(1)
    assert rarefied({1: 4}, 8, 2) == pytest.approx(1)
    assert rarefied({1: 4}, 8, 0) == pytest.approx(0)


def test_long_surveys_give_a_curve_of_few_points() -> None:
    spans = {station: (_day(0), _day(199)) for station in range(100)}
    found = accumulation_of(spans, [(1, 0, _day(5)), (2, 3, _day(7))])
    assert found.nights == 20_000 and len(found.expected) <= 62
    assert found.expected[-1] == (20_000, pytest.approx(2))
