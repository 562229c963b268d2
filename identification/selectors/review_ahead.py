"""The questions that come after the one on the page, so that a browser can have them ready."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice

from django.utils.crypto import salted_hmac

from ..matching.progress import Completeness
from ..matching.queue import Question
from ..models import Survey, User, Verdict
from .checks import Check, checks_asked, checks_due
from .review import edge_versions
from .review_leases import leased_elsewhere
from .review_picks import held_now, picks_note
from .review_questions import (
    AT_A_GLANCE,
    Asked,
    Groups,
    Only,
    Pairs,
    Pick,
    asked_of,
    picked,
    picked_check,
    put_off_pairs,
    questions_wanted,
)
from .review_queue import Review, review_differs, review_of

# The next ones, and as many decisions as can be made while the connection is away.
AHEAD = 9
# How far down the queue is looked for questions that no answer to the others can settle.
_LOOKED_AT = 60


@dataclass(frozen=True)
class Waiting:
    """A decision that the browser has not sent yet."""

    pair: tuple[int, int]
    verdict: str


@dataclass(frozen=True)
class Upcoming:
    """A question of the browser's list. token: changes with everything that its page says of the two groups.

    groups: names of the two groups, which compare within one answer only.
    """

    token: str
    pick: Pick
    groups: tuple[int, int]


@dataclass(frozen=True)
class Ahead:
    """What a browser should have ready.

    shown: whether the question that it shows still stands, None without one; groups: the two that it is about. first:
    whether the question that was to come first does. certain, again, open, elsewhere: as of `QueueState`.
    """

    questions: list[Upcoming]
    shown: bool | None
    groups: tuple[int, int] | None
    first: bool
    progress: Completeness
    certain: int
    again: int
    open: int
    elsewhere: int
    review: Review = field(repr=False, compare=False)
    versions: dict[tuple[int, int], int] = field(default_factory=dict, repr=False, compare=False)

    def with_new(self, have: Collection[str], most: int) -> Ahead:
        """The same, with so many questions at most that the browser has not got yet: each takes time to be made."""
        new = [one for one in self.questions if one.token not in have][most:]
        return replace(self, questions=[one for one in self.questions if one not in new])

    def fresh(self, user: User, have: Collection[str]) -> list[tuple[Upcoming, Asked]]:
        """Those that the browser has not got yet, with everything that their pages show.

        A question of which a box has changed meanwhile is left out; what is asked for next has it right.
        """
        wanted = [one for one in self.questions if one.token not in have]
        pages = {page.question: page for page in asked_of(user, [one.pick for one in wanted], self.versions)}
        found = [(one, pages[one.pick.question]) for one in wanted if one.pick.question in pages]
        return [(one, page) for one, page in found if not review_differs(self.review, page.photos)]


def questions_ahead(
    *,
    user: User,
    survey: Survey,
    shown: tuple[int, int] | None = None,
    waiting: Collection[Waiting] = (),
    first: tuple[int, int] | None = None,
    only: Only | None = None,
    without: Pairs = (),
    most: int = AHEAD,
    checking: Check | None = None,
    again: Check | None = None,
) -> Ahead:
    """The next questions for somebody who looks at `shown` and has not sent `waiting` yet.

    Questions that share no group come first, in the order of the queue: whatever is answered on one, the others stay as
    they are. Where there are too few, others fill the list. None touches a group that a waiting match changes. first: a
    pair whose question comes before all others, because a decision on it was taken back. only, without: as of
    `queue_state`. checking: what `shown` is where it is a check, again: what `first` is where it was one.
    """
    put_off = put_off_pairs(user=user, survey=survey)
    held = {*without, *(leased_elsewhere(user=user, survey=survey) if checks_asked(survey) else ())}
    left_out = {*held, *put_off, *(one.pair for one in waiting), *filter(None, (shown, first))}
    start = len(waiting) + (shown is not None)
    checks = {} if only else checks_due(user=user, survey=survey, start=start, most=most, without=left_out)
    with review_of(user=user, survey=survey) as review:
        queue = review.queue
        groups = Groups(queue, put_off=put_off, held={*held, *held_now(user, survey)})
        said = groups.named([one.pair for one in waiting])
        changing = {queue.group(pk) for one in waiting if one.verdict == Verdict.MATCH for pk in one.pair}
        current = queue.question(*shown) if shown else None
        wanted = queue.question(*first) if first else None
        if wanted is not None and groups.of(wanted) in groups.held:
            wanted = None
        leave = said | ({groups.of(current)} if current else set())
        leave |= {groups.of(wanted)} if wanted else set()
        # What is asked as a check (two animals of an archive) is no ordinary question meanwhile.
        checked = [check.pair for check in (*checks.values(), *([again] if again else []))]
        leave |= groups.named(checked)
        free = (
            question
            for question in questions_wanted(queue, only, leave | groups.put_off | groups.held)
            if changing.isdisjoint((question.left, question.right))
        )
        busy = {one for question in (current, wanted) if question for one in (question.left, question.right)}
        chosen = ([wanted] if wanted else []) + _apart(free, busy, most)
        if not chosen and not only and not any(queue.question(*pair) for pair in checked):
            checks = checks_due(user=user, survey=survey, most=most, without=left_out, rest=True)
        picks = [picked_check(review, again)] if again else []
        picks += _mixed(review, chosen, checks)
        picks = picks[:most]
        picks_note(user, [(pick.question.pair.a, pick.question.pair.b) for pick in picks if not pick.check])
        progress = review.completeness(survey.completeness_goal)
        opened, certain = queue.open, queue.number_certain(AT_A_GLANCE, put_off)
        doubtful = len(review.doubtful())
        elsewhere = groups.open(groups.held)
    versions = edge_versions((pick.question.pair.a, pick.question.pair.b) for pick in picks)
    return Ahead(
        questions=[_upcoming(pick, versions) for pick in picks],
        shown=None if shown is None else current is not None or checking is not None,
        groups=(current.left, current.right) if current else checking.pair if checking else None,
        first=wanted is not None or again is not None,
        progress=progress,
        certain=certain,
        again=doubtful,
        open=opened,
        elsewhere=elsewhere,
        review=review,
        versions=versions,
    )


def _mixed(review: Review, questions: list[Question], checks: dict[int, Check]) -> list[Pick]:
    """The questions with the checks in their places."""
    picks = [picked(review, question) for question in questions]
    for place, check in sorted(checks.items()):
        picks.insert(place, picked_check(review, check))
    return picks


def _apart(questions: Iterator[Question], busy: set[int], most: int) -> list[Question]:
    """Questions that share no group with each other nor with `busy`; then the others, where these are too few."""
    apart: list[Question] = []
    touching: list[Question] = []
    for question in islice(questions, _LOOKED_AT):
        if len(apart) == most:
            break
        if busy.isdisjoint((question.left, question.right)):
            apart.append(question)
            busy |= {question.left, question.right}
        else:
            touching.append(question)
    return apart + touching[: most - len(apart)]


def _upcoming(pick: Pick, versions: dict[tuple[int, int], int]) -> Upcoming:
    question = pick.question
    version = 0 if pick.check else versions.get((question.pair.a, question.pair.b), 0)
    what = (pick.pair, version, *(sorted(side) for side in pick.others), round(question.probability, 6))
    check = salted_hmac("spotid.ahead", pick.check.what).hexdigest() if pick.check else ""
    token = sha256(repr((what, question.unsure, question.compared, check)).encode()).hexdigest()[:16]
    return Upcoming(token, pick, (question.left, question.right))
