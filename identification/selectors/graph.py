"""Reads of the graph of match edges."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

from django.db.models import Count

from ..matching.graph import SignedGraph, doubt, ordered
from ..models import Detection, MatchEdge, Population, Triage, Verdict
from ..prepared import Written

_COMPONENT = """
WITH RECURSIVE component(id) AS (
    SELECT unnest(%(boxes)s::bigint[])
    UNION
    SELECT CASE WHEN edge.a_id = component.id THEN edge.b_id ELSE edge.a_id END
    FROM component JOIN identification_matchedge edge
        ON edge.verdict = 'match' AND (edge.a_id = component.id OR edge.b_id = component.id)
)
"""
_MEMBERS = Written(f"{_COMPONENT} SELECT id FROM component")
_MATCHES = Written(f"""{_COMPONENT}
SELECT component.id, edge.b_id
FROM component LEFT JOIN identification_matchedge edge ON edge.a_id = component.id AND edge.verdict = 'match'
""")
_BOXES = Written(f"""{_COMPONENT}
SELECT component.id, box.image_id, box.individual_id, box.triage
FROM component JOIN identification_detection box ON box.id = component.id
""")
_AMONG = Written("""
SELECT a_id, b_id, verdict FROM identification_matchedge
WHERE a_id = ANY(%(members)s) AND b_id = ANY(%(members)s) AND verdict IN ('match', 'no_match')
""")


class MemberBox(NamedTuple):
    """A detection of a component: its photo, the individual that it is assigned to, whether it is another species."""

    image: int
    individual: int | None
    other_species: bool


@dataclass(frozen=True)
class Surroundings:
    """The components of some detections: their boxes, and what stands between any two of these.

    Two queries, whatever is asked of it afterwards. It holds as long as the population is locked.
    """

    boxes: dict[int, MemberBox]
    matches: frozenset[tuple[int, int]]
    refusals: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, detections: Iterable[int]) -> Surroundings:
        boxes = {
            pk: MemberBox(image, individual, triage == Triage.OTHER)
            for pk, image, individual, triage in _BOXES(boxes=list(detections))
        }
        said = _AMONG(members=list(boxes)) if len(boxes) > 1 else []
        matches = frozenset((a, b) for a, b, verdict in said if verdict == Verdict.MATCH)
        return cls(boxes, matches, frozenset((a, b) for a, b, verdict in said if verdict == Verdict.NO_MATCH))

    def saying(self, pair: tuple[int, int], verdict: str) -> Surroundings:
        """The same with another verdict on one pair of these detections."""
        alone = frozenset([ordered(pair)])
        return replace(
            self,
            matches=self.matches | alone if verdict == Verdict.MATCH else self.matches - alone,
            refusals=self.refusals | alone if verdict == Verdict.NO_MATCH else self.refusals - alone,
        )

    def shared_photo_pairs(self, detections: Collection[int]) -> list[tuple[int, int]]:
        """Pairs among some of these that lie on one photo, and so are two animals."""
        on: dict[int, list[int]] = {}
        for pk in sorted(detections):
            on.setdefault(self.boxes[pk].image, []).append(pk)
        return [(a, b) for boxes in on.values() for index, a in enumerate(boxes) for b in boxes[index + 1 :]]

    def parts(self) -> tuple[list[frozenset[int]], list[frozenset[int]]]:
        """The components, those that contradict themselves apart: a pair is refused, or on one photo."""
        graph = SignedGraph.of(self.matches)
        against = [*self.refusals, *self.shared_photo_pairs(self.boxes)]
        clashing = {graph.root(a) for a, b in against if graph.root(a) == graph.root(b)}
        sound: list[frozenset[int]] = []
        contradictory: list[frozenset[int]] = []
        for part in graph.components(self.boxes):
            (contradictory if graph.root(min(part)) in clashing else sound).append(part)
        return sound, contradictory


def component_matches(detections: Iterable[int]) -> tuple[frozenset[int], list[tuple[int, int]]]:
    """`component_of` with the matches that connect it, in one query."""
    rows = _MATCHES(boxes=list(detections))
    return frozenset(a for a, _ in rows), [(a, b) for a, b in rows if b is not None]


def component_of(detections: Iterable[int]) -> frozenset[int]:
    """All detections that match edges connect with any of these, these included."""
    return frozenset(row[0] for row in _MEMBERS(boxes=list(detections)))


def edges_among(detections: Collection[int], verdict: str) -> list[tuple[int, int]]:
    """Edges of one verdict with both ends among the detections."""
    return list(
        MatchEdge.objects.filter(verdict=verdict, a__in=detections, b__in=detections).values_list("a_id", "b_id")
    )


def component_state(detections: Iterable[int]) -> str:
    """A digest of everything that was said within the components of these detections; changes with each decision."""
    members = component_of(detections)
    said = MatchEdge.objects.filter(a__in=members, b__in=members).order_by("a", "b").values_list("a", "b", "version")
    return sha256(repr([sorted(members), list(said)]).encode()).hexdigest()[:16]


def match_doubts(detections: Collection[int]) -> dict[tuple[int, int], float]:
    """How likely each standing match among the detections is wrong, 0…1, as `doubt` says."""
    matches = MatchEdge.objects.filter(verdict=Verdict.MATCH, a__in=detections, b__in=detections)
    return {
        (a, b): doubt(provenance, probability)
        for a, b, provenance, probability in matches.values_list("a_id", "b_id", "provenance", "probability")
    }


def refusals_between(left: Collection[int], right: Collection[int]) -> list[tuple[int, int]]:
    """No-match edges that run between two groups."""
    edges = MatchEdge.objects.filter(verdict=Verdict.NO_MATCH)
    there = edges.filter(a__in=left, b__in=right).values_list("a_id", "b_id")
    back = edges.filter(a__in=right, b__in=left).values_list("a_id", "b_id")
    return sorted({*there, *back})


def shared_photo_pairs(detections: Collection[int]) -> list[tuple[int, int]]:
    """Pairs among the detections that lie on one photo, and so are two animals."""
    crowded = (
        Detection.objects.filter(pk__in=detections)
        .values("image_id")
        .annotate(boxes=Count("id"))
        .filter(boxes__gt=1)
        .values_list("image_id", flat=True)
    )
    pairs = []
    for image in crowded:
        on_photo = sorted(Detection.objects.filter(pk__in=detections, image_id=image).values_list("pk", flat=True))
        pairs += [(a, b) for index, a in enumerate(on_photo) for b in on_photo[index + 1 :]]
    return pairs


def contradictions_among(detections: Collection[int]) -> list[tuple[int, int]]:
    """Pairs of one component that cannot be one animal: refused by a person, or on one photo."""
    return sorted({*edges_among(detections, Verdict.NO_MATCH), *shared_photo_pairs(detections)})


def population_graph(population: Population) -> SignedGraph:
    """All standing matches and refusals of a population."""
    edges = MatchEdge.objects.filter(
        a__image__survey__population=population, verdict__in=[Verdict.MATCH, Verdict.NO_MATCH]
    ).values_list("a_id", "b_id", "verdict")
    matches: list[tuple[int, int]] = []
    refusals: list[tuple[int, int]] = []
    for a, b, verdict in edges.iterator():
        (matches if verdict == Verdict.MATCH else refusals).append((a, b))
    return SignedGraph.of(matches, refusals)
