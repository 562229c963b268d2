"""The embeddings of the desktop SpotID: one float array, crops × dimensions. Nothing in the file is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .reading import UnusableFile

MOST_BYTES = 4 << 30
# Shorter ones point nowhere.
_LEAST_NORM = 1e-6


def vectors_of(path: Path, number: int) -> Any:
    """float32 [crops, dimensions], of length 1; a row of no use is all NaN. number: of crops, which have to be as many.

    Raises UnusableFile.
    """
    import numpy as np

    if path.stat().st_size > MOST_BYTES:
        raise UnusableFile("too_large", "The array of embeddings is too large.")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, TypeError, SyntaxError):
        raise UnusableFile("bad_vectors", "The embeddings are no array of numbers.") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        raise UnusableFile("bad_vectors", "The embeddings are no array of numbers.")
    if array.shape[0] != number:
        raise UnusableFile("other_length", "There are more or fewer embeddings than photos; they are left out.")
    found = np.array(array, dtype=np.float32)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(norms) & (norms > _LEAST_NORM), found / norms, np.float32("nan"))
