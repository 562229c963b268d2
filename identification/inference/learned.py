"""The learned matcher that an administrator asks for, and what it finds of pairs of coats.

Where its weights cannot be had, RootSIFT goes on alone and a sentence says which file belongs where.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from .comparison import CoatSet
from .engines import known_weights

if TYPE_CHECKING:
    from modelzoo.local.learned import LearnedFeatures, LearnedMatcher

# 500 keypoints with their descriptors take about 250 kB.
_KEPT = 400
Pixels = tuple[Any, Any | None]


def learned_matcher() -> LearnedMatcher | str | None:
    """The one that is asked for, a sentence where it cannot be had, None where none is asked for."""
    from modelzoo.known_weights import LEARNED
    from modelzoo.weights import WeightsError

    kind = settings.SPOTID_LEARNED_MATCHER
    if not kind:
        return None
    if kind not in LEARNED:
        return f"SPOTID_LEARNED_MATCHER is {kind!r}; there are {', '.join(LEARNED)}."
    extractor, glue = (known_weights(name) for name in LEARNED[kind])
    if isinstance(extractor, str) or isinstance(glue, str):
        return " ".join(said for said in (extractor, glue) if isinstance(said, str))
    try:
        return _loaded(kind, extractor, glue)
    except WeightsError as error:
        return f"The learned matcher {kind} cannot be used: {error}."


@lru_cache(maxsize=1)
def _loaded(kind: str, extractor: tuple[Path, str], glue: tuple[Path, str]) -> LearnedMatcher:
    from modelzoo.local.learned import LearnedMatcher

    return LearnedMatcher.load(kind, extractor, glue)


class LearnedPairs:
    """Compares coats of a set, the keypoints of those that were looked at last kept.

    read: crop (H×W×3 RGB uint8) and mask (H×W or None) of a position, None where they cannot be read.
    """

    def __init__(self, matcher: LearnedMatcher, coats: CoatSet, read: Callable[[int], Pixels | None]) -> None:
        self._matcher, self._coats, self._read = matcher, coats, read
        self._seen: OrderedDict[int, LearnedFeatures | None] = OrderedDict()

    def compare(self, i: int, j: int) -> dict[str, Any] | None:
        """What was found of one pair (JSON-ready), for `Standing.learned`; None where a crop cannot be read."""
        a, b = self._features(i), self._features(j)
        if a is None or b is None:
            return None
        found = self._matcher.verify(a, b, same_camera=self._coats._same_camera(i, j))
        return {
            "matcher": self._matcher.version,
            "inliers": found.inliers,
            "matches": found.matches,
            "weight": round(found.weight, 5),
        }

    def _features(self, position: int) -> LearnedFeatures | None:
        if position not in self._seen:
            pixels = self._read(position)
            self._seen[position] = None if pixels is None else self._matcher.extract(*pixels)
            if len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(position)
        return self._seen[position]
