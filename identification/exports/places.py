"""Places for those who may know them, and the cell of a fixed grid for everybody else. Pure functions, but for PROJ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext

from ..errors import SpotIDError
from ..presenting import GRID_DEGREES

# Longest lengths of a degree on the WGS 84 ellipsoid, in metres: of latitude at the poles, of longitude at the equator.
_LATITUDE_METRES, _LONGITUDE_METRES = 111_694.0, 111_320.0
# Half of the Earth's circumference: a place of which nothing is known.
ANYWHERE_METRES = 20_037_509


@dataclass(frozen=True)
class Place:
    """Degrees of WGS 84; uncertainty in metres, None where the coordinates are as they were recorded."""

    latitude: float
    longitude: float
    uncertainty: int | None = None


def generalised(latitude: float, longitude: float, grid: float = GRID_DEGREES) -> Place:
    """The middle of the cell of a fixed grid, with the distance to its farthest corner.

    Fixed, so that asking often tells no more than asking once.
    """
    middle = [(math.floor(degrees / grid + 1e-9) + 0.5) * grid for degrees in (latitude, longitude)]
    nearest_equator = max(0.0, abs(middle[0]) - grid / 2)
    half = grid / 2
    east = half * _LONGITUDE_METRES * math.cos(math.radians(nearest_equator))
    decimals = max(0, math.ceil(-math.log10(grid))) + 1
    latitude, longitude = (round(degrees, decimals) for degrees in middle)
    return Place(
        max(-90.0, min(90.0, latitude)),
        max(-180.0, min(180.0, longitude)),
        math.ceil(math.hypot(half * _LATITUDE_METRES, east)),
    )


@dataclass(frozen=True)
class Projection:
    """A zone of UTM on WGS 84. epsg: its code; name: like "UTM zone 45N"."""

    epsg: int
    name: str

    def metres(self, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """(latitude, longitude) in degrees → (easting, northing) in metres, to the centimetre."""
        from pyproj import Transformer

        transformer = Transformer.from_crs("EPSG:4326", f"EPSG:{self.epsg}", always_xy=True)
        return [
            (round(x, 2), round(y, 2))
            for latitude, longitude in places
            for x, y in [transformer.transform(longitude, latitude)]
        ]


def projection_of(places: Sequence[tuple[float, float]]) -> Projection:
    """The UTM zone in which the middle of the stations lies.

    places: (latitude, longitude) in degrees, at least one. Raises SpotIDError outside of UTM, or when the places are
    so far apart that no zone fits them.
    """
    latitude = sum(place[0] for place in places) / len(places)
    east = math.degrees(
        math.atan2(
            sum(math.sin(math.radians(place[1])) for place in places),
            sum(math.cos(math.radians(place[1])) for place in places),
        )
    )
    if not all(-80 <= place[0] <= 84 for place in places):
        raise SpotIDError(gettext("UTM ends at 80° S and 84° N; a station lies beyond."))
    if any(abs((place[1] - east + 180) % 360 - 180) > 6 or abs(place[0] - latitude) > 10 for place in places):
        raise SpotIDError(
            gettext("The stations lie too far apart for one UTM zone: is the place of one of them mistaken?")
        )
    zone = min(int((east + 180) // 6) + 1, 60)
    north = latitude >= 0
    return Projection((32600 if north else 32700) + zone, f"UTM zone {zone}{'N' if north else 'S'}")
