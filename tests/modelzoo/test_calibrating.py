"""Whether a similarity deserves a say: asked of individuals that the fit has not seen, by an honest Brier score."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from modelzoo import calibrating
from modelzoo.calibrating import ShownPair, best_candidates, brier, judge, without_similarity, worthwhile
from modelzoo.calibration import Calibration, Evidence, fit

DEFAULT = Calibration.default()
EMBEDDING = "a" * 64


def shown(individuals: int = 6, photos: int = 5, *, gain: float, seed: int = 0) -> list[ShownPair]:
    """Queries with candidates whose weights overlap; gain: by how much the cosine of right pairs is larger."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(individuals), photos)
    found = {}
    weight = np.full((len(who), len(who)), -1.0)
    for i in range(len(who)):
        for j in range(i + 1, len(who)):
            same = who[i] == who[j]
            weight[i, j] = weight[j, i] = max(0.0, draw.normal(3.0 if same else 1.5, 1.5))
            similarity = float(np.clip(draw.normal(0.3 + gain * same, 0.15), -1, 1))
            found[i, j] = Evidence(5, 9, 90, 90, similarity=similarity, embedding=EMBEDDING, weight=weight[i, j])
    keys = [(i, j, (min(i, j), max(i, j))) for i, j in best_candidates(weight)]
    return [ShownPair(found[key], f"cat {who[i]}", f"cat {who[j]}", key) for i, j, key in keys]


def test_without_pairs_nothing_counts_and_the_reason_is_said() -> None:
    judged = judge([], DEFAULT, "none")
    assert judged.calibration is None and judged.pairs == 0 and math.isnan(judged.without)
    assert "does not count" in judged.sentence and "there are 0 right and 0 wrong ones of 0" in judged.sentence


def test_candidates_are_the_best_by_weight_and_never_what_was_not_compared() -> None:
    weight = np.array([[-1, 0, 5, -1], [0, -1, 2, 9], [5, 2, -1, 2], [-1, 9, 2, -1]], float)
    found = list(best_candidates(weight))
    assert [j for i, j in found if i == 0] == [2, 1]
    assert [j for i, j in found if i == 1] == [3, 2, 0]
    assert [j for i, j in found if i == 2] == [0, 1, 3], "ties go to the first"
    crowd = np.arange(100, dtype=float).reshape(10, 10)
    assert [j for i, j in best_candidates(crowd) if i == 0] == [9, 8, 7, 6, 5]


def test_with_cosines_the_most_similar_are_candidates_too() -> None:
    weight = np.zeros((12, 12))
    weight[0, 1], weight[0, 11] = 3.0, -1.0
    cosine = np.full((12, 12), np.nan)
    cosine[0, 9], cosine[0, 3], cosine[0, 10], cosine[0, 11] = 0.9, 0.8, -0.5, 1.0
    found = [j for i, j in best_candidates(weight, cosine) if i == 0]
    assert found == [1, 0, 2, 3, 4, 9, 10], "nobody twice, none without a cosine, none that was not compared"
    assert [j for i, j in best_candidates(weight, cosine) if i == 1] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("fused", "plain", "counts"), [(0.0979, 0.1, True), (0.0981, 0.1, False), (0.0, 0.0, False)])
def test_a_gain_below_a_fiftieth_is_not_worth_it(fused: float, plain: float, counts: bool) -> None:
    assert worthwhile(fused, plain) is counts


def test_the_brier_score_is_the_mean_squared_error_of_the_probability() -> None:
    assert brier([1.0, 0.0], [True, False]) == 0
    assert brier([0.5, 0.8, 0.1], [True, False, False]) == pytest.approx((0.25 + 0.64 + 0.01) / 3)
    assert math.isnan(brier([], []))


def test_held_out_scores_are_those_of_fits_that_have_seen_nothing_of_the_query_s_individual() -> None:
    pairs = shown(gain=0.25)
    judged = judge(pairs, DEFAULT, "found")
    names = sorted({pair.query for pair in pairs})
    predicted = {True: [], False: []}
    for pair in pairs:
        fold = {name for position, name in enumerate(names) if position % 5 == names.index(pair.query) % 5}
        others = [p for p in pairs if not {p.query, p.candidate} & fold]
        c = fit([p.evidence for p in others], [p.query == p.candidate for p in others], DEFAULT, "")
        weight = math.log(1 + pair.evidence.weight)
        fused = c.fused_intercept + c.fused_weight * weight + c.similarity * pair.evidence.similarity
        predicted[True].append(1 / (1 + math.exp(-fused)))
        predicted[False].append(1 / (1 + math.exp(-c.intercept - c.weight * weight)))
    same = [pair.query == pair.candidate for pair in pairs]
    assert judged.with_similarity == pytest.approx(brier_score_loss(same, predicted[True]), abs=1e-12)
    assert judged.without == pytest.approx(brier_score_loss(same, predicted[False]), abs=1e-12)
    assert (judged.pairs, judged.right, judged.individuals) == (len(pairs), sum(same), 6)


def test_a_similarity_that_tells_individuals_apart_counts_for_its_own_weights() -> None:
    pairs = shown(gain=0.25)
    judged = judge(pairs, DEFAULT, "found")
    found = judged.calibration
    assert found is not None and found.counts(EMBEDDING) and not found.counts("b" * 64)
    assert found.version == "found" and found.similarity > 0
    assert found == fit([p.evidence for p in pairs], [p.same for p in pairs], without_similarity(DEFAULT), "found")
    figures = f"Brier {judged.without:.3f} → {judged.with_similarity:.3f} on {len(pairs)} pairs"
    assert judged.sentence.startswith(f"Similarity counts in the score: {figures}")
    assert judged.with_similarity < 0.9 * judged.without


def test_a_similarity_that_says_nothing_does_not_count() -> None:
    for seed in range(3):
        judged = judge(shown(gain=0.0, seed=seed), DEFAULT, "found")
        assert judged.calibration is None and judged.with_similarity > 0.98 * judged.without
        assert "does not count" in judged.sentence and "Brier" in judged.sentence


def test_a_similarity_that_is_higher_between_strangers_does_not_count() -> None:
    judged = judge(shown(gain=-0.25), DEFAULT, "found")
    assert judged.calibration is None
    assert judged.with_similarity == pytest.approx(judged.without), "its slope is held at 0"


def test_coats_without_vectors_are_predicted_alike_both_ways() -> None:
    pairs = [replace(p, evidence=replace(p.evidence, similarity=None)) for p in shown(gain=0.25)]
    judged = judge(pairs, replace(DEFAULT, similarity=9.0, embedding=EMBEDDING), "found")
    assert judged.calibration is None and judged.with_similarity == judged.without


@pytest.mark.parametrize("individuals", [2, 4])
def test_too_few_individuals_cannot_tell(individuals: int) -> None:
    judged = judge(shown(individuals, 12, gain=0.4), DEFAULT, "found")
    assert judged.calibration is None and math.isnan(judged.with_similarity)
    assert f"of {individuals}." in judged.sentence and "are needed" in judged.sentence


def test_one_pair_seen_from_both_sides_is_one_pair_when_they_are_counted() -> None:
    pairs = shown(5, 3, gain=0.4)
    right = {pair.key for pair in pairs if pair.same}
    assert len(right) < calibrating.FEWEST_OF_A_KIND < sum(pair.same for pair in pairs)
    judged = judge(pairs, DEFAULT, "found")
    assert judged.calibration is None and f"there are {len(right)} right and" in judged.sentence
