"""How far two clocks differ, found from what passed both cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identification.matching.clocks import (
    DAY,
    CameraTimes,
    clock_estimate,
    likelier_wrong,
    visit_starts,
)

YEAR = 365 * DAY


def two_cameras(
    *, both: int, alone: int = 20, days: float = 40, offset: float = 0, drift: float = 0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Visit times of two cameras; `offset` must be added to the second's, more by `drift` seconds with every day."""
    rng = np.random.default_rng(seed)
    shared = rng.uniform(0, days * DAY, both)
    first = np.concatenate([shared, rng.uniform(0, days * DAY, alone)])
    second = np.concatenate([shared + rng.integers(-3, 4, both), rng.uniform(0, days * DAY, alone)])
    return first, second - offset - drift * (second / DAY - days / 2)


def at_dusk_and_dawn(visits: int, days: int, rng: np.random.Generator) -> np.ndarray:
    hours = np.where(rng.random(visits) < 0.5, rng.normal(5.5, 0.4, visits), rng.normal(18.5, 0.4, visits))
    return np.floor(rng.integers(0, days, visits) * DAY + hours * 3600)


def test_a_visit_begins_with_its_first_photo() -> None:
    assert visit_starts([]).tolist() == []
    assert visit_starts([130, 0, 60, 61, 200]).tolist() == [0, 130, 200]


def test_cameras_without_visits_say_nothing() -> None:
    assert clock_estimate([], []) is None
    assert clock_estimate(np.arange(50) * 1000.0, []) is None
    assert clock_estimate(np.arange(4) * 1000.0, np.arange(4) * 1000.0) is None


@pytest.mark.parametrize("offset", [0, 17, -3600, 19800, 400 * DAY, -51 * YEAR])
def test_the_difference_is_found_among_visits_of_one_camera_alone(offset: float) -> None:
    estimate = clock_estimate(*two_cameras(both=12, offset=offset))
    assert estimate is not None and estimate.clear
    assert abs(estimate.offset_seconds - offset) <= 3
    assert 11 <= estimate.pairs <= 13 and estimate.next_pairs < estimate.pairs / 2
    assert estimate.drift == 0
    assert estimate.agrees == (offset == 0)


def test_five_visits_are_enough_and_four_are_not() -> None:
    moments = np.array([0, 0.7, 2.1, 5.9, 13.2, 30.5, 31.4]) * DAY
    five = clock_estimate(np.concatenate([moments[:5], moments[5:] + 1e6]), moments[:5] - 900)
    assert five is not None and five.clear and five.offset_seconds == 900
    four = clock_estimate(np.concatenate([moments[:4], moments[5:] + 1e6]), np.append(moments[:4] - 900, 9e6))
    assert four is not None and four.reason == "few"


def test_animals_that_keep_hours_do_not_look_like_a_difference_of_clocks() -> None:
    rng = np.random.default_rng(3)
    for visits, days in ((20, 30), (200, 30), (400, 60)):
        for _ in range(10):
            estimate = clock_estimate(at_dusk_and_dawn(visits, days, rng), at_dusk_and_dawn(visits, days, rng))
            assert estimate is not None and not estimate.clear


def test_a_clock_that_was_set_in_between_leaves_two_differences_and_no_clear_one() -> None:
    first, second = two_cameras(both=30, alone=5)
    second = np.where(second < np.median(second), second + 7200, second)
    estimate = clock_estimate(first, second)
    assert estimate is not None and estimate.reason == "two"
    assert {round(estimate.offset_seconds, -2), round(estimate.next_offset, -2)} == {0, -7200}


@pytest.mark.parametrize("drift", [1.2, -4.0, 12.0])
def test_a_drift_is_told_and_the_offset_is_that_of_the_middle(drift: float) -> None:
    estimate = clock_estimate(*two_cameras(both=60, offset=600, drift=drift))
    assert estimate is not None and estimate.clear and not estimate.agrees
    assert estimate.drift == pytest.approx(drift, abs=0.15)
    assert abs(estimate.offset_seconds - 600) <= 8
    assert estimate.pairs >= 50
    assert estimate.left_at_the_ends == pytest.approx(abs(drift) * estimate.days / 2, rel=0.2)


def test_no_drift_is_seen_where_there_is_none() -> None:
    drifts = [clock_estimate(*two_cameras(both=40, seed=seed)).drift for seed in range(10)]  # type: ignore[union-attr]
    assert drifts == [0.0] * 10


@settings(max_examples=30, deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(0, 1000))
def test_exchanging_the_cameras_turns_the_sign(offset: int, seed: int) -> None:
    first, second = two_cameras(both=15, offset=offset, seed=seed)
    one, other = clock_estimate(first, second), clock_estimate(second, first)
    assert one is not None and other is not None
    assert abs(one.offset_seconds + other.offset_seconds) <= 10
    assert one.clear and abs(one.offset_seconds - offset) <= 3
    moved = clock_estimate(first + 5000, second + 5000)
    assert moved is not None and (moved.pairs, moved.clear) == (one.pairs, True)


def test_the_wrong_clock_is_named_only_where_something_tells() -> None:
    season = np.linspace(0, 40 * DAY, 50)
    assert likelier_wrong(CameraTimes(season), CameraTimes(season + 7200), season) == 0
    assert likelier_wrong(CameraTimes(season), CameraTimes(season - 50 * YEAR), season) == 2
    assert likelier_wrong(CameraTimes(season + YEAR), CameraTimes(season), season) == 1
    assert likelier_wrong(CameraTimes(season), CameraTimes(season, suspect=40), []) == 2
    assert likelier_wrong(CameraTimes(season, suspect=50), CameraTimes(season, suspect=50), []) == 0
    assert likelier_wrong(CameraTimes(season), CameraTimes(season - YEAR), []) == 0
    assert likelier_wrong(CameraTimes([]), CameraTimes(season), season) == 0
