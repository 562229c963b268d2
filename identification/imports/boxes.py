"""Boxes and category names of detectors, as MegaDetector and SpeciesNet write them. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .reading import ANIMAL, PERSON, VEHICLE, BoxRecord

MOST_BOXES = 500

_CATEGORIES = {
    **dict.fromkeys(("animal", "animals", "wildlife"), ANIMAL),
    **dict.fromkeys(("person", "human", "people", "humans", "homo sapiens"), PERSON),
    **dict.fromkeys(("vehicle", "vehicles", "car", "truck", "bus", "motorcycle", "bicycle", "boat"), VEHICLE),
}


def category_named(name: str) -> str | None:
    """Animal, person or vehicle by a category's name; None for what is none of them. Numbers say nothing: they mean
    other things in other files."""
    return _CATEGORIES.get(name.strip().casefold())


def corners_of(box: Any) -> tuple[float, float, float, float] | None:
    """x1, y1, x2, y2 from relative x, y, width, height with the origin at the top left, cut off at the photo's edges;
    None for what is no box, or has no area inside."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in box):
        return None
    x, y, width, height = (float(value) for value in box)
    if not all(math.isfinite(value) and abs(value) <= 4 for value in (x, y, width, height)) or min(width, height) <= 0:
        return None
    x1, y1, x2, y2 = max(0.0, x), max(0.0, y), min(1.0, x + width), min(1.0, y + height)
    if x2 - x1 <= 0 or y2 - y1 <= 0:
        return None
    return round(x1, 6), round(y1, 6), round(x2, 6), round(y2, 6)


def share(value: Any) -> float | None:
    """A confidence from 0 to 1; None for anything else. A hair above 1 is 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return min(1.0, float(value)) if 0 <= value <= 1.001 else None


def box_of(found: Any, names: Mapping[str, str], threshold: float, species: str = "") -> BoxRecord | str | None:
    """A box of a detection; None where it is below the threshold, a code where it cannot be used.

    names: category names by number.
    """
    if not isinstance(found, dict):
        return "bad_box"
    confidence = share(found.get("conf"))
    corners = corners_of(found.get("bbox"))
    if confidence is None:
        return "bad_confidence"
    if confidence < threshold:
        return None
    said = found.get("label") if isinstance(found.get("label"), str) else names.get(str(found.get("category")), "")
    category = category_named(str(said))
    if category is None:
        return "unknown_category"
    if corners is None:
        return "bad_box"
    return BoxRecord(corners, category, round(confidence, 6), species if category == ANIMAL else "")


WORDS = {
    "bad_box": "A box is no box or lies outside the photo; the others of the photo are used.",
    "bad_confidence": "A box has no confidence from 0 to 1; the others of the photo are used.",
    "unknown_category": "A box has a category that is neither animal, person nor vehicle; it is left out.",
    "too_many_boxes": "More boxes than a photo can have; the most confident are used.",
}
