"""Which flank a detection shows, from all that speaks for it: log-odds, positive for the left. Pure functions.

Three things speak. The heading model looks at the body's axis. In a burst the box moves the way the animal walks, and
an animal that walks left in the picture shows its left flank. And verified local matches never mirror: coats that agree
spot by spot in one upright similarity are the same flank, so a flank that a person has named carries over, and the
estimates of both photos support one another. A match that only time or place speaks for says nothing of flanks: the
facing cameras of a station show both.

Nothing here overrules a person; what comes out is an estimate, and names a flank only where it is certain.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from .events import BURST_SECONDS
from .pooling import log_odds

LEFT, RIGHT, UNKNOWN = "left", "right", "unknown"

# An estimate names the flank from this probability on, the left or the right one.
CERTAIN = 0.99
# The heading model's word counts up to this, however sure it is: of its answers from 0.80 on so many are right on every
# real set, and 0.99 on no set but the easiest at any confidence (docs/measured.md). By itself it never names a flank.
MODEL_AT_MOST = 0.80

# A walking animal is seen from the side it walks towards. It may back off, or turn round between two photos.
WALKING = 0.80
# Shares of the mean box width: less is a shifted box, more is rather another animal.
LEAST_MOVE, MOST_MOVE = 0.15, 3.0

# Probability that two coats are the same flank: verified and confirmed by a person; verified and hardly to be doubted.
CONFIRMED, HARDLY_DOUBTED = 0.995, 0.98
# What a pair needs to count as verified spot by spot, and, where nobody has confirmed it, to be hardly doubted.
VERIFIED_INLIERS = 12
HARDLY_DOUBTED_PROBABILITY = 0.99
# Estimates of other photos are no independent witnesses: together they move one by this much at most.
PEERS_AT_MOST = 2.0

# Evidence is named when it moves the estimate by at least this much.
_WORTH_NAMING = 0.2
_FADED = 0.05


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is known of one detection by itself.

    said: the flank that a person named, or "unknown" where a person said that it cannot be told, else "". model:
    probability that it faces left by the heading model, None where there is none. walking: log-odds of :func:`walking`.
    """

    detection: int
    said: str = ""
    model: float | None = None
    walking: float = 0.0


@dataclass(frozen=True, slots=True)
class SameFlank:
    """Two detections (a ≠ b) that show the same flank with this probability (above ½)."""

    a: int
    b: int
    probability: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """left: probability of the left flank, None where nothing speaks. evidence: short words, "" where nothing does."""

    left: float | None
    evidence: str = ""

    @property
    def flank(self) -> str:
        """The flank where it is certain, else "unknown"."""
        if self.left is None or max(self.left, 1 - self.left) < CERTAIN:
            return UNKNOWN
        return LEFT if self.left > 0.5 else RIGHT


NOTHING = Estimate(None)


@dataclass(frozen=True, slots=True)
class Frame:
    """The only animal on a photo of one camera. at: clock corrected. centre, width: of its box, in the same unit."""

    detection: int
    at: datetime
    centre: float
    width: float


def walking(frames: Sequence[Frame]) -> dict[int, float]:
    """Log-odds by detection, from which way the boxes of one camera moved between photos of a burst.

    Each step between two neighbours in time, at most BURST_SECONDS apart, speaks for both; two that contradict each
    other cancel. Detections without a step that says anything are left out.
    """
    steps: dict[int, list[int]] = defaultdict(list)
    for before, after in pairwise(sorted(frames, key=lambda frame: (frame.at, frame.detection))):
        seconds = (after.at - before.at).total_seconds()
        width = (before.width + after.width) / 2
        moved = (after.centre - before.centre) / width if width > 0 else 0.0
        if 0 <= seconds <= BURST_SECONDS and LEAST_MOVE <= abs(moved) <= MOST_MOVE:
            for frame in (before, after):
                steps[frame.detection].append(-1 if moved > 0 else 1)
    return {
        detection: log_odds(WALKING) * math.copysign(1, sum(signs)) for detection, signs in steps.items() if sum(signs)
    }


def model_log_odds(probability: float | None) -> float:
    """What the heading model says, held to what it was measured to be worth."""
    if probability is None:
        return 0.0
    most = log_odds(MODEL_AT_MOST)
    return max(-most, min(most, log_odds(probability)))


def same_flank(*, confirmed: bool, inliers: int, probability: float | None) -> float | None:
    """Probability that a compared pair shows the same flank, None where the pair says nothing of it.

    confirmed: a person compared the two coats and said that they match. inliers: verified local matches. probability:
    that both show one individual, as matching has it.
    """
    if inliers < VERIFIED_INLIERS:
        return None
    if confirmed:
        return CONFIRMED
    return HARDLY_DOUBTED if probability is not None and probability >= HARDLY_DOUBTED_PROBABILITY else None


def estimates(sightings: Iterable[Sighting], links: Iterable[SameFlank]) -> dict[int, Estimate]:
    """An estimate for every detection. What a person named is evidence for others only, never for itself.

    A link to a detection that is not among the sightings is left out.
    """
    of = {sighting.detection: sighting for sighting in sightings}
    near: dict[int, dict[int, float]] = defaultdict(dict)
    for link in links:
        if link.a in of and link.b in of and link.a != link.b:
            agreement = max(2 * link.probability - 1, near[link.a].get(link.b, 0.0))
            near[link.a][link.b] = near[link.b][link.a] = agreement
    named = {side: _reach(of, near, side) for side in (LEFT, RIGHT)}
    return {pk: _estimate(one, of, near, named) for pk, one in of.items()}


def _estimate(
    one: Sighting,
    of: Mapping[int, Sighting],
    near: Mapping[int, Mapping[int, float]],
    named: Mapping[str, Mapping[int, float]],
) -> Estimate:
    parts = {"model": model_log_odds(one.model), "walking": one.walking}
    peers = sum(
        _through(agreement, model_log_odds(of[other].model) + of[other].walking)
        for other, agreement in near.get(one.detection, {}).items()
        if of[other].said not in (LEFT, RIGHT)
    )
    known = _same(named[LEFT].get(one.detection, 0.0)) - _same(named[RIGHT].get(one.detection, 0.0))
    parts["matches"] = max(-PEERS_AT_MOST, min(PEERS_AT_MOST, peers)) + known
    words = ", ".join(name for name, value in parts.items() if abs(value) >= _WORTH_NAMING)
    if one.model is None and not words:
        return NOTHING
    return Estimate(_probability(sum(parts.values())), words or "model")


def _reach(of: Mapping[int, Sighting], near: Mapping[int, Mapping[int, float]], side: str) -> dict[int, float]:
    """How surely each detection shows the flank that persons named on others: the agreement (0…1) along the best path.

    It ends at detections on which a person named a flank themselves.
    """
    found: dict[int, float] = {}
    frontier = {pk: 1.0 for pk, sighting in of.items() if sighting.said == side}
    while frontier:
        reached: dict[int, float] = {}
        for pk, sure in frontier.items():
            for other, agreement in near.get(pk, {}).items():
                value = sure * agreement
                if (
                    of[other].said not in (LEFT, RIGHT)
                    and value > max(found.get(other, 0.0), reached.get(other, 0.0))
                    and value >= _FADED
                ):
                    reached[other] = value
        found |= reached
        frontier = reached
    return found


def _probability(value: float) -> float:
    """Of log-odds, of any size."""
    return 0.5 * (1 + math.tanh(value / 2))


def _same(agreement: float) -> float:
    """Log-odds of an agreement (0…1, 0 says nothing)."""
    return log_odds((1 + agreement) / 2)


def _through(agreement: float, value: float) -> float:
    """What log-odds of one detection say of another that agrees with it to this degree."""
    return 2 * math.atanh(agreement * math.tanh(value / 2))
