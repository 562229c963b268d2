"""From the compared pairs of two groups of photos to one probability that the groups are one animal. Pure functions.

The pairs of two groups are not independent: they share photos, light and pose, so multiplying their odds would make a
certainty out of ten looks at the same thing. The best pair counts whole. The others count in part, by how far each
exceeds what two strangers usually have, up to a bound. And the best of many pairs is good by chance: the odds are
divided by the number of pairs between the groups (as Bonferroni does), stored or not, so that one look among twenty
photos says less than the same look between two. The three constants were chosen by measurement (docs/decisions/0025).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Log-odds that a stored pair of strangers usually has; of what the pairs beside the best one exceed it by, this part
# counts, at most BONUS in all.
STRANGERS = -3.0
PART = 0.35
BONUS = 3.0
_MOST = 12.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A compared pair of detections (a < b).

    probability: that both show one individual. one_flank: probability that both show the same flank. sharpness: of the
    less sharp of the two, in any unit.
    """

    a: int
    b: int
    probability: float
    one_flank: float = 0.5
    sharpness: float = 0.0


def log_odds(probability: float) -> float:
    """Bounded to ±12, so that a stored 0 or 1 is no infinite evidence."""
    if probability <= 0.0:
        return -_MOST
    if probability >= 1.0:
        return _MOST
    return max(-_MOST, min(_MOST, math.log(probability / (1.0 - probability))))


def from_log_odds(value: float) -> float:
    """Strictly between 0 and 1 for every finite number."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-min(value, 30.0)))
    odds = math.exp(max(value, -30.0))
    return odds / (1.0 + odds)


def pooled(probabilities: Iterable[float], between: int) -> float:
    """One probability for two groups, from those of their compared pairs (at least one).

    between: how many pairs of photos there are between the groups, compared or not.
    """
    given = list(probabilities)
    return looked_among(strength(given), max(between, len(given)))


def strength(probabilities: Iterable[float]) -> float:
    """What the compared pairs of two groups say together, in log-odds, before it counts among how many it was found."""
    ordered = sorted((log_odds(p) for p in probabilities), reverse=True)
    return ordered[0] + min(BONUS, PART * sum(value - STRANGERS for value in ordered[1:]))


def looked_among(found: float, number: int) -> float:
    """The probability of log-odds that were the best of so many pairs."""
    return from_log_odds(found - math.log(number))


def bounded(value: float) -> float:
    """Log-odds within the bounds of :func:`log_odds`."""
    return _MOST if value > _MOST else -_MOST if value < -_MOST else value


def agreement(left_a: float, left_b: float) -> float:
    """Probability that two detections show the same flank, from that of each showing the left one (0…1)."""
    return left_a * left_b + (1.0 - left_a) * (1.0 - left_b)


def best_view(pairs: Sequence[Pair]) -> Pair:
    """The pair to show of two groups: same flank, most probable, sharpest; then the smallest ids."""

    def rank(pair: Pair) -> tuple[float, float, int, int]:
        worth = log_odds(pair.probability) + math.log(max(pair.one_flank, 0.01))
        return (-round(worth * 2) / 2, -pair.sharpness, pair.a, pair.b)

    return min(pairs, key=rank)
