"""Class names of detectors as animal, person or vehicle, and one box per thing."""

from collections.abc import Sequence

from preprocessing.types import ANIMAL, PERSON, VEHICLE, DetectedBox

_BY_NAME = {
    **dict.fromkeys(("animal", "wildlife"), ANIMAL),
    **dict.fromkeys(("person", "human", "people"), PERSON),
    **dict.fromkeys(("vehicle",), VEHICLE),
    # COCO: every animal, because cats of unknown species are taken for bears, zebras and giraffes
    **dict.fromkeys(
        ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
        ANIMAL,
    ),
    **dict.fromkeys(("car", "truck", "bus", "motorcycle", "bicycle", "train", "boat"), VEHICLE),
}


def category_of(class_name: str) -> str | None:
    """The category of a MegaDetector or COCO class name, None for things that matter to nobody here (a bench, a
    kite)."""
    return _BY_NAME.get(class_name.strip().lower())


def one_box_per_thing(boxes: Sequence[DetectedBox], iou: float = 0.5) -> tuple[DetectedBox, ...]:
    """Drops boxes that overlap a more confident one of the same category by more than `iou`; most confident first.

    Detectors do this per class only: one leopard often carries a cat box and a bear box.
    """
    kept: list[DetectedBox] = []
    for candidate in sorted(boxes, key=lambda found: -found.confidence):
        same = (other for other in kept if other.category == candidate.category)
        if all(other.box.iou(candidate.box) <= iou for other in same):
            kept.append(candidate)
    return tuple(kept)
