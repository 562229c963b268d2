"""The last resort: no detector, the whole photo is taken for one animal."""

from preprocessing.types import ANIMAL, Box, DetectedBox, DetectionResult, Image

NAME = "whole-frame"


class WholeFrameDetector:
    """One box, the frame. Its confidence is 0.0, because nothing was looked for: it ranks below every detection."""

    name = NAME
    version = f"{NAME}/1"

    def detect(self, image: Image) -> DetectionResult:
        """One box of the size of the image (RGB uint8 H×W×3)."""
        height, width = image.shape[:2]
        box = DetectedBox(Box.whole(width, height), ANIMAL, 0.0, label=NAME)
        return DetectionResult(
            (box,), self.version, "No detector ran: the whole frame is used, with or without animal."
        )
