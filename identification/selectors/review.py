"""Review by photo, the original's order: an anchor with its open candidates, then the next photo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import F

from ..matching.graph import ordered
from ..models import Candidate, Decision, Detection, Flank, MatchEdge, ReviewPosition, Survey, User, Verdict
from ..prepared import Given, Prepared
from .joins import answered_proposal
from .opinions import standing_opinions
from .photo_order import Groups, Strip, anchors_next, open_questions, strip_of
from .remarks import standing_remarks
from .review_picks import held_now, picks_note
from .review_position import position_read
from .review_queue import Review, review_of


@dataclass(frozen=True)
class Offer:
    """A candidate that is still worth asking about: one animal, or one photo that belongs to none yet.

    photos: how many photos of it take part, as far as the account may decide about them. number: what is pressed to
    look at it (1…5), which stays while others are answered.
    """

    candidate: Candidate
    edge_version: int
    photos: int = 1
    number: int = 1

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
    """The page's whole content. `anchor` is None when nothing is left to ask.

    anyone: probability that somebody in the catalogue is the anchor's animal, None where no question says so.
    more: how many strips of five were gone past on demand; answered: how many candidates were asked about already;
    before, further: how many open ones come before and after this strip. elsewhere: how many of it are left out because
    others look at them; without an anchor, how many photos wait for that.
    """

    survey: Survey
    anchor: Detection | None
    offers: list[Offer]
    progress: Progress
    passed: int
    undoable: bool
    anchor_matches: list[Detection] = field(default_factory=list)
    anyone: float | None = None
    more: int = 0
    answered: int = 0
    before: int = 0
    further: int = 0
    elsewhere: int = 0


def reviewable_detections(survey: Survey):  # type: ignore[no-untyped-def]
    """Detections that take part in matching, in the order of the photos."""
    return (
        Detection.objects.comparable()
        .filter(image__survey=survey)
        .order_by(F("image__captured_at").asc(nulls_last=True), "image__relative_path", "id")
    )


def review_state(
    *,
    user: User,
    survey: Survey,
    anchor: int | None = None,
    more: int = 0,
    without: Iterable[tuple[int, int]] = (),
    take: bool = False,
) -> ReviewState:
    """Where the reviewer is, or, with `anchor`, that anchor's candidates.

    At most SPOTID_CANDIDATES questions are asked per anchor by themselves; `more` strips of as many are gone past on
    demand. Pairs that are decided, that follow from decisions, or that others look at now, are not asked. without:
    further pairs that others have. take: the pairs of the answer are leased at once.
    """
    position, passed = position_of(user=user, survey=survey)
    with review_of(user=user, survey=survey) as review:
        questions = open_questions(review)
        held = groups_held(review, [*without, *held_now(user, survey)])
        order = [anchor] if anchor in questions else anchors_next(questions, passed, position)
        found: Chosen | None = None
        elsewhere = 0
        for current in order:
            found = chosen_anchor(review, current, more if anchor == current else 0, held)
            if found.strip.groups or anchor == current:
                break
            found, elsewhere = None, elsewhere + 1
        if take and found is not None:
            picks_note(user, [(found.anchor, group) for group, *_ in found.strip.groups])
        shared = shared_read(survey, review, passed)
    undoable = may_undo(user=user, survey=survey)
    states = states_read(shared, [found] if found else [], undoable)
    return states[0] if states else nothing_left(shared, undoable, elsewhere)


def nothing_left(shared: Shared, undoable: bool, elsewhere: int) -> ReviewState:
    """The state of whoever has no photo to look at. elsewhere: photos that wait for others."""
    progress, passed = shared.progress, shared.passed
    return ReviewState(shared.survey, None, [], progress, passed, undoable, elsewhere=elsewhere)


def groups_held(review: Review, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """The questions of pairs, as ordered pairs of groups. Only while the review is locked."""
    group = review.queue.group
    return {ordered((group(a), group(b))) for a, b in pairs}


def position_of(*, user: User, survey: Survey) -> tuple[int | None, set[int]]:
    """The anchor that the reviewer was at, and those that she went past."""
    position = ReviewPosition.objects.filter(user=user, survey=survey).first()
    if position is None:
        return None, set()
    return position.anchor_id, set(position.passed.values_list("pk", flat=True))


@dataclass(frozen=True)
class Shared:
    """What the states of all anchors of a survey have in common."""

    survey: Survey
    progress: Progress
    passed: int


@dataclass(frozen=True)
class Chosen:
    """An anchor with the strip to show, before its photos are read."""

    anchor: int
    strip: Strip
    anyone: float | None


def shared_read(survey: Survey, review: Review, passed: Iterable[int]) -> Shared:
    """Only while the review is locked, after `open_questions`."""
    counts = review.by_photo
    progress = Progress(anchors=len(counts.of), settled=counts.settled, decisions=review.decisions)
    return Shared(survey, progress, sum(1 for pk in passed if counts.of.get(pk)))


def chosen_anchor(review: Review, anchor: int, more: int = 0, held: Groups = frozenset()) -> Chosen:
    """Only while the review is locked. held: as of `strip_of`."""
    return Chosen(anchor, strip_of(review, anchor, more, held), review.queue.anyone(anchor))


def states_read(shared: Shared, chosen: Sequence[Chosen], undoable: bool) -> list[ReviewState]:
    """The states of anchors with everything that is shown of them. As many queries for three as for one."""
    if not chosen:
        return []
    ids = [one.anchor for one in chosen]
    anchors = Detection.objects.select_related("image__station", "image__survey", "individual__population").in_bulk(ids)
    chosen = [one for one in chosen if one.anchor in anchors]  # else deleted in this moment
    matches = _matches(anchors.values())
    offers = _offers([(anchors[one.anchor], one.strip) for one in chosen])
    return [
        ReviewState(
            survey=shared.survey,
            anchor=anchors[one.anchor],
            offers=offers[one.anchor],
            progress=shared.progress,
            passed=shared.passed,
            undoable=undoable,
            anchor_matches=[row for row in matches[anchors[one.anchor].individual_id] if row.pk != one.anchor],
            anyone=one.anyone,
            more=one.strip.more,
            answered=one.strip.answered,
            before=one.strip.before,
            further=one.strip.further,
            elsewhere=one.strip.elsewhere,
        )
        for one in chosen
    ]


def _matches(anchors: Iterable[Detection]) -> dict[int | None, list[Detection]]:
    """The photos of the anchors' animals, by animal."""
    individuals = {anchor.individual_id for anchor in anchors} - {None}
    found: dict[int | None, list[Detection]] = defaultdict(list)
    if individuals:
        rows = Detection.objects.filter(individual__in=individuals).select_related("image__station")
        for row in rows.order_by("image__captured_at", "id"):
            found[row.individual_id].append(row)
    return found


def review_mode(*, user: User, survey: Survey) -> str:
    """In which order the reviewer works here: what was chosen last, by the queue at first.

    A part of the survey (`review_modes`) is asked in the order of the queue.
    """
    chosen = position_read(user=user, survey=survey)
    by_photo = chosen is not None and chosen.mode == ReviewPosition.Mode.PHOTO
    return ReviewPosition.Mode.PHOTO if by_photo else ReviewPosition.Mode.QUEUE


_OWN = Prepared(
    lambda: (
        Decision.objects.filter(
            acting_user=Given("user"),
            undoes__isnull=True,
            undone_by__isnull=True,
            anchor__image__survey=Given("survey"),
        )
        .exclude(answered_proposal())
        .order_by("-pk")
        .values_list("pk")[:1]
    )
)


def may_undo(*, user: User, survey: Survey) -> bool:
    """Whether there is anything that the reviewer could take back now."""
    return (
        _OWN.exists(user=user.pk, survey=survey.pk)
        or standing_remarks(user=user, survey=survey).exists()
        or standing_opinions().filter(user=user, survey=survey, verdict__in=Verdict.values).exists()
    )


def _offers(anchors: Sequence[tuple[Detection, Strip]]) -> dict[int, list[Offer]]:
    """For each anchor one offer for each group, in the order of the strip: of the photos that were compared with it
    the best view of the same flank."""
    wanted = [pk for _, strip in anchors for _, pks, _, _ in strip.groups for pk in pks]
    rows = Candidate.objects.filter(pk__in=wanted).select_related(
        "anchor", "detection__image__station", "detection__image__survey", "detection__individual__population"
    )
    by_id = {row.pk: row for row in rows}
    best: dict[int, list[tuple[Candidate, int, int]]] = {}
    for anchor, strip in anchors:
        best[anchor.pk] = [
            (max(own, key=lambda row: _worth(row.anchor, row)), photos, number)
            for _, pks, photos, number in strip.groups
            if (own := [by_id[pk] for pk in pks if pk in by_id])
        ]
    pairs = [ordered((row.anchor_id, row.detection_id)) for chosen in best.values() for row, _, _ in chosen]
    versions = edge_versions(pairs)
    return {
        anchor: [
            Offer(row, versions.get(ordered((row.anchor_id, row.detection_id)), 0), max(1, photos), number)
            for row, photos, number in chosen
        ]
        for anchor, chosen in best.items()
    }


def _worth(anchor: Detection, row: Candidate) -> tuple[bool, float, float, int]:
    """What makes one photo of an animal the one to look at: the anchor's known flank, the probability, sharpness."""
    same = anchor.flank != Flank.UNKNOWN and row.detection.flank == anchor.flank
    return same, round(row.probability, 2), row.detection.quality.get("sharpness") or 0.0, -row.rank


_VERSIONS = Prepared(
    lambda: MatchEdge.objects.filter(a__any_of=Given("ends"), b__any_of=Given("ends")).values_list(
        "a_id", "b_id", "version"
    )
)


def edge_versions(pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """The version of each pair's edge, where it has one."""
    wanted = set(pairs)
    ends = {pk for pair in wanted for pk in pair}
    return {(a, b): version for a, b, version in _VERSIONS(ends=list(ends)) if (a, b) in wanted}
