"""What the review page shows around an anchor and its offers."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from ..models import Detection, EmbeddingModel, ReviewPosition, Survey, User
from ..permissions import detections_for, images_for, surveys_for
from ..presenting import span_words
from .review import Offer, ReviewState, reviewable_detections

STRIP_LENGTH = 12


@dataclass(frozen=True)
class ReviewPage:
    """The offer that is looked at, and what is known around the pair.

    apart: time between the two photos in words, '' when a time is unknown. whole: ids of images that may be shown
    whole. joins: photos of the candidate's individual that a match would bring along. trained:
    whether the similarity of vectors says anything. sees_all: whether every survey of the population is the account's
    to see; otherwise an animal may have photos that are kept from it, and whether it has is kept from it too.
    """

    offer: Offer
    position: int
    apart: str
    same_event: bool
    same_station: bool
    whole: frozenset[int]
    known: list[Detection]
    known_more: int
    joins: int
    trained: bool
    sees_all: bool


def review_page(*, user: User, state: ReviewState, offer: int | None) -> ReviewPage:
    """`state` must have an anchor and offers; `offer` is the detection to look at, else the first is."""
    assert state.anchor is not None
    index = next((i for i, item in enumerate(state.offers) if item.detection.pk == offer), 0)
    shown = state.offers[index]
    anchor, candidate = state.anchor.image, shown.detection.image
    apart = ""
    if anchor.captured_at and candidate.captured_at:
        apart = span_words(anchor.captured_at - candidate.captured_at)
    known = list(_visible(user, state.anchor_matches))
    return ReviewPage(
        offer=shown,
        position=index + 1,
        apart=apart,
        same_event=anchor.event_id is not None and anchor.event_id == candidate.event_id,
        same_station=anchor.station_id is not None and anchor.station_id == candidate.station_id,
        whole=frozenset(images_for(user).filter(pk__in=[anchor.pk, candidate.pk]).values_list("pk", flat=True)),
        known=known[:STRIP_LENGTH],
        known_more=max(0, len(known) - STRIP_LENGTH),
        joins=_joins(user, shown.detection),
        trained=EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE, trained=True).exists(),
        sees_all=not Survey.objects.filter(population=state.survey.population_id)
        .exclude(pk__in=surveys_for(user))
        .exists(),
    )


def _visible(user: User, detections: list[Detection]) -> list[Detection]:
    allowed = set(
        detections_for(user).filter(pk__in=[detection.pk for detection in detections]).values_list("pk", flat=True)
    )
    return [detection for detection in detections if detection.pk in allowed]


def _joins(user: User, candidate: Detection) -> int:
    if candidate.individual_id is None:
        return 1
    return detections_for(user).filter(individual=candidate.individual_id).aggregate(n=Count("id"))["n"]


def passed_anchors(*, user: User, survey: Survey) -> list[Detection]:
    """Anchors that the reviewer went past, in the order of the photos."""
    position = ReviewPosition.objects.filter(user=user, survey=survey).first()
    if position is None:
        return []
    passed = reviewable_detections(survey).filter(pk__in=position.passed.values("pk"))
    return list(passed.select_related("image__station", "individual__population"))
