"""Training of the dense descriptors from a bank of rendered views; checkpoints make an interruption cost little."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelzoo.dense.bank import Bank
from modelzoo.dense.losses import DenseLoss, correspondences
from modelzoo.dense.network import DenseConfig, DenseNet, initial_network
from modelzoo.dense.pairs import PairConfig, Window, draw_pair
from modelzoo.synthetic.noise import rng_for

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class DenseTraining:
    """seed: of initial weights and of every pair. steps of `pairs` pairs each. places: correspondences of each window.
    others: cells of other coats that are negatives too. rate: largest learning rate, see `learning_rate`."""

    seed: int = 1
    steps: int = 900
    pairs: int = 8
    places: int = 192
    others: int = 512
    rate: float = 1e-3
    warmup: int = 50
    horizon: int = 1500
    cooldown: int = 150
    weight_decay: float = 1e-4
    temperature: float = 0.07
    reliability_weight: float = 0.2
    save_every: int = 50
    autocast: bool = True
    network: DenseConfig = field(default_factory=DenseConfig)
    windows: PairConfig = field(default_factory=PairConfig)


@dataclass(frozen=True)
class StepResult:
    """loss: mean over windows. right: share of the sampled places that were matched right."""

    loss: float
    right: float


def draw_batch(bank: Bank, training: DenseTraining, step: int) -> list[tuple[Window, Window]]:
    """The pairs of one step, of as many different coats; the same for the same seed and step."""
    rng = rng_for("dense pairs", training.seed, step)
    coats = np.unique(bank.flank)
    chosen = rng.choice(coats, training.pairs, replace=len(coats) < training.pairs)
    return [draw_pair(bank, training.windows, rng, int(flank)) for flank in chosen]


def learning_rate(training: DenseTraining, step: int) -> float:
    """Linear warm-up, then a cosine down to 2 % at `horizon`, and over the last `cooldown` steps straight down from it
    to nothing: a run can be ended before the horizon and still be let down."""
    if step < training.warmup:
        return training.rate * (step + 1) / training.warmup
    share = (step - training.warmup) / max(1, training.horizon - training.warmup)
    cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return training.rate * cosine * min(1.0, (training.steps - step) / max(1, training.cooldown))


class DenseTrainer:
    """Network, optimiser and step counter; `save` and `resume` carry all three, so a resumed run continues the same."""

    def __init__(self, training: DenseTraining) -> None:
        self.training = training
        self.network = initial_network(training.network, training.seed).train()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=training.rate, weight_decay=training.weight_decay
        )
        self.loss = DenseLoss(training.temperature, training.reliability_weight)
        self.step = 0

    def run(self, bank: Bank, directory: Path | None = None, progress: Progress | None = None) -> DenseNet:
        """Steps until the last one; returns the network in evaluation mode. directory: of the checkpoint."""
        if directory is not None:
            self.resume(directory)
        while self.step < self.training.steps:
            result = self.take_step(draw_batch(bank, self.training, self.step))
            if progress is not None:
                text = f"loss {result.loss:.3f}, right {result.right:.3f}"
                progress(self.step, self.training.steps, text)
            if directory is not None and (
                self.step % self.training.save_every == 0 or self.step == self.training.steps
            ):
                self.save(directory)
        return self.network.eval()

    def take_step(self, batch: list[tuple[Window, Window]]) -> StepResult:
        """One update from pairs of windows."""
        windows = [w for pair in batch for w in pair]
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.training, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        loss, right = self._loss(windows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        return StepResult(float(loss.detach()), right)

    def _loss(self, windows: list[Window]) -> tuple[torch.Tensor, float]:
        pictures = torch.from_numpy(np.stack([w.picture for w in windows]))[:, None]
        pictures = pictures.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training.autocast):
            descriptors, reliability = self.network(pictures)
        flat = descriptors.flatten(2).transpose(1, 2)
        # Unbound once: every index into the batch would cost a gradient of the whole batch.
        rows, trust = flat.unbind(0), reliability.flatten(1).unbind(0)
        coat = [torch.from_numpy(w.coat.reshape(-1, 2)) for w in windows]
        ground = [torch.from_numpy(w.ground.reshape(-1)) for w in windows]
        generator = torch.Generator().manual_seed(self.training.seed * 1_000_003 + self.step)
        others = self._others(flat, generator)
        losses, right = [], []
        for i in range(len(windows)):
            j = i ^ 1
            found = correspondences(coat[i], coat[j], self.training.places, generator)
            if len(found.source) == 0:
                continue
            loss, hits = self.loss(rows[i], rows[j], others[i], found, trust[i], ground[i])
            losses.append(loss)
            right.append(hits.float().mean())
        if not losses:
            return 0.0 * descriptors.sum(), 0.0
        return torch.stack(losses).mean(), float(torch.stack(right).mean())

    def _others(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """For each window of n×m×d descriptors, those at random places of the windows of other pairs."""
        n, m, d = rows.shape
        count = self.training.others if n > 2 else 0
        drawn = torch.randint(max((n - 2) * m, 1), (n, count), generator=generator)
        # Numbered from the window behind the pair, round and round.
        after = (torch.arange(n) // 2 + 1) * 2 * m
        places = (drawn + after[:, None]) % (n * m)
        return rows.reshape(n * m, d)[places.flatten()].reshape(n, count, d).unbind(0)

    def save(self, directory: Path) -> None:
        """The checkpoint of this moment, written beside and renamed."""
        directory.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "training": asdict(self.training),
            "step": self.step,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        beside = directory / "checkpoint.part"
        torch.save(state, beside)
        beside.replace(directory / "checkpoint.pt")

    def resume(self, directory: Path) -> bool:
        """Continue from the directory's checkpoint, if it has one. ValueError when its settings are others."""
        path = directory / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        if state["training"] != asdict(self.training):
            raise ValueError(f"{path} belongs to a training with other settings")
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        return True


def settled_statistics(network: DenseNet, bank: Bank, training: DenseTraining, batches: int = 20) -> DenseNet:
    """The network with batch-norm statistics taken from training windows, and nothing learned: the fair untrained
    control, whose layers see what a trained network's layers see."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the batches
    network.train()
    with torch.no_grad():
        for step in range(batches):
            windows = [w for pair in draw_batch(bank, training, step) for w in pair]
            network(torch.from_numpy(np.stack([w.picture for w in windows]))[:, None])
    return network.eval()
