"""Whether an animal can have walked from one photo to the next. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

# A choice, not a measurement: about twice a walker's pace, kept up for the whole way in a straight line. Faster than an
# animal on its rounds, slower than a sprint, which no large cat keeps up from one station to another.
SPEED_KMH = 10.0
# Below these nothing is said: clocks of cameras differ by minutes, and places are noted to a few hundred metres.
CLOCK_SECONDS = 300.0
PLACE_KM = 0.5
EARTH_KM = 6371.0088  # mean radius (IUGG)


@dataclass(frozen=True)
class Sighting:
    """One photo of an animal at a station whose place (degrees, WGS 84) and time are known."""

    detection: int
    station: int
    at: datetime
    latitude: float
    longitude: float


@dataclass(frozen=True)
class Journey:
    """Two photos of one animal, first before second, that are too far apart for the time between."""

    first: int
    second: int
    kilometres: float
    seconds: float


def haversine_km(latitude1: float, longitude1: float, latitude2: float, longitude2: float) -> float:
    """Great-circle distance in km of two places in degrees (Sinnott 1984)."""
    p1, p2 = math.radians(latitude1), math.radians(latitude2)
    half_dp, half_dl = (p2 - p1) / 2, math.radians(longitude2 - longitude1) / 2
    h = math.sin(half_dp) ** 2 + math.cos(p1) * math.cos(p2) * math.sin(half_dl) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


def reach_km(seconds: float, *, speed_kmh: float = SPEED_KMH) -> float:
    """How far apart two photos of one animal may be, with all doubts in its favour."""
    return PLACE_KM + speed_kmh * (abs(seconds) + CLOCK_SECONDS) / 3600


def too_fast(sightings: Iterable[Sighting], *, speed_kmh: float = SPEED_KMH) -> list[Journey]:
    """The steps of one animal from station to station that it cannot have walked, in time order.

    Only photos that follow each other in time are looked at: what is possible step by step is possible as a whole.
    Where an animal seems to jump back and forth, each pair of stations is named once, by the step that exceeds most.
    """
    ordered = sorted(sightings, key=lambda row: (row.at, row.station, row.detection))
    worst: dict[tuple[int, int], tuple[float, Journey]] = {}
    for a, b in pairwise(ordered):
        if a.station == b.station:
            continue
        kilometres = haversine_km(a.latitude, a.longitude, b.latitude, b.longitude)
        seconds = (b.at - a.at).total_seconds()
        excess = kilometres - reach_km(seconds, speed_kmh=speed_kmh)
        places = (min(a.station, b.station), max(a.station, b.station))
        if excess > 0 and excess > worst.get(places, (0.0, None))[0]:
            worst[places] = (excess, Journey(a.detection, b.detection, kilometres, seconds))
    when = {row.detection: row.at for row in ordered}
    return sorted((journey for _, journey in worst.values()), key=lambda j: (when[j.first], j.first))
