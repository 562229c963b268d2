"""An inverted file over the local features of many detections: which detections are worth verifying against a query.

Descriptors are looked up by the cell of a product of two small vocabularies (the inverted multi-index of Babenko and
Lempitsky 2012) and compared there by short binary signatures (Hamming embedding: Jégou, Douze and Schmid 2008). Votes
follow local naive Bayes nearest neighbour (McCann and Lowe 2012), as in HotSpotter (Crall et al. 2013): a detection
gains by how much its nearest descriptor is nearer to the query's than the background's. One spot votes once for a
detection, and votes count together only where they move the coat the same way (weak geometric consistency, as Jégou
et al. call it, here in place). The cost of a query grows with the length of the lists, a small share of the catalogue.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .features import DESCRIPTOR_LENGTH, LocalFeatures, rootsift

_HALVES = 2
_HALF = 32
_BITS = 128
_WORDS_OF_BITS = _BITS // 64
# Place and scale between two crops: farther apart than that, two spots are not the same one. In mean sides, in octaves.
_REACH = 0.5
_SCALE_REACH = 0.8
_BIN = 0.2
_BINS = 8
_SAMPLE = 20_000
_ITERATIONS = 8
_ENTRIES_PER_CELL = 24
_MOST_WORDS = 256
_SEED = 7


class Coats(Protocol):
    """Features of many detections that can be gone through again and again."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[LocalFeatures]: ...


class InvertedIndex:
    """Signatures of the descriptors of many detections, by cell. Detections keep their position.

    keypoints: the strongest of each detection that are indexed and ask. cells: that each descriptor of a query looks
    into. Memory: 32 bytes a keypoint, 16 MB per 1 000 detections of 500. Deterministic.
    """

    def __init__(self, features: Coats, keypoints: int = 500, cells: int = 16) -> None:
        self.keypoints, self.cells = keypoints, cells
        self.detections = len(features)
        self._fit(features)
        parts: list[tuple[NDArray[Any], ...]] = []
        for position, found in enumerate(features):
            if len(found):
                rows = self._rows(found)
                owner = np.full(len(rows), position, np.int32)
                parts.append((self._nearest_cells(rows, 1)[:, 0], self._signatures(rows), owner, self._places(found).T))
        empty = (np.zeros(0, np.int32), np.zeros((0, _WORDS_OF_BITS), np.uint64), np.zeros(0, np.int32))
        cell, self._signature, self._owner, self._place = (
            np.concatenate(column) for column in zip(*(parts or [(*empty, np.zeros((0, 3), np.float32))]), strict=True)
        )
        order = np.argsort(cell, kind="stable")
        self._signature, self._owner = np.asfortranarray(self._signature[order]), self._owner[order]
        self._place = np.ascontiguousarray(self._place[order].T)
        self._starts = np.searchsorted(cell[order], np.arange(self._words**_HALVES + 1)).astype(np.int64)

    def __len__(self) -> int:
        return self.detections

    def votes(self, query: LocalFeatures) -> NDArray[np.float32]:
        """The vote for every detection, ≥ 0; the query itself is found like any other."""
        votes = np.zeros(self.detections, np.float32)
        if not len(query) or not len(self._signature):
            return votes
        rows = self._rows(query)
        cells, signatures = self._nearest_cells(rows, self.cells), self._signatures(rows)
        starts = self._starts[cells]
        lengths = self._starts[cells + 1] - starts
        # Every entry of every list that is looked into, as one flat array, with the keypoint that looks.
        flat = lengths.ravel()
        offset = np.cumsum(flat) - flat
        entry = np.arange(int(flat.sum())) + np.repeat(starts.ravel() - offset, flat)
        asks = np.repeat(np.arange(len(rows), dtype=np.int64), lengths.sum(axis=1))
        entry, asks, moved = self._near_by(entry, asks, self._places(query))
        if not len(entry):
            return votes
        # One array after the other: reductions over a short last axis are slow.
        distance = np.zeros(len(entry), np.int64)
        for stored, asked in zip(self._signature.T, signatures.T, strict=True):
            distance += np.bitwise_count(stored[entry] ^ asked[asks])
        # The nearest descriptor of each detection, by keypoint: one spot votes once.
        key = asks * self.detections + self._owner[entry]
        order = _order(key * (2 * _BITS) + distance)
        first = order[np.flatnonzero(np.diff(key[order], prepend=-1))]
        asks, near = asks[first], distance[first]
        gain = np.maximum(_background(asks, near, len(rows), self.detections)[asks] - near, 0.0) / _BITS
        votes_for = np.flatnonzero(gain)
        chosen = first[votes_for]
        return self._together(
            self._owner[entry[chosen]].astype(np.int64), [axis[chosen] for axis in moved], gain[votes_for]
        )

    def _near_by(
        self, entry: NDArray[np.int64], asks: NDArray[np.int64], places: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.float32]]]:
        """The entries in reach of the keypoint that looks, and how far they moved across and down."""
        moved: list[NDArray[np.float32]] = []
        for stored, asked, reach in zip(self._place, places, (_REACH, _REACH, _SCALE_REACH), strict=True):
            apart = stored[entry] - asked[asks]
            near = np.flatnonzero(np.abs(apart) < reach)
            entry, asks = entry[near], asks[near]
            moved = [*(axis[near] for axis in moved), apart[near]]
        return entry, asks, moved[:2]

    def _together(
        self, owner: NDArray[np.int64], moved: list[NDArray[np.float32]], gain: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Of each detection the most that votes for one move of the coat sum up to, over four grids of moves."""
        best = np.zeros(self.detections, np.float64)
        for shift in ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)):
            key = owner
            for axis, by in zip(moved, shift, strict=True):
                cell = np.floor(axis / _BIN + by).astype(np.int64) + _BINS // 2
                key = key * _BINS + np.clip(cell, 0, _BINS - 1)
            sums = np.bincount(key, gain, self.detections * _BINS**2)
            best = np.maximum(best, sums.reshape(self.detections, -1).max(axis=1))
        return best.astype(np.float32)

    def shortlist(self, query: LocalFeatures, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions and votes of the k detections most voted for, best first; those without a vote are left out."""
        votes = self.votes(query)
        order = np.lexsort((np.arange(len(votes)), -votes))[: max(k, 0)]
        order = order[votes[order] > 0]
        return order.astype(np.int64), votes[order]

    def _fit(self, features: Coats) -> None:
        """Axes, vocabularies and thresholds of signatures, from a sample of every detection's own descriptors."""
        each = max(8, _SAMPLE // max(self.detections, 1))
        total = 0
        sample = [np.zeros((0, DESCRIPTOR_LENGTH), np.uint8)]
        for position, found in enumerate(features):
            count = min(len(found), self.keypoints)
            total += count
            if count and position % max(1, self.detections * 8 // _SAMPLE) == 0:
                sample.append(found.descriptors[: self.keypoints][:: max(1, count // each)])
        rows = rootsift(np.concatenate(sample))
        self._axes = _spread_axes(rows)
        rows = rows @ self._axes
        # Lists of about the same length whatever the size of the catalogue, up to the largest vocabulary.
        wanted = max(1, total // _ENTRIES_PER_CELL)
        self._words = int(np.clip(round(wanted**0.5), 1, min(_MOST_WORDS, max(1, len(rows) // 8))))
        random = np.random.default_rng(_SEED)
        self._books = [_k_means(rows[:, h * _HALF : (h + 1) * _HALF], self._words, random) for h in range(_HALVES)]
        # Any rotation serves; several of them give more bits than there are dimensions.
        turns = [np.linalg.qr(random.standard_normal((_HALVES * _HALF,) * 2))[0] for _ in range(_WORDS_OF_BITS)]
        self._turn = np.concatenate(turns, axis=1).astype(np.float32)
        self._medians = np.median(rows @ self._turn, axis=0) if len(rows) else np.zeros(_BITS, np.float32)

    def _rows(self, features: LocalFeatures) -> NDArray[np.float32]:
        return np.asarray(rootsift(features.descriptors[: self.keypoints]) @ self._axes, np.float32)

    def _places(self, features: LocalFeatures) -> NDArray[np.float32]:
        """3×n: x and y in mean sides of the crop, log2 of the scale."""
        side = max(1.0, float(features.width * features.height) ** 0.5)
        scale = np.log2(np.maximum(features.points[: self.keypoints, 2:3], 0.1))
        places = np.concatenate([features.pixels[: self.keypoints] / side, scale], axis=1)
        return np.ascontiguousarray(places.T, np.float32)

    def _nearest_cells(self, rows: NDArray[np.float32], count: int) -> NDArray[np.int32]:
        """n×count cells, nearest first. Half by half the nearest words, then the best pairs of them."""
        near = min(self._words, max(1, int(np.ceil(count**0.5)) + 1)) if count > 1 else 1
        found = []
        for half, book in enumerate(self._books):
            part = rows[:, half * _HALF : (half + 1) * _HALF]
            distance = (book**2).sum(axis=1) - 2.0 * (part @ book.T)
            if near == 1:
                word = distance.argmin(axis=1)[:, None]
            else:
                word = np.argpartition(distance, near - 1, axis=1)[:, :near]
            found.append((word, np.take_along_axis(distance, word, axis=1)))
        (one, d1), (two, d2) = found
        cells = (one[:, :, None] * self._words + two[:, None, :]).reshape(len(rows), -1)
        if near == 1:
            return cells.astype(np.int32)
        both = (d1[:, :, None] + d2[:, None, :]).reshape(len(rows), -1)
        count = min(count, both.shape[1])
        best = np.argpartition(both, count - 1, axis=1)[:, :count]
        return np.take_along_axis(cells, best, axis=1).astype(np.int32)

    def _signatures(self, rows: NDArray[np.float32]) -> NDArray[np.uint64]:
        bits = (rows @ self._turn) > self._medians
        return np.packbits(bits, axis=1).view(np.uint64)


def _order(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """A stable argsort of keys ≥ 0, several times faster: places go into the low bits and values are sorted."""
    bits = len(key).bit_length()
    if not len(key) or int(key.max()) >= 1 << (63 - bits):
        return np.argsort(key, kind="stable").astype(np.int64)
    return np.asarray(np.sort((key << bits) | np.arange(len(key))) & ((1 << bits) - 1))


def _background(asks: NDArray[np.int64], near: NDArray[np.int64], queries: int, detections: int) -> NDArray[np.float32]:
    """The distance, by keypoint, of the detection at a fixed place in the order of all: what is common counts little.

    A keypoint whose lists hold fewer detections takes half the bits, what two unrelated signatures differ by.
    """
    place = max(2, round(0.02 * detections))
    ordered = np.sort(asks * (2 * _BITS) + near)
    sizes = np.bincount(asks, minlength=queries)
    background = np.full(queries, _BITS / 2, np.float32)
    enough = np.flatnonzero(sizes > place)
    background[enough] = ordered[(np.cumsum(sizes) - sizes)[enough] + place] % (2 * _BITS)
    return background


def _spread_axes(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """128×64: the main axes of the descriptors about the origin, dealt to both halves alike."""
    if not len(rows):
        return np.eye(DESCRIPTOR_LENGTH, _HALVES * _HALF, dtype=np.float32)
    wide = rows.astype(np.float64)
    _, axes = np.linalg.eigh(wide.T @ wide)
    main = axes[:, ::-1][:, : _HALVES * _HALF]
    return np.ascontiguousarray(np.concatenate([main[:, h::_HALVES] for h in range(_HALVES)], axis=1), np.float32)


def _k_means(rows: NDArray[np.float32], words: int, random: np.random.Generator) -> NDArray[np.float32]:
    """words×d centres (Lloyd 1982), started from rows chosen at random; a centre that loses all its rows stays."""
    if not len(rows):
        return np.zeros((1, rows.shape[1]), np.float32)
    centres = rows[random.choice(len(rows), words, replace=False)].copy()
    for _ in range(_ITERATIONS):
        nearest = ((centres**2).sum(axis=1) - 2.0 * (rows @ centres.T)).argmin(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, rows)
        sizes = np.bincount(nearest, minlength=words)
        filled = sizes > 0
        centres[filled] = sums[filled] / sizes[filled, None]
    return centres
