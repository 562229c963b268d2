"""Triplet and contrastive loss, recomputed pair by pair in float64."""

import math

import numpy as np
import pytest
import torch

from modelzoo.losses import Contrastive, Triplet, make_loss

LABELS = [0, 0, 0, 1, 1, 2, 3, 3]


def batch(scale: float, seed: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(LABELS), 3)) * scale


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)))


def pairs() -> list[tuple[int, int]]:
    n = len(LABELS)
    return [(a, p) for a in range(n) for p in range(n) if a != p and LABELS[a] == LABELS[p]]


def chances(rows: np.ndarray, a: int, p: int, margin: float, mining: bool) -> list[float]:
    """Weight of each photo as the negative of the pair."""
    negatives = [i for i in range(len(rows)) if LABELS[i] != LABELS[a]]
    ap = distance(rows[a], rows[p])
    semi_hard = [i for i in negatives if ap < distance(rows[a], rows[i]) < ap + margin] if mining else []
    if semi_hard:
        return [1 / distance(rows[a], rows[i]) if i in semi_hard else 0.0 for i in range(len(rows))]
    return [1.0 if i in negatives else 0.0 for i in range(len(rows))]


@pytest.mark.parametrize(("epoch", "mining"), [(1, False), (3, False), (4, True), (80, True)])
@pytest.mark.parametrize(("scale", "margin"), [(1.0, 0.5), (6.0, 10.0)])
def test_triplets_and_loss_are_those_of_the_paper(epoch, mining, scale, margin):
    rows = batch(scale)
    weights = torch.tensor([chances(rows, a, p, margin, mining) for a, p in pairs()], dtype=torch.float64)
    drawn = torch.multinomial(weights, 1, generator=torch.Generator().manual_seed(8))[:, 0].tolist()
    terms = [
        max(distance(rows[a], rows[p]) - distance(rows[a], rows[n]) + margin, 0.0)
        for (a, p), n in zip(pairs(), drawn, strict=True)
    ]
    loss = Triplet(margin, torch.Generator().manual_seed(8))
    loss.set_epoch(epoch)
    embeddings = torch.tensor(rows, requires_grad=True)
    value = loss(embeddings, torch.tensor(LABELS))
    assert value.item() == pytest.approx(sum(terms) / len(terms), rel=1e-10)
    value.backward()
    expected = np.zeros_like(rows)
    for (a, p), n, term in zip(pairs(), drawn, terms, strict=True):
        if term > 0:
            to_p = (rows[a] - rows[p]) / distance(rows[a], rows[p]) / len(terms)
            to_n = (rows[a] - rows[n]) / distance(rows[a], rows[n]) / len(terms)
            expected[a] += to_p - to_n
            expected[p] -= to_p
            expected[n] += to_n
    assert embeddings.grad.numpy() == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_negatives_are_drawn_by_inverse_distance_and_only_semi_hard_ones():
    """Anchor and positive 1 apart; negatives at 0.5 (harder), 2, 4 (semi-hard: ⅔ and ⅓) and 20 (too easy)."""
    rows = torch.tensor([[0.0], [1.0], [-0.5], [-2.0], [-4.0], [-20.0]])
    labels = torch.tensor([0, 0, 1, 2, 3, 4])
    loss = Triplet(10.0, torch.Generator().manual_seed(0))
    loss.set_epoch(4)
    counts = dict.fromkeys(range(6), 0)
    for _ in range(3000):
        anchors, positives, negatives = loss.choose(rows, labels)
        assert (anchors.tolist(), positives.tolist()) == ([0, 1], [1, 0])
        counts[int(negatives[0])] += 1
    assert [counts[i] for i in (0, 1, 2, 5)] == [0, 0, 0, 0]
    assert counts[3] / 3000 == pytest.approx(2 / 3, abs=0.03)


def test_without_a_semi_hard_negative_any_is_drawn():
    rows = torch.tensor([[0.0], [5.0], [-0.5], [-1.0]])
    loss = Triplet(1.0, torch.Generator().manual_seed(0))
    loss.set_epoch(4)
    drawn = [int(loss.choose(rows, torch.tensor([0, 0, 1, 2]))[2][0]) for _ in range(400)]
    assert set(drawn) == {2, 3}
    assert drawn.count(2) / 400 == pytest.approx(0.5, abs=0.1)


def test_photos_alone_with_their_identity_are_negatives_and_never_anchors():
    anchors, positives, negatives = Triplet().choose(torch.randn(4, 2), torch.tensor([0, 0, 1, 2]))
    assert sorted(anchors.tolist()) == sorted(positives.tolist()) == [0, 1]
    assert set(negatives.tolist()) <= {2, 3}
    assert not Triplet().drops_singletons


@pytest.mark.parametrize("labels", [[], [0], [0, 1, 2], [5, 5, 5]])
def test_a_batch_without_triplets_costs_nothing_and_can_be_trained_on(labels):
    rows = torch.randn(len(labels), 4, requires_grad=True)
    value = Triplet()(rows, torch.tensor(labels, dtype=torch.int64))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


def test_the_papers_margin_is_the_default_and_can_be_met_only_by_rows_that_are_not_normalised():
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[0.0, 0.0], [0.0, 0.0], [30.0, 0.0], [30.0, 0.0]])
    loss = make_loss("triplet", 2, 2)
    assert loss.margin == 10.0
    assert not loss.wants_unit_rows
    assert loss(apart, labels).item() == 0.0
    opposite = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert loss(opposite, labels).item() == pytest.approx(8.0)


def test_equal_rows_give_a_finite_gradient():
    rows = torch.ones(4, 3, requires_grad=True)
    loss = Triplet()
    loss.set_epoch(4)
    loss(rows, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("margin", [0.4, 1.0])
def test_contrastive_loss_and_gradient_are_those_of_the_formula(seed, margin):
    rows = batch(5.0, seed)

    def formula(at: np.ndarray) -> float:
        unit = [row / distance(row, np.zeros(3)) for row in at]
        n = len(unit)
        same = [distance(unit[a], unit[p]) for a, p in pairs()]
        other = [
            margin - distance(unit[i], unit[j])
            for i in range(n)
            for j in range(n)
            if LABELS[i] != LABELS[j] and distance(unit[i], unit[j]) < margin
        ]
        return sum(same) / len(same) + (sum(other) / len(other) if other else 0.0)

    embeddings = torch.tensor(rows, requires_grad=True)
    value = make_loss("contrastive", 4, 3, margin)(embeddings, torch.tensor(LABELS))
    value.backward()
    assert value.item() == pytest.approx(formula(rows), rel=1e-9)
    for i in np.ndindex(rows.shape):
        step = np.zeros_like(rows)
        step[i] = 1e-6
        slope = (formula(rows + step) - formula(rows - step)) / 2e-6
        assert embeddings.grad[i].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_a_batch_without_pairs_costs_nothing():
    assert Contrastive()(torch.randn(1, 3), torch.tensor([0])).item() == 0.0


@pytest.mark.parametrize("loss", [Triplet(), Contrastive()])
def test_distances_of_half_precision_embeddings_are_computed_in_float32(loss):
    rows, labels = (torch.randn(8, 16) * 4).bfloat16(), torch.tensor(LABELS)
    torch.manual_seed(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(rows, labels)
    torch.manual_seed(6)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(rows.double(), labels).item(), rel=1e-5)
    assert loss.prototypes is None


def test_impossible_settings_are_refused():
    for wrong in (lambda: Triplet(0.0), lambda: Contrastive(0.0), lambda: Contrastive(2.5)):
        with pytest.raises(ValueError, match="margin"):
            wrong()
    with pytest.raises(ValueError, match="from 1"):
        Triplet().set_epoch(0)
