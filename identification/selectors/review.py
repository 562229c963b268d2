"""What a reviewer is shown next: an anchor with its open candidates."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import F

from ..matching.graph import SignedGraph
from ..models import Candidate, Decision, Detection, MatchEdge, ReviewPosition, Survey, User
from ..permissions import Action, surveys_for
from .graph import population_graph


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
    questions = _open_questions(survey, visible=set(surveys_for(user, Action.DECIDE).values_list("pk", flat=True)))
    order = list(questions)
    current = anchor if anchor in questions else None
    if current is None:
        start = position.anchor_id if position and position.anchor_id in questions else None
        current = _next_anchor(order, questions, passed, start)
    progress = Progress(
        anchors=len(order),
        settled=sum(not open_pairs for open_pairs in questions.values()),
        decisions=Decision.objects.filter(
            anchor__image__survey=survey, undoes__isnull=True, undone_by__isnull=True
        ).count(),
    )
    undoable = (
        Decision.objects.filter(
            acting_user=user, undoes__isnull=True, undone_by__isnull=True, anchor__image__survey=survey
        )
        .select_related("edge")
        .order_by("-id")
        .first()
    )
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


def _next_anchor(order: list[int], questions: dict[int, list[int]], passed: set[int], start: int | None) -> int | None:
    """The anchor to show: the stored one while it has questions, else the next in order, wrapping round once."""
    if start is not None:
        index = order.index(start)
        order = order[index:] + order[:index]
    return next((pk for pk in order if questions[pk] and pk not in passed), None)


def _open_questions(survey: Survey, visible: set[int]) -> dict[int, list[int]]:
    """For each anchor in order, the ids of the candidates to ask about (at most SPOTID_CANDIDATES per anchor)."""
    graph = population_graph(survey.population)
    decided = _decided_pairs(survey)
    rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
    candidates = (
        Candidate.objects.filter(
            anchor__image__survey=survey,
            detection__in=Detection.objects.comparable(),
            detection__image__survey__in=visible,
        )
        .exclude(anchor__flank="left", detection__flank="right")
        .exclude(anchor__flank="right", detection__flank="left")
        .order_by("rank")
    )
    for pk, anchor, detection in candidates.values_list("pk", "anchor_id", "detection_id"):
        rows[anchor].append((pk, detection))
    return {
        anchor: _questions_of(anchor, rows.get(anchor, []), graph, decided)
        for anchor in reviewable_detections(survey).values_list("pk", flat=True)
    }


def _questions_of(
    anchor: int, rows: list[tuple[int, int]], graph: SignedGraph, decided: dict[tuple[int, int], int | None]
) -> list[int]:
    asked = 0
    open_pairs: list[int] = []
    components: set[int] = set()
    for pk, detection in rows:
        pair = (anchor, detection) if anchor < detection else (detection, anchor)
        if pair in decided:
            asked += decided[pair] == anchor
        elif not graph.follows(*pair) and graph.root(detection) not in components:
            # One question per group: the answer settles the group's other photos too.
            components.add(graph.root(detection))
            open_pairs.append(pk)
    return open_pairs[: max(0, settings.SPOTID_CANDIDATES - asked)]


def _decided_pairs(survey: Survey) -> dict[tuple[int, int], int | None]:
    """Pairs with a standing verdict, each with the anchor on which it was asked last."""
    pairs: dict[tuple[int, int], int | None] = {}
    decisions = Decision.objects.filter(
        edge__a__image__survey__population=survey.population, undoes__isnull=True, undone_by__isnull=True
    ).exclude(edge__verdict="")
    for a, b, anchor in decisions.order_by("id").values_list("edge__a_id", "edge__b_id", "anchor_id"):
        pairs[(a, b)] = anchor
    return pairs


def _offers(candidates: list[int]) -> list[Offer]:
    rows = Candidate.objects.filter(pk__in=candidates).select_related(
        "anchor", "detection__image__station", "detection__image__survey", "detection__individual__population"
    )
    offers = []
    for candidate in sorted(rows, key=lambda row: row.rank):
        a, b = sorted((candidate.anchor_id, candidate.detection_id))
        version = MatchEdge.objects.filter(a=a, b=b).values_list("version", flat=True).first() or 0
        offers.append(Offer(candidate, version))
    return offers
