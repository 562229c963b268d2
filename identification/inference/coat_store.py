"""Local features of many detections, decoded when they are looked at and kept no longer than needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelzoo.local.features import LocalFeatures

# Decoded and with their float rows, a detection's features take about 400 kB.
KEPT = 600
Stored = Sequence[bytes | None]


class CoatStore:
    """A sequence of decoded features over stored ones; the last used are kept.

    fetch: the stored form of the given positions (None where there is none). Which and how many are kept changes
    nothing but time and memory.
    """

    def __init__(self, count: int, fetch: Callable[[Sequence[int]], Stored], kept: int = KEPT) -> None:
        self._count, self._fetch, self._most = count, fetch, kept
        self._kept: OrderedDict[int, LocalFeatures] = OrderedDict()

    @classmethod
    def of(cls, stored: Stored) -> CoatStore:
        """Over stored features that are in memory; all that fit their number are kept."""
        return cls(len(stored), lambda chosen: [stored[i] for i in chosen], max(KEPT, len(stored)))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> LocalFeatures:
        if position not in self._kept:
            self.prefetch([position])
        self._kept.move_to_end(position)
        return self._kept[position]

    def __iter__(self) -> Iterator[LocalFeatures]:
        """All in order, read in portions; nothing is kept of them."""
        for start in range(0, self._count, 200):
            positions = range(start, min(start + 200, self._count))
            for position, data in zip(positions, self._fetch(positions), strict=True):
                yield self._kept[position] if position in self._kept else _decoded(data)

    def prefetch(self, positions: Sequence[int]) -> None:
        """Read what is not there yet in one go."""
        missing = [position for position in dict.fromkeys(positions) if position not in self._kept]
        for position in positions:
            if position in self._kept:
                self._kept.move_to_end(position)
        if not missing:
            return
        for position, data in zip(missing, self._fetch(missing), strict=True):
            self._kept[position] = _decoded(data)
        while len(self._kept) > max(self._most, len(positions)):
            self._kept.popitem(last=False)


def _decoded(data: bytes | None) -> LocalFeatures:
    from modelzoo.local.features import LocalFeatures, from_bytes

    return LocalFeatures.empty() if data is None else from_bytes(data)
