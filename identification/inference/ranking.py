"""Ranking every photo of a survey against every other, by vectors, by local features and by both."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .comparison import CoatSet

Matrix = NDArray[np.float64]
VERIFY_ALL = 300
SHORTLIST = 60
# Below every verified score: log-odds are far above this.
_UNVERIFIED = -1e6


@dataclass(frozen=True)
class Ranked:
    """n×n scores between photos (NaN: nothing to compare) and the seconds that one query took.

    pairs: m×m scores between the detections that the photos show.
    """

    scores: Matrix
    seconds_per_query: float
    pairs: Matrix | None = None


def rank_photos(
    coats: CoatSet, photo_of: Sequence[int], photos: int, *, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, Ranked]:
    """Scores between photos; a photo's score is the best of its detection pairs.

    coats: n detections; photo_of: the position of each detection's photo; photos: how many photos there are. Up to
    VERIFY_ALL detections every pair is verified; beyond, the shortlist, and the rest ranks behind by its votes.
    Returns "local", "combined" and, with vectors, "embedding".
    """
    n = len(coats)
    local, combined = np.full((n, n), np.nan), np.full((n, n), np.nan)
    began = time.perf_counter()
    pairs = 0
    for i in range(n):
        if n > VERIFY_ALL:
            votes = coats.votes(i)
            local[i] = combined[i] = _UNVERIFIED + votes
            local[i, i] = combined[i, i] = np.nan
        chosen = range(i + 1, n) if n <= VERIFY_ALL else coats.shortlist(i, SHORTLIST)
        if n > VERIFY_ALL:
            coats.prefetch([i, *chosen])
        for j in chosen:
            found = coats.compare(i, j)
            pairs += 1
            local[i, j], combined[i, j] = found.local_score, found.score
            if n <= VERIFY_ALL:
                local[j, i], combined[j, i] = found.local_score, found.score
        if progress is not None:
            progress(i + 1, n, "")
    spent = time.perf_counter() - began
    # Verifying a pair once serves both of its queries; a single query would have paid for each of its pairs.
    per_query = (spent / pairs * (n - 1) if n <= VERIFY_ALL else spent / n) if pairs else 0.0
    result = {
        "local": Ranked(by_photo(local, photo_of, photos), per_query, local),
        "combined": Ranked(by_photo(combined, photo_of, photos), per_query, combined),
    }
    if coats.vectors is not None:
        began = time.perf_counter()
        similarity = (coats.vectors @ coats.vectors.T).astype(np.float64)
        np.fill_diagonal(similarity, np.nan)
        similarity[~coats.encoded] = similarity[:, ~coats.encoded] = np.nan
        scores = by_photo(similarity, photo_of, photos)
        result["embedding"] = Ranked(scores, (time.perf_counter() - began) / max(n, 1), similarity)
    return result


def by_photo(scores: Matrix, photo_of: Sequence[int], photos: int) -> Matrix:
    """The best detection pair of every pair of photos; a photo without detection stays NaN."""
    best = np.full((photos, photos), -np.inf)
    index = np.asarray(photo_of, np.int64)
    known = np.where(np.isnan(scores), -np.inf, scores)
    if len(index):
        np.maximum.at(best, (index[:, None], index[None, :]), known)
    return np.where(np.isneginf(best), np.nan, best)


def report(ranked: Ranked, labels: Sequence[Hashable]) -> dict[str, Any]:
    """T1, T5, DT5AP, TkRMD for k = 1…10, and seconds per query."""
    from modelzoo.metrics import RankingReport

    values = RankingReport.from_scores(ranked.scores, labels).to_dict()
    return {
        **{name: values[name] for name in ("t1", "t5", "dt5ap", "tkrmd")},
        "queries": values["queries"],
        "seconds_per_query": ranked.seconds_per_query,
    }
