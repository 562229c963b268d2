"""A survey in figures: what its photos show, when animals are about, what each station took, what was found.

Times are those of the survey's zone. Photos whose clock was probably not set are in nothing that has a time, until a
person has said how that clock goes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from operator import or_
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, Exists, IntegerField, Min, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import ExtractHour, ExtractMinute, TruncDate
from django.utils.translation import gettext, gettext_noop

from ..matching.activity import Activity, activity_of
from ..matching.effort import Accumulation, Gap, accumulation_of, gaps_of, silences_of, station_nights
from ..matching.operation import effort
from ..matching.species import Named, species_named, species_shown
from ..models import (
    CameraClock,
    Category,
    Detection,
    DetectionSource,
    Image,
    ProcessingState,
    Station,
    Survey,
    Triage,
    User,
)
from ..naming import by_label
from ..permissions import Action, may
from .camera_operation import worked_days
from .shots import CLOCK_SUSPECT

UNNAMED, ANOTHER = gettext_noop("Animal, species not said"), gettext_noop("Another species")
PEOPLE, VEHICLES, EMPTY = gettext_noop("People"), gettext_noop("Vehicles"), gettext_noop("Empty")


@dataclass(frozen=True)
class Shown:
    """What photos show. events: encounter events with it, None where that has no meaning. activity: of animals."""

    label: str
    animal: bool
    photos: int
    events: int | None = None
    activity: Activity | None = None


@dataclass(frozen=True)
class StationDays:
    """Photos of one station by day. working: the share of each day on which it worked, None where nobody said it."""

    station: Station
    days: dict[date, int]
    gaps: list[Gap]
    working: Mapping[date, float] | None = None

    @property
    def photos(self) -> int:
        return sum(self.days.values())

    @property
    def span(self) -> tuple[date, date] | None:
        """The first and the last day with photos, or on which a camera is known to have stood."""
        days = [*self.days, *(self.working or ())]
        return (min(days), max(days)) if days else None

    @property
    def nights(self) -> int:
        worked = self.worked
        return station_nights(self.span) if worked is None else len(worked)

    @property
    def worked(self) -> set[date] | None:
        """Days on which a camera worked: as was said, and those that a photo proves."""
        if self.working is None:
            return None
        return {day for day, share in self.working.items() if share} | set(self.days)

    @property
    def effort(self) -> float | None:
        """Camera days as they were said."""
        return None if self.working is None else effort(self.working)


@dataclass(frozen=True)
class Figures:
    """A survey in figures.

    all_animals: None without an event that shows an animal. unplaced: photos without station or time. suspect: photos
    of a clock that was probably not set. unplaced_individuals: seen on such photos only.
    """

    shown: list[Shown]
    all_animals: Activity | None
    stations: list[StationDays]
    accumulation: Accumulation
    photos: int
    unplaced: int
    suspect: int
    unplaced_individuals: int

    @property
    def span(self) -> tuple[date, date] | None:
        spans = [row.span for row in self.stations if row.span]
        return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None


def survey_figures(*, user: User, survey: Survey) -> Figures:
    """Ten queries for any size of survey; what grows with it is added up by the database."""
    zone = ZoneInfo(survey.time_zone)
    timed = _timed(survey)
    stations = _stations(survey, timed, zone)
    counts = survey.images.aggregate(
        photos=Count("pk"),
        unplaced=Count("pk", filter=Q(station__isnull=True) | Q(captured_at__isnull=True)),
        suspect=Count("pk", filter=_suspect()),
        empty=Count("pk", filter=Q(~Exists(_boxes_on_photo()), work__state=ProcessingState.DONE)),
    )
    shown, everything = _shown(survey, timed, zone, _seen_boxes(user, survey))
    accumulation, unplaced = _accumulation(survey, timed, zone, stations)
    return Figures(
        shown=_in_order(shown, counts["empty"]),
        all_animals=everything,
        stations=stations,
        accumulation=accumulation,
        photos=counts["photos"],
        unplaced=counts["unplaced"],
        suspect=counts["suspect"],
        unplaced_individuals=unplaced,
    )


def survey_shown(*, user: User, survey: Survey, empty: int) -> list[Shown]:
    """What the photos show, the most frequent first, without activity. Two queries for any size of survey.

    empty: photos that were looked at and show nothing, which the caller has counted.
    """
    boxes = _seen_boxes(user, survey)
    labels, which = _labels(survey, boxes)
    numbers = _counted(boxes.annotate(label=which)) if which is not None else []
    shown = [Shown(labels[index].text, labels[index].animal, photos, events) for index, photos, events in numbers]
    return _in_order(shown, empty)


def _in_order(shown: list[Shown], empty: int) -> list[Shown]:
    nothing = [Shown(gettext(EMPTY), False, empty)] if empty else []
    return sorted(shown + nothing, key=lambda row: (-row.photos, row.label))


def _boxes_on_photo() -> QuerySet[Detection]:
    return Detection.objects.filter(image=OuterRef("pk"))


def _suspect() -> Q:
    """Photos of a clock that was probably not set and of which no person has said how it goes."""
    said = CameraClock.objects.filter(station=OuterRef("station"), camera=OuterRef("camera"), by_person=True)
    return Q(~Exists(said), flags__contains=[CLOCK_SUSPECT])


def _timed(survey: Survey) -> QuerySet[Image]:
    return survey.images.filter(station__isnull=False, captured_at__isnull=False).exclude(_suspect())


def _stations(survey: Survey, timed: QuerySet[Image], zone: ZoneInfo) -> list[StationDays]:
    rows: dict[int, dict[date, int]] = defaultdict(dict)
    by_day = timed.annotate(day=TruncDate("captured_at", tzinfo=zone)).values_list("station_id", "day")
    for station, day, number in by_day.annotate(n=Count("pk")).order_by():
        rows[station][day] = number
    known = worked_days(survey, until={station: max(days) for station, days in rows.items()})
    stations = by_label(survey.stations.all())
    return [_station_days(station, rows[station.pk], known.get(station.pk)) for station in stations]


def _station_days(station: Station, days: dict[date, int], working: dict[date, float] | None) -> StationDays:
    if working is None:
        return StationDays(station, days, gaps_of(days))
    return StationDays(station, days, silences_of(days, [day for day, share in working.items() if share]), working)


def _named_boxes(survey: Survey) -> QuerySet[Detection]:
    """Boxes that say what is on a photo.

    Left out are those that a person set aside as not usable, and those that stand for the whole frame because no
    detector was there, as long as nobody has said what they show.
    """
    unknown = Q(source=DetectionSource.WHOLE_FRAME, triage=Triage.UNDECIDED, species="", individual__isnull=True)
    nameless = Q(individual__isnull=True)
    return Detection.objects.filter(image__survey=survey, usable=True).exclude(unknown).annotate(nameless=nameless)


@dataclass(frozen=True)
class _Label:
    text: str
    animal: bool


def _seen_boxes(user: User, survey: Survey) -> QuerySet[Detection]:
    """Named boxes; those of people only for accounts that may see people."""
    boxes = _named_boxes(survey)
    return boxes if may(user, Action.SEE_PEOPLE, survey) else boxes.exclude(category=Category.PERSON)


def _counted(labelled: QuerySet[Any]) -> list[tuple[int, int, int]]:
    """(index of the label, photos, events) of each."""
    return list(
        labelled.values_list("label")
        .annotate(photos=Count("image", distinct=True), events=Count("image__event", distinct=True))
        .order_by()
    )


def _shown(
    survey: Survey, timed: QuerySet[Image], zone: ZoneInfo, boxes: QuerySet[Detection]
) -> tuple[list[Shown], Activity | None]:
    """Rows of what boxes show, and the activity of all animals together."""
    labels, which = _labels(survey, boxes)
    if which is None:
        return [], None
    boxes = boxes.annotate(label=which)
    minutes, everything = _minutes(boxes.filter(image__in=timed), labels, zone)
    shown = []
    for index, photos, events in _counted(boxes):
        label = labels[index]
        activity = activity_of(minutes[index]) if label.animal and minutes[index] else None
        shown.append(Shown(label.text, label.animal, photos, events, activity))
    return shown, activity_of(everything) if everything else None


def _labels(survey: Survey, boxes: QuerySet[Any]) -> tuple[list[_Label], Case | None]:
    """What there is to show, and the expression that says of a box which of these it is."""
    home = survey.population.species or survey.population.name
    kinds: dict[str, tuple[_Label, dict[tuple[str, str, bool], list[str]]]] = {}
    said = boxes.values_list("category", "triage", "nameless", "species").distinct().order_by()
    for category, triage, nameless, species in said:
        label = _label(category, triage, nameless, species, home)
        names = kinds.setdefault(label.text.casefold(), (label, defaultdict(list)))[1]
        names[(category, triage, nameless)].append(species)
    if not kinds:
        return [], None
    labels, cases = [], []
    for index, (label, names) in enumerate(kinds.values()):
        labels.append(label)
        parts = (
            Q(category=category, triage=triage, nameless=nameless, species__in=species)
            for (category, triage, nameless), species in names.items()
        )
        cases.append(When(reduce(or_, parts), then=Value(index)))
    return labels, Case(*cases, output_field=IntegerField())


def _label(category: str, triage: str, nameless: bool, species: str, home: str) -> _Label:
    if category != Category.ANIMAL:
        return _Label(gettext(PEOPLE if category == Category.PERSON else VEHICLES), False)
    same = species_named(species, home) == Named.SAME
    if triage == Triage.OTHER:
        return _Label((not same and species_shown(species)) or gettext(ANOTHER), True)
    if triage == Triage.WANTED or not nameless or same:
        return _Label(home, True)
    return _Label(species_shown(species) or gettext(UNNAMED), True)


def _minutes(
    boxes: QuerySet[Any], labels: list[_Label], zone: ZoneInfo
) -> tuple[dict[int, Counter[int]], Counter[int]]:
    """Events by the minute of day of the first photo that shows it: of each label, and of any animal."""
    first = (
        boxes.filter(category=Category.ANIMAL, image__event__isnull=False)
        .values("label", "image__event")
        .annotate(at=Min("image__captured_at"))
        .annotate(minute=ExtractHour("at", tzinfo=zone) * 60 + ExtractMinute("at", tzinfo=zone))
        .order_by()
    )
    minutes: dict[int, Counter[int]] = defaultdict(Counter)
    earliest: dict[int, tuple[datetime, int]] = {}
    for label, event, at, minute in first.values_list("label", "image__event", "at", "minute"):
        minutes[label][minute] += 1
        if event not in earliest or at < earliest[event][0]:
            earliest[event] = at, minute
    return minutes, Counter(minute for _, minute in earliest.values())


def _accumulation(
    survey: Survey, timed: QuerySet[Image], zone: ZoneInfo, stations: list[StationDays]
) -> tuple[Accumulation, int]:
    """The curve, and how many individuals no placed and timed photo shows."""
    boxes = Detection.objects.comparable().filter(image__survey=survey, individual__isnull=False)
    placed = boxes.filter(image__in=timed).annotate(day=TruncDate("image__captured_at", tzinfo=zone))
    seen = list(placed.values_list("individual", "image__station", "day").distinct().order_by())
    spans = {row.station.pk: row.span for row in stations if row.span is not None}
    worked = {row.station.pk: row.worked for row in stations if row.worked is not None}
    all_of_them = boxes.aggregate(n=Count("individual", distinct=True))["n"]
    return accumulation_of(spans, seen, worked=worked), all_of_them - len({individual for individual, _, _ in seen})
