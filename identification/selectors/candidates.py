"""Candidates of one box, as the last matching ranked them."""

from __future__ import annotations

from dataclasses import dataclass

from ..matching.graph import ordered
from ..models import Candidate, Detection, User
from ..permissions import detections_for
from .review import edge_versions


@dataclass(frozen=True)
class CandidateShown:
    """A candidate; box and version are None where it is of a survey that the account does not see."""

    rank: int
    probability: float
    similarity: float | None
    inliers: int
    box: Detection | None
    version: int | None


def candidates_of(*, user: User, detection: Detection) -> list[CandidateShown]:
    """The likeliest first. Nothing is told of what was decided about a pair but the version of its edge."""
    rows = list(Candidate.objects.filter(anchor=detection).order_by("rank"))
    related = detections_for(user).select_related("image__station", "image__survey")
    seen = related.in_bulk([row.detection_id for row in rows])
    pairs = {pk: ordered((detection.pk, pk)) for pk in seen}
    versions = edge_versions(pairs.values())
    return [
        CandidateShown(
            rank=row.rank,
            probability=row.probability,
            similarity=row.similarity,
            inliers=row.inliers,
            box=seen.get(row.detection_id),
            version=versions.get(pairs[row.detection_id], 0) if row.detection_id in seen else None,
        )
        for row in rows
    ]
