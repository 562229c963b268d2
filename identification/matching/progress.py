"""How much of the true matches a review has found, estimated from its own answers. Pure functions.

A *true match* is a pair of photos of one animal. Found are the pairs inside the groups. Missing are the pairs between
two groups that are one animal: by linearity of expectation their expected number is the sum over pairs of groups of
(probability that they are one) × (pairs between them), however dependent these are. It has two parts: questions that
are still open, and what no stored candidate connects. Probabilities are first corrected by the answers of this very
review: each answer tells whether the number that was shown held.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .graph import DisjointSets
from .pooling import from_log_odds, log_odds

# Fewer answers than this, or an interval wider than that, and nothing is said.
FEWEST_ANSWERS = 20
WIDEST = 0.3
# Questions to the goal are counted up to here: the walk over the queue costs time, and more says no more.
MOST_COUNTED = 2000
# Normal quantile of the two ends of the interval (80 %).
_QUANTILE = 1.2816
# Before any answer: the shown log-odds are off by a shift of 0 ± 1 and a slope of 1 ± 0.3.
_PRIOR_PRECISION = (1.0, 1.0 / 0.3**2)
_BIN = 0.25


@dataclass(frozen=True)
class Correction:
    """Of log-odds x to shift + slope·x, with the covariance (shift², shift·slope, slope²) of what is not known."""

    shift: float = 0.0
    slope: float = 1.0
    covariance: tuple[float, float, float] = (1.0 / _PRIOR_PRECISION[0], 0.0, 1.0 / _PRIOR_PRECISION[1])

    def of(self, value: float) -> float:
        """Corrected probability of these log-odds."""
        return from_log_odds(self.shift + self.slope * value)


class Weights:
    """Open questions summed up by their log-odds, while they come and go. Each counts the pairs that it settles."""

    def __init__(self) -> None:
        self._bins: dict[int, list[int]] = {}

    def add(self, log_odds: float, pairs: int, times: int = 1) -> None:
        """Count a question by its bounded log-odds; with times = −1, one that was counted with the same is gone."""
        held = self._bins.setdefault(round(log_odds / _BIN), [0, 0])
        held[0] += times * pairs
        held[1] += times * pairs * pairs

    def rows(self) -> Iterator[tuple[float, int, int]]:
        """(log-odds, sum of pairs, sum of squared pairs) of each bin, in the order of log-odds."""
        return ((place * _BIN, pairs, squares) for place, (pairs, squares) in sorted(self._bins.items()) if pairs)


class Answers:
    """What `correction` learns from, summed up by log-odds: how often what was shown as so probable was a match."""

    def __init__(self, answers: Iterable[tuple[float, bool]] = ()) -> None:
        self._bins: Counter[tuple[int, bool]] = Counter()
        for probability, matched in answers:
            self.add(probability, matched)

    def __len__(self) -> int:
        return self._bins.total()

    def add(self, probability: float, matched: bool, times: int = 1) -> None:
        """Count an answer; with times = −1, one that was counted with the same values is taken back."""
        self._bins[round(log_odds(probability) / _BIN), matched] += times

    def rows(self) -> list[tuple[float, bool, int]]:
        """(log-odds, whether it was a match, number) of each bin, in the order of log-odds."""
        return [(place * _BIN, matched, number) for (place, matched), number in sorted(self._bins.items()) if number]


@dataclass(frozen=True)
class Completeness:
    """The estimate for a review.

    found, open, beyond: pairs of photos that are matched, expected among the open questions, and expected where no
    candidate was stored. share: found of all; low, high: 80 % interval. questions: how many more are expected to reach
    the goal (counted up to MOST_COUNTED), 0 when it is reached, None when the stored candidates do not suffice or it is
    too early to say. early: whether it is.
    """

    found: int
    open: float
    beyond: float
    share: float
    low: float
    high: float
    goal: float
    questions: int | None
    answers: int
    early: bool

    @property
    def reached(self) -> bool:
        """Whether the review may stop: the estimate says that the goal is met, and it is not too early to say."""
        return not self.early and self.questions == 0


def correction(answers: Sequence[tuple[float, bool]] | Answers) -> Correction:
    """Fit by penalised maximum likelihood (Platt 1999, with a prior on the identity). answers: (shown, was a match)."""
    binned = (answers if isinstance(answers, Answers) else Answers(answers)).rows()
    shift, slope = 0.0, 1.0
    for _ in range(30):
        g0, g1 = _PRIOR_PRECISION[0] * shift, _PRIOR_PRECISION[1] * (slope - 1.0)
        h00, h01, h11 = _PRIOR_PRECISION[0], 0.0, _PRIOR_PRECISION[1]
        for x, matched, number in binned:
            p = from_log_odds(shift + slope * x)
            error, weight = number * (p - matched), number * p * (1.0 - p)
            g0, g1 = g0 + error, g1 + error * x
            h00, h01, h11 = h00 + weight, h01 + weight * x, h11 + weight * x * x
        determinant = h00 * h11 - h01 * h01
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        size = min(1.0, 1.0 / max(abs(step0), abs(step1), 1e-12))
        shift, slope = shift - size * step0, max(0.05, slope - size * step1)
        if max(abs(step0), abs(step1)) < 1e-6:
            break
    return Correction(shift, slope, (h11 / determinant, -h01 / determinant, h00 / determinant))


def beyond_depth(joined: Sequence[int], depth: int, most: int) -> tuple[float, float]:
    """Expected missing pairs that no stored candidate connects, and the variance of that.

    joined: how many pairs of photos candidates up to a quarter, half and the whole of the depth would have joined
    (:func:`joined_by_depth`, summed over the groups). depth: how long the lists are; most: how long they could be.
    What each further doubling finds is taken to shrink as it did before (a geometric series, up to all that could be
    listed).
    """
    if depth >= most or depth < 4:
        return 0.0, 0.0
    before, last = joined[1] - joined[0], joined[2] - joined[1]
    ratio = min(1.0, (last + 0.5) / (before + 0.5)) if last else 0.0
    doublings = math.log2(most / depth)
    whole = int(doublings)
    series = sum(ratio**k for k in range(1, whole + 1)) + (doublings - whole) * ratio ** (whole + 1)
    expected = last * series
    # A count of `last` is known to about its root; nothing seen still leaves half a pair per doubling open.
    return expected, (last + 1.0) * series**2 + 0.25 * doublings


def joined_by_depth(found: Iterable[tuple[int, int, int]], depth: int) -> tuple[int, int, int]:
    """Pairs of photos of a group that its stored pairs up to a quarter, half and the whole of the depth would join.

    found: (a, b, depth at which the pair stands in the better of its two lists, from 1) of pairs inside the group.
    """
    sets, size, pairs = DisjointSets(), Counter[int](), 0
    joined = []
    links = sorted(found, key=lambda item: item[2])
    at = 0
    for limit in (depth // 4, depth // 2, depth):
        while at < len(links) and links[at][2] <= limit:
            a, b = sets.find(links[at][0]), sets.find(links[at][1])
            if a != b:
                left, right = size[a] or 1, size[b] or 1
                pairs += left * right
                sets.join(a, b)
                size[sets.find(a)] = left + right
            at += 1
        joined.append(pairs)
    return joined[0], joined[1], joined[2]


def completeness(
    *,
    found: int,
    weights: Weights,
    questions: Iterable[tuple[float, int]],
    answers: Sequence[tuple[float, bool]] | Answers,
    beyond: tuple[float, float] = (0.0, 0.0),
    goal: float,
    certain: bool = False,
) -> Completeness:
    """The estimate.

    weights: of all open questions. questions: the same as (shown probability, pairs that it settles) in the order of
    asking, taken only as far as it needs. answers, beyond: see `correction` and `beyond_depth`. certain: whether
    near-certain questions are left; these come first, and until then it is too early.
    """
    known = correction(answers)
    expected, variance = _open(weights, known)
    missing = expected + beyond[0]
    share, low, high = _shares(found, missing, math.sqrt(variance + beyond[1]))
    # Where nothing is open, nothing is uncertain but what lies beyond the candidates.
    early = (certain or len(answers) < FEWEST_ANSWERS or high - low > WIDEST) and (expected > 0 or not found)
    allowed = (1.0 - goal) * (found + missing)
    left = None if early else _left(questions, known, expected, beyond[0], allowed)
    return Completeness(found, expected, beyond[0], share, low, high, goal, left, len(answers), early)


def _open(weights: Weights, known: Correction) -> tuple[float, float]:
    """Expected missing pairs of the open questions, and variance: of the outcomes, and of the correction itself."""
    expected = outcome = by_shift = by_slope = 0.0
    for value, pairs, squares in weights.rows():
        p = known.of(value)
        expected += pairs * p
        outcome += squares * p * (1.0 - p)
        by_shift += pairs * p * (1.0 - p)
        by_slope += pairs * p * (1.0 - p) * value
    c00, c01, c11 = known.covariance
    parameters = by_shift**2 * c00 + 2 * by_shift * by_slope * c01 + by_slope**2 * c11
    return expected, outcome + max(0.0, parameters)


def _shares(found: int, missing: float, spread: float) -> tuple[float, float, float]:
    """Share found and its interval; what is missing is taken as log-normal, for it cannot be negative."""
    if missing <= 0.0:
        return (1.0, found / (found + spread) if found else 1.0, 1.0)
    width = math.sqrt(math.log1p((spread / missing) ** 2))
    middle = math.log(missing) - width * width / 2
    most, least = math.exp(middle + _QUANTILE * width), math.exp(middle - _QUANTILE * width)
    return found / (found + missing), found / (found + most), found / (found + least)


def _left(
    questions: Iterable[tuple[float, int]], known: Correction, expected: float, beyond: float, allowed: float
) -> int | None:
    """How many questions in their order bring what is missing down to what the goal allows."""
    if beyond > allowed:
        return None
    asked = 0
    for probability, pairs in questions:
        if expected + beyond <= allowed + 1e-9 or asked == MOST_COUNTED:
            break
        expected -= known.of(log_odds(probability)) * pairs
        asked += 1
    return asked


def matched_pairs(sizes: Iterable[int]) -> int:
    """Pairs of photos inside groups of these sizes."""
    return sum(size * (size - 1) // 2 for size in sizes)
