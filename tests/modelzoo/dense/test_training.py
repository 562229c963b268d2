"""The loss against its formula in float64, and a tiny training: it learns, repeats itself, and resumes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from modelzoo.dense.bank import render_bank
from modelzoo.dense.losses import Correspondences, DenseLoss
from modelzoo.dense.network import DenseConfig, DenseNet, initial_network
from modelzoo.dense.pairs import PairConfig
from modelzoo.dense.training import DenseTrainer, DenseTraining, draw_batch, learning_rate, settled_statistics

TINY = DenseConfig(dimension=16, stem=4, fine=8, middle=8, coarse=8)
TRAINING = DenseTraining(
    steps=4, pairs=2, places=24, others=16, rate=5e-3, warmup=1, cooldown=1, save_every=2, autocast=False, network=TINY,
    windows=PairConfig(width=64, height=48, cover=0.0, scenery=0.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def bank():
    return render_bank(3, flanks=2, views=2, size=(192, 96))


def _unit(rng, n, d=5):
    rows = rng.standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _loss_in_float64(q, c, o, source, target, near, trust, ground, temperature, weight):
    """Written out place by place from the definition."""
    contrast, right = 0.0, []
    for k, (i, j) in enumerate(zip(source, target, strict=True)):
        wrong = [q[i] @ c[m] for m in range(len(c)) if not near[k][m]] + [q[i] @ row for row in o]
        everything = np.array([q[i] @ c[j], *wrong]) / temperature
        contrast += np.log(np.exp(everything - everything.max()).sum()) + everything.max() - everything[0]
        right.append(max(q[i] @ c[m] for m in range(len(c)) if near[k][m]) > max(wrong))
    terms = [(-np.log(1 / (1 + np.exp(-trust[i]))) if hit else -np.log(1 - 1 / (1 + np.exp(-trust[i]))))
             for i, hit in zip(source, right, strict=True)]  # fmt: skip
    terms += [0.25 * -np.log(1 - 1 / (1 + np.exp(-trust[i]))) for i in np.flatnonzero(ground)]
    return contrast / len(source) + weight * np.mean(terms), right


def test_loss_is_its_formula():
    rng = np.random.default_rng(0)
    q, c, o = _unit(rng, 9), _unit(rng, 11), _unit(rng, 4)
    q[1] = c[3]  # one that is surely right
    source, target = [1, 4, 7], [3, 0, 10]
    near = rng.random((3, 11)) < 0.2
    near[range(3), target] = True
    trust, ground = rng.standard_normal(9), np.arange(9) >= 6
    expected, right = _loss_in_float64(q, c, o, source, target, near, trust, ground, 0.1, 0.3)
    found = Correspondences(torch.tensor(source), torch.tensor(target), torch.from_numpy(near))
    loss, hits = DenseLoss(0.1, 0.3)(
        *(torch.from_numpy(v).float() for v in (q, c, o)),
        found,
        torch.from_numpy(trust).float(),
        torch.from_numpy(ground),
    )
    assert hits.tolist() == right and right[0]
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_gradient_of_the_loss_is_the_formulas():
    rng = np.random.default_rng(1)
    q, c, o = _unit(rng, 6), _unit(rng, 7), _unit(rng, 3)
    near = np.zeros((2, 7), bool)
    near[0, [1, 2]], near[1, 5] = True, True
    trust, ground = rng.standard_normal(6), np.zeros(6, bool)
    found = Correspondences(torch.tensor([0, 3]), torch.tensor([2, 5]), torch.from_numpy(near))
    at = torch.from_numpy(q).requires_grad_()
    loss, _ = DenseLoss(0.2, 0.5)(
        at, torch.from_numpy(c), torch.from_numpy(o), found, torch.from_numpy(trust).float(), torch.from_numpy(ground)
    )
    loss.backward()

    def value(rows):
        return _loss_in_float64(rows, c, o, [0, 3], [2, 5], near, trust, ground, 0.2, 0.5)[0]

    for i, k in ((0, 0), (3, 2), (3, 4), (5, 1)):
        moved = np.zeros_like(q)
        moved[i, k] = 1e-6
        assert float(at.grad[i, k]) == pytest.approx((value(q + moved) - value(q - moved)) / 2e-6, abs=1e-5)


def test_no_correspondence_is_no_loss_and_no_nan(bank):
    trainer = DenseTrainer(TRAINING)
    batch = draw_batch(bank, TRAINING, 0)
    for pair in batch:
        for window in pair:
            window.coat[:] = np.nan
    result = trainer.take_step(batch)
    assert result.loss == 0.0 and result.right == 0.0
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())


def test_training_lowers_the_loss_on_what_it_sees(bank):
    trainer = DenseTrainer(TRAINING)
    batch = draw_batch(bank, TRAINING, 0)
    losses = [trainer.take_step(batch).loss for _ in range(8)]
    assert min(losses[-3:]) < losses[0] - 0.3


def test_other_coats_are_the_negatives_of_a_window():
    trainer = DenseTrainer(TRAINING)
    rows = torch.arange(6)[:, None, None].expand(6, 5, 3).float()
    drawn = trainer._others(rows, torch.Generator().manual_seed(0))
    for i, others in enumerate(drawn):
        assert len(others) == TRAINING.others
        assert set(others[:, 0].long().tolist()) <= set(range(6)) - {i, i ^ 1}
    assert len(set(drawn[0][:, 0].tolist())) > 1
    assert trainer._others(rows[:2], torch.Generator())[0].shape == (0, 3)


def test_same_seed_same_weights_and_a_resumed_run_ends_the_same(bank, tmp_path):
    whole = DenseTrainer(TRAINING).run(bank).state_dict()
    stopped = DenseTrainer(TRAINING)

    class Killed(Exception):
        pass

    def kill(step, steps, text):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        stopped.run(bank, tmp_path, kill)
    again = DenseTrainer(TRAINING).run(bank, tmp_path).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0)
    with pytest.raises(ValueError, match="other settings"):
        DenseTrainer(DenseTraining(seed=9, network=TINY)).resume(tmp_path)


def test_learning_rate_rises_then_falls():
    training = DenseTraining(steps=100, warmup=10, horizon=100, cooldown=1, rate=1.0)
    rates = [learning_rate(training, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates.index(max(rates)) in (9, 10)
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] < 0.03
    ended = [learning_rate(replace(training, steps=60, cooldown=20), step) for step in range(60)]
    assert ended[:41] == pytest.approx(rates[:41]) and ended[50] == pytest.approx(rates[50] / 2)
    assert ended[-1] == pytest.approx(rates[59] / 20)


def test_the_untrained_control_has_the_same_weights_and_settled_statistics(bank):
    start = initial_network(TINY, 4)
    before = {k: v.clone() for k, v in start.state_dict().items()}
    control = settled_statistics(start, bank, TRAINING, batches=3)
    for name, parameter in control.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name])
    assert not torch.allclose(control.state_dict()["merge.1.running_var"], before["merge.1.running_var"])
    assert not control.training


def test_network_gives_unit_descriptors_for_every_fourth_pixel():
    net = DenseNet(TINY).eval()
    descriptors, reliability = net(torch.randn(2, 1, 48, 64))
    assert descriptors.shape == (2, 16, 12, 16) and reliability.shape == (2, 12, 16)
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(2, 12, 16))
    first, second = initial_network(TINY, 3).state_dict(), initial_network(TINY, 3).state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_settings_of_another_model_are_refused():
    assert DenseConfig.from_dict(TINY.to_dict()) == TINY
    with pytest.raises(ValueError, match="coatnet"):
        DenseConfig.from_dict({"kind": "coatnet"})
    with pytest.raises(ValueError, match="widht"):
        DenseConfig.from_dict({"widht": 3})
    with pytest.raises(ValueError, match="positive"):
        DenseConfig(dimension=0)
