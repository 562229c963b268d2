"""Answers that are worth a second look: what people said against all that was compared between the two sides. Pure.

One wrong match chains two animals together, and one wrong refusal keeps an animal apart for good; neither is met again
by asking what is still open. Bayes' rule weighs how often people err against the pooled probability of all that was
compared between the two sides of an answer. The sides of a match are the groups that it alone holds together; a match
beside which others hold is left alone, as is a refusal beside others: contradictions have their own page.
docs/decisions/0037-second-looks.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .graph import ordered
from .pooling import pooled
from .queue import SIZE_EXPONENT, Queue

# How often a person's answer is taken to be wrong.
ERROR = 0.02
# From this probability of being wrong on, an answer is worth a look.
WORTH_A_LOOK = 0.2
# When nothing else is left to ask, improbable errors are worth one where much hangs on them (`Doubt.value`).
WORTH_IN_THE_END = 0.5
_LEAST = 0.005
_Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A standing answer on a pair (a < b). wrong: probability that it is; settles: pairs of photos that hang on it.

    sizes: photos on the side of a and of b.
    """

    pair: _Pair
    verdict: str
    wrong: float
    settles: int
    sizes: tuple[int, int]

    @property
    def value(self) -> float:
        """What a look is worth, on the scale of the queue's questions."""
        return self.wrong * self.settles**SIZE_EXPONENT


def wrong_probability(said_same: bool, same: float, margin: int) -> float:
    """That an answer is wrong. same: probability of one animal by all that was compared between the two sides.

    margin: by how many the decisions that say so outnumber those that say the opposite.
    """
    prior = 1.0 / (1.0 + ((1.0 - ERROR) / ERROR) ** max(-9, min(9, margin)))
    against = 1.0 - same if said_same else same
    return prior * against / (prior * against + (1.0 - prior) * (1.0 - against))


class Doubts:
    """The doubtful answers of one queue, brought up to date group by group.

    margins: of pairs of which more was said than once; others have been said once. coatless: pairs joined by something
    else than a comparison of coats (time and place, an archive's word): never doubted.
    """

    def __init__(self, queue: Queue, margins: Mapping[_Pair, int], coatless: Collection[_Pair]) -> None:
        self._queue = queue
        self._margins = dict(margins)
        self._coatless = set(coatless)
        self._changed = queue.watch()
        self._matches: dict[int, list[Doubt]] = {}
        self._refusals: dict[_Pair, Doubt] = {}
        self._refused_of: dict[int, set[_Pair]] = {}
        # Of both, those that are worth a look whatever else is left to ask, by pair.
        self._worth: dict[_Pair, Doubt] = {}
        for group in list(queue.representatives()):
            self._look_at(group)

    def said(self, pairs: Iterable[_Pair], margins: Mapping[_Pair, int], coatless: Collection[_Pair]) -> None:
        """Follow what was said of these pairs."""
        for pair in pairs:
            self._margins.pop(pair, None)
            self._coatless.discard(pair)
            self._changed |= {self._queue.group(pair[0]), self._queue.group(pair[1])}
        self._margins |= margins
        self._coatless |= set(coatless)

    def found(self, *, in_the_end: bool = False) -> list[Doubt]:
        """Answers that are worth a look, the most valuable first. in_the_end: nothing else is left to ask."""
        changed = set(self._changed)
        self._changed.clear()
        for group in changed:
            for doubt in self._matches.pop(group, ()):
                self._worth.pop(doubt.pair, None)
            for key in self._refused_of.pop(group, set()):
                if (refusal := self._refusals.pop(key, None)) is not None:
                    self._worth.pop(refusal.pair, None)
        for group in changed:
            if self._queue.group(group) == group:
                self._look_at(group)
        worth: Iterable[Doubt] = self._worth.values()
        if in_the_end:
            every = [*self._refusals.values(), *(doubt for some in self._matches.values() for doubt in some)]
            worth = (one for one in every if one.wrong >= WORTH_A_LOOK or one.value >= WORTH_IN_THE_END)
        return sorted(worth, key=lambda doubt: (-doubt.value, doubt.pair))

    def _look_at(self, group: int) -> None:
        if found := list(self._doubted_matches(group)):
            self._matches[group] = found
            self._worth |= {doubt.pair: doubt for doubt in found if doubt.wrong >= WORTH_A_LOOK}
        for other in self._queue.refused(group):
            doubt = self._doubted_refusal(group, other)
            if doubt is not None:
                key = ordered((group, other))
                if (before := self._refusals.get(key)) is not None:
                    self._worth.pop(before.pair, None)
                self._refusals[key] = doubt
                if doubt.wrong >= WORTH_A_LOOK:
                    self._worth[doubt.pair] = doubt
                self._refused_of.setdefault(group, set()).add(key)
                self._refused_of.setdefault(other, set()).add(key)

    def _doubted_refusal(self, group: int, other: int) -> Doubt | None:
        said = self._queue.refusals_between(group, other)
        compared = self._queue.compared_between(group, other)
        if len(said) != 1 or not compared:
            return None
        pair = said[0]
        sizes = len(self._queue.members(pair[0])), len(self._queue.members(pair[1]))
        settles = sizes[0] * sizes[1]
        same = pooled((one.probability for one in compared), settles)
        return self._doubt(pair, "no_match", same, settles, sizes)

    def _doubted_matches(self, group: int) -> Iterator[Doubt]:
        said = self._queue.matches_inside(group)
        if not said or self._queue.refused_inside(group):
            return
        shown = set(self._queue.members(group))
        tree = _Tree(said, shown)
        across: dict[int, list[float]] = {child: [] for child in tree.bridges}
        for pair in self._queue.pairs_inside(group):
            for child in tree.between(pair.a, pair.b):
                if child in across:
                    across[child].append(pair.probability)
        for child, probabilities in across.items():
            below = tree.size[child]
            if not probabilities or not below or below == len(shown):
                continue
            settles = below * (len(shown) - below)
            parent = tree.parent[child]
            sizes = (below, len(shown) - below) if child < parent else (len(shown) - below, below)
            same = pooled(probabilities, settles)
            doubt = self._doubt(ordered((child, parent)), "match", same, settles, sizes)
            if doubt is not None:
                yield doubt

    def _doubt(self, pair: _Pair, verdict: str, same: float, settles: int, sizes: _Pair) -> Doubt | None:
        if pair in self._coatless:
            return None
        wrong = wrong_probability(verdict == "match", same, self._margins.get(pair, 1))
        return Doubt(pair, verdict, wrong, settles, sizes) if wrong >= _LEAST else None


class _Tree:
    """A spanning tree of the matches of one group, and which of its edges nothing else stands beside.

    parent, depth, size: of each photo but the root; size: photos of `counted` in its subtree. bridges: photos whose
    edge to the parent is the only connection of their subtree.
    """

    def __init__(self, edges: Collection[_Pair], counted: Collection[int]) -> None:
        neighbours: dict[int, list[int]] = {}
        for a, b in edges:
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
        root = min(neighbours)
        self.parent: dict[int, int] = {root: root}
        self.depth = {root: 0}
        order = [root]
        for photo in order:
            for other in neighbours[photo]:
                if other not in self.parent:
                    self.parent[other], self.depth[other] = photo, self.depth[photo] + 1
                    order.append(other)
        # An edge outside the tree covers every tree edge on the path between its ends: these are no bridges.
        covered: set[int] = set()
        for a, b in edges:
            if self.parent[a] != b and self.parent[b] != a:
                covered.update(self.between(a, b))
        self.size = {photo: int(photo in counted) for photo in order}
        for photo in reversed(order[1:]):
            self.size[self.parent[photo]] += self.size[photo]
        self.bridges = [photo for photo in order[1:] if photo not in covered]

    def between(self, a: int, b: int) -> Iterator[int]:
        """The lower ends of the tree's edges on the path between two photos."""
        while a != b:
            if self.depth[a] < self.depth[b]:
                a, b = b, a
            yield a
            a = self.parent[a]
