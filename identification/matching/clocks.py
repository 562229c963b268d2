"""How far the clocks of two cameras of one station differ, from what passed both. Pure functions.

What triggers one camera often triggers the other within seconds: an animal, a person, a branch. So among all
differences between the beginnings of visits at one camera and at the other, the difference of the clocks comes up again
and again, be it seconds or years, while all others come up by chance. Cameras of two stations see nothing together, so
nothing can be said of their clocks; nor does the difference say which of the two is wrong.

`numpy` does the counting: 800 visits at each camera are 640 000 differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Photos of one camera closer than this belong to one visit; its first photo is compared.
VISIT_SECONDS = 60.0
# Two visits agree on a difference when they are at most this far from it, on either side.
AGREE_SECONDS = 5.0
# Fewer agreeing visits than this say nothing, however unlikely they are.
LEAST_PAIRS = 5
# The best difference must be met this many times as often as the next one.
MARGIN = 2.0
# How often chance alone may make a difference look clear, over all differences that are looked at.
CHANCE = 0.001
# Within this of the best difference another one is the same, blurred by clocks that drift.
SAME_SECONDS = 1800.0
# Chance is read off the differences around the best one, from here to SAME_SECONDS: animals keep hours, so that
# differences near none and near whole days are met more often than others without any animal passing both cameras.
AROUND_SECONDS = 60.0
# A faster drift is no drift but a broken clock.
FASTEST_DRIFT = 30.0
MOST_VISITS = 800
DAY = 86400.0

Times = NDArray[np.float64]


@dataclass(frozen=True)
class ClockEstimate:
    """How the second camera's clock stands to the first's.

    offset_seconds: to be added to the second camera's times to get the first's, in the middle of the visits that agree;
    pairs: how many agree; visits: of each camera; by_chance: how many would agree by chance; next_pairs and
    next_offset: of the next best difference; drift: seconds per day by which the offset grows, 0 where none is
    evident; days: from the first agreeing visit to the last. reason: why it is not clear, '' when it is.
    """

    offset_seconds: int
    pairs: int
    visits: tuple[int, int]
    by_chance: float
    next_pairs: int
    next_offset: int
    drift: float
    days: float
    reason: str

    @property
    def clear(self) -> bool:
        return not self.reason

    @property
    def agrees(self) -> bool:
        """Whether the clocks go alike as far as visits can tell."""
        return self.clear and abs(self.offset_seconds) <= AGREE_SECONDS and not self.drift

    @property
    def left_at_the_ends(self) -> float:
        """Seconds by which one constant offset is wrong at the first and the last visit."""
        return abs(self.drift) * self.days / 2


def visit_starts(times: Sequence[float] | Times) -> Times:
    """The first moments of visits, in seconds, sorted: those more than VISIT_SECONDS after the photo before."""
    ordered = np.sort(np.asarray(times, dtype=np.float64))
    if not ordered.size:
        return ordered
    return np.asarray(ordered[np.concatenate(([True], np.diff(ordered) > VISIT_SECONDS))])


def clock_estimate(first: Sequence[float] | Times, second: Sequence[float] | Times) -> ClockEstimate | None:
    """Compare the photo times (seconds, by each camera's clock) of two cameras of one station.

    None when a camera has too few visits to say anything. Of more than MOST_VISITS the earliest are compared.
    """
    a, b = visit_starts(first)[:MOST_VISITS], visit_starts(second)[:MOST_VISITS]
    if min(a.size, b.size) < LEAST_PAIRS:
        return None
    when = np.repeat(a, b.size)
    differences = (a[:, None] - b[None, :]).ravel()
    order = np.argsort(differences, kind="stable")
    when, differences = when[order], differences[order]
    centre, pairs = _densest(differences)
    drift, inliers = _follow(differences, when, centre)
    level = differences - drift * (when - (when[inliers].min() + when[inliers].max()) / 2) / DAY
    offset = float(np.median(level[inliers]))
    other_offset, other_pairs = _densest(differences[np.abs(differences - offset) > SAME_SECONDS])
    pairs, by_chance = int(inliers.sum()), _by_chance(level, offset)
    # What is found along some slope had as many more chances to be found.
    slopes = 2 * FASTEST_DRIFT * float(np.ptp(when)) / DAY / AGREE_SECONDS if drift else 1.0
    clear = _tail(pairs - 1, by_chance) * differences.size * slopes <= CHANCE
    rival = _tail(other_pairs - 1, _by_chance(differences, other_offset)) * differences.size <= CHANCE
    return ClockEstimate(
        offset_seconds=round(offset),
        pairs=pairs,
        visits=(int(a.size), int(b.size)),
        by_chance=by_chance,
        next_pairs=other_pairs,
        next_offset=round(other_offset),
        drift=drift,
        days=float(np.ptp(when[inliers])) / DAY,
        reason=_reason(pairs, other_pairs, clear, rival),
    )


def _reason(pairs: int, other: int, clear: bool, rival: bool) -> str:
    """Why an estimate is not clear: "few", "chance", "two" (clear differences), "margin", or "" when it is."""
    if pairs < LEAST_PAIRS:
        return "few"
    if not clear:
        return "chance"
    if pairs < MARGIN * other:
        return "two" if rival else "margin"
    return ""


def _densest(differences: Times) -> tuple[float, int]:
    """The middle of the window, 2 x AGREE_SECONDS wide, that holds most of the sorted differences, and how many.

    Beginnings of visits of one camera are further apart than the window is wide: no visit is counted twice.
    """
    if not differences.size:
        return 0.0, 0
    ends = np.searchsorted(differences, differences + 2 * AGREE_SECONDS, side="right")
    counts = ends - np.arange(differences.size)
    most = np.flatnonzero(counts == counts.max())
    tightest = most[np.argmin(differences[ends[most] - 1] - differences[most])]
    inside = differences[tightest : ends[tightest]]
    return float(np.median(inside)), int(inside.size)


def _follow(differences: Times, when: Times, centre: float) -> tuple[float, NDArray[np.bool_]]:
    """Drift in seconds per day, and which differences agree: along a slope only where that finds clearly more."""
    level = np.abs(differences - centre) <= AGREE_SECONDS
    near = np.flatnonzero(np.abs(differences - centre) <= SAME_SECONDS)
    x, y = (when[near] - when.mean()) / DAY, differences[near]
    span = float(np.ptp(x)) if near.size else 0.0
    if span * FASTEST_DRIFT <= 2 * AGREE_SECONDS:
        return 0.0, level
    step = AGREE_SECONDS / span
    slopes = np.arange(-FASTEST_DRIFT, FASTEST_DRIFT + step, step)
    lines = [(slope, *_densest(np.sort(y - slope * x))) for slope in slopes]
    slope, middle, _ = max(lines, key=lambda line: (line[2], -abs(line[0])))
    chosen = np.abs(y - slope * x - middle) <= AGREE_SECONDS
    if chosen.sum() < max(level.sum() + 3, 1.2 * level.sum()) or np.ptp(x[chosen]) == 0:
        return 0.0, level
    slope, middle = np.polyfit(x[chosen], y[chosen], 1)
    inliers = np.zeros(differences.size, dtype=bool)
    inliers[near] = np.abs(y - slope * x - middle) <= AGREE_SECONDS
    return float(slope), inliers


def _by_chance(differences: Times, centre: float) -> float:
    """How many differences a window at `centre` would hold by chance: as dense as around it, or as on the whole."""
    away = np.abs(differences - centre)
    around = ((away > AROUND_SECONDS) & (away <= SAME_SECONDS)).sum() / (2 * (SAME_SECONDS - AROUND_SECONDS))
    whole = differences.size / max(1.0, float(np.ptp(differences)))
    return float(max(around, whole) * 2 * AGREE_SECONDS)


def _tail(count: int, expected: float) -> float:
    """An upper bound of the probability that a Poisson number reaches `count` (Chernoff)."""
    if count <= expected:
        return 1.0
    return math.exp(count - expected + count * math.log(expected / count)) if expected > 0 else 0.0


@dataclass(frozen=True)
class CameraTimes:
    """Photo times of a camera in seconds, and how many of its photos carry the mark of a clock that was not set."""

    times: Sequence[float] | Times
    suspect: int = 0


def likelier_wrong(first: CameraTimes, second: CameraTimes, others: Sequence[float] | Times) -> int:
    """Which of two clocks that differ is wrong: 1 or 2, or 0 where nothing tells.

    others: photo times of the survey's other stations. A clock is implausible when most of its photos are marked, or
    when it runs a day or more outside the time in which the other stations took photos. Hours cannot be told.
    """
    strange = [_implausible(camera, others) for camera in (first, second)]
    return 0 if strange[0] == strange[1] else 1 + strange.index(True)


def _implausible(camera: CameraTimes, others: Sequence[float] | Times) -> bool:
    if 2 * camera.suspect > len(camera.times):
        return True
    if not len(others) or not len(camera.times):
        return False
    low, high = np.quantile(np.asarray(others, dtype=np.float64), (0.01, 0.99))
    middle = float(np.median(np.asarray(camera.times, dtype=np.float64)))
    return not low - DAY <= middle <= high + DAY
