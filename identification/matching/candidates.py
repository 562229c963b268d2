"""Which detections may be compared, and which of the compared ones are worth keeping. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Kept per anchor: the best in any case, then the best of each further group, so that one animal with many photos does
# not crowd out the others.
BEST_IN_ANY_CASE = 10
KEPT = 30


@dataclass(frozen=True)
class Side:
    """What must be known of a detection to say whether another can be compared with it."""

    detection: int
    image: int
    flank: str
    survey: int


@dataclass(frozen=True)
class Scored:
    """One compared pair from the anchor's side. Higher score is more alike."""

    detection: int
    score: float
    group: int


def compatible(a: Side, b: Side) -> bool:
    """Not one photo (two animals), and not a left coat with a right one."""
    return a.image != b.image and {a.flank, b.flank} != {"left", "right"}


def keep(scored: Sequence[Scored], best: int = BEST_IN_ANY_CASE, kept: int = KEPT) -> list[Scored]:
    """The candidates to store, best first; ties go to the smaller id."""
    chosen: list[Scored] = []
    groups: set[int] = set()
    for pair in sorted(scored, key=lambda item: (-item.score, item.detection)):
        if len(chosen) == kept:
            break
        if len(chosen) < best or pair.group not in groups:
            chosen.append(pair)
            groups.add(pair.group)
    return chosen


# A link through a third detection counts half of its weaker part: it is two judgements, either of which may be wrong.
THROUGH_A_THIRD = 0.5


def through_a_third(anchor: int, weights: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """What speaks for a detection because a third one is like it and like the anchor, where anything does.

    weights: verification weights (≥ 0) by anchor and detection. A coat seen from the side finds itself seen from behind
    through a view from in between. Three sets of real coats gain by it: docs/decisions/0027.
    """
    found: dict[int, float] = {}
    for third, first in weights.get(anchor, {}).items():
        for detection, second in weights.get(third, {}).items():
            weight = THROUGH_A_THIRD * min(first, second)
            if detection != anchor and weight > found.get(detection, 0.0):
                found[detection] = weight
    return found
