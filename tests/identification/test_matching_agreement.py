"""Agreement of reviewers, against other implementations, tables done by hand, and a delta method of its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from identification.matching.agreement import (
    KAPPA_PAIRS_LEAST,
    Faults,
    Judged,
    Z,
    agreement_of,
    faults_of,
    rate_of,
)

WORDS = ["match", "no_match", "unsure", "incomparable"]


def answers(table: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    return [pair for pair, count in table.items() for _ in range(count)]


def test_without_a_pair_there_is_no_figure() -> None:
    nothing = agreement_of([])
    assert (nothing.pairs, nothing.same, nothing.share, nothing.kappa, nothing.low) == (0, 0, None, None, None)
    assert rate_of(0, 0).share is None and rate_of(0, 0).high is None
    assert faults_of([]) == Faults(rate_of(0, 0), rate_of(0, 0), 0)


def test_a_table_done_by_hand() -> None:
    """20 twice match, 15 twice not, 5 and 10 apart: 0.7 observed, 0.5 * 0.6 + 0.5 * 0.4 = 0.5 by chance."""
    said = {("match", "match"): 20, ("match", "no_match"): 5, ("no_match", "match"): 10, ("no_match", "no_match"): 15}
    found = agreement_of(answers(said))
    assert (found.pairs, found.same, found.share) == (50, 35, pytest.approx(0.7))
    assert found.kappa == pytest.approx(0.4)
    assert found.low == pytest.approx(0.4 - Z * _numeric_error(np.array([[20, 5], [10, 15]])), abs=1e-6)


def test_the_table_of_the_textbook() -> None:
    """Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, table 18.1: kappa is 0.68."""
    rows = [[75, 1, 4], [5, 4, 1], [0, 0, 10]]
    said = {(WORDS[i], WORDS[j]): rows[i][j] for i in range(3) for j in range(3)}
    found = agreement_of(answers(said))
    assert round(found.kappa, 2) == 0.68
    assert (found.high - found.low) / 2 == pytest.approx(Z * _numeric_error(np.array(rows)), rel=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_kappa_is_that_of_scikit_learn_and_its_error_that_of_the_delta_method(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = WORDS[: rng.integers(2, 5)]
    one = rng.choice(names, 200, p=rng.dirichlet(np.ones(len(names))))
    other = np.where(rng.random(200) < 0.6, one, rng.choice(names, 200))
    found = agreement_of(zip(one, other, strict=True))
    assert found.kappa == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    assert found.share == pytest.approx(np.mean(one == other))
    table = np.array([[np.sum((one == i) & (other == j)) for j in names] for i in names])
    error = _numeric_error(table)
    if found.low > -1 and found.high < 1:
        assert (found.high - found.low) / 2 == pytest.approx(Z * error, rel=1e-4)
    turned = agreement_of(zip(other, one, strict=True))
    assert (turned.kappa, turned.low, turned.high) == pytest.approx((found.kappa, found.low, found.high))


def _numeric_error(table: np.ndarray) -> float:
    """Standard error of kappa by numeric derivatives over the multinomial shares; knows no formula of the module."""

    def kappa(shares: np.ndarray) -> float:
        shares = shares / shares.sum()
        chance = float(shares.sum(1) @ shares.sum(0))
        return (float(np.trace(shares)) - chance) / (1 - chance)

    n = table.sum()
    shares = table / n
    step = 1e-6
    slope = np.zeros_like(shares)
    for place in np.ndindex(*shares.shape):
        moved = np.zeros_like(shares)
        moved[place] = step
        slope[place] = (kappa(shares + moved) - kappa(shares - moved)) / (2 * step)
    flat, gradient = shares.ravel(), slope.ravel()
    covariance = (np.diag(flat) - np.outer(flat, flat)) / n
    return float(np.sqrt(gradient @ covariance @ gradient))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    shares = np.array([[0.4, 0.08], [0.12, 0.4]])
    chance = float(shares.sum(1) @ shares.sum(0))
    truth = (np.trace(shares) - chance) / (1 - chance)
    cells = [("match", "match"), ("match", "no_match"), ("no_match", "match"), ("no_match", "no_match")]
    inside = 0
    for _ in range(2000):
        found = agreement_of(answers(dict(zip(cells, rng.multinomial(120, shares.ravel()), strict=True))))
        inside += found.low <= truth <= found.high
    assert 0.92 < inside / 2000 < 0.97


def test_one_answer_to_everything_is_no_agreement_beyond_chance() -> None:
    found = agreement_of([("match", "match")] * 50)
    assert (found.share, found.kappa, found.low) == (1.0, None, None)


def test_reviewers_who_always_differ_are_below_zero() -> None:
    found = agreement_of([("match", "no_match"), ("no_match", "match")] * 20)
    assert found.kappa == pytest.approx(-1)
    assert (found.share, found.low) == (0.0, -1.0)


def test_few_pairs_have_no_interval() -> None:
    said = [("match", "match"), ("no_match", "no_match"), ("match", "no_match")] * 20
    few, enough = agreement_of(said[: KAPPA_PAIRS_LEAST - 1]), agreement_of(said[:KAPPA_PAIRS_LEAST])
    assert few.few and few.kappa is not None and few.low is None
    assert not enough.few and enough.low is not None


@pytest.mark.parametrize(("wrong", "n"), [(0, 1), (1, 1), (0, 40), (3, 40), (40, 40), (7, 9), (50, 1000)])
def test_the_interval_of_a_rate_is_that_of_scipy(wrong: int, n: int) -> None:
    oracle = binomtest(wrong, n).proportion_ci(confidence_level=0.95, method="wilson")
    found = rate_of(wrong, n)
    assert (found.share, found.low, found.high) == pytest.approx((wrong / n, oracle.low, oracle.high), abs=1e-12)


@pytest.mark.parametrize(("wrong", "n"), [(2, 1), (-1, 3), (1, 0)])
def test_what_is_no_share_is_refused(wrong: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        rate_of(wrong, n)


def test_splitting_and_lumping_are_counted_apart_and_doubt_is_no_fault() -> None:
    judged = [
        *[Judged("match", "match")] * 6,
        *[Judged("no_match", "match")] * 2,
        *[Judged("no_match", "no_match")] * 9,
        Judged("match", "no_match"),
        Judged("unsure", "match"),
        Judged("incomparable", "no_match"),
    ]
    found = faults_of(judged)
    assert (found.splitting.wrong, found.splitting.n) == (2, 8)
    assert (found.lumping.wrong, found.lumping.n) == (1, 10)
    assert found.undecided == 2
