"""Whether an animal can have walked from one station to the next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identification.matching.travel import Sighting, haversine_km, reach_km, too_fast

START = datetime(2024, 3, 1, 6, tzinfo=UTC)
KM = 1 / 111.19508  # degrees of latitude


def seen(detection: int, station: int, minutes: float, north_km: float = 0.0) -> Sighting:
    return Sighting(detection, station, START + timedelta(minutes=minutes), 27.0 + north_km * KM, 84.0)


def test_distances_agree_with_known_ones() -> None:
    assert haversine_km(0, 0, 0, 0) == 0
    assert haversine_km(0, 0, 0, 90) == pytest.approx(6371.0088 * 3.14159265 / 2, rel=1e-6)
    assert haversine_km(90, 0, -90, 17) == pytest.approx(6371.0088 * 3.14159265, rel=1e-6)
    # Paris to New York, as published by many calculators of great circles: 5 837 km.
    assert haversine_km(48.8566, 2.3522, 40.7128, -74.0060) == pytest.approx(5837, abs=2)
    assert haversine_km(10, 179.9, 10, -179.9) == pytest.approx(haversine_km(10, 0, 10, 0.2))


def test_one_photo_and_one_station_are_no_journey() -> None:
    assert too_fast([]) == [] and too_fast([seen(1, 1, 0)]) == []
    assert too_fast([seen(1, 1, 0), seen(2, 1, 0, north_km=90)]) == []


def test_a_walk_is_possible_and_a_flight_is_not() -> None:
    assert too_fast([seen(1, 1, 0), seen(2, 2, 60, north_km=11)]) == []
    [journey] = too_fast([seen(2, 2, 60, north_km=12), seen(1, 1, 0)])
    assert (journey.first, journey.second, journey.seconds) == (1, 2, 3600)
    assert journey.kilometres == pytest.approx(12, abs=0.01)


def test_clocks_and_places_are_given_their_doubt() -> None:
    assert reach_km(0) == pytest.approx(0.5 + 10 / 12)
    assert too_fast([seen(1, 1, 0), seen(2, 2, 0, north_km=1.3)]) == []
    assert len(too_fast([seen(1, 1, 0), seen(2, 2, 0, north_km=1.4)])) == 1


def test_a_fast_step_is_found_among_slow_ones_and_named_once() -> None:
    rows = [seen(1, 1, 0), seen(2, 1, 30), seen(3, 2, 31, north_km=20), seen(4, 1, 33), seen(5, 3, 5000, north_km=40)]
    [journey] = too_fast(rows)
    assert {journey.first, journey.second} == {2, 3}


def test_a_higher_speed_forgives_more() -> None:
    rows = [seen(1, 1, 0), seen(2, 2, 60, north_km=30)]
    assert too_fast(rows) and not too_fast(rows, speed_kmh=40)


places = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 4)), max_size=12)


@given(places)
def test_nothing_possible_is_refused_and_nothing_refused_is_possible(rows: list[tuple[int, int]]) -> None:
    sightings = [seen(i, place, minutes, north_km=4.13 * place) for i, (minutes, place) in enumerate(rows)]
    journeys = too_fast(sightings)
    by_id = {row.detection: row for row in sightings}
    for journey in journeys:
        one, other = by_id[journey.first], by_id[journey.second]
        assert one.at <= other.at and one.station != other.station
        assert journey.kilometres > 0.5 + 10 * ((other.at - one.at).total_seconds() + 300) / 3600
    ordered = sorted(sightings, key=lambda row: (row.at, row.station, row.detection))
    stuck = {
        frozenset((a.station, b.station))
        for a, b in pairwise(ordered)
        if 4.13 * abs(a.station - b.station) > 0.5 + 10 * ((b.at - a.at).total_seconds() + 300) / 3600
        and a.station != b.station
    }
    assert len(journeys) == len(stuck)
