"""From what two detections share to the probability that they show the same individual, and to one score for ranking.

A logistic regression on few features, so that it can be read, and fitted anew from a population's own decisions. The
coefficients that ship come from synthetic coats (``default_calibration.py``), never from real photos.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from . import default_calibration as shipped


@dataclass(frozen=True)
class Evidence:
    """What is known of one pair. similarity: cosine of the two embeddings (−1…1), None without one.

    weight: sum of how distinctive the inliers are (``Verification.weight``); None is taken as typical of the inliers.
    """

    inliers: int
    matches: int
    keypoints_a: int
    keypoints_b: int
    similarity: float | None = None
    embedding_trained: bool = False
    weight: float | None = None

    def __post_init__(self) -> None:
        if min(self.inliers, self.matches, self.keypoints_a, self.keypoints_b) < 0 or self.inliers > self.matches:
            raise ValueError(f"impossible evidence: {self}")
        if self.similarity is not None and not math.isfinite(self.similarity):
            raise ValueError("similarity is a finite number or None")


@dataclass(frozen=True)
class Calibration:
    """Frozen coefficients of the log-odds. All slopes are ≥ 0, so more evidence never lowers a score."""

    intercept: float
    inliers: float
    inlier_share: float
    similarity: float
    similarity_centre: float
    version: str

    def __post_init__(self) -> None:
        numbers = (self.intercept, self.inliers, self.inlier_share, self.similarity, self.similarity_centre)
        if not all(math.isfinite(v) for v in numbers):
            raise ValueError("coefficients are finite")
        if min(self.inliers, self.inlier_share, self.similarity) < 0:
            raise ValueError("slopes are at least 0: more evidence must not lower the probability")

    @classmethod
    def default(cls) -> "Calibration":
        """The shipped coefficients."""
        return cls.from_dict(shipped.COEFFICIENTS)

    def score(self, evidence: Evidence) -> float:
        """Log-odds: for ranking, any real number, higher is more alike."""
        share = math.log1p(evidence.inliers) * evidence.inliers / (evidence.matches + 1.0)
        value = self.intercept + self.inliers * math.log1p(evidence.inliers) + self.inlier_share * share
        if evidence.embedding_trained and evidence.similarity is not None:
            value += self.similarity * (evidence.similarity - self.similarity_centre)
        return value

    def probability(self, evidence: Evidence) -> float:
        """Strictly between 0 and 1; the order of :meth:`score`."""
        value = self.score(evidence)
        odds = math.exp(-abs(min(max(value, -30.0), 30.0)))
        return 1.0 / (1.0 + odds) if value >= 0 else odds / (1.0 + odds)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Inverse of :meth:`to_dict`; missing or unknown keys are a ValueError."""
        expected = {f.name for f in fields(cls)}
        if set(values) != expected:
            raise ValueError(f"a calibration has exactly {sorted(expected)}, not {sorted(values)}")
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("a calibration is a JSON object")
        return cls.from_dict(values)
