"""The catalogue: standing individuals, narrowed down, each with what its card shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import (
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.utils.translation import gettext_lazy as _

from ..models import (
    AgeClass,
    AuditEntry,
    Category,
    Detection,
    DetectionSource,
    Flank,
    Individual,
    MatchEdge,
    Population,
    Sex,
    Survey,
    User,
    Verdict,
)
from ..permissions import Action, detections_for, individuals_for, surveys_for
from ..presenting import day_span

RETIRED_SHOWN = 5
FLANKS_SEEN = {"both": _("Both flanks"), "left": _("Left only"), "right": _("Right only"), "none": _("No known flank")}
ORDERS = {"code": _("Code"), "photos": _("Most photos"), "last": _("Seen last"), "first": _("Seen first")}


@dataclass
class IndividualCard:
    """One animal of the list: how often it was seen, between when, and the best crop (the largest) of each flank."""

    individual: Individual
    photos: int
    surveys: int
    first: datetime | None
    last: datetime | None
    flanks: dict[str, Detection] = field(default_factory=dict)

    @property
    def best(self) -> Detection | None:
        """One picture, where there is room for one."""
        return next((self.flanks[flank] for flank in ("left", "right", "unknown") if flank in self.flanks), None)

    @property
    def span(self) -> str:
        return day_span(self.first, self.last, self.best.image.survey.time_zone if self.best else "UTC")

    @property
    def traits(self) -> str:
        """Sex and age class, as far as they were said."""
        said = (Sex(self.individual.sex), AgeClass(self.individual.age_class))
        return ", ".join(str(trait.label) for trait in said if trait.value).capitalize()


def individuals_listed(
    *,
    user: User,
    population: Population | None = None,
    survey: Survey | None = None,
    search: str = "",
    sex: str = "",
    age_class: str = "",
    flanks: str = "",
    order: str = "",
) -> QuerySet[Individual]:
    """Standing individuals with a visible photo, narrowed down, by population and number or the order asked for.

    sex and age_class: a value, or "unknown" for those of which nothing was said.
    """
    found = individuals_for(user).filter(retired=False).select_related("population")
    if population is not None:
        found = found.filter(population=population)
    if survey is not None:
        here = detections_for(user).filter(image__survey=survey, individual__isnull=False)
        found = found.filter(pk__in=here.values("individual"))
    if search.strip():
        found = found.filter(Q(name__icontains=search.strip()) | _by_code(search))
    if sex:
        found = found.filter(sex="" if sex == "unknown" else sex)
    if age_class:
        found = found.filter(age_class="" if age_class == "unknown" else age_class)
    if flanks in FLANKS_SEEN:
        own = detections_for(user).filter(individual=OuterRef("pk"))
        left, right = (Exists(own.filter(flank=flank)) for flank in (Flank.LEFT, Flank.RIGHT))
        found = found.filter(left if flanks in {"both", "left"} else ~left)
        found = found.filter(right if flanks in {"both", "right"} else ~right)
    return found.order_by("population__name", "population", *_ordered(user, order), "number")


def _by_code(search: str) -> Q:
    """Of a whole code its number within populations with that prefix, of a bare number the number."""
    prefix, _, number = search.strip().rpartition("-")
    if not (number.isascii() and number.isdigit() and len(number) < 9):
        return Q(pk__in=[])
    return Q(number=int(number), population__code_prefix__iexact=prefix) if prefix else Q(number=int(number))


def _ordered(user: User, order: str) -> list[Any]:
    own = detections_for(user).filter(individual=OuterRef("pk")).order_by().values("individual")
    if order == "photos":
        photos = own.annotate(n=Count("image", distinct=True)).values("n")
        return [Subquery(photos, output_field=IntegerField()).desc()]
    if order == "last":
        return [Subquery(own.annotate(at=Max("image__captured_at")).values("at")).desc(nulls_last=True)]
    if order == "first":
        return [Subquery(own.annotate(at=Min("image__captured_at")).values("at")).asc(nulls_last=True)]
    return []


def retired_found(*, user: User, search: str) -> list[Individual]:
    """Retired codes and names that answer to a search: their pages say what they became."""
    if not search.strip():
        return []
    found = Individual.objects.filter(retired=True, founder__in=detections_for(user)).filter(
        _by_code(search) | Q(name__iexact=search.strip())
    )
    return list(found.select_related("population", "merged_into__population").order_by("number")[:RETIRED_SHOWN])


def individual_cards(*, user: User, individuals: list[Individual]) -> list[IndividualCard]:
    """Two queries for any number of individuals."""
    visible = detections_for(user).filter(individual__in=individuals)
    figures: dict[int | None, dict[str, Any]] = {
        row["individual"]: dict(row)
        for row in visible.values("individual")
        .annotate(
            photos=Count("image", distinct=True),
            surveys=Count("image__survey", distinct=True),
            first=Min("image__captured_at"),
            last=Max("image__captured_at"),
        )
        .order_by()
    }
    area = ExpressionWrapper((F("x2") - F("x1")) * (F("y2") - F("y1")), output_field=FloatField())
    best = (
        visible.exclude(crop="")
        .annotate(area=area, whole=Q(source=DetectionSource.WHOLE_FRAME))
        .select_related("image__survey")
        .order_by("individual_id", "flank", "-usable", "whole", "-area", "pk")
        .distinct("individual_id", "flank")
    )
    shown: dict[int | None, dict[str, Detection]] = {}
    for detection in best:
        shown.setdefault(detection.individual_id, {})[detection.flank] = detection
    cards = []
    for individual in individuals:
        row = figures.get(individual.pk, {})
        cards.append(
            IndividualCard(
                individual=individual,
                photos=row.get("photos", 0),
                surveys=row.get("surveys", 0),
                first=row.get("first"),
                last=row.get("last"),
                flanks=shown.get(individual.pk, {}),
            )
        )
    return cards


def contradictory_among(*, user: User, individuals: list[Individual]) -> set[int]:
    """Ids of those whose group contradicts itself: a refused pair, two boxes of one photo, or photos matched with the
    animal that are not assigned to it, which only a contradiction leaves. Four queries.

    Only by photos of surveys in which the account sees candidates.
    """
    surveys = surveys_for(user, Action.SEE_CANDIDATES)
    edges = MatchEdge.objects.filter(a__image__survey__in=surveys, b__image__survey__in=surveys)
    matches = edges.filter(verdict=Verdict.MATCH)
    torn = edges.filter(verdict=Verdict.NO_MATCH, a__individual__in=individuals, b__individual=F("a__individual"))
    left = matches.filter(a__individual__in=individuals).exclude(b__individual=F("a__individual"))
    right = matches.filter(b__individual__in=individuals).exclude(a__individual=F("b__individual"))
    boxes = Detection.objects.filter(
        individual__in=individuals, category=Category.ANIMAL, image__survey__in=surveys
    ).order_by()
    twice = boxes.values("individual", "image").annotate(boxes=Count("pk")).filter(boxes__gt=1)
    return {
        *torn.values_list("a__individual", flat=True),
        *left.values_list("a__individual", flat=True),
        *right.values_list("b__individual", flat=True),
        *twice.values_list("individual", flat=True),
    }


def declaration_of(individual: Individual) -> AuditEntry | None:
    """The last time that somebody declared the animal."""
    entries = AuditEntry.objects.filter(object_type="individual", object_id=individual.pk, action="individual.declare")
    return entries.order_by("-pk").first()


def successors_of(individual: Individual) -> list[Individual]:
    """What a retired individual became: the end of its chain of merges, or nothing when it was taken back."""
    seen: set[int] = set()
    current = individual
    while current.retired and current.merged_into is not None and current.pk not in seen:
        seen.add(current.pk)
        current = Individual.objects.select_related("population", "merged_into").get(pk=current.merged_into.pk)
    return [] if current.retired else [current]


def animals_exist(*, population_id: int) -> bool:
    """Whether the catalogue of a population has any standing animal."""
    return Individual.objects.filter(population=population_id, retired=False).exists()
