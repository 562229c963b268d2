"""What TensorBoard shows of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class Journal:
    """Writes event files; a resumed run overrules what a killed one wrote after its last checkpoint.

    TensorBoard is imported when a run begins, because that takes a second.
    """

    def __init__(self, folder: Path, steps_done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=steps_done + 1 if steps_done else None)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def step(self, number: int, loss: float, learning_rate: float) -> None:
        """After each optimiser step, counted over the whole run from 1."""
        self._writer.add_scalar("step/loss", loss, number)
        self._writer.add_scalar("step/learning_rate", learning_rate, number)

    def epoch(self, number: int, row: Mapping[str, Any]) -> None:
        """A row of the history, at the step that it was measured."""
        for name, value in row.items():
            if isinstance(value, int | float) and name != "epoch":
                self._writer.add_scalar(f"epoch/{name}", value, number)
        for k, value in enumerate(row["tkrmd"], 1):
            self._writer.add_scalar(f"tkrmd/{k}", value, number)
        self._writer.flush()
