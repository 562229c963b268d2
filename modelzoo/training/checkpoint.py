"""The state of a run between two steps, on disk, so that a killed run goes on as if it had not been killed."""

from __future__ import annotations

import os
import pickle
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelzoo.training.results import TrainingError

FORMAT = 1
Bytes = bytes | str


def write_file(path: Path, content: Bytes) -> None:
    """Beside and renamed, on the disk before the name is: whoever reads finds the old content or the new."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Tensors, numbers, texts and containers of them; whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            torch.save({"format": FORMAT, **state}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state saved there; None when there is none. TrainingError for a file that is no checkpoint of ours.

    Nothing of the file is executed (``weights_only``).
    """
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise TrainingError(f"the checkpoint {path.name} is damaged; remove it to begin anew: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(f"{path.name} is no checkpoint of this version; remove it to begin anew")
    return state


def clean(folder: Path) -> None:
    """Removes what a killed process left half written."""
    for pattern in (".checkpoint.pt.*", ".weights.safetensors.*", ".best-*", ".result.json.*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def random_state() -> dict[str, Any]:
    """Of torch, CUDA, numpy and Python, in a form that a checkpoint holds."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    numbers = torch.from_numpy(np.asarray(keys, np.int64))
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (
            str(kind),
            numbers,
            int(position),
            int(has_gauss),
            float(cached),
        ),
        "python": random.getstate(),
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Inverse of :func:`random_state`; states of other GPUs than there are now are passed over."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Inside, the global generators begin at the seed; afterwards they are as they were."""
    before = random_state()
    try:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        yield
    finally:
        restore_random_state(before)
