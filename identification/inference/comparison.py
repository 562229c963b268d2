"""Comparing coats: local features with geometric verification, vectors, and the two together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engines import Corners, local_config


@dataclass(frozen=True)
class Framed:
    """Where a detection lay: which fixed camera took it, in which event, and its box in pixels of the frame."""

    camera: Hashable
    event: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class PairScore:
    """What was found of one pair. `score` ranks (any real number), `probability` is for people (0…1)."""

    score: float
    probability: float
    inliers: int
    similarity: float | None
    local_score: float


class CoatSet:
    """Stored features of n detections, ready to be compared.

    features: stored local features per detection, None where there are none. vectors: n×d float32 unit rows under one
    model, or None; a row of zeros is not encoded. model: its id. trained: whether the vectors may count. checksum: of
    its weights; in the score the vectors count only under a calibration that was fitted with these. framed: where each
    detection lay, where that is known; what stands behind the animals of one camera is then left out of their
    comparison.
    """

    def __init__(
        self,
        features: Sequence[bytes | None],
        vectors: NDArray[np.float32] | None,
        *,
        trained: bool,
        framed: Sequence[Framed | None] | None = None,
        model: int | None = None,
        checksum: str = "",
    ) -> None:
        from modelzoo.local.features import LocalFeatures, from_bytes

        self.features = [LocalFeatures.empty() if data is None else from_bytes(bytes(data)) for data in features]
        self.vectors = vectors
        self.encoded: NDArray[np.bool_] = np.zeros(len(self.features), bool)
        if vectors is not None:
            self.encoded = np.asarray(vectors.any(axis=1))
        self.model, self.checksum = model, checksum
        self.trained = trained
        self.framed = framed if framed is not None else [None] * len(self.features)
        self._index: Any = None

    def __len__(self) -> int:
        return len(self.features)

    def followed_by(self, other: CoatSet) -> CoatSet:
        """The coats of both sets, these first, with vectors where both have them. Where they lay is forgotten."""
        vectors = None
        if self.vectors is not None and other.vectors is not None:
            vectors = np.concatenate([self.vectors, other.vectors])
        known: dict[str, Any] = {"trained": self.trained, "model": self.model, "checksum": self.checksum}
        joined = CoatSet([None] * (len(self) + len(other)), vectors, **known)
        joined.features = [*self.features, *other.features]
        return joined

    def similarity(self, i: int, j: int) -> float | None:
        """Cosine of two vectors, None where one is not encoded."""
        if self.vectors is None or not (self.encoded[i] and self.encoded[j]):
            return None
        return float(np.clip(self.vectors[i] @ self.vectors[j], -1.0, 1.0))

    def compare(self, i: int, j: int) -> PairScore:
        """Verify one pair."""
        from modelzoo.calibration import Evidence
        from modelzoo.local.verify import verify

        a, b = self.features[i], self.features[j]
        found = verify(a, b, local_config(), same_camera=self._same_camera(i, j))
        similarity = self.similarity(i, j)
        evidence = Evidence(
            inliers=found.inliers,
            matches=found.matches,
            keypoints_a=len(a),
            keypoints_b=len(b),
            similarity=similarity,
            embedding=self.checksum if self.trained else "",
            weight=found.weight,
        )
        alone = Evidence(found.inliers, found.matches, len(a), len(b), weight=found.weight)
        calibration = _calibration()
        return PairScore(
            score=calibration.score(evidence),
            probability=calibration.probability(evidence),
            inliers=found.inliers,
            similarity=similarity,
            local_score=calibration.score(alone),
        )

    def _same_camera(self, i: int, j: int) -> tuple[Corners, Corners] | None:
        """The boxes of two detections that one camera took at different events, else None.

        Within an event an animal may well stand still, and then its coat stays in place, too.
        """
        a, b = self.framed[i], self.framed[j]
        if a is None or b is None or a.camera != b.camera or a.event == b.event:
            return None
        return a.box, b.box

    def votes(self, i: int) -> NDArray[np.float32]:
        """How much the descriptors of the i-th speak for each of the n detections (≥ 0)."""
        return self._local_index().votes(self.features[i])

    def _local_index(self) -> Any:
        from modelzoo.local.search import LocalIndex

        if self._index is None:
            self._index = LocalIndex(self.features, local_config())
        return self._index

    def shortlist(self, i: int, k: int) -> list[int]:
        """Detections worth verifying against the i-th: the k best by votes of descriptors, and by trained vectors."""
        voted = self._local_index().shortlist(self.features[i], k + 1)[0].tolist()
        if self.vectors is not None and self.trained and self.encoded[i]:
            likeness = np.where(self.encoded, self.vectors @ self.vectors[i], -np.inf)
            order = np.argsort(-likeness, kind="stable")[: k + 1].tolist()
            voted = list(dict.fromkeys(item for pair in zip(voted, order) for item in pair)) + voted
        return [item for item in dict.fromkeys(voted) if item != i][: 2 * k]


@lru_cache(maxsize=1)
def _calibration() -> Any:
    from modelzoo.calibration import Calibration

    return Calibration.default()


def calibration_version() -> str:
    return str(_calibration().version)
