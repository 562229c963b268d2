"""The order by photo, read from a review in memory: which photo comes next, and which of its candidates are asked.

Everything here wants the review locked (`review_of`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from django.conf import settings

from ..matching.graph import ordered
from .review_queue import Review

# Pairs of groups, each ordered.
Groups = Collection[tuple[int, int]]


@dataclass(frozen=True)
class Strip:
    """Open candidates of an anchor that are shown together.

    groups: for each its name, the rows to choose the best view from, its photos, and the number in the strip (1…) that
    it keeps while others are answered. more: how many strips were gone past on demand; answered: candidates that were
    asked about already; before, further: open candidates of earlier and later strips. elsewhere: how many are left out
    because others look at them now.
    """

    groups: list[tuple[int, list[int], int, int]]
    more: int
    answered: int
    before: int
    further: int
    elsewhere: int = 0


def open_questions(review: Review) -> dict[int, int]:
    """For each anchor in order, how many candidates there are to ask about (at most SPOTID_CANDIDATES per anchor)."""
    most = settings.SPOTID_CANDIDATES
    review.by_photo.update(review.queue, review.rows, most, lambda anchor: _open(review, anchor, most))
    return review.by_photo.of


def _open(review: Review, anchor: int, most: int) -> int:
    groups, asked, _ = _questions_of(review, anchor)
    return min(len(groups), max(0, most - asked))


def anchors_next(counts: dict[int, int], passed: Collection[int], start: int | None) -> Iterator[int]:
    """Anchors with questions: the stored one while it has some, then the next in order, wrapping round once."""
    order = list(counts)
    if start is not None and start in counts:
        index = order.index(start)
        order = order[index:] + order[:index]
    return (pk for pk in order if counts[pk] and pk not in passed)


def _questions_of(review: Review, anchor: int) -> tuple[dict[int, list[int]], int, dict[int, int]]:
    """The rows of the anchor's open candidates by group, the best group first; how many were asked about; and the place
    of each group among both."""
    asked = 0
    groups: dict[int, list[int]] = {}
    places: dict[int, int] = {}
    for pk, detection in review.rows[anchor]:
        pair = ordered((anchor, detection))
        if pair in review.edges:
            asked += review.anchors.get(pair) == anchor
        elif not review.queue.settled(anchor, detection):
            # One question per group: the answer settles the group's other photos too.
            group = review.queue.group(detection)
            groups.setdefault(group, []).append(pk)
            places.setdefault(group, len(groups) + asked)
    return groups, asked, places


def strip_of(review: Review, anchor: int, more: int = 0, held: Groups = frozenset()) -> Strip:
    """The anchor's candidates that are shown together; the first strip where there is no such further one.

    held: pairs of groups, ordered, that others look at: they keep their places, and are not shown.
    """
    groups, asked, places = _questions_of(review, anchor)
    own, elsewhere = review.queue.group(anchor), 0
    most = settings.SPOTID_CANDIDATES
    for past in (more, 0):
        first = max(0, most * past - asked) if past else 0
        last = max(0, most * (past + 1) - asked)
        shown = list(groups.items())[first:last]
        rows = [
            (group, pks, len(review.queue.members(group)), place if past else places[group])
            for place, (group, pks) in enumerate(shown, 1)
            if ordered((own, group)) not in held
        ]
        elsewhere = len(shown) - len(rows)
        if rows:
            return Strip(rows, past, asked, first, max(0, len(groups) - last), elsewhere)
    return Strip([], 0, asked, 0, len(groups), elsewhere)
