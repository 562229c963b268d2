"""Edge maps of coats, with the values of the original SpotID (paper and code): 5×5 Gaussian, Canny 55/160."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from preprocessing.crops import cut_out, to_gray
from preprocessing.types import EdgeMap, GrayImage, Image

Equalisation = Literal["hist", "clahe", "match", "none"]
_CLAHE_TILES = (8, 8)


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """`low` and `high` are Canny's thresholds, `blur` the side of the Gaussian kernel in pixels (odd; 0 for none).

    `equalise`: `hist` spreads the luminance of the masked pixels over the whole range, `clahe` does so locally,
    `match` gives the crop the histogram of a reference photo (as the original does), `none` leaves it.
    """

    low: float = 55
    high: float = 160
    blur: int = 5
    equalise: Equalisation = "hist"
    clahe_clip: float = 2.0

    def __post_init__(self) -> None:
        if self.blur < 0 or (self.blur and self.blur % 2 == 0):
            raise ValueError(f"blur must be 0 or odd, not {self.blur}")
        if self.equalise not in ("hist", "clahe", "match", "none"):
            raise ValueError(f"unknown equalisation {self.equalise!r}")


DEFAULT_EDGES = EdgeConfig()


def edge_map(
    crop: Image, mask: GrayImage | None, config: EdgeConfig = DEFAULT_EDGES, reference: Image | None = None
) -> EdgeMap:
    """Edges of a crop (RGB uint8 H×W×3): uint8 H×W, 255 on an edge.

    In the order of the original: histogram, background to black, grey, Gaussian, Canny. As there, the outline of the
    mask is itself an edge. A mask of None or without any animal leaves the background in. `reference` (RGB) is needed
    for `match`.
    """
    if mask is not None and mask.shape != crop.shape[:2]:
        raise ValueError(f"mask {mask.shape} and crop {crop.shape[:2]} differ in size")
    if mask is not None and not np.any(mask):
        mask = None
    gray = _equalised_gray(crop, mask, config, reference)
    if config.blur:
        gray = np.asarray(cv2.GaussianBlur(gray, (config.blur, config.blur), 0), dtype=np.uint8)
    return np.asarray(cv2.Canny(gray, config.low, config.high), dtype=np.uint8)


def match_histogram(image: Image, reference: Image) -> Image:
    """Gives each channel of `image` the cumulative histogram of the reference's channel (Gonzalez and Woods, 3.3.2).

    Both RGB uint8 H×W×3; values between the reference's are interpolated linearly.
    """
    channels = [_matched(image[:, :, index], reference[:, :, index]) for index in range(3)]
    return np.stack(channels, axis=2)


def equalise_histogram(gray: GrayImage, mask: GrayImage | None = None) -> GrayImage:
    """Histogram equalisation whose statistics come from the masked pixels only; applied to all. uint8 H×W."""
    values = gray[mask > 0] if mask is not None and np.any(mask) else gray.ravel()
    counts = np.bincount(values, minlength=256)
    cumulative = np.cumsum(counts)
    lowest = cumulative[np.flatnonzero(counts)[0]]
    if lowest == cumulative[-1]:
        return gray.copy()
    table = np.clip(np.round((cumulative - lowest) * (255.0 / (cumulative[-1] - lowest))), 0, 255)
    return table.astype(np.uint8)[gray]


def _equalised_gray(crop: Image, mask: GrayImage | None, config: EdgeConfig, reference: Image | None) -> GrayImage:
    if config.equalise == "match":
        if reference is None:
            raise ValueError("histogram matching needs a reference photo")
        crop = match_histogram(crop, reference)
        return to_gray(crop if mask is None else cut_out(crop, mask))
    gray = to_gray(crop)
    if config.equalise == "hist":
        gray = equalise_histogram(gray, mask)
    elif config.equalise == "clahe":
        clahe = cv2.createCLAHE(clipLimit=config.clahe_clip, tileGridSize=_CLAHE_TILES)
        gray = np.asarray(clahe.apply(gray), dtype=np.uint8)
    return gray if mask is None else np.where(mask > 0, gray, np.uint8(0))


def _matched(channel: GrayImage, reference: GrayImage) -> GrayImage:
    quantiles = np.cumsum(np.bincount(channel.ravel(), minlength=256)) / channel.size
    counts = np.bincount(reference.ravel(), minlength=256)
    present = np.flatnonzero(counts)
    reference_quantiles = np.cumsum(counts)[present] / reference.size
    table = np.interp(quantiles, reference_quantiles, present.astype(np.float64))
    return np.round(table).astype(np.uint8)[channel]
