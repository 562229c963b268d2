"""GrabCut (Rother et al. 2004) seeded by the box and, where there is one, by what moved before the station's
background."""

from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.crops import crop_box
from preprocessing.segmentation.base import clean_mask, finished
from preprocessing.types import Box, GrayImage, Image, MaskResult

NAME = "grabcut"
_WHOLE_IMAGE_SHARE = 0.9
_FULL_SHARE = 0.985
_SEED = 12345


@dataclass(frozen=True, slots=True)
class GrabCutConfig:
    """`work_side`: longest side in pixels at which the graph is cut. `context`: share of the box seen around it.

    `core` and `body` are the sizes, relative to the box, of the ellipses that are surely and probably animal.
    """

    work_side: int = 256
    iterations: int = 4
    context: float = 0.2
    core: float = 0.35
    body: float = 0.95
    prior_smallest_share: float = 0.05


class GrabCutSegmenter:
    """Needs no weights. The same photo and box always give the same mask."""

    name = NAME

    def __init__(self, config: GrabCutConfig = GrabCutConfig()) -> None:
        self.config = config
        self.version = f"{NAME}/1/{config.work_side}px/{config.iterations}it"

    def segment(self, image: Image, box: Box, prior: GrayImage | None = None) -> MaskResult:
        """Mask of the animal in the crop. See `base.Segmenter.segment`."""
        crop = crop_box(image, box)
        size = (crop.shape[1], crop.shape[0])
        small, seeds, inside = self._seeded(image, box, prior)
        cut = self._cut(small, seeds)
        mask = cut[inside]
        if mask.size == 0 or min(mask.shape) < 2:
            return finished(np.zeros(crop.shape[:2], np.uint8), self.version)
        soft = cv2.GaussianBlur(mask, (0, 0), 1.0)
        full = np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        binary = np.where(full >= 128, 255, 0).astype(np.uint8)
        if np.count_nonzero(binary) > _FULL_SHARE * binary.size:
            return MaskResult(np.full(crop.shape[:2], 255, np.uint8), self.version, "no background found in the crop")
        return finished(clean_mask(binary), self.version)

    def _seeded(self, image: Image, box: Box, prior: GrayImage | None) -> tuple[Image, GrayImage, tuple[slice, slice]]:
        """The reduced surroundings of the box, GrabCut's seeds for them, and where the box lies in them."""
        height, width = image.shape[:2]
        around = box.padded(self.config.context).pixel_bounds(width, height)
        region = image[around[1] : around[3], around[0] : around[2]]
        factor = min(1.0, self.config.work_side / max(region.shape[:2]))
        size = (max(2, round(region.shape[1] * factor)), max(2, round(region.shape[0] * factor)))
        small = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        scale_x, scale_y = size[0] / region.shape[1], size[1] / region.shape[0]
        left, top, right, bottom = box.pixel_bounds(width, height)
        columns = slice(round((left - around[0]) * scale_x), round((right - around[0]) * scale_x))
        rows = slice(round((top - around[1]) * scale_y), round((bottom - around[1]) * scale_y))
        seeds = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
        moved = None
        if prior is not None:
            part = prior[around[1] : around[3], around[0] : around[2]]
            moved = cv2.resize(part, size, interpolation=cv2.INTER_AREA)[rows, columns] >= 128
        whole = box.clipped(width, height).area >= _WHOLE_IMAGE_SHARE * width * height
        seeds[rows, columns] = self._inner_seeds(seeds[rows, columns].shape, moved, whole)
        return small, seeds, (rows, columns)

    def _inner_seeds(self, shape: tuple[int, ...], moved: np.ndarray | None, whole: bool) -> GrayImage:
        rows, columns = shape[:2]
        config = self.config
        if moved is not None and moved.mean() >= config.prior_smallest_share:
            seeds = np.full((rows, columns), cv2.GC_PR_BGD, np.uint8)
            seeds[moved] = cv2.GC_PR_FGD
            kernel = np.ones((max(3, rows // 12), max(3, columns // 12)), np.uint8)
            seeds[cv2.erode(moved.astype(np.uint8), kernel, borderValue=0) > 0] = cv2.GC_FGD
            return seeds
        y, x = np.mgrid[0:rows, 0:columns]
        radius = np.hypot((x + 0.5 - columns / 2) / (columns / 2), (y + 0.5 - rows / 2) / (rows / 2))
        seeds = np.where(radius <= config.body, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        seeds[radius <= config.core] = cv2.GC_FGD
        if whole:
            seeds[radius > 1.15] = cv2.GC_BGD
        return seeds

    def _cut(self, small: Image, seeds: GrayImage) -> GrayImage:
        """255 where GrabCut sees animal. Where it cannot build its colour models, the seeds stand."""
        known = np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if known.any() and not known.all():
            models = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.setRNGSeed(_SEED)
            labels = seeds.copy()
            cv2.grabCut(small, labels, None, *models, self.config.iterations, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
            known = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        return np.where(known, 255, 0).astype(np.uint8)
