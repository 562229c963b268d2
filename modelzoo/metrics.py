"""Retrieval metrics of the SpotID paper: TkRMD (the CMC curve at k) and DTkAP.

Every photo is ranked against all others; a photo whose identity has no other photo is left out as a query and stays in
everybody's ranking. Ties are scored by the mean over all orders of the tied photos, so that neither a constant score
nor the order of the files can favour the truth. A photo that is not comparable (NaN) comes last and is never a hit.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RankedLabels = tuple[Hashable, Sequence[Hashable]]
"""A query's label, and the labels of all other photos, most similar first."""


@dataclass(frozen=True)
class QueryRanking:
    """One query: (photos, hits) of each group of equal score, best first, and how many photos share its identity."""

    groups: tuple[tuple[int, int], ...]
    relevant: int

    @classmethod
    def from_scores(cls, scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> "QueryRanking":
        """From the scores of the photos that the query is compared with (higher is more) and which of them are right.

        NaN comes last and is never a hit, but counts among the relevant ones.
        """
        comparable = ~np.isnan(scores)
        values, group = np.unique(-scores[comparable], return_inverse=True)
        sizes = np.bincount(group, minlength=len(values)).tolist()
        found = np.bincount(group, weights=hits[comparable], minlength=len(values)).astype(int).tolist()
        missing = int((~comparable).sum())
        groups = [*zip(sizes, found, strict=True), *([(missing, 0)] if missing else [])]
        return cls(tuple(groups), int(hits.sum()))

    def chances_of_hit(self, k_max: int) -> list[float]:
        """Probability of a hit among the first k = 1…k_max when tied photos are put in random order."""
        chances: list[float] = []
        miss = 1.0
        for size, hits in self.groups:
            for drawn in range(min(size, k_max - len(chances))):
                miss *= max(size - hits - drawn, 0) / (size - drawn)
                chances.append(1.0 - miss)
            if len(chances) == k_max:
                break
        return chances + [1.0 - miss] * (k_max - len(chances))

    def dynamic_precisions(self, k_max: int) -> list[float]:
        """For k = 1…k_max: (1/kᵢ) Σ_{j≤kᵢ} precision@j with kᵢ = min(relevant, k); NaN when nothing is relevant.

        A tied photo counts as the share of hits in its group.
        """
        depth = min(self.relevant, k_max)
        if not depth:
            return [float("nan")] * k_max
        shares: list[float] = []
        for size, hits in self.groups:
            shares += [hits / size] * min(size, depth - len(shares))
            if len(shares) == depth:
                break
        found = total = 0.0
        means: list[float] = []
        for rank, share in enumerate(shares + [0.0] * (depth - len(shares)), 1):
            found += share
            total += found / rank
            means.append(total / rank)
        return means + means[-1:] * (k_max - depth)

    def average_precision(self) -> float:
        """Mean over the relevant photos of the precision at their rank, expected over all orders of tied photos.

        At place p of a group of g photos with h hits, a hit stands with probability h/g, and of the p − 1 before it in
        the group (p − 1)(h − 1)/(g − 1) are expected to be hits. NaN when nothing is relevant.
        """
        if not self.relevant:
            return float("nan")
        size, hits = np.array(self.groups, np.float64).reshape(-1, 2).T
        group = np.repeat(np.arange(len(size)), size.astype(np.int64))
        before, found = np.cumsum(size) - size, np.cumsum(hits) - hits
        place = np.arange(1, len(group) + 1) - before[group]
        fellows = (place - 1) * (hits[group] - 1) / np.maximum(size[group] - 1, 1)
        precision = (found[group] + 1 + fellows) / np.arange(1, len(group) + 1)
        return float((hits[group] / size[group] * precision).sum() / self.relevant)


def tkrmd(ranked_labels: Sequence[RankedLabels], k_max: int = 10) -> list[float]:
    """Top-k rank match detection for k = 1…k_max: share of queries with at least one right photo among the first k.

    Queries without another photo of their label are left out; without any query left the values are NaN.
    """
    return _tkrmd([_strict(query, others) for query, others in ranked_labels], k_max)


def dtkap(ranked_labels: Sequence[RankedLabels], k: int = 5) -> float:
    """Dynamic top-k average precision: the mean over queries of (1/kᵢ) Σ_{j≤kᵢ} precision@j, kᵢ = min(|Cᵢ| − 1, k).

    The paper's example, k = 5 and a lone hit at rank 4, gives (1/4 + 1/5)/5 = 0.09. NaN without any query.
    """
    return _dtkap([_strict(query, others) for query, others in ranked_labels], k)


@dataclass(frozen=True)
class RankingReport:
    """What `evaluate` prints of one way to score pairs: shares between 0 and 1, NaN where no photo could be a query."""

    t1: float
    t5: float
    dt5ap: float
    tkrmd: tuple[float, ...]
    photos: int
    identities: int
    queries: int

    @classmethod
    def from_scores(cls, scores: ArrayLike, labels: Sequence[Hashable], k_max: int = 10) -> "RankingReport":
        """From an n×n matrix: scores[i, j] says how similar photo j is to query i (higher is more); diagonal ignored.

        NaN: not comparable, or one of the two has no detection. A query with a row of NaN is a miss.
        Raises ValueError unless the matrix is n×n for n labels.
        """
        matrix = np.asarray(scores, dtype=np.float64)
        n = len(labels)
        if matrix.size == 0 and n == 0:
            matrix = np.zeros((0, 0))
        if matrix.shape != (n, n):
            raise ValueError(f"scores of shape {matrix.shape} do not belong to {n} labels")
        codes = _codes(labels)
        rankings = [_from_row(matrix[i], codes, i) for i in range(n)]
        curve = _tkrmd(rankings, max(k_max, 5))
        return cls(
            t1=curve[0],
            t5=curve[4],
            dt5ap=_dtkap(rankings, 5),
            tkrmd=tuple(curve[:k_max]),
            photos=n,
            identities=len(set(codes.tolist())),
            queries=sum(r.relevant > 0 for r in rankings),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        values = asdict(self)
        values["tkrmd"] = [_number(v) for v in self.tkrmd]
        return values | {name: _number(values[name]) for name in ("t1", "t5", "dt5ap")}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _codes(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)


def _strict(query: Hashable, others: Sequence[Hashable]) -> QueryRanking:
    hits = [int(label == query) for label in others]
    return QueryRanking(tuple((1, hit) for hit in hits), sum(hits))


def _from_row(row: NDArray[np.float64], codes: NDArray[np.int64], query: int) -> QueryRanking:
    others = np.arange(len(codes)) != query
    return QueryRanking.from_scores(row[others], codes[others] == codes[query])


def _tkrmd(rankings: Sequence[QueryRanking], k_max: int) -> list[float]:
    curves = [r.chances_of_hit(k_max) for r in rankings if r.relevant]
    return np.mean(curves, axis=0).tolist() if curves else [float("nan")] * k_max


def _dtkap(rankings: Sequence[QueryRanking], k: int) -> float:
    values = [r.dynamic_precisions(k)[-1] for r in rankings if r.relevant]
    return float(np.mean(values)) if values else float("nan")
