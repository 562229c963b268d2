"""Learned keypoints and a learned matcher: DISK or ALIKED with LightGlue, for the few pairs that are worth the time.

DISK: Tyszkiewicz, Fua and Trulls 2020, "DISK: Learning local features with policy gradient". ALIKED: Zhao et al. 2023,
"ALIKED: A lighter keypoint and descriptor extraction network via deformable transformation". LightGlue: Lindenberger,
Sarlin and Pollefeys 2023, "LightGlue: Local feature matching at light speed". The networks are kornia's; their weights
are files that somebody put in place: nothing here reaches a network. Geometry is verified as for RootSIFT (``verify``).
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.known_weights import LEARNED
from modelzoo.weights import WeightsError, read_registered

from .features import LocalConfig, LocalFeatureError, _prepare
from .verify import FrameBox, Verification, _in_place, fit

# Another way of computing, or a kornia that computes otherwise, has another number.
FORMAT_VERSION = 1
KINDS = tuple(LEARNED)
_DESCRIPTOR_LENGTH = 128
_ALIKED = "aliked-n16"
# What a model computes by itself; a file may lack it.
_DERIVED = ("confidence_thresholds", "num_batches_tracked")


@dataclass(frozen=True)
class LearnedConfig:
    """How crops are looked at and matches told. local: the size of the resized crop, how many keypoints at most, and
    the geometry, as for RootSIFT. margin: how far inside the animal's outline a keypoint must lie, as a share of the
    longest side, because these keypoints have no size of their own. smallest_score: of a match, as LightGlue was
    published. Neither was measured on coats."""

    local: LocalConfig = field(default_factory=LocalConfig)
    margin: float = 0.02
    smallest_score: float = 0.1


@dataclass(frozen=True, eq=False)
class LearnedFeatures:
    """Keypoints and descriptors of one crop, strongest first.

    points: n×4 float32 as those of ``LocalFeatures``; scale and angle are 1 and 0 for all, which these networks do not
    tell. descriptors: n×128 float32 unit rows. width, height: pixels of the resized crop.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    width: int
    height: int

    def __post_init__(self) -> None:
        n = len(self.points)
        if self.points.shape != (n, 4) or self.descriptors.shape != (n, _DESCRIPTOR_LENGTH):
            raise LocalFeatureError(
                f"points {self.points.shape} and descriptors {self.descriptors.shape} are not n×4 and n×128"
            )

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def pixels(self) -> NDArray[np.float32]:
        """n×2 float32 x, y in pixels of the resized crop; computed once and kept."""
        return self.points[:, :2] * np.array([self.width, self.height], np.float32)


class LearnedMatcher:
    """An extractor and the LightGlue that was trained with it, on the processor; the same input gives the same output.

    version: equal exactly when kind, weights, settings and the way of computing are.
    """

    def __init__(
        self, kind: str, extractor: torch.nn.Module, glue: torch.nn.Module, version: str, config: LearnedConfig
    ) -> None:
        self.kind, self.version, self.config = kind, version, config
        self._extractor, self._glue = extractor.eval(), glue.eval()

    @classmethod
    def load(
        cls, kind: str, extractor: tuple[Path, str], glue: tuple[Path, str], config: LearnedConfig | None = None
    ) -> LearnedMatcher:
        """From two files and their registered SHA-256, as kornia or the authors publish them.

        Raises WeightsError or ChecksumError for files that are missing, changed, or hold another network, and
        ValueError for an unknown kind.
        """
        if kind not in KINDS:
            raise ValueError(f"there is no learned matcher {kind!r}; there are {', '.join(KINDS)}")
        config = config or LearnedConfig()
        detector, matcher = _extractor(kind), _glue(config)
        _fill(detector, _extractor_state(_read(*extractor)), extractor[0])
        _fill(matcher, _glue_state(_read(*glue)), glue[0])
        text = json.dumps([kind, extractor[1].lower(), glue[1].lower(), asdict(config)])
        version = f"{kind}-lightglue-{FORMAT_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return cls(kind, detector, matcher, version, config)

    @torch.inference_mode()
    def extract(self, crop: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> LearnedFeatures:
        """The strongest keypoints of a crop (H×W×3 RGB uint8), on the animal where a mask (H×W, non-zero on it) is
        given. A mask that keeps too few of them is taken as failed and ignored, as for RootSIFT."""
        if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8:
            raise LocalFeatureError(f"a crop is H×W×3 uint8, not {crop.shape} {crop.dtype}")
        if mask is not None and mask.shape != crop.shape[:2]:
            raise LocalFeatureError(f"mask {mask.shape} and crop {crop.shape[:2]} differ in size")
        if min(crop.shape[:2]) < 2:
            return self._empty(crop.shape[1], crop.shape[0])
        # Grey with even contrast: a photo by day and one by infrared light are then alike.
        grey = _prepare(crop, self.config.local)
        height, width = grey.shape
        image = torch.from_numpy(grey).float()[None, None].expand(1, 3, height, width) / 255.0
        options = {"pad_if_not_divisible": True} if self.kind == "disk" else {}
        found = self._extractor(image, **options)[0]
        scores = getattr(found, "detection_scores" if self.kind == "disk" else "keypoint_scores").numpy()
        places, descriptors = found.keypoints.numpy(), found.descriptors.numpy()
        if mask is not None:
            kept = self._inside(places, mask, (width, height))
            places, scores, descriptors = places[kept], scores[kept], descriptors[kept]
        order = np.lexsort((places[:, 1], places[:, 0], -scores))[: self.config.local.max_keypoints]
        points = np.ones((len(order), 4), np.float32)
        points[:, :2] = places[order] / np.array([width, height], np.float32)
        points[:, 3] = 0.0
        return LearnedFeatures(points, descriptors[order].astype(np.float32), width, height)

    @staticmethod
    def _empty(width: int, height: int) -> LearnedFeatures:
        return LearnedFeatures(
            np.zeros((0, 4), np.float32), np.zeros((0, _DESCRIPTOR_LENGTH), np.float32), width, height
        )

    def _inside(self, places: NDArray[np.float32], mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.bool_]:
        """Which keypoints lie well inside the mask; all where that keeps too few to be believed."""
        small = cv2.resize((mask > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        depth = cv2.distanceTransform(small, cv2.DIST_L2, cv2.DIST_MASK_5)
        columns = np.clip(places[:, 0].astype(int), 0, size[0] - 1)
        rows = np.clip(places[:, 1].astype(int), 0, size[1] - 1)
        kept = depth[rows, columns] > self.config.margin * max(size)
        enough = kept.sum() >= self.config.local.mask_min_share * len(places)
        return np.asarray(kept if enough else np.ones(len(places), bool))

    @torch.inference_mode()
    def tentative_matches(
        self, a: LearnedFeatures, b: LearnedFeatures
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """m×2 indices of keypoints that LightGlue joins, and its m scores (0…1)."""
        if len(a) < 2 or len(b) < 2:
            return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
        found = self._glue({"image0": _input(a), "image1": _input(b)})
        return found["matches"][0].numpy().astype(np.int64), found["scores"][0].numpy().astype(np.float32)

    def verify(
        self, a: LearnedFeatures, b: LearnedFeatures, same_camera: tuple[FrameBox, FrameBox] | None = None
    ) -> Verification:
        """As ``verify.verify``; ``weight`` is the sum of LightGlue's scores over the inliers."""
        config = self.config.local
        pairs, weights = self.tentative_matches(a, b)
        if same_camera is not None:
            moved = ~_in_place(a, b, pairs, same_camera, config)  # type: ignore[arg-type]  # reads points only
            pairs, weights = pairs[moved], weights[moved]
        if len(pairs) < config.min_inliers:
            return Verification.none(len(pairs))
        return fit(a, b, pairs, weights, config)


def _input(features: LearnedFeatures) -> dict[str, torch.Tensor]:
    return {
        "keypoints": torch.from_numpy(features.pixels)[None],
        "descriptors": torch.from_numpy(features.descriptors)[None],
        "image_size": torch.tensor([[features.width, features.height]]),
    }


def _extractor(kind: str) -> torch.nn.Module:
    """Without weights: kornia's `from_pretrained` would download them."""
    from kornia.feature import ALIKED, DISK

    return DISK() if kind == "disk" else ALIKED(_ALIKED)


def _glue(config: LearnedConfig) -> torch.nn.Module:
    """Without weights, and with every layer and keypoint: leaving some out early saves time at some loss."""
    from kornia.feature import LightGlue

    return LightGlue(
        None,  # type: ignore[arg-type]  # a name would download
        input_dim=_DESCRIPTOR_LENGTH,
        depth_confidence=-1,
        width_confidence=-1,
        filter_threshold=config.smallest_score,
    )


def _read(path: Path, sha256: str) -> Mapping[str, Any]:
    """A file of tensors; nothing in it is executed."""
    data = read_registered(path, sha256)
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise WeightsError(f"{path.name} is no file of tensors: {str(error).splitlines()[0][:200]}") from error
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path.name} is no file of named tensors")
    return found


def _extractor_state(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """DISK's authors keep the network under a name of its own, beside the state of its training."""
    inner = values.get("extractor")
    return inner if isinstance(inner, Mapping) else values


def _glue_state(values: Mapping[str, Any]) -> dict[str, Any]:
    """LightGlue's published files number the attentions, where the network numbers its layers."""
    return {re.sub(r"^(self_attn|cross_attn)\.(\d+)\.", r"transformers.\2.\1.", name): v for name, v in values.items()}


def _fill(network: torch.nn.Module, values: Mapping[str, Any], path: Path) -> None:
    """Raises WeightsError where the file lacks what the network learns, or holds it in another size."""
    wanted = [name for name in network.state_dict() if not name.endswith(_DERIVED)]
    missing = [name for name in wanted if name not in values]
    if missing:
        said = f"{len(missing)} of {len(wanted)} tensors are missing, {missing[0]} among them"
        raise WeightsError(f"{path.name} holds another network: {said}")
    try:
        network.load_state_dict(dict(values), strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path.name} holds another network: {str(error).splitlines()[-1].strip()}") from error
