"""Station backgrounds as files: the door to `preprocessing.detection.background`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

WIDTH = 640


def build(frames: list[Any], mode: str, path: Path) -> None:
    """Make the background of small frames (RGB uint8) and write it, beside and renamed."""
    from preprocessing.detection.background import build_background
    from preprocessing.imageio import write_atomically

    write_atomically(path, build_background(frames, mode).to_npz_bytes())
    _load.cache_clear()


def load(path: Path) -> Any:
    """The `StationBackground` in the file."""
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _load(path: Path, mtime_ns: int) -> Any:
    from preprocessing.detection.background import StationBackground

    return StationBackground.from_npz_bytes(path.read_bytes())
