"""Reads of the graph of match edges."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db import connection
from django.db.models import Count

from ..matching.graph import SignedGraph, doubt
from ..models import Detection, MatchEdge, Population, Verdict

_COMPONENT = """
WITH RECURSIVE component(id) AS (
    SELECT unnest(%s::bigint[])
    UNION
    SELECT CASE WHEN edge.a_id = component.id THEN edge.b_id ELSE edge.a_id END
    FROM component JOIN identification_matchedge edge
        ON edge.verdict = 'match' AND (edge.a_id = component.id OR edge.b_id = component.id)
)
SELECT id FROM component
"""


def component_of(detections: Iterable[int]) -> frozenset[int]:
    """All detections that match edges connect with any of these, these included."""
    with connection.cursor() as cursor:
        cursor.execute(_COMPONENT, [list(detections)])
        return frozenset(row[0] for row in cursor.fetchall())


def edges_among(detections: Collection[int], verdict: str) -> list[tuple[int, int]]:
    """Edges of one verdict with both ends among the detections."""
    return list(
        MatchEdge.objects.filter(verdict=verdict, a__in=detections, b__in=detections).values_list("a_id", "b_id")
    )


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
