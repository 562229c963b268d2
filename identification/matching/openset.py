"""Whether anyone in the catalogue is this animal, from the probabilities of a photo's candidates. Pure functions."""

from __future__ import annotations

from collections.abc import Hashable, Iterable


def anyone_probability(candidates: Iterable[tuple[float, Hashable]]) -> float:
    """The probability of the best group of candidates; 0 without any.

    candidates: (probability, group). The candidates of a photo are no independent witnesses, so 1 − Π(1 − p) says too
    much; on real sets the best one alone told known animals from new ones best (docs/measured.md).
    """
    best: dict[Hashable, float] = {}
    for probability, group in candidates:
        best[group] = max(best.get(group, 0.0), probability)
    return max(best.values(), default=0.0)
