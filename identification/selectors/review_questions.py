"""Review by what is settled: the next question between two groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

from django.db.models import F, QuerySet
from django.utils.translation import gettext

from ..matching.graph import ordered
from ..matching.progress import Completeness
from ..matching.queue import Question, Queue, Stage
from ..models import Candidate, Detection, EmbeddingModel, Survey, User
from ..permissions import Action, detections_for, detections_given, images_seen, rights_given, survey_ids_for
from ..prepared import Given, Prepared
from ..presenting import span_words
from .beside import on_this_pair
from .checks import Check, check_question, checks_asked, checks_due
from .review import edge_versions, may_undo
from .review_leases import leased_elsewhere
from .review_modes import Only
from .review_picks import held_now, picks_note
from .review_position import position_read
from .review_queue import Review, review_differs, review_of

STRIP_LENGTH = 12
AT_A_GLANCE = 24
Pairs = Collection[tuple[int, int]]
Take = Callable[[list[tuple[int, int]]], Pairs]
# Of a photo what no question shows, and what may be long.
_UNREAD = tuple(
    f"image__{name}" for name in ("exif", "imported", "flags", "source_path", "detector_note", "captured_raw")
)


@dataclass(frozen=True)
class Side:
    """One group of a question: the photo that is shown, and the others, the same flank first."""

    detection: Detection
    others: list[Detection]
    more: int

    @property
    def size(self) -> int:
        return 1 + len(self.others) + self.more


@dataclass(frozen=True)
class Asked:
    """A question with everything that its page shows.

    left is a photo of this survey, which the decision is filed under. anyone: probability that somebody in the
    catalogue is its animal. apart: time between the two photos, '' where one
    is unknown. whole: images that may be shown whole. evidence: the shown pair as it was matched, None where only the
    other direction of an older matching is left. check: what the answer checks, None where it decides.
    """

    question: Question
    left: Side
    right: Side
    version: int
    evidence: Candidate | None
    apart: str
    same_event: bool
    same_station: bool
    whole: frozenset[int]
    trained: bool
    anyone: float | None
    check: Check | None = None

    @property
    def photos(self) -> list[Detection]:
        """Everything that is shown of both groups."""
        return [self.left.detection, self.right.detection, *self.left.others, *self.right.others]

    @property
    def joins(self) -> int:
        return self.left.size + self.right.size


@dataclass(frozen=True)
class QueueState:
    """The page's whole content. `asked` is None when nothing is left, or nothing but what others look at right now.

    certain: how many near-certain pairs can be confirmed at a glance. anchors: photos of the survey that take part.
    elsewhere: how many open questions others hold. again: how many answers are worth a second look.
    """

    survey: Survey
    asked: Asked | None
    progress: Completeness
    open: int
    certain: int
    put_off: int
    anchors: int
    decisions: int
    undoable: bool
    elsewhere: int = 0
    again: int = 0


@dataclass(frozen=True)
class Pick:
    """A question before its photos are read. others: further members of each group. check: as of `Asked`."""

    question: Question
    pair: tuple[int, int]
    others: tuple[list[int], list[int]]
    anyone: float | None
    check: Check | None = None


def queue_state(
    *,
    user: User,
    survey: Survey,
    pair: tuple[int, int] | None = None,
    only: Only | None = None,
    exactly: bool = False,
    check: Check | None = None,
    take: Take | None = None,
) -> QueueState:
    """The next question of the survey's queue, or the one between the groups of `pair` while it is open.

    exactly: show the question of `pair` on these very photos. only: which questions are wanted at all; then nothing is
    checked. check: the one to show. take: leases the question that was chosen, before anything of it is read; returns
    what was got. Questions that this reviewer has put off are left out until she takes them up again.
    """
    state, review = _state(user, survey, pair, only, exactly, check, take)
    if state.asked is not None and review_differs(review, state.asked.photos):
        # A box of it has changed meanwhile, and perhaps the question with it.
        state, _ = _state(user, survey, pair, only, exactly, check, take)
    return state


def _state(
    user: User,
    survey: Survey,
    pair: tuple[int, int] | None,
    only: Only | None,
    exactly: bool,
    check: Check | None,
    take: Take | None,
) -> tuple[QueueState, Review]:
    """Chosen, leased, then read. A choice that somebody else was quicker with costs a few small queries."""
    lost: list[tuple[int, int]] = []
    while True:
        choice, review = _chosen(user, survey, pair, only, exactly, lost, check)
        asked = choice.pick.question.pair if choice.pick else None
        if take is None or asked is None or (asked.a, asked.b) in lost or take([(asked.a, asked.b)]):
            break
        lost.append((asked.a, asked.b))
        check = None
    found = asked_of(user, [choice.pick]) if choice.pick else []
    undoable = may_undo(user=user, survey=survey)
    return replace(choice.state, asked=found[0] if found else None, undoable=undoable), review


@dataclass(frozen=True)
class _Choice:
    """What to ask, and the state but for what is read of it."""

    pick: Pick | None
    state: QueueState


def _chosen(
    user: User,
    survey: Survey,
    pair: tuple[int, int] | None,
    only: Only | None,
    exactly: bool,
    without: Pairs,
    check: Check | None,
) -> tuple[_Choice, Review]:
    put_off = put_off_pairs(user=user, survey=survey)
    held = {*without, *(leased_elsewhere(user=user, survey=survey) if checks_asked(survey) else ())}
    left_out = {*held, *put_off}
    if check is None and pair is None and only is None:
        check = checks_due(user=user, survey=survey, without=left_out).get(0)
    with review_of(user=user, survey=survey) as review:
        queue = review.queue
        groups = Groups(queue, put_off=put_off, held={*held, *held_now(user, survey)})
        question = wanted = queue.question(*pair) if pair else None
        if question is None or groups.of(question) in groups.held:
            question = next(questions_wanted(queue, only, groups.put_off | groups.held), None)
        elif exactly and pair:
            question = on_this_pair(question, pair, review)
        progress = review.completeness(survey.completeness_goal)
        if check is None and wanted is None and only is None and (question is None or progress.reached):
            check = checks_due(user=user, survey=survey, without=left_out, rest=True).get(0)
        pick = picked_check(review, check) if check else picked(review, question) if question else None
        picks_note(user, [(question.pair.a, question.pair.b)] if question and not check else [])
        opened, certain = queue.open, queue.number_certain(AT_A_GLANCE, put_off)
        anchors, decisions = len(review.rows), review.decisions
        later, elsewhere = groups.open(groups.put_off), groups.open(groups.held)
        again = len(review.doubtful())
    state = QueueState(
        survey=survey,
        asked=None,
        progress=progress,
        open=opened,
        certain=certain,
        put_off=later,
        anchors=anchors,
        decisions=decisions,
        undoable=False,
        elsewhere=elsewhere,
        again=again,
    )
    return _Choice(pick, state), review


def questions_wanted(queue: Queue, only: Only | None, without: Pairs = frozenset()) -> Iterator[Question]:
    """The open questions, or those of a part of the survey, the next one first. without: ordered pairs of groups."""
    if only is None:
        return queue.questions(without)
    about = filter(only, queue.questions_about(only.detections))
    return (question for question in about if ordered((question.left, question.right)) not in without)


class Groups:
    """Pairs of photos as the pairs of groups that they ask about now. Only while the review is locked."""

    def __init__(self, queue: Queue, *, put_off: Pairs, held: Pairs) -> None:
        self.queue = queue
        self.put_off = self.named(put_off)
        self.held = self.named(held)

    def named(self, pairs: Pairs) -> set[tuple[int, int]]:
        return {ordered((self.queue.group(a), self.queue.group(b))) for a, b in pairs}

    def of(self, question: Question) -> tuple[int, int]:
        return ordered((question.left, question.right))

    def open(self, groups: set[tuple[int, int]]) -> int:
        return sum(1 for a, b in groups if self.queue.question(a, b) is not None)


def survey_completeness(*, user: User, survey: Survey) -> Completeness:
    """How much of the survey's true matches is found, as far as the account may decide."""
    with review_of(user=user, survey=survey) as review:
        return review.completeness(survey.completeness_goal)


def put_off_pairs(*, user: User, survey: Survey) -> list[tuple[int, int]]:
    """Pairs whose questions the reviewer has put off, the last one last."""
    position = position_read(user=user, survey=survey)
    return position.put_off if position else []


def sides_of(review: Review, question: Question) -> tuple[int, int]:
    """The two photos, the one that the decision is filed under first: of this survey, then of the larger group."""
    a, b = question.pair.a, question.pair.b
    queue = review.queue
    order = sorted((a, b), key=lambda pk: (pk not in review.rows, -len(queue.members(pk)), pk))
    return order[0], order[1]


def picked(review: Review, question: Question) -> Pick:
    """What the page of a question needs of the queue. Only while the review is locked."""
    left, right = sides_of(review, question)
    mine, theirs = ([pk for pk in review.queue.members(shown) if pk != shown] for shown in (left, right))
    return Pick(question, (left, right), (mine, theirs), review.queue.anyone(left))


def picked_check(review: Review, check: Check) -> Pick:
    """A check as a question between two photos that nothing is known of. Only while the review is locked."""
    question = check_question(check)
    sides = sides_of(review, question)
    # As of any other question, the likeliest of all that is open is told: it may be more than the pair's probability.
    anyone = max(check.probability, review.queue.anyone(sides[0]) or 0.0)
    return Pick(question, sides, ([], []), anyone, check)


def shown_boxes(user: User, ids: Iterable[int]) -> dict[int, Detection]:
    """Those of the boxes that the account may see, with everything that a page says of a photo."""
    rights = rights_given(user)
    if rights is None:
        shown = list(_whole(detections_for(user).filter(pk__in=list(ids)), "individual__population"))
    else:
        shown = _SHOWN(ids=list(ids), **rights)
    return {detection.pk: detection for detection in shown}


def _whole(rows: QuerySet[Detection], *more: str) -> QuerySet[Detection]:
    # No order: that of a list of photos goes by the names of their surveys.
    return rows.order_by().select_related("image__station", "image__survey", *more).defer(*_UNREAD)


def _by_time(rows: QuerySet[Detection]) -> QuerySet[Detection, tuple[int, str]]:
    return rows.order_by(F("image__captured_at").asc(nulls_last=True), "pk").values_list("pk", "flank")


def _some() -> QuerySet[Detection]:
    return detections_given().filter(pk__any_of=Given("ids"))


_SHOWN = Prepared(lambda: _whole(_some(), "individual__population"))
_STRIP = Prepared(lambda: _whole(_some()))
_ORDER = Prepared(lambda: _by_time(_some()))
_EVIDENCE = Prepared(
    lambda: Candidate.objects.filter(anchor__any_of=Given("ends"), detection__any_of=Given("ends")).order_by("-rank")
)
_TRAINED = Prepared(
    lambda: EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE, trained=True).values_list("pk")[:1]
)


def asked_of(user: User, picks: Collection[Pick], versions: Mapping[tuple[int, int], int] | None = None) -> list[Asked]:
    """The questions with everything that their pages show, as far as the account may see both photos.

    As many queries for ten questions as for one. versions: of the edges of their pairs, where they are read already.
    """
    if not picks:
        return []
    shown = shown_boxes(user, (pk for pick in picks for pk in pick.pair))
    picks = [pick for pick in picks if pick.pair[0] in shown and pick.pair[1] in shown]
    groups = [(shown[pk], others) for pick in picks for pk, others in zip(pick.pair, pick.others, strict=True)]
    sides = iter(_with_others(user, groups))
    if versions is None:
        versions = edge_versions((pick.question.pair.a, pick.question.pair.b) for pick in picks)
    whole = images_seen(user, (detection.image for detection in shown.values()))
    evidence = _evidence(picks)
    compared = any(row.similarity is not None for row in evidence.values())
    trained = compared and _TRAINED.exists()
    found = []
    for pick in picks:
        one, other = shown[pick.pair[0]], shown[pick.pair[1]]
        apart = ""
        if one.image.captured_at and other.image.captured_at:
            apart = span_words(one.image.captured_at - other.image.captured_at)
        asked = Asked(
            question=pick.question,
            left=next(sides),
            right=next(sides),
            version=versions.get((pick.question.pair.a, pick.question.pair.b), 0),
            evidence=evidence.get(ordered(pick.pair)),
            apart=apart,
            same_event=one.image.event_id is not None and one.image.event_id == other.image.event_id,
            same_station=one.image.station_id is not None and one.image.station_id == other.image.station_id,
            whole=whole,
            trained=trained,
            anyone=pick.anyone,
        )
        found.append(_blind(asked, pick.check) if pick.check else asked)
    return found


def _blind(asked: Asked, check: Check) -> Asked:
    """The page of a check, with nothing of what was decided: neither animals nor the pair's version."""
    left, right = copy(asked.left.detection), copy(asked.right.detection)
    left.individual = right.individual = None
    return replace(asked, left=Side(left, [], 0), right=Side(right, [], 0), version=0, check=check)


def _evidence(picks: Collection[Pick]) -> dict[tuple[int, int], Candidate]:
    """For each pair the candidate of the better rank, of both directions."""
    ends = {pk for pick in picks for pk in pick.pair}
    wanted = {ordered(pick.pair) for pick in picks}
    found: dict[tuple[int, int], Candidate] = {}
    for row in _EVIDENCE(ends=list(ends)):
        if (pair := ordered((row.anchor_id, row.detection_id))) in wanted:
            found[pair] = row
    return found


def _with_others(user: User, groups: Sequence[tuple[Detection, list[int]]]) -> list[Side]:
    """Each photo with the visible rest of its group: the flank that is shown first, then by time.

    Groups may have hundreds of photos; only those that a strip shows are read whole.
    """
    ids = [pk for _, others in groups for pk in others]
    if not ids:
        return [Side(shown, [], 0) for shown, _ in groups]
    rights = rights_given(user)
    rows = detections_for(user)
    order = list(_by_time(rows.filter(pk__in=ids))) if rights is None else _ORDER(ids=ids, **rights)
    places = {pk: (place, flank) for place, (pk, flank) in enumerate(order)}
    strips = [
        sorted((pk for pk in others if pk in places), key=lambda pk: (places[pk][1] != shown.flank, places[pk][0]))
        for shown, others in groups
    ]
    wanted = [pk for strip in strips for pk in strip[:STRIP_LENGTH]]
    photos = list(_whole(rows.filter(pk__in=wanted))) if rights is None else _STRIP(ids=wanted, **rights)
    read = {detection.pk: detection for detection in photos}
    return [
        Side(shown, [read[pk] for pk in strip[:STRIP_LENGTH] if pk in read], max(0, len(strip) - STRIP_LENGTH))
        for (shown, _), strip in zip(groups, strips, strict=True)
    ]


def sees_all(*, user: User, survey: Survey) -> bool:
    """Whether every survey of the population is the account's to see: else an animal may have hidden photos."""
    seen = survey_ids_for(user, Action.SEE, survey.population_id)
    return not Survey.objects.filter(population=survey.population_id).exclude(pk__in=seen).exists()


def stage_words(stage: Stage) -> str:
    """Why a question comes now."""
    return {
        Stage.CERTAIN: gettext("near-certain pairs come first"),
        Stage.GROUPS: gettext("the answer joins or separates groups"),
        Stage.ALONE: gettext("looks for matches of single photos that were missed"),
    }[stage]
