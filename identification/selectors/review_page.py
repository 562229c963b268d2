"""What the review page shows around an anchor and its offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from ..models import Detection, EmbeddingModel, Image, ReviewPosition, Survey, User
from ..permissions import detections_for, images_for, surveys_for
from ..presenting import span_words
from .review import Offer, ReviewState, reviewable_detections

STRIP_LENGTH = 12


@dataclass(frozen=True)
class ReviewPage:
    """The offer that is looked at, and what is known around the pair.

    place, places: of the offer among the candidates, those that were answered with them, and those of other strips
    once somebody asked for more.
    none_photos: photos of all offers that are shown together. apart: time between the two photos in words, '' when a
    time is unknown. whole: ids of images that may be shown whole. joins: photos of the candidate's individual that a
    match would bring along. trained: whether the similarity of vectors says anything. sees_all: whether every survey of
    the population is the account's to see; otherwise an animal may have photos that are kept from it, and whether it
    has is kept from it too.
    """

    offer: Offer
    position: int
    place: int
    places: int
    none_photos: int
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
    index = next((i for i, item in enumerate(state.offers) if item.detection.pk == offer), 0)
    return review_pages(user=user, wanted=[(state, index)])[0]


def review_pages(*, user: User, wanted: Sequence[tuple[ReviewState, int]]) -> list[ReviewPage]:
    """The pages of offers, each given as its state and its place there. As many queries for ten as for one."""
    if not wanted:
        return []
    shown = [(state, index, state.offers[index]) for state, index in wanted]
    images = {image for state, _, offer in shown for image in (_anchor(state).image_id, offer.detection.image_id)}
    whole = frozenset(images_for(user).filter(pk__in=images).values_list("pk", flat=True))
    matches = {row.pk for state, _, _ in shown for row in state.anchor_matches}
    visible = set(detections_for(user).filter(pk__in=matches).values_list("pk", flat=True)) if matches else set()
    joins = _joins(user, [offer.detection for _, _, offer in shown])
    trained = EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE, trained=True).exists()
    population = wanted[0][0].survey.population_id
    sees_all = not Survey.objects.filter(population=population).exclude(pk__in=surveys_for(user)).exists()
    pages = []
    for state, index, offer in shown:
        anchor, candidate = _anchor(state).image, offer.detection.image
        known = [row for row in state.anchor_matches if row.pk in visible]
        past = state.before + state.answered
        pages.append(
            ReviewPage(
                offer=offer,
                position=index + 1,
                place=past + index + 1 if state.more else offer.number,
                places=past + len(state.offers) + state.elsewhere + (state.further if state.more else 0),
                none_photos=sum(item.photos for item in state.offers),
                apart=_apart(anchor, candidate),
                same_event=anchor.event_id is not None and anchor.event_id == candidate.event_id,
                same_station=anchor.station_id is not None and anchor.station_id == candidate.station_id,
                whole=whole,
                known=known[:STRIP_LENGTH],
                known_more=max(0, len(known) - STRIP_LENGTH),
                joins=joins.get(offer.detection.individual_id, 1),
                trained=trained,
                sees_all=sees_all,
            )
        )
    return pages


def _anchor(state: ReviewState) -> Detection:
    assert state.anchor is not None
    return state.anchor


def _apart(one: Image, other: Image) -> str:
    if one.captured_at and other.captured_at:
        return span_words(one.captured_at - other.captured_at)
    return ""


def _joins(user: User, candidates: Sequence[Detection]) -> dict[int | None, int]:
    """Photos of the candidates' animals that the account may see, by animal."""
    individuals = {candidate.individual_id for candidate in candidates} - {None}
    if not individuals:
        return {}
    rows = detections_for(user).filter(individual__in=individuals).values("individual").annotate(n=Count("id"))
    return {row["individual"]: row["n"] for row in rows.order_by()}


def passed_anchors(*, user: User, survey: Survey) -> list[Detection]:
    """Anchors that the reviewer went past, in the order of the photos."""
    position = ReviewPosition.objects.filter(user=user, survey=survey).first()
    if position is None:
        return []
    passed = reviewable_detections(survey).filter(pk__in=position.passed.values("pk"))
    return list(passed.select_related("image__station", "individual__population"))
