"""How many questions each anchor of a review has, counted anew only where a change can concern it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..matching.queue import Queue


class OpenCounts:
    """Open questions of the anchors, at most so many each, and how many anchors have none.

    A verdict can concern the photos of both groups, those that were compared with them, and whichever photo it was
    filed under; what else changes (boxes, rows) has everything counted anew.
    """

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.settled = 0
        self._most: int | None = None
        self._touched: set[int] = set()

    def touch(self, queue: Queue, pair: tuple[int, int]) -> None:
        """A verdict on the pair changes now. Say so before and after: groups may join or come apart."""
        for pk in pair if self._most is not None else ():
            self._touched.add(pk)
            self._touched.update(queue.members(pk))

    def forget(self) -> None:
        """Count everything anew when it is asked for next."""
        self._most = None

    def update(self, queue: Queue, anchors: Iterable[int], most: int, count: Callable[[int], int]) -> None:
        """Bring the counts up to date. count: open questions of one anchor."""
        if self._most != most:
            self.of = {anchor: count(anchor) for anchor in anchors}
            self.settled = sum(not number for number in self.of.values())
            self._most = most
        else:
            partners = {end for pk in self._touched for pair in queue.compared(pk) for end in (pair.a, pair.b)}
            for anchor in (self._touched | partners) & self.of.keys():
                self.settled -= not self.of[anchor]
                self.of[anchor] = count(anchor)
                self.settled += not self.of[anchor]
        self._touched = set()
