"""What one camera sees when nothing is there, and how much that varies: from its own frames, by day or in infrared.

Most photos of a survey show an animal, and most animals walk through the middle of the frame, so that a median there
is coat and not ground. Instead every spot takes the photos that agree with each other there: ground looks like itself
again, two animals hardly ever do.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.types import Image

Mode = Literal["day", "infrared"]
MODES: tuple[Mode, Mode] = ("day", "infrared")
WORK_WIDTH = 480
MAX_FRAMES = 30
PATCH_SIGMA = 3.0
_TWINS = 0.1
_QUIET = 0.35
_LIGHT_SIGMA = 8.0
_GAINS = (0.4, 2.5)
_OFFSET = 10.0
_FLAT_VARIANCE = 20.0
_MAD_TO_SIGMA = 1.4826  # for normally distributed values (Rousseeuw and Croux 1993)
_FORMAT = 1
_STRIP_SEARCH = 0.14
_STRIP_FLAT_SHARE = 0.6
_STRIP_TOLERANCE = 14
_INFRARED_RESIDUAL = 4.0
_MAX_NPZ_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class StationBackground:
    """`scene` float32 H×W×3 (RGB 0–255) and `spread` float32 H×W (grey levels by which a patch there differs from it).

    Both at the reduced width. `frames` is how many were used; `top` and `bottom` are the rows of the camera's
    information strips.
    """

    mode: Mode
    scene: NDArray[np.float32]
    spread: NDArray[np.float32]
    frames: int
    top: int
    bottom: int

    @property
    def between_strips(self) -> slice:
        """The rows of the reduced image that show the scene."""
        return slice(self.top, len(self.spread) - self.bottom)

    def to_npz_bytes(self) -> bytes:
        """The background as a compressed npz file, rounded to a quarter of a grey level."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            format=np.int64(_FORMAT),
            mode=np.int64(MODES.index(self.mode)),
            scene=np.round(np.clip(self.scene, 0, 255) * 4).astype(np.uint16),
            spread=np.round(np.clip(self.spread, 0, 255) * 16).astype(np.uint16),
            numbers=np.array([self.frames, self.top, self.bottom], np.int64),
        )
        return buffer.getvalue()

    @classmethod
    def from_npz_bytes(cls, data: bytes) -> "StationBackground":
        """Reads what `to_npz_bytes` wrote; pickled contents are refused. Raises ValueError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False, max_header_size=1000) as stored:
                if sum(info.file_size for info in stored.zip.infolist()) > _MAX_NPZ_BYTES:
                    raise ValueError("too large")
                if int(stored["format"]) != _FORMAT:
                    raise ValueError(f"format {int(stored['format'])}")
                scene, spread = stored["scene"].astype(np.float32) / 4, stored["spread"].astype(np.float32) / 16
                frames, top, bottom = (int(number) for number in stored["numbers"])
                mode = MODES[int(stored["mode"])]
        except Exception as error:
            raise ValueError(f"not a station background: {error}") from error
        if scene.ndim != 3 or scene.shape[2] != 3 or spread.shape != scene.shape[:2]:
            raise ValueError(f"not a station background: shapes {scene.shape} and {spread.shape}")
        return cls(mode, scene, spread, frames, top, bottom)


def is_infrared(image: Image) -> bool:
    """Whether a photo (RGB uint8) was taken in infrared: grey, or of one tint, all over.

    Colour differences are fitted by a line over the brightness; what is left over is noise in infrared, colour by day.
    """
    small = cv2.resize(image, (96, 72), interpolation=cv2.INTER_AREA).astype(np.float32)[7:-7]  # without strips
    green = small[:, :, 1].ravel()
    usable = (green > 8) & (green < 247)
    if np.count_nonzero(usable) < 100:
        usable = np.ones_like(usable)
    residual = 0.0
    for channel in (0, 2):
        difference = small[:, :, channel].ravel()[usable] - green[usable]
        slope, offset = np.polyfit(green[usable], difference, 1) if np.ptp(green[usable]) > 1 else (0.0, 0.0)
        residual = max(residual, float(np.percentile(np.abs(difference - slope * green[usable] - offset), 90)))
    return residual < _INFRARED_RESIDUAL


def mode_of(image: Image) -> Mode:
    """The background a photo belongs to."""
    return "infrared" if is_infrared(image) else "day"


def build_background(
    frames: Sequence[Image], mode: str, progress: Callable[[int, int, str], None] | None = None
) -> StationBackground:
    """The background of one camera in one mode, from its frames (RGB uint8), with or without animals in them.

    Every frame is matched to the others in brightness and contrast first, so that clouds and flashes do not count as
    movement. At most MAX_FRAMES are used, evenly chosen; frames of another shape than most are left out.
    Deterministic. Raises ValueError for an unknown mode and for no frames.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if not frames:
        raise ValueError("a background needs at least one frame")
    ratios = [round(frame.shape[0] / frame.shape[1], 2) for frame in frames]
    usual = max(set(ratios), key=lambda ratio: (ratios.count(ratio), ratio))
    same = [frame for frame, ratio in zip(frames, ratios) if ratio == usual]
    chosen = np.unique(np.linspace(0, len(same) - 1, min(len(same), MAX_FRAMES)).round().astype(int))
    stack = np.stack([reduced(same[index]) for index in chosen]).astype(np.float32)
    median = np.median(stack, axis=0).astype(np.float32)
    top, bottom = information_strips(median)
    seen = slice(top, len(median) - bottom)
    stack = np.stack([illumination_matched(frame, median[seen]) for frame in stack[:, seen]])
    scene, spread = median.copy(), np.zeros(median.shape[:2], np.float32)
    scene[seen], spread[seen] = _consensus(stack, cast(Mode, mode), progress)
    return StationBackground(cast(Mode, mode), scene, spread, len(stack), top, bottom)


def patch_difference(frame: NDArray[np.float32], scene: NDArray[np.float32], mode: Mode) -> NDArray[np.float32]:
    """Mean absolute difference of the patches around each pixel of two float32 H×W×3 images; float32 H×W.

    By day, sun and shade may have multiplied the scene's patch by a gain (within _GAINS) and shifted it by a few grey
    levels: what the best such change explains is no difference. Ground in a new shadow keeps its texture, a coat has
    another.
    """
    if mode == "day":
        scene = _relit(scene, frame)
    difference = np.abs(frame - scene).mean(axis=2)
    return np.asarray(cv2.GaussianBlur(difference, (0, 0), PATCH_SIGMA), dtype=np.float32)


def _relit(scene: NDArray[np.float32], frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scene under the frame's light: per pixel, the line that maps the patch around it onto the frame's, within
    limits."""
    scene_gray, frame_gray = scene.mean(axis=2), frame.mean(axis=2)
    scene_mean, frame_mean = _local_mean(scene_gray), _local_mean(frame_gray)
    together = _local_mean(scene_gray * frame_gray) - scene_mean * frame_mean
    alone = _local_mean(scene_gray * scene_gray) - scene_mean * scene_mean
    # A flat patch tells nothing of the gain: it is pulled to the ratio of the means, which a shadow keeps.
    ratio = frame_mean / np.maximum(scene_mean, 8.0)
    gain = np.clip((together + _FLAT_VARIANCE * ratio) / (alone + _FLAT_VARIANCE), *_GAINS)[:, :, None]
    offset = np.clip(_local_mean(frame) - gain * _local_mean(scene), -_OFFSET, _OFFSET)
    return np.asarray(gain * scene + offset, dtype=np.float32)


def _local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _LIGHT_SIGMA * values.shape[1] / WORK_WIDTH), dtype=np.float32)


def _consensus(
    stack: NDArray[np.float32], mode: Mode, progress: Callable[[int, int, str], None] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scene and spread of frames n×H×W×3: at each pixel, the frame whose patch finds its nearest twins, and those
    twins."""
    count, height, width = stack.shape[:3]
    if count == 1:
        return stack[0], np.zeros((height, width), np.float32)
    half = [np.asarray(cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)) for frame in stack]
    apart = np.zeros((count, count, height // 2, width // 2), np.float16)
    for one in range(count):
        for other in range(one):
            apart[one, other] = apart[other, one] = patch_difference(half[one], half[other], mode)
        if progress is not None:
            progress(one + 1, count, "Station background")
    twins = max(1, math.ceil(_TWINS * (count - 1)))
    loneliness = np.stack([np.sort(apart[one], axis=0)[twins] for one in range(count)])
    best = np.argmin(loneliness, axis=0)
    closest = np.min(loneliness, axis=0).astype(np.float32)
    to_best = np.take_along_axis(apart, best[None, None], axis=0)[0].astype(np.float32)
    member = (to_best <= closest * 1.25 + 0.5).astype(np.float32)
    # Twins are the most alike of all: what a quiet frame differs by is somewhat more, at most what animals would.
    quiet = np.sort(to_best, axis=0)[max(1, round(_QUIET * (count - 1)))]
    spread = np.minimum(quiet, 1.3 * closest + 1)
    member = np.stack([np.asarray(cv2.resize(one, (width, height))) for one in member])
    scene = (stack * member[..., None]).sum(axis=0) / np.maximum(member.sum(axis=0), 1e-6)[..., None]
    return scene.astype(np.float32), np.asarray(cv2.resize(spread, (width, height)), dtype=np.float32)


def reduced(image: Image, shape: tuple[int, int] | None = None) -> Image:
    """The image at the working width, or at exactly `shape` (height, width)."""
    height, width = image.shape[:2]
    rows, columns = shape or (max(1, round(height * WORK_WIDTH / width)), WORK_WIDTH)
    method = cv2.INTER_AREA if columns <= width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=method), dtype=np.uint8)


def illumination_matched(frame: NDArray[np.float32], median: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frame with gain and offset per channel so that its unchanged part has the brightness of the median.

    Least squares with weights that fall for pixels off the line (Tukey's biweight), as an animal's are. float32 H×W×3.
    """
    matched = np.empty_like(frame)
    for channel in range(3):
        x, y = frame[::3, ::3, channel].ravel(), median[::3, ::3, channel].ravel()
        gain, offset = _robust_line(x, y)
        matched[:, :, channel] = frame[:, :, channel] * gain + offset
    return matched


def _robust_line(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[float, float]:
    usable = (x > 3) & (x < 252)
    if np.count_nonzero(usable) >= 50:
        x, y = x[usable], y[usable]
    low, high = np.percentile(x, (20, 80)), np.percentile(y, (20, 80))
    gain = float(np.clip((high[1] - high[0]) / max(low[1] - low[0], 1.0), 0.3, 3.0))
    offset = float(np.median(y) - gain * np.median(x))
    for _ in range(8):
        residual = y - gain * x - offset
        scale = 4.685 * max(_MAD_TO_SIGMA * float(np.median(np.abs(residual))), 1.0)
        weights = np.square(np.clip(1 - np.square(residual / scale), 0, None))
        total = float(weights.sum())
        if total < 1:
            break
        mean_x, mean_y = float((weights * x).sum()) / total, float((weights * y).sum()) / total
        variance = float((weights * np.square(x - mean_x)).sum()) / total
        if variance < 1:
            gain, offset = 1.0, mean_y - mean_x
            break
        gain = float(np.clip(float((weights * (x - mean_x) * (y - mean_y)).sum()) / total / variance, 0.3, 3.0))
        offset = mean_y - gain * mean_x
    return gain, offset


def information_strips(median: NDArray[np.float32]) -> tuple[int, int]:
    """Rows at the top and at the bottom that a camera fills with black or white and writes time and temperature on."""
    gray = median.mean(axis=2)
    return _strip_rows(gray), _strip_rows(gray[::-1])


def _strip_rows(gray: NDArray[np.float32]) -> int:
    """Height of the strip at the first rows, 0 when there is none: mostly one dark or bright value, then a clear
    change."""
    limit = int(gray.shape[0] * _STRIP_SEARCH)
    values = gray[:limit]
    edge = float(np.median(values[: max(1, limit // 6)])) if limit else 128.0
    if 40 <= edge <= 215:
        return 0
    flat = (np.abs(values - edge) < _STRIP_TOLERANCE).mean(axis=1) >= _STRIP_FLAT_SHARE
    rows = int(np.argmin(flat)) if not flat.all() else 0
    return rows + 1 if rows >= 3 else 0
