"""One animal: its photos by flank or by visit, when it was seen, what holds it together, and what was done to it.

Of each of these a page at a time is read, however often the animal was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, F, IntegerField, Max, Min, QuerySet, Value, When
from django.utils.translation import gettext

from ..models import Detection, Flank, Individual, MatchEdge, Survey, User, Verdict
from ..permissions import Action, detections_for, surveys_for
from ..presenting import day_span, local_time
from .consequences import PairShown, pairs_shown
from .individual_history import HistoryLine, history_lines, history_of
from .individual_visits import Mark, Visit, marks_of, visits_of, visits_shown
from .individuals import contradictory_among

PHOTOS_PER_PAGE = 48
VISITS_SHOWN = 50
MATCHES_SHOWN = 20
HISTORY_SHOWN = 40


@dataclass
class PhotoGroup:
    """Photos under one heading of the gallery."""

    title: str
    rows: list[Detection]


@dataclass(frozen=True)
class AnimalSeen:
    """What an account sees of one animal, in figures.

    boxes: all of it, and readable those of surveys in which it sees candidates (open_surveys).
    """

    boxes: QuerySet[Detection]
    photos: int
    first: datetime | None
    last: datetime | None
    surveys: list[Survey]
    readable: QuerySet[Detection]
    open_surveys: QuerySet[Survey]
    reads: bool

    @property
    def span(self) -> str:
        return day_span(self.first, self.last, self.surveys[0].time_zone if self.surveys else "UTC")

    @property
    def matches(self) -> QuerySet[MatchEdge, tuple[int, int]]:
        """The pairs whose matches hold it together, among what is readable."""
        own = self.readable.order_by().values("pk")
        edges = MatchEdge.objects.filter(a__in=own, b__in=own, verdict=Verdict.MATCH)
        return edges.order_by("pk").values_list("a_id", "b_id")

    def history(self, individual: Individual) -> QuerySet[Any, tuple[datetime, int, int]]:
        """For those who see candidates; of an animal without photos for everybody who sees the page."""
        found = history_of(individual=individual, readable=self.readable, surveys=self.open_surveys)
        return found if self.reads else found.none()


@dataclass
class IndividualPage:
    """Everything about one animal that the account may see, a page of each. matches and history are for those who see
    candidates. marks: all visits, those near to each other together."""

    individual: Individual
    seen: AnimalSeen
    visits: list[Visit]
    visits_page: Page[Any]
    marks: list[Mark]
    groups: list[PhotoGroup]
    shown: Page[Any]
    matches: list[PairShown]
    matches_page: Page[Any]
    history: list[HistoryLine]
    history_page: Page[Any]
    contradictory: bool


@dataclass(frozen=True)
class PagesWanted:
    """Which page of each list, as an address says it."""

    photos: str | None = None
    visits: str | None = None
    matches: str | None = None
    history: str | None = None


def animal_seen(*, user: User, individual: Individual) -> AnimalSeen:
    """Three queries."""
    boxes = detections_for(user).filter(individual=individual)
    at = "image__captured_at"
    found = boxes.order_by().aggregate(photos=Count("image", distinct=True), first=Min(at), last=Max(at))
    surveys = list(Survey.objects.filter(pk__in=boxes.order_by().values("image__survey")).order_by("name"))
    reading = surveys_for(user, Action.SEE_CANDIDATES).filter(pk__in=[survey.pk for survey in surveys])
    reads = not surveys or reading.exists()
    readable = boxes.filter(image__survey__in=reading)
    return AnimalSeen(boxes, found["photos"], found["first"], found["last"], surveys, readable, reading, reads)


def individual_page(
    *, user: User, individual: Individual, by_visit: bool = False, wanted: PagesWanted | None = None
) -> IndividualPage:
    """A constant number of queries for any number of photos, and of rows that they read."""
    wanted = wanted or PagesWanted()
    seen = animal_seen(user=user, individual=individual)
    shown = Paginator(_ordered(seen.boxes, by_visit), PHOTOS_PER_PAGE).get_page(wanted.photos)
    visits = Paginator(visits_of(seen.boxes), VISITS_SHOWN).get_page(wanted.visits)
    matches = Paginator(seen.matches, MATCHES_SHOWN).get_page(wanted.matches)
    history = Paginator(seen.history(individual), HISTORY_SHOWN).get_page(wanted.history)
    return IndividualPage(
        individual=individual,
        seen=seen,
        visits=visits_shown(visits.object_list, among=seen.surveys),
        visits_page=visits,
        marks=_marks(seen),
        groups=_groups(shown.object_list, by_visit),
        shown=shown,
        matches=pairs_shown(user=user, pairs=list(matches.object_list)),
        matches_page=matches,
        history=history_lines(history.object_list),
        history_page=history,
        contradictory=bool(contradictory_among(user=user, individuals=[individual])),
    )


def _marks(seen: AnimalSeen) -> list[Mark]:
    if seen.first is None or seen.last is None:
        return []
    return marks_of(seen.boxes, start=seen.first, end=seen.last, among=seen.surveys)


def _ordered(visible, by_visit: bool):  # type: ignore[no-untyped-def]
    rows = visible.select_related("image__station", "image__survey", "image__event")
    at = F("image__captured_at").asc(nulls_last=True)
    if by_visit:
        return rows.order_by(F("image__event__started_at").asc(nulls_last=True), "image__event", at, "pk")
    order = {Flank.LEFT: 0, Flank.RIGHT: 1, Flank.UNKNOWN: 2}
    side = Case(*(When(flank=flank, then=Value(n)) for flank, n in order.items()), output_field=IntegerField())
    return rows.order_by(side, at, "pk")


def _groups(rows: Iterable[Detection], by_visit: bool) -> list[PhotoGroup]:
    if not by_visit:
        titles = {
            Flank.LEFT: gettext("Left flank"),
            Flank.RIGHT: gettext("Right flank"),
            Flank.UNKNOWN: gettext("Flank unknown"),
        }
        return [PhotoGroup(titles[Flank(flank)], list(own)) for flank, own in groupby(rows, key=attrgetter("flank"))]
    groups = []
    for event, own in groupby(rows, key=lambda row: row.image.event):
        photos = list(own)
        first = photos[0].image
        where = first.station_label or gettext("no station")
        title = gettext("Without station or time") if event is None else f"{where}, {_when(first)}"
        groups.append(PhotoGroup(title, photos))
    return groups


def _when(image) -> str:  # type: ignore[no-untyped-def]
    return local_time(image.captured_at, image.survey.time_zone)
