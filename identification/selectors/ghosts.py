"""Photos that matched nothing, the likeliest missed match first: each may be a "ghost", an animal counted twice."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.paginator import Paginator

from ..models import Detection, Survey, User
from ..permissions import detections_for
from .review_queue import review_of

PER_PAGE = 48


@dataclass(frozen=True)
class Ghost:
    """A photo without a match, and the probability that one of its open questions is one."""

    detection: Detection
    probability: float


@dataclass(frozen=True)
class Ghosts:
    """One page of them. likely: how many are at least as likely as not to have a match; settled: photos without a match
    about which nothing is left to ask."""

    rows: list[Ghost]
    page: object
    likely: int
    settled: int


def ghosts(*, user: User, survey: Survey, number: str | None = None) -> Ghosts:
    """Photos of the survey that stand alone. number: the page, as an address says it."""
    with review_of(user=user, survey=survey) as review:
        queue = review.queue
        found = [(pk, probability) for pk, probability in queue.alone() if pk in review.rows]
        alone = sum(1 for pk in review.rows if len(queue.members(pk)) == 1)
    page = Paginator(found, PER_PAGE).get_page(number)
    visible = detections_for(user).filter(pk__in=[pk for pk, _ in page.object_list])
    related = visible.select_related("image__station", "image__survey", "individual__population")
    photos = {row.pk: row for row in related}
    rows = [Ghost(photos[pk], probability) for pk, probability in page.object_list if pk in photos]
    return Ghosts(rows, page, sum(probability >= 0.5 for _, probability in found), alone - len(found))
