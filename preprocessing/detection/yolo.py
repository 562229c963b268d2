"""YOLO detectors: MegaDetector v6 and the COCO models, through ONNX weights on the CPU."""

from dataclasses import dataclass
from pathlib import Path

from preprocessing.detection.categories import category_of, one_box_per_thing
from preprocessing.detection.convert import convert_in_process_of_its_own
from preprocessing.detection.ultralytics_runtime import (
    WeightsRefused,
    checked_sha256,
    image_size_of,
    load_yolo,
    onnx_metadata,
    predict,
)
from preprocessing.types import Box, DetectedBox, DetectionResult, Image

NAME = "yolo"


@dataclass(frozen=True, slots=True)
class YoloConfig:
    """Weights and thresholds.

    `sha256` registers the weights; without it `.onnx` is taken as it is and `.pt` (pickle) refused. `image_size` is
    (height, width) or one number of pixels, None takes what the weights were made for. `iou` is the overlap above
    which two boxes of one category are one thing. `config_dir` is where ultralytics keeps its own settings (None: a
    temporary folder).
    """

    weights: Path
    sha256: str | None = None
    confidence: float = 0.25
    image_size: int | tuple[int, int] | None = None
    iou: float = 0.5
    max_boxes: int = 100
    config_dir: Path | None = None
    convert_timeout_seconds: float = 900.0


class YoloDetector:
    """Animals, people and vehicles found by YOLO weights.

    Raises WeightsRefused when the weights are missing, differ from the registered hash or are of another kind.
    """

    name = NAME

    def __init__(self, config: YoloConfig) -> None:
        digest = checked_sha256(config.weights, config.sha256)
        onnx = onnx_weights(config)
        self.config = config
        metadata = onnx_metadata(onnx)
        self.image_size = config.image_size or image_size_of(metadata) or 640
        self.version = f"{NAME}/{config.weights.stem}/{digest[:12]}/conf{config.confidence:g}"
        self._model = load_yolo(onnx, "detect", config.config_dir)

    def detect(self, image: Image) -> DetectionResult:
        """Boxes in pixels of `image` (RGB uint8 H×W×3), most confident first, one per thing."""
        config = self.config
        size = self.image_size if isinstance(self.image_size, int) else list(self.image_size)
        result = predict(
            self._model, image, conf=config.confidence, iou=config.iou, imgsz=size, max_det=config.max_boxes
        )
        height, width = image.shape[:2]
        found = []
        for xyxy, confidence, index in zip(
            result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.tolist()
        ):
            label = str(result.names[int(index)])
            category = category_of(label)
            box = Box(*xyxy).clipped(width, height)
            if category is not None and box.area > 0:
                found.append(DetectedBox(box, category, float(confidence), label))
        return DetectionResult(one_box_per_thing(found, config.iou), self.version)


def onnx_weights(config: YoloConfig) -> Path:
    """The ONNX file of the weights: themselves, or what `.pt` weights of a registered hash convert to, once, beside
    them."""
    weights = config.weights
    if weights.suffix.lower() == ".onnx":
        return weights
    if weights.suffix.lower() != ".pt":
        raise WeightsRefused(f"{weights.name}: only .onnx and .pt weights can be loaded.")
    if config.sha256 is None:
        raise WeightsRefused(
            f"{weights.name} is a pickle and may run code: register its SHA-256, or give .onnx weights."
        )
    target = weights.with_name(f"{weights.stem}-{config.sha256[:12].lower()}.onnx")
    if not target.is_file():
        convert_in_process_of_its_own(weights, target, config.sha256, config.config_dir, config.convert_timeout_seconds)
    return target
