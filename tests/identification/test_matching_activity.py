"""Activity over the day, recomputed by scipy and by plain sums."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import optimize, special, stats

from identification.matching.activity import activity_of, bandwidth, concentration_of, scaled_bessel


def _angles(minutes: Counter[int]) -> np.ndarray:
    return np.array([2 * np.pi * minute / 1440 for minute in minutes.elements()])


def _taylor(angles: np.ndarray) -> float:
    """The rule of Taylor (2008) with scipy's Bessel functions and root finder."""
    kappas = []
    for k in (1, 2, 3):
        length = abs(np.exp(1j * k * angles).mean())
        kappas.append(optimize.brentq(lambda x, k=k, r=length: special.ive(k, x) / special.ive(0, x) - r, 0, 700))
    kappa = max(kappas)
    top = 3 * len(angles) * kappa**2 * special.ive(2, 2 * kappa)
    return float((top / (4 * np.sqrt(np.pi) * special.ive(0, kappa) ** 2)) ** 0.4)


def _two_peaks(events: int = 200) -> Counter[int]:
    rng = np.random.default_rng(5)
    hours = np.concatenate([rng.vonmises(1.4, 6, events // 2), rng.vonmises(-1.6, 6, events // 2)])
    return Counter(int(hour % (2 * math.pi) / (2 * math.pi) * 1440) for hour in hours)


def test_of_no_event_there_is_no_curve() -> None:
    empty = activity_of({})
    assert (empty.events, empty.density, empty.peak) == (0, (), None)
    assert empty.hourly == (0,) * 24
    assert bandwidth({}) == 0.0


def test_few_events_are_counted_and_not_smoothed() -> None:
    few = activity_of({0: 3, 59: 1, 60: 1, 1439: 2})
    assert few.events == 7 and few.density == ()
    assert (few.hourly[0], few.hourly[1], few.hourly[23]) == (4, 1, 2)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("x", [0.0, 0.01, 1.0, 30.0, 700.0, 1400.0])
def test_the_bessel_functions_are_those_of_scipy(order: int, x: float) -> None:
    assert scaled_bessel(order, x) == pytest.approx(special.ive(order, x), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kappa", [0.1, 1.0, 8.0, 120.0])
def test_the_concentration_is_found_from_the_length_of_the_mean(kappa: float) -> None:
    assert concentration_of(special.i1e(kappa) / special.i0e(kappa)) == pytest.approx(kappa, rel=1e-4)


def test_the_bandwidth_is_that_of_the_rule() -> None:
    minutes = _two_peaks()
    assert bandwidth(minutes) == pytest.approx(_taylor(_angles(minutes)), rel=1e-3)
    # Two opposite peaks have no mean direction; the rule for one peak alone would flatten them.
    assert bandwidth(minutes) > 10


def test_the_curve_is_a_sum_of_von_mises_densities() -> None:
    minutes = _two_peaks()
    angles, kappa = _angles(minutes), _taylor(_angles(minutes))
    for at, density in activity_of(minutes).density:
        point = 2 * np.pi * at / 1440
        per_hour = stats.vonmises.pdf(point - angles, kappa).mean() * 2 * np.pi / 24
        assert density == pytest.approx(per_hour, rel=1e-3)


def test_the_curve_closes_and_holds_the_whole_day() -> None:
    activity = activity_of(_two_peaks())
    values = [density for _, density in activity.density]
    assert values[0] == pytest.approx(values[-1])
    assert sum(values[:-1]) * 0.25 == pytest.approx(1.0, abs=1e-6)
    assert activity.peak is not None and min(abs(activity.peak / 60 - hour) for hour in (5.3, 17.9)) < 1


def test_events_at_one_minute_make_a_narrow_peak_and_no_fault() -> None:
    activity = activity_of({720: 500})
    assert activity.peak == 720
    assert all(math.isfinite(density) for _, density in activity.density)


def test_events_spread_evenly_make_a_flat_curve() -> None:
    values = [density for _, density in activity_of(dict.fromkeys(range(0, 1440, 10), 1)).density]
    assert max(values) - min(values) < 1e-4
