"""Every figure of every variant against plain loops, scikit-learn, and examples worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from modelzoo.evaluation import VARIANTS, EvaluationPhoto, evaluate_scores, evaluate_vectors
from tests.modelzoo.evaluation.oracle import Case, mean

NAN = float("nan")


def herd(rng: np.random.Generator, photos: int = 40, animals: int = 9) -> list[EvaluationPhoto]:
    """Animals with one or two flanks, a singleton; some photos without event, without flank, without label."""
    found = [EvaluationPhoto("alone", "lone_left", "lone", "e0", "left")]
    for index in range(photos - 1):
        animal = int(rng.integers(animals))
        side = "left" if rng.random() < 0.4 else "right"
        event = None if rng.random() < 0.15 else f"e{rng.integers(6)}"
        flank = "unknown" if rng.random() < 0.2 else side
        if rng.random() < 0.1:
            found.append(EvaluationPhoto(f"p{index}", f"? {index}", f"? {index}", event, flank, labelled=False))
        else:
            found.append(EvaluationPhoto(f"p{index}", f"{animal}_{side}", str(animal), event, flank))
    return found


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def heading_score(seen: np.ndarray, mirrored: np.ndarray, photos: list[EvaluationPhoto]):
    """As the report defines it, pair by pair."""

    def score(i: int, j: int) -> float:
        def way(k: int) -> np.ndarray:
            return mirrored[k] if photos[k].flank == "left" else seen[k]

        a, b = photos[i].flank, photos[j].flank
        options = [float(way(i) @ way(j))]
        if a == "unknown":
            options.append(float(mirrored[i] @ way(j)))
        if b == "unknown":
            options.append(float(way(i) @ mirrored[j]))
        return max(options)

    return score


@pytest.mark.parametrize("seed", [1, 2])
def test_all_figures_of_all_variants_agree_with_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = herd(rng)
    coats = {photo.identity: rng.normal(size=12) for photo in photos}
    seen = unit(np.array([coats[photo.identity] for photo in photos]) + rng.normal(size=(len(photos), 12)))
    mirrored = unit(seen + rng.normal(size=seen.shape))
    report = evaluate_vectors(3 * seen, photos, mirrored=mirrored, resamples=20)
    for events, heading in VARIANTS:
        table = report[events, heading]
        score = (
            heading_score(seen, mirrored, photos) if heading == "normalised" else lambda i, j: float(seen[i] @ seen[j])
        )
        case = Case(photos, score, events == "other_events")
        queries = case.queries()
        assert (table.queries, table.photos) == (len(queries), sum(bool(case.gallery(i)) for i in range(len(photos))))
        for k in range(1, 11):
            assert table.tkrmd[k - 1].value == pytest.approx(mean([case.tkrmd(i, k) for i in queries]))
            assert table.dtkap[k - 1].value == pytest.approx(mean([case.dtkap(i, k) for i in queries]))
        assert table["t1"].value == table.tkrmd[0].value and table["dt5ap"].value == table.dtkap[4].value
        assert table.cmc[19] == pytest.approx(mean([case.tkrmd(i, 20) for i in queries]))
        assert table["map"].value == pytest.approx(mean([case.ap(i) for i in queries]))
        assert table["ccdr"].value == pytest.approx(mean([v for i in queries if (v := case.ccdr(i)) is not None]))
        for name, same in (("same_angle", True), ("different_angle", False)):
            assert table[name].value == pytest.approx(mean(case.angles(same)))
        assert table["auroc"].value == pytest.approx(case.auroc())
        assert table["false_new"].value == pytest.approx(case.false_new())
        assert table.angles is not None and table.open_set is not None
        counts, _ = np.histogram(case.angles(True), bins=36, range=(0, 180))
        assert table.angles.same == pytest.approx(counts / counts.sum())
        assert (table.open_set.known_cases, table.open_set.new_cases) == (len(queries), len(case.new_scores()))


def test_a_second_opinion_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    photos = herd(rng, photos=60)
    vectors = unit(rng.normal(size=(60, 8)))
    table = evaluate_vectors(vectors, photos, resamples=0)["all", "as_seen"]
    cosine = vectors @ vectors.T
    labels = np.array([photo.identity for photo in photos])
    precisions = []
    for i in range(60):
        others = np.arange(60) != i
        if (labels[others] == labels[i]).any():
            precisions.append(average_precision_score(labels[others] == labels[i], cosine[i, others]))
    assert table["map"].value == pytest.approx(np.mean(precisions))
    case = Case(photos, lambda i, j: float(cosine[i, j]), False)
    known, new = case.known_scores(), case.new_scores()
    expected = roc_auc_score([1] * len(known) + [0] * len(new), known + new)
    assert table["auroc"].value == pytest.approx(expected)
    assert table.open_set is not None
    shares = np.array(table.open_set.roc)
    assert np.trapezoid(shares[:, 1], shares[:, 0]) == pytest.approx(expected, abs=0.01)


def test_scores_that_are_missing_come_last_and_a_photo_without_any_is_taken_for_new() -> None:
    rng = np.random.default_rng(8)
    photos = herd(rng, photos=25)
    scores = rng.normal(size=(25, 25))
    scores[rng.random((25, 25)) < 0.3] = NAN
    scores[Case(photos, lambda i, j: 0.0, False).queries()[0]] = NAN
    table = evaluate_scores(scores, photos, resamples=0)["all", "as_seen"]
    case = Case(photos, lambda i, j: None if np.isnan(scores[i, j]) else float(scores[i, j]), False)
    queries = case.queries()
    assert np.isnan(scores[queries[0]]).all()
    assert table["dt5ap"].value == pytest.approx(mean([case.dtkap(i, 5) for i in queries]))
    assert table["map"].value == pytest.approx(mean([case.ap(i) for i in queries]))
    assert table["auroc"].value == pytest.approx(case.auroc())
    assert table["false_new"].value == pytest.approx(case.false_new())
    assert math.isnan(table["ccdr"].value) and table.angles is None


def test_a_lone_hit_at_rank_four_is_worth_what_the_paper_says() -> None:
    """k = 5: (1/4 + 1/5)/5 = 0.09. Only the first photo has any scores."""
    labels = ["a", "x1", "x2", "x3", "a", "x4", "a", "a", "a", "a"]
    scores = np.full((10, 10), NAN)
    scores[0] = -np.arange(10)
    photos = [EvaluationPhoto(str(i), label, label) for i, label in enumerate(labels)]
    report = evaluate_scores(scores, photos, resamples=0)
    values = report["all", "as_seen"].per_query["dt5ap"]
    assert values[0] == pytest.approx(0.09)
    assert report["all", "as_seen"].per_query["rank"][0] == 4
    assert np.isnan(values[1])


def test_four_photos_worked_out_by_hand() -> None:
    """A at 0° and 12°, B at 92° and 134°. A's second photo and B's first are 80° apart."""
    angles = np.radians([0, 12, 92, 134])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    photos = [EvaluationPhoto(str(i), name, name, flank="right") for i, name in enumerate("AABB")]
    table = evaluate_vectors(vectors, photos, resamples=0)["all", "as_seen"]
    assert [table[name].value for name in ("t1", "dt5ap", "map")] == [1.0, 1.0, 1.0]
    assert table["same_angle"].value == pytest.approx((12 + 42) / 2)
    assert table["different_angle"].value == pytest.approx((92 + 134 + 80 + 122) / 4)

    def distance(degrees: float) -> float:
        return 1 - math.cos(math.radians(degrees))

    ratios = [
        distance(12) / ((distance(92) + distance(134)) / 2),
        distance(12) / ((distance(80) + distance(122)) / 2),
        distance(42) / ((distance(92) + distance(80)) / 2),
        distance(42) / ((distance(134) + distance(122)) / 2),
    ]
    assert table["ccdr"].value == pytest.approx(sum(ratios) / 4)
    # Known cases stand at 12°, 12°, 42°, 42° from the nearest photo, new ones at 92°, 80°, 80°, 122°.
    assert table["auroc"].value == 1.0 and table["false_new"].value == 0.0
    assert table.open_set is not None and table.open_set.threshold == pytest.approx(math.cos(math.radians(80)))
    assert table.angles is not None and table.angles.same[2] == table.angles.same[8] == 0.5


def test_a_singleton_stands_in_everybodys_ranking_asks_nothing_and_counts_as_new() -> None:
    scores = np.array([[0, 1, 5], [1, 0, 0], [5, 0, 0]], float)
    photos = [EvaluationPhoto(str(i), name, name) for i, name in enumerate("aab")]
    table = evaluate_scores(scores, photos, resamples=0)["all", "as_seen"]
    assert (table.queries, table.individuals, table.photos) == (2, 1, 3)
    assert table["t1"].value == 0.5
    assert table.open_set is not None and (table.open_set.known_cases, table.open_set.new_cases) == (2, 3)
    # Known 5 and 1; new: a's photos against b 5 and 0, b's photo 5.
    assert table["auroc"].value == pytest.approx((0.5 + 1 + 0.5 + 0 + 1 + 0) / 6)
    assert table["false_new"].value == 1.0


def test_a_photo_without_label_is_nobodys_match_and_neither_known_nor_new() -> None:
    scores = np.array([[0, 1, 5], [1, 0, 0], [5, 0, 0]], float)
    names = ["a", "a", "?"]
    photos = [EvaluationPhoto(str(i), name, name, labelled=name != "?") for i, name in enumerate(names)]
    report = evaluate_scores(scores, photos, resamples=20)
    table = report["all", "as_seen"]
    assert (report.identities, report.individuals, table.queries, table.photos) == (1, 1, 2, 3)
    assert table["t1"].value == 0.5 and np.isnan(table["t1"].low)
    assert table.open_set is not None and (table.open_set.known_cases, table.open_set.new_cases) == (2, 2)
    assert "1 of them without label" in table.reason
    assert report.pairs["wrong"] == ()


def test_the_other_flank_of_the_same_animal_is_no_hit_and_not_among_the_new() -> None:
    scores = np.array([[0, 9, 1, 2], [9, 0, 1, 2], [1, 1, 0, 3], [2, 2, 3, 0]], float)
    names = [("a_left", "a"), ("a_right", "a"), ("a_left", "a"), ("b", "b")]
    photos = [EvaluationPhoto(str(i), identity, animal) for i, (identity, animal) in enumerate(names)]
    table = evaluate_scores(scores, photos, resamples=0)["all", "as_seen"]
    assert table.queries == 2 and table["t1"].value == 0.0
    assert table.open_set is not None and table.open_set.threshold == 3.0
    assert table.open_set.new_cases == 4


def test_equal_scores_are_worth_what_chance_is() -> None:
    rng = np.random.default_rng(2)
    photos = herd(rng)
    for table in evaluate_scores(np.zeros((40, 40)), photos, mirrored=np.zeros((40, 40)), resamples=0).tables.values():
        for name in ("t1", "t5", "dt5ap", "map"):
            assert table[name].value == pytest.approx(table.chance[name])
        assert table["auroc"].value == 0.5


def test_random_scores_reach_chance() -> None:
    rng = np.random.default_rng(3)
    photos = [EvaluationPhoto(str(i), str(i // 4), str(i // 4)) for i in range(120)]
    found: dict[str, list[float]] = {}
    for _ in range(30):
        table = evaluate_scores(rng.random((120, 120)), photos, resamples=0)["all", "as_seen"]
        for name in table.chance:
            found.setdefault(name, []).append(table[name].value)
    for name, values in found.items():
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - table.chance[name]) < 4 * error, name
    assert table.chance["t1"] == pytest.approx(3 / 119)
    assert 0.5 < table.chance["auroc"] < 0.51


@pytest.mark.parametrize("names", ["", "a", "ab", "aa"])
def test_too_little_to_measure_is_none_and_no_error(names: str) -> None:
    photos = [EvaluationPhoto(str(i), name, name) for i, name in enumerate(names)]
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(len(names), 4))) if names else np.zeros((0, 4))
    report = evaluate_vectors(vectors, photos, mirrored=vectors, resamples=50)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    figures = values["tables"]["all"]["as_seen"]["figures"]
    assert figures["auroc"]["value"] is None
    assert figures["t1"]["value"] == (1.0 if names == "aa" else None)
    assert figures["t1"]["low"] is None
    assert values["tables"]["other_events"]["as_seen"]["known"] is False


def test_photos_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        evaluate_vectors(np.eye(2), [EvaluationPhoto("k", "a", "a")] * 2)
    with pytest.raises(ValueError, match="belongs to A and to B"):
        evaluate_vectors(np.eye(2), [EvaluationPhoto("1", "a", "A"), EvaluationPhoto("2", "a", "B")])
    with pytest.raises(ValueError, match="no direction"):
        evaluate_vectors(np.zeros((1, 3)), [EvaluationPhoto("1", "a", "A")])
    with pytest.raises(ValueError, match="do not belong to 1 photos"):
        evaluate_vectors(np.eye(2), [EvaluationPhoto("1", "a", "A")])
    with pytest.raises(ValueError, match="do not belong to 1 photos"):
        evaluate_scores(np.eye(2), [EvaluationPhoto("1", "a", "A")])
    with pytest.raises(ValueError, match="not one of left"):
        EvaluationPhoto("1", "a", "A", flank="Left")
