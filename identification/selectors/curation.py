"""What somebody who merges or splits animals is shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import F, Max, Q, QuerySet

from ..models import Candidate, Decision, Detection, Individual, MatchEdge, Provenance, Survey, User, Verdict
from ..permissions import detections_for, individuals_for
from .individuals import IndividualCard, individual_cards, individuals_listed

SUGGESTED = 6


@dataclass
class LikelyAnimal:
    """An animal that may be the same, with the highest probability that matching gave a pair of photos of the two."""

    card: IndividualCard
    probability: float | None


def animals_likely(*, user: User, individual: Individual) -> list[LikelyAnimal]:
    """Those whose photos matching ranked highest, without those that somebody said are others. Likeliest first."""
    refused = MatchEdge.objects.filter(verdict=Verdict.NO_MATCH)
    others = {
        *refused.filter(a__individual=individual).values_list("b__individual", flat=True),
        *refused.filter(b__individual=individual).values_list("a__individual", flat=True),
    }
    near = (
        Candidate.objects.filter(anchor__individual=individual, detection__individual__in=individuals_for(user))
        .filter(detection__individual__retired=False)
        .exclude(detection__individual__in=[individual.pk, *(pk for pk in others if pk is not None)])
        .values("detection__individual")
        .annotate(best=Max("probability"))
        .order_by("-best", "detection__individual")[:SUGGESTED]
    )
    best = {row["detection__individual"]: row["best"] for row in near}
    animals = Individual.objects.filter(pk__in=best).select_related("population")
    cards = individual_cards(user=user, individuals=sorted(animals, key=lambda row: -best[row.pk]))
    return [LikelyAnimal(card, best[card.individual.pk]) for card in cards]


def animals_found(*, individual: Individual, user: User, search: str) -> QuerySet[Individual]:
    """Other standing animals of the population by name or code."""
    found = individuals_listed(user=user, population=individual.population, search=search)
    return found.exclude(pk=individual.pk)


def animals_shown(*, user: User, individuals: Iterable[Individual]) -> list[LikelyAnimal]:
    """Some of these with their cards."""
    return [LikelyAnimal(card, None) for card in individual_cards(user=user, individuals=list(individuals))]


def photos_of(*, user: User, detections: Collection[int]) -> dict[int, Detection]:
    """The detections that the account may see, by id, in the order of their times."""
    rows = detections_for(user).filter(pk__in=detections).select_related("image__station", "image__survey")
    return {row.pk: row for row in rows.order_by(F("image__captured_at").asc(nulls_last=True), "pk")}


def photos_visible(*, user: User, detections: Collection[int]) -> list[int]:
    """Ids of those of the detections that the account may see, in the order of their times."""
    rows = detections_for(user).filter(pk__in=detections)
    return list(rows.order_by(F("image__captured_at").asc(nulls_last=True), "pk").values_list("pk", flat=True))


def photos_to_match(*, user: User, individual: Individual) -> QuerySet[Detection]:
    """Photos of an animal to choose from, those of one flank together."""
    rows = detections_for(user).filter(individual=individual).select_related("image__station", "image__survey")
    return rows.order_by("flank", F("image__captured_at").asc(nulls_last=True), "pk")


def pair_suggested(one: QuerySet[Detection], other: QuerySet[Detection]) -> list[int]:
    """The ids of the two photos to look at first: what matching thought likeliest, else the first of one flank."""
    here, there = (side.order_by().values("pk") for side in (one, other))
    candidates = Candidate.objects.filter(
        Q(anchor__in=here, detection__in=there) | Q(anchor__in=there, detection__in=here)
    )
    best = candidates.order_by("-probability", "pk").values_list("anchor_id", "detection_id").first()
    if best is not None:
        return list(best)
    seen = [set(side.order_by().values_list("flank", flat=True).distinct()) - {"unknown"} for side in (one, other)]
    shared = seen[0] & seen[1]
    firsts = [side.filter(flank__in=shared).first() or side.first() for side in (one, other)]
    return [row.pk for row in firsts if row is not None]


def surveys_seen(detections: Collection[int]) -> list[Survey]:
    """The surveys of detections."""
    return list(Survey.objects.filter(images__detections__in=detections).distinct())


def decisions_together(decision: Decision) -> list[Decision]:
    """What was said in the same step as the decision and is not taken back, itself included whatever came of it.

    Groups of one visit are taken back on their own page, which opens them again: of those it is the decision alone.
    """
    rows = Decision.objects.filter(Q(undone_by__isnull=True) | Q(pk=decision.pk), undoes__isnull=True).select_related(
        "acting_user", "edge__a__image__survey", "edge__b__image__survey"
    )
    alone = decision.batch is None or decision.provenance != Provenance.REVIEWER
    same = rows.filter(pk=decision.pk) if alone else rows.filter(batch=decision.batch)
    return list(same.order_by("pk"))
