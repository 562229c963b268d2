"""One network in training: its optimiser, its steps, and how it does on the validation photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from modelzoo.losses import make_loss
from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, set_trainable
from modelzoo.training.augment import Augmentation, augmented
from modelzoo.training.config import TrainConfig
from modelzoo.training.data import CoatDataset
from modelzoo.training.results import TrainingError
from modelzoo.training.validation import BATCH, ranking


def chosen_device(name: str) -> torch.device:
    """ "auto" and "cuda" are a GPU where there is one, else the CPU, as in the original."""
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def chosen_precision(name: str, device: torch.device) -> torch.dtype | None:
    """The type to compute in beside float32, or None. "auto" is bf16 where the processor computes in it."""
    if name != "auto":
        return torch.bfloat16 if name == "bf16" else None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    able = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if able is not None and able() else None


def start_weights(
    config: EmbeddingConfig, seed: int, start: Mapping[str, torch.Tensor] | None
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The state to begin with, and the names of layers of `start` that begin at random instead.

    That is allowed of the last layer alone, whose rows are the dimensions of the vector. Raises TrainingError when
    `start` is of another network.
    """
    state = initial_weights(config, seed)
    if start is None:
        return state, ()
    unfit = sorted(n for n, value in state.items() if n not in start or start[n].shape != value.shape)
    foreign = [name for name in unfit if not name.startswith("embedding.")] + sorted(set(start) - set(state))
    if foreign:
        raise TrainingError(
            f"the weights to start from are not of {config.backbone} with {config.in_channels} channels: "
            f"{foreign[0]} does not fit"
        )
    if unfit:
        return {name: state[name] if name.startswith("embedding.") else start[name].float() for name in state}, (
            "embedding",
        )
    return {name: start[name].to(value.dtype) for name, value in state.items()}, ()


class NetworkRun:
    """The trained parts and one optimiser over all of them (class prototypes too, unless they are to stay).

    labels: one class number per training photo. Nothing here knows of epochs' order, files or resuming.
    """

    def __init__(self, config: TrainConfig, state: Mapping[str, torch.Tensor], labels: Sequence[int]) -> None:
        self.config = config
        self.embedding_config = config.embedding_config()
        self.device = chosen_device(config.device)
        self.dtype = chosen_precision(config.precision, self.device)
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.net = CoatNet(self.embedding_config)
        self.net.load_state_dict(state)
        set_trainable(self.net, config.train_all_layers, config.num_last_layers)
        self.net.to(self.device).to(memory_format=torch.channels_last)
        self.criterion = make_loss(
            config.loss,
            classes=max(labels) + 1,
            dimension=config.dimension,
            margin=config.margin,
            scale=config.scale,
            train_prototypes=config.train_prototypes,
        ).to(self.device)
        parts = ((self.net, 1.0), (self.criterion, config.prototype_lr_factor))
        groups = [{"params": [p for p in m.parameters() if p.requires_grad], "factor": f} for m, f in parts]
        self.optimiser = torch.optim.Adam([g for g in groups if g["params"]], lr=config.learning_rate)
        on_sides = self.embedding_config
        self.mean = torch.tensor(on_sides.mean, device=self.device).view(-1, 1, 1)
        self.std = torch.tensor(on_sides.std, device=self.device).view(-1, 1, 1)
        self.augmentation = Augmentation(config.rotation, config.crop_share, config.jitter, config.pixel_dropout)
        self.sums: dict[str, float] = {}

    def begin_epoch(self, epoch: int) -> None:
        """Sets the learning rate of an epoch (from 1) and forgets what was summed over the last."""
        config = self.config
        decays = (epoch - 1) // config.lr_step if config.lr_scheduler else 0
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * config.lr_gamma**decays * group["factor"]
        self.sums = {}

    @property
    def learning_rate(self) -> float:
        """Of the network."""
        return float(self.optimiser.param_groups[0]["lr"])

    def step(self, dataset: CoatDataset, batch: Sequence[int], epoch: int, number: int) -> float:
        """One optimiser step on the photos of a batch; returns its loss. Raises TrainingError when that is no number.

        With accumulation the gradient is that of the mean over the whole batch for losses that are means over photos
        (normalisation statistics and the pairs of pair losses come from each part).
        """
        pictures = [dataset.planes(index) for index in batch]
        if self.config.augment:
            pictures = augmented(self.augmentation, pictures, (self.config.seed, epoch, number))
        self.net.train()
        self.criterion.train()
        if hasattr(self.criterion, "set_epoch"):  # the triplet loss mines from the fourth on
            self.criterion.set_epoch(epoch)
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        count = max(1, min(self.config.accumulation, len(batch) // 2))
        for part in np.array_split(np.arange(len(batch)), count):
            images = torch.stack([pictures[i] for i in part])
            labels = self.labels[[batch[i] for i in part]].to(self.device)
            rows = self.rows(images, unit=self.criterion.wants_unit_rows)
            loss = self.criterion(rows, labels) * (len(part) / len(batch))
            if loss.requires_grad:
                loss.backward()
            total += float(loss.detach())
            if self.config.log_angles:
                self._add_angles(rows.detach(), labels)
        if not math.isfinite(total):
            raise TrainingError(f"the loss became {total} in epoch {epoch}: lower the learning rate or the scale")
        self.optimiser.step()
        self._add("loss", total * len(batch), len(batch))
        return total

    def rows(self, planes: torch.Tensor, *, unit: bool) -> torch.Tensor:
        """n×C×H×W uint8 → n×d float32, with gradients where they are on."""
        images = (planes.to(self.device).float() / 255 - self.mean) / self.std
        with self._autocast():
            rows = self.net(images.contiguous(memory_format=torch.channels_last), normalise=False)
        rows = rows.float()
        return functional.normalize(rows, dim=1) if unit else rows

    def validate(self, dataset: CoatDataset) -> dict[str, Any]:
        """See :func:`modelzoo.training.validation.ranking`."""
        self.net.eval()
        with torch.inference_mode():
            vectors = [
                self.rows(
                    torch.stack([dataset.planes(i) for i in range(first, min(first + BATCH, len(dataset)))]), unit=True
                )
                for first in range(0, len(dataset), BATCH)
            ]
        rows = torch.cat(vectors).cpu()
        if not torch.isfinite(rows).all():
            raise TrainingError("the network gives vectors that are no numbers: lower the learning rate")
        return ranking(rows, [photo.identity for photo in dataset.photos], self.config.max_k)

    def epoch_means(self) -> dict[str, float | None]:
        """Means over the epoch so far: loss per photo, and angles in degrees with log_angles."""
        names = {"loss", *(name for name in self.sums if not name.endswith("/n") and name != "loss")}
        return {name: self._mean(name) for name in sorted(names)}

    def state(self) -> dict[str, Any]:
        """Everything that a further step depends on, but the random generators."""
        return {
            "net": self.net.state_dict(),
            "criterion": self.criterion.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "sums": dict(self.sums),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.net.load_state_dict(state["net"])
        self.criterion.load_state_dict(state["criterion"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.sums = dict(state["sums"])

    def _autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def _add(self, name: str, total: float, count: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.sums[f"{name}/n"] = self.sums.get(f"{name}/n", 0.0) + count

    def _mean(self, name: str) -> float | None:
        count = self.sums.get(f"{name}/n", 0.0)
        return self.sums[name] / count if count else None

    def _add_angles(self, rows: torch.Tensor, labels: torch.Tensor) -> None:
        unit = functional.normalize(rows, dim=1)
        angles = _degrees(unit @ unit.T)
        same = labels[:, None] == labels[None, :]
        pairs = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        for name, where in (("train_angle_same", same & pairs), ("train_angle_different", ~same)):
            self._add(name, float(angles[where].sum()), float(where.sum()))
        if self.criterion.prototypes is not None:
            own = functional.normalize(self.criterion.prototypes.detach().T[labels], dim=1)
            self._add("train_angle_prototype", float(_degrees((unit * own).sum(1)).sum()), float(len(labels)))


def _degrees(cosines: torch.Tensor) -> torch.Tensor:
    return torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))
