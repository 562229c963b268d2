"""YOLO instance masks, such as yolov8n-seg, through ONNX weights on the CPU."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from preprocessing.detection.categories import category_of
from preprocessing.detection.ultralytics_runtime import (
    WeightsRefused,
    checked_sha256,
    image_size_of,
    load_yolo,
    onnx_metadata,
    predict,
)
from preprocessing.segmentation.base import clean_mask, finished
from preprocessing.segmentation.grabcut import GrabCutSegmenter
from preprocessing.types import ANIMAL, Box, GrayImage, Image, MaskResult

NAME = "yolo-seg"
_CONTEXT = 0.15


@dataclass(frozen=True, slots=True)
class YoloSegConfig:
    """Weights (ONNX) with their registered hash; see `detection.yolo.YoloConfig`."""

    weights: Path
    sha256: str | None = None
    confidence: float = 0.1
    image_size: int | tuple[int, int] | None = None
    config_dir: Path | None = None


class YoloSegmenter:
    """The instance of an animal that overlaps the box best, looked for in the box with some context around.

    Raises WeightsRefused when the weights are missing, differ from the registered hash or are not ONNX.
    """

    name = NAME

    def __init__(self, config: YoloSegConfig) -> None:
        if config.weights.suffix.lower() != ".onnx":
            raise WeightsRefused(f"{config.weights.name}: only .onnx weights can segment.")
        digest = checked_sha256(config.weights, config.sha256)
        self.config = config
        self.image_size = config.image_size or image_size_of(onnx_metadata(config.weights)) or 640
        self.version = f"{NAME}/{config.weights.stem}/{digest[:12]}/conf{config.confidence:g}"
        self._fallback = GrabCutSegmenter()
        self._model = load_yolo(config.weights, "segment", config.config_dir)

    def segment(self, image: Image, box: Box, prior: GrayImage | None = None) -> MaskResult:
        """Mask of the animal; GrabCut's, with a note, when no animal was seen. See `base.Segmenter.segment`."""
        found = self.find(image, box)
        if found is not None and np.any(found):
            return finished(clean_mask(found), self.version)
        instead = self._fallback.segment(image, box, prior)
        note = "; ".join(filter(None, (f"{NAME} saw no animal, {instead.engine} was used", instead.note)))
        return MaskResult(instead.mask, f"{self.version}+{instead.engine}", note)

    def find(self, image: Image, box: Box) -> GrayImage | None:
        """The raw mask in crop coordinates (uint8 0/255), None when no animal overlaps the box."""
        height, width = image.shape[:2]
        left, top, right, bottom = box.pixel_bounds(width, height)
        around = box.padded(_CONTEXT).pixel_bounds(width, height)
        region = image[around[1] : around[3], around[0] : around[2]]
        size = self.image_size if isinstance(self.image_size, int) else list(self.image_size)
        result = predict(self._model, region, conf=self.config.confidence, imgsz=size, retina_masks=True)
        if result.masks is None:
            return None
        inside = (slice(top - around[1], bottom - around[1]), slice(left - around[0], right - around[0]))
        best, best_score = None, 0.0
        for raw, index in zip(result.masks.data.cpu().numpy(), result.boxes.cls.tolist()):
            if category_of(str(result.names[int(index)])) != ANIMAL:
                continue
            mask = (raw > 0.5).astype(np.uint8)
            if mask.shape != region.shape[:2]:
                mask = np.asarray(cv2.resize(mask, (region.shape[1], region.shape[0])), dtype=np.uint8)
            overlap = int(np.count_nonzero(mask[inside]))
            union = int(np.count_nonzero(mask)) + (bottom - top) * (right - left) - overlap
            score = overlap / max(union, 1)
            if score > best_score:
                best, best_score = mask[inside] * np.uint8(255), score
        return best
