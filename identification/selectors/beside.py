"""What a careful person wants to know beside two pictures: places, other frames, known photos, earlier answers.

Read only when somebody opens it, so that the next pair does not wait for it. docs/decisions/0034-beside-the-picture.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ..matching.graph import ordered
from ..matching.pooling import Pair
from ..matching.queue import Question
from ..matching.travel import haversine_km
from ..models import Category, Decision, Detection, Flank, Image, LinkProposal, Survey, User
from ..permissions import Action, detections_for, images_for, surveys_for
from ..presenting import decimal, span_words
from .checks import seconds_wanted
from .known_pairs import known_edges, labelled
from .review_queue import Review, review_of

FRAMES_SHOWN = 12
PER_FLANK = 6
ANSWERS_SHOWN = 8


@dataclass(frozen=True)
class Frame:
    """Another photo of the same event. detection: its only box of an animal that takes part, None without one.

    apart: time from the photo in question, "+3 seconds". sharper: by how much (1.5: half as sharp again), None where
    either is not known. pair: the two boxes that would be compared instead, the filed one first; None where it can only
    be looked at. joined: whether decisions already say that both frames show one animal.
    """

    image: Image
    detection: Detection | None
    apart: str
    current: bool
    sharper: float | None
    pair: tuple[int, int] | None
    joined: bool


@dataclass(frozen=True)
class Gallery:
    """Photos of a known animal that show one flank; more: how many others there are."""

    title: str
    photos: list[Detection]
    more: int


@dataclass(frozen=True)
class Answer:
    """An earlier decision on one of the two photos. who: '' where software or an import said it.

    other: the second photo, None where it is not the account's to see. side: which of the photos it is on; '' for both.
    """

    decision: Decision
    who: str
    side: str
    other: Detection | None

    @property
    def taken_back(self) -> bool:
        return hasattr(self.decision, "undone_by")


@dataclass(frozen=True)
class SideNotes:
    """What is known around one of the two photos. sharpest: the frame that is worth a look, None where it is this one.

    event_more: further frames of the event that are not listed."""

    detection: Detection
    frames: list[Frame]
    event_more: int
    sharpest: Frame | None
    next: Frame | None
    galleries: list[Gallery]


@dataclass(frozen=True)
class Beside:
    """Everything beside the pictures. kilometres: None for those who may not know both places, or where one is unknown.

    places: whether the account may know them; same_station is nobody's secret.
    """

    first: SideNotes
    second: SideNotes
    kilometres: float | None
    places: bool
    same_station: bool
    answers: list[Answer]
    answers_more: int

    @property
    def distance(self) -> str:
        """In words, as exactly as stations are noted."""
        if self.kilometres is None:
            return ""
        return decimal(f"{self.kilometres:.1f} km") if self.kilometres < 10 else f"{self.kilometres:.0f} km"


def beside(*, user: User, survey: Survey, first: Detection, second: Detection) -> Beside:
    """first, second: boxes that the account may decide about, with image, station and survey at hand.

    Of a pair that is settled nothing is told that would give the answer away: it is asked for a second opinion, which
    has to be a person's own. Nor of two photos whose animals an archive names, where known pairs are asked.
    A constant number of queries.
    """
    swaps = _swaps(user, survey, first, second)
    blind = swaps[0].settled or (survey.known_pairs_share > 0 and labelled(first, second))
    answers, more = ([], 0) if blind else _answers(user, survey, first, second)
    places = _may_places(user, first, second)
    return Beside(
        first=_side(user, first, swaps[0], blind),
        second=_side(user, second, swaps[1], blind),
        kilometres=_kilometres(first, second) if places else None,
        places=places,
        same_station=first.image.station_id is not None and first.image.station_id == second.image.station_id,
        answers=answers,
        answers_more=more,
    )


def _may_places(user: User, first: Detection, second: Detection) -> bool:
    surveys = {first.image.survey_id, second.image.survey_id}
    return surveys_for(user, Action.SEE_PLACES).filter(pk__in=surveys).count() == len(surveys)


def _kilometres(first: Detection, second: Detection) -> float | None:
    one, other = first.image.station, second.image.station
    if one is None or other is None or one.pk == other.pk:
        return None
    if one.latitude is None or one.longitude is None or other.latitude is None or other.longitude is None:
        return None
    return haversine_km(one.latitude, one.longitude, other.latitude, other.longitude)


# ---- frames of the same event ----
@dataclass(frozen=True)
class _Swaps:
    """Of one side: for each box of another frame the pair to ask instead, and whether it is of the same group.

    settled: whether an answer on the pair that is shown stands, or follows."""

    pairs: dict[int, tuple[int, int]]
    joined: frozenset[int]
    settled: bool


def _swaps(user: User, survey: Survey, first: Detection, second: Detection) -> tuple[_Swaps, _Swaps]:
    """Which frames of either side can take its place, without a change of what is asked.

    A frame of the same group can: the answer settles the same question. So can one of a burst that waits for a glance,
    where it was compared with the other side itself.
    """
    bursts = _bursts(first, second)
    frames = {one.pk: _frame_boxes(user, one) for one in (first, second)}
    found = []
    with review_of(user=user, survey=survey) as review:
        known = review.queue.settled(first.pk, second.pk) or ordered((first.pk, second.pk)) in review.edges
        for this, other in ((first, second), (second, first)):
            pairs: dict[int, tuple[int, int]] = {}
            joined = set()
            for box in frames[this.pk]:
                same = review.queue.group(box.pk) == review.queue.group(this.pk)
                if box.pk == this.pk or not (same or box.pk in bursts[this.pk]) or _opposed(box, other):
                    continue
                if review.queue.question(box.pk, other.pk) is None or ordered((box.pk, other.pk)) in review.edges:
                    continue
                pairs[box.pk] = _filed(review, (box.pk, other.pk))
                if same:
                    joined.add(box.pk)
            found.append(_Swaps(pairs, frozenset(joined), known))
    return found[0], found[1]


def _filed(review: Review, pair: tuple[int, int]) -> tuple[int, int]:
    """The box of this survey first: decisions are filed under a photo of the survey that is reviewed."""
    return pair if pair[0] in review.rows else (pair[1], pair[0])


def _opposed(one: Detection, other: Detection) -> bool:
    return {one.flank, other.flank} == {Flank.LEFT, Flank.RIGHT}


def _bursts(first: Detection, second: Detection) -> dict[int, set[int]]:
    """For both boxes the others of the burst that is proposed or confirmed for it."""
    found: dict[int, set[int]] = {first.pk: set(), second.pk: set()}
    bursts = LinkProposal.objects.filter(
        kind=LinkProposal.Kind.SAME_EVENT,
        state__in=[LinkProposal.State.OPEN, LinkProposal.State.CONFIRMED],
        detections__in=[first.pk, second.pk],
    )
    through = LinkProposal.detections.through.objects.filter(linkproposal__in=bursts)
    members: dict[int, set[int]] = {}
    for proposal, detection in through.values_list("linkproposal_id", "detection_id"):
        members.setdefault(proposal, set()).add(detection)
    for together in members.values():
        for pk in found:
            if pk in together:
                found[pk] |= together - {pk}
    return found


def _frame_boxes(user: User, shown: Detection) -> list[Detection]:
    if shown.image.event_id is None:
        return []
    rows = detections_for(user).comparable().filter(image__event=shown.image.event_id)  # type: ignore[attr-defined]
    return list(rows.only("pk", "image_id", "flank", "quality"))


def _side(user: User, shown: Detection, swaps: _Swaps, blind: bool) -> SideNotes:
    frames, more = _frames(user, shown, swaps)
    ready = [frame for frame in frames if frame.pair is not None]
    best = max(ready, key=lambda frame: frame.sharper or 0.0, default=None)
    place = next((index for index, frame in enumerate(frames) if frame.current), 0)
    later = [frame for frame in [*frames[place:], *frames[:place]] if frame.pair is not None]
    return SideNotes(
        detection=shown,
        frames=frames if len(frames) > 1 else [],
        event_more=more,
        sharpest=best if best is not None and (best.sharper or 0.0) > 1.0 else None,
        next=later[0] if later else None,
        galleries=[] if blind else _galleries(user, shown),
    )


def _frames(user: User, shown: Detection, swaps: _Swaps) -> tuple[list[Frame], int]:
    """The frames of the event that are nearest in time, in the order of time, this one among them."""
    if shown.image.event_id is None:
        return [], 0
    images = list(
        images_for(user).filter(event=shown.image.event_id).select_related("station").order_by("captured_at", "pk")
    )
    place = next((index for index, image in enumerate(images) if image.pk == shown.image_id), None)
    if place is None:
        return [], 0
    start = max(0, min(place - FRAMES_SHOWN // 2, len(images) - FRAMES_SHOWN))
    near = images[start : start + FRAMES_SHOWN]
    boxes: dict[int, list[Detection]] = {}
    found = detections_for(user).filter(image__in=near, category=Category.ANIMAL).order_by("-usable", "pk")
    for box in found:
        boxes.setdefault(box.image_id, []).append(box)
    frames = [_frame(shown, image, boxes.get(image.pk, []), swaps) for image in near]
    return frames, len(images) - len(near)


def _frame(shown: Detection, image: Image, boxes: list[Detection], swaps: _Swaps) -> Frame:
    current = image.pk == shown.image_id
    box = shown if current else next((box for box in boxes if box.pk in swaps.pairs), next(iter(boxes), None))
    own, others = shown.quality.get("sharpness"), box.quality.get("sharpness") if box else None
    return Frame(
        image=image,
        detection=box,
        apart="" if current else _apart(shown.image, image),
        current=current,
        sharper=others / own if own and others and not current else None,
        pair=None if current or box is None else swaps.pairs.get(box.pk),
        joined=box is not None and box.pk in swaps.joined,
    )


def _apart(one: Image, other: Image) -> str:
    if one.captured_at is None or other.captured_at is None:
        return ""
    span = other.captured_at - one.captured_at
    sign = "+" if span.total_seconds() >= 0 else "−"
    return f"{sign}{span_words(abs(span))}"


def on_this_pair(question: Question, pair: tuple[int, int], review: Review) -> Question:
    """The question shown on this very pair: a frame of the group that nobody has compared, but that is sharper.

    As it was where the two show opposite flanks, or where something was said of them already.
    """
    a, b = ordered(pair)
    if (question.pair.a, question.pair.b) == (a, b) or (a, b) in review.edges:
        return question
    flanks = dict(Detection.objects.filter(pk__in=[a, b]).values_list("pk", "flank"))
    if set(flanks.values()) == {Flank.LEFT, Flank.RIGHT}:
        return question
    left, right = question.left, question.right
    if review.queue.group(a) != left:
        left, right = right, left
    return replace(question, pair=Pair(a, b, question.probability), left=left, right=right)


# ---- photos of the known animal ----
_TITLES = {Flank.LEFT: _("left flank"), Flank.RIGHT: _("right flank"), Flank.UNKNOWN: _("flank unknown")}


def _galleries(user: User, shown: Detection) -> list[Gallery]:
    """The visible photos of a known animal by flank, the sharpest first, the shown one left out."""
    if shown.individual_id is None:
        return []
    rows = detections_for(user).filter(individual=shown.individual_id).exclude(pk=shown.pk).exclude(crop="")
    facts: dict[str, list[tuple[float, int]]] = {}
    for pk, flank, usable, sharpness in rows.values_list("pk", "flank", "usable", "quality__sharpness"):
        facts.setdefault(flank, []).append((-(sharpness or 0.0) if usable else 1.0, pk))
    best = {flank: [pk for _, pk in sorted(own)[:PER_FLANK]] for flank, own in facts.items()}
    wanted = [pk for own in best.values() for pk in own]
    photos = {row.pk: row for row in rows.filter(pk__in=wanted).select_related("image__station", "image__survey")}
    return [
        Gallery(str(title), [photos[pk] for pk in best[flank] if pk in photos], len(facts[flank]) - len(best[flank]))
        for flank, title in _TITLES.items()
        if flank in best
    ]


# ---- earlier answers ----
def _answers(user: User, survey: Survey, first: Detection, second: Detection) -> tuple[list[Answer], int]:
    """What was said of either photo, the last first. Photos that the account may not see are not named, and what the
    account may still be asked as a check (a second opinion, a known pair) is left out."""
    ends = [first.pk, second.pk]
    around = Q(edge__a__in=ends) | Q(edge__b__in=ends)
    rows = Decision.objects.filter(around, undoes__isnull=True)
    if survey.second_review_share:
        waiting = seconds_wanted(survey=survey).filter(around).exclude(acting_user=user)
        rows = rows.exclude(edge__in=list(waiting.values_list("edge_id", flat=True)))
    if survey.known_pairs_share:
        rows = rows.exclude(edge__in=known_edges(user, survey, ends))
    number = rows.count()
    shown = list(rows.select_related("acting_user", "edge", "undone_by").order_by("-pk")[:ANSWERS_SHOWN])
    ids = {pk for row in shown for pk in (row.edge.a_id, row.edge.b_id)}
    decidable = surveys_for(user, Action.SEE_CANDIDATES)
    visible = detections_for(user).filter(pk__in=ids, image__survey__in=decidable)
    photos = {row.pk: row for row in visible.select_related("image__station", "image__survey")}
    return [_answer(row, first, second, photos) for row in shown], max(0, number - len(shown))


def _answer(row: Decision, first: Detection, second: Detection, photos: dict[int, Detection]) -> Answer:
    pair = {row.edge.a_id, row.edge.b_id}
    both = pair == {first.pk, second.pk}
    this = first.pk if first.pk in pair else second.pk
    other = photos.get(next(iter(pair - {this}))) if not both else None
    # Who works in a survey that is not the account's is no more its business than the photo.
    known = both or other is not None
    who = row.acting_user.get_username() if row.acting_user and known else ""
    return Answer(row, who, "" if both else ("first" if this == first.pk else "second"), other)
