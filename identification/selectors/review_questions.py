"""Review by what is settled: the next question between two groups, near-certain pairs, and photos that stand alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import F

from ..matching.graph import ordered
from ..matching.progress import Completeness
from ..matching.queue import Question, Stage
from ..models import Candidate, Decision, Detection, EmbeddingModel, ReviewPosition, Survey, User
from ..permissions import detections_for, images_for, surveys_for
from ..presenting import span_words
from .review import edge_versions, undoable_decision
from .review_queue import Review, review_of

STRIP_LENGTH = 12
AT_A_GLANCE = 24
ALONE_SHOWN = 24
Pairs = Collection[tuple[int, int]]


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

    left is a photo of this survey, which the decision is filed under. apart: time between the two photos, '' where one
    is unknown. whole: images that may be shown whole. evidence: the shown pair as it was matched, None where only the
    other direction of an older matching is left.
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

    @property
    def joins(self) -> int:
        return self.left.size + self.right.size


@dataclass(frozen=True)
class QueueState:
    """The page's whole content. `asked` is None when nothing is left, or nothing but what was put off.

    certain: how many near-certain pairs can be confirmed at a glance. anchors: photos of the survey that take part.
    """

    survey: Survey
    asked: Asked | None
    progress: Completeness
    open: int
    certain: int
    put_off: int
    anchors: int
    decisions: int
    undoable: Decision | None


@dataclass(frozen=True)
class Likely:
    """A near-certain pair on the page that confirms many at a glance."""

    question: Question
    left: Detection
    right: Detection
    version: int
    sizes: tuple[int, int]

    @property
    def value(self) -> str:
        """What its box sends: the two photos, the version of the pair, and the probability that was shown."""
        return f"{self.left.pk}:{self.right.pk}:{self.version}:{self.question.probability:.6f}"


@dataclass(frozen=True)
class Alone:
    """A photo without a match, and the probability that one of its open questions is one."""

    detection: Detection
    probability: float


def queue_state(*, user: User, survey: Survey, pair: tuple[int, int] | None = None) -> QueueState:
    """The next question of the survey's queue, or the one between the groups of `pair` while it is open.

    Questions that this reviewer has put off come when nothing else is left to ask.
    """
    put_off = put_off_pairs(user=user, survey=survey)
    with review_of(user=user, survey=survey) as review:
        queue = review.queue
        waiting = {ordered((queue.group(a), queue.group(b))) for a, b in put_off}
        question = queue.question(*pair) if pair else None
        if question is None:
            question = next((q for q in queue.questions() if ordered((q.left, q.right)) not in waiting), None)
        later = sum(1 for a, b in waiting if queue.question(a, b) is not None)
        groups = _groups_of(review, question) if question else None
        progress = review.completeness(survey.completeness_goal)
        opened, certain = queue.open, len(queue.certain(AT_A_GLANCE, put_off))
        anchors, decisions = len(review.rows), review.decisions
    return QueueState(
        survey=survey,
        asked=_asked(user, question, *groups) if question and groups else None,
        progress=progress,
        open=opened,
        certain=certain,
        put_off=later,
        anchors=anchors,
        decisions=decisions,
        undoable=undoable_decision(user=user, survey=survey),
    )


def survey_completeness(*, user: User, survey: Survey) -> Completeness:
    """How much of the survey's true matches is found, as far as the account may decide."""
    with review_of(user=user, survey=survey) as review:
        return review.completeness(survey.completeness_goal)


def put_off_pairs(*, user: User, survey: Survey) -> list[tuple[int, int]]:
    """Pairs whose questions the reviewer has put off, the last one last."""
    position = ReviewPosition.objects.filter(user=user, survey=survey).first()
    return [(int(a), int(b)) for a, b in position.put_off] if position else []


def certain_pairs(*, user: User, survey: Survey, without: Pairs = (), most: int = AT_A_GLANCE) -> list[Likely]:
    """Near-certain pairs to be confirmed together; none of them follows from the others."""
    with review_of(user=user, survey=survey) as review:
        questions = review.queue.certain(most, without)
        sides = {question: _sides(review, question) for question in questions}
        sizes = {question: tuple(len(review.queue.members(pk)) for pk in sides[question]) for question in questions}
    shown = _shown(user, (pk for pair in sides.values() for pk in pair))
    versions = edge_versions((question.pair.a, question.pair.b) for question in questions)
    return [
        Likely(
            question,
            shown[left],
            shown[right],
            versions.get((question.pair.a, question.pair.b), 0),
            (sizes[question][0], sizes[question][1]),
        )
        for question, (left, right) in sides.items()
        if left in shown and right in shown
    ]


def photos_alone(*, user: User, survey: Survey, most: int = ALONE_SHOWN) -> tuple[list[Alone], int]:
    """Photos of the survey without a match but with open questions, the likeliest missed match first; and how many.

    Each of them may be a "ghost": an animal counted twice because one of its photos was never matched.
    """
    with review_of(user=user, survey=survey) as review:
        found = [(pk, probability) for pk, probability in review.queue.alone() if pk in review.rows]
    shown = _shown(user, (pk for pk, _ in found[:most]))
    return [Alone(shown[pk], p) for pk, p in found[:most] if pk in shown], len(found)


def _sides(review: Review, question: Question) -> tuple[int, int]:
    """The two photos, the one that the decision is filed under first: of this survey, then of the larger group."""
    a, b = question.pair.a, question.pair.b
    queue = review.queue
    order = sorted((a, b), key=lambda pk: (pk not in review.rows, -len(queue.members(pk)), pk))
    return order[0], order[1]


def _groups_of(review: Review, question: Question) -> tuple[tuple[int, int], list[int], list[int]]:
    left, right = _sides(review, question)
    members = [[pk for pk in review.queue.members(shown) if pk != shown] for shown in (left, right)]
    return (left, right), members[0], members[1]


def _shown(user: User, ids: Iterable[int]) -> dict[int, Detection]:
    rows = detections_for(user).filter(pk__in=list(ids))
    related = rows.select_related("image__station", "image__survey", "individual__population")
    return {detection.pk: detection for detection in related}


def _asked(user: User, question: Question, pair: tuple[int, int], left: list[int], right: list[int]) -> Asked | None:
    shown = _shown(user, pair)
    if len(shown) < 2:
        return None
    one, other = shown[pair[0]], shown[pair[1]]
    apart = ""
    if one.image.captured_at and other.image.captured_at:
        apart = span_words(one.image.captured_at - other.image.captured_at)
    images = [one.image_id, other.image_id]
    evidence = Candidate.objects.filter(anchor__in=pair, detection__in=pair).order_by("rank").first()
    return Asked(
        question=question,
        left=_side(user, one, left),
        right=_side(user, other, right),
        version=edge_versions([(question.pair.a, question.pair.b)]).get((question.pair.a, question.pair.b), 0),
        evidence=evidence,
        apart=apart,
        same_event=one.image.event_id is not None and one.image.event_id == other.image.event_id,
        same_station=one.image.station_id is not None and one.image.station_id == other.image.station_id,
        whole=frozenset(images_for(user).filter(pk__in=images).values_list("pk", flat=True)),
        trained=EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE, trained=True).exists(),
    )


def _side(user: User, shown: Detection, others: list[int]) -> Side:
    """The rest of a group, the flank that is shown first, then by time."""
    if not others:
        return Side(shown, [], 0)
    rows = (
        detections_for(user)
        .filter(pk__in=others)
        .select_related("image__station", "image__survey")
        .order_by(F("image__captured_at").asc(nulls_last=True), "pk")
    )
    found = sorted(rows, key=lambda detection: detection.flank != shown.flank)
    return Side(shown, found[:STRIP_LENGTH], max(0, len(found) - STRIP_LENGTH))


def sees_all(*, user: User, survey: Survey) -> bool:
    """Whether every survey of the population is the account's to see: else an animal may have hidden photos."""
    return not Survey.objects.filter(population=survey.population_id).exclude(pk__in=surveys_for(user)).exists()


def stage_words(stage: Stage) -> str:
    """Why a question comes now."""
    return {
        Stage.CERTAIN: "near-certain pairs come first",
        Stage.GROUPS: "the answer joins or separates groups",
        Stage.ALONE: "looks for matches of single photos that were missed",
    }[stage]
