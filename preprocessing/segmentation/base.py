"""What every segmenter offers, and what all of them do with a mask in the end."""

from typing import Protocol

import cv2
import numpy as np

from preprocessing.types import Box, GrayImage, Image, MaskResult

EMPTY_NOTE = "empty mask: unmasked crop used"


class Segmenter(Protocol):
    """The mask of one animal in one photo. `version` changes whenever the same photo could give another mask."""

    @property
    def name(self) -> str:
        """Short name of the engine, for records and pages."""

    @property
    def version(self) -> str:
        """Name, weights and settings in one line."""

    def segment(self, image: Image, box: Box, prior: GrayImage | None = None) -> MaskResult:
        """Mask (uint8 0/255) of the size of `crops.crop_box(image, box)`.

        `image` is RGB uint8 H×W×3; `prior` a foreground mask of the whole image (uint8 H×W, 0 or 255), which an
        engine may use. A mask without animal, or of nothing but animal where that cannot be, comes back full with a
        note.
        """


def clean_mask(mask: GrayImage, keep_share: float = 0.1, hole_share: float = 0.01) -> GrayImage:
    """The largest connected part and those with at least `keep_share` of its area; uint8 0/255.

    Holes below `hole_share` of the crop are filled; larger ones are ground seen between legs and tail.
    """
    binary = (mask > 0).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    binary = np.isin(labels, 1 + np.flatnonzero(areas >= keep_share * areas.max())).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - binary, connectivity=4)
    holes = 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] < hole_share * binary.size)
    binary[np.isin(labels, holes) & (binary == 0)] = 1
    return binary * np.uint8(255)


def finished(mask: GrayImage, engine: str, note: str = "", smallest_share: float = 0.02) -> MaskResult:
    """The mask as a result; one that covers less than `smallest_share` of the crop becomes full, with EMPTY_NOTE."""
    if mask.size == 0 or np.count_nonzero(mask) < smallest_share * mask.size:
        joined = "; ".join(filter(None, (note, EMPTY_NOTE)))
        return MaskResult(np.full(mask.shape, 255, np.uint8), engine, joined)
    return MaskResult(mask, engine, note)
