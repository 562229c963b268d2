"""CosFace, ArcFace and the adaptive margin, each recomputed from its formula in float64 without torch."""

import math

import numpy as np
import pytest
import torch

from modelzoo.losses import AdaptiveCosFace, ArcFace, CosFace, make_loss

NAMES = ("cosface", "arcface", "adaptive_cosface")
USUAL_MARGIN = {"cosface": 0.2, "arcface": 0.5, "adaptive_cosface": 0.28}


def target(name: str, cosine: float, m: float) -> float:
    if name == "cosface":
        return cosine - m
    if name == "arcface":
        theta = math.acos(cosine)
        return math.cos(theta + m) if theta <= math.pi - m else cosine - m * math.sin(m)
    h = ((1 - cosine**2) ** 4 + 0.1) / 1.1
    return cosine - m * h


def oracle(name: str, rows: np.ndarray, prototypes: np.ndarray, labels: list[int], m: float, s: float) -> float:
    total = 0.0
    for row, label in zip(rows, labels, strict=True):
        logits = []
        for j, prototype in enumerate(prototypes.T):
            cosine = float(row @ prototype / math.sqrt((row @ row) * (prototype @ prototype)))
            logits.append(s * (target(name, cosine, m) if j == label else cosine))
        top = max(logits)
        total += top + math.log(sum(math.exp(v - top) for v in logits)) - logits[label]
    return total / len(rows)


def slopes(function, at: np.ndarray) -> np.ndarray:
    """Central differences, entry by entry."""
    found = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[i] = 1e-6
        found[i] = (function(at + step) - function(at - step)) / 2e-6
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("m", "s"), [(None, 64.0), (0.1, 5.0), (0.0, 1.0)])
def test_loss_and_gradients_are_those_of_the_formula(name, m, s):
    draw = np.random.default_rng(3)
    rows, prototypes = draw.normal(size=(7, 4)), draw.normal(size=(4, 5))
    rows[0] = -3.0 * prototypes[:, 1] + 0.3 * draw.normal(size=4)
    labels = [1, 0, 4, 4, 2, 1, 3]
    loss = make_loss(name, 5, 4, m, s).double()
    loss.prototypes.data = torch.tensor(prototypes)
    embeddings = torch.tensor(rows, requires_grad=True)
    value = loss(embeddings, torch.tensor(labels))
    value.backward()
    used = USUAL_MARGIN[name] if m is None else m
    assert value.item() == pytest.approx(oracle(name, rows, prototypes, labels, used, s), rel=1e-10)
    by_rows = slopes(lambda at: oracle(name, at, prototypes, labels, used, s), rows)
    by_prototypes = slopes(lambda at: oracle(name, rows, at, labels, used, s), prototypes)
    assert embeddings.grad.numpy() == pytest.approx(by_rows, rel=1e-5, abs=1e-6)
    assert loss.prototypes.grad.numpy() == pytest.approx(by_prototypes, rel=1e-5, abs=1e-6)


def test_the_gradient_flows_through_the_adaptive_margin():
    """d/dcosθ of cosθ − m·h is 1 + 8·m·cosθ·(1 − cos²θ)³/1.1: with a constant margin it would be 1."""
    cosine = torch.tensor([-0.7, -0.2, 0.0, 0.4, 0.9], dtype=torch.float64, requires_grad=True)
    AdaptiveCosFace(2, 2, margin=0.28).modify_cosine_of_target_classes(cosine).sum().backward()
    c = cosine.detach().numpy()
    assert cosine.grad.numpy() == pytest.approx(1 + 8 * 0.28 * c * (1 - c**2) ** 3 / 1.1)


def test_the_adaptive_margin_is_largest_at_right_angles_and_an_eleventh_on_the_prototype():
    loss = AdaptiveCosFace(2, 2, margin=0.28)
    moved = loss.modify_cosine_of_target_classes(torch.tensor([0.0, 1.0, -1.0]))
    assert moved.tolist() == pytest.approx([-0.28, 1 - 0.28 / 11, -1 - 0.28 / 11], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_length_of_the_embeddings_does_not_count(name):
    loss = make_loss(name, 3, 8)
    rows, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    assert loss.wants_unit_rows
    assert loss(rows, labels).item() == pytest.approx(loss(rows * 7.0, labels).item(), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_prototypes_are_trained_unless_they_are_kept_as_drawn(name):
    rows, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    for trained in (True, False):
        loss = make_loss(name, 3, 8, train_prototypes=trained)
        before = loss.prototypes.detach().clone()
        net = torch.nn.Linear(8, 8)
        parameters = [p for p in (*net.parameters(), *loss.parameters()) if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, lr=0.01)
        loss(net(rows), labels).backward()
        optimiser.step()
        assert torch.equal(loss.prototypes, before) is not trained


def test_prototypes_are_about_as_long_as_embeddings_and_drawn_with_the_generator():
    one = make_loss("cosface", 50, 256, generator=torch.Generator().manual_seed(1))
    torch.rand(7)
    again = make_loss("cosface", 50, 256, generator=torch.Generator().manual_seed(1))
    other = make_loss("cosface", 50, 256, generator=torch.Generator().manual_seed(2))
    assert torch.equal(one.prototypes, again.prototypes)
    assert not torch.equal(one.prototypes, other.prototypes)
    assert one.prototypes.shape == (256, 50)
    assert one.prototypes.norm(dim=0).mean().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_leaves_prototypes_and_loss_in_float32(name):
    loss = make_loss(name, 3, 8)
    rows, labels = torch.randn(4, 8).bfloat16(), [0, 1, 2, 0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(rows, torch.tensor(labels))
    assert value.dtype == loss.prototypes.dtype == torch.float32
    as_numbers = rows.double().numpy(), loss.prototypes.detach().double().numpy()
    assert value.item() == pytest.approx(oracle(name, *as_numbers, labels, USUAL_MARGIN[name], 64.0), rel=1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_arcface_has_a_gradient_on_the_prototype_itself(sign):
    """And opposite to it: a cosine of exactly 1 or −1."""
    loss = ArcFace(2, 2)
    loss.prototypes.data = torch.eye(2)
    rows = torch.diag(torch.tensor([sign, sign])).requires_grad_()
    loss(rows, torch.tensor([0, 1])).backward()
    assert torch.isfinite(rows.grad).all()
    assert torch.isfinite(loss.prototypes.grad).all()


@pytest.mark.parametrize("change", [{"classes": 0}, {"dimension": 0}, {"scale": 0.0}, {"margin": -0.1}])
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError):
        CosFace(**({"classes": 3, "dimension": 4} | change))


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="no loss 'hinge'; there are triplet"):
        make_loss("hinge", 2, 2)


@pytest.mark.parametrize("name", NAMES)
def test_identities_of_one_photo_are_left_out(name):
    assert make_loss(name, 2, 2).drops_singletons
