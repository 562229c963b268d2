"""The queue of a review: built from candidates once, then kept in memory and brought up to date by what has changed.

A survey may have a hundred thousand candidates, and a reviewer answers every few seconds. So each process keeps the
queues of the last few reviews; every request asks the database, in five small queries, whether boxes, candidates or
decisions have changed since. New decisions are followed one by one; whatever else has changed, the queue is built anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import CharField, Count, DecimalField, F, Func, Max, QuerySet, Sum, Value
from django.db.models.functions import Cast, Coalesce, Concat

from ..matching.graph import ordered
from ..matching.pooling import Pair, agreement
from ..matching.progress import Completeness, answers_of, beyond_depth, completeness, matched_pairs
from ..matching.queue import Queue
from ..models import Candidate, Decision, Detection, Flank, MatchEdge, PairCalibration, Survey, User
from ..permissions import Action, surveys_for

KEPT = 4
_LEFT = {Flank.LEFT: 1.0, Flank.RIGHT: 0.0}


@dataclass
class Review:
    """One review in memory. Hold `lock` while reading or following.

    rows: for each anchor in the order of the photos, its candidates by rank as (row id, detection). ranks: the better
    rank of each stored pair. depth: how many candidates an anchor has at most. edges: standing verdicts of the
    population. shown: (probability shown, verdict) of this survey's decided pairs. anchors: the photo each was filed
    under.
    """

    queue: Queue
    rows: dict[int, list[tuple[int, int]]]
    ranks: dict[tuple[int, int], int]
    depth: int
    edges: dict[tuple[int, int], str]
    stamp: tuple[Any, ...]
    edges_stamp: Any = None
    shown: dict[tuple[int, int], tuple[float, str]] = field(default_factory=dict)
    anchors: dict[tuple[int, int], int | None] = field(default_factory=dict)
    decisions: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    _completeness: tuple[Any, Completeness] | None = None

    def completeness(self, goal: float) -> Completeness:
        """How much of the true matches is found; computed once for each state of the graph."""
        key = (self.edges_stamp, goal)
        if self._completeness is None or self._completeness[0] != key:
            queue = self.queue
            inside = ((a, b, rank) for (a, b), rank in self.ranks.items() if queue.group(a) == queue.group(b))
            estimate = completeness(
                found=matched_pairs(len(group) for group in self._own_groups()),
                weights=queue.weights,
                questions=((link.probability, link.settles) for link in queue.in_order()),
                answers=answers_of(self.shown),
                beyond=beyond_depth(inside, self.depth, len(self.rows) - 1),
                goal=goal,
                certain=bool(queue.certain(1)),
            )
            self._completeness = (key, estimate)
        return self._completeness[1]

    def _own_groups(self) -> Iterator[list[int]]:
        """Groups with a photo of this survey: what other surveys have found among themselves is not this review's."""
        return (group for group in self.queue.groups() if any(detection in self.rows for detection in group))


_kept: OrderedDict[tuple[Any, ...], Review] = OrderedDict()
_keeping = threading.Lock()


@contextmanager
def review_of(*, user: User, survey: Survey) -> Iterator[Review]:
    """The review as it stands now, locked for the caller. Only surveys in which the account may decide take part."""
    visible = frozenset(
        surveys_for(user, Action.DECIDE).filter(population=survey.population_id).values_list("pk", flat=True)
    )
    key = (connection.settings_dict["NAME"], survey.pk, visible)
    stamp = _stamp(survey)
    with _keeping:
        review = _kept.get(key)
    if review is None or review.stamp != stamp:
        review = _build(survey, visible, stamp)
    with ExitStack() as held:
        held.enter_context(review.lock)
        review = _follow(review, survey, visible)
        held.enter_context(review.lock)
        with _keeping:
            _kept[key] = review
            _kept.move_to_end(key)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        yield review


def _boxes(survey: Survey) -> QuerySet[Detection]:
    return Detection.objects.comparable().filter(image__survey__population=survey.population_id)


def _digest(rows: QuerySet[Any], *names: str) -> tuple[Any, ...]:
    """Count, and a sum of hashes of the named fields: equal only (but for chance) where nothing has changed."""
    texts: list[Any] = []
    for name in names:
        texts += [Coalesce(Cast(F(name), CharField()), Value("")), Value(":")]
    hashed = Func(Concat(*texts, output_field=CharField()), Value(0), function="hashtextextended")
    found = rows.aggregate(n=Count("pk"), sum=Sum(Cast(hashed, DecimalField(max_digits=40, decimal_places=0))))
    return found["n"], found["sum"]


def _stamp(survey: Survey) -> tuple[Any, ...]:
    boxes = _digest(_boxes(survey), "pk", "flank", "left_probability")
    newest = Candidate.objects.aggregate(newest=Max("pk"))["newest"]
    # Another calibration changes probabilities of candidates in their place.
    calibration = PairCalibration.objects.filter(population=survey.population_id, active=True).values_list("pk")
    return (survey.matched_at, newest, calibration.first(), *boxes)


def _edges(survey: Survey) -> QuerySet[MatchEdge]:
    return MatchEdge.objects.filter(a__image__survey__population=survey.population_id)


def _build(survey: Survey, visible: frozenset[int], stamp: tuple[Any, ...]) -> Review:
    boxes = {
        pk: (image, flank, left, sharpness or 0.0)
        for pk, image, flank, left, sharpness in _boxes(survey)
        .filter(image__survey__in=visible)
        .values_list("pk", "image_id", "flank", "left_probability", "quality__sharpness")
        .iterator(chunk_size=5000)
    }
    order = (
        _boxes(survey)
        .filter(image__survey=survey)
        .order_by(F("image__captured_at").asc(nulls_last=True), "image__relative_path", "pk")
    )
    rows: dict[int, list[tuple[int, int]]] = {pk: [] for pk in order.values_list("pk", flat=True)}
    pairs: dict[tuple[int, int], Pair] = {}
    ranks: dict[tuple[int, int], int] = {}
    found = Candidate.objects.filter(anchor__image__survey=survey).order_by("anchor_id", "rank")
    for pk, anchor, other, rank, probability in found.values_list(
        "pk", "anchor_id", "detection_id", "rank", "probability"
    ).iterator(chunk_size=5000):
        if anchor not in boxes or other not in boxes or not _comparable(boxes[anchor], boxes[other]):
            continue
        rows[anchor].append((pk, other))
        key = ordered((anchor, other))
        ranks[key] = min(rank, ranks.get(key, rank))
        if key not in pairs or pairs[key].probability < probability:
            sides = _left_of(boxes[anchor]), _left_of(boxes[other])
            sharpness = min(boxes[anchor][3], boxes[other][3])
            pairs[key] = Pair(*key, probability, agreement(*sides), sharpness)
    depth = max(map(len, rows.values()), default=0)
    photos = {pk: box[0] for pk, box in boxes.items()}
    edges, stamp_of_edges = _read_edges(survey)
    queue = Queue(photos, pairs.values(), ((a, b, verdict) for (a, b), verdict in edges.items()))
    review = Review(queue, rows, ranks, depth, edges, stamp, stamp_of_edges)
    _read_answers(review, survey)
    return review


def _comparable(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return a[0] != b[0] and {a[1], b[1]} != {Flank.LEFT, Flank.RIGHT}


def _left_of(box: tuple[Any, ...]) -> float:
    """Probability that a box shows the left flank: what a person said, else the estimate, else a half."""
    return _LEFT.get(box[1], 0.5 if box[2] is None else box[2])


def _read_edges(survey: Survey) -> tuple[dict[tuple[int, int], str], Any]:
    stamp = _digest(_edges(survey), "pk", "verdict", "version")
    rows = _edges(survey).exclude(verdict="").values_list("a_id", "b_id", "verdict")
    return {(a, b): verdict for a, b, verdict in rows.iterator(chunk_size=5000)}, stamp


def _follow(review: Review, survey: Survey, visible: frozenset[int]) -> Review:
    """Bring a review in line with the decisions that were made since."""
    if _digest(_edges(survey), "pk", "verdict", "version") == review.edges_stamp:
        return review
    edges, stamp = _read_edges(survey)
    before = review.edges
    if any(edges.get(pair) != verdict for pair, verdict in before.items()):
        return _build(survey, visible, review.stamp)
    for (a, b), verdict in edges.items():
        if (a, b) not in before:
            review.queue.decide(a, b, verdict)
    review.edges, review.edges_stamp = edges, stamp
    _read_answers(review, survey)
    return review


def _read_answers(review: Review, survey: Survey) -> None:
    """What people answered in this survey, pair by pair, and on which photo."""
    standing = Decision.objects.filter(
        anchor__image__survey=survey, undoes__isnull=True, undone_by__isnull=True
    ).exclude(edge__verdict="")
    review.shown, review.anchors, review.decisions = {}, {}, 0
    for a, b, anchor, shown, verdict in standing.order_by("pk").values_list(
        "edge__a_id", "edge__b_id", "anchor_id", "probability_shown", "verdict"
    ):
        review.decisions += 1
        review.anchors[(a, b)] = anchor
        if shown is not None:
            review.shown[(a, b)] = (shown, verdict)
