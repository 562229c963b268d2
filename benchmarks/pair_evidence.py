"""What verification says of every pair of a set of coats, kept in a file so that calibrations are fitted in seconds.

Sets are folders of individuals (:func:`folder_coats`) or synthetic surveys (:func:`survey_coats`). A table belongs to
the settings and the very source of local features and verification: when those change, it is made anew.
"""

import csv
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from numpy.typing import NDArray
from real_coats import RealCoat, prepare

import modelzoo.local
from modelzoo.calibration import spread_of
from modelzoo.local import LocalConfig, LocalFeatures, extract, from_bytes, to_bytes, verify
from modelzoo.local.verify import FrameBox
from modelzoo.shipped import shipped_model
from modelzoo.synthetic import SurveyPlan, write_survey
from modelzoo.vlad import VladConfig, aggregate, read_weights
from preprocessing.crops import sharpness, to_gray
from preprocessing.imageio import decode_image
from preprocessing.segmentation.grabcut import GrabCutSegmenter
from preprocessing.types import Box

FIRST_SEED = 101
_NUMBERS = ("weight", "inliers", "matches", "residual", "spread", "cosine")


@dataclass(frozen=True)
class Seen:
    """A coat, whom it shows, and, in a survey, where it came from. label: one flank of one animal."""

    label: str
    individual: str
    photo: str
    flank: str = "unknown"
    event: str = ""
    camera: str = ""
    box: FrameBox = (0.0, 0.0, 1.0, 1.0)
    pixels: NDArray[np.uint8] | None = None
    crop: Path | None = None
    mask: Path | None = None
    masked: bool = True


@dataclass(frozen=True, eq=False)
class PairTable:
    """n coats and the n×n symmetric matrices of what their pairs share; NaN: not comparable.

    numbers: weight, inliers, matches, residual, spread, cosine as in ``modelzoo.calibration.Evidence``. keypoints,
    sharpness: of each coat. labels, individuals, photos, flanks: of each coat. seconds: that verification took.
    """

    name: str
    numbers: dict[str, NDArray[np.float64]]
    keypoints: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    labels: NDArray[np.str_]
    individuals: NDArray[np.str_]
    flanks: NDArray[np.str_]
    seconds: float
    embedding: str

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, rows: NDArray[np.int64]) -> "PairTable":
        """The table of some of its coats."""
        numbers = {name: values[np.ix_(rows, rows)] for name, values in self.numbers.items()}
        parts = {
            name: getattr(self, name)[rows] for name in ("keypoints", "sharpness", "labels", "individuals", "flanks")
        }
        return PairTable(self.name, numbers, **parts, seconds=self.seconds, embedding=self.embedding)


def folder_coats(data: Path, work: Path, limit: int | None, segmenter: Path | None = None) -> list[Seen]:
    """Photos of a folder of individuals, those of ``labelled.sample`` where there are more than `limit`."""
    return [_of_folder(coat) for coat in prepare(data, work, segmenter, limit)]


def _of_folder(coat: RealCoat) -> Seen:
    return Seen(coat.identity, coat.individual, coat.crop.name, coat.flank, crop=coat.crop, mask=coat.mask)


VARIANTS = ("as rendered", "poor photos", "without masks")
_POOR_SIDE, _POOR_QUALITY = (70, 130), (25, 60)


def survey_coats(plan: SurveyPlan, work: Path, variant: str = VARIANTS[0]) -> list[Seen]:
    """The animals of one synthetic survey, rendered once into `work`; boxes are shaken as a detector's would be.

    variant: "poor photos" are small, blurred and hard compressed; "without masks" keeps the scenery around each animal,
    also where one camera saw it again: pairs that are hard to tell apart, as real ones are.
    """
    name = f"survey{plan.seed}-{plan.photos}-{plan.individuals}"
    root, truth = work / name, work / f"{name}.csv"
    if not truth.is_file():
        write_survey(plan, root, workers=1, truth=truth)
    shake = np.random.default_rng(plan.seed)
    coats = []
    with truth.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if not row["individual"] or float(row["visible_fraction"]) < 0.3:
                continue
            image = decode_image(root / row["file"]).pixels
            box = np.array([float(row[name]) for name in ("x1", "y1", "x2", "y2")])
            side = np.tile(box[2:] - box[:2], 2)
            box = box + side * shake.normal(0.0, 0.02, 4) + side * np.array([-0.02, -0.02, 0.02, 0.02])
            x1, y1 = np.maximum(box[:2], 0).astype(int)
            x2, y2 = np.minimum(box[2:], [image.shape[1], image.shape[0]]).astype(int)
            if min(x2 - x1, y2 - y1) < 16:
                continue
            crop = np.ascontiguousarray(image[y1:y2, x1:x2])
            masked = variant != VARIANTS[2]
            coats.append(
                Seen(
                    f"{row['individual']}_{row['flank']}",
                    row["individual"],
                    row["file"],
                    row["flank"],
                    row["event"],
                    f"{row['station']} {row['camera']}" if masked else "",
                    (float(x1), float(y1), float(x2), float(y2)),
                    _poor(crop, shake) if variant == VARIANTS[1] else crop,
                    masked=masked,
                )
            )
    return coats


def _poor(crop: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
    """Small, blurred, noisy and hard compressed."""
    factor = min(1.0, draw.uniform(*_POOR_SIDE) / (crop.shape[0] * crop.shape[1]) ** 0.5)
    size = (max(16, round(crop.shape[1] * factor)), max(16, round(crop.shape[0] * factor)))
    small = cv2.GaussianBlur(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), (0, 0), draw.uniform(0.4, 0.9))
    noisy = np.clip(small + draw.normal(0, draw.uniform(2, 8), small.shape), 0, 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(*_POOR_QUALITY))])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _pixels(coat: Seen) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    if coat.pixels is not None:
        height, width = coat.pixels.shape[:2]
        if not coat.masked:
            return coat.pixels, None
        mask = GrabCutSegmenter().segment(coat.pixels, Box(0.0, 0.0, float(width), float(height)), None).mask
        return coat.pixels, mask
    assert coat.crop is not None and coat.mask is not None
    return decode_image(coat.crop).pixels, decode_image(coat.mask).pixels.max(axis=2)


class Coats:
    """Features, vectors and sharpness of some coats."""

    def __init__(self, seen: Sequence[Seen], config: LocalConfig) -> None:
        shipped = shipped_model()
        vlad = VladConfig.from_dict(shipped.card.config)
        weights = read_weights(shipped.path, shipped.sha256, vlad)
        self.embedding = shipped.sha256
        self.features: list[LocalFeatures] = []
        self.vectors: list[NDArray[np.float32] | None] = []
        self.sharpness: list[float] = []
        for coat in seen:
            crop, mask = _pixels(coat)
            found = from_bytes(to_bytes(extract(crop, mask, config)))
            self.features.append(found)
            self.vectors.append(aggregate(found, vlad, weights))
            self.sharpness.append(sharpness(to_gray(crop)))


def _engine_digest(config: LocalConfig) -> str:
    """Changes with any line of the local features' source, and with their settings."""
    found = hashlib.sha256(repr(config).encode())
    for path in sorted(Path(modelzoo.local.__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:10]


def pair_table(name: str, seen: Sequence[Seen], cache: Path, config: LocalConfig | None = None) -> PairTable:
    """Verify every comparable pair (other photo, other event, not left with right), or read what was found before."""
    config = config or LocalConfig()
    keys = hashlib.sha256(repr([(s.label, s.photo) for s in seen]).encode()).hexdigest()[:8]
    path = cache / f"{name}-{keys}-{_engine_digest(config)}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez_compressed(beside, **_verified(seen, config))
        beside.replace(path)
    with np.load(path) as kept:
        numbers = {column: kept[column] for column in _NUMBERS}
        return PairTable(
            name,
            numbers,
            kept["keypoints"],
            kept["sharpness"],
            np.array([s.label for s in seen]),
            np.array([s.individual for s in seen]),
            np.array([s.flank for s in seen]),
            float(kept["seconds"]),
            str(kept["embedding"]),
        )


def comparable(a: Seen, b: Seen) -> bool:
    """As ``identification.matching.candidates.compatible``, and of other events where these are known."""
    if a.event and a.event == b.event:
        return False
    return {a.flank, b.flank} != {"left", "right"}


def _verified(seen: Sequence[Seen], config: LocalConfig) -> dict[str, Any]:
    coats = Coats(seen, config)
    n = len(seen)
    numbers = {column: np.full((n, n), np.nan) for column in _NUMBERS}
    began = time.process_time()
    for i in range(n):
        for j in range(i + 1, n):
            if not comparable(seen[i], seen[j]):
                continue
            a, b = coats.features[i], coats.features[j]
            one_camera = seen[i].camera and seen[i].camera == seen[j].camera
            found = verify(a, b, config, (seen[i].box, seen[j].box) if one_camera else None)
            one, other = coats.vectors[i], coats.vectors[j]
            values = (
                found.weight,
                found.inliers,
                found.matches,
                found.residual / max(config.tolerance * max(b.width, b.height), 1e-9),
                spread_of(a.points, b.points, found.pairs),
                np.nan if one is None or other is None else float(one @ other),
            )
            for column, value in zip(_NUMBERS, values, strict=True):
                numbers[column][i, j] = numbers[column][j, i] = value
    return {
        **numbers,
        "keypoints": np.array([len(f) for f in coats.features]),
        "sharpness": np.array(coats.sharpness),
        "seconds": np.array(time.process_time() - began),
        "embedding": np.array(coats.embedding),
    }


def single_threaded() -> None:
    cv2.setNumThreads(1)
