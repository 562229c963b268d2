"""Intervals: what they resample, that they cover, and that the same seed gives the same."""

from __future__ import annotations

import numpy as np
import pytest

from modelzoo.evaluation import EvaluationPhoto, compare, evaluate_scores, evaluate_vectors
from modelzoo.evaluation.bootstrap import Resampler


def photos_of(sizes: list[int]) -> list[EvaluationPhoto]:
    return [
        EvaluationPhoto(f"{animal}/{shot}", str(animal), str(animal), flank="right")
        for animal, size in enumerate(sizes)
        for shot in range(size)
    ]


def population(rng: np.random.Generator, animals: int, noise: float = 1.0) -> tuple[np.ndarray, list[EvaluationPhoto]]:
    photos = photos_of(rng.integers(1, 6, animals).tolist())
    coats = rng.normal(size=(animals, 16))
    animal = np.array([int(photo.individual) for photo in photos])
    # Some animals are easy and some are hard, which is why their photos are no independent witnesses.
    hard = noise * rng.uniform(0.4, 1.8, animals)
    return coats[animal] + hard[animal, None] * rng.normal(size=(len(photos), 16)), photos


def test_one_interval_recomputed_with_plain_loops() -> None:
    """The draws are numpy's multinomial ones of the seed; every figure is then weighed photo by photo."""
    rng = np.random.default_rng(7)
    vectors, photos = population(rng, 12)
    table = evaluate_vectors(vectors, photos, seed=5, resamples=200)["all", "as_seen"]
    animals = list(dict.fromkeys(photo.individual for photo in photos))
    draws = np.random.default_rng(5).multinomial(len(animals), [1 / len(animals)] * len(animals), size=200)
    values = table.per_query["dt5ap"]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = np.clip(unit @ unit.T, -1, 1)
    n = len(photos)
    own = [[p.individual == q.individual for q in photos] for p in photos]
    known = {i: max(cosine[i, j] for j in range(n) if j != i) for i in range(n) if sum(own[i]) > 1}
    new = {i: max(cosine[i, j] for j in range(n) if not own[i][j]) for i in range(n)}
    means, areas, rates = [], [], []
    for draw in draws:
        weight = [int(draw[animals.index(photo.individual)]) for photo in photos]
        counted = [(w, v) for w, v in zip(weight, values, strict=True) if not np.isnan(v)]
        if sum(w for w, _ in counted):
            means.append(sum(w * v for w, v in counted) / sum(w for w, _ in counted))
            wins = sum(
                weight[i] * weight[j] * ((a > b) + (a == b) / 2) for i, a in known.items() for j, b in new.items()
            )
            areas.append(wins / sum(weight[i] for i in known) / sum(weight))
            allowed = 0.01 * sum(weight)
            above = {t: sum(weight[j] for j, b in new.items() if b > t) for i, t in new.items() if weight[i]}
            limit = min(t for t, count in above.items() if count <= allowed)
            lost = sum(weight[i] for i, a in known.items() if a <= limit)
            rates.append(lost / sum(weight[i] for i in known))
    for name, drawn in (("dt5ap", means), ("auroc", areas), ("false_new", rates)):
        assert (table[name].low, table[name].high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975)))), name


def test_the_same_seed_gives_the_same_report_and_another_one_only_other_intervals() -> None:
    vectors, photos = population(np.random.default_rng(1), 15)
    first, again, other = (
        evaluate_vectors(vectors, photos, seed=seed, resamples=100)["all", "as_seen"] for seed in (3, 3, 4)
    )
    assert first.to_dict() == again.to_dict()
    assert first["dt5ap"].value == other["dt5ap"].value and first["dt5ap"].low != other["dt5ap"].low


def test_individuals_are_drawn_and_not_photos() -> None:
    """Twelve animals of 20 photos that are all right or all wrong: as many witnesses as animals."""
    individuals = np.repeat(np.arange(12), 20)
    values = np.repeat((np.arange(12) % 2).astype(float), 20)
    figure = Resampler(individuals, seed=0, resamples=4000).mean(values)
    expected = np.quantile(np.random.default_rng(9).binomial(12, 0.5, 100_000) / 12, (0.025, 0.975))
    assert (figure.low, figure.high) == pytest.approx(tuple(expected), abs=0.001)


def test_individuals_that_are_not_known_are_never_drawn() -> None:
    values = np.array([0.0, 1.0, 0.0, 1.0, np.nan, np.nan])
    alone = Resampler(np.arange(4), seed=2, resamples=300).mean(values[:4])
    beside = Resampler(np.arange(6), seed=2, resamples=300, known=4).mean(values)
    assert alone == beside


def test_no_interval_of_one_individual_or_without_resamples() -> None:
    for individuals, resamples in ((np.zeros(5, np.int64), 100), (np.arange(5), 0), (np.zeros(0, np.int64), 100)):
        figure = Resampler(individuals, seed=0, resamples=resamples).mean(np.ones(len(individuals)))
        assert np.isnan(figure.low) and np.isnan(figure.high)
        assert np.isnan(figure.value) == (len(individuals) == 0)
    with pytest.raises(ValueError, match="not negative"):
        Resampler(np.arange(3), seed=0, resamples=-1)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """New animals of the same kind are evaluated again and again; the truth is the mean over many of them."""
    rng = np.random.default_rng(11)
    found = []
    for _ in range(100):
        vectors, photos = population(rng, 40)
        table = evaluate_vectors(vectors, photos, resamples=200)["all", "as_seen"]
        found.append([table["t1"], table["dt5ap"], table["auroc"]])
    for column in zip(*found, strict=True):
        truth = np.mean([figure.value for figure in column])
        covered = np.mean([figure.low <= truth <= figure.high for figure in column])
        assert 0.86 <= covered <= 1.0


def test_a_clear_gain_is_advised_a_loss_advised_against_and_nothing_is_nothing() -> None:
    rng = np.random.default_rng(2)
    photos = photos_of([4] * 25)
    coats = rng.normal(size=(25, 16))[np.repeat(np.arange(25), 4)]
    grain = rng.normal(size=(100, 16))
    bad, good, same = (evaluate_vectors(coats + scale * grain, photos) for scale in (2.5, 0.8, 2.5))
    better, worse, equal = compare(bad, good), compare(good, bad), compare(bad, same)
    assert better.advice == "activate" and better.sentence.startswith("Activate: the new model is better.")
    assert worse.advice == "do not activate" and worse.sentence.startswith("Do not activate:")
    assert worse.difference.value == pytest.approx(-better.difference.value)
    assert better.difference.value == pytest.approx(better.new - better.old)
    assert (equal.difference.value, equal.difference.low, equal.difference.high) == (0.0, 0.0, 0.0)
    assert equal.advice == "no measurable difference"
    assert better.to_dict()["differences"]["all/as_seen"] == better.difference.to_dict()


def test_pairing_finds_a_small_gain_that_two_separate_intervals_hide() -> None:
    """Every query has one wrong photo in front of it in the old ranking and none in the new one, or is hopeless."""
    rng = np.random.default_rng(6)
    photos = photos_of([3] * 40)
    animal = np.repeat(np.arange(40), 3)
    own = animal[:, None] == animal[None, :]
    hopeless = (animal % 2 == 0)[:, None]
    old = np.where(own, np.where(hopeless, -1.0, 0.5), rng.random((120, 120)) * 0.4)
    new = old.copy()
    for query in range(3, 120, 6):
        old[query, (query + 30) % 120] = 0.9
    reports = [evaluate_scores(scores, photos) for scores in (old, new)]
    first, second = (report["all", "as_seen"]["dt5ap"] for report in reports)
    assert first.high > second.low
    assert compare(*reports).advice == "activate"


def test_few_individuals_never_lead_to_an_activation() -> None:
    photos = photos_of([4] * 5)
    coats = np.eye(5)[np.repeat(np.arange(5), 4)]
    grain = np.random.default_rng(0).normal(size=(20, 5))
    found = compare(evaluate_vectors(grain, photos), evaluate_vectors(coats + 0.01 * grain, photos))
    assert found.difference.low > 0
    assert found.advice == "no measurable difference" and "too few individuals" in found.sentence


def test_other_photos_cannot_be_compared_and_nothing_to_find_is_said() -> None:
    photos = photos_of([2, 2])
    report = evaluate_vectors(np.eye(4), photos)
    with pytest.raises(ValueError, match="same photos"):
        compare(report, evaluate_vectors(np.eye(4)[:3], photos[:3]))
    lonely = evaluate_vectors(np.eye(3), photos_of([1, 1, 1]))
    assert "no photo had another one" in compare(lonely, lonely).sentence
    assert compare(lonely, lonely).to_dict()["difference"]["value"] is None
