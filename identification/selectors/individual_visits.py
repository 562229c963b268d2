"""When one animal was seen: its visits, counted by the database, and cut to pages before they are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import Detection, Flank, Station, Survey
from ..presenting import local_time

_FLANKS = {Flank.LEFT.value: _("left"), Flank.RIGHT.value: _("right")}
# Visits so near in time that they would cover each other are one mark: so many find place beside each other.
MARKS = 200
# How a part of the whole time is one of the marks: by the place of its begin.
_MARKS = """
SELECT survey,
    least(%s, floor(%s * extract(epoch FROM first - %s) / greatest(extract(epoch FROM %s - %s), 1)))::int AS at,
    min(first), max(first), count(*), sum(photos), min(station), sum("left"), sum("right")
FROM ({visits}) visit WHERE first IS NOT NULL GROUP BY survey, at ORDER BY survey, at
"""


@dataclass
class Visit:
    """Photos of one encounter event. The event is None for photos without station or time: each is one visit."""

    survey: Survey
    station: str
    first: datetime | None
    last: datetime | None
    photos: int
    flanks: tuple[str, ...]

    @property
    def when(self) -> str:
        return local_time(self.first, self.survey.time_zone)

    @property
    def sides(self) -> str:
        sides = [_FLANKS[flank] for flank in self.flanks if flank in _FLANKS]
        return gettext(" and ").join(map(str, sides)) or gettext("unknown")


@dataclass(frozen=True)
class Mark:
    """Visits that are near to each other in one survey. visit: where it is one alone."""

    survey: Survey
    first: datetime
    last: datetime
    visits: int
    photos: int
    visit: Visit


def visits_of(boxes: QuerySet[Detection]) -> QuerySet[Any, Any]:
    """The visits that these boxes of one animal are of, by time, those without at the end: for `visits_shown`.

    Photos without station or time are a visit each.
    """
    counted = boxes.order_by().annotate(visit=Coalesce(F("image__event"), -1 * F("image")), survey=F("image__survey"))
    return (
        counted.values("visit", "survey")
        .annotate(
            station=Min("image__station"),
            first=Min("image__captured_at"),
            last=Max("image__captured_at"),
            photos=Count("image", distinct=True),
            left=Count("pk", filter=Q(flank=Flank.LEFT)),
            right=Count("pk", filter=Q(flank=Flank.RIGHT)),
        )
        .order_by(F("first").asc(nulls_last=True), "visit")
    )


def visits_shown(rows: Iterable[dict[str, Any]], *, among: Iterable[Survey]) -> list[Visit]:
    """Some of these in words. among: the surveys that they may be of."""
    rows = list(rows)
    surveys = {survey.pk: survey for survey in among}
    stations = Station.objects.select_related("survey").in_bulk({row["station"] for row in rows} - {None})
    return [_visit(row, surveys, stations) for row in rows]


def _visit(row: dict[str, Any], surveys: dict[int, Survey], stations: dict[int, Station]) -> Visit:
    station = stations.get(row["station"])
    return Visit(
        survey=surveys[row["survey"]],
        station=station.label if station is not None else "",
        first=row["first"],
        last=row["last"],
        photos=row["photos"],
        flanks=tuple(flank.value for flank in (Flank.LEFT, Flank.RIGHT) if row[flank.value]),
    )


def marks_of(boxes: QuerySet[Detection], *, start: datetime, end: datetime, among: Iterable[Survey]) -> list[Mark]:
    """Visits for a timeline from start to end, at most MARKS of each survey, by time."""
    visits, values = visits_of(boxes).order_by().query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_MARKS.format(visits=visits), [MARKS - 1, MARKS, start, end, start, *values])
        rows = cursor.fetchall()
    surveys = {survey.pk: survey for survey in among}
    stations = Station.objects.select_related("survey").in_bulk({row[6] for row in rows} - {None})
    marks = []
    for survey, _at, first, last, number, photos, station, left, right in rows:
        one = {"survey": survey, "station": station, "first": first, "last": last, "photos": photos}
        visit = _visit({**one, "left": left, "right": right}, surveys, stations)
        marks.append(Mark(surveys[survey], first, last, number, int(photos), visit))
    return sorted(marks, key=lambda mark: mark.first)
