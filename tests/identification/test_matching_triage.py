"""Names compared and marks learned from, without a database."""

from __future__ import annotations

import numpy as np
import pytest

from identification.matching.species import Named, species_named
from identification.matching.triage import (
    Scale,
    auroc,
    learn,
    likeness,
    ordinariness,
    platt,
    thinned,
)


@pytest.mark.parametrize(
    ("said", "wanted", "expected"),
    [
        ("", "Panthera pardus", Named.UNKNOWN),
        ("Axis axis", "", Named.UNKNOWN),
        ("PANTHERA  pardus", "Panthera pardus", Named.SAME),
        ("Panthera_pardus", "panthera pardus", Named.SAME),
        ("panthera pardus fusca", "Panthera pardus", Named.SAME),
        ("Panthera pardus", "Panthera pardus fusca", Named.SAME),
        ("Panthera pardus orientalis", "Panthera pardus fusca", Named.UNKNOWN),
        ("Panthera pardus (Linnaeus, 1758)", "Panthera pardus", Named.SAME),
        ("Panthera tigris", "Panthera pardus", Named.OTHER),
        ("axis axis", "Panthera pardus", Named.OTHER),
        ("Sus scrofa", "Panthera pardus", Named.OTHER),
        ("Hyaena hyaena", "Panthera pardus", Named.OTHER),
        ("Canis lupus familiaris", "Panthera pardus", Named.OTHER),
        ("Panthera", "Panthera pardus", Named.UNKNOWN),
        ("Panthera sp.", "Panthera pardus", Named.UNKNOWN),
        ("Canis sp.", "Panthera pardus", Named.OTHER),
        ("Felidae", "Panthera pardus", Named.UNKNOWN),
        # Common names: nothing is put aside because of them.
        ("snow leopard", "Panthera uncia", Named.UNKNOWN),
        ("Spotted hyena", "Panthera pardus", Named.UNKNOWN),
        ("mountain nyala", "Tragelaphus buxtoni", Named.UNKNOWN),
        ("plains zebra", "Equus quagga", Named.UNKNOWN),
        ("Leopard", "leopard", Named.SAME),
        ("tiger", "leopard", Named.UNKNOWN),
        ("animal", "Panthera pardus", Named.UNKNOWN),
        ("Unknown", "unknown", Named.UNKNOWN),
        ("5f;mammalia;carnivora;felidae;panthera;pardus;leopard", "Panthera pardus", Named.SAME),
        ("5f;mammalia;cetartiodactyla;cervidae;axis;axis;chital", "Panthera pardus", Named.OTHER),
        ("5f;mammalia;carnivora;felidae;;;cat family", "Panthera pardus", Named.UNKNOWN),
        ("5f;mammalia;carnivora;canidae;canis;;canis species", "Panthera pardus", Named.OTHER),
    ],
)
def test_what_a_name_says_beside_another(said: str, wanted: str, expected: Named) -> None:
    assert species_named(said, wanted) == expected


def _clouds(number: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two kinds in 40 dimensions, alternating; which are wanted."""
    rng = np.random.default_rng(seed)
    wanted = np.arange(number) % 2 == 0
    rows = rng.normal(0, 1, (number, 40))
    rows[:, 0] += np.where(wanted, apart, -apart)
    return rows, wanted


def test_nothing_is_learned_from_too_few_or_one_kind() -> None:
    rows, wanted = _clouds(8, 3)
    assert learn(rows[:0], [], []) is None
    assert learn(rows[:3], wanted[:3], [0, 1, 2]) is None
    assert learn(rows[wanted], wanted[wanted], range(4)) is None
    # Two photos of one encounter are one mark: nothing could be left out.
    assert learn(rows, wanted, ["a" if w else i for i, w in enumerate(wanted)]) is None


def test_marks_that_are_left_out_are_told_as_if_they_had_not_been_there() -> None:
    rows, wanted = _clouds(24, 0.8)
    groups = [index // 3 for index in range(24)]
    learned = learn(rows, wanted, groups)
    assert learned is not None
    target = np.where(wanted, 0.5 / wanted.mean(), -0.5 / (~wanted).mean())
    for group in set(groups):
        out = np.asarray(groups) == group
        kernel = rows[~out] @ rows[~out].T + 0.1 * np.eye((~out).sum())
        weights = rows[~out].T @ np.linalg.solve(kernel, target[~out])
        assert np.allclose(rows[out] @ weights, learned.left_out[out])


def test_probabilities_follow_the_marks_and_few_marks_stay_careful() -> None:
    rows, wanted = _clouds(400, 2.5)
    scaled = Scale.of(rows).apply(rows)
    few, many = (learn(scaled[:n], wanted[:n], range(n)) for n in (6, 200))
    assert few is not None and many is not None
    sure = many.probability(many.decision(scaled[200:]))
    assert auroc(sure, wanted[200:]) > 0.99
    assert sure[wanted[200:]].mean() > 0.9 and sure[~wanted[200:]].mean() < 0.1
    careful = few.probability(few.decision(scaled[200:]))
    assert auroc(careful, wanted[200:]) > 0.9
    assert np.abs(careful - 0.5).mean() < np.abs(sure - 0.5).mean() - 0.1


def test_marks_without_a_difference_teach_no_certainty() -> None:
    rows, wanted = _clouds(100, 0)
    learned = learn(rows, wanted, range(100))
    assert learned is not None and 0.25 < learned.auroc < 0.75
    fresh, _ = _clouds(200, 0, seed=1)
    assert np.abs(learned.probability(learned.decision(fresh)) - 0.5).max() < 0.35


def test_how_many_there_are_of_each_kind_does_not_move_the_line() -> None:
    rows, wanted = _clouds(600, 1.5)
    scaled = Scale.of(rows).apply(rows)
    few_wanted = np.concatenate([np.flatnonzero(wanted)[:15], np.flatnonzero(~wanted)[:150]])
    few_others = np.concatenate([np.flatnonzero(wanted)[:150], np.flatnonzero(~wanted)[:15]])
    means = []
    for marks in (few_wanted, few_others):
        learned = learn(scaled[marks], wanted[marks], marks)
        assert learned is not None
        means.append(float(learned.probability(learned.decision(scaled[400:])).mean()))
    assert abs(means[0] - means[1]) < 0.15 and all(0.35 < mean < 0.65 for mean in means)


def test_a_curve_through_balanced_scores_is_even_and_never_falls() -> None:
    scores = np.array([2.0, 1.0, -1.0, -2.0])
    slope, offset = platt(scores, scores > 0)
    assert slope > 0 and abs(offset) < 1e-6
    assert platt(scores, scores < 0)[0] == 0.0


def test_auroc_counts_pairs_in_the_right_order() -> None:
    truth = np.array([True, False, True, False])
    assert auroc(np.array([3.0, 1.0, 2.0, 0.0]), truth) == 1.0
    assert auroc(np.array([1.0, 1.0, 1.0, 1.0]), truth) == 0.5
    assert auroc(np.array([0.0, 3.0, 2.0, 1.0]), truth) == 0.25
    assert auroc(np.array([1.0]), np.array([True])) is None


def test_one_kind_alone_gives_an_order_towards_or_away_from_it() -> None:
    rows, wanted = _clouds(100, 2)
    scaled = Scale.of(rows).apply(rows)
    assert auroc(likeness(scaled[20:], scaled[:20][wanted[:20]], wanted=True), wanted[20:]) > 0.9
    assert auroc(likeness(scaled[20:], scaled[:20][~wanted[:20]], wanted=False), wanted[20:]) > 0.9


def test_what_is_rare_is_not_ordinary() -> None:
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(0, 1, (90, 5)), rng.normal(6, 4, (10, 5))])
    assert auroc(ordinariness(rows, rows), np.arange(100) < 90) > 0.9
    assert ordinariness(rows[:1], rows[:1]).shape == (1,)


def test_scaled_rows_have_the_share_they_are_given_and_constants_count_nothing() -> None:
    rows = np.hstack([np.random.default_rng(0).normal(5, 3, (50, 4)), np.full((50, 1), 7.0)])
    scaled = Scale.of(rows, each=True, share=0.2).apply(rows)
    assert np.allclose(scaled.mean(0), 0) and np.isclose((scaled**2).sum(1).mean(), 0.2)
    assert (scaled[:, 4] == 0).all()


def test_many_marks_are_thinned_evenly_over_their_groups() -> None:
    groups = ["herd"] * 50 + ["one", "two"]
    kept = thinned(groups, 10)
    assert len(kept) == 10 and {50, 51} <= set(kept)
    assert thinned(groups, 100) == list(range(52))
