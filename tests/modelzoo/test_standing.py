"""Probabilities from a pair's standing: monotone, the same as independent maths, honest where the truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from modelzoo.calibration import Calibration, Evidence, spotid_confidence, spread_of
from modelzoo.reliability import ReliabilityPair, cross_validated, population_start, reliability
from modelzoo.standing import FEATURES, Learned, PairModel, Standing, fit_pair_model, standings

DEFAULT = PairModel.default()
ALL = PairModel(
    -1.0,
    {"score": 0.7, "margin": 0.3, "level": -0.5, "catalogue": -0.2, "spread": 1.0, "residual": -0.4, "keypoints": 0.1},
    -2.0, "s", "v",
)  # fmt: skip


def pair(score: float = 0.0, **changes) -> Standing:
    values = {"rival": None, "level": None, "compared": 20, **changes}
    return Standing(Evidence(5, 9, 300, 400, weight=2.0, spread=0.3, residual=0.4), score, **values)


def test_without_candidates_nothing_is_said() -> None:
    assert standings([], []) == []
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
    assert ALL.probability(one) == pytest.approx(1 / (1 + math.exp(-by_hand)))


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
    start = PairModel(0.0, {"score": 0.0, "spread": 0.0}, 0.0, "", "")
    found = fit_pair_model(pairs, same, start, version="v", scores="s", ridge=1e-6)
    columns = np.array([[p.score, p.evidence.spread] for p in pairs])
    oracle = LogisticRegression(C=1e8, tol=1e-10).fit(columns, same)
    assert [found.slopes["score"], found.slopes["spread"]] == pytest.approx(oracle.coef_[0], abs=2e-3)
    assert found.intercept == pytest.approx(oracle.intercept_[0], abs=2e-3)
    assert max(abs(found.probability(p) - t) for p, t in zip(pairs, truth, strict=True)) < 0.06
    assert (found.scores, found.version) == ("s", "v")


def test_a_probability_counts_as_both_kinds_in_parts_and_a_weight_as_so_many_pairs() -> None:
    pairs, same, _ = drawn(400)
    start = PairModel(0.0, {"score": 0.0, "spread": 0.0}, 0.0, "", "")
    soft = [0.25 if place % 3 == 0 else float(one) for place, one in enumerate(same)]
    weights = [1.0 + place % 4 for place in range(len(pairs))]
    found = fit_pair_model(pairs, soft, start, version="v", scores="s", ridge=1e-6, weights=weights)
    columns = np.array([[p.score, p.evidence.spread] for p in pairs])
    twice = np.concatenate([columns, columns])
    parts = [weight * p for weight, p in zip(weights, soft, strict=True)]
    rest = [weight * (1 - p) for weight, p in zip(weights, soft, strict=True)]
    oracle = LogisticRegression(C=1e8, tol=1e-10).fit(twice, [True] * 400 + [False] * 400, sample_weight=parts + rest)
    assert [found.slopes["score"], found.slopes["spread"]] == pytest.approx(oracle.coef_[0], abs=2e-3)
    assert found.intercept == pytest.approx(oracle.intercept_[0], abs=2e-3)


def test_few_decisions_stay_near_what_ships_and_wrong_signs_are_refused() -> None:
    pairs, same, _ = drawn(30)
    start = PairModel(-0.7, {"score": 0.9, "spread": 1.5}, 0.0, "", "")
    held = fit_pair_model(pairs, same, start, version="v", scores="s", ridge=1e6)
    assert held.slopes == pytest.approx(dict(start.slopes), abs=1e-3)
    odd = fit_pair_model(pairs, [p.score < 0 for p in pairs], start, version="v", scores="s", ridge=0.01)
    assert odd.slopes["score"] == 0.0
    for few in (([], []), (pairs, [True] * 30), (pairs[:10], same[:10])):
        with pytest.raises(ValueError, match="at least 20"):
            fit_pair_model(*few, start, version="", scores="")


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
            assert value == pytest.approx(1 / (1 + math.exp(-model.log_odds(row.standing) - shift)))
    assert cross_validated(rows[:5], DEFAULT, "s") is None


def test_everything_survives_json_and_damage_is_refused() -> None:
    assert PairModel.from_dict(ALL.to_dict()) == ALL
    one = pair(1.25, rival=0.5, level=-1.0)
    assert Standing.from_dict(one.to_dict()) == one
    for change in ({"slopes": {"colour": 1.0}}, {"slopes": {"score": -1.0}}, {"intercept": math.nan}, {"part": 0.2}):
        with pytest.raises(ValueError):
            PairModel.from_dict(ALL.to_dict() | change)
    for damaged in ({}, {"score": 1.0}, one.to_dict() | {"colour": 1}, one.to_dict() | {"inliers": 99}):
        with pytest.raises(ValueError):
            Standing.from_dict(damaged)
    assert set(DEFAULT.slopes) <= set(FEATURES)


def test_coefficients_that_an_earlier_version_stored_are_read_without_their_share_of_right_pairs() -> None:
    reading = ALL.reading("glue-1")
    model = replace(ALL, learned=reading)
    stored = {**ALL.to_dict(), "share": 0.2, "learned": {**reading.to_dict(), "share": 0.0}}
    assert PairModel.from_dict(stored) == model
    assert "share" not in model.to_dict() and "share" in stored, "what was stored is left as it is"
    with pytest.raises(ValueError, match="a pair model has exactly"):
        PairModel.from_dict({"share": 0.2, **{name: v for name, v in ALL.to_dict().items() if name != "scores"}})


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


def test_what_a_learned_matcher_found_counts_only_for_pairs_that_very_matcher_compared() -> None:
    beside = PairModel(-2.0, {"score": 0.5, "learned": 1.5}, 0.0, "s", "v", "glue-1")
    model = PairModel(-1.0, {"score": 0.7}, 0.0, "s", "v", learned=beside)
    plain, by_it, by_another = (
        pair(1.0, learned=found) for found in (None, Learned("glue-1", 4, 9, 3.0), Learned("glue-2", 4, 9, 3.0))
    )
    assert model.log_odds(plain) == model.log_odds(by_another) == pytest.approx(-0.3)
    assert model.log_odds(by_it) == pytest.approx(-1.5 + 1.5 * math.log(4))
    assert DEFAULT.log_odds(by_it) == DEFAULT.log_odds(plain), "what ships does not read it"
    with pytest.raises(ValueError, match="no learned matcher compared this pair"):
        beside.log_odds(plain)
    assert PairModel.from_dict(model.to_dict()) == model and Standing.from_dict(by_it.to_dict()) == by_it
    assert "learned" not in PairModel.from_dict(ALL.to_dict()).to_dict() | plain.to_dict()


def test_a_fit_that_reads_a_learned_matcher_finds_what_it_tells() -> None:
    draw = np.random.default_rng(4)
    same = (draw.random(2000) < 0.4).tolist()
    found = [float(np.expm1(abs(draw.normal(1.0 + s, 0.6)))) for s in same]
    pairs = [pair(0.0, learned=Learned("glue-1", 4, 9, weight)) for weight in found]
    start = PairModel(0.0, {"score": 0.8}, 0.0, "s", "v").reading("glue-1")
    assert start.slopes == {"score": 0.8, "learned": 0.0} and start.matcher == "glue-1"
    model = fit_pair_model(pairs, same, start, version="v", scores="s", ridge=1e-6)
    oracle = LogisticRegression(C=1e8, tol=1e-10).fit(np.log1p(np.array(found))[:, None], same)
    assert model.slopes["learned"] == pytest.approx(float(oracle.coef_[0, 0]), abs=2e-3)
    assert model.matcher == "glue-1" and model.intercept == pytest.approx(float(oracle.intercept_[0]), abs=2e-3)
    against = fit_pair_model(pairs, [not s for s in same], start, version="v", scores="s")
    assert against.slopes["learned"] == 0.0, "more of it never lowers a probability"


def test_learned_findings_of_the_wrong_form_are_refused() -> None:
    one = pair(1.0, learned=Learned("glue-1", 4, 9, 3.0)).to_dict()
    for change in ({"matcher": ""}, {"inliers": 10}, {"weight": -1.0}, {"weight": math.inf}, {"colour": 1}):
        with pytest.raises(ValueError):
            Standing.from_dict({**one, "learned": {**one["learned"], **change}})
    with pytest.raises(ValueError):
        Standing.from_dict({**one, "learned": 3})
    reading = DEFAULT.reading("glue-1").to_dict()
    for damaged in (
        {**reading, "matcher": ""},
        {**DEFAULT.to_dict(), "matcher": "glue-1"},
        {**DEFAULT.to_dict(), "learned": DEFAULT.to_dict()},
        {**DEFAULT.to_dict(), "learned": 3},
        {**DEFAULT.to_dict(), "learned": {**reading, "learned": reading}},
    ):
        with pytest.raises(ValueError):
            PairModel.from_dict(damaged)


def test_a_population_s_fit_learns_what_ships_does_not_count_and_keeps_still_where_nothing_differs() -> None:
    draw = np.random.default_rng(5)
    level = draw.normal(-3, 1, 600)
    score = draw.normal(0, 2, 600) + level
    same = (draw.uniform(size=600) < 1 / (1 + np.exp(-(score - level)))).tolist()
    pairs = [pair(float(s), level=float(v)) for s, v in zip(score, level, strict=True)]
    wide = DEFAULT.widened()
    assert wide.probability(pairs[0]) == pytest.approx(DEFAULT.probability(pairs[0])), "begins as what ships"
    found = fit_pair_model(pairs, same, wide, version="v", scores="s")
    assert found.slopes["level"] == pytest.approx(-1, abs=0.3) and found.slopes["score"] == pytest.approx(1, abs=0.3)
    constant = ("catalogue", "spread", "residual", "keypoints", "flanks", "sharpness")
    assert all(abs(found.slopes[name]) < 1e-6 for name in constant)
    narrow = fit_pair_model(pairs, same, DEFAULT, version="v", scores="s")
    losses = [log_loss(same, [m.probability(p) for p in pairs]) for m in (found, narrow)]
    assert losses[0] < losses[1] - 0.02
    free = fit_pair_model(pairs, same, wide, version="v", scores="s", ridge=1e-6)
    oracle = LogisticRegression(C=np.inf).fit(np.stack([score, np.minimum(level, DEFAULT.level_cap)], 1), same)
    assert [free.slopes["score"], free.slopes["level"]] == pytest.approx(oracle.coef_[0].tolist(), abs=0.01)


def test_a_population_begins_with_every_feature_only_where_that_foretells_others_better() -> None:
    draw = np.random.default_rng(6)
    animals = draw.integers(0, 20, (900, 2))
    animals[:300, 1] = animals[:300, 0]
    level, score = draw.normal(-3, 1, 900), draw.normal(0, 1, 900)
    for tells in (True, False):
        right = animals[:, 0] == animals[:, 1]
        shown = score + 3 * right + (level if tells else 0)
        rows = [
            ReliabilityPair(pair(float(s), level=float(v)), bool(r), str(a), str(b))
            for s, v, r, (a, b) in zip(shown, level, right, animals, strict=True)
        ]
        start, held_out = population_start(rows, DEFAULT, "s")
        assert start == (DEFAULT.widened() if tells else DEFAULT)
        assert held_out == pytest.approx(cross_validated(rows, start, "s"))
    assert population_start(rows[:5], DEFAULT, "s") is None
