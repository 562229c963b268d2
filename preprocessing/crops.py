"""Cutting detections out of photos, and how good what was cut out is."""

from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.types import Box, GrayImage, Image

_SHARPNESS_LONGEST = 480
_DARK_VALUE, _BRIGHT_VALUE = 8, 247
_DARK_MEAN, _BRIGHT_MEAN = 16.0, 240.0
_CLIPPED_SHARE = 0.6
_FLAT_DEVIATION = 4.0
_BLURRED = 12.0
_SMALL_SIDE = 64


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of one crop for people and for ranking.

    `sharpness`: see `sharpness`. `mean`: mean luminance 0–255 of the animal. `clipped_fraction`: share of its pixels
    at black or white. Flags: `dark`, `over_exposed`, `flat` (hardly any contrast), `blurred`, `small`.
    """

    sharpness: float
    mean: float
    clipped_fraction: float
    flags: tuple[str, ...]


def crop_box(image: Image, box: Box, margin: float = 0.0) -> Image:
    """Copy of the pixels that the box touches, grown on each side by `margin` times its size, within the image.

    Raises ValueError when nothing of the box lies inside the image.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box.padded(margin).pixel_bounds(width, height)
    if box.clipped(width, height).area <= 0:
        raise ValueError(f"the box {box.as_tuple()} lies outside the image of {width}×{height} pixels")
    return np.ascontiguousarray(image[top:bottom, left:right])


def cut_out(crop: Image, mask: GrayImage) -> Image:
    """The crop with a black background: pixels where `mask` (H×W, same size) is 0 become 0."""
    if mask.shape != crop.shape[:2]:
        raise ValueError(f"mask {mask.shape} and crop {crop.shape[:2]} differ in size")
    return np.where(mask[:, :, None] > 0, crop, np.uint8(0))


def to_gray(image: Image) -> GrayImage:
    """Luminance (ITU-R BT.601) as uint8 H×W."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def sharpness(gray: GrayImage) -> float:
    """Variance of the Laplacian at a longest side of at most 480 pixels; larger is sharper, 0 for a flat image.

    Pech-Pacheco et al. 2000. Reduced first, so that crops of different size can be compared; never enlarged.
    """
    longest = max(gray.shape)
    if longest > _SHARPNESS_LONGEST:
        factor = _SHARPNESS_LONGEST / longest
        size = (max(1, round(gray.shape[1] * factor)), max(1, round(gray.shape[0] * factor)))
        gray = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return float(cv2.Laplacian(gray, cv2.CV_64F).var())


def measure_quality(crop: Image, mask: GrayImage | None = None) -> Quality:
    """Quality of a crop (RGB uint8 H×W×3), of its masked pixels where a mask is given and not empty; never an error."""
    gray = to_gray(crop)
    values = gray[mask > 0] if mask is not None and np.any(mask) else gray.ravel()
    mean, deviation = float(values.mean()), float(values.std())
    dark, bright = float((values <= _DARK_VALUE).mean()), float((values >= _BRIGHT_VALUE).mean())
    sharp = sharpness(gray)
    flags = []
    if mean < _DARK_MEAN or dark > _CLIPPED_SHARE:
        flags.append("dark")
    if mean > _BRIGHT_MEAN or bright > _CLIPPED_SHARE:
        flags.append("over_exposed")
    if deviation < _FLAT_DEVIATION:
        flags.append("flat")
    if sharp < _BLURRED:
        flags.append("blurred")
    if min(gray.shape) < _SMALL_SIDE:
        flags.append("small")
    return Quality(sharp, mean, dark + bright, tuple(flags))
