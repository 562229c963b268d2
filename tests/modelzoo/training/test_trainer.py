"""Training from photos to weights."""

import json
import random

import numpy as np
import pytest
import torch
from torch.nn import functional

from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, load_weights
from modelzoo.training.data import TrainingPhoto
from modelzoo.training.network_run import NetworkRun
from modelzoo.training.results import TrainingError
from modelzoo.training.splits import TooFewPhotosError
from modelzoo.training.trainer import train
from tests.modelzoo.training.tiny import file_hash, tiny_config, tiny_photos, tiny_train


def test_no_photos_are_too_few(tmp_path):
    with pytest.raises(TooFewPhotosError, match="training needs two flanks"):
        train([], [], tiny_config(), tmp_path)


def test_an_animal_cannot_be_trained_on_and_validated_with(tmp_path):
    photos = tiny_photos(tmp_path, 0, 4)
    with pytest.raises(ValueError, match="in both: 2, 3"):
        train(photos, tiny_photos(tmp_path, 2, 3), tiny_config(), tmp_path / "run")


def test_a_run_gives_the_embedding_network_of_its_best_epoch(tmp_path):
    told = []
    result = tiny_train(tmp_path, "run", progress=told.append)
    assert result.outcome == "finished"
    assert result.epochs_run == 3
    assert [row["epoch"] for row in result.history] == [0, 1, 2, 3]
    scores = [row["dtkap"] for row in result.history]
    assert result.best_epoch == scores.index(max(scores))
    assert result.sha256 == file_hash(result.weights)
    state = load_weights(result.weights, sha256=result.sha256)
    net = CoatNet(EmbeddingConfig.from_dict(result.embedding_config))
    net.load_state_dict(state)
    assert result.embedding_config["dimension"] == 16
    assert told[-1].step == told[-1].steps
    assert [p.step for p in told] == sorted(p.step for p in told)
    assert f"best {max(scores):.3f}" in told[-1].message


def test_training_learns_its_own_animals(tmp_path):
    result = tiny_train(tmp_path, "run", tiny_config(epochs=8, augment=False))
    last = result.history[-1]
    assert last["loss"] < 0.7 * result.history[1]["loss"]
    assert last["train_angle_same"] < last["train_angle_different"] - 15
    assert last["train_angle_prototype"] < result.history[1]["train_angle_prototype"]


def test_what_a_run_leaves_in_its_folder(tmp_path):
    result = tiny_train(tmp_path, "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"weights.safetensors", "result.json", "run.json", "plots", "tensorboard"}
    assert {path.name for path in (tmp_path / "run" / "plots").iterdir()} == {"loss.png", "dtkap.png", "angles.png"}
    assert tiny_train(tmp_path, "run") == result
    assert json.loads((tmp_path / "run" / "result.json").read_text())["outcome"] == "finished"


def test_tensorboard_reads_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = tiny_train(tmp_path, "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = [scalar.value for scalar in events.Scalars("epoch/dtkap")]
    assert logged == pytest.approx([row["dtkap"] for row in result.history])
    assert len(events.Scalars("step/loss")) == 9
    assert {"epoch/angle_same", "epoch/train_angle_prototype", "step/learning_rate"} <= set(events.Tags()["scalars"])


def test_another_runs_folder_is_refused(tmp_path):
    tiny_train(tmp_path, "run", tiny_config(epochs=1))
    with pytest.raises(TrainingError, match="other settings, photos"):
        tiny_train(tmp_path, "run", tiny_config(epochs=2))
    with pytest.raises(TrainingError, match="weights to start from"):
        tiny_train(tmp_path, "run", tiny_config(epochs=1), start=initial_weights(tiny_config().embedding_config(), 1))


def test_training_stops_when_validation_gets_no_better(tmp_path):
    result = tiny_train(tmp_path, "run", tiny_config(epochs=60, patience=2, learning_rate=1e-9, augment=False))
    assert result.outcome == "early_stop"
    scores = [row["dtkap"] for row in result.history[1:]]
    assert result.epochs_run == scores.index(max(scores)) + 1 + 2
    assert tiny_train(tmp_path, "run", tiny_config(epochs=60, patience=2, learning_rate=1e-9, augment=False)) == result


def test_a_cancelled_run_goes_on_to_the_same_weights(tmp_path):
    whole = tiny_train(tmp_path, "whole")
    steps = 0
    for stop_after in (1, 3, 2, 99):
        asked = iter(range(1, 1000))
        part = tiny_train(tmp_path, "parts", should_stop=lambda asked=asked, n=stop_after: next(asked) >= n)
        assert part.weights.is_file()
        steps += 1
        if part.outcome != "cancelled":
            break
    assert steps == 4
    assert part.sha256 == whole.sha256
    assert [r["dtkap"] for r in part.history] == [r["dtkap"] for r in whole.history]
    assert [r["loss"] for r in part.history] == [r["loss"] for r in whole.history]


def test_the_process_keeps_its_random_numbers_and_threads(tmp_path):
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    threads = torch.get_num_threads()
    tiny_train(tmp_path, "run", tiny_config(epochs=1))
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
    assert torch.get_num_threads() == threads


def test_a_start_is_where_training_begins(tmp_path):
    config = tiny_config(epochs=1, learning_rate=1e-9)
    start = initial_weights(config.embedding_config(), 99)
    result = tiny_train(tmp_path, "run", config, start=start)
    state = load_weights(result.weights, sha256=result.sha256)
    assert torch.allclose(state["embedding.weight"], start["embedding.weight"], atol=1e-6)
    assert result.reinitialised == ()


def test_a_start_of_another_dimension_keeps_all_but_the_last_layer(tmp_path):
    start = initial_weights(tiny_config(dimension=8).embedding_config(), 99)
    result = tiny_train(tmp_path, "run", tiny_config(epochs=1, learning_rate=1e-9), start=start)
    state = load_weights(result.weights, sha256=result.sha256)
    assert result.reinitialised == ("embedding",)
    assert state["embedding.weight"].shape[0] == 16
    stem = next(name for name in start if name.endswith("conv_stem.weight"))
    assert torch.allclose(state[stem], start[stem], atol=1e-6)


def test_a_start_of_another_network_is_refused(tmp_path):
    start = initial_weights(tiny_config(pipeline="crop_rgb").embedding_config(), 99)
    with pytest.raises(TrainingError, match="not of test_efficientnet with 4 channels"):
        tiny_train(tmp_path, "run", start=start)


def test_photos_that_cannot_be_read_are_reported_and_missing_ones_not_missed(tmp_path):
    photos = [*tiny_photos(tmp_path, 0, 4), TrainingPhoto("gone", "0_left", "0", tmp_path / "gone.png")]
    result = train(photos, tiny_photos(tmp_path, 100, 2), tiny_config(epochs=1), tmp_path / "run", threads=1)
    assert [row.key for row in result.left_out] == ["gone"]


def test_a_photo_that_goes_missing_during_a_run_is_said_to(tmp_path):
    def lose(progress):
        if progress.loss is None and progress.message.startswith("measuring"):
            (tmp_path / "photos" / "3" / "1.png").unlink()

    with pytest.raises(TrainingError, match=r"can no longer be read: 1\.png"):
        tiny_train(tmp_path, "run", tiny_config(cache_mb=0), progress=lose)


def test_too_few_readable_photos_are_too_few(tmp_path):
    photos = [TrainingPhoto(f"{i}", f"{i // 2}", f"{i // 2}", tmp_path / f"{i}.png") for i in range(8)]
    with pytest.raises(TooFewPhotosError, match="two readable photos"):
        train(photos, tiny_photos(tmp_path, 100, 2), tiny_config(), tmp_path / "run")


@pytest.mark.parametrize("loss", ["triplet", "contrastive", "arcface", "cosface"])
def test_every_loss_trains_with_singletons_among_the_photos(tmp_path, loss):
    photos = [*tiny_photos(tmp_path, 0, 3), *tiny_photos(tmp_path, 50, 2, views=1)]
    config = tiny_config(loss=loss, epochs=1, dimension=8, pipeline="edges")
    result = train(photos, tiny_photos(tmp_path, 100, 2), config, tmp_path / "run", threads=1)
    assert result.history[1]["loss"] > 0


def test_learning_rate_falls_by_steps():
    run = NetworkRun(tiny_config(), initial_weights(tiny_config().embedding_config(), 0), [0, 0, 1, 1])
    rates = []
    for epoch in (1, 5, 6, 11):
        run.begin_epoch(epoch)
        rates.append(run.learning_rate)
    assert rates == pytest.approx([0.001, 0.001, 0.0007, 0.00049])


def test_prototypes_can_learn_faster_than_the_network():
    config = tiny_config(prototype_lr_factor=30.0, augment=False)
    run = NetworkRun(config, initial_weights(config.embedding_config(), 0), [0, 0, 1, 1])
    before = run.criterion.prototypes.detach().clone(), run.net.embedding.weight.detach().clone()
    run.begin_epoch(6)
    run.step(Pictures(4), [0, 1, 2, 3], 6, 0)
    moved = (run.criterion.prototypes.detach() - before[0]).abs(), (run.net.embedding.weight.detach() - before[1]).abs()
    assert run.learning_rate == pytest.approx(0.0007)
    assert float(moved[1].max()) == pytest.approx(0.0007, rel=0.01)  # Adam's first step is the rate itself
    assert float(moved[0].max()) == pytest.approx(0.021, rel=0.01)


@pytest.mark.parametrize("trained", [True, False])
def test_prototypes_are_trained_unless_they_are_to_stay(tmp_path, trained):
    config = tiny_config(train_prototypes=trained, augment=False)
    run = NetworkRun(config, initial_weights(config.embedding_config(), 0), [0, 0, 1, 1])
    before = run.criterion.prototypes.detach().clone()
    run.begin_epoch(1)
    run.step(Pictures(4), [0, 1, 2, 3], 1, 0)
    assert torch.equal(before, run.criterion.prototypes.detach()) != trained


def test_only_the_last_layers_are_trained_when_told_so():
    config = tiny_config(train_all_layers=False, num_last_layers=1, augment=False)
    state = initial_weights(config.embedding_config(), 0)
    run = NetworkRun(config, state, [0, 0, 1, 1])
    run.begin_epoch(1)
    run.step(Pictures(4), [0, 1, 2, 3], 1, 0)
    changed = {name for name, value in run.net.state_dict().items() if not torch.equal(value, state[name])}
    assert changed == {"embedding.weight", "embedding.bias"}


class Pictures:
    """Random planes without files."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(3)
        self.pictures = torch.randint(0, 256, (count, 4, 32, 64), generator=generator, dtype=torch.uint8)

    def planes(self, index: int) -> torch.Tensor:
        return self.pictures[index]


def test_accumulated_gradient_is_that_of_the_whole_batch():
    """Against autograd through the whole batch; the normalisations, whose statistics are of each part, are frozen."""
    gradients = []
    for accumulation in (1, 3):
        config = tiny_config(accumulation=accumulation, augment=False, train_all_layers=False, num_last_layers=1)
        run = NetworkRun(config, initial_weights(config.embedding_config(), 0), [0, 0, 0, 1, 1, 2, 2, 2])
        with torch.no_grad():
            run.criterion.prototypes.copy_(torch.linspace(-1, 1, 48).view(16, 3).sin())
        run.begin_epoch(1)
        loss = run.step(Pictures(8), list(range(8)), 1, 0)
        gradients.append((loss, run.net.embedding.weight.grad.clone(), run.criterion.prototypes.grad.clone()))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    for whole, parts in zip(gradients[0][1:], gradients[1][1:], strict=True):
        assert float(whole.abs().max()) > 0
        assert torch.allclose(whole, parts, rtol=1e-3, atol=1e-5 * float(whole.abs().max()))


def test_a_loss_that_is_no_number_ends_the_run():
    config = tiny_config(augment=False)
    state = initial_weights(config.embedding_config(), 0)
    state["embedding.bias"][0] = torch.nan
    run = NetworkRun(config, state, [0, 0, 1, 1])
    with pytest.raises(TrainingError, match="loss became nan in epoch 1"):
        run.step(Pictures(4), [0, 1, 2, 3], 1, 0)


def test_bf16_steps_are_near_those_of_float32():
    losses = []
    for precision in ("float32", "bf16"):
        config = tiny_config(precision=precision, augment=False, scale=8)
        run = NetworkRun(config, initial_weights(config.embedding_config(), 0), [0, 0, 1, 1])
        rows = run.rows(torch.stack([Pictures(4).planes(i) for i in range(4)]), unit=True)
        assert rows.dtype == torch.float32
        assert torch.allclose(rows.norm(dim=1), torch.ones(4), atol=1e-5)
        losses.append(rows.detach())
    assert functional.cosine_similarity(*losses).min() > 0.98
    assert not torch.equal(*losses)


def test_validation_is_measured_by_ranking_its_own_photos(tmp_path):
    """One pair of equal pictures among three animals: computed here from the vectors by hand."""
    result = tiny_train(tmp_path, "run", tiny_config(epochs=1, max_k=3))
    row = result.history[0]
    assert len(row["tkrmd"]) == 3
    assert row["tkrmd"][0] == row["t1"] <= row["tkrmd"][1] <= row["tkrmd"][2] <= 1
    assert 0 < row["dtkap"] <= 1
    assert row["angle_same"] < row["angle_different"]


def test_weights_are_copied_to_where_they_are_wanted(tmp_path):
    target = tmp_path / "elsewhere" / "net.safetensors"
    result = tiny_train(tmp_path, "run", tiny_config(epochs=1, save_path=str(target)))
    assert file_hash(target) == result.sha256
