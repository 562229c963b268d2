"""Which part of a review's questions is asked: of one station, of some dates, of one animal, or only one's own.

A part never changes what a question is or in which order questions come; it only leaves the others out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import Count, QuerySet
from django.utils.translation import gettext

from ..matching.queue import Question
from ..models import Decision, Detection, Individual, ReviewPosition, Station, Survey, User, Verdict
from ..naming import by_label
from ..permissions import Action, individuals_for, surveys_for
from ..presenting import day_words
from .review import reviewable_detections
from .review_position import position_read

Mode = ReviewPosition.Mode
_PLAIN = (Mode.QUEUE, Mode.PHOTO)
MOST_UNSURE = 24


@dataclass(frozen=True)
class Only:
    """Which questions are asked: those that `holds` says, each of them about the group of one of these detections."""

    detections: frozenset[int]
    holds: Callable[[Question], bool]

    def __call__(self, question: Question) -> bool:
        return self.holds(question)


@dataclass(frozen=True)
class Scope:
    """A mode of review with what it asks about. station, individual: row ids; first, last: days by the survey's clock,
    None where that end is open."""

    mode: str = Mode.QUEUE
    station: int | None = None
    individual: int | None = None
    first: date | None = None
    last: date | None = None

    @property
    def narrow(self) -> bool:
        """Whether only a part of the survey is asked."""
        return self.mode not in _PLAIN

    @property
    def focus(self) -> dict[str, str | int]:
        """What is kept of it beside the mode."""
        said = {
            "station": self.station,
            "individual": self.individual,
            "from": self.first.isoformat() if self.first else None,
            "to": self.last.isoformat() if self.last else None,
        }
        return {name: value for name, value in said.items() if value is not None}

    @property
    def query(self) -> str:
        """As it stands in an address; '' where the whole survey is asked."""
        return urlencode({"mode": self.mode, **self.focus}) if self.narrow else ""


@dataclass(frozen=True)
class ScopeShown:
    """A scope in words, and how many photos it is about (None where that is no number of photos)."""

    scope: Scope
    title: str = ""
    photos: int | None = None
    only: Only | None = field(default=None, compare=False)

    @property
    def query(self) -> str:
        return self.scope.query

    @property
    def narrow(self) -> bool:
        return self.scope.narrow


def scope_parse(values: Mapping[str, object]) -> Scope | None:
    """What an address, a form or a stored focus says; None where that is no mode with everything that it needs."""
    mode = str(values.get("mode") or "")
    if mode in _PLAIN or mode == Mode.MINE:
        return Scope(mode)
    if mode == Mode.STATION:
        station = _number(values.get("station"))
        return Scope(mode, station=station) if station is not None else None
    if mode == Mode.INDIVIDUAL:
        individual = _number(values.get("individual"))
        return Scope(mode, individual=individual) if individual is not None else None
    if mode == Mode.DATE:
        first, last = _day(values.get("from")), _day(values.get("to"))
        if first and last and last < first:
            first, last = last, first
        return Scope(mode, first=first, last=last) if first or last else None
    return None


def _number(value: object) -> int | None:
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _day(value: object) -> date | None:
    try:
        day = date.fromisoformat(str(value or ""))
    except ValueError:
        return None
    # Far from both ends of the calendar, so that the next day exists in every time zone.
    return day if 1900 <= day.year <= 2200 else None


def scope_stored(*, user: User, survey: Survey) -> Scope:
    """What the reviewer chose last here; the whole survey by what is settled at first."""
    position = position_read(user=user, survey=survey)
    found = scope_parse({**position.focus, "mode": position.mode}) if position else None
    return found or Scope()


def scope_shown(*, user: User, survey: Survey, scope: Scope) -> ScopeShown | None:
    """The scope in words with its predicate; None where it names what is not there, or not the account's to see."""
    if not scope.narrow:
        return ScopeShown(scope)
    if scope.mode == Mode.STATION and scope.station is not None:
        station = survey.stations.filter(pk=scope.station).first()
        if station is None:
            return None
        code = station.label
        seeds = reviewable_detections(survey).filter(image__station=scope.station)
        return _shown(survey, scope, gettext("station %(code)s") % {"code": code}, seeds)
    if scope.mode == Mode.INDIVIDUAL and scope.individual is not None:
        animal = (
            individuals_for(user)
            .filter(pk=scope.individual, population=survey.population_id)
            .select_related("population")
            .first()
        )
        if animal is None:
            return None
        visible = surveys_for(user, Action.DECIDE).filter(population=survey.population_id)
        seeds = Detection.objects.comparable().filter(individual=animal, image__survey__in=visible)
        return _shown(survey, scope, str(animal), seeds)
    if scope.mode == Mode.DATE:
        return _shown(survey, scope, _dates(scope), _on_days(reviewable_detections(survey), survey, scope))
    return ScopeShown(scope, gettext("only mine"), None, _mine(user, survey))


def _shown(survey: Survey, scope: Scope, title: str, seeds: QuerySet[Detection]) -> ScopeShown:
    found = list(seeds.order_by().values_list("pk", "individual_id"))
    wanted = _with_animals({pk for pk, _ in found}, {animal for _, animal in found if animal})
    return ScopeShown(scope, title, len(found), _touching(wanted))


def _with_animals(detections: set[int], animals: set[int]) -> frozenset[int]:
    """These and the other photos of these animals: a question between groups may show any photo of them."""
    others = Detection.objects.filter(individual__in=animals).values_list("pk", flat=True) if animals else ()
    return frozenset(detections).union(others)


def _touching(wanted: frozenset[int]) -> Only:
    return Only(wanted, lambda question: question.pair.a in wanted or question.pair.b in wanted)


def _on_days(rows: QuerySet[Detection], survey: Survey, scope: Scope) -> QuerySet[Detection]:
    zone = ZoneInfo(survey.time_zone)
    if scope.first:
        rows = rows.filter(image__captured_at__gte=datetime.combine(scope.first, time(), zone).astimezone(UTC))
    if scope.last:
        end = datetime.combine(scope.last + timedelta(days=1), time(), zone).astimezone(UTC)
        rows = rows.filter(image__captured_at__lt=end)
    return rows


def _dates(scope: Scope) -> str:
    first, last = (day_words(day) if day else "" for day in (scope.first, scope.last))
    if first and last:
        return first if first == last else f"{first} – {last}"
    return gettext("from %(day)s") % {"day": first} if first else gettext("until %(day)s") % {"day": last}


def _mine(user: User, survey: Survey) -> Only:
    """Questions about animals that the reviewer is at work on, and those that she put off or left unsure.

    At work on: the photos that her answers are filed under, both of every match of hers, and their animals' others. The
    other photo of a refusal, or of what was put off, does not become hers: else looking around would make all hers.
    """
    answered = _standing(user, survey)
    own = {pk for pk in answered.values_list("anchor_id", flat=True) if pk is not None}
    both = answered.filter(verdict=Verdict.MATCH).values_list("edge__a_id", "edge__b_id")
    own.update(pk for pair in both for pk in pair)
    position = ReviewPosition.objects.filter(user=user, survey=survey).first()
    waiting = [(int(a), int(b)) for a, b in (position.put_off if position else ())]
    waiting += answered.filter(verdict=Verdict.UNSURE).values_list("edge__a_id", "edge__b_id")
    animal_of = _animals_of({pk for pair in waiting for pk in pair})
    asked = {frozenset((animal_of.get(a, a), animal_of.get(b, b))) for a, b in waiting}
    named = Individual.objects.filter(detections__in=own).values_list("pk", flat=True)
    touching = _touching(_with_animals(own, set(named)))

    def holds(question: Question) -> bool:
        a, b = question.pair.a, question.pair.b
        return touching(question) or frozenset((animal_of.get(a, a), animal_of.get(b, b))) in asked

    return Only(touching.detections.union(pk for pair in waiting for pk in pair), holds)


def _animals_of(detections: set[int]) -> dict[int, int]:
    """Of the animals that these photos show: each of their photos, and one that stands for the animal."""
    named = set(
        Detection.objects.filter(pk__in=detections, individual__isnull=False).values_list("individual_id", flat=True)
    )
    photos = Detection.objects.filter(individual__in=named).values_list("pk", "individual_id") if named else ()
    # Below zero, so that an animal is never taken for a photo without one.
    return {pk: -animal for pk, animal in photos if animal is not None}


def _standing(user: User, survey: Survey) -> QuerySet[Decision]:
    return Decision.objects.filter(
        acting_user=user, anchor__image__survey=survey, undoes__isnull=True, undone_by__isnull=True
    )


def unsure_own(*, user: User, survey: Survey) -> list[Decision]:
    """Answers "unsure" of the reviewer that still stand, the last one first: pairs that are not asked again by
    themselves. Taking one back opens its question."""
    decidable = surveys_for(user, Action.DECIDE)
    rows = _standing(user, survey).filter(
        verdict=Verdict.UNSURE, edge__verdict=Verdict.UNSURE, edge__a__image__survey__in=decidable
    )
    rows = rows.filter(edge__b__image__survey__in=decidable)
    related = "edge__a__image__station", "edge__a__image__survey", "edge__b__image__station", "edge__b__image__survey"
    return list(rows.select_related(*related).order_by("-pk")[:MOST_UNSURE])


@dataclass(frozen=True)
class Choices:
    """What can be chosen: stations with the number of their photos that take part, and animals seen in the survey.

    individuals: all of them; cut it before it is read.
    """

    stations: list[tuple[int, str, int]]
    individuals: QuerySet[Individual]
    first: date | None
    last: date | None


def choices(*, user: User, survey: Survey) -> Choices:
    """For the page that chooses a part of the survey. Four queries."""
    own = reviewable_detections(survey).order_by()
    placed = own.filter(image__station__isnull=False).values_list("image__station_id")
    counted = dict(placed.annotate(photos=Count("pk")).order_by())
    found = by_label(Station.objects.filter(pk__in=counted))
    stations = [(station.pk, station.label, counted[station.pk]) for station in found]
    animals = (
        individuals_for(user)
        .filter(retired=False, detections__image__survey=survey)
        .select_related("population")
        .distinct()
        .order_by("number")
    )
    zone = ZoneInfo(survey.time_zone)
    times = own.filter(image__captured_at__isnull=False).order_by("image__captured_at")
    ends = [rows.values_list("image__captured_at", flat=True).first() for rows in (times, times.reverse())]
    first, last = (moment.astimezone(zone).date() if moment else None for moment in ends)
    return Choices(stations, animals, first, last)
