"""Comparing coats: local features with geometric verification, vectors, and the two together."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .coat_store import CoatStore
from .engines import Corners, local_config

if TYPE_CHECKING:
    from modelzoo.calibration import Calibration, Evidence
    from modelzoo.local.features import LocalFeatures
    from modelzoo.local.inverted import InvertedIndex

logger = logging.getLogger(__name__)


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
    evidence: Evidence | None = None


class CoatSet:
    """Stored features of n detections, ready to be compared.

    features: stored local features per detection, None where there are none, or a store that reads them. vectors: n×d
    float32 unit rows under one model, or None; a row of zeros is not encoded. model: its id. trained: whether the
    vectors may count. checksum: of its weights; in the score the vectors count only under a calibration that was fitted
    with these. framed: where each detection lay, where that is known; what stands behind the animals of one camera is
    then left out of their comparison.
    """

    def __init__(
        self,
        features: Sequence[bytes | None] | CoatStore,
        vectors: NDArray[np.float32] | None,
        *,
        trained: bool,
        framed: Sequence[Framed | None] | None = None,
        model: int | None = None,
        checksum: str = "",
        calibration: Calibration | None = None,
    ) -> None:
        self.features: CoatStore | list[LocalFeatures] = (
            features if isinstance(features, CoatStore) else CoatStore.of(features)
        )
        self.vectors = vectors
        self.encoded: NDArray[np.bool_] = np.zeros(len(self.features), bool)
        if vectors is not None:
            self.encoded = np.asarray(vectors.any(axis=1))
        self.model, self.checksum = model, checksum
        self.trained = trained
        self.calibration = calibration or _default_calibration()
        self.framed = framed if framed is not None else [None] * len(self.features)
        self._index: InvertedIndex | None = None

    def __len__(self) -> int:
        return len(self.features)

    def followed_by(self, other: CoatSet) -> CoatSet:
        """The coats of both sets, these first, with vectors where both have them. Where they lay is forgotten."""
        vectors = None
        if self.vectors is not None and other.vectors is not None:
            vectors = np.concatenate([self.vectors, other.vectors])
        known: dict[str, Any] = {"trained": self.trained, "model": self.model, "checksum": self.checksum}
        joined = CoatSet([None] * (len(self) + len(other)), vectors, calibration=self.calibration, **known)
        joined.features = [*self.features, *other.features]
        return joined

    def under(self, vectors: NDArray[np.float32], checksum: str, chosen: Sequence[int]) -> CoatSet:
        """Some of these coats, in the given order, with vectors of a trained model that is not in the register yet."""
        framed = [self.framed[index] for index in chosen]
        found = CoatSet([None] * len(chosen), vectors, trained=True, framed=framed, checksum=checksum)
        found.features = [self.features[index] for index in chosen]
        return found

    def similarity(self, i: int, j: int) -> float | None:
        """Cosine of two vectors, None where one is not encoded."""
        if self.vectors is None or not (self.encoded[i] and self.encoded[j]):
            return None
        return float(np.clip(self.vectors[i] @ self.vectors[j], -1.0, 1.0))

    def compare(self, i: int, j: int) -> PairScore:
        """Verify one pair."""
        from modelzoo.calibrating import alone

        evidence = self.evidence(i, j)
        return PairScore(
            score=self.calibration.score(evidence),
            probability=self.calibration.probability(evidence),
            inliers=evidence.inliers,
            similarity=evidence.similarity,
            local_score=self.calibration.score(alone(evidence)),
            evidence=evidence,
        )

    def evidence(self, i: int, j: int) -> Evidence:
        """What verification and vectors say of one pair."""
        from modelzoo.calibration import Evidence, spread_of
        from modelzoo.local.verify import verify

        a, b = self.features[i], self.features[j]
        found = verify(a, b, local_config(), same_camera=self._same_camera(i, j))
        return Evidence(
            inliers=found.inliers,
            matches=found.matches,
            keypoints_a=len(a),
            keypoints_b=len(b),
            similarity=self.similarity(i, j),
            embedding=self.checksum if self.trained else "",
            weight=found.weight,
            residual=found.residual / max(local_config().tolerance * max(b.width, b.height), 1e-9),
            spread=spread_of(a.points, b.points, found.pairs),
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

    def _local_index(self) -> InvertedIndex:
        from modelzoo.local.inverted import InvertedIndex

        if self._index is None:
            self._index = InvertedIndex(self.features)
        return self._index

    def shortlist(self, i: int, k: int, nearest: Sequence[int] | None = None) -> list[int]:
        """Detections worth verifying against the i-th: the k best by votes of spots, and a third as many by vectors.

        Fewer by vectors, because votes find more of the right ones where both know nothing of the animals; where there
        is no vote, vectors take the whole. nearest: positions by vectors where a database has found them; else the
        vectors here are compared, those that may count.
        """
        voted = [item for item in self._local_index().shortlist(self.features[i], k + 1)[0].tolist() if item != i][:k]
        if nearest is None:
            nearest = self._nearest(i, k + 1)
        near = [item for item in nearest if item != i and item not in voted]
        return [*voted, *near[: max(k // 3, k - len(voted))]]

    def _nearest(self, i: int, k: int) -> list[int]:
        if self.vectors is None or not (self.trained and self.encoded[i]):
            return []
        likeness = np.where(self.encoded, self.vectors @ self.vectors[i], -np.inf)
        return [int(item) for item in np.argsort(-likeness, kind="stable")[:k] if likeness[item] > -np.inf]

    def prefetch(self, positions: Sequence[int]) -> None:
        """Read what is about to be compared in one go."""
        if isinstance(self.features, CoatStore):
            self.features.prefetch(positions)


@lru_cache(maxsize=1)
def _default_calibration() -> Calibration:
    from modelzoo.calibration import Calibration

    return Calibration.default()


def calibration_of(name: str, checksum: str, evaluation: Mapping[str, Any]) -> Calibration:
    """A model's own calibration where its evaluation carries one of its very weights, else the one that ships.

    One that cannot be read is left out with a warning: scores then say what local features say.
    """
    from modelzoo.calibration import Calibration

    said = evaluation.get("calibration") if isinstance(evaluation, Mapping) else None
    if said is None:
        return _default_calibration()
    try:
        if not isinstance(said, Mapping):
            raise ValueError("a calibration is a JSON object")
        own = Calibration.from_dict(said)
    except (ValueError, TypeError) as error:
        logger.warning("the calibration of %s is damaged and not used: %s", name, error)
        return _default_calibration()
    if not own.counts(checksum):
        # An exported model comes back with another checksum, and to other animals.
        logger.info("the calibration of %s is of other weights and not used", name)
        return _default_calibration()
    return own
