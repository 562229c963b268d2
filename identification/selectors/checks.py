"""Questions that check instead of deciding: second opinions on decisions, and pairs whose truth is known.

They look like any other question, so a reviewer cannot tell. Which pair of slot and person is a check follows from the
installation's secret key: the same on every reload, and nobody can foresee it. Why so: docs/decisions/0033.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice

from django.db.models import Exists, FloatField, OuterRef
from django.db.models.functions import Coalesce, Now
from django.utils.crypto import constant_time_compare, salted_hmac

from ..matching.graph import ordered
from ..matching.pooling import Pair
from ..matching.queue import CERTAIN, Question, Stage
from ..models import Decision, Opinion, Survey, User, Verdict
from .check_pool import Pool, pool_of, seconds_wanted
from .known_pairs import KNOWN_AGAIN, known_pairs, known_probability
from .opinions import decidable_boxes, standing_opinions

# So many decisions are looked at for one that this reviewer can be asked about; at the end so often as many again.
_LOOKED_AT = 40
_LOOKS_AT_THE_END = 10
_KNOWN_OFFERED = 10
_LIKELY = Coalesce("probability_shown", "edge__probability", output_field=FloatField())
_DEFINITE = (Verdict.MATCH, Verdict.NO_MATCH)


@dataclass(frozen=True)
class Check:
    """A question whose answer is an opinion. decision: what is checked; truth, basis: of a known pair, else ''."""

    kind: str
    pair: tuple[int, int]
    probability: float
    decision: int | None = None
    truth: str = ""
    basis: str = ""

    @property
    def what(self) -> str:
        return f"{self.kind}:{self.decision or ''}:{self.truth}:{self.basis}"


def check_token(*, user: User, survey: Survey, pair: tuple[int, int], check: Check | None) -> str:
    """What the form of any question carries: 32 letters that tell the server alone whether it is a check, and which."""
    a, b = ordered(pair)
    what = check.what if check else "question"
    return salted_hmac("spotid.check", f"{user.pk}:{survey.pk}:{a}:{b}:{what}", algorithm="sha256").hexdigest()[:32]


def check_read(*, user: User, survey: Survey, pair: tuple[int, int], token: str) -> Check | None:
    """The check that a form's token stands for; None for an ordinary question, and for what this server never made.

    An ordinary decision on a pair that is decided already is refused by its version, so a token that is lost or forged
    turns no check into a decision.
    """
    a, b = ordered(pair)
    if not token or constant_time_compare(token, check_token(user=user, survey=survey, pair=(a, b), check=None)):
        return None
    decisions = Decision.objects.filter(edge__a=a, edge__b=b, undoes__isnull=True).order_by("-id")
    could = [Check(Opinion.Kind.SECOND, (a, b), 0.0, decision=pk) for pk in decisions.values_list("pk", flat=True)[:50]]
    could += [
        Check(Opinion.Kind.KNOWN, (a, b), 0.0, truth=truth, basis=basis)
        for truth in _DEFINITE
        for basis in Opinion.Basis.values
    ]
    for check in could:
        if constant_time_compare(token, check_token(user=user, survey=survey, pair=(a, b), check=check)):
            return check
    return None


def checks_asked(survey: Survey) -> bool:
    """Whether anything is checked in a survey at all."""
    return bool(survey.second_review_share or survey.known_pairs_share)


def checks_due(
    *,
    user: User,
    survey: Survey,
    start: int = 0,
    most: int = 1,
    without: Collection[tuple[int, int]] = (),
    rest: bool = False,
) -> dict[int, Check]:
    """The checks among the reviewer's next `most` questions, by place (from 0).

    start: how many answers are on their way or on the page before the first of them. without: pairs that are not asked:
    held by others, put off, on their way. rest: no other question is left, so all that waits for a second opinion is
    asked, and nothing else.
    """
    if not checks_asked(survey):
        return {}
    left_out = {ordered(pair) for pair in without}
    with pool_of(survey) as pool:
        due = _due(pool, user, survey, start, most, left_out, rest)
        ends = {end for check in due.values() for end in check.pair}
        if due and decidable_boxes(user).filter(pk__in=ends).count() < len(ends):
            # A box was put aside since these were found, or a survey is no longer hers.
            pool.forget_offers(user)
            due = _due(pool, user, survey, start, most, left_out, rest)
    return due


def _due(
    pool: Pool, user: User, survey: Survey, start: int, most: int, left_out: set[tuple[int, int]], rest: bool
) -> dict[int, Check]:
    if rest:
        waiting = _seconds(pool, user, survey, left_out, _LOOKS_AT_THE_END) if survey.second_review_share else []
        return dict(enumerate(waiting[:most]))
    said = pool.said(user) + start
    # All places choose among the same few decisions, which are looked for once.
    seconds = cache(partial(_seconds, pool, user, survey, frozenset(left_out)))
    due: dict[int, Check] = {}
    for place in range(most):
        check = _due_at(pool, user, survey, said + place, left_out | {one.pair for one in due.values()}, seconds)
        if check is not None:
            due[place] = check
    return due


def _due_at(
    pool: Pool,
    user: User,
    survey: Survey,
    slot: int,
    left_out: set[tuple[int, int]],
    seconds: Callable[[], list[Check]],
) -> Check | None:
    second, known = survey.second_review_share, survey.known_pairs_share
    if known and _chance(user, survey, "known", slot) < known:
        first = Verdict.MATCH if _chance(user, survey, "truth", slot) < 0.5 else Verdict.NO_MATCH
        start = _chance(user, survey, "start", slot)
        drawn = known_pairs(user=user, survey=survey, truth_first=first, start=start)
        free = (one for one in drawn if one.pair not in left_out)
        found = pool.offers(user, str(slot), left_out, lambda: list(islice(free, _KNOWN_OFFERED)))
        if found:
            pair = found[0]
            return Check(Opinion.Kind.KNOWN, pair.pair, pair.probability, truth=pair.truth, basis=pair.basis)
    # A share of s means s checks for each decision: s of 1 + s questions. Half as many again, so that none waits long.
    if second and _chance(user, survey, "second", slot) < min(0.5, 1.5 * second / (1 + second)):
        return next((check for check in seconds() if check.pair not in left_out), None)
    return None


def check_open(*, user: User, check: Check) -> bool:
    """Whether a check still wants this reviewer's answer: its decision stands, and she has said nothing of the pair,
    of a known one not lately."""
    said = standing_opinions().filter(user=user, a=check.pair[0], b=check.pair[1])
    if check.decision is None:
        said = said.filter(created_at__gt=Now() - KNOWN_AGAIN)
    return check_stands(check) and not said.exists()


def check_shown(*, user: User, survey: Survey, pair: tuple[int, int], token: str) -> Check | None:
    """The check that an address with this token leads to, with its probability; None where it is no open one."""
    check = check_read(user=user, survey=survey, pair=pair, token=token)
    if check is None or not check_open(user=user, check=check):
        return None
    likely = known_probability(check.pair) if check.decision is None else _likely_of(check.decision)
    return replace(check, probability=0.5 if likely is None else likely)


def _likely_of(decision: int) -> float | None:
    rows = Decision.objects.filter(pk=decision).annotate(likely=_LIKELY)
    return rows.values_list("likely", flat=True).first()


def check_again(*, user: User, survey: Survey, pair: tuple[int, int]) -> Check | None:
    """The check that this reviewer took back on a pair and has not answered since, to be shown again."""
    a, b = ordered(pair)
    rows = Opinion.objects.filter(user=user, survey=survey, a=a, b=b).exclude(kind=Opinion.Kind.SEEN)
    last = rows.select_related("withdraws").order_by("-pk").first()
    if last is None or last.withdraws is None:
        return None
    shown = last.withdraws.probability_shown
    check = Check(last.kind, (a, b), 0.5 if shown is None else shown, last.decision_id, last.truth, last.basis)
    return check if check_stands(check) else None


def check_stands(check: Check) -> bool:
    """Whether there is still something to check: the decision was not taken back meanwhile."""
    return check.decision is None or not Decision.objects.filter(undoes=check.decision).exists()


def check_question(check: Check) -> Question:
    """A check as a question between two single photos, as any other would be."""
    return Question(
        pair=Pair(*check.pair, check.probability),
        left=check.pair[0],
        right=check.pair[1],
        probability=check.probability,
        stage=Stage.CERTAIN if check.probability >= CERTAIN else Stage.GROUPS,
        settles=1,
        compared=1,
        unsure=0,
    )


def _chance(user: User, survey: Survey, what: str, slot: int) -> float:
    """A number from 0 to 1 that looks drawn, and is the same whenever it is asked for."""
    drawn = salted_hmac("spotid.slot", f"{what}:{user.pk}:{survey.pk}:{slot}", algorithm="sha256").hexdigest()[:13]
    return float(int(drawn, 16)) / float(16**13)


def _seconds(
    pool: Pool, user: User, survey: Survey, left_out: Collection[tuple[int, int]], looks: int = 1
) -> list[Check]:
    """Decisions of others that this reviewer can judge without having seen them, some of the oldest."""
    return pool.offers(user, "second", left_out, lambda: _seconds_found(pool, user, survey, left_out, looks))


def _seconds_found(
    pool: Pool, user: User, survey: Survey, left_out: Collection[tuple[int, int]], looks: int
) -> list[Check] | None:
    """looks: so often are further ones looked at where none of the first could be asked. None: there may be more."""
    own = Decision.objects.filter(edge=OuterRef("edge"), acting_user=user)
    told = standing_opinions().filter(user=user, a=OuterRef("edge__a"), b=OuterRef("edge__b"))
    rows = (
        seconds_wanted(survey=survey)
        .exclude(acting_user=user)
        .exclude(Exists(own))
        .exclude(Exists(told))
        .filter(edge__a__in=decidable_boxes(user), edge__b__in=decidable_boxes(user))
        .annotate(likely=_LIKELY)
        .filter(likely__isnull=False)
    )
    for _ in range(looks):
        edges = pool.waiting(user, survey, without=left_out, most=_LOOKED_AT)
        some = rows.filter(edge__in=edges) if edges else rows.none()
        found = list(some.values_list("pk", "edge_id", "edge__a_id", "edge__b_id", "likely"))
        pool.pass_over(user, "second", set(edges) - {row[1] for row in found})
        if found or (len(edges) < _LOOKED_AT and not left_out):
            return [Check(Opinion.Kind.SECOND, (a, b), likely, decision=pk) for pk, _, a, b, likely in found]
        if len(edges) < _LOOKED_AT:
            break
    return None
