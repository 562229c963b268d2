"""Settings become loaded engines, once per process and never at import.

Where weights cannot be had, the next best engine does the work and its note says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from ..models import DetectionSource, EmbeddingModel
from . import appearances, headings

if TYPE_CHECKING:
    from modelzoo.embedders import CoatPixels, Embedder
    from modelzoo.shipped import ShippedModel

logger = logging.getLogger(__name__)

Corners = tuple[float, float, float, float]

_RETRY_DOWNLOAD_SECONDS = 3600
# Of PostgreSQL's appendix A.
_LOCK_NOT_AVAILABLE = "55P03"
_UNTRAINED = "tf_efficientnetv2_b2-untrained"
_lock = threading.RLock()
_given_up: dict[str, tuple[float, str]] = {}


@dataclass(frozen=True)
class FoundBox:
    """One box in pixels of the upright photo, inside it and with area. species: "" where nothing names it."""

    x1: float
    y1: float
    x2: float
    y2: float
    category: str
    confidence: float
    species: str = ""


@dataclass(frozen=True)
class Found:
    """What a detector made of a photo. `note` is for people."""

    boxes: tuple[FoundBox, ...]
    engine: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Coat:
    """A crop with what was made of it: RGB, mask 0/255, RGB on black, edges 0/255, all H×W of the box."""

    crop: Any
    mask: Any
    cutout: Any
    edges: Any
    segmenter: str
    quality: dict[str, Any]


def known_weights(name: str) -> tuple[Path, str] | str:
    """File and SHA-256 of known weights, fetched at first use; or a sentence that says what is missing."""
    from modelzoo.known_weights import KNOWN
    from modelzoo.weights import WeightsError, fetch, installed

    source, folder = KNOWN[name], Path(settings.SPOTID_WEIGHTS_DIR)
    present = installed(source, folder)
    if present is not None:
        return present.path, present.sha256
    given_up = _given_up.get(name)
    if given_up is not None and time.monotonic() - given_up[0] < _RETRY_DOWNLOAD_SECONDS:
        return given_up[1]
    # The note is read by everybody who sees the survey; where the folder is on this server is in the log only.
    note = (
        f"{source.filename} is not installed. It is at {source.url}; put it into the weights folder of SpotID's home "
        "and register it, or fetch it with the command `weights`."
    )
    if settings.SPOTID_OFFLINE:
        return note
    try:
        fetched = fetch(source, folder, timeout=10)
    except WeightsError as error:
        logger.warning("%s", error)
        _given_up[name] = (time.monotonic(), note)
        return note
    logger.info("%s", fetched.explanation)
    return fetched.path, fetched.sha256


def _named_file(setting: str, sha256: str = "") -> tuple[Path, str | None]:
    """Weights that the administrator names. Raises FileNotFoundError when they are not there."""
    from modelzoo.weights import registered_sha256

    path = Path(setting).expanduser().absolute()
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no weights file {path}; see SPOTID_DETECTOR_WEIGHTS and SPOTID_SEGMENTER_WEIGHTS."
        )
    return path, sha256 or registered_sha256(path, Path(settings.SPOTID_WEIGHTS_DIR))


@lru_cache(maxsize=1)
def _detector() -> Any:
    """The detector with weights, or the sentence that says why there is none."""
    from preprocessing.detection.yolo import YoloConfig, YoloDetector

    if settings.SPOTID_DETECTOR_WEIGHTS:
        path, sha256 = _named_file(settings.SPOTID_DETECTOR_WEIGHTS, settings.SPOTID_DETECTOR_SHA256)
    else:
        weights = known_weights("megadetector-v6-compact")
        if isinstance(weights, str):
            return weights
        path, sha256 = weights
    config_dir = Path(settings.SPOTID_HOME) / "ultralytics"
    return YoloDetector(YoloConfig(path, sha256, confidence=settings.SPOTID_DETECTOR_CONFIDENCE, config_dir=config_dir))


def detector_weights() -> bool:
    """Whether a detector with weights does the finding."""
    with _lock:
        return not isinstance(_detector(), str)


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    from preprocessing.segmentation.rembg_session import RembgSegmenter
    from preprocessing.segmentation.yolo_seg import YoloSegConfig, YoloSegmenter

    if settings.SPOTID_SEGMENTER_WEIGHTS:
        path, sha256 = _named_file(settings.SPOTID_SEGMENTER_WEIGHTS)
        if path.stem in ("u2net", "u2netp", "silueta", "isnet-general-use"):
            return RembgSegmenter(path.stem, path.parent, sha256)
        return YoloSegmenter(YoloSegConfig(path, sha256, config_dir=Path(settings.SPOTID_HOME) / "ultralytics"))
    weights = known_weights("u2net")
    if isinstance(weights, str):
        return weights
    return RembgSegmenter("u2net", weights[0].parent, weights[1])


def segmenter_weights() -> bool:
    """Whether a segmenter with weights removes the background."""
    with _lock:
        return not isinstance(_segmenter(), str)


@lru_cache(maxsize=1)
def _grabcut() -> Any:
    from preprocessing.segmentation.grabcut import GrabCutSegmenter

    return GrabCutSegmenter()


def detect(pixels: Any, background: Any | None) -> Found:
    """Find what is on a photo (RGB uint8 H×W×3): with weights, else by the station background, else the whole frame."""
    with _lock:
        detector = _detector()
    if not isinstance(detector, str):
        return _found(detector.detect(pixels), DetectionSource.DETECTOR)
    if background is not None:
        from preprocessing.detection.background import StationBackgroundDetector

        return _found(StationBackgroundDetector(background).detect(pixels), DetectionSource.BACKGROUND, detector)
    from preprocessing.detection.whole_frame import WholeFrameDetector

    return _found(WholeFrameDetector().detect(pixels), DetectionSource.WHOLE_FRAME, detector)


def _found(result: Any, source: str, why: str = "") -> Found:
    boxes = tuple(
        FoundBox(found.box.x1, found.box.y1, found.box.x2, found.box.y2, found.category, found.confidence)
        for found in result.boxes
    )
    return Found(boxes, result.engine[:120], source, " ".join(_sentence(part) for part in (result.note, why) if part))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


# The engine of a photo that is a crop already.
FINISHED_CROP = "finished-crop/1"


def finished_crop(pixels: Any) -> Found:
    """The box of a photo that is a finished crop."""
    height, width = pixels.shape[:2]
    box = FoundBox(0.0, 0.0, float(width), float(height), "animal", 1.0)
    return Found((box,), FINISHED_CROP, DetectionSource.CROP)


def overlap(corners: Corners, box: FoundBox) -> float:
    """Intersection over union of two boxes."""
    from preprocessing.types import Box

    return Box(*corners).iou(Box(box.x1, box.y1, box.x2, box.y2))


def isolate(pixels: Any, corners: Corners, background: Any | None, *, given_edges: Path | None = None) -> Coat:
    """Crop, mask, cut-out and edge map of one box. A given edge map is stretched to the crop and taken instead."""
    from preprocessing import crops, edges
    from preprocessing.types import Box

    box = Box(*corners)
    crop = crops.crop_box(pixels, box)
    with _lock:
        segmenter = _segmenter()
    prior = None
    if isinstance(segmenter, str):
        segmenter = _grabcut()
        if background is not None:
            from preprocessing.detection.background import StationBackgroundDetector

            prior = StationBackgroundDetector(background).foreground_mask(pixels)
    mask = segmenter.segment(pixels, box, prior)
    drawn = edges.edge_map(crop, mask.mask) if given_edges is None else _given(given_edges, crop.shape[:2])
    quality = {key: _plain(value) for key, value in asdict(crops.measure_quality(crop, mask.mask)).items()}
    quality[appearances.KEY] = appearances.appearance_stored(crop, mask.mask)
    heading = headings.heading_stored(crop, mask.mask)
    if heading is not None:
        quality[headings.KEY] = heading
    if mask.note:
        quality["mask_note"] = mask.note
    engine = mask.engine if given_edges is None else f"{mask.engine}, edges given"
    return Coat(crop, mask.mask, crops.cut_out(crop, mask.mask), drawn, engine[:120], quality)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _given(path: Path, shape: tuple[int, int]) -> Any:
    import cv2
    import numpy as np

    from . import photos

    gray = photos.decode(path).pixels.max(axis=2)
    stretched = cv2.resize(gray, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.where(stretched >= 64, 255, 0).astype(np.uint8)


def active_model() -> EmbeddingModel | None:
    """The model whose vectors are made and compared; an untrained one says so."""
    return EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).first()


def ensure_model() -> EmbeddingModel:
    """The active model; on a new installation the one that comes with SpotID is registered as it.

    Where an untrained network of an earlier version is active, the shipped model is registered as a candidate, to be
    activated by an administrator. Raises WeightsError when its file was changed.
    """
    active = active_model()
    if active is not None and active.name != _UNTRAINED:
        return active
    from modelzoo.shipped import shipped_model

    shipped = shipped_model()
    there = EmbeddingModel.objects.filter(name=shipped.card.name).first()
    if there is None:
        there = _register(shipped, EmbeddingModel.State.ACTIVE if active is None else EmbeddingModel.State.CANDIDATE)
    elif active is None:
        EmbeddingModel.objects.filter(pk=there.pk).update(state=EmbeddingModel.State.ACTIVE)
        there.refresh_from_db()
    return active or there


def _register(shipped: ShippedModel, state: str) -> EmbeddingModel:
    from .model_files import place

    shipped.verify()
    card = shipped.card
    file = f"{card.name}-{shipped.sha256[:12]}.safetensors"
    place(shipped.path, file)
    try:
        with transaction.atomic():
            model = EmbeddingModel.objects.create(
                name=card.name,
                architecture=str(card.config["kind"]),
                config=dict(card.config),
                dimension=card.dimension,
                weights_file=file,
                checksum=shipped.sha256,
                licence=card.licence,
                trained=card.trained,
                evaluation=dict(card.evaluation),
                card=card.to_dict(),
                state=state,
            )
            create_vector_index(model)
    except IntegrityError:
        # Another process was quicker.
        return active_model() or EmbeddingModel.objects.get(name=card.name)
    return model


def create_vector_index(model: EmbeddingModel) -> None:
    """A partial HNSW index over the model's vectors only, made without holding up who stores vectors.

    pgvector indexes `vector` up to 2 000 dimensions and `halfvec` up to 4 000; longer ones are searched exactly, and so
    is a model whose index cannot be made now, because a backup or another long transaction would have to be waited for.
    """
    kind = model.compared_as
    if not kind:
        return
    name = _index_name(model)
    create = (
        f"IF NOT EXISTS {name} ON identification_embedding "
        f"USING hnsw ((vector::{kind}({model.dimension:d})) {kind}_cosine_ops) WHERE model_id = {model.pk:d}"
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        row = cursor.fetchone()
        if row is not None and row[0]:
            return
        if connection.in_atomic_block:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"CREATE INDEX {create}")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            return
        try:
            cursor.execute("SET lock_timeout = '30s'")
            if row is not None:
                # Left by a process that was killed, or gave up, while it made it.
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            cursor.execute(f"CREATE INDEX CONCURRENTLY {create}")
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            logger.warning("the index of %s is not made now: %s", model, str(error).strip())
        finally:
            if connection.is_usable():
                cursor.execute("RESET lock_timeout")


def drop_vector_index(model: EmbeddingModel) -> None:
    """Drop the model's index. Raises OperationalError while somebody uses it for too long."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX IF EXISTS {_index_name(model)}")


def _index_name(model: EmbeddingModel) -> str:
    return f"embedding_hnsw_model_{model.pk:d}"


@lru_cache(maxsize=2)
def _embedder(model_id: int, checksum: str) -> Embedder:
    """The old and the new model of an activation are loaded side by side; a third one takes the older one's place."""
    from modelzoo.embedders import open_embedder

    from .model_files import weights_path

    model = EmbeddingModel.objects.get(pk=model_id)
    return open_embedder(model.config, weights_path(model), checksum, runtime=settings.SPOTID_RUNTIME)


def encode(model: EmbeddingModel, coats: Sequence[CoatPixels]) -> Any:
    """n×dimension float32 unit rows. Raises EncodingError, and WeightsError for a file that was changed."""
    with _lock:
        embedder = _embedder(model.pk, model.checksum)
    return embedder.encode(coats)


@lru_cache(maxsize=1)
def local_config() -> Any:
    from modelzoo.local.features import LocalConfig

    return LocalConfig()


def local_version() -> str:
    return str(local_config().version)


def extract(crop: Any, mask: Any | None) -> tuple[int, bytes]:
    """Count and stored form of the local features of a crop inside its mask."""
    from modelzoo.local.features import extract as extract_features
    from modelzoo.local.features import to_bytes

    features = extract_features(crop, mask, local_config())
    return len(features), to_bytes(features)


def aggregated_model() -> EmbeddingModel | None:
    """The registered model whose vectors are made of the local features as they are stored now; None without one."""
    stored = local_config().stored_fields()
    models = EmbeddingModel.objects.filter(trained=True, config__kind="rootsift-vlad").order_by("pk")
    return next((model for model in models if model.config.get("local") == stored), None)


def aggregated_ensure() -> EmbeddingModel | None:
    """The same, registering the one that comes with SpotID where none is; it serves only where nothing else does."""
    from modelzoo.shipped import shipped_model

    found = aggregated_model()
    if found is not None:
        return found
    shipped = shipped_model()
    if EmbeddingModel.objects.filter(name=shipped.card.name).exists():
        return None
    _register(shipped, EmbeddingModel.State.CANDIDATE)
    return aggregated_model()


def aggregate(model: EmbeddingModel, features: bytes) -> Any | None:
    """The unit vector (float32) of stored local features under such a model; None for a coat without keypoints."""
    from modelzoo.local.features import from_bytes
    from modelzoo.vlad import aggregate as sum_up

    config, weights = _vocabulary(model.pk, model.checksum)
    return sum_up(from_bytes(features), config, weights)


@lru_cache(maxsize=1)
def _vocabulary(model_id: int, checksum: str) -> Any:
    from modelzoo.vlad import VladConfig, read_weights

    from .model_files import weights_path

    model = EmbeddingModel.objects.get(pk=model_id)
    config = VladConfig.from_dict(model.config)
    return config, read_weights(weights_path(model), checksum, config)


def engines_forget() -> None:
    """Drop loaded engines, so that changed settings or weights are taken up (tests, activation)."""
    for cached in (_detector, _segmenter, _grabcut, _embedder, _vocabulary, local_config):
        cached.cache_clear()
    _given_up.clear()
