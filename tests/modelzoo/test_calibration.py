"""The calibration: monotone, honest on data whose truth is known, and readable."""

import math
import random
from dataclasses import replace

import pytest

from modelzoo.calibration import Calibration, Evidence, fit
from modelzoo.shipped import shipped_model

DEFAULT = Calibration.default()


def evidence(inliers: int = 5, matches: int = 20, **changes) -> Evidence:
    return Evidence(inliers, matches, 500, 500, **changes)


def test_nothing_in_common_is_improbable_but_possible():
    for nothing in (Evidence(0, 0, 0, 0), Evidence(0, 30, 500, 500)):
        assert 0.0 < DEFAULT.probability(nothing) < 0.2


def test_much_in_common_is_probable_but_not_certain():
    assert 0.9 < DEFAULT.probability(evidence(120, 150, weight=30.0)) < 1.0
    assert 0.9 < DEFAULT.probability(evidence(500, 500, weight=500.0)) < 1.0


def test_probability_is_the_logistic_of_the_score():
    for inliers in (0, 3, 10, 40):
        pair = evidence(inliers, 60, weight=inliers / 4)
        assert DEFAULT.probability(pair) == pytest.approx(1 / (1 + math.exp(-DEFAULT.score(pair))))


def test_more_evidence_never_lowers_the_score():
    for matches in (10, 40):
        scores = [DEFAULT.score(evidence(i, matches, weight=0.2 * i)) for i in range(matches + 1)]
        assert scores == sorted(scores)
        assert scores[-1] > scores[0]
    by_weight = [DEFAULT.score(evidence(8, 40, weight=w / 10)) for w in range(30)]
    assert by_weight == sorted(by_weight)


def test_similarity_counts_only_under_the_weights_that_it_was_fitted_with():
    fitted = replace(DEFAULT, fused_intercept=-6.0, fused_weight=4.0, similarity=5.0, embedding="a" * 64)
    without = fitted.score(evidence())
    assert fitted.score(evidence(similarity=0.99)) == without
    assert fitted.score(evidence(similarity=0.99, embedding="b" * 64)) == without
    assert fitted.score(evidence(embedding="a" * 64)) == without
    high = fitted.score(evidence(similarity=0.99, embedding="a" * 64))
    low = fitted.score(evidence(similarity=-0.5, embedding="a" * 64))
    assert high - low == pytest.approx(5.0 * 1.49)
    nobody = replace(fitted, embedding="")
    assert nobody.score(evidence(similarity=0.99)) == without, "no name is no match"


def test_more_evidence_never_lowers_the_score_with_a_similarity_either():
    fitted = replace(DEFAULT, fused_intercept=-6.0, fused_weight=4.0, similarity=5.0, embedding="a" * 64)
    pairs = [evidence(8, 40, weight=2.0, similarity=s / 10, embedding="a" * 64) for s in range(-5, 10)]
    scores = [fitted.score(pair) for pair in pairs]
    assert scores == sorted(scores) and scores[-1] > scores[0]
    by_weight = [fitted.score(replace(pairs[6], weight=w / 10)) for w in range(30)]
    assert by_weight == sorted(by_weight) and by_weight[-1] > by_weight[0]
    for slope in ("weight", "fused_weight", "similarity"):
        with pytest.raises(ValueError, match="at least 0"):
            replace(fitted, **{slope: -0.1})


def test_similarities_of_the_shipped_embedding_do_not_count_for_they_gained_nothing_on_synthetic_coats():
    pair = evidence(8, 40, weight=2.0, embedding=shipped_model().sha256)
    assert DEFAULT.score(replace(pair, similarity=0.9)) == DEFAULT.score(replace(pair, similarity=-0.9))


def test_an_unknown_weight_is_the_usual_one():
    assert DEFAULT.score(evidence(10)) == pytest.approx(DEFAULT.score(evidence(10, weight=10 * DEFAULT.usual_weight)))


@pytest.mark.parametrize(
    "change", [{"inliers": -1}, {"inliers": 21}, {"similarity": math.nan}, {"weight": -0.1}, {"weight": math.inf}]
)
def test_impossible_evidence_is_refused(change):
    with pytest.raises(ValueError):
        evidence(**({"inliers": 5} | change))


def test_a_calibration_survives_json():
    assert Calibration.from_json(DEFAULT.to_json()) == DEFAULT


@pytest.mark.parametrize("change", [{"weight": -0.1}, {"intercept": math.nan}, {"weight": math.inf}])
def test_impossible_coefficients_are_refused(change):
    with pytest.raises(ValueError):
        Calibration.from_dict(DEFAULT.to_dict() | change)


def test_missing_and_unknown_coefficients_are_refused():
    values = DEFAULT.to_dict()
    with pytest.raises(ValueError, match="exactly"):
        Calibration.from_dict(values | {"colour": 1.0})
    values.pop("weight")
    with pytest.raises(ValueError, match="exactly"):
        Calibration.from_dict(values)
    with pytest.raises(ValueError, match="JSON object"):
        Calibration.from_json("[1]")


def drawn_pairs(truth: Calibration, n: int) -> tuple[list[Evidence], list[bool]]:
    """Pairs whose probability is exactly what the given calibration says."""
    draw = random.Random(1)
    pairs = []
    for _ in range(n):
        matches = draw.randint(5, 120)
        inliers = draw.randint(0, matches)
        pairs.append(
            evidence(inliers, matches, weight=inliers * draw.uniform(0.1, 0.4), similarity=draw.uniform(-1, 1),
                     embedding=truth.embedding)
        )  # fmt: skip
    return pairs, [draw.random() < truth.probability(pair) for pair in pairs]


def test_fit_finds_the_probabilities_that_the_pairs_were_drawn_with():
    truth = Calibration(0.0, 0.0, -3.4, 1.4, 2.0, "c" * 64, 0.25, "truth")
    pairs, same = drawn_pairs(truth, 6000)
    found = fit(pairs, same, DEFAULT, "found")
    assert (found.version, found.embedding) == ("found", truth.embedding)
    worst = max(abs(found.probability(p) - truth.probability(p)) for p in pairs)
    assert worst < 0.06
    assert sum(map(found.probability, pairs)) == pytest.approx(sum(same), rel=0.001)


def test_fit_never_learns_that_more_evidence_is_worse():
    pairs = [evidence(i % 20, 20, weight=0.2 * (i % 20)) for i in range(200)]
    found = fit(pairs, [p.inliers < 10 for p in pairs], DEFAULT, "odd")
    assert found.weight == 0.0
    kept = {name: getattr(DEFAULT, name) for name in (*Calibration.FUSED, "embedding")}
    assert {name: getattr(found, name) for name in kept} == kept, "nothing was said of similarities"


def test_fit_of_perfectly_separable_pairs_stays_finite():
    pairs = [evidence(i, 40, weight=i / 4) for i in range(40)]
    found = fit(pairs, [p.inliers > 20 for p in pairs], DEFAULT, "sharp")
    assert found.probability(pairs[-1]) > 0.9
    assert found.probability(pairs[0]) < 0.1


def test_similarities_of_several_models_are_not_fitted_and_pairs_without_one_do_not_hinder():
    pairs = [evidence(i % 20, 20, similarity=i / 100, embedding="a" * 64) for i in range(100)]
    same = [i % 20 > 10 for i in range(100)]
    assert (
        fit([replace(pairs[0], embedding="b" * 64), *pairs[1:]], same, DEFAULT, "two").similarity == DEFAULT.similarity
    )
    whole = fit(pairs[1:], same[1:], DEFAULT, "whole")
    with_gap = fit([replace(pairs[0], similarity=None), *pairs[1:]], same, DEFAULT, "gap")
    fused = (*Calibration.FUSED, "embedding")
    assert [getattr(with_gap, n) for n in fused] == [getattr(whole, n) for n in fused]
    assert whole.embedding == "a" * 64 and with_gap.intercept != whole.intercept
    few = [*pairs[:19], *(replace(p, similarity=None) for p in pairs[19:])]
    assert fit(few, same, DEFAULT, "few").embedding == DEFAULT.embedding


def test_too_few_pairs_or_pairs_of_one_kind_are_refused():
    with pytest.raises(ValueError, match="at least 20 pairs"):
        fit([], [], DEFAULT, "none")
    with pytest.raises(ValueError, match="right and wrong"):
        fit([evidence()] * 30, [True] * 30, DEFAULT, "right")
