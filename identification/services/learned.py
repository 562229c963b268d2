"""What a learned matcher finds of the best candidates of a matching run, for the evidence that is stored with them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from ..inference import photos
from ..inference.comparison import CoatSet
from ..inference.learned import LearnedPairs, Pixels, learned_matcher
from ..matching.candidates import Side
from ..models import Detection
from ..presenting import NO_LEARNED_MATCHER
from .media import media_path

logger = logging.getLogger(__name__)

# Of each anchor.
BEST = 10


@dataclass(frozen=True)
class LearnedFindings:
    """engine: said of the candidates, "" where no learned matcher is asked for. found: by two positions, the smaller
    first."""

    engine: str = ""
    found: Mapping[tuple[int, int], dict[str, Any]] = field(default_factory=dict)

    def added(self, evidence: dict[str, Any], i: int, j: int) -> dict[str, Any]:
        """A candidate's evidence with what was found of the pair, unchanged where that was not compared."""
        said = self.found.get((min(i, j), max(i, j)))
        return evidence if said is None else {**evidence, "learned": said}


def learned_findings(
    *,
    chosen: Mapping[int, Sequence[int]],
    sides: Sequence[Side],
    coats: CoatSet,
    tell: Callable[[int, int], None],
) -> LearnedFindings:
    """Compare anchors with the best of their candidates, where an administrator asks for a learned matcher.

    chosen: positions of anchors, with those of their candidates, best first. tell: called with how many pairs are
    compared, and how many there are. It changes neither which candidates there are nor their order. The best of all
    anchors come first, and what SPOTID_LEARNED_SECONDS leaves no time for is not compared.
    """
    matcher = learned_matcher()
    if matcher is None:
        return LearnedFindings()
    if isinstance(matcher, str):
        logger.warning("RootSIFT compares coats without a learned matcher. %s", matcher)
        return LearnedFindings(engine=NO_LEARNED_MATCHER)
    pairs = LearnedPairs(matcher, coats, lambda position: _read(sides[position].detection))
    best = [(i, others[rank]) for rank in range(BEST) for i, others in chosen.items() if rank < len(others)]
    wanted = list(dict.fromkeys((min(pair), max(pair)) for pair in best))
    found: dict[tuple[int, int], dict[str, Any]] = {}
    until = time.monotonic() + settings.SPOTID_LEARNED_SECONDS
    for done, pair in enumerate(wanted):
        if time.monotonic() > until:
            logger.warning("%s compared %d of %d pairs within SPOTID_LEARNED_SECONDS", matcher.kind, done, len(wanted))
            break
        tell(done, len(wanted))
        said = pairs.compare(*pair)
        if said is not None:
            found[pair] = said
    return LearnedFindings(matcher.version, found)


def _read(detection: int) -> Pixels | None:
    row = Detection.objects.filter(pk=detection).values_list("crop", "mask").first()
    if row is None or not row[0]:
        return None
    return photos.load_masked(media_path(row[0]), media_path(row[1]) if row[1] else None)
