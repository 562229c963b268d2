"""Search over many detections: a cheap vote of descriptors picks a shortlist, geometry ranks it.

The vote follows local naive Bayes nearest neighbour (McCann and Lowe 2012), as HotSpotter does (Crall et al. 2013): a
detection gains what its nearest descriptor is closer to the query's than the background, here the nearest descriptor of
the detection at a fixed place in the order of all detections.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .features import DESCRIPTOR_LENGTH, LocalConfig, LocalFeatures, rootsift
from .verify import Verification, verify

Progress = Callable[[int, int, str], None]

_CHUNK_CELLS = 4_000_000


class LocalIndex:
    """Descriptors of many detections, shortened for voting. Holds the given features; detections keep their position.

    keypoints: the strongest of each detection that vote. dimensions: of the projected descriptors. Memory beside the
    features themselves: detections × keypoints × dimensions × 4 bytes (58 MB per 1 000 detections as set here).
    """

    def __init__(
        self, features: Sequence[LocalFeatures], config: LocalConfig, keypoints: int = 300, dimensions: int = 48
    ) -> None:
        self.features = list(features)
        self.config = config
        self.keypoints = keypoints
        self.dimensions = dimensions
        self._filled = np.flatnonzero([len(f) > 0 for f in self.features])
        self._projection = self._fit_projection()
        self._descriptors = np.zeros((len(self._filled), keypoints, dimensions), np.float32)
        for row, i in enumerate(self._filled):
            kept = self._project(self.features[i])
            # Empty places repeat the first descriptor: they never change a maximum.
            self._descriptors[row] = kept[0]
            self._descriptors[row, : len(kept)] = kept

    def __len__(self) -> int:
        return len(self.features)

    def shortlist(self, query: LocalFeatures, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions and votes of the k detections most voted for, best first; those without a vote are left out.

        The query itself, when indexed, is found like any other. An empty query or index gives two empty arrays.
        """
        votes = self.votes(query)
        order = np.lexsort((np.arange(len(votes)), -votes))[: max(k, 0)]
        order = order[votes[order] > 0]
        return order.astype(np.int64), votes[order]

    def votes(self, query: LocalFeatures) -> NDArray[np.float32]:
        """The vote for every detection of the index (≥ 0; 0 where nothing speaks for it)."""
        votes = np.zeros(len(self.features), np.float32)
        if not len(query) or not len(self._filled):
            return votes
        nearest = self._nearest(self._project(query))
        # With few detections there is no background to speak of: the farthest of them stands for it.
        place = min(max(2, round(0.02 * len(self._filled))) + 1, len(self._filled))
        background = -np.partition(-nearest, place - 1, axis=1)[:, place - 1]
        if len(self._filled) == 1:
            background = np.zeros(len(nearest), np.float32)
        votes[self._filled] = np.maximum(nearest - background[:, None], 0.0).sum(axis=0)
        return votes

    def _nearest(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """query keypoints × detections: similarity of the nearest descriptor of each detection."""
        found = np.empty((len(query), len(self._filled)), np.float32)
        step = max(1, _CHUNK_CELLS // (len(query) * self.keypoints))
        for start in range(0, len(self._filled), step):
            part = self._descriptors[start : start + step]
            similarity = part.reshape(-1, self.dimensions) @ query.T
            found[:, start : start + step] = similarity.reshape(len(part), self.keypoints, -1).max(axis=1).T
        return found

    def _project(self, features: LocalFeatures) -> NDArray[np.float32]:
        return np.asarray(rootsift(features.descriptors[: self.keypoints]) @ self._projection, np.float32)

    def _fit_projection(self) -> NDArray[np.float32]:
        """128×dimensions: the main axes of (a sample of) the indexed descriptors, about the origin."""
        step = max(1, len(self._filled) // 200)
        sample = [self.features[i].descriptors[: self.keypoints] for i in self._filled[::step]]
        if not sample:
            return np.eye(DESCRIPTOR_LENGTH, self.dimensions, dtype=np.float32)
        rows = rootsift(np.concatenate(sample)).astype(np.float64)
        _, axes = np.linalg.eigh(rows.T @ rows)
        return np.ascontiguousarray(axes[:, ::-1][:, : self.dimensions], np.float32)


def rank(
    query: LocalFeatures,
    index: LocalIndex,
    candidates: Sequence[int] | NDArray[np.int64] | None = None,
    limit: int = 100,
    progress: Progress | None = None,
) -> list[tuple[int, Verification]]:
    """Verified candidates, best first (by verification weight, then inliers, then position).

    candidates: positions in the index to verify, all of them; None takes the ``limit`` most voted for. The query's own
    position is the caller's to leave out.
    """
    chosen = index.shortlist(query, limit)[0] if candidates is None else np.asarray(candidates, np.int64)
    found: list[tuple[int, Verification]] = []
    for done, i in enumerate(chosen.tolist()):
        found.append((i, verify(query, index.features[i], index.config)))
        if progress is not None:
            progress(done + 1, len(chosen), "verified")
    return sorted(found, key=lambda item: (-item[1].weight, -item[1].inliers, item[0]))
