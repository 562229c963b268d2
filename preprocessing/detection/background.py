"""Detection without any weights: what differs from the background that the station itself has shown."""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.detection.background_model import (
    PATCH_SIGMA,
    WORK_WIDTH,
    StationBackground,
    build_background,
    illumination_matched,
    is_infrared,
    mode_of,
    patch_difference,
    reduced,
)
from preprocessing.types import ANIMAL, Box, DetectedBox, DetectionResult, GrayImage, Image

__all__ = [
    "DAY_CONFIG",
    "INFRARED_CONFIG",
    "BackgroundConfig",
    "StationBackground",
    "StationBackgroundDetector",
    "build_background",
    "is_infrared",
    "mode_of",
]

NAME = "station-background"
_MAX_PARTS = 40


@dataclass(frozen=True, slots=True)
class BackgroundConfig:
    """Thresholds at the working width of 480 pixels.

    `weak` and `strong`: difference over noise at which a pixel may belong to an animal, and which a part must reach
    somewhere. `noise`: grey levels that every patch varies by. `quiet_percentile`: the part of the frame's scores
    that cannot be animal. `thinnest`: pixels below which a part is a twig. `smallest_area`: share of the frame below
    which nothing is an animal. `join_gap`: gap, as a share of the width, across which parts may be one animal, if
    they fill `smallest_density` of their box. `confidence` and `relative_confidence`: lowest confidence, and lowest
    share of the photo's highest.
    """

    weak: float = 1.5
    strong: float = 2.2
    noise: float = 5.0
    quiet_percentile: float = 65.0
    smallest_area: float = 0.004
    smallest_density: float = 0.35
    join_gap: float = 0.04
    confidence: float = 0.25
    relative_confidence: float = 0.4
    max_boxes: int = 5
    thinnest: int = 5


INFRARED_CONFIG = BackgroundConfig()
DAY_CONFIG = BackgroundConfig(weak=2.0, strong=3.0, noise=10.0)
"""By day leaves move and shade wanders, so more must differ before it counts."""


class StationBackgroundDetector:
    """Boxes around whatever stands out from the station's background; it cannot tell animals from people or cars.

    A background of fewer than `min_frames` frames finds nothing and says so. `config` None takes the one of the mode.
    """

    name = NAME

    def __init__(
        self, background: StationBackground, min_frames: int = 3, config: BackgroundConfig | None = None
    ) -> None:
        self.background = background
        self.min_frames = min_frames
        self.config = config or (DAY_CONFIG if background.mode == "day" else INFRARED_CONFIG)
        self.version = f"{NAME}/2/{WORK_WIDTH}px"
        around = np.asarray(cv2.GaussianBlur(background.spread, (0, 0), 2 * PATCH_SIGMA), dtype=np.float32)
        self._tolerance = np.maximum(background.spread, around) + self.config.noise

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
        seen = background.between_strips
        scene = background.scene[seen]
        frame = reduced(image, background.spread.shape)[seen].astype(np.float32)
        frame = illumination_matched(frame, scene)
        # Light that changed over a wide part (sun, fog, a weaker flash) is taken out; clipping keeps animals from it.
        wide = cv2.blur(np.clip(frame - scene, -12, 12), (WORK_WIDTH // 3, WORK_WIDTH // 3))
        score = patch_difference(frame - wide, scene, background.mode) / self._tolerance[seen]
        # Wind and moving shadows raise the score all over; an animal hardly fills more than a third of the frame.
        score /= max(1.0, float(np.percentile(score, self.config.quiet_percentile)))
        whole = np.zeros(background.spread.shape, np.float32)
        whole[seen] = score
        return whole

    def _foreground(self, score: NDArray[np.float32]) -> GrayImage:
        """Hysteresis, small things removed, gaps closed: uint8 0/255 at the working width."""
        config = self.config
        weak = cv2.morphologyEx((score > config.weak).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        weak[cv2.blur(weak.astype(np.float32), (9, 9)) <= 0.3] = 0
        weak = cv2.morphologyEx(weak, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
        weak = cv2.morphologyEx(
            weak, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (config.thinnest,) * 2)
        )
        count, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
        peaks = np.zeros(count, np.float32)
        np.maximum.at(peaks, np.asarray(labels, dtype=np.intp).ravel(), score.ravel())
        areas = stats[:, cv2.CC_STAT_AREA] / weak.size
        kept = [i for i in range(1, count) if peaks[i] >= config.strong and areas[i] >= config.smallest_area / 4]
        return np.where(np.isin(labels, kept), 255, 0).astype(np.uint8)

    def _boxes(self, mask: GrayImage, score: NDArray[np.float32], image: Image) -> list[DetectedBox]:
        config = self.config
        scale_x, scale_y = image.shape[1] / mask.shape[1], image.shape[0] / mask.shape[0]
        found = []
        for part, box in _grouped(mask, config.join_gap * mask.shape[1], config.smallest_density):
            pixels = np.count_nonzero(part)
            if pixels < config.smallest_area * mask.size or pixels < config.smallest_density * box.area:
                continue
            confidence = _confidence(pixels / mask.size, float(np.median(score[part])))
            full = box.scaled(scale_x, scale_y).clipped(image.shape[1], image.shape[0])
            found.append(DetectedBox(full, ANIMAL, confidence, label="moved"))
        lowest = max((detected.confidence for detected in found), default=0.0) * config.relative_confidence
        found = [detected for detected in found if detected.confidence >= max(config.confidence, lowest)]
        return sorted(found, key=lambda detected: -detected.confidence)


def _grouped(mask: GrayImage, gap: float, density: float) -> list[tuple[NDArray[np.bool_], Box]]:
    """Parts of the mask with their boxes; parts nearer than `gap` pixels are one if together they fill their box
    enough.

    Only the _MAX_PARTS largest parts are looked at.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    groups = []
    for index in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[index])
        groups.append(([index], Box(x, y, x + width, y + height), area))
    groups = sorted(groups, key=lambda group: -group[2])[:_MAX_PARTS]
    merged = True
    while merged:
        merged = False
        for one, other in itertools.combinations(range(len(groups)), 2):
            (first, box, area), (second, second_box, second_area) = groups[one], groups[other]
            union = Box(
                min(box.x1, second_box.x1),
                min(box.y1, second_box.y1),
                max(box.x2, second_box.x2),
                max(box.y2, second_box.y2),
            )
            if _gap(box, second_box) <= gap and area + second_area >= density * union.area:
                groups[one] = (first + second, union, area + second_area)
                del groups[other]
                merged = True
                break
    return [(np.isin(labels, members), box) for members, box, _ in groups]


def _gap(one: Box, other: Box) -> float:
    """Pixels between two boxes along the axis where they are farther apart; 0 when they touch."""
    across = max(one.x1, other.x1) - min(one.x2, other.x2)
    down = max(one.y1, other.y1) - min(one.y2, other.y2)
    return max(across, down, 0.0)


def _confidence(area: float, contrast: float) -> float:
    """Grows with the share of the frame and with difference over noise, from 0 to below 0.95; not a probability."""
    return round(0.95 * (1 - float(np.exp(-area / 0.02))) * (1 - float(np.exp(-contrast / 4.0))), 4)
