"""Each metric against a slow recomputation that shares no code with it."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest

from modelzoo.metrics import RankingReport, dtkap, tkrmd

NAN = float("nan")


def oracle_dtkap(query: str, others: list[str], k: int) -> Fraction:
    relevant = others.count(query)
    depth = min(relevant, k)
    total = Fraction(0)
    for j in range(1, depth + 1):
        total += Fraction(others[:j].count(query), j)
    return total / depth


def oracle_tkrmd(query: str, others: list[str], k: int) -> int:
    return 1 if query in others[:k] else 0


def orders_of_ties(scores: list[float]) -> list[list[int]]:
    """Every order of the positions that agrees with the scores; equal scores in all their orders."""
    groups = [[i for i, s in enumerate(scores) if s == value] for value in sorted(set(scores), reverse=True)]
    return [list(itertools.chain(*parts)) for parts in itertools.product(*map(itertools.permutations, groups))]


def test_nothing_to_rank_gives_nan():
    assert math.isnan(dtkap([]))
    assert all(math.isnan(v) for v in tkrmd([], 3))
    report = RankingReport.from_scores(np.zeros((0, 0)), [])
    assert (report.photos, report.identities, report.queries) == (0, 0, 0)
    assert report.to_dict()["t1"] is None
    assert report.to_dict()["tkrmd"] == [None] * 10


def test_worked_example_of_the_paper():
    # Six photos of "a" so that k = 5, one of them at rank 4 and the others beyond rank 5.
    ranked = [("a", ["b", "c", "d", "a", "e", "f", "a", "a", "a", "a"])]
    assert dtkap(ranked, k=5) == pytest.approx(0.09)
    assert tkrmd(ranked, 5) == [0, 0, 0, 1, 1]


def test_depth_is_the_number_of_other_photos_when_that_is_less_than_k():
    assert dtkap([("a", ["a", "b", "c"])], k=5) == 1.0
    assert dtkap([("a", ["b", "a", "c"])], k=5) == 0.0
    assert dtkap([("a", ["a", "b", "a"])], k=5) == pytest.approx((1 + 1 / 2) / 2)


def test_queries_seen_once_are_left_out():
    ranked = [("a", ["b", "c"]), ("b", ["b", "a"])]
    assert tkrmd(ranked, 1) == [1.0]
    assert dtkap(ranked) == 1.0


def test_random_rankings_agree_with_the_oracle():
    draw = random.Random(3)
    ranked = []
    for _ in range(40):
        others = [draw.choice("abcd") for _ in range(12)]
        ranked.append(("a", others if "a" in others else [*others, "a"]))
    expected = [oracle_dtkap(q, o, 5) for q, o in ranked]
    assert dtkap(ranked, 5) == pytest.approx(float(sum(expected) / len(expected)))
    curve = tkrmd(ranked, 10)
    for k in range(1, 11):
        assert curve[k - 1] == pytest.approx(sum(oracle_tkrmd(q, o, k) for q, o in ranked) / len(ranked))


def test_report_from_scores_agrees_with_the_oracle_and_averages_over_the_orders_of_ties():
    draw = random.Random(5)
    labels = ["a", "b", "a", "c", "b", "a", "b"]
    n = len(labels)
    for _ in range(6):
        scores = [[float(draw.randint(0, 2)) for _ in range(n)] for _ in range(n)]
        hits = {1: [], 3: []}
        precise = []
        for q in range(n):
            if labels.count(labels[q]) < 2:
                continue
            others = [i for i in range(n) if i != q]
            orders = [[labels[others[i]] for i in order] for order in orders_of_ties([scores[q][i] for i in others])]
            for k, values in hits.items():
                values.append(sum(oracle_tkrmd(labels[q], o, k) for o in orders) / len(orders))
            precise.append(float(sum(oracle_dtkap(labels[q], o, 5) for o in orders)) / len(orders))
        report = RankingReport.from_scores(scores, labels)
        assert report.t1 == pytest.approx(sum(hits[1]) / len(hits[1]))
        assert report.tkrmd[2] == pytest.approx(sum(hits[3]) / len(hits[3]))
        assert report.dt5ap == pytest.approx(sum(precise) / len(precise))
        assert (report.photos, report.identities, report.queries) == (7, 3, 6)


def test_a_constant_score_is_worth_chance_whatever_the_order_of_the_photos():
    for labels in ("aabb", "abab", "bbaa"):
        report = RankingReport.from_scores(np.zeros((4, 4)), list(labels))
        assert report.t1 == pytest.approx(1 / 3)
        assert report.dt5ap == pytest.approx(1 / 3)


def test_the_diagonal_is_ignored():
    scores = np.array([[99.0, 1, 0], [1, 99, 0], [0, 0, 99]])
    assert RankingReport.from_scores(scores, ["a", "a", "b"]).t1 == 1.0


def test_a_query_without_detection_is_a_miss_and_not_comparable_is_ranked_last():
    scores = np.array([[NAN, NAN, NAN], [NAN, NAN, 0.1], [NAN, 0.1, NAN]])
    report = RankingReport.from_scores(scores, ["a", "a", "b"])
    assert report.queries == 2
    assert report.tkrmd == (0.0,) * 10
    assert report.dt5ap == 0.0


def test_minus_infinity_is_a_score_but_nan_is_never_a_hit():
    scores = np.array([[0, -np.inf, 1.0], [1.0, 0, NAN], [NAN, NAN, 0]])
    report = RankingReport.from_scores(scores, ["a", "a", "b"])
    assert report.tkrmd[:2] == (0.5, 1.0)


def test_scores_of_another_size_are_refused():
    with pytest.raises(ValueError, match="do not belong to 3 labels"):
        RankingReport.from_scores(np.zeros((2, 2)), ["a", "b", "c"])
