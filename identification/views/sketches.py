"""Where the marks of an animal's timeline and of its map go. Pure functions to numbers that templates write into SVG.

Numbers are strings, so that they never follow the reader's language. The timeline is as wide as the page: its marks
stand at a percentage, so that they and their texts keep their size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.dateformat import format as date_format
from django.utils.translation import gettext, ngettext

from ..models import Survey
from ..presenting import day_span, decimal, local_day
from ..selectors.captures import StationSeen
from ..selectors.individual_visits import Mark as Seen

LANE = 46
_LEFT, _RIGHT = 2.0, 98.0
# Kilometres to a degree of latitude on a sphere of the Earth's mean radius.
_KM = math.pi * 6371.0088 / 180
MAP_WIDTH, MAP_HEIGHT, _EDGE = 800.0, 520.0, 60.0


@dataclass(frozen=True)
class Mark:
    """A visit, or several so near in time that they would cover each other: x in per cent of the width, y and radius in
    pixels."""

    x: str
    y: str
    radius: str
    words: str


@dataclass(frozen=True)
class Lane:
    """One survey: where its name stands, the line, and its visits."""

    survey: Survey
    text: str
    line: str
    marks: list[Mark]


@dataclass(frozen=True)
class Timeline:
    lanes: list[Lane]
    ticks: list[tuple[str, str, str]]
    height: str
    foot: str
    words: str


def timeline(seen: Sequence[Seen]) -> Timeline | None:
    """A lane for each survey, a mark for each visit with a time, or for several near to each other; None without any.

    seen: by time.
    """
    if not seen:
        return None
    start, end = seen[0].first, max(near.last for near in seen)
    surveys = list({near.survey.pk: near.survey for near in seen}.values())
    lanes = []
    for index, survey in enumerate(surveys):
        y = index * LANE + 32
        marks = [
            Mark(_share(near.first, start, end), str(y), _radius(near), _words(near))
            for near in seen
            if near.survey.pk == survey.pk
        ]
        lanes.append(Lane(survey, str(y - 15), str(y), marks))
    foot = len(surveys) * LANE + 6
    zone = surveys[0].time_zone
    words = f"{_visits(sum(near.visits for near in seen))}, {day_span(start, end, zone)}."
    return Timeline(lanes, _ticks(start, end, zone), str(foot + 22), str(foot), words)


def _radius(near: Seen) -> str:
    return f"{min(9.0, 3.5 + math.sqrt(near.photos)):.1f}"


def _words(near: Seen) -> str:
    photos = ngettext("%(n)s photo", "%(n)s photos", near.photos) % {"n": near.photos}
    if near.visits > 1:
        span = day_span(near.first, near.last, near.survey.time_zone)
        return f"{_visits(near.visits)}, {span}, {photos}"
    flank = gettext("flank %(sides)s") % {"sides": near.visit.sides}
    return f"{near.visit.station or gettext('no station')}, {near.visit.when}, {photos}, {flank}"


def _visits(number: int) -> str:
    return ngettext("%(n)s visit", "%(n)s visits", number) % {"n": number}


def _share(at: datetime, start: datetime, end: datetime) -> str:
    whole = (end - start).total_seconds()
    part = (at - start).total_seconds() / whole if whole else 0.5
    return f"{_LEFT + part * (_RIGHT - _LEFT):.2f}"


def _ticks(start: datetime, end: datetime, zone: str) -> list[tuple[str, str, str]]:
    """(per cent, anchor, text) of at most five round dates, or of both ends where none lies between."""
    first, last = start.astimezone(ZoneInfo(zone)), end.astimezone(ZoneInfo(zone))
    months = (last.year - first.year) * 12 + last.month - first.month
    step = next((step for step in (1, 2, 3, 6, 12, 24, 60, 120) if months <= step * 5), 240)
    round_ones = []
    for month in range(first.year * 12 + first.month, last.year * 12 + last.month):
        if month % step == 0:
            day = datetime(month // 12, month % 12 + 1, 1, tzinfo=ZoneInfo(zone))
            round_ones.append((day, f"{day:%Y}" if step >= 12 else date_format(day, gettext("M Y"))))
    if len(round_ones) >= 2:
        placed = [(_share(day, start, end), text) for day, text in round_ones]
        return [(at, "start" if float(at) < 6 else "end" if float(at) > 94 else "middle", text) for at, text in placed]
    if end - start < timedelta(days=1):
        return [("50.00", "middle", local_day(start, zone))]
    return [
        (_share(start, start, end), "start", local_day(start, zone)),
        (_share(end, start, end), "end", local_day(end, zone)),
    ]


@dataclass(frozen=True)
class Spot:
    """A station on the map, in units of the picture."""

    station: StationSeen
    x: str
    y: str
    radius: str
    words: str
    anchor: str
    text_x: str
    text_y: str


@dataclass(frozen=True)
class Sketch:
    """spots: those without the animal first, so that none lies over one with it. bar: end of the scale bar."""

    spots: list[Spot]
    bar: str
    bar_middle: str
    bar_text: str
    box: str


def sketch(stations: Sequence[StationSeen]) -> Sketch | None:
    """Stations about their middle, true to distance within a landscape (equirectangular); None without any."""
    if not stations:
        return None
    middle = sum(row.latitude for row in stations) / len(stations)
    # Across the 180th meridian the shorter way is the near one.
    origin = stations[0].longitude
    east = [((row.longitude - origin + 180) % 360 - 180) * _KM * math.cos(math.radians(middle)) for row in stations]
    north = [(row.latitude - middle) * _KM for row in stations]
    wide, high = max(east) - min(east), max(north) - min(north)
    # A single station, or several at one place, get a picture of two kilometres.
    wide, high = max(wide, 2.0), max(high, 2.0 * MAP_HEIGHT / MAP_WIDTH)
    scale = min((MAP_WIDTH - 2 * _EDGE) / wide, (MAP_HEIGHT - 2 * _EDGE) / high)
    mid_east, mid_north = (max(east) + min(east)) / 2, (max(north) + min(north)) / 2
    named = Counter(code for code, _ in {(row.code, row.survey.name) for row in stations})
    spots = []
    for row, at_east, at_north in zip(stations, east, north, strict=True):
        x = MAP_WIDTH / 2 + (at_east - mid_east) * scale
        y = MAP_HEIGHT / 2 - (at_north - mid_north) * scale
        radius = 5.0 if not row.visits else 6.0 + min(16.0, 3 * math.sqrt(row.visits))
        inward = x > MAP_WIDTH * 0.8
        text_x = x - radius - 4 if inward else x + radius + 4
        spots.append(
            Spot(
                station=row,
                x=f"{x:.1f}",
                y=f"{y:.1f}",
                radius=f"{radius:.1f}",
                words=row.code if named[row.code] == 1 else f"{row.code}, {row.survey.name}",
                anchor="end" if inward else "start",
                text_x=f"{text_x:.1f}",
                text_y=f"{y + 5:.1f}",
            )
        )
    spots.sort(key=lambda spot: spot.station.visits)
    length = _round_length(0.3 * MAP_WIDTH / scale)
    bar = length * scale
    text = decimal(f"{length:g} km" if length >= 1 else f"{length * 1000:g} m")
    return Sketch(spots, f"{20 + bar:.1f}", f"{20 + bar / 2:.1f}", text, f"0 0 {MAP_WIDTH:.0f} {MAP_HEIGHT:.0f}")


def _round_length(most: float) -> float:
    """The greatest of 1, 2 or 5 times a power of ten that is not above `most`."""
    power = 10 ** math.floor(math.log10(most))
    return next(step * power for step in (5, 2, 1) if step * power <= most)
