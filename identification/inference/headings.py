"""Which way boxes face by the heading model, kept beside their quality, and made where it is missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from . import photos

logger = logging.getLogger(__name__)

KEY = "heading"
_DIGITS = 4


def heading_version() -> str:
    """Of the model that is shipped. Raises WeightsError where it is not there."""
    from modelzoo.heading import NAME
    from modelzoo.shipped import shipped_model

    return f"{NAME}/{shipped_model(NAME).sha256[:12]}"


def heading_stored(crop: Any, mask: Any | None) -> dict[str, Any] | None:
    """As it is kept in `Detection.quality`: version, and the probability that a crop (RGB uint8 H×W×3) faces left.

    None, with a warning, where the shipped weights are missing or were changed: no photo fails for that.
    """
    from modelzoo.heading import shipped_heading
    from modelzoo.weights import WeightsError

    try:
        return {"model": heading_version(), "left": round(shipped_heading().left_probability(crop, mask), _DIGITS)}
    except WeightsError as error:
        logger.warning("flanks are not estimated: %s", error)
        return None


def heading_left(quality: dict[str, Any]) -> float | None:
    """The probability that is kept, by whichever version; None where there is none."""
    left = (quality.get(KEY) or {}).get("left")
    return float(left) if isinstance(left, int | float) and 0 <= left <= 1 else None


def heading_is_current(quality: dict[str, Any]) -> bool:
    """Whether what is kept comes from the model that is shipped."""
    return (quality.get(KEY) or {}).get("model") == heading_version()


def heading_made(crop: Path, mask: Path | None) -> dict[str, Any] | None:
    """From files; None when the crop cannot be read."""
    read = photos.load_masked(crop, mask)
    return None if read is None else heading_stored(*read)
