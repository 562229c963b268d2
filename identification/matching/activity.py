"""When animals are about: the density of their activity over the hours of a day. Pure functions.

The circular kernel density of Ridout & Linkie (2009, doi:10.1198/jabes.2009.08038): von Mises kernels around the times,
as wide as the rule of Taylor (2008, doi:10.1016/j.csda.2007.11.003) says for the largest of the concentrations that the
first three trigonometric moments give, so that two peaks a day do not flatten each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

MINUTES = 24 * 60
# Below this a curve would show the kernel more than the animal.
FEWEST_EVENTS = 10
_MOMENTS = 3
# A kernel is never narrower than this: camera clocks and the rounding to minutes say no more.
_SHARPEST = 700.0
_STEPS = 400
_COSINES = [math.cos(2.0 * math.pi * step / _STEPS) for step in range(_STEPS)]


@dataclass(frozen=True)
class Activity:
    """Activity over a day.

    hourly: events in each of the 24 hours. density: (minute of day from 0 to 1440, density per hour), which integrates
    to 1 over the 24 hours; empty where there are fewer than FEWEST_EVENTS events.
    """

    events: int
    hourly: tuple[int, ...]
    density: tuple[tuple[int, float], ...]

    @property
    def peak(self) -> int | None:
        """The minute of day at which the density is highest; None without a curve."""
        return max(self.density, key=lambda point: point[1])[0] % MINUTES if self.density else None


def activity_of(minutes: Mapping[int, int], *, every: int = 15, fewest: int = FEWEST_EVENTS) -> Activity:
    """minutes: events by their minute of the day (0…1439). every: minutes between two points of the curve."""
    hourly = [0] * 24
    for minute, number in minutes.items():
        hourly[minute // 60] += number
    events = sum(hourly)
    density = _density(minutes, events, every) if events >= max(fewest, 1) else ()
    return Activity(events, tuple(hourly), density)


def _density(minutes: Mapping[int, int], events: int, every: int) -> tuple[tuple[int, float], ...]:
    kernel = _kernel(bandwidth(minutes))
    rows = list(minutes.items())
    return tuple(
        (at, sum(number * kernel[abs(at - minute) % MINUTES] for minute, number in rows) / events)
        for at in range(0, MINUTES + 1, every)
    )


def _kernel(concentration: float) -> list[float]:
    """The von Mises density, per hour, at each number of minutes from its middle."""
    height = 1.0 / (24.0 * scaled_bessel(0, concentration))
    return [height * math.exp(concentration * (math.cos(_angle(lag)) - 1.0)) for lag in range(MINUTES)]


def bandwidth(minutes: Mapping[int, int]) -> float:
    """Concentration of the kernel for these events by Taylor's rule; 0 is a flat kernel."""
    events = sum(minutes.values())
    if not events:
        return 0.0
    kappa = max(concentration_of(_length(minutes, events, k), k) for k in range(1, _MOMENTS + 1))
    if kappa <= 0.0:
        return 0.0
    # Both Bessel functions carry the factor e^(2κ), which cancels.
    ratio = scaled_bessel(2, 2.0 * kappa) / scaled_bessel(0, kappa) ** 2
    return min((3.0 * events * kappa * kappa * ratio / (4.0 * math.sqrt(math.pi))) ** 0.4, _SHARPEST)


def _length(minutes: Mapping[int, int], events: int, k: int) -> float:
    """Length of the k-th trigonometric moment (0…1), whatever its direction."""
    cosine = sum(number * math.cos(k * _angle(minute)) for minute, number in minutes.items())
    sine = sum(number * math.sin(k * _angle(minute)) for minute, number in minutes.items())
    return math.hypot(cosine, sine) / events


def concentration_of(length: float, k: int = 1) -> float:
    """The κ ≥ 0 with I_k(κ) / I_0(κ) = length, by bisection; 0 for a length that is not positive."""
    if length <= 0.0:
        return 0.0
    low, high = 0.0, _SHARPEST
    if _moment(high, k) <= length:
        return high
    for _ in range(32):
        middle = (low + high) / 2.0
        if _moment(middle, k) < length:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _moment(kappa: float, k: int) -> float:
    return scaled_bessel(k, kappa) / scaled_bessel(0, kappa)


def scaled_bessel(order: int, x: float) -> float:
    """e^(−x)·I_order(x), the modified Bessel function of the first kind, for x from 0 to 1400.

    By the trapezoidal rule over a whole period, which converges faster than any power of the step for such integrands.
    """
    turned = _COSINES
    return sum(math.exp(x * (turned[i] - 1.0)) * turned[order * i % _STEPS] for i in range(_STEPS)) / _STEPS


def _angle(minute: int) -> float:
    return 2.0 * math.pi * minute / MINUTES
