"""The cameras of a survey's stations, how their clocks are corrected, and how they stand to each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations

import numpy as np
from django.db.models import Count, Max, Min, Q
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from ..matching.clocks import CameraTimes, ClockEstimate, clock_estimate, likelier_wrong
from ..models import CameraClock, Image, Station, Survey, User
from ..naming import by_label
from ..permissions import images_for
from ..presenting import decimal, span_words
from .shots import CLOCK_SUSPECT

_WHY = {
    "few": _("too few visits came past both cameras to tell"),
    "chance": _("no difference comes up more often than chance would have it"),
    "margin": _("several differences come up about equally often"),
    "two": _("two differences come up often: a clock was probably set in between, which one offset cannot mend"),
}


@dataclass(frozen=True)
class CameraRow:
    """One camera: its photos, and what is added to its clock."""

    camera: str
    photos: int
    suspect: int
    first: datetime | None
    last: datetime | None
    offset: int
    by_person: bool
    note: str

    @property
    def offset_words(self) -> str:
        return offset_words(self.offset)


@dataclass(frozen=True)
class Remedy:
    """One way to make two clocks agree: the offset that a camera would get. likelier: its clock is implausible."""

    camera: str
    offset: int
    likelier: bool

    @property
    def offset_words(self) -> str:
        return offset_words(self.offset)


@dataclass(frozen=True)
class Comparison:
    """Two cameras of a station. estimate: None where a camera saw too few visits."""

    first: str
    second: str
    estimate: ClockEstimate | None
    remedies: list[Remedy]

    @property
    def words(self) -> str:
        """What was found, with the number of visits that say so."""
        found = self.estimate
        if found is None:
            return gettext("too few visits to compare the clocks")
        if not found.clear:
            return str(_WHY[found.reason])
        many = gettext(
            "%(pairs)s of %(first)s and %(second)s visits say so; chance would give %(chance)s, "
            "the next best difference %(next)s"
        ) % {
            "pairs": found.pairs,
            "first": found.visits[0],
            "second": found.visits[1],
            "chance": decimal(f"{found.by_chance:.1g}"),
            "next": found.next_pairs,
        }
        if found.agrees:
            return gettext("the clocks agree: %(visits)s") % {"visits": many}
        said = {
            "camera": self.second if found.offset_seconds > 0 else self.first,
            "span": _span(found.offset_seconds),
            "visits": many,
        }
        text = gettext("%(camera)s is %(span)s behind: %(visits)s") % said
        if not found.drift:
            return text
        drift = gettext(
            "The clocks drift apart by %(drift)s s a day; the offset is that of the middle, and at the ends up to "
            "%(rest)s s are left"
        ) % {"drift": decimal(f"{abs(found.drift):.1f}"), "rest": f"{found.left_at_the_ends:.0f}"}
        return f"{text}. {drift}"


@dataclass
class StationClocks:
    """A station, its cameras by name, and comparisons of those that were asked for."""

    station: Station
    cameras: list[CameraRow] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)


def offset_words(seconds: int) -> str:
    """An offset with its sign, in its largest units."""
    if not seconds:
        return pgettext("offset", "none")
    return f"{'+' if seconds > 0 else '−'}{_span(seconds)}"


def _span(seconds: int) -> str:
    """Without its sign, in the largest sensible units to the nearest, and in seconds where these say more."""
    seconds = abs(seconds)
    nearest = round(seconds / 60) * 60 if seconds >= 600 else seconds
    words = span_words(timedelta(seconds=nearest))
    return f"{words} ({seconds} s)" if seconds >= 60 else words


def station_clocks(survey: Survey, *, user: User, compare: bool = False) -> list[StationClocks]:
    """Every station with the cameras of which the account sees photos, and only those photos counted.

    compare: also compare the clocks of each two cameras of one station, by all photos: for curators.
    """
    stations = {station.pk: StationClocks(station) for station in by_label(survey.stations.all())}
    clocks = {(c.station_id, c.camera): c for c in CameraClock.objects.filter(station__survey=survey)}
    photos = images_for(user).filter(survey=survey, station__isnull=False)
    rows = (
        photos.order_by("station_id", "camera")
        .values_list("station_id", "camera")
        .annotate(
            photos=Count("pk"),
            suspect=Count("pk", filter=Q(flags__contains=CLOCK_SUSPECT)),
            first=Min("captured_at"),
            last=Max("captured_at"),
        )
    )
    for station, camera, number, suspect, first, last in rows:
        clock = clocks.get((station, camera))
        said = (clock.offset_seconds, clock.by_person, clock.note) if clock else (0, False, "")
        stations[station].cameras.append(CameraRow(camera, number, suspect, first, last, *said))
    if compare:
        _compare(survey, stations)
    return list(stations.values())


def _compare(survey: Survey, stations: dict[int, StationClocks]) -> None:
    times: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows = Image.objects.filter(survey=survey, station__isnull=False)
    for station, camera, at in rows.values_list("station_id", "camera", "captured_at").iterator():
        if at is not None:
            times[station][camera].append(at.timestamp())
    for pk, place in stations.items():
        others = [t for other, cameras in times.items() if other != pk for many in cameras.values() for t in many]
        elsewhere = np.asarray(others)
        for one, other in combinations([row for row in place.cameras if row.camera], 2):
            first = CameraTimes(np.asarray(times[pk][one.camera]), one.suspect if not one.by_person else 0)
            second = CameraTimes(np.asarray(times[pk][other.camera]), other.suspect if not other.by_person else 0)
            estimate = clock_estimate(first.times, second.times)
            wrong = likelier_wrong(first, second, elsewhere)
            place.comparisons.append(
                Comparison(one.camera, other.camera, estimate, _remedies(one, other, estimate, wrong))
            )


def _remedies(one: CameraRow, other: CameraRow, estimate: ClockEstimate | None, wrong: int) -> list[Remedy]:
    """Either clock may be the wrong one; the implausible one comes first."""
    if estimate is None or not estimate.clear or estimate.agrees:
        return []
    found = [
        Remedy(one.camera, one.offset - estimate.offset_seconds, wrong == 1),
        Remedy(other.camera, other.offset + estimate.offset_seconds, wrong == 2),
    ]
    return sorted(found, key=lambda remedy: not remedy.likelier)
