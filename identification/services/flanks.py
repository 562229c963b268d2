"""Estimates of flanks, brought in line with all that speaks for them. What a person named is never overwritten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from ..matching.flanks import (
    LEFT,
    RIGHT,
    UNKNOWN,
    VERIFIED_INLIERS,
    Estimate,
    Frame,
    SameFlank,
    Sighting,
    estimates,
    same_flank,
    walking,
)
from ..models import Candidate, Category, Detection, MatchEdge, Provenance, Survey, Verdict
from .individuals import population_lock
from .matching import matching_hold, matching_invalidate

# A word of a person is followed along verified matches to this many others at once; the next matching sees to the rest.
FOLLOWED_AT_MOST = 200
# Smaller changes of a probability are not written.
_WORTH_WRITING = 0.001

_FIELDS = (
    "pk", "flank", "flank_by_person", "left_probability", "flank_evidence", "quality__heading__left", "image_id",
    "image__survey_id", "image__station_id", "image__camera", "image__captured_at", "x1", "x2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Row:
    """What is stored of a detection, by the names of `_FIELDS`."""

    pk: int
    flank: str
    by_person: bool
    left: float | None
    evidence: str
    model: float | None
    image: int
    survey: int
    station: int | None
    camera: str
    at: object
    x1: float
    x2: float


@transaction.atomic
def flanks_estimate(*, survey: Survey) -> int:
    """Estimate the flanks of a survey's detections anew; returns how many were named or un-named by it.

    Where that makes pairs comparable that were not, the survey is matched again.
    """
    population_lock(survey.population_id)
    rows = _rows(Detection.objects.comparable().filter(image__survey=survey))
    links = _links(rows.keys())
    around = {pk for link in links for pk in (link.a, link.b)} - rows.keys()
    return _apply({**rows, **_rows(Detection.objects.comparable().filter(pk__in=around))}, links, rows.keys())


def flanks_follow(*, detections: Iterable[Detection]) -> int:
    """Estimate anew what hangs on these detections by verified matches, in any survey; returns how many changed.

    For when a person named their flanks. Call it in a transaction with their populations locked, and before candidates
    that the new flanks rule out are dropped: those speak against what was estimated of the others.
    """
    reached: dict[int, _Row] = {}
    links: set[SameFlank] = set()
    frontier = {detection.pk for detection in detections}
    room = len(frontier) + FOLLOWED_AT_MOST
    while frontier:
        reached |= _rows(Detection.objects.comparable().filter(pk__in=frontier))
        found = _links(frontier)
        links |= set(found)
        frontier = {pk for link in found for pk in (link.a, link.b)} - reached.keys()
        frontier = set(sorted(frontier)[: max(0, room - len(reached))])
    return _apply(reached, links, reached.keys())


def candidates_narrow(*, detection: Detection) -> None:
    """Drop the candidates that the detection's flank rules out; the others stay as they were ranked."""
    other = {LEFT: RIGHT, RIGHT: LEFT}.get(detection.flank)
    if other is not None:
        Candidate.objects.filter(anchor=detection, detection__flank=other).delete()
        Candidate.objects.filter(detection=detection, anchor__flank=other).delete()


def _rows(detections: QuerySet[Detection]) -> dict[int, _Row]:
    return {values[0]: _Row(*values) for values in detections.order_by("pk").values_list(*_FIELDS)}


def _links(detections: Collection[int]) -> list[SameFlank]:
    """Pairs with one of these at an end that verified local matches bind to one flank."""
    rows = (
        Candidate.objects.filter(Q(anchor__in=detections) | Q(detection__in=detections), inliers__gte=VERIFIED_INLIERS)
        .order_by("pk")
        .values_list("anchor_id", "detection_id", "inliers", "probability")
    )
    inliers: dict[tuple[int, int], int] = defaultdict(int)
    probability: dict[tuple[int, int], float] = defaultdict(float)
    for anchor, detection, count, value in rows:
        pair = (anchor, detection) if anchor < detection else (detection, anchor)
        inliers[pair], probability[pair] = max(inliers[pair], count), max(probability[pair], value)
    ends = {pk for pair in inliers for pk in pair}
    said = {
        (a, b): (verdict, provenance)
        for a, b, verdict, provenance in MatchEdge.objects.filter(a__in=ends, b__in=ends)
        .exclude(verdict="")
        .values_list("a_id", "b_id", "verdict", "provenance")
    }
    found = []
    for pair, count in inliers.items():
        verdict, provenance = said.get(pair, ("", ""))
        if verdict not in ("", Verdict.MATCH):
            continue
        confirmed = verdict == Verdict.MATCH and provenance == Provenance.REVIEWER
        sure = same_flank(confirmed=confirmed, inliers=count, probability=probability[pair])
        if sure is not None:
            found.append(SameFlank(*pair, sure))
    return found


def _apply(rows: dict[int, _Row], links: Iterable[SameFlank], wanted: Collection[int]) -> int:
    steps = _walking(rows.values())
    sightings = [
        Sighting(row.pk, row.flank if row.by_person else "", row.model, steps.get(row.pk, 0.0)) for row in rows.values()
    ]
    found = estimates(sightings, links)
    _write_estimates({pk: found[pk] for pk in wanted if _differs(rows[pk], found[pk])})
    turned = {
        pk: found[pk].flank for pk in sorted(wanted) if not rows[pk].by_person and rows[pk].flank != found[pk].flank
    }
    for flank in (LEFT, RIGHT, UNKNOWN):
        # A person may have named one meanwhile: it stays.
        chosen = Detection.objects.filter(pk__in=[pk for pk, said in turned.items() if said == flank])
        chosen.filter(flank_by_person=False).update(flank=flank)
    there = Detection.objects.filter(pk__in=turned)
    matching_hold(populations=there.order_by().values_list("image__survey__population", flat=True).distinct())
    for detection in there:
        candidates_narrow(detection=detection)
    # Only what was left or right and no longer is can meet photos that it could not meet before.
    loosened = {rows[pk].survey for pk in turned if rows[pk].flank != UNKNOWN}
    for survey in Survey.objects.filter(pk__in=loosened):
        matching_invalidate(survey=survey)
    return len(turned)


def _differs(row: _Row, estimate: Estimate) -> bool:
    if estimate.left is None or row.left is None:
        return estimate.left is not row.left or estimate.evidence != row.evidence
    return abs(estimate.left - row.left) > _WORTH_WRITING or estimate.evidence != row.evidence


def _write_estimates(changed: dict[int, Estimate]) -> None:
    rows = [Detection(pk=pk, left_probability=one.left, flank_evidence=one.evidence) for pk, one in changed.items()]
    Detection.objects.bulk_update(rows, ["left_probability", "flank_evidence"], batch_size=500)


def _walking(rows: Iterable[_Row]) -> dict[int, float]:
    """Log-odds of walking by detection, from all photos of their cameras that show exactly one animal."""
    cameras = {(row.station, row.camera) for row in rows if row.station is not None and row.at is not None}
    if not cameras:
        return {}
    shown: dict[int, list[tuple[tuple[int, str], Frame]]] = defaultdict(list)
    animals = Detection.objects.filter(
        category=Category.ANIMAL,
        image__station__in={station for station, _ in cameras},
        image__captured_at__isnull=False,
    )
    for pk, image, station, camera, at, x1, x2 in animals.order_by("pk").values_list(
        "pk", "image_id", "image__station_id", "image__camera", "image__captured_at", "x1", "x2"
    ):
        if at is not None and (station, camera) in cameras:
            shown[image].append(((station, camera), Frame(pk, at, (x1 + x2) / 2, x2 - x1)))
    alone: dict[tuple[int, str], list[Frame]] = defaultdict(list)
    for boxes in shown.values():
        if len(boxes) == 1:
            alone[boxes[0][0]].append(boxes[0][1])
    return {pk: value for frames in alone.values() for pk, value in walking(frames).items()}
