"""Resampling individuals: the photos of one animal are no independent witnesses.

Every figure is computed from values that each query has against the whole gallery. A resample draws as many individuals
as there are, with replacement, and weighs the values of an individual's queries by how often it was drawn. The gallery
stays as it is: drawn anew it would hold only two thirds of the animals, some of them twice and then each other's false
matches, so that its ranks would answer another question. The interval thus says how far the figure depends on who was
asked for, in a gallery like this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class Figure:
    """A value and the 95 % interval of its percentile bootstrap; NaN where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    def to_dict(self) -> dict[str, float | None]:
        """JSON-ready, NaN as None."""
        return {"value": number(self.value), "low": number(self.low), "high": number(self.high)}

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "–"
        return f"{self.value:.3f}" if np.isnan(self.low) else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def number(value: float) -> float | None:
    """A float for JSON, which knows neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None


class Resampler:
    """`resamples` draws of the known individuals that own the photos.

    individuals: for each of n photos the number of its animal; those from `known` on are never drawn (None: all are
    known). The same seed and the same photos give the same draws.
    """

    def __init__(self, individuals: NDArray[np.int64], *, seed: int, resamples: int, known: int | None = None) -> None:
        if resamples < 0:
            raise ValueError("resamples is not negative")
        self.individuals = individuals
        self.count = int(individuals.max(initial=-1)) + 1
        self.known = self.count if known is None else known
        # The only individual can be drawn in one way: that is no interval.
        self.weights = np.zeros((resamples if self.known > 1 else 0, self.count))
        if len(self.weights):
            even = np.full(self.known, 1 / self.known)
            self.weights[:, : self.known] = np.random.default_rng(seed).multinomial(self.known, even, size=resamples)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Of each photo, whether its individual is known."""
        return np.asarray(self.individuals < self.known)

    def mean(self, values: Vector) -> Figure:
        """Mean over the photos that have a value; NaN marks those that have none."""
        return self.ratio(np.nan_to_num(values), (~np.isnan(values)).astype(np.float64))

    def ratio(self, numerators: Vector, denominators: Vector) -> Figure:
        """Σ numerators / Σ denominators over n photos."""
        above = self._by_individual(numerators)
        below = self._by_individual(denominators)
        if not below.sum():
            return Figure(float("nan"))
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (self.weights @ above) / (self.weights @ below)
        return interval(float(above.sum() / below.sum()), drawn)

    def each(self, statistic: Callable[[Vector], Vector], cells: int) -> Vector:
        """A statistic of every resample: it gets r×n weights of the photos and gives r values.

        cells: how many numbers it holds per resample, so that memory stays bounded.
        """
        step = max(1, _CHUNK_CELLS // max(cells, 1))
        parts = [
            statistic(self.weights[start : start + step][:, self.individuals])
            for start in range(0, len(self.weights), step)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _by_individual(self, values: Vector) -> Vector:
        return np.asarray(np.bincount(self.individuals, weights=values, minlength=self.count), np.float64)


def interval(value: float, drawn: Vector) -> Figure:
    """The value with the 2.5 % and 97.5 % points of its resamples; those without a value are left out."""
    usable = drawn[~np.isnan(drawn)]
    if not len(usable):
        return Figure(value)
    low, high = np.quantile(usable, (0.025, 0.975))
    return Figure(value, float(low), float(high))
