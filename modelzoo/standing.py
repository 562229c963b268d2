"""From a pair's evidence and its standing among the query's other candidates to the probability of one individual.

``Calibration`` scores a pair by itself and ranks. Whether the best of a hundred strangers or the animal itself scored
so depends on the rest: what the query's other candidates reach, how many were compared, how the matches lie. A logistic
regression on these (``PairModel``) says the probability that is shown to people. Every slope has a fixed sign, so that
more evidence for a pair never lowers it. The coefficients that ship were fitted on synthetic surveys only
(``default_calibration.PAIR_MODEL``); a population fits its own from its decisions, held close to those that ship. What
a learned matcher found counts only in such a fit, and only for pairs that it compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import default_calibration as shipped
from .calibration import Evidence

FEWEST_PAIRS = 20
_FEWEST_FOR_LEVEL = 10
_STEPS = 100
_LARGEST = 1e6
# A feature that differs by less teaches nothing.
_LEAST_SPREAD = 1e-4
_HELD = 1e9
_FURTHEST = 30.0


@dataclass(frozen=True)
class Learned:
    """What a learned matcher found of a pair. matcher: its version; the others as in ``local.Verification``."""

    matcher: str
    inliers: int
    matches: int
    weight: float

    def __post_init__(self) -> None:
        if not isinstance(self.matcher, str) or not self.matcher:
            raise ValueError("a learned matcher has a version")
        if not 0 <= self.inliers <= self.matches or not 0.0 <= self.weight < math.inf:
            raise ValueError(f"impossible evidence: {self}")


@dataclass(frozen=True)
class Standing:
    """A pair and where it stands among the query's candidates.

    score: log-odds of the pair by itself (``Calibration.score``). rival: the best score of a candidate that is not
    known to be of the same group as this one, None without any. level: median score of all that were compared with the
    query, None where these are fewer than ten. compared: how many they are. learned: None where no learned matcher
    compared the pair.
    """

    evidence: Evidence
    score: float
    rival: float | None
    level: float | None
    compared: int
    learned: Learned | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, numbers rounded to what a probability can show."""
        values = {name: v for name, v in asdict(self.evidence).items() if v is not None and v != ""}
        values |= {"score": self.score, "rival": self.rival, "level": self.level, "compared": self.compared}
        if self.learned is not None:
            values["learned"] = {**asdict(self.learned), "weight": round(self.learned.weight, 5)}
        return {name: round(v, 5) if isinstance(v, float) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Standing:
        """Inverse of :meth:`to_dict`. Raises ValueError for anything else."""
        try:
            own = {name: values[name] for name in ("score", "rival", "level", "compared")}
            if "learned" in values:
                own["learned"] = Learned(**values["learned"])
            return cls(Evidence(**{name: v for name, v in values.items() if name not in own}), **own)
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no evidence of a candidate: {error}") from None


def standings(
    evidence: Sequence[Evidence],
    scores: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    own: Hashable = None,
) -> list[Standing]:
    """The standing of every candidate that was compared with one query, in the given order.

    groups: which candidates are known to show one animal; None: nothing is known, each stands for itself. own: the
    query's group, whose members are nobody's rivals.
    """
    values = np.asarray(scores, float)
    names: list[Hashable] = list(range(len(values))) if groups is None else list(groups)
    level = float(np.median(values)) if len(values) >= _FEWEST_FOR_LEVEL else None
    order = [i for i in np.argsort(-values, kind="stable").tolist() if own is None or names[i] != own]
    # The rival of a candidate of the best one's group is the best of another group.
    best = order[0] if order else None
    second = next((i for i in order if names[i] != names[order[0]]), None)
    rivals = [second if best is not None and names[i] == names[best] else best for i in range(len(values))]
    return [
        Standing(e, float(v), None if rival is None else float(values[rival]), level, len(values))
        for e, v, rival in zip(evidence, values, rivals, strict=True)
    ]


def _margin(standing: Standing) -> float:
    return 0.0 if standing.rival is None else min(max(standing.score - standing.rival, -5.0), 5.0)


def _sharpness(standing: Standing) -> float:
    return math.log1p(standing.evidence.sharpness or 0.0) / 10.0


def _learned(standing: Standing) -> float:
    if standing.learned is None:
        raise ValueError("no learned matcher compared this pair")
    return math.log1p(standing.learned.weight)


# Only in a `PairModel` that names the matcher.
LEARNED = "learned"
# What a slope multiplies, and the sign that it may have (0: either).
FEATURES: dict[str, tuple[Callable[[Standing], float], int]] = {
    "score": (lambda s: s.score, 1),
    "margin": (_margin, 1),
    "level": (lambda s: s.level if s.level is not None else 0.0, -1),
    "catalogue": (lambda s: math.log(max(s.compared, 1)), -1),
    "spread": (lambda s: s.evidence.spread or 0.0, 1),
    "residual": (lambda s: s.evidence.residual or 0.0, -1),
    "keypoints": (lambda s: math.log1p(min(s.evidence.keypoints_a, s.evidence.keypoints_b)), 0),
    "sharpness": (_sharpness, 0),
    "flanks": (lambda s: float(s.evidence.flanks_known), 1),
    LEARNED: (_learned, 1),
}


@dataclass(frozen=True)
class PairModel:
    """log-odds = intercept + Σ slope·feature. JSON-ready.

    slopes: by name of ``FEATURES``; a feature that is not named does not count. level_cap: levels above this are taken
    as this, because then most candidates are the animal itself. scores: version of the ``Calibration`` whose scores it
    reads. version: for people. matcher: version of the learned matcher whose findings it reads, "" for none; such a
    model is never by itself, but the `learned` of another one, which it stands in for where that very matcher compared
    the pair.
    """

    intercept: float
    slopes: Mapping[str, float]
    level_cap: float
    scores: str
    version: str
    matcher: str = ""
    learned: PairModel | None = None
    _order: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = [self.intercept, self.level_cap, *self.slopes.values()]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _LARGEST for v in numbers):
            raise ValueError("coefficients are finite numbers")
        if not isinstance(self.scores, str) or not isinstance(self.version, str):
            raise ValueError("scores and version are texts")
        unknown = set(self.slopes) - set(FEATURES)
        if unknown:
            raise ValueError(f"there is no feature {', '.join(sorted(unknown))}")
        wrong = [name for name, value in self.slopes.items() if value * FEATURES[name][1] < 0]
        if wrong:
            raise ValueError(f"the slope of {', '.join(wrong)} has the wrong sign")
        if not isinstance(self.matcher, str) or (LEARNED in self.slopes) != bool(self.matcher):
            raise ValueError("what a learned matcher found counts exactly where the matcher is named")
        if self.learned is not None and (self.matcher or not self.learned.matcher or self.learned.learned is not None):
            raise ValueError("beside a pair model stands one that reads a learned matcher, and nothing beside that")
        object.__setattr__(self, "_order", tuple(name for name in FEATURES if name in self.slopes))

    @classmethod
    def default(cls) -> PairModel:
        """The one that ships."""
        return cls.from_dict(shipped.PAIR_MODEL)

    @property
    def features(self) -> tuple[str, ...]:
        return self._order

    def columns(self, standing: Standing) -> list[float]:
        """The features in the order of :attr:`features`."""
        return [self._value(name, standing) for name in self._order]

    def _value(self, name: str, standing: Standing) -> float:
        value = FEATURES[name][0](standing)
        return min(value, self.level_cap) if name == "level" else value

    def log_odds(self, standing: Standing) -> float:
        """By `learned` where it reads the very matcher that compared the pair."""
        beside, compared = self.learned, standing.learned
        if beside is not None and compared is not None and compared.matcher == beside.matcher:
            return beside.log_odds(standing)
        pairs = zip(self._order, self.columns(standing), strict=True)
        return self.intercept + sum(self.slopes[name] * value for name, value in pairs)

    def probability(self, standing: Standing) -> float:
        """Strictly between 0 and 1."""
        value = min(max(self.log_odds(standing), -_FURTHEST), _FURTHEST)
        odds = math.exp(-abs(value))
        return 1.0 / (1.0 + odds) if value >= 0 else odds / (1.0 + odds)

    def widened(self) -> PairModel:
        """This model with a slope of 0 for every other feature: where the fit of a population begins.

        What ships cannot tell what a rival or the median of all that were compared says of animals that it has never
        seen; a population's decisions can.
        """
        others = {name: 0.0 for name in FEATURES if name != LEARNED}
        return replace(self, slopes={**others, **self.slopes})

    def reading(self, matcher: str) -> PairModel:
        """This model with a slope of 0 for what a learned matcher found: where a fit that reads it begins."""
        return replace(self, slopes={**self.slopes, LEARNED: 0.0}, matcher=matcher, learned=None)

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "intercept": self.intercept,
            "slopes": dict(self.slopes),
            "level_cap": self.level_cap,
            "scores": self.scores,
            "version": self.version,
        }
        if self.matcher:
            values["matcher"] = self.matcher
        if self.learned is not None:
            values["learned"] = self.learned.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PairModel:
        """Inverse of :meth:`to_dict`; missing or unknown keys are a ValueError.

        "share" is passed over: coefficients that an earlier version stored have it.
        """
        values = {name: value for name, value in values.items() if name != "share"}
        expected = {"intercept", "slopes", "level_cap", "scores", "version"}
        if set(values) - {"matcher", "learned"} != expected or not isinstance(values["slopes"], Mapping):
            raise ValueError(f"a pair model has exactly {sorted(expected)}")
        beside = values.get("learned")
        if beside is not None and not isinstance(beside, Mapping):
            raise ValueError("what stands beside a pair model is a pair model")
        return cls(**{**values, "learned": None if beside is None else cls.from_dict(beside)})

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)


def fit_pair_model(
    pairs: Sequence[Standing],
    same: Sequence[float],
    start: PairModel,
    *,
    version: str,
    scores: str,
    ridge: float = 2.0,
    weights: Sequence[float] | None = None,
) -> PairModel:
    """Coefficients for these pairs, held close to ``start``.

    same: whether each shows one individual, or a probability of that where nobody has said; weights: for how many pairs
    each stands, 1 if not given.
    Maximum a posteriori: slopes are Gaussian about those of ``start``, with precision `ridge` in units of each
    feature's spread in these pairs; the intercept, which is the share of right pairs, is free. A slope that would have
    the wrong sign is 0; that of a feature which is the same in all pairs stays what it is in ``start``. Raises
    ValueError for fewer than 20 pairs or pairs of one kind only.
    """
    if len(pairs) != len(same) or len(same) < FEWEST_PAIRS or not min(same) < 0.5 <= max(same):
        raise ValueError(f"a calibration needs at least {FEWEST_PAIRS} pairs, right and wrong ones")
    weight = np.ones(len(pairs)) if weights is None else np.array(weights, float)
    names = start.features
    columns = np.array([[1.0, *start.columns(pair)] for pair in pairs])
    truth = np.array(same, float)
    mean = np.average(columns[:, 1:], axis=0, weights=weight)
    spread = np.array([1.0, *np.sqrt(np.average((columns[:, 1:] - mean) ** 2, axis=0, weights=weight))])
    constant = spread < _LEAST_SPREAD
    constant[0] = False
    spread[constant] = 1.0
    precision = np.where(constant, _HELD, ridge)
    precision[0] = 1e-3
    centre = np.array([start.intercept, *(start.slopes[name] for name in names)]) * spread
    sign = np.array([0, *(FEATURES[name][1] for name in names)])
    fixed = np.zeros(len(spread), bool)
    while True:
        found = _newton(columns / spread, truth, weight, np.where(fixed, 0.0, centre), fixed, precision)
        wrong = np.flatnonzero((found * sign < 0) & ~fixed)
        if not len(wrong):
            break
        fixed[wrong[np.abs(found[wrong]).argmax()]] = True
    values = [round(float(v), 4) for v in found / spread]
    slopes = {name: value + 0.0 for name, value in zip(names, values[1:], strict=True)}
    return PairModel(values[0], slopes, start.level_cap, scores, version, start.matcher)


def _newton(
    columns: NDArray[np.float64],
    same: NDArray[np.float64],
    weight: NDArray[np.float64],
    centre: NDArray[np.float64],
    fixed: NDArray[np.bool_],
    precision: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Logistic regression with a Gaussian prior about `centre`, as narrow as `precision`; `fixed` ones are 0."""
    used = np.flatnonzero(~fixed)
    x, beta = columns[:, used], centre[used].copy()
    precision = precision[used]

    def loss(at: NDArray[np.float64]) -> float:
        value = x @ at
        prior = float((precision * (at - centre[used]) ** 2).sum()) / 2
        return float(weight @ (np.logaddexp(0.0, value) - same * value)) + prior

    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ beta, -500, 500)))
        gradient = x.T @ (weight * (p - same)) + precision * (beta - centre[used])
        curvature = x.T @ (x * (weight * p * (1 - p))[:, None]) + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and loss(beta - size * step) > loss(beta):
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    found = np.zeros(len(fixed))
    found[used] = beta
    return found
