"""What boxes look like at a coarse glance, kept beside their quality, and made where it is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import photos

KEY = "appearance"
_DIGITS = 4


def appearance_stored(crop: Any, mask: Any | None) -> dict[str, Any]:
    """As it is kept in `Detection.quality`: the version and the numbers of a crop (RGB uint8 H×W×3) and its mask."""
    from preprocessing.appearance import VERSION, appearance

    return {"version": VERSION, "numbers": [round(float(number), _DIGITS) for number in appearance(crop, mask)]}


def appearance_read(quality: dict[str, Any]) -> NDArray[np.float64] | None:
    """The numbers, None where there are none of the present version."""
    from preprocessing.appearance import LENGTH, VERSION

    kept = quality.get(KEY) or {}
    if kept.get("version") != VERSION or len(kept.get("numbers", ())) != LENGTH:
        return None
    return np.asarray(kept["numbers"], np.float64)


def appearance_made(crop: Path, mask: Path | None) -> dict[str, Any] | None:
    """From files; None when the crop cannot be read."""
    read = photos.load_masked(crop, mask)
    return None if read is None else appearance_stored(*read)


Made = Callable[[int, dict[str, Any]], None]


def appearances(
    rows: Sequence[tuple[int, dict[str, Any], Path | None, Path | None]], made: Made
) -> NDArray[np.float64]:
    """n×d of boxes (id, quality, crop, mask); NaN where one cannot be read. made: is told what was missing."""
    from preprocessing.appearance import LENGTH

    found = np.full((len(rows), LENGTH), np.nan)
    for index, (pk, quality, crop, mask) in enumerate(rows):
        numbers = appearance_read(quality)
        if numbers is None:
            fresh = appearance_made(crop, mask) if crop is not None else None
            if fresh is None:
                continue
            made(pk, fresh)
            numbers = np.asarray(fresh["numbers"], np.float64)
        found[index] = numbers
    return found
