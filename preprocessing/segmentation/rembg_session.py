"""Background removal by the models of rembg, from weights that are already there."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from preprocessing.crops import crop_box
from preprocessing.detection.ultralytics_runtime import WeightsRefused, checked_sha256
from preprocessing.segmentation.base import clean_mask, finished
from preprocessing.types import Box, GrayImage, Image, MaskResult

NAME = "rembg"
LOCAL_MODELS = ("u2net", "u2netp", "silueta", "isnet-general-use")
_THRESHOLD = 128


class RembgSegmenter:
    """U2-Net and its relatives through rembg, on the CPU.

    `model_dir` holds `<model>.onnx`; nothing is ever downloaded. Raises WeightsRefused when the file is missing,
    differs from `sha256`, or the model is none of LOCAL_MODELS (rembg also knows models that send photos to a
    service).
    """

    name = NAME

    def __init__(self, model: str = "u2net", model_dir: Path = Path("weights"), sha256: str | None = None) -> None:
        if model not in LOCAL_MODELS:
            raise WeightsRefused(f"{model!r} is none of the rembg models used here: {', '.join(LOCAL_MODELS)}.")
        weights = model_dir / f"{model}.onnx"
        digest = checked_sha256(weights, sha256)
        self.version = f"{NAME}/{model}/{digest[:12]}"
        os.environ.update(
            {
                "U2NET_HOME": str(model_dir.resolve()),
                "REMBG_HOME": str(model_dir.resolve()),
                "MODEL_CHECKSUM_DISABLED": "1",  # ours was checked above; a mismatch would make rembg download
                "ORT_DISABLE_TELEMETRY": "1",
            }
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from rembg.session_factory import new_session

            self._session = new_session(model, providers=["CPUExecutionProvider"])

    def segment(self, image: Image, box: Box, prior: GrayImage | None = None) -> MaskResult:
        """Mask of the animal in the crop; `prior` is not used. See `base.Segmenter.segment`."""
        crop = crop_box(image, box)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            soft = np.asarray(self._session.predict(PillowImage.fromarray(crop))[0])
        mask = np.where(soft >= _THRESHOLD, 255, 0).astype(np.uint8)
        return finished(clean_mask(mask), self.version)
