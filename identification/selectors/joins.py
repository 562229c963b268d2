"""Matches of reviewers that would join two named animals, and wait for a curator.

docs/decisions/0046-joins-that-wait.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from ..matching.graph import SignedGraph
from ..models import Decision, Detection, Individual, Provenance, User, Verdict
from ..permissions import Action, detections_for, may_for_all, never, survey_ids_for, surveys_for
from ..prepared import Written
from .graph import Surroundings

JOINS_SHOWN = 20
GALLERY = 12
# Asked on every page of a review: SQL as it is, as of the leases.
_WAITING = Written("""
SELECT edge.a_id, edge.b_id, photo_a.survey_id, photo_b.survey_id
FROM identification_decision said
    JOIN identification_matchedge edge ON edge.id = said.edge_id
    JOIN identification_detection a ON a.id = edge.a_id JOIN identification_image photo_a ON photo_a.id = a.image_id
    JOIN identification_detection b ON b.id = edge.b_id JOIN identification_image photo_b ON photo_b.id = b.image_id
    JOIN identification_survey survey ON survey.id = photo_a.survey_id
WHERE said.verdict = 'proposed' AND survey.population_id = %(population)s
    AND NOT coalesce(a.individual_id = b.individual_id, false)
    AND NOT EXISTS (SELECT FROM identification_decision undo WHERE undo.undoes_id = said.id)
    AND NOT EXISTS (
        SELECT FROM identification_decision later
        WHERE later.edge_id = said.edge_id AND later.id > said.id AND later.undoes_id IS NULL
            AND later.verdict <> 'proposed'
            AND NOT EXISTS (SELECT FROM identification_decision undo WHERE undo.undoes_id = later.id)
    )
ORDER BY said.id
""")


@dataclass(frozen=True)
class Side:
    """One of the two animals: the photo that was compared, and others of it that the account may see.

    more: how many of these are not shown; hidden: how many photos of it are of other surveys.
    """

    detection: Detection
    others: list[Detection]
    more: int
    hidden: int


@dataclass(frozen=True)
class Join:
    """A match that waits, with both animals."""

    decision: Decision
    left: Side
    right: Side


def match_waits(
    *, user: User | None, first: Detection, second: Detection, provenance: str, around: Surroundings
) -> bool:
    """Whether a match of two photos is to wait: it would join two named animals, and the account does not curate both
    surveys. Nobody's (the software's own) and an import's does not wait.

    An animal is named where somebody gave it a name. around: of both, read under the population's lock.
    """
    if user is None or provenance == Provenance.IMPORTED:
        return False
    graph = SignedGraph.of(around.matches)
    roots = graph.root(first.pk), graph.root(second.pk)
    if roots[0] == roots[1]:
        return False
    animals: dict[int, set[int]] = {root: set() for root in roots}
    for pk, box in around.boxes.items():
        if box.individual is not None and graph.root(pk) in animals:
            animals[graph.root(pk)].add(box.individual)
    if not all(animals.values()):
        return False
    named = set(
        Individual.objects.filter(pk__in=set().union(*animals.values())).exclude(name="").values_list("pk", flat=True)
    )
    if not all(own & named for own in animals.values()):
        return False
    return not may_for_all(user, Action.CURATE, [first.image.survey, second.image.survey])


def answered_proposal() -> Q:
    """Of decisions: proposals on which somebody has said a verdict since, so that taking them back changes nothing."""
    return Q(verdict=Decision.PROPOSED, edge__verdict__in=[Verdict.MATCH, Verdict.NO_MATCH])


def pairs_waiting(*, user: User, population_id: int) -> list[tuple[int, int]]:
    """Pairs (a < b) of a population that wait for a curator, without those that the account may settle itself."""
    rows = _WAITING(population=population_id)
    if not rows:
        return []
    curated = survey_ids_for(user, Action.CURATE, population_id)
    return [(a, b) for a, b, one, other in rows if not {one, other} <= curated]


def joins_waiting(user: User) -> QuerySet[Decision]:
    """The proposals that the account may settle, the oldest first: it curates the surveys of both photos."""
    curated = surveys_for(user, Action.CURATE)
    undone = Decision.objects.filter(undoes=OuterRef("pk"))
    since = Decision.objects.filter(edge=OuterRef("edge"), pk__gt=OuterRef("pk"), undoes__isnull=True)
    since = since.exclude(verdict=Decision.PROPOSED).exclude(Exists(undone))
    return (
        Decision.objects.filter(
            verdict=Decision.PROPOSED, edge__a__image__survey__in=curated, edge__b__image__survey__in=curated
        )
        .exclude(Exists(undone))
        .exclude(Exists(since))
        .exclude(edge__a__individual__isnull=False, edge__a__individual=F("edge__b__individual"))
        .order_by("pk")
    )


def joins_listed(user: User) -> QuerySet[Decision, int]:
    """Ids of these, each pair once, though two people may have proposed it: the first, the oldest first."""
    return (
        joins_waiting(user)
        .order_by()
        .values("edge")
        .annotate(first=Min("pk"))
        .order_by("first")
        .values_list("first", flat=True)
    )


def joins_count(user: User) -> int:
    """How many pairs wait for this account; 0 for whoever curates nothing."""
    if never(user, Action.CURATE):
        return 0
    return joins_waiting(user).order_by().values("edge").distinct().count()


def joins_shown(*, user: User, ids: Iterable[int]) -> list[Join]:
    """Some of the matches that wait for the account, in their order, with photos of both animals. Four queries."""
    decisions = list(Decision.objects.filter(pk__in=ids).select_related("acting_user", "edge").order_by("pk"))
    ends = {pk for row in decisions for pk in (row.edge.a_id, row.edge.b_id)}
    boxes = detections_for(user).select_related("image__station", "image__survey", "individual__population")
    shown = {box.pk: box for box in boxes.filter(pk__in=ends)}
    sides = _sides(user, shown.values())
    return [
        Join(row, sides[row.edge.a_id], sides[row.edge.b_id])
        for row in decisions
        if row.edge.a_id in shown and row.edge.b_id in shown
    ]


def _sides(user: User, shown: Collection[Detection]) -> dict[int, Side]:
    """Of each animal only the photos that can be shown are read: the latest of each flank."""
    animals = {box.individual_id for box in shown} - {None}
    counted = Detection.objects.filter(individual__in=animals).order_by().values("individual")
    everything: dict[int | None, int] = dict(counted.annotate(photos=Count("pk")).values_list("individual", "photos"))
    own = detections_for(user).filter(individual__in=animals)
    told = own.order_by().values("individual").annotate(photos=Count("pk"))
    visible: dict[int | None, int] = dict(told.values_list("individual", "photos"))
    latest = F("image__captured_at").desc(nulls_last=True)
    place = Window(RowNumber(), partition_by=[F("individual"), F("flank")], order_by=[latest, "pk"])
    rows = own.annotate(place=place).filter(place__lte=GALLERY + 1).select_related("image__station", "image__survey")
    photos: dict[int | None, list[Detection]] = {}
    for row in rows.order_by(latest, "pk"):
        photos.setdefault(row.individual_id, []).append(row)
    sides = {}
    for box in shown:
        others = [row for row in photos.get(box.individual_id, []) if row.pk != box.pk]
        others = sorted(others, key=lambda row: row.flank != box.flank)[:GALLERY]
        seen = visible.get(box.individual_id, 0)
        more = max(0, seen - 1 - len(others))
        sides[box.pk] = Side(box, others, more, max(0, everything.get(box.individual_id, 0) - seen))
    return sides
