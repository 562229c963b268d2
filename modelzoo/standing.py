"""From a pair's evidence and its standing among the query's other candidates to the probability of one individual.

``Calibration`` scores a pair by itself and ranks. Whether the best of a hundred strangers or the animal itself scored
so depends on the rest: what the query's other candidates reach, how many were compared, how the matches lie. A logistic
regression on these (``PairModel``) says the probability that is shown to people. Every slope has a fixed sign, so that
more evidence for a pair never lowers it. The coefficients that ship were fitted on synthetic surveys only
(``default_calibration.PAIR_MODEL``); a population fits its own from its decisions, held close to those that ship.

Shift of the share of right pairs without any label: Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a
classifier to new a priori probabilities".
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import default_calibration as shipped
from .calibration import Evidence

FEWEST_PAIRS = 20
_FEWEST_FOR_LEVEL = 10
_FEWEST_TO_ADAPT = 50
_DAMPING, _FURTHEST_SHIFT = 0.5, 4.0
_STEPS = 100
_LARGEST = 1e6
_FURTHEST = 30.0


@dataclass(frozen=True)
class Standing:
    """A pair and where it stands among the query's candidates.

    score: log-odds of the pair by itself (``Calibration.score``). rival: the best score of a candidate that is not
    known to be of the same group as this one, None without any. level: median score of all that were compared with the
    query, None where these are fewer than ten. compared: how many they are.
    """

    evidence: Evidence
    score: float
    rival: float | None
    level: float | None
    compared: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, numbers rounded to what a probability can show."""
        values = {name: v for name, v in asdict(self.evidence).items() if v is not None and v != ""}
        values |= {"score": self.score, "rival": self.rival, "level": self.level, "compared": self.compared}
        return {name: round(v, 5) if isinstance(v, float) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Standing:
        """Inverse of :meth:`to_dict`. Raises ValueError for anything else."""
        try:
            own = {name: values[name] for name in ("score", "rival", "level", "compared")}
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
}


@dataclass(frozen=True)
class PairModel:
    """log-odds = intercept + Σ slope·feature. JSON-ready.

    slopes: by name of ``FEATURES``; a feature that is not named does not count. level_cap: levels above this are taken
    as this, because then most candidates are the animal itself. scores: version of the ``Calibration`` whose scores it
    reads. share: of right pairs among those that it was fitted with, where the share elsewhere is unknown and has to be
    found from the scores (:func:`adaptation`); 0 where it was fitted on the population itself. version: for people.
    """

    intercept: float
    slopes: Mapping[str, float]
    level_cap: float
    share: float
    scores: str
    version: str
    _order: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = [self.intercept, self.level_cap, self.share, *self.slopes.values()]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _LARGEST for v in numbers):
            raise ValueError("coefficients are finite numbers")
        if not 0 <= self.share < 1:
            raise ValueError("share lies between 0 and 1")
        if not isinstance(self.scores, str) or not isinstance(self.version, str):
            raise ValueError("scores and version are texts")
        unknown = set(self.slopes) - set(FEATURES)
        if unknown:
            raise ValueError(f"there is no feature {', '.join(sorted(unknown))}")
        wrong = [name for name, value in self.slopes.items() if value * FEATURES[name][1] < 0]
        if wrong:
            raise ValueError(f"the slope of {', '.join(wrong)} has the wrong sign")
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
        pairs = zip(self._order, self.columns(standing), strict=True)
        return self.intercept + sum(self.slopes[name] * value for name, value in pairs)

    def probability(self, standing: Standing, *, shift: float = 0.0) -> float:
        """Strictly between 0 and 1. shift: of the log-odds, see :func:`adaptation`."""
        value = min(max(self.log_odds(standing) + shift, -_FURTHEST), _FURTHEST)
        odds = math.exp(-abs(value))
        return 1.0 / (1.0 + odds) if value >= 0 else odds / (1.0 + odds)

    def to_dict(self) -> dict[str, Any]:
        return {
            "intercept": self.intercept,
            "slopes": dict(self.slopes),
            "level_cap": self.level_cap,
            "share": self.share,
            "scores": self.scores,
            "version": self.version,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PairModel:
        """Inverse of :meth:`to_dict`; missing or unknown keys are a ValueError."""
        expected = {"intercept", "slopes", "level_cap", "share", "scores", "version"}
        if set(values) != expected or not isinstance(values["slopes"], Mapping):
            raise ValueError(f"a pair model has exactly {sorted(expected)}")
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)


def fit_pair_model(
    pairs: Sequence[Standing], same: Sequence[bool], start: PairModel, *, version: str, scores: str, ridge: float = 2.0
) -> PairModel:
    """Coefficients for these pairs (same: whether each shows one individual), held close to ``start``.

    Maximum a posteriori: slopes are Gaussian about those of ``start``, with precision `ridge` in units of each
    feature's spread in these pairs; the intercept, which is the share of right pairs, is free. A slope that would have
    the wrong sign is 0. The result has share 0: it knows the share of right pairs where it was fitted. Raises
    ValueError for fewer than 20 pairs or pairs of one kind only.
    """
    if len(pairs) != len(same) or len(same) < FEWEST_PAIRS or len({bool(v) for v in same}) != 2:
        raise ValueError(f"a calibration needs at least {FEWEST_PAIRS} pairs, right and wrong ones")
    names = start.features
    columns = np.array([[1.0, *start.columns(pair)] for pair in pairs])
    truth = np.array(same, float)
    spread = np.array([1.0, *np.maximum(columns[:, 1:].std(axis=0), 1e-6)])
    centre = np.array([start.intercept, *(start.slopes[name] for name in names)]) * spread
    sign = np.array([0, *(FEATURES[name][1] for name in names)])
    fixed = np.zeros(len(spread), bool)
    while True:
        found = _newton(columns / spread, truth, np.where(fixed, 0.0, centre), fixed, ridge)
        wrong = np.flatnonzero((found * sign < 0) & ~fixed)
        if not len(wrong):
            break
        fixed[wrong[np.abs(found[wrong]).argmax()]] = True
    values = [round(float(v), 4) for v in found / spread]
    slopes = {name: value + 0.0 for name, value in zip(names, values[1:], strict=True)}
    return PairModel(values[0], slopes, start.level_cap, 0.0, scores, version)


def _newton(
    columns: NDArray[np.float64],
    same: NDArray[np.float64],
    centre: NDArray[np.float64],
    fixed: NDArray[np.bool_],
    ridge: float,
) -> NDArray[np.float64]:
    """Logistic regression with a Gaussian prior about `centre` on all but the first column; `fixed` ones are 0."""
    used = np.flatnonzero(~fixed)
    x, beta = columns[:, used], centre[used].copy()
    precision = np.full(len(used), ridge)
    precision[0] = 1e-3

    def loss(at: NDArray[np.float64]) -> float:
        value = x @ at
        prior = float((precision * (at - centre[used]) ** 2).sum()) / 2
        return float(np.logaddexp(0.0, value).sum() - same @ value) + prior

    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ beta, -500, 500)))
        gradient = x.T @ (p - same) + precision * (beta - centre[used])
        curvature = x.T @ (x * (p * (1 - p))[:, None]) + np.diag(precision)
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


def prior_shift(probabilities: Sequence[float], share: float, *, steps: int = 200) -> float:
    """By how much log-odds shift where the share of right pairs differs from the `share` that was fitted with.

    Expectation and maximisation of Saerens et al. 2002 on unlabelled pairs. 0 for no pairs.
    """
    p = np.asarray(probabilities, float)
    if not len(p) or not 0 < share < 1:
        return 0.0
    prior = share
    for _ in range(steps):
        right, wrong = p * (prior / share), (1 - p) * ((1 - prior) / (1 - share))
        updated = float(np.clip((right / (right + wrong)).mean(), 1e-4, 1 - 1e-4))
        if abs(updated - prior) < 1e-7:
            break
        prior = updated
    return math.log(prior / (1 - prior)) - math.log(share / (1 - share))


def adaptation(model: PairModel, shown: Sequence[Standing]) -> float:
    """The shift of log-odds for a survey, from the standings of its queries' best candidates, without any label.

    Half of what :func:`prior_shift` finds, within ±4: where right and wrong scores lie closer together or further apart
    than in the fit, the whole of it goes astray. 0 for a model fitted on the population itself, and for few candidates.
    """
    if not model.share or len(shown) < _FEWEST_TO_ADAPT:
        return 0.0
    found = prior_shift([model.probability(standing) for standing in shown], model.share)
    return min(max(_DAMPING * found, -_FURTHEST_SHIFT), _FURTHEST_SHIFT)
