"""What a survey's cameras did, and what they found for it: gaps, nights of effort, accumulation. Pure functions.

A *station-night* is one day of one station on which a camera worked, if only for a part of it. Where nobody has said
when it did (`operation`), that is known only from what it took: every day from its first to its last photo counts, also
in a gap, although the camera may have been dead. Gaps are listed, so that a reader can tell.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

# A station without a photo for this many days may have had a dead camera.
GAP_DAYS = 7
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Gap:
    """Days without a photo, the first and the last of them."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


def gaps_of(days: Iterable[date], *, least: int = GAP_DAYS) -> list[Gap]:
    """Runs of at least so many days without a photo between the first and the last day that has one."""
    found = [Gap(before + _DAY, after - _DAY) for before, after in pairwise(sorted(set(days)))]
    return [gap for gap in found if gap.days >= least]


def silences_of(photographed: Collection[date], working: Collection[date], *, least: int = GAP_DAYS) -> list[Gap]:
    """Runs of at least so many days on which a camera worked and took nothing.

    They end where the camera did not work, and may lie before the first photo or after the last.
    """
    taken = set(photographed)
    found: list[Gap] = []
    for day in sorted(set(working) - taken):
        if found and day - found[-1].last == _DAY:
            found[-1] = Gap(found[-1].first, day)
        else:
            found.append(Gap(day, day))
    return [gap for gap in found if gap.days >= least]


def station_nights(span: tuple[date, date] | None) -> int:
    """Days from the first to the last photo, both counted; 0 without a photo."""
    return (span[1] - span[0]).days + 1 if span else 0


@dataclass(frozen=True)
class Accumulation:
    """Individuals found over effort.

    observed: (station-nights, individuals) at the end of each day, in the order of time. expected: the same curve had
    the station-nights come in random order. once: individuals that one station-night saw, and no other.
    """

    observed: tuple[tuple[int, int], ...]
    expected: tuple[tuple[int, float], ...]
    once: int

    @property
    def individuals(self) -> int:
        return self.observed[-1][1] if self.observed else 0

    @property
    def nights(self) -> int:
        return self.observed[-1][0] if self.observed else 0


def accumulation_of(
    spans: Mapping[int, tuple[date, date]],
    seen: Iterable[tuple[int, int, date]],
    *,
    worked: Mapping[int, Collection[date]] | None = None,
    points: int = 60,
) -> Accumulation:
    """spans: first and last day of each station. seen: (individual, station, day), a day within the station's span.

    worked: the days of stations of which more is known than first and last; what was seen there was on one of them.

    expected is the sample-based rarefaction of Colwell, Mao & Chang (2004, doi:10.1890/03-0557), "Mao Tau", with
    station-nights as samples, at about so many points.
    """
    sightings, known = set(seen), worked or {}
    if not (spans or known) or not sightings:
        return Accumulation((), (), 0)
    frequencies = Counter(individual for individual, _, _ in sightings)
    runs = [span for station, span in spans.items() if station not in known]
    runs += [(day, day) for days in known.values() for day in days]
    observed = _observed(runs, sightings)
    nights = observed[-1][0]
    counted = Counter(frequencies.values())
    step = max(1, -(-nights // points))
    at = sorted({*range(0, nights, step), nights})
    return Accumulation(observed, tuple((n, rarefied(counted, nights, n)) for n in at), counted[1])


def _observed(
    runs: Collection[tuple[date, date]], sightings: Iterable[tuple[int, int, date]]
) -> tuple[tuple[int, int], ...]:
    change: dict[date, int] = defaultdict(int)
    for first, last in runs:
        change[first] += 1
        change[last + _DAY] -= 1
    first_seen: dict[int, date] = {}
    for individual, _, day in sightings:
        first_seen[individual] = min(day, first_seen.get(individual, day))
    new = Counter(first_seen.values())
    end = max(last for _, last in runs)
    day = min(first for first, _ in runs)
    working = nights = found = 0
    rows = [(0, 0)]
    while day <= end:
        working += change.get(day, 0)
        nights += working
        found += new.get(day, 0)
        if working:
            rows.append((nights, found))
        day += _DAY
    return tuple(rows)


def rarefied(frequencies: Mapping[int, int], samples: int, chosen: int) -> float:
    """Expected number of individuals in so many chosen of the samples.

    frequencies: how many individuals occur in 1, 2, … samples.
    """
    return sum(
        number * (1.0 - _missed(samples, occurrences, chosen)) for occurrences, number in frequencies.items() if number
    )


def _missed(samples: int, occurrences: int, chosen: int) -> float:
    """Probability that a random choice of samples holds none of the occurrences: C(T − s, t) / C(T, t)."""
    left = samples - occurrences
    if chosen > left:
        return 0.0
    return math.exp(
        math.lgamma(left + 1)
        - math.lgamma(left - chosen + 1)
        - math.lgamma(samples + 1)
        + math.lgamma(samples - chosen + 1)
    )
