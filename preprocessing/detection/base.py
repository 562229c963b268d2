"""What every detector offers."""

from typing import Protocol

from preprocessing.types import DetectionResult, Image


class Detector(Protocol):
    """Boxes from one photo. `version` changes with the weights and the method."""

    @property
    def name(self) -> str:
        """Short name of the engine, for records and pages."""

    @property
    def version(self) -> str:
        """Name, weights and settings in one line."""

    def detect(self, image: Image) -> DetectionResult:
        """Boxes in pixels of `image` (RGB uint8 H×W×3), most confident first."""
