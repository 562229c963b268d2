"""Individuals, their photos, and the matches that hold them together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, ExpressionWrapper, F, FloatField, Max, Min, Q

from ..models import (
    AuditEntry,
    Decision,
    Detection,
    DetectionSource,
    Flank,
    Individual,
    MatchEdge,
    Population,
    Survey,
    User,
    Verdict,
)
from ..permissions import Action, detections_for, individuals_for, surveys_for
from ..presenting import day_span
from .consequences import PairShown, pairs_shown

MATCHES_SHOWN = 200
HISTORY_SHOWN = 60


@dataclass
class IndividualCard:
    """One animal of the list: how often it was seen, between when, and its best crop (the largest that was cut)."""

    individual: Individual
    photos: int
    first: datetime | None
    last: datetime | None
    best: Detection | None

    @property
    def span(self) -> str:
        return day_span(self.first, self.last, self.best.image.survey.time_zone if self.best else "UTC")


def individuals_listed(
    *, user: User, population: Population | None = None, survey: Survey | None = None, search: str = ""
):  # type: ignore[no-untyped-def]
    """Standing individuals with a visible photo, narrowed down, by population and number."""
    found = individuals_for(user).filter(retired=False).select_related("population")
    if population is not None:
        found = found.filter(population=population)
    if survey is not None:
        here = detections_for(user).filter(image__survey=survey, individual__isnull=False)
        found = found.filter(pk__in=here.values("individual"))
    words = search.strip()
    if words:
        number = words.rsplit("-", 1)[-1]
        by_code = Q(number=int(number)) if number.isascii() and number.isdigit() and len(number) < 9 else Q(pk__in=[])
        found = found.filter(Q(name__icontains=words) | by_code)
    return found.order_by("population__name", "number")


def individual_cards(*, user: User, individuals: list[Individual]) -> list[IndividualCard]:
    """Two queries for any number of individuals."""
    visible = detections_for(user).filter(individual__in=individuals)
    figures = {
        row["individual"]: (row["photos"], row["first"], row["last"])
        for row in visible.values("individual")
        .annotate(photos=Count("image", distinct=True), first=Min("image__captured_at"), last=Max("image__captured_at"))
        .order_by()
    }
    area = ExpressionWrapper((F("x2") - F("x1")) * (F("y2") - F("y1")), output_field=FloatField())
    best = (
        visible.exclude(crop="")
        .annotate(area=area, whole=Q(source=DetectionSource.WHOLE_FRAME))
        .select_related("image__survey")
        .order_by("individual_id", "-usable", "whole", "-area", "pk")
        .distinct("individual_id")
    )
    shown = {detection.individual_id: detection for detection in best}
    cards = []
    for individual in individuals:
        photos, first, last = figures.get(individual.pk, (0, None, None))
        cards.append(IndividualCard(individual, photos, first, last, shown.get(individual.pk)))
    return cards


@dataclass(frozen=True)
class HistoryLine:
    """One thing that somebody did."""

    when: datetime
    who: str
    what: str


@dataclass
class IndividualPage:
    """Everything about one animal that the account may see. matches and history are for those who see candidates."""

    individual: Individual
    flanks: list[tuple[str, list[Detection]]]
    photos: int
    first: datetime | None
    last: datetime | None
    surveys: list[Survey]
    matches: list[PairShown]
    history: list[HistoryLine]
    contradictory: bool

    @property
    def span(self) -> str:
        return day_span(self.first, self.last, self.surveys[0].time_zone if self.surveys else "UTC")


def individual_page(*, user: User, individual: Individual) -> IndividualPage:
    """A constant number of queries for any number of photos."""
    rows = (
        detections_for(user)
        .filter(individual=individual)
        .select_related("image__station", "image__survey")
        .order_by(F("image__captured_at").asc(nulls_last=True), "pk")
    )
    detections = list(rows)
    surveys = {row.image.survey_id: row.image.survey for row in detections}
    times = [row.image.captured_at for row in detections if row.image.captured_at]
    flanks = [
        (str(flank.label), [row for row in detections if row.flank == flank])
        for flank in (Flank.LEFT, Flank.RIGHT, Flank.UNKNOWN)
    ]
    open_surveys = set(
        surveys_for(user, Action.SEE_CANDIDATES).filter(pk__in=list(surveys)).values_list("pk", flat=True)
    )
    readable = {row.pk for row in detections if row.image.survey_id in open_surveys}
    edges = list(
        MatchEdge.objects.filter(a__in=readable, b__in=readable)
        .exclude(verdict="")
        .order_by("pk")
        .values_list("a_id", "b_id", "verdict")
    )
    matches = [(a, b) for a, b, verdict in edges if verdict == Verdict.MATCH]
    refused = [(a, b) for a, b, verdict in edges if verdict == Verdict.NO_MATCH]
    return IndividualPage(
        individual=individual,
        flanks=[(label, photos) for label, photos in flanks if photos],
        photos=len({row.image_id for row in detections}),
        first=min(times, default=None),
        last=max(times, default=None),
        surveys=sorted(surveys.values(), key=lambda survey: survey.name),
        matches=pairs_shown(user=user, pairs=matches[:MATCHES_SHOWN]),
        history=_history(individual, readable) if open_surveys or not detections else [],
        contradictory=bool(refused),
    )


_ACTIONS = {
    "individual.declare": "declared this animal",
    "individual.undeclare": "took the declaration back",
    "individual.note": "changed the notes",
    "individual.succeed": "let it take over from an animal that lost its photos",
}


def _history(individual: Individual, readable: set[int]) -> list[HistoryLine]:
    lines = []
    entries = AuditEntry.objects.filter(object_type="individual", object_id=individual.pk).select_related("acting_user")
    for entry in entries[:HISTORY_SHOWN]:
        what = _ACTIONS.get(entry.action) or entry.action.rpartition(".")[2].replace("_", " ")
        if entry.action == "individual.rename":
            what = (
                f"renamed it from “{entry.before.get('name') or 'no name'}” to “{entry.after.get('name') or 'no name'}”"
            )
        lines.append(HistoryLine(entry.created_at, _who(entry.acting_user), what))
    decisions = (
        Decision.objects.filter(edge__a__in=readable, edge__b__in=readable)
        .select_related("acting_user", "edge__a__image__station", "edge__b__image__station", "undoes")
        .order_by("-pk")[:HISTORY_SHOWN]
    )
    for decision in decisions:
        pair = f"{_where(decision.edge.a)} and {_where(decision.edge.b)}"
        if decision.undoes is not None:
            what = f"took back “{decision.undoes.get_verdict_display()}” on {pair}"
        else:
            what = f"said “{decision.get_verdict_display()}” of {pair}"
        lines.append(HistoryLine(decision.created_at, _who(decision.acting_user), what))
    return sorted(lines, key=lambda line: line.when, reverse=True)[:HISTORY_SHOWN]


def _where(detection: Detection) -> str:
    """Station and file name: cameras number their files alike."""
    image = detection.image
    return " ".join(filter(None, [image.station.code if image.station else "", image.camera, image.name]))


def declaration_of(individual: Individual) -> AuditEntry | None:
    """The last time that somebody declared the animal."""
    entries = AuditEntry.objects.filter(object_type="individual", object_id=individual.pk, action="individual.declare")
    return entries.order_by("-pk").first()


def _who(user: User | None) -> str:
    return user.get_username() if user else "SpotID"


def successors_of(individual: Individual) -> list[Individual]:
    """What a retired individual became: the end of its chain of merges, or nothing when it was taken back."""
    seen: set[int] = set()
    current = individual
    while current.retired and current.merged_into is not None and current.pk not in seen:
        seen.add(current.pk)
        current = Individual.objects.select_related("population", "merged_into").get(pk=current.merged_into.pk)
    return [] if current.retired else [current]
