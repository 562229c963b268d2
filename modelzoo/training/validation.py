"""How well a network ranks photos of animals that it did not train on."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.metrics import RankingReport

BATCH = 32


def angle_means(cosines: NDArray[np.float64], labels: Sequence[Hashable]) -> dict[str, float | None]:
    """Mean angles in degrees between photos of one identity and of two; None where there is no such pair."""
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    codes = np.unique(np.asarray([str(label) for label in labels]), return_inverse=True)[1]
    same = codes[:, None] == codes[None, :]
    pairs = ~np.eye(len(codes), dtype=bool)
    return {"angle_same": _mean(angles[same & pairs]), "angle_different": _mean(angles[~same])}


def ranking(vectors: torch.Tensor, labels: Sequence[Hashable], max_k: int) -> dict[str, Any]:
    """dtkap (k = 5), t1, tkrmd (k = 1…max_k) and mean angles of n×d unit rows, JSON-ready."""
    rows = vectors.double().numpy()
    cosines = rows @ rows.T
    report = RankingReport.from_scores(cosines, labels, k_max=max_k)
    values: dict[str, Any] = {"dtkap": report.dt5ap, "t1": report.t1, "tkrmd": list(report.tkrmd)}
    return values | angle_means(cosines, labels)


def _mean(values: NDArray[np.float64]) -> float | None:
    mean = float(values.mean()) if values.size else math.nan
    return None if math.isnan(mean) else mean
