"""Probabilities from a pair's standing: monotone, the same as independent maths, honest where the truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from modelzoo.calibration import Calibration, Evidence, spotid_confidence, spread_of
from modelzoo.reliability import ReliabilityPair, cross_validated, reliability
from modelzoo.standing import FEATURES, PairModel, Standing, adaptation, fit_pair_model, prior_shift, standings

DEFAULT = PairModel.default()
ALL = PairModel(
    -1.0,
    {"score": 0.7, "margin": 0.3, "level": -0.5, "catalogue": -0.2, "spread": 1.0, "residual": -0.4, "keypoints": 0.1},
    -2.0, 0.2, "s", "v",
)  # fmt: skip


def pair(score: float = 0.0, **changes) -> Standing:
    values = {"rival": None, "level": None, "compared": 20, **changes}
    return Standing(Evidence(5, 9, 300, 400, weight=2.0, spread=0.3, residual=0.4), score, **values)


def test_without_candidates_nothing_is_said() -> None:
    assert standings([], []) == []
    assert adaptation(DEFAULT, []) == 0.0 and prior_shift([], 0.3) == 0.0
    assert math.isnan(reliability([], []).ece)


def test_the_rival_is_the_best_candidate_of_another_group_and_never_one_of_the_query_s_own() -> None:
    evidence = [Evidence(5, 9, 100, 100)] * 4
    scores = [3.0, 1.0, 2.0, -1.0]
    assert [s.rival for s in standings(evidence, scores)] == [2.0, 3.0, 3.0, 3.0]
    assert [s.rival for s in standings(evidence, scores, ["a", "a", "b", "c"])] == [2.0, 2.0, 3.0, 3.0]
    assert [s.rival for s in standings(evidence, scores, ["a", "a", "b", "c"], "a")] == [2.0, 2.0, -1.0, 2.0]
    assert standings(evidence[:1], [1.0])[0].rival is None
    twelve = standings(evidence * 3, [float(v) for v in range(12)])
    assert {s.level for s in twelve} == {5.5} and {s.compared for s in twelve} == {12}


@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(0, 3), st.sampled_from([DEFAULT, ALL]), st.floats(-5, 5))
def test_more_for_a_pair_never_lowers_its_probability(score, rival, more, model, level) -> None:
    low, high = (pair(score + extra, rival=rival, level=level) for extra in (0.0, more))
    assert model.probability(high) >= model.probability(low)
    calibration = Calibration.default()
    by_weight = [calibration.score(Evidence(5, 9, 300, 400, weight=w)) for w in (2.0, 2.0 + more)]
    assert model.probability(pair(by_weight[1])) >= model.probability(pair(by_weight[0]))
    assert 0 < model.probability(low) < 1


def test_a_larger_catalogue_or_a_stronger_rival_never_raises_it() -> None:
    said = [ALL.probability(pair(2.0, compared=n, rival=1.0)) for n in (5, 50, 500)]
    assert said == sorted(said, reverse=True) and said[0] > said[-1]
    said = [ALL.probability(pair(2.0, rival=r)) for r in (-1.0, 1.0, 3.0)]
    assert said == sorted(said, reverse=True) and said[0] > said[-1]


def test_the_probability_is_the_logistic_of_the_sum() -> None:
    one = pair(2.0, rival=1.0, level=5.0)
    by_hand = -1 + 0.7 * 2 + 0.3 * 1 - 0.5 * -2 - 0.2 * math.log(20) + 0.3 - 0.4 * 0.4 + 0.1 * math.log(301)
    assert ALL.log_odds(one) == pytest.approx(by_hand)
    assert ALL.probability(one, shift=0.5) == pytest.approx(1 / (1 + math.exp(-by_hand - 0.5)))


def drawn(n: int, seed: int = 0) -> tuple[list[Standing], list[bool], np.ndarray]:
    draw = np.random.default_rng(seed)
    score, spread = draw.normal(0, 3, n), draw.uniform(0, 1, n)
    pairs = [
        Standing(Evidence(5, 9, 300, 400, weight=1.0, spread=float(b)), float(a), None, None, 20)
        for a, b in zip(score, spread, strict=True)
    ]
    truth = 1 / (1 + np.exp(-(-0.7 + 0.9 * score + 1.5 * spread)))
    return pairs, (draw.random(n) < truth).tolist(), truth


def test_the_fit_is_that_of_scikit_learn_where_nothing_holds_it() -> None:
    pairs, same, truth = drawn(3000)
    start = PairModel(0.0, {"score": 0.0, "spread": 0.0}, 0.0, 0.0, "", "")
    found = fit_pair_model(pairs, same, start, version="v", scores="s", ridge=1e-6)
    columns = np.array([[p.score, p.evidence.spread] for p in pairs])
    oracle = LogisticRegression(C=1e8, tol=1e-10).fit(columns, same)
    assert [found.slopes["score"], found.slopes["spread"]] == pytest.approx(oracle.coef_[0], abs=2e-3)
    assert found.intercept == pytest.approx(oracle.intercept_[0], abs=2e-3)
    assert max(abs(found.probability(p) - t) for p, t in zip(pairs, truth, strict=True)) < 0.06
    assert (found.share, found.scores, found.version) == (0.0, "s", "v")


def test_few_decisions_stay_near_what_ships_and_wrong_signs_are_refused() -> None:
    pairs, same, _ = drawn(30)
    start = PairModel(-0.7, {"score": 0.9, "spread": 1.5}, 0.0, 0.3, "", "")
    held = fit_pair_model(pairs, same, start, version="v", scores="s", ridge=1e6)
    assert held.slopes == pytest.approx(dict(start.slopes), abs=1e-3)
    odd = fit_pair_model(pairs, [p.score < 0 for p in pairs], start, version="v", scores="s", ridge=0.01)
    assert odd.slopes["score"] == 0.0
    for few in (([], []), (pairs, [True] * 30), (pairs[:10], same[:10])):
        with pytest.raises(ValueError, match="at least 20"):
            fit_pair_model(*few, start, version="", scores="")


def test_the_share_of_right_pairs_is_found_without_labels() -> None:
    """Pairs whose odds are exactly right for a share of 0.3, drawn with a share of 0.6."""
    draw = np.random.default_rng(2)
    same = draw.random(8000) < 0.6
    score = draw.normal(np.where(same, 2.0, -2.0), 2.0)
    said = 1 / (1 + np.exp(-(score + math.log(0.3 / 0.7))))
    exact = math.log(0.6 / 0.4) - math.log(0.3 / 0.7)
    assert prior_shift(said.tolist(), 0.3) == pytest.approx(exact, abs=0.1)
    model = PairModel(math.log(0.3 / 0.7), {"score": 1.0}, 0.0, 0.3, "s", "v")
    shown = [pair(float(v)) for v in score]
    assert adaptation(model, shown) == pytest.approx(exact / 2, abs=0.05)
    assert adaptation(model, shown[:49]) == 0.0, "too few tell nothing"
    assert adaptation(PairModel(0.0, {"score": 1.0}, 0.0, 0.0, "s", "v"), shown) == 0.0, "fitted on this population"
    assert adaptation(model, [pair(9.0)] * 200) == 4.0


def test_reliability_is_what_scikit_learn_and_hand_say() -> None:
    p, same = [0.05, 0.15, 0.12, 0.95, 1.0], [False, True, False, True, True]
    found = reliability(p, same)
    assert found.brier == pytest.approx(brier_score_loss(same, p))
    assert found.log_loss == pytest.approx(log_loss(same, np.clip(p, 1e-6, 1 - 1e-6)))
    assert [(b.low, b.pairs) for b in found.bins] == [(0.0, 1), (0.1, 2), (0.9, 2)]
    assert found.ece == pytest.approx((0.05 + 2 * abs(0.135 - 0.5) + 2 * 0.025) / 5)


def test_held_out_probabilities_come_from_fits_that_know_nothing_of_the_query_s_individual() -> None:
    pairs, same, _ = drawn(300)
    names = [f"cat {i % 12}" for i in range(300)]
    rows = [ReliabilityPair(p, s, n, n if s else f"cat {(i * 7) % 12}") for i, (p, s, n) in
            enumerate(zip(pairs, same, names, strict=True))]  # fmt: skip
    found = cross_validated(rows, DEFAULT, "s")
    assert found is not None
    everyone = sorted(set(names))
    held = set(everyone[0::5])
    seen = [r for r in rows if not {r.query, r.candidate} & held]
    model = fit_pair_model([r.standing for r in seen], [r.same for r in seen], DEFAULT, version="", scores="s")
    wrong = [r for r in rows if not r.same and r.query not in held]
    shift = math.log(sum(not r.same for r in seen) / len(wrong))
    for row, value in zip(rows, found, strict=True):
        if row.query in held:
            assert value == pytest.approx(model.probability(row.standing, shift=shift))
    assert cross_validated(rows[:5], DEFAULT, "s") is None


def test_everything_survives_json_and_damage_is_refused() -> None:
    assert PairModel.from_dict(ALL.to_dict()) == ALL
    one = pair(1.25, rival=0.5, level=-1.0)
    assert Standing.from_dict(one.to_dict()) == one
    for change in ({"slopes": {"colour": 1.0}}, {"slopes": {"score": -1.0}}, {"intercept": math.nan}, {"share": 1.0}):
        with pytest.raises(ValueError):
            PairModel.from_dict(ALL.to_dict() | change)
    for damaged in ({}, {"score": 1.0}, one.to_dict() | {"colour": 1}, one.to_dict() | {"inliers": 99}):
        with pytest.raises(ValueError):
            Standing.from_dict(damaged)
    assert set(DEFAULT.slopes) <= set(FEATURES) and 0 < DEFAULT.share < 1


def test_the_original_s_confidence() -> None:
    assert spotid_confidence(1.0) == 1.0
    assert spotid_confidence(0.5) == pytest.approx(math.exp(-1.1)), "unrelated coats at d = 1 show 33 %"
    assert spotid_confidence(1 - 0.45**2 / 2) == pytest.approx(1.0)
    values = [spotid_confidence(c / 10) for c in range(-10, 11)]
    assert values == sorted(values)


def test_spread_of_matches_over_the_coat() -> None:
    grid = np.array([[x / 10, y / 10, 1, 0] for x in range(10) for y in range(10)], np.float32)
    everywhere = np.stack([np.arange(100)] * 2, axis=1)
    assert spread_of(grid, grid, everywhere) == pytest.approx(1.0)
    corner = everywhere[[0, 1, 10, 11]]
    assert 0 < spread_of(grid, grid, corner) < 0.3
    assert spread_of(grid, grid, everywhere[:10]) == 0.0, "on a line"
    assert spread_of(grid, grid, everywhere[:2]) == 0.0
