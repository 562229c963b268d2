"""The queue of a review: built from candidates once, then kept in memory and brought up to date by what has changed.

A survey may have half a million candidates, and many reviewers answer every few seconds. So each process keeps the
queues of the last reviews. Every request asks, in one or two small queries, for decisions that were made since, and
follows them; taking one back is followed as well. What no decision tells (boxes that change, rows that are deleted) is
found by comparing sums of hashes, at once where that takes a moment, else every few seconds; the boxes of a question
are compared on its own page besides (`review_differs`). docs/decisions/0036.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from ..matching.doubts import Doubt, Doubts
from ..matching.progress import Answers, Completeness, beyond_depth, completeness, joined_by_depth, matched_pairs
from ..matching.queue import Queue
from ..models import Detection, Survey, User
from ..permissions import Action, survey_ids_for
from . import review_reading as reading
from .open_counts import OpenCounts
from .review_comparing import Comparing, compared
from .review_reading import Answer, Box, Edge
from .review_retelling import retold

logger = logging.getLogger(__name__)

# Reviews kept in a process, the ones asked for last, while they have no more candidates than this together.
KEPT = 12
CANDIDATES_KEPT = 1_500_000
_SURE = ("match", "no_match")
# An estimate that takes longer than this (seconds) is kept until it has taken this part of the time, or for so long.
_ESTIMATED_AT_ONCE, _ESTIMATING, _ESTIMATE_KEPT = 0.01, 0.05, 5.0
# A review of more pairs than this is built anew beside the requests, and kept out of the garbage collector's sight.
_LARGE = 50_000


@dataclass
class Review:
    """One review in memory. Hold it (`review_of`) while reading.

    rows: for each anchor in the order of the photos, its candidates by rank as (row id, detection). ranks: the better
    rank of each stored pair. depth: how many candidates an anchor has at most. edges: standing verdicts of the
    population. shown: (probability shown, verdict) of this survey's decided pairs; anchors: the photo each was filed
    under; decisions: how many there are. stamp: of what makes all of it anew. doubts: None before probabilities
    are fitted to the population; said_again: edges that were decided since they were asked for. by_photo: for
    `photo_order`.
    """

    survey: int
    population: int
    visible: frozenset[int]
    stamp: tuple[Any, ...]
    newest_candidate: int
    last_decision: int
    queue: Queue
    boxes: dict[int, Box]
    rows: dict[int, list[tuple[int, int]]]
    ranks: dict[tuple[int, int], int]
    depth: int
    edges: dict[tuple[int, int], str]
    edge_ids: dict[int, tuple[int, int]]
    shown: dict[tuple[int, int], tuple[float, str]] = field(default_factory=dict)
    anchors: dict[tuple[int, int], int | None] = field(default_factory=dict)
    decisions: int = 0
    sums: reading.Sums = field(default_factory=dict)
    edge_sums: reading.Sums = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    compare_at: float = 0.0
    doubts: Doubts | None = None
    said_again: dict[int, tuple[int, int]] = field(default_factory=dict)
    by_photo: OpenCounts = field(default_factory=OpenCounts)
    _answers: dict[tuple[int, int], Answer] = field(default_factory=dict)
    _told: Answers = field(default_factory=Answers)
    _inside: dict[int, tuple[int, tuple[int, int, int]]] = field(default_factory=dict)
    _found: int = 0
    _joined: list[int] = field(default_factory=lambda: [0, 0, 0])
    _state: int = 0
    _completeness: tuple[tuple[int, float], Completeness] | None = None
    _estimate_at: float = 0.0

    @property
    def size(self) -> int:
        """Stored candidates, which memory is taken by."""
        return len(self.ranks)

    def completeness(self, goal: float) -> Completeness:
        """How much of the true matches is found; computed once for each state of the graph.

        Where that takes long, it is a little behind the answers, so that it takes a twentieth of the time at most.
        """
        key, now = (self._state, goal), time.monotonic()
        known = self._completeness
        late = known is None or now >= self._estimate_at or not self.queue.open
        if known is None or (known[0] != key and (late or known[0][1] != goal)):
            queue = self.queue
            for group in queue.changed_groups():
                self._count(group)
            estimate = completeness(
                found=self._found,
                weights=queue.weights,
                questions=((link.probability, link.settles) for link in queue.in_order()),
                answers=self._told,
                beyond=beyond_depth(self._joined, self.depth, len(self.rows) - 1),
                goal=goal,
                certain=queue.number_certain(1) > 0,
            )
            known = self._completeness = (key, estimate)
            took = time.monotonic() - now
            self._estimate_at = now + min(_ESTIMATE_KEPT, took / _ESTIMATING) if took > _ESTIMATED_AT_ONCE else 0.0
        return known[1]

    def doubtful(self) -> list[Doubt]:
        """Answers on photos of this survey that are worth a second look, the most valuable first; both may be shown.

        None before probabilities are fitted to this population: what ships is too timid to speak against a person.
        """
        if self.doubts is None:
            return []
        if self.said_again:
            pairs, ids = set(self.said_again.values()), list(self.said_again)
            self.said_again.clear()
            self.doubts.said(pairs, *reading.said_again(self.population, ids))
        found = self.doubts.found(in_the_end=not self.queue.open)
        seen = (doubt for doubt in found if all(pk in self.boxes for pk in doubt.pair))
        return [doubt for doubt in seen if any(pk in self.rows for pk in doubt.pair)]

    def _count(self, group: int) -> None:
        """Count a group's pairs anew. What other surveys have found among themselves is not this review's."""
        found, joined = self._inside.pop(group, (0, (0, 0, 0)))
        members = self.queue.members(group) if self.queue.group(group) == group else []
        now = 0, (0, 0, 0)
        if len(members) > 1 and any(detection in self.rows for detection in members):
            inside = ((p.a, p.b, self.ranks[p.a, p.b]) for p in self.queue.pairs_inside(group))
            now = self._inside[group] = matched_pairs([len(members)]), joined_by_depth(inside, self.depth)
        self._found += now[0] - found
        self._joined = [total + new - old for total, new, old in zip(self._joined, now[1], joined, strict=True)]

    # ---- following ----
    def hear(self, pairs: Iterable[tuple[int, int]], answers: dict[tuple[int, int], Answer]) -> None:
        """Take the answers on these pairs for what was answered; pairs without one are no longer answered."""
        for pair in pairs:
            self.by_photo.touch(self.queue, pair)
            self._tell(self._answers.pop(pair, None), -1)
            self.anchors.pop(pair, None)
            self.shown.pop(pair, None)
            if (answer := answers.get(pair)) is not None:
                self._answers[pair] = answer
                self._tell(answer, 1)
                self.anchors[pair] = answer.anchor
                if answer.shown is not None:
                    self.shown[pair] = answer.shown
        self._state += 1

    def _tell(self, answer: Answer | None, step: int) -> None:
        if answer is None:
            return
        self.decisions += step * answer.decisions
        if answer.shown is not None and answer.shown[1] in _SURE:
            self._told.add(answer.shown[0], answer.shown[1] == "match", step)

    def follow(self, edges: Collection[Edge], gone: Iterable[int] = ()) -> None:
        """Bring queue and answers in line with edges as they stand now, and with edges (ids) that were deleted."""
        pairs = [self.edge_ids.pop(pk) for pk in gone]
        for pair in pairs:
            self._stand(pair, "")
        changed = {edge.pk: (edge.a, edge.b) for edge in edges}
        for edge in edges:
            self._stand((edge.a, edge.b), edge.verdict)
        self.edge_ids |= changed
        if self.doubts is not None:
            self.said_again |= changed
        if pairs or changed:
            self.hear([*pairs, *changed.values()], reading.answers_read(self.survey, changed))

    def differs(self, edge: Edge) -> bool:
        """Whether an edge stands otherwise than it is known here."""
        pair = (edge.a, edge.b)
        return self.edge_ids.get(edge.pk) != pair or self.edges.get(pair, "") != edge.verdict

    def _stand(self, pair: tuple[int, int], verdict: str) -> None:
        if verdict:
            self.edges[pair] = verdict
        else:
            self.edges.pop(pair, None)
        self.by_photo.touch(self.queue, pair)
        self.queue.decide(*pair, verdict)

    def follow_boxes(self, changed: dict[int, Box | None]) -> None:
        """Bring the queue in line with these boxes as they are now; None: not to be shown any more."""
        for pk, box in changed.items():
            if box is None:
                self.boxes.pop(pk, None)
            else:
                self.boxes[pk] = box
        old = [pair for pk in changed for pair in self.queue.compared(pk)]
        partners = {end for pair in old for end in (pair.a, pair.b)}
        stored = reading.stored_around(self.survey, changed, partners, self.boxes)
        for pair in old:
            self.ranks.pop((pair.a, pair.b), None)
        self.ranks |= stored.ranks
        for pk, box in changed.items():
            own = [pair for pair in stored.pairs.values() if pk in (pair.a, pair.b)]
            self.queue.replace(pk, None if box is None else box.image, own)
        added = stored.rows.keys() - self.rows.keys()
        for pk in changed:
            if pk not in stored.rows:
                self.rows.pop(pk, None)
        self.rows |= stored.rows
        if added:
            self.rows = {pk: self.rows[pk] for pk in reading.anchors_read(self.survey) if pk in self.rows}
        self.by_photo.forget()
        depth = max(map(len, self.rows.values()), default=0)
        if depth != self.depth:
            self.depth = depth
            self.count_all()
        self._state += 1

    def count_all(self) -> None:
        """Count the pairs of every group anew."""
        self._inside, self._found, self._joined = {}, 0, [0, 0, 0]
        self.queue.changed_groups()
        for group in [self.queue.group(members[0]) for members in self.queue.groups() if len(members) > 1]:
            self._count(group)


@dataclass
class _Place:
    """Where a review is kept. Who holds the lock may build it, follow what has changed, and read.

    ready: one that was built beside, to take the review's place. builder: what builds it.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    review: Review | None = None
    ready: Review | None = None
    builder: threading.Thread | None = None
    comparing: Comparing = field(default_factory=Comparing)


_kept: OrderedDict[tuple[Any, ...], _Place] = OrderedDict()
_keeping = threading.Lock()
_builders = 0
_HURRIED, _UNHURRIED = 0.0005, sys.getswitchinterval()


@contextmanager
def review_of(*, user: User, survey: Survey) -> Iterator[Review]:
    """The review as it stands now, locked for the caller. Only surveys in which the account may decide take part.

    Do not ask the database for more than a moment while it is held: everybody else in this survey waits.
    """
    visible = survey_ids_for(user, Action.DECIDE, survey.population_id)
    key = (connection.settings_dict["NAME"], survey.pk, visible)
    with _keeping:
        place = _kept.setdefault(key, _Place())
        _kept.move_to_end(key)
    with place.lock:
        place.review = _current(place, survey, visible)
        yield place.review
    with _keeping:
        _forget(key)


def _forget(key: tuple[Any, ...]) -> None:
    """Let go of the reviews that were asked for longest ago, when all together are too many or too large."""
    held = sum(place.review.size for place in _kept.values() if place.review is not None)
    for other in list(_kept):
        if other == key or (len(_kept) <= KEPT and held <= CANDIDATES_KEPT):
            break
        gone = _kept.pop(other).review
        held -= gone.size if gone is not None else 0


def review_differs(review: Review, detections: Iterable[Detection]) -> bool:
    """Whether a review knows any of these rows, read just now, otherwise than they are.

    Then everything is compared when it is asked for next.
    """
    known = [row for row in detections if row.image.survey_id in review.visible]
    differs = any(review.boxes.get(row.pk) != reading.box_of(row) for row in known)
    if differs:
        review.compare_at = 0.0
    return differs


def _current(place: _Place, survey: Survey, visible: frozenset[int]) -> Review:
    glance = reading.glance(survey.pk, survey.population_id)
    review, place.ready = place.ready or place.review, None
    if review is None:
        return _build(survey, visible, glance)
    if _is_outdated(review, glance):
        if review.size <= _LARGE:
            return _build(survey, visible, glance)
        _build_beside(place, survey, visible)
    if glance.last_decision > review.last_decision:
        edges, last = reading.edges_after(survey.population_id, review.last_decision)
        review.follow(edges)
        review.forgotten |= reading.forget_sums(review.edge_sums, edges)
        # Within a population, decisions are numbered in the order in which they are committed (its lock); those of
        # other populations can only be passed by while nothing is being written.
        review.last_decision = glance.last_decision if glance.quiet else max(last, review.last_decision)
    if not place.comparing.keep(review):
        if review.size <= _LARGE:
            return _build(survey, visible, glance)
        _build_beside(place, survey, visible)
    return review


def _is_outdated(review: Review, glance: reading.Glance) -> bool:
    """Whether candidates or their probabilities are others than those that the review was built from."""
    if review.stamp != glance.stamp:
        return True
    if glance.newest_candidate != review.newest_candidate:
        fewer = glance.newest_candidate < review.newest_candidate
        if fewer or reading.has_candidates_after(review.survey, review.newest_candidate):
            return True
        review.newest_candidate = glance.newest_candidate
    return False


def _build_beside(place: _Place, survey: Survey, visible: frozenset[int]) -> None:
    """Build a large review in a thread of its own. The one at hand goes on following decisions meanwhile: it asks
    nothing that is settled, only with the probabilities of before."""
    if place.builder is not None and place.builder.is_alive():
        return

    def build() -> None:
        try:
            place.ready = _build(survey, visible, reading.glance(survey.pk, survey.population_id))
        except Exception:
            logger.exception("The review of %s could not be built beside; the next page builds it.", survey)
            with place.lock:
                place.review = None
        finally:
            connection.close()

    place.builder = threading.Thread(target=build, name="review", daemon=True)
    place.builder.start()


@contextmanager
def _others_let_in() -> Iterator[None]:
    """Threads change every 0.5 ms instead of 5 while a review is built: a request beside it waits for the database two
    dozen times, and would each time wait for the builder."""
    global _builders
    with _keeping:
        _builders += 1
        sys.setswitchinterval(_HURRIED)
    try:
        yield
    finally:
        with _keeping:
            _builders -= 1
            if not _builders:
                sys.setswitchinterval(_UNHURRIED)


def _build(survey: Survey, visible: frozenset[int], glance: reading.Glance) -> Review:
    # Many small objects that all stay: to look for garbage among them, again and again, would take most of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with _others_let_in():
            review = _read(survey, visible, glance)
    finally:
        if collecting:
            gc.enable()
    if review.size > _LARGE:
        gc.freeze()
    return review


def _read(survey: Survey, visible: frozenset[int], glance: reading.Glance) -> Review:
    """Read a review. What changes meanwhile is read, or stands in the sums and numbers, which are read before it."""
    population = survey.population_id
    last = glance.last_decision if glance.quiet else reading.last_decision(population)
    began = time.monotonic()
    sums, edge_sums = reading.box_sums(population), reading.edge_sums(population)
    took = time.monotonic() - began
    boxes = reading.boxes_read(population, visible)
    edges = reading.edges_read(population)
    stored = reading.stored_read(survey.pk, boxes)
    photos = {pk: box.image for pk, box in boxes.items()}
    standing = [(edge.a, edge.b, edge.verdict) for edge in edges if edge.verdict]
    # Answers before the probabilities: of one that was fitted meanwhile, one too many is gone through again.
    answers, before = reading.answers_read(survey.pk), reading.decided_before(population)
    queue, answers = retold(lambda said: Queue(photos, stored.pairs.values(), said), standing, answers, before)
    review = Review(
        survey=survey.pk,
        population=population,
        visible=visible,
        stamp=glance.stamp,
        newest_candidate=glance.newest_candidate,
        last_decision=last,
        queue=queue,
        boxes=boxes,
        rows=stored.rows,
        ranks=stored.ranks,
        depth=max(map(len, stored.rows.values()), default=0),
        edges={(a, b): verdict for a, b, verdict in standing},
        edge_ids={edge.pk: (edge.a, edge.b) for edge in edges},
        sums=sums,
        edge_sums=edge_sums,
    )
    if glance.calibrated:
        review.doubts = Doubts(review.queue, *reading.said_again(population))
    review.hear(list(answers), answers)
    review.count_all()
    compared(review, took)
    return review
