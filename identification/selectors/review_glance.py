"""Review by what is settled: near-certain pairs at a glance, and photos that stand alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..matching.queue import Question
from ..models import Detection, Survey, User
from .review import edge_versions
from .review_questions import AT_A_GLANCE, Pairs, shown_boxes, sides_of
from .review_queue import review_of

ALONE_SHOWN = 24


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


def certain_pairs(*, user: User, survey: Survey, without: Pairs = (), most: int = AT_A_GLANCE) -> list[Likely]:
    """Near-certain pairs to be confirmed together; none of them follows from the others."""
    with review_of(user=user, survey=survey) as review:
        questions = review.queue.certain(most, without)
        sides = {question: sides_of(review, question) for question in questions}
        sizes = {question: tuple(len(review.queue.members(pk)) for pk in sides[question]) for question in questions}
    shown = shown_boxes(user, (pk for pair in sides.values() for pk in pair))
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
    shown = shown_boxes(user, (pk for pk, _ in found[:most]))
    return [Alone(shown[pk], p) for pk, p in found[:most] if pk in shown], len(found)
