"""Local features of a coat: RootSIFT keypoints of one crop, and their compact stored form.

SIFT: Lowe 2004, "Distinctive image features from scale-invariant keypoints". RootSIFT: Arandjelović and Zisserman 2012,
"Three things everyone should know to improve object retrieval". CLAHE: Zuiderveld 1994.
"""

import hashlib
import json
import struct
import zlib
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 1
MAX_BYTES = 64 * 1024
DESCRIPTOR_LENGTH = 128
_MAGIC = b"SPLF"
_HEADER = struct.Struct("<4sBBHHH")
_POINT_BYTES = 6
_SCALE_STEPS_PER_OCTAVE = 16
_SMALLEST_SCALE = 0.5


class LocalFeatureError(ValueError):
    """Bytes that are no stored local features, or arrays of the wrong form."""


@dataclass(frozen=True)
class LocalConfig:
    """Everything that gives stored features their meaning, and how pairs of them are verified.

    The fields up to ``mask_min_share`` decide what is stored; the others only how it is compared. mean_side: geometric
    mean of the resized crop's sides in pixels, so that a tail or a leg at the edge of the box changes little;
    longest_side bounds it. upright: descriptors are taken along the picture's axes instead of the keypoint's own
    direction, because camera-trap animals stand on the ground. mask_support: how many times its own size a keypoint
    must lie inside the animal's outline, so that its descriptor is of the coat: animals in one pose have one outline.
    mask_dilation: by how much the mask is widened before, as a share of the longest side. mask_min_share: a mask that
    keeps fewer of the keypoints is taken as failed. ratio:
    largest mean of the ratios of distances in both directions. tolerance: in place, as a share of the longest side.
    scale_tolerance: in octaves. rotation_tolerance, max_rotation: degrees. scenery_tolerance: share of the boxes' side.
    """

    mean_side: int = 325
    longest_side: int = 960
    max_keypoints: int = 500
    upright: bool = True
    clahe_clip: float = 2.0
    clahe_tiles: int = 8
    contrast_threshold: float = 0.01
    edge_threshold: float = 10.0
    mask_dilation: float = 0.0
    mask_support: float = 2.0
    mask_min_share: float = 0.05

    ratio: float = 0.92
    tolerance: float = 0.03
    scale_tolerance: float = 0.7
    rotation_tolerance: float = 30.0
    max_scale_change: float = 3.0
    max_rotation: float = 60.0
    min_inliers: int = 3
    scenery_tolerance: float = 0.01

    def stored_fields(self) -> dict[str, Any]:
        """The fields that decide what is stored, JSON-ready."""
        values = asdict(self)
        names = list(values)
        return {name: values[name] for name in names[: names.index("mask_min_share") + 1]}

    @property
    def version(self) -> str:
        """Name of the stored form: equal exactly when the fields that decide it, and the format, are equal."""
        text = json.dumps(list(self.stored_fields().values()))
        return f"rootsift-{FORMAT_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Keypoints and descriptors of one crop, strongest first.

    points: n×4 float32: x, y in 0…1 of the resized crop's width and height, scale in pixels of the resized crop, angle
    in degrees 0…360. descriptors: n×128 uint8, SIFT as OpenCV gives it. width, height: pixels of the resized crop.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    width: int
    height: int

    def __post_init__(self) -> None:
        n = len(self.points)
        if self.points.shape != (n, 4) or self.descriptors.shape != (n, DESCRIPTOR_LENGTH):
            raise LocalFeatureError(
                f"points {self.points.shape} and descriptors {self.descriptors.shape} are not n×4 and n×128"
            )

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def rootsift(self) -> NDArray[np.float32]:
        """n×128 float32 unit rows; computed once and kept."""
        return rootsift(self.descriptors)

    @cached_property
    def pixels(self) -> NDArray[np.float32]:
        """n×2 float32 x, y in pixels of the resized crop; computed once and kept."""
        return self.points[:, :2] * np.array([self.width, self.height], np.float32)

    @classmethod
    def empty(cls, width: int = 0, height: int = 0) -> "LocalFeatures":
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, DESCRIPTOR_LENGTH), np.uint8), width, height)


def rootsift(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit rows: square root of each L1-normalised SIFT descriptor; an all-zero row stays zero."""
    values = descriptors.astype(np.float32)
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1.0)
    return np.sqrt(values, out=values)


def extract(crop: NDArray[np.uint8], mask: NDArray[np.uint8] | None, config: LocalConfig) -> LocalFeatures:
    """The strongest keypoints of a crop (H×W×3 RGB uint8), on the animal where a mask (H×W, non-zero on it) is given.

    A mask that would keep less than ``mask_min_share`` of the keypoints is taken as failed and ignored. A crop without
    texture gives empty features.
    """
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8:
        raise LocalFeatureError(f"a crop is H×W×3 uint8, not {crop.shape} {crop.dtype}")
    if mask is not None and mask.shape != crop.shape[:2]:
        raise LocalFeatureError(f"mask {mask.shape} and crop {crop.shape[:2]} differ in size")
    if min(crop.shape[:2]) < 2:
        return LocalFeatures.empty(crop.shape[1], crop.shape[0])
    grey = _prepare(crop, config)
    height, width = grey.shape
    sift = cv2.SIFT.create(0, 3, config.contrast_threshold, config.edge_threshold, 1.6)
    keypoints = list(sift.detect(grey, None))
    if config.upright:
        keypoints = _upright(keypoints)
    if mask is not None:
        keypoints = _inside(keypoints, mask, (width, height), config)
    keypoints = sorted(keypoints, key=lambda k: (-k.response, k.pt, k.angle, k.size))[: config.max_keypoints]
    if not keypoints:
        return LocalFeatures.empty(width, height)
    described, descriptors = sift.compute(grey, keypoints)
    rows = [(k.pt[0] / width, k.pt[1] / height, k.size, k.angle % 360.0) for k in described]
    raw = np.clip(np.rint(descriptors), 0, 255).astype(np.uint8)
    return LocalFeatures(np.array(rows, np.float32), raw, width, height)


def _prepare(crop: NDArray[np.uint8], config: LocalConfig) -> NDArray[np.uint8]:
    """Grey, of the configured size, local contrast evened out."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    factor = min(config.mean_side / (grey.shape[0] * grey.shape[1]) ** 0.5, config.longest_side / max(grey.shape))
    size = (max(2, round(grey.shape[1] * factor)), max(2, round(grey.shape[0] * factor)))
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    if config.clahe_clip > 0:
        grey = cv2.createCLAHE(config.clahe_clip, (config.clahe_tiles, config.clahe_tiles)).apply(grey)
    return np.asarray(grey, np.uint8)


def _upright(keypoints: list[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
    """Direction 0 for all; a place that SIFT gave several directions counts once."""
    seen: dict[tuple[float, float, float], cv2.KeyPoint] = {}
    for k in keypoints:
        place = (round(k.pt[0], 2), round(k.pt[1], 2), round(k.size, 2))
        seen.setdefault(place, cv2.KeyPoint(k.pt[0], k.pt[1], k.size, 0.0, k.response, k.octave, k.class_id))
    return list(seen.values())


def _inside(
    keypoints: list[cv2.KeyPoint], mask: NDArray[np.uint8], size: tuple[int, int], config: LocalConfig
) -> list[cv2.KeyPoint]:
    """The keypoints well inside the mask, or all of them when the mask keeps too few to be believed."""
    small = cv2.resize((mask > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    reach = round(config.mask_dilation * max(size))
    if reach:
        small = cv2.dilate(small, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    # 0 off the animal; the edge of the crop is no outline: the animal may go on beyond it.
    inside = cv2.distanceTransform(small, cv2.DIST_L2, cv2.DIST_MASK_5)
    right, bottom = size[0] - 1, size[1] - 1
    depths = [float(inside[min(int(k.pt[1]), bottom), min(int(k.pt[0]), right)]) for k in keypoints]
    kept = [
        k for k, depth in zip(keypoints, depths, strict=True) if depth > 0 and depth >= config.mask_support * k.size
    ]
    return kept if len(kept) >= config.mask_min_share * len(keypoints) else keypoints


def to_bytes(features: LocalFeatures) -> bytes:
    """The stored form, at most 64 KB: a header, then deflated points and descriptors.

    x and y are kept to 1/65535 of the crop, scale to 1/16 octave, angle to 360/256 degrees, descriptors exactly. Where
    it would not fit, the weakest keypoints (the last) are left out.
    """
    n = len(features)
    while True:
        body = zlib.compress(_points_to_bytes(features.points[:n]) + features.descriptors[:n].T.tobytes(), 6)
        data = _HEADER.pack(_MAGIC, FORMAT_VERSION, 0, n, features.width, features.height) + body
        if len(data) <= MAX_BYTES:
            return data
        n = min(n - 1, int(n * MAX_BYTES / len(data)))


def from_bytes(data: bytes) -> LocalFeatures:
    """Inverse of :func:`to_bytes`; raises :class:`LocalFeatureError` for anything else."""
    data = bytes(data)
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise LocalFeatureError("these bytes are no stored local features")
    _, version, _, n, width, height = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise LocalFeatureError(
            f"stored local features of format {version}; this program reads format {FORMAT_VERSION}"
        )
    expected = n * (_POINT_BYTES + DESCRIPTOR_LENGTH)
    inflater = zlib.decompressobj()
    try:
        # Bounded by what the header promises: damaged bytes cannot inflate without limit.
        body = inflater.decompress(data[_HEADER.size :], expected + 1)
    except zlib.error as error:
        raise LocalFeatureError(f"stored local features are damaged: {error}") from error
    if len(body) != expected or (n and not inflater.eof):
        raise LocalFeatureError(f"stored local features are damaged: {len(body)} bytes where {expected} belong")
    points = _points_from_bytes(body[: n * _POINT_BYTES], n)
    descriptors = np.frombuffer(body, np.uint8, offset=n * _POINT_BYTES).reshape(DESCRIPTOR_LENGTH, n).T
    return LocalFeatures(points, np.ascontiguousarray(descriptors), width, height)


def _points_to_bytes(points: NDArray[np.float32]) -> bytes:
    position = np.clip(np.rint(points[:, :2] * 65535.0), 0, 65535).astype("<u2")
    octave = np.log2(np.maximum(points[:, 2], _SMALLEST_SCALE) / _SMALLEST_SCALE)
    scale = np.clip(np.rint(octave * _SCALE_STEPS_PER_OCTAVE), 0, 255).astype(np.uint8)
    angle = (np.rint(points[:, 3] * (256.0 / 360.0)).astype(np.int64) % 256).astype(np.uint8)
    return position.T.tobytes() + scale.tobytes() + angle.tobytes()


def _points_from_bytes(data: bytes, n: int) -> NDArray[np.float32]:
    points = np.empty((n, 4), np.float32)
    points[:, :2] = np.frombuffer(data, "<u2", 2 * n).reshape(2, n).T / 65535.0
    scale = np.frombuffer(data, np.uint8, n, 4 * n).astype(np.float32)
    points[:, 2] = _SMALLEST_SCALE * np.exp2(scale / _SCALE_STEPS_PER_OCTAVE)
    points[:, 3] = np.frombuffer(data, np.uint8, n, 5 * n).astype(np.float32) * (360.0 / 256.0)
    return points
