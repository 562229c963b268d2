"""The values that travel between the stages. Images are RGB uint8 H×W×3, boxes are pixel xyxy of the upright image."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ANIMAL = "animal"
PERSON = "person"
VEHICLE = "vehicle"
CATEGORIES = (ANIMAL, PERSON, VEHICLE)

Image = NDArray[np.uint8]
"""RGB uint8, shape (height, width, 3)."""

GrayImage = NDArray[np.uint8]
"""uint8, shape (height, width)."""

EdgeMap = NDArray[np.uint8]
"""Shape (height, width), 255 on an edge and 0 elsewhere."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; x2 and y2 lie just outside it, so the width is x2 - x1.

    Raises ValueError for coordinates that are not finite and for corners in the wrong order. A box without area is
    allowed: it is what remains of a box outside its image after `clipped`.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.x1, self.y1, self.x2, self.y2)):
            raise ValueError(f"box coordinates must be finite: {self.as_tuple()}")
        if self.x2 < self.x1 or self.y2 < self.y1:
            raise ValueError(f"box corners are in the wrong order: {self.as_tuple()}")

    @classmethod
    def whole(cls, width: int, height: int) -> "Box":
        """The box of an entire image."""
        return cls(0.0, 0.0, float(width), float(height))

    @property
    def width(self) -> float:
        """Horizontal extent in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Vertical extent in pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Square pixels; 0 for a degenerate box."""
        return self.width * self.height

    def as_tuple(self) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2)."""
        return (self.x1, self.y1, self.x2, self.y2)

    def clipped(self, width: int, height: int) -> "Box":
        """The part inside an image of this size; without area when the box lies outside."""
        return Box(
            min(max(self.x1, 0.0), width),
            min(max(self.y1, 0.0), height),
            min(max(self.x2, 0.0), width),
            min(max(self.y2, 0.0), height),
        )

    def scaled(self, factor_x: float, factor_y: float | None = None) -> "Box":
        """The box in an image resized by these factors (one factor serves both axes)."""
        factor_y = factor_x if factor_y is None else factor_y
        return Box(self.x1 * factor_x, self.y1 * factor_y, self.x2 * factor_x, self.y2 * factor_y)

    def padded(self, fraction: float) -> "Box":
        """The box grown on every side by this fraction of its own width and height, not clipped."""
        dx, dy = self.width * fraction, self.height * fraction
        return Box(self.x1 - dx, self.y1 - dy, self.x2 + dx, self.y2 + dy)

    def iou(self, other: "Box") -> float:
        """Intersection over union, 0 to 1; 0 when neither has area."""
        wide = min(self.x2, other.x2) - max(self.x1, other.x1)
        high = min(self.y2, other.y2) - max(self.y1, other.y1)
        if wide <= 0 or high <= 0:
            return 0.0
        overlap = wide * high
        return overlap / (self.area + other.area - overlap)

    def pixel_bounds(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Whole pixels (left, top, right, bottom) that the box touches inside the image; right and bottom exclusive."""
        inside = self.clipped(width, height)
        left, top = math.floor(inside.x1), math.floor(inside.y1)
        return left, top, min(math.ceil(inside.x2), width), min(math.ceil(inside.y2), height)


@dataclass(frozen=True, slots=True)
class DetectedBox:
    """One thing found in a photo. `category` is one of CATEGORIES, `label` what the detector itself called it."""

    box: Box
    category: str
    confidence: float
    label: str = ""

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ValueError(f"category must be one of {', '.join(CATEGORIES)}, not {self.category!r}")


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """What a detector found, most confident first; `note` is a sentence for people when something must be known."""

    boxes: tuple[DetectedBox, ...]
    engine: str
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MaskResult:
    """Mask of one crop: H×W uint8 in crop coordinates, 255 on the animal and 0 elsewhere."""

    mask: GrayImage
    engine: str
    note: str = ""
