"""The pairs that come next in the order by photo, so that a browser can have them ready."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ..matching.graph import ordered
from ..models import Survey, User, Verdict
from .photo_order import Groups, anchors_next, open_questions
from .review import (
    Chosen,
    Progress,
    ReviewState,
    Shared,
    chosen_anchor,
    groups_held,
    may_undo,
    position_of,
    shared_read,
    states_read,
)
from .review_ahead import Waiting
from .review_page import ReviewPage, review_pages
from .review_picks import held_now, picks_note
from .review_queue import Review, review_differs, review_of

# All candidates of this photo and of the next, and the first of the one after that: what two decisions can lead to, and
# more than somebody answers while the connection is away for a moment.
PHOTOS = 3
WHOLE = 2


@dataclass(frozen=True)
class Upcoming:
    """A pair of the browser's list: an anchor and one of the candidates that are shown with it.

    token: as of `card_token`. groups: names of the two groups, which
    compare within one answer only. spared: candidates of the anchor with which a match would not settle this pair.
    """

    token: str
    state: ReviewState
    index: int
    groups: tuple[int, int]
    spared: list[int]

    @property
    def pair(self) -> tuple[int, int]:
        assert self.state.anchor is not None
        return self.state.anchor.pk, self.state.offers[self.index].detection.pk


@dataclass(frozen=True)
class PhotosAhead:
    """What a browser should have ready.

    states: of the anchors whose strips can be seen. shown: whether the pair that is shown still stands, None without
    one; groups: what it is about. first: whether the pair that was to come first does.
    """

    pairs: list[Upcoming]
    states: list[ReviewState]
    shown: bool | None
    groups: tuple[int, int] | None
    first: bool
    progress: Progress
    passed: int
    review: Review = field(repr=False, compare=False)

    def less(self, lost: Collection[tuple[int, int]]) -> PhotosAhead:
        """Without these pairs (ordered), which somebody else has got, nor among the candidates of their photos."""
        if not lost:
            return self
        states = []
        for state in self.states:
            anchor = state.anchor.pk if state.anchor else 0
            offers = [offer for offer in state.offers if ordered((anchor, offer.detection.pk)) not in lost]
            states.append(replace(state, offers=offers, elsewhere=state.elsewhere + len(state.offers) - len(offers)))
        pairs = [one for one in self.pairs if ordered(one.pair) not in lost]
        return replace(self, pairs=pairs, states=[state for state in states if state.offers])

    def pages(self, user: User, have: Collection[str]) -> tuple[list[tuple[Upcoming, ReviewPage]], list[ReviewPage]]:
        """What the pages of those say that the browser has not got as they are; and one page of each state.

        A pair of which a box has changed meanwhile is left out; what is asked for next has it right.
        """
        wanted = [one for one in self.pairs if one.token not in have]
        read = [*((one.state, one.index) for one in wanted), *((state, 0) for state in self.states)]
        pages = review_pages(user=user, wanted=read)
        found = zip(wanted, pages, strict=False)
        fresh = [(one, page) for one, page in found if not review_differs(self.review, _boxes(one))]
        return fresh, pages[len(wanted) :]


def _boxes(one: Upcoming):  # type: ignore[no-untyped-def]
    return [one.state.anchor, one.state.offers[one.index].detection]


@dataclass(frozen=True)
class _Slot:
    """One candidate of an anchor's strip, while the review is locked."""

    anchor: int
    index: int
    groups: tuple[int, int]
    spared: frozenset[int]


def photos_ahead(
    *,
    user: User,
    survey: Survey,
    shown: tuple[int, int] | None = None,
    waiting: Collection[Waiting] = (),
    first: tuple[int, int] | None = None,
    explicit: int | None = None,
    more: int = 0,
    alone: bool = False,
    without: Iterable[tuple[int, int]] = (),
) -> PhotosAhead:
    """The next pairs for somebody who looks at `shown`, anchor first, and has not sent `waiting` yet.

    The open candidates of the anchor that is shown, then of the next photos. No two ask about the same two groups, and
    none about what a waiting answer settles. first: a pair that comes before all others, because a decision on it was
    taken back. explicit: an anchor that the address names, on its strip number `more`; alone: nothing after it. Nothing
    that others look at, nor what `without` names: they were quicker.
    """
    position, passed = position_of(user=user, survey=survey)
    left = {one.pair[0] for one in waiting if one.verdict == "later"}
    at = next((pair[0] for pair in (first, shown) if pair), explicit or (None if alone else position))
    with review_of(user=user, survey=survey) as review:
        counts = open_questions(review)
        order = _order(counts, passed | left, at, explicit, alone)
        asked = _Asked.of(review, shown, waiting)
        held = groups_held(review, [*without, *held_now(user, survey)]) - {asked.shown}
        chosen, slots = _chosen(review, order, asked, explicit, more, held)
        picks_note(user, [*([shown] if shown else []), *((slot.anchor, slot.groups[1]) for slot in slots)])
        stands = _stands(review, shown) if shown else None
        groups = (review.queue.group(shown[0]), review.queue.group(shown[1])) if shown and stands else None
        shared = shared_read(survey, review, passed)
    pairs, states = _read(user, survey, shared, chosen, slots, explicit)
    if first:
        pairs.sort(key=lambda one: ordered(one.pair) != ordered(first))
    return PhotosAhead(
        pairs=pairs,
        states=states,
        shown=stands,
        groups=groups,
        first=bool(first and pairs and ordered(pairs[0].pair) == ordered(first)),
        progress=shared.progress,
        passed=shared.passed,
        review=review,
    )


def _order(
    counts: dict[int, int], passed: Collection[int], at: int | None, explicit: int | None, alone: bool
) -> Iterator[int]:
    """The anchors to go through. The one she is at comes first, even where she went past it or asked for more."""
    here = [pk for pk in (at,) if pk is not None and pk in counts and (pk == explicit or pk not in passed)]
    return iter(here) if alone else itertools.chain(here, anchors_next(counts, {*passed, *here}, at))


@dataclass(frozen=True)
class _Asked:
    """What is shown or answered already, by groups. matches: (anchor, candidate) of matches that are not sent."""

    groups: set[tuple[int, int]]
    shown: tuple[int, int] | None
    matches: list[tuple[int, int]]

    @classmethod
    def of(cls, review: Review, shown: tuple[int, int] | None, waiting: Collection[Waiting]) -> _Asked:
        said = [one.pair for one in waiting if one.verdict != "later"]
        group = review.queue.group
        return cls(
            groups={ordered((group(a), group(b))) for a, b in [*said, *([shown] if shown else [])]},
            shown=ordered((group(shown[0]), group(shown[1]))) if shown else None,
            matches=[one.pair for one in waiting if one.verdict == Verdict.MATCH],
        )


def _chosen(
    review: Review,
    order: Iterator[int],
    asked: _Asked,
    explicit: int | None,
    more: int,
    held: Groups,
) -> tuple[list[Chosen], list[_Slot]]:
    """The anchors to read, and their candidates in order. Only while the review is locked."""
    chosen: list[Chosen] = []
    slots: list[_Slot] = []
    taken = set(asked.groups)
    filled = 0
    for anchor in order:
        one = chosen_anchor(review, anchor, more if anchor == explicit else 0, held)
        found = list(_slots(review, one, asked.matches))
        here = any(ordered(slot.groups) == asked.shown for slot in found)
        open_here = [slot for slot in found if ordered(slot.groups) not in taken and not _doubtful(review, slot, asked)]
        if filled >= WHOLE:
            open_here = open_here[:1]
        if open_here or here:
            chosen.append(one)
            slots += open_here
            taken |= {ordered(slot.groups) for slot in open_here}
            filled += 1
        if filled == PHOTOS:
            break
    return chosen, slots


def _slots(review: Review, one: Chosen, matches: Collection[tuple[int, int]]) -> Iterator[_Slot]:
    queue, anchor = review.queue, one.anchor
    names = [group for group, *_ in one.strip.groups]
    beside = {*names, *(queue.group(candidate) for pk, candidate in matches if pk == anchor)}
    for index, name in enumerate(names):
        spared = frozenset(group for group in beside if group != name and not queue.settled(name, group))
        yield _Slot(anchor, index, (queue.group(anchor), name), spared)


def _doubtful(review: Review, slot: _Slot, asked: _Asked) -> bool:
    """Whether a match that is not sent yet may settle the pair."""
    group = review.queue.group
    for anchor, candidate in asked.matches:
        if {group(anchor), group(candidate)}.isdisjoint(slot.groups):
            continue
        if anchor != slot.anchor or group(candidate) not in slot.spared:
            return True
    return False


def _stands(review: Review, shown: tuple[int, int]) -> bool:
    return ordered(shown) not in review.edges and not review.queue.settled(*shown)


def _read(
    user: User,
    survey: Survey,
    shared: Shared,
    chosen: list[Chosen],
    slots: list[_Slot],
    explicit: int | None,
) -> tuple[list[Upcoming], list[ReviewState]]:
    states = states_read(shared, chosen, may_undo(user=user, survey=survey))
    by_anchor = {state.anchor.pk: state for state in states if state.anchor is not None}
    groups = {one.anchor: [group for group, *_ in one.strip.groups] for one in chosen}

    def upcoming(slot: _Slot) -> Upcoming | None:
        state = by_anchor.get(slot.anchor)
        if state is None or len(state.offers) != len(groups[slot.anchor]):  # a row went in this moment
            return None
        near = zip(groups[slot.anchor], state.offers, strict=True)
        spared = [offer.detection.pk for group, offer in near if group in slot.spared]
        token = card_token(state, slot.index, explicit=explicit == slot.anchor)
        return Upcoming(token, state, slot.index, slot.groups, spared)

    pairs = [found for slot in slots if (found := upcoming(slot)) is not None]
    return pairs, [state for state in states if state.offers]


def card_token(state: ReviewState, index: int, *, explicit: bool) -> str:
    """Of what the part of the page of an offer says, but for what is said of the anchor, which is sent with all."""
    assert state.anchor is not None
    offer = state.offers[index]
    past = state.before + state.answered
    flanks = [(one.flank, one.flank_by_person) for one in (state.anchor, offer.detection)]
    place = past + index if state.more else offer.number
    here = len(state.offers) + state.elsewhere
    places = (place, past + here, state.more, explicit, state.further if state.more else 0)
    pair = (state.anchor.pk, offer.detection.pk, offer.edge_version, offer.photos, offer.candidate.pk)
    what = (pair, str(offer.detection.individual), flanks, places, round(offer.candidate.probability, 6))
    return sha256(repr(what).encode()).hexdigest()[:16]
