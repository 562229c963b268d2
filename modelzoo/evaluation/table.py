"""One table of figures: one way to compare, one choice of who is in the gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics import QueryRanking
from .bootstrap import Figure, Resampler, Vector, number
from .openset import OpenSet, open_set
from .openset import chance as chance_of_open_set
from .photos import EvaluationPhoto, codes

K_MAX = 10
CMC_DEPTH = 50
ANGLE_BINS = 36
Matrix = NDArray[np.float64]

FIGURES = {
    "t1": "T1RMD: share of queries with a right photo at rank 1",
    "t5": "T5RMD: share of queries with a right photo among the first 5",
    "dt5ap": "DT5AP: mean precision at ranks 1…min(matches, 5)",
    "map": "mAP: mean over queries of the precision at the ranks of all right photos",
    "ccdr": "CCDR: mean cosine distance to one's own identity, divided by that to the others (lower is better)",
    "same_angle": "mean angle between photos of one identity, degrees",
    "different_angle": "mean angle between photos of different identities, degrees",
    "auroc": "open set: how often a known animal's best similarity is above a new one's",
    "false_new": "known animals taken for new where 1 % of the new ones are taken for known (lower is better)",
}
LOWER_IS_BETTER = {"ccdr", "same_angle", "false_new"}


@dataclass(frozen=True)
class Angles:
    """Shares of the same and of the different pairs in equal steps over 0…180 degrees."""

    same: tuple[float, ...]
    different: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"step": 180 / ANGLE_BINS, "same": list(self.same), "different": list(self.different)}


@dataclass(frozen=True)
class Table:
    """Figures by name (see FIGURES), each with its interval.

    known: whether there is anything to say; `reason` says why not, or what to keep in mind. tkrmd, dtkap: k = 1…10.
    cmc: TkRMD for k = 1…50, without intervals. chance: what random scores reach on these queries (t1, t5,
    dt5ap, map, auroc).
    """

    known: bool
    reason: str = ""
    photos: int = 0
    queries: int = 0
    individuals: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)
    tkrmd: tuple[Figure, ...] = ()
    dtkap: tuple[Figure, ...] = ()
    cmc: tuple[float, ...] = ()
    chance: dict[str, float] = field(default_factory=dict)
    angles: Angles | None = None
    open_set: OpenSet | None = None
    per_query: dict[str, Vector] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, figure: str) -> Figure:
        """NaN where the table has no such figure."""
        return self.figures.get(figure, Figure(float("nan")))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; an unknown table holds the reason only."""
        if not self.known:
            return {"known": False, "reason": self.reason}
        values: dict[str, Any] = {
            "known": True,
            "reason": self.reason,
            "photos": self.photos,
            "queries": self.queries,
            "individuals": self.individuals,
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "tkrmd": [figure.to_dict() for figure in self.tkrmd],
            "dtkap": [figure.to_dict() for figure in self.dtkap],
            "cmc": [number(value) for value in self.cmc],
            "chance": {name: number(value) for name, value in self.chance.items()},
            "angles": None if self.angles is None else self.angles.to_dict(),
        }
        if self.open_set is not None:
            values["open_set"] = {
                "known_cases": self.open_set.known_cases,
                "new_cases": self.open_set.new_cases,
                "threshold": number(self.open_set.threshold),
                "roc": [list(point) for point in self.open_set.roc],
            }
        return values


def make_table(
    scores: Matrix,
    gallery: NDArray[np.bool_],
    photos: Sequence[EvaluationPhoto],
    resampler: Resampler,
    *,
    cosine: bool,
    reason: str = "",
) -> Table:
    """scores, gallery: n×n, row by query; cosine: whether scores are cosines, so that distances and angles mean
    something."""
    identities = codes([photo.identity for photo in photos])
    per_query = rank_queries(scores, gallery, identities)
    hits = per_query["hits"]
    figures = {
        "t1": resampler.mean(hits[:, 0]),
        "t5": resampler.mean(hits[:, 4]),
        "dt5ap": resampler.mean(per_query["dtkap"][:, 4]),
        "map": resampler.mean(per_query["ap"]),
    }
    angles = None
    if cosine:
        found, angles = _distances(scores, gallery, identities, resampler)
        figures |= found
    opened = open_set(scores, gallery, identities, resampler)
    figures |= {"auroc": opened.auroc, "false_new": opened.false_new}
    queries = ~np.isnan(per_query["ap"])
    return Table(
        known=True,
        reason=reason,
        photos=int(gallery.any(axis=1).sum()),
        queries=int(queries.sum()),
        individuals=len(set(resampler.individuals[queries].tolist())),
        figures=figures,
        tkrmd=tuple(resampler.mean(hits[:, k]) for k in range(K_MAX)),
        dtkap=tuple(resampler.mean(per_query["dtkap"][:, k]) for k in range(K_MAX)),
        cmc=tuple(_mean(hits[:, k]) for k in range(min(CMC_DEPTH, max(len(photos) - 1, K_MAX)))),
        chance={
            **_chance(gallery, identities),
            "auroc": chance_of_open_set(gallery, identities, resampler),
        },
        angles=angles,
        open_set=opened,
        per_query={
            "dt5ap": per_query["dtkap"][:, 4],
            "t1": hits[:, 0],
            "rank": per_query["rank"],
        },
    )


def rank_queries(scores: Matrix, gallery: NDArray[np.bool_], identities: NDArray[np.int64]) -> dict[str, Vector]:
    """Per photo, NaN for one that is no query: hits n×50 (chance of a hit among the first k), dtkap n×10, ap n, rank n.

    rank: of the first right photo, after those that score the same; infinite when none can be compared.
    """
    n = len(identities)
    hits, dtkap = np.full((n, CMC_DEPTH), np.nan), np.full((n, K_MAX), np.nan)
    ap, rank = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(n):
        others = gallery[i]
        right = identities[others] == identities[i]
        if not right.any():
            continue
        ranking = QueryRanking.from_scores(scores[i, others], right)
        hits[i] = ranking.chances_of_hit(CMC_DEPTH)
        dtkap[i] = ranking.dynamic_precisions(K_MAX)
        ap[i] = ranking.average_precision()
        rank[i] = _first_rank(ranking)
    return {"hits": hits, "dtkap": dtkap, "ap": ap, "rank": rank}


def _first_rank(ranking: QueryRanking) -> float:
    seen = 0
    for size, hits in ranking.groups:
        if hits:
            return seen + size - hits + 1
        seen += size
    return float("inf")


def _chance(gallery: NDArray[np.bool_], identities: NDArray[np.int64]) -> dict[str, float]:
    """What a score that says nothing reaches: every order of a query's gallery is equally likely."""
    right = (gallery & (identities[:, None] == identities[None, :])).sum(axis=1)
    asked = right > 0
    kinds, counts = np.unique(np.stack([gallery.sum(axis=1)[asked], right[asked]], axis=1), axis=0, return_counts=True)
    rankings = [QueryRanking(((int(size), int(hits)),), int(hits)) for size, hits in kinds]
    values = {
        "t1": [ranking.chances_of_hit(1)[0] for ranking in rankings],
        "t5": [ranking.chances_of_hit(5)[4] for ranking in rankings],
        "dt5ap": [ranking.dynamic_precisions(5)[4] for ranking in rankings],
        "map": [ranking.average_precision() for ranking in rankings],
    }
    return {name: float(np.average(each, weights=counts)) if each else float("nan") for name, each in values.items()}


def _distances(
    cosine: Matrix, gallery: NDArray[np.bool_], identities: NDArray[np.int64], resampler: Resampler
) -> tuple[dict[str, Figure], Angles]:
    """CCDR and angles of the pairs query × gallery.

    CCDR as the original SpotID measures it: for each query the mean cosine distance (1 − cosine) to the other photos of
    its identity, divided by the mean distance to those of other identities; then the mean over queries.
    """
    comparable = gallery & ~np.isnan(cosine)
    same = identities[:, None] == identities[None, :]
    distance = np.where(comparable, 1 - cosine, 0.0)
    angle = np.where(comparable, np.degrees(np.arccos(np.clip(np.where(comparable, cosine, 0.0), -1, 1))), 0.0)
    masks = (comparable & same, comparable & ~same)
    counts = [mask.sum(axis=1).astype(np.float64) for mask in masks]
    sums = [(distance * mask).sum(axis=1) for mask in masks]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (sums[0] / counts[0]) / (sums[1] / counts[1])
    figures = {
        "ccdr": resampler.mean(np.where(np.isfinite(ratio), ratio, np.nan)),
        "same_angle": resampler.ratio((angle * masks[0]).sum(axis=1), counts[0]),
        "different_angle": resampler.ratio((angle * masks[1]).sum(axis=1), counts[1]),
    }
    shares = []
    for mask in masks:
        filled = np.histogram(angle[mask], bins=ANGLE_BINS, range=(0, 180))[0]
        shares.append(tuple((filled / max(filled.sum(), 1)).tolist()))
    return figures, Angles(*shares)


def _mean(values: Any) -> float:
    usable = np.asarray(values, np.float64)
    usable = usable[~np.isnan(usable)]
    return float(usable.mean()) if len(usable) else float("nan")
