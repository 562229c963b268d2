"""From what two detections share to the probability that they show the same individual, and to one score for ranking.

A logistic regression on the weight of the geometric inliers, and a second one on that weight and the similarity of two
vectors, so that both can be read and fitted anew from a population's own decisions. What a similarity says differs
from model to model: it counts only where it is of the very weights that the second one was fitted with. That of the
embedding that ships gained nothing on synthetic coats (its keypoints are the same), so it does not count. With the
count or the share of inliers beside the weight, nyala ranked worse and tigers alike, so those are left out. The
coefficients that ship were fitted on synthetic coats (``default_calibration.py``), never on real photos.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from . import default_calibration as shipped

_RIDGE = 0.5
_STEPS = 200
_FEWEST_PAIRS = 20
_LARGEST = 1e9


@dataclass(frozen=True)
class Evidence:
    """What is known of one pair. similarity: cosine of the two vectors (−1…1), None without one.

    embedding: SHA-256 of the weights that made the vectors, "" where the similarity must not count. weight:
    ``Verification.weight``, the sum over inliers of how distinctive they are; None takes what is usual for that many
    inliers. residual: root mean square distance of the inliers from where the geometry puts them, as a share of what is
    tolerated. spread: :func:`spread_of`. sharpness: of the less sharp crop. flanks_known: whether both sides are known,
    and so are one. None of these counts in a score; they count in the probability (``standing``).
    """

    inliers: int
    matches: int
    keypoints_a: int
    keypoints_b: int
    similarity: float | None = None
    embedding: str = ""
    weight: float | None = None
    residual: float | None = None
    spread: float | None = None
    sharpness: float | None = None
    flanks_known: bool = False

    def __post_init__(self) -> None:
        if min(self.inliers, self.matches, self.keypoints_a, self.keypoints_b) < 0 or self.inliers > self.matches:
            raise ValueError(f"impossible evidence: {self}")
        if self.similarity is not None and not math.isfinite(self.similarity):
            raise ValueError("similarity is a finite number or None")
        if self.weight is not None and not 0.0 <= self.weight < math.inf:
            raise ValueError("weight is a number of at least 0 or None")


@dataclass(frozen=True)
class Calibration:
    """Frozen coefficients of the log-odds.

    The slopes are at least 0, so that more inliers or a larger similarity never lower a score. weight: slope of
    log(1 + ``Evidence.weight``). intercept, weight: without a similarity that counts. fused_intercept, fused_weight,
    similarity: with one. embedding: SHA-256 of the weights whose similarities count. usual_weight: weight per inlier
    taken where none is known.
    """

    intercept: float
    weight: float
    fused_intercept: float
    fused_weight: float
    similarity: float
    embedding: str
    usual_weight: float
    version: str

    FITTED: ClassVar[tuple[str, ...]] = ("intercept", "weight")
    FUSED: ClassVar[tuple[str, ...]] = ("fused_intercept", "fused_weight", "similarity")

    def __post_init__(self) -> None:
        texts = {name: v for name, v in asdict(self).items() if name in ("embedding", "version")}
        numbers = [v for name, v in asdict(self).items() if name not in texts]
        if not all(isinstance(v, str) for v in texts.values()):
            raise ValueError("version and embedding are texts")
        if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _LARGEST for v in numbers):
            raise ValueError("coefficients are finite numbers")
        if min(self.weight, self.fused_weight, self.similarity, self.usual_weight) < 0:
            raise ValueError("slopes are at least 0: more evidence must not lower the probability")

    @classmethod
    def default(cls) -> "Calibration":
        """The shipped coefficients."""
        return cls.from_dict(shipped.COEFFICIENTS)

    def counts(self, embedding: str) -> bool:
        """Whether similarities under these weights (SHA-256) count."""
        return bool(embedding) and embedding == self.embedding

    def log_weight(self, evidence: Evidence) -> float:
        """What the slope ``weight`` multiplies."""
        return math.log1p(evidence.inliers * self.usual_weight if evidence.weight is None else evidence.weight)

    def score(self, evidence: Evidence) -> float:
        """Log-odds: for ranking, any real number, higher is more alike."""
        if evidence.similarity is not None and self.counts(evidence.embedding):
            value = self.fused_intercept + self.fused_weight * self.log_weight(evidence)
            return value + self.similarity * evidence.similarity
        return self.intercept + self.weight * self.log_weight(evidence)

    def probability(self, evidence: Evidence) -> float:
        """Strictly between 0 and 1; in the order of :meth:`score`."""
        value = min(max(self.score(evidence), -30.0), 30.0)
        odds = math.exp(-abs(value))
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


def fit(evidence: Sequence[Evidence], same: Sequence[bool], start: Calibration, version: str) -> Calibration:
    """Coefficients for these pairs (same: whether each shows one individual), by penalised maximum likelihood.

    A slope that would be negative becomes 0. The coefficients with a similarity are fitted on the pairs that have one,
    when these are at least 20, of both kinds and all of the same weights, else kept from ``start``. The share of right
    pairs becomes the prior, so give pairs as reviewers meet them. Raises ValueError for fewer than 20 pairs or pairs of
    one kind only.
    """
    if len(evidence) != len(same) or not _enough(same):
        raise ValueError(f"a calibration needs at least {_FEWEST_PAIRS} pairs, right and wrong ones")
    columns = np.array([[1.0, start.log_weight(e)] for e in evidence])
    truth = np.array(same, float)
    changes: dict[str, Any] = dict(zip(Calibration.FITTED, _coefficients(columns, truth), strict=True))
    known = np.array([e.similarity is not None and bool(e.embedding) for e in evidence])
    embeddings = {e.embedding for e, has in zip(evidence, known, strict=True) if has}
    if len(embeddings) == 1 and _enough(truth[known].tolist()):
        similarity = np.array([e.similarity for e, has in zip(evidence, known, strict=True) if has], float)
        # Cosines differ by little: in units of their spread the ridge does not hold their slope down.
        spread = max(float(similarity.std()), 1e-6)
        found = _coefficients(np.column_stack([columns[known], similarity / spread]), truth[known])
        changes |= dict(zip(Calibration.FUSED, [*found[:2], found[2] / spread], strict=True))
        changes["embedding"] = embeddings.pop()
    rounded: dict[str, Any] = {name: round(v, 4) if isinstance(v, float) else v for name, v in changes.items()}
    return replace(start, **rounded, version=version)


def spread_of(a: "np.ndarray[Any, Any]", b: "np.ndarray[Any, Any]", pairs: "np.ndarray[Any, Any]") -> float:
    """How widely the matched keypoints lie over both coats: 0 (on a line or few) to 1 (as widely as all keypoints).

    a, b: n×4 and m×4 keypoints (x, y first); pairs: k×2 indices into them. The fourth root of the determinants of the
    covariance of matched places over that of all places, the product of both coats.
    """
    if len(pairs) < 3:
        return 0.0
    found = 1.0
    for points, column in ((a, 0), (b, 1)):
        places = np.asarray(points[:, :2], np.float64)
        whole = float(np.linalg.det(np.cov(places.T)))
        some = float(np.linalg.det(np.cov(places[pairs[:, column]].T)))
        found *= max(some, 0.0) / whole if whole > 0 else 0.0
    return float(min(found**0.25, 1.0))


def spotid_confidence(cosine: float) -> float:
    """What the original SpotID says of a pair, 0…1: exp(−2·max(d − 0.45, 0)), d the distance of two unit vectors.

    No probability: two vectors at a right angle get 0.15, and the original's unrelated coats at d = 1 get 0.33.
    """
    distance = math.sqrt(max(2.0 - 2.0 * min(max(cosine, -1.0), 1.0), 0.0))
    return math.exp(-2.0 * max(distance - 0.45, 0.0))


def _enough(same: Sequence[bool] | Sequence[float]) -> bool:
    return len(same) >= _FEWEST_PAIRS and len({bool(v) for v in same}) == 2


def _coefficients(columns: "np.ndarray[Any, Any]", same: "np.ndarray[Any, Any]") -> list[float]:
    """Intercept and slopes, of which those that would be negative are 0."""
    used = np.ones(columns.shape[1], bool)
    while True:
        found = np.zeros(len(used))
        found[used] = _newton(columns[:, used], same)
        negative = np.flatnonzero(found[1:] < 0) + 1
        if not len(negative):
            return [float(v) for v in found]
        used[negative[found[negative].argmin()]] = False


def _newton(columns: "np.ndarray[Any, Any]", same: "np.ndarray[Any, Any]") -> Any:
    """Logistic regression with a ridge on all columns but the first (the intercept)."""
    beta = np.zeros(columns.shape[1])
    ridge = np.eye(len(beta)) * _RIDGE
    ridge[0, 0] = 0.0

    def loss(at: Any) -> float:
        value = columns @ at
        return float(np.logaddexp(0.0, value).sum() - same @ value + at @ ridge @ at / 2)

    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(columns @ beta, -500, 500)))
        gradient = columns.T @ (p - same) + ridge @ beta
        curvature = columns.T @ (columns * (p * (1 - p))[:, None]) + ridge + 1e-9 * np.eye(len(beta))
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and loss(beta - size * step) > loss(beta):
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return beta
