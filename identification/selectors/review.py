"""Review by photo, the original's order: an anchor with its open candidates, then the next photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import F

from ..matching.graph import ordered
from ..models import Candidate, Decision, Detection, MatchEdge, ReviewPosition, Survey, User
from .review_queue import Review, review_of


@dataclass(frozen=True)
class Offer:
    """A candidate that is still worth asking about."""

    candidate: Candidate
    edge_version: int

    @property
    def detection(self) -> Detection:
        return self.candidate.detection


@dataclass(frozen=True)
class Progress:
    """How far the review of a survey is. An anchor is settled when nothing about it is left to ask."""

    anchors: int
    settled: int
    decisions: int

    @property
    def percent(self) -> int:
        return round(100 * self.settled / self.anchors) if self.anchors else 100


@dataclass(frozen=True)
class ReviewState:
    """The page's whole content. `anchor` is None when nothing is left to ask."""

    survey: Survey
    anchor: Detection | None
    offers: list[Offer]
    progress: Progress
    passed: int
    undoable: Decision | None
    anchor_matches: list[Detection] = field(default_factory=list)


def reviewable_detections(survey: Survey):  # type: ignore[no-untyped-def]
    """Detections that take part in matching, in the order of the photos."""
    return (
        Detection.objects.comparable()
        .filter(image__survey=survey)
        .order_by(F("image__captured_at").asc(nulls_last=True), "image__relative_path", "id")
    )


def review_state(*, user: User, survey: Survey, anchor: int | None = None) -> ReviewState:
    """Where the reviewer is, or, with `anchor`, that anchor's candidates.

    At most SPOTID_CANDIDATES questions are asked per anchor. Pairs that are decided, or that
    follow from decisions, are not asked.
    """
    position = ReviewPosition.objects.filter(user=user, survey=survey).first()
    passed = set(position.passed.values_list("pk", flat=True)) if position else set()
    with review_of(user=user, survey=survey) as review:
        questions, decisions = _open_questions(review), review.decisions
    order = list(questions)
    current = anchor if anchor in questions else None
    if current is None:
        start = position.anchor_id if position and position.anchor_id in questions else None
        current = _next_anchor(order, questions, passed, start)
    progress = Progress(
        anchors=len(order),
        settled=sum(not open_pairs for open_pairs in questions.values()),
        decisions=decisions,
    )
    undoable = undoable_decision(user=user, survey=survey)
    skipped = sum(1 for pk in passed if questions.get(pk))
    if current is None:
        return ReviewState(survey, None, [], progress, skipped, undoable)
    shown = Detection.objects.select_related("image__station", "individual__population").get(pk=current)
    matches = (
        list(
            Detection.objects.filter(individual=shown.individual)
            .exclude(pk=shown.pk)
            .select_related("image__station")
            .order_by("image__captured_at", "id")
        )
        if shown.individual
        else []
    )
    return ReviewState(survey, shown, _offers(questions[current]), progress, skipped, undoable, matches)


def review_mode(*, user: User, survey: Survey) -> str:
    """In which order the reviewer works here: what was chosen last, by the queue at first."""
    chosen = ReviewPosition.objects.filter(user=user, survey=survey).values_list("mode", flat=True).first()
    return chosen or ReviewPosition.Mode.QUEUE


def undoable_decision(*, user: User, survey: Survey) -> Decision | None:
    """What the reviewer would take back now."""
    return (
        Decision.objects.filter(
            acting_user=user, undoes__isnull=True, undone_by__isnull=True, anchor__image__survey=survey
        )
        .select_related("edge")
        .order_by("-id")
        .first()
    )


def _next_anchor(order: list[int], questions: dict[int, list[int]], passed: set[int], start: int | None) -> int | None:
    """The anchor to show: the stored one while it has questions, else the next in order, wrapping round once."""
    if start is not None:
        index = order.index(start)
        order = order[index:] + order[:index]
    return next((pk for pk in order if questions[pk] and pk not in passed), None)


def _open_questions(review: Review) -> dict[int, list[int]]:
    """For each anchor in order, the ids of the candidates to ask about (at most SPOTID_CANDIDATES per anchor)."""
    return {anchor: _questions_of(review, anchor) for anchor in review.rows}


def _questions_of(review: Review, anchor: int) -> list[int]:
    asked = 0
    open_pairs: list[int] = []
    groups: set[int] = set()
    for pk, detection in review.rows[anchor]:
        pair = ordered((anchor, detection))
        if pair in review.edges:
            asked += review.anchors.get(pair) == anchor
        elif not review.queue.settled(anchor, detection) and review.queue.group(detection) not in groups:
            # One question per group: the answer settles the group's other photos too.
            groups.add(review.queue.group(detection))
            open_pairs.append(pk)
    return open_pairs[: max(0, settings.SPOTID_CANDIDATES - asked)]


def _offers(candidates: list[int]) -> list[Offer]:
    rows = Candidate.objects.filter(pk__in=candidates).select_related(
        "anchor", "detection__image__station", "detection__image__survey", "detection__individual__population"
    )
    versions = edge_versions(ordered((row.anchor_id, row.detection_id)) for row in rows)
    return [
        Offer(row, versions.get(ordered((row.anchor_id, row.detection_id)), 0))
        for row in sorted(rows, key=lambda row: row.rank)
    ]


def edge_versions(pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """The version of each pair's edge, where it has one."""
    wanted = set(pairs)
    ends = {pk for pair in wanted for pk in pair}
    edges = MatchEdge.objects.filter(a__in=ends, b__in=ends).values_list("a_id", "b_id", "version")
    return {(a, b): version for a, b, version in edges if (a, b) in wanted}
