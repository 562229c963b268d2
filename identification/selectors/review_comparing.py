"""What no decision tells a review of: boxes that change, rows that are deleted. Found by comparing sums of hashes.

Of a small survey on every request. Of a large one the sums take a tenth of a second and more, so they are added up
beside the requests, in a thread, and the next request looks at those blocks of rows that differ. docs/decisions/0036.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection

from . import review_reading as reading

if TYPE_CHECKING:
    from .review_queue import Review

logger = logging.getLogger(__name__)

# So few boxes and edges are compared on every request; comparing more may take this part of the time.
_COMPARED_ALWAYS = 4000
_COMPARING = 0.05
# A review that nobody has asked for so long (seconds) is compared before it is shown.
_TOO_OLD = 30.0
# More boxes than this changed at once, and the review is built anew.
_BOXES_FOLLOWED = 400


@dataclass(frozen=True)
class Summed:
    """Sums over the boxes and edges of a review's population, and how many seconds they took."""

    review: Review
    boxes: reading.Sums
    edges: reading.Sums
    took: float

    @classmethod
    def of(cls, review: Review) -> Summed:
        began = time.monotonic()
        sums = reading.box_sums(review.population), reading.edge_sums(review.population)
        return cls(review, *sums, time.monotonic() - began)


class Comparing:
    """Keeps one review in line with the database. Only while it is locked, but for the thread that adds up."""

    def __init__(self) -> None:
        self._summed: Summed | None = None
        self._adder: threading.Thread | None = None

    def keep(self, review: Review) -> bool:
        """Compare where it is due. False when so much has changed that the review is to be built anew."""
        summed, self._summed = self._summed, None
        late = time.monotonic() - review.compare_at
        if not review.compare_at or late > _TOO_OLD:
            review.forgotten.clear()
            return compare(review, Summed.of(review))
        if summed is not None and summed.review is review:
            return compare(review, summed)
        if late >= 0 and (self._adder is None or not self._adder.is_alive()):
            review.forgotten.clear()
            self._adder = threading.Thread(target=self._add, args=(review,), name="review sums", daemon=True)
            self._adder.start()
        return True

    def _add(self, review: Review) -> None:
        try:
            self._summed = Summed.of(review)
        except Exception:
            logger.exception(
                "The boxes of survey %s were not compared; the next page has it tried again.", review.survey
            )
        finally:
            connection.close()


def compare(review: Review, now: Summed) -> bool:
    """Find what no decision told, and follow it. False when so much has changed that the review is built anew."""
    boxes = reading.boxes_changed(review.population, review.visible, review.sums, now.boxes, review.boxes)
    edges = reading.edges_changed(review.population, review.edge_sums, now.edges, review.edge_ids)
    for block in review.forgotten:
        # Decided while the sums were made: they may or may not hold it.
        review.edge_sums.pop(block, None)
    review.forgotten.clear()
    compared(review, now.took)
    if boxes is None or edges is None or len(boxes) > _BOXES_FOLLOWED:
        return False
    if boxes:
        review.follow_boxes(boxes)
    # Whole blocks were read; what decisions told of them is followed already.
    found, gone = edges
    left = {review.edge_ids[pk] for pk in gone}
    review.follow([edge for edge in found if review.differs(edge) or (edge.a, edge.b) in left], gone)
    # How many there are may have changed.
    compared(review, now.took)
    return True


def compared(review: Review, took: float) -> None:
    """Say when it is due next, after sums that took so many seconds."""
    few = len(review.boxes) + len(review.edge_ids) <= _COMPARED_ALWAYS
    review.compare_at = 0.0 if few else time.monotonic() + took / _COMPARING
