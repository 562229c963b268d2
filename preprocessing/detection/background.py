"""Detection without any weights: what differs from the background that the station itself has shown."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.detection.background_model import (
    WORK_WIDTH,
    StationBackground,
    build_background,
    illumination_matched,
    is_infrared,
    mode_of,
    reduced,
)
from preprocessing.types import ANIMAL, Box, DetectedBox, DetectionResult, GrayImage, Image

__all__ = [
    "BackgroundConfig",
    "StationBackground",
    "StationBackgroundDetector",
    "build_background",
    "is_infrared",
    "mode_of",
]

NAME = "station-background"


@dataclass(frozen=True, slots=True)
class BackgroundConfig:
    """Thresholds at the working width of 480 pixels.

    `weak` and `strong`: difference over noise at which a pixel may belong to an animal, and at which a part must have
    some. `noise`: grey levels that every camera varies by. `sway`: pixels by which leaves and the camera move.
    `smallest_area`: share of the frame below which nothing is an animal. `join_gap`: gap, as a share of the width,
    across which parts are one animal.
    """

    weak: float = 2.0
    strong: float = 4.0
    noise: float = 5.0
    sway: int = 2
    smallest_area: float = 0.004
    smallest_density: float = 0.25
    join_gap: float = 0.02
    confidence: float = 0.1
    max_boxes: int = 5


class StationBackgroundDetector:
    """Boxes around whatever stands out from the station's background; it cannot tell animals from people or cars.

    A background of fewer than `min_frames` frames finds nothing and says so.
    """

    name = NAME

    def __init__(
        self, background: StationBackground, min_frames: int = 5, config: BackgroundConfig = BackgroundConfig()
    ) -> None:
        self.background = background
        self.min_frames = min_frames
        self.config = config
        self.version = f"{NAME}/1/{WORK_WIDTH}px"
        size = 2 * config.sway + 1
        kernel = np.ones((size, size), np.uint8)
        self._ceiling = np.asarray(cv2.dilate(background.median, kernel), dtype=np.float32)
        self._floor = np.asarray(cv2.erode(background.median, kernel), dtype=np.float32)
        spread = np.asarray(cv2.dilate(background.spread, kernel), dtype=np.float32)
        self._tolerance = config.noise + 2.5 * spread

    def detect(self, image: Image) -> DetectionResult:
        """Boxes in pixels of `image` (RGB uint8 H×W×3), most confident first."""
        frames = self.background.frames
        if frames < self.min_frames:
            note = f"station background has only {frames} frames, {self.min_frames} are needed: nothing looked for"
            return DetectionResult((), self.version, note)
        note = f"station background, {frames} frames; cannot tell animals from people and vehicles"
        score = self._score(image)
        mask = self._foreground(score)
        found = self._boxes(mask, score, image)
        return DetectionResult(tuple(found[: self.config.max_boxes]), self.version, note)

    def foreground_mask(self, image: Image) -> GrayImage:
        """What stands out, at the full size of the image: uint8 H×W, 255 on foreground."""
        mask = self._foreground(self._score(image))
        size = (image.shape[1], image.shape[0])
        soft = cv2.resize(cv2.GaussianBlur(mask, (0, 0), 1.0), size, interpolation=cv2.INTER_LINEAR)
        return np.where(soft >= 128, 255, 0).astype(np.uint8)

    def _score(self, image: Image) -> NDArray[np.float32]:
        """Difference from the background over what this pixel usually varies by; H×W at the working width."""
        background = self.background
        frame = reduced(image, background.spread.shape).astype(np.float32)
        matched = cv2.GaussianBlur(illumination_matched(frame, background.median), (3, 3), 0)
        frame = np.asarray(matched, dtype=np.float32)
        signed = (frame - background.median).mean(axis=2)
        # Light that changed over a wide part (sun, fog, a weaker flash) is taken out; clipping keeps animals from it.
        wide = cv2.blur(np.clip(signed, -12, 12), (WORK_WIDTH // 3, WORK_WIDTH // 3))
        frame = frame - wide[:, :, None]
        above = np.maximum(frame - self._ceiling, 0)
        below = np.maximum(self._floor - frame, 0)
        difference = np.maximum(above, below).max(axis=2)
        score = (difference / self._tolerance).astype(np.float32)
        score[: background.top] = 0
        score[score.shape[0] - background.bottom :] = 0
        return score

    def _foreground(self, score: NDArray[np.float32]) -> GrayImage:
        """Hysteresis, small things removed, gaps closed: uint8 0/255 at the working width."""
        config = self.config
        weak = cv2.morphologyEx((score > config.weak).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        weak[cv2.blur(weak.astype(np.float32), (9, 9)) <= 0.3] = 0
        weak = cv2.morphologyEx(weak, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
        weak = cv2.morphologyEx(weak, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
        peaks = np.zeros(count, np.float32)
        np.maximum.at(peaks, np.asarray(labels, dtype=np.intp).ravel(), score.ravel())
        areas = stats[:, cv2.CC_STAT_AREA] / weak.size
        kept = [i for i in range(1, count) if peaks[i] >= config.strong and areas[i] >= config.smallest_area / 4]
        return np.where(np.isin(labels, kept), 255, 0).astype(np.uint8)

    def _boxes(self, mask: GrayImage, score: NDArray[np.float32], image: Image) -> list[DetectedBox]:
        gap = max(1, round(self.config.join_gap * mask.shape[1]))
        joined = cv2.dilate(mask, np.ones((2 * gap + 1, 2 * gap + 1), np.uint8))
        count, labels, _, _ = cv2.connectedComponentsWithStats((joined > 0).astype(np.uint8), connectivity=8)
        scale_x, scale_y = image.shape[1] / mask.shape[1], image.shape[0] / mask.shape[0]
        found = []
        for index in range(1, count):
            part = (labels == index) & (mask > 0)
            rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            area = np.count_nonzero(part) / mask.size
            if area < self.config.smallest_area or area * mask.size < self.config.smallest_density * box.area:
                continue
            confidence = _confidence(area, float(np.median(score[part])))
            if confidence >= self.config.confidence:
                full = box.scaled(scale_x, scale_y).clipped(image.shape[1], image.shape[0])
                found.append(DetectedBox(full, ANIMAL, confidence, label="moved"))
        return sorted(found, key=lambda detected: -detected.confidence)


def _confidence(area: float, contrast: float) -> float:
    """Grows with the share of the frame and with difference over noise, from 0 to below 0.95; not a probability."""
    return round(0.95 * (1 - float(np.exp(-area / 0.02))) * (1 - float(np.exp(-contrast / 4.0))), 4)
