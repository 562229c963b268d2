"""Stored pictures of a coat become what networks see."""

from __future__ import annotations

from pathlib import Path

from modelzoo.coats import CoatPixels, EncodingError

from . import photos

__all__ = ["CoatPixels", "EncodingError", "load_coat"]


def load_coat(crop: Path, edges: Path | None = None, mask: Path | None = None) -> CoatPixels:
    """Crop, edge map and mask of our own files. Raises OSError for what cannot be read."""
    return CoatPixels(
        photos.load(crop),
        None if edges is None else photos.load_gray(edges),
        None if mask is None else photos.load_gray(mask),
    )
