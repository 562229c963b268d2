"""What a training run says while it goes on, and what it gives at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from modelzoo.training.data import LeftOut

Outcome = Literal["finished", "early_stop", "cancelled"]


class TrainingError(RuntimeError):
    """A run that cannot go on, or a folder that belongs to another run. The message is for people."""


@dataclass(frozen=True)
class TrainingProgress:
    """After each step. epoch and step count from 1; steps: of the whole run, as planned; loss: of the step, if any.

    history: what :class:`TrainingResult` will have, as far as it goes.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    message: str
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class TrainingResult:
    """weights: a safetensors file with the embedding network of the best epoch alone, and its SHA-256.

    history: one JSON-ready row per epoch, from 0 (the starting point): epoch, loss (mean per photo), lr, seconds,
    dtkap, t1, tkrmd (on the validation photos) and angles in degrees (see :mod:`modelzoo.training.validation`).
    best_epoch: with the highest dtkap; 0 when no epoch was better than the start.
    left_out: photos that could not be read. reinitialised: layers of `start` that did not fit and began at random.
    """

    weights: Path
    sha256: str
    embedding_config: dict[str, Any]
    history: list[dict[str, Any]]
    best_epoch: int
    epochs_run: int
    outcome: Outcome
    left_out: tuple[LeftOut, ...] = ()
    reinitialised: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "weights": self.weights.name}, indent=1)

    @classmethod
    def from_json(cls, text: str, run_dir: Path) -> TrainingResult:
        """Inverse of :meth:`to_json` for a run in that folder."""
        values = json.loads(text)
        values["weights"] = run_dir / values["weights"]
        values["left_out"] = tuple(LeftOut(**row) for row in values["left_out"])
        values["reinitialised"] = tuple(values["reinitialised"])
        return cls(**values)
