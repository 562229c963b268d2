"""The estimate of what a review has found, against simulated surveys of which the truth is known."""

from __future__ import annotations

import math
import random

import pytest

from identification.matching.pooling import Pair, from_log_odds, log_odds
from identification.matching.progress import (
    FEWEST_ANSWERS,
    Completeness,
    Weights,
    beyond_depth,
    completeness,
    correction,
    joined_by_depth,
    matched_pairs,
)
from identification.matching.queue import Queue


def estimate(
    found: int,
    questions: list[tuple[float, int]],
    answers: list[tuple[float, bool]],
    goal: float = 0.99,
    **more: object,
) -> Completeness:
    weights = Weights()
    for probability, pairs in questions:
        weights.add(log_odds(probability), pairs)
    return completeness(found=found, weights=weights, questions=questions, answers=answers, goal=goal, **more)  # type: ignore[arg-type]


HELD = [(0.9, True)] * 18 + [(0.9, False)] * 2 + [(0.1, True)] * 2 + [(0.1, False)] * 18


def test_of_nothing_nothing_is_said() -> None:
    empty = estimate(0, [], [])
    assert (empty.share, empty.questions, empty.early, empty.reached) == (1.0, None, True, False)


def test_without_enough_answers_it_is_too_early() -> None:
    few = HELD[: FEWEST_ANSWERS - 1]
    assert estimate(100, [(0.01, 1)], few).early
    assert not estimate(100, [(0.01, 1)], HELD).early
    assert estimate(100, [(0.01, 1)], HELD, certain=True).early, "near-certain pairs come first"
    assert estimate(100, [(0.5, 100)] * 2, HELD).early, "an interval that says nothing"


def test_when_everything_is_answered_few_answers_suffice() -> None:
    settled = estimate(9, [], [(0.9, True)] * 6)
    assert (settled.share, settled.early, settled.reached) == (1.0, False, True)


def test_the_share_is_what_is_found_of_found_and_expected() -> None:
    said = estimate(90, [(0.1, 10)] * 10, HELD, goal=0.95)
    assert said.open == pytest.approx(10, rel=0.15)
    assert said.share == pytest.approx(90 / (90 + said.open))
    assert said.low < said.share < said.high
    assert said.questions is not None and 4 <= said.questions <= 7, "half of the ten bring ten down to five"
    assert not said.reached
    assert estimate(90, [(0.1, 1)], HELD, goal=0.95).reached


def test_what_no_candidate_connects_cannot_be_asked() -> None:
    said = estimate(90, [(0.5, 1)] * 4, HELD, beyond=(10.0, 9.0))
    assert said.beyond == 10 and said.questions is None and not said.reached
    assert estimate(90, [(0.5, 1)] * 4, HELD, beyond=(10.0, 9.0), goal=0.8).reached


def test_weights_forget_what_is_gone() -> None:
    weights = Weights()
    weights.add(log_odds(0.3), 4)
    weights.add(log_odds(0.7), 2)
    weights.add(log_odds(0.3), 4, -1)
    ((value, pairs, squares),) = weights.rows()
    assert (pairs, squares) == (2, 4) and value == pytest.approx(log_odds(0.7), abs=0.13)


def test_answers_correct_probabilities_that_were_too_high() -> None:
    fitted = correction([(0.9, True)] * 50 + [(0.9, False)] * 50 + [(0.2, True)] * 2 + [(0.2, False)] * 98)
    assert fitted.of(log_odds(0.9)) == pytest.approx(0.5, abs=0.08)
    assert fitted.of(log_odds(0.2)) < 0.06
    assert correction([]).of(log_odds(0.37)) == pytest.approx(0.37)


def test_the_correction_is_the_penalised_maximum_of_the_likelihood() -> None:
    """Oracle: a fine grid over shift and slope."""
    answers = [(0.95, True)] * 9 + [(0.95, False)] * 6 + [(0.3, True)] * 5 + [(0.3, False)] * 20

    def loss(shift: float, slope: float) -> float:
        total = shift**2 / 2 + (slope - 1) ** 2 / (2 * 0.3**2)
        for p, matched in answers:
            q = from_log_odds(shift + slope * round(log_odds(p) * 4) / 4)
            total -= math.log(q if matched else 1 - q)
        return total

    fitted = correction(answers)
    grid = min((loss(a / 50, b / 50), a / 50, b / 50) for a in range(-100, 51) for b in range(10, 100))
    assert loss(fitted.shift, fitted.slope) <= grid[0] + 1e-6
    assert (fitted.shift, fitted.slope) == pytest.approx(grid[1:], abs=0.03)


def test_pairs_inside_groups() -> None:
    assert matched_pairs([]) == 0 and matched_pairs([1, 2, 4]) == 7


def test_lists_that_hold_everybody_leave_nothing_beyond() -> None:
    assert beyond_depth(joined_by_depth([(1, 2, 3)], 30), depth=30, most=30) == (0.0, 0.0)
    assert beyond_depth(joined_by_depth([], 0), depth=0, most=100) == (0.0, 0.0)


def test_beyond_the_lists_goes_on_as_it_shrank_within() -> None:
    """8 pairs joined by depth 4, 4 more by 8, 2 more by 16: the next doublings find about 1, 1/2, …"""
    found = [(10 * i, 10 * i + 1, depth) for i, depth in enumerate([1] * 8 + [6] * 4 + [12] * 2)]
    expected, variance = beyond_depth(joined_by_depth(found, 16), depth=16, most=64)
    ratio = 2.5 / 4.5
    assert expected == pytest.approx(2 * (ratio + ratio**2))
    assert variance > 0
    none, _ = beyond_depth(joined_by_depth(found[:8], 16), depth=16, most=64)
    assert none == 0.0
    chained = [(1, 2, 1), (2, 3, 2), (1, 3, 15)]
    assert beyond_depth(joined_by_depth(chained, 16), 16, 64)[0] == 0.0, (
        "a late candidate that joins nothing new says nothing"
    )


# ---- simulated surveys ----
class Simulated:
    """Animals with 1 to 10 photos; log-odds of pairs are normal around ±; those shown are shift + slope × the true."""

    def __init__(
        self, seed: int, shift: float = 0.0, slope: float = 1.0, animals: int = 14, apart: float = 4.0
    ) -> None:
        rng = random.Random(seed)
        sizes = [min(10, 1 + int(rng.expovariate(0.35))) for _ in range(animals)]
        self.truth = [animal for animal, size in enumerate(sizes) for _ in range(size)]
        count = len(self.truth)
        same = sum(size * (size - 1) // 2 for size in sizes)
        prior = math.log(same / (count * (count - 1) / 2 - same))
        # Scores N(±apart/2, 1): the posterior log-odds are prior + apart·score, exactly.
        self.pairs = []
        for a in range(count):
            for b in range(a + 1, count):
                score = rng.gauss(apart / 2 if self.truth[a] == self.truth[b] else -apart / 2, 1.0)
                self.pairs.append(Pair(a, b, from_log_odds(shift + slope * (prior + apart * score))))
        self.total = same

    def review(self, goal: float = 0.99) -> list[tuple[Completeness, float]]:
        """An always-right reviewer until the rule says stop: estimate and true share before each answer."""
        queue = Queue({detection: detection for detection in range(len(self.truth))}, self.pairs)
        answers: list[tuple[float, bool]] = []
        course = []
        while True:
            found = matched_pairs(len(group) for group in queue.groups())
            said = completeness(
                found=found,
                weights=queue.weights,
                questions=((link.probability, link.settles) for link in queue.in_order()),
                answers=answers,
                goal=goal,
                certain=bool(queue.certain(1)),
            )
            course.append((said, found / self.total))
            question = next(queue.questions(), None)
            if said.reached or question is None:
                return course
            same = self.truth[question.pair.a] == self.truth[question.pair.b]
            answers.append((question.probability, same))
            queue.decide(question.pair.a, question.pair.b, "match" if same else "no_match")


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 1.0), (1.0, 1.0), (-1.0, 1.0), (0.0, 0.7), (0.0, 1.4)], ids=str)
def test_when_the_rule_says_99_percent_that_is_about_true(shift: float, slope: float) -> None:
    """Calibrated, too high, too low, too timid and too bold probabilities, three surveys each."""
    ends = [Simulated(seed, shift, slope).review()[-1] for seed in range(3)]
    assert all(said.reached for said, _ in ends)
    assert min(true for _, true in ends) >= 0.955
    assert sum(true for _, true in ends) / len(ends) >= 0.975


def test_the_estimate_follows_the_truth_and_its_interval_mostly_holds_it() -> None:
    course = [step for seed in range(3) for step in Simulated(seed, apart=2.0).review() if not step[0].early]
    assert len(course) > 60
    held = sum(said.low - 0.01 <= true <= said.high + 0.01 for said, true in course) / len(course)
    assert held >= 0.75
    off = [said.share - true for said, true in course]
    assert sum(off) / len(off) == pytest.approx(0, abs=0.05)


def test_the_number_of_questions_left_is_about_right() -> None:
    course = Simulated(5, apart=2.0).review()
    spoken = [(len(course) - 1 - at, said.questions) for at, (said, _) in enumerate(course) if not said.early]
    middle = spoken[len(spoken) // 2 :]
    assert all(said is not None for _, said in middle)
    off = [abs(said - left) for left, said in middle if said is not None]
    assert sum(off) / len(off) <= 0.25 * len(course)
