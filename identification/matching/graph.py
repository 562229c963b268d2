"""The signed graph of decisions, as pure functions over detection ids.

Match edges join, no-match edges forbid. A component of match edges is an individual; a no-match edge inside a
component is a contradiction. What follows: two members of one component match; members of two components
between which any no-match edge runs do not.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise


class DisjointSets:
    """Union by size with path halving (Tarjan 1975)."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._size: dict[int, int] = {}

    def find(self, item: int) -> int:
        parent = self._parent
        if item not in parent:
            parent[item] = item
            self._size[item] = 1
            return item
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        if a == b:
            return
        if self._size[a] < self._size[b]:
            a, b = b, a
        self._parent[b] = a
        self._size[a] += self._size[b]


@dataclass(frozen=True)
class SignedGraph:
    """Pairs of detection ids that people matched and refused."""

    matches: frozenset[tuple[int, int]] = frozenset()
    refusals: frozenset[tuple[int, int]] = frozenset()
    _sets: DisjointSets = field(default_factory=DisjointSets, compare=False, repr=False)
    _refused: set[tuple[int, int]] = field(default_factory=set, compare=False, repr=False)

    @classmethod
    def of(cls, matches: Iterable[tuple[int, int]], refusals: Iterable[tuple[int, int]] = ()) -> SignedGraph:
        graph = cls(frozenset(ordered(pair) for pair in matches), frozenset(ordered(pair) for pair in refusals))
        for a, b in graph.matches:
            graph._sets.join(a, b)
        for a, b in graph.refusals:
            graph._refused.add(ordered((graph._sets.find(a), graph._sets.find(b))))
        return graph

    def root(self, item: int) -> int:
        """A representative that all members of the item's component share."""
        return self._sets.find(item)

    def follows(self, a: int, b: int) -> str:
        """What the decisions say of a pair: 'match', 'no_match', 'contradiction', or '' when nothing follows."""
        root_a, root_b = self.root(a), self.root(b)
        refused = ordered((root_a, root_b)) in self._refused
        if root_a == root_b:
            return "contradiction" if refused else "match"
        return "no_match" if refused else ""

    def components(self, items: Iterable[int]) -> list[frozenset[int]]:
        """The components among the items, each sorted into one set, in order of their smallest member."""
        members: dict[int, set[int]] = {}
        for item in items:
            members.setdefault(self.root(item), set()).add(item)
        return sorted((frozenset(group) for group in members.values()), key=min)

    def contradictions(self) -> list[tuple[int, int]]:
        """Refused pairs whose two sides are joined all the same."""
        return sorted(pair for pair in self.refusals if self.root(pair[0]) == self.root(pair[1]))


def ordered(pair: tuple[int, int]) -> tuple[int, int]:
    """The pair with the smaller id first."""
    return pair if pair[0] <= pair[1] else (pair[1], pair[0])


@dataclass(frozen=True)
class LoggedDecision:
    """One row of the log of a pair. `undoes` names the row that an undo takes back."""

    id: Hashable
    verdict: str
    undoes: Hashable | None = None


# What a reviewer said that waits for a curator: it stands for nothing until he says the same.
PROPOSED = "proposed"


def fold(log: Iterable[LoggedDecision]) -> LoggedDecision | None:
    """The decision that stands: the last one that no standing undo takes back, proposals left out; None when none is
    left."""
    taken_back: set[Hashable] = set()
    for decision in reversed(list(log)):
        if decision.id in taken_back or decision.verdict == PROPOSED:
            continue
        if decision.undoes is None:
            return decision
        taken_back.add(decision.undoes)
    return None


# How often a match is wrong where nothing else is known of it, by what it rests on. Choices, not measurements: they
# order the links of one group by how likely each is the mistake, and nothing else is computed from them.
_WRONG = {"reviewer": 0.02, "imported": 0.03, "same_event": 0.05, "paired_cameras": 0.05}
_SURE = 0.99


def doubt(provenance: str, probability: float | None) -> float:
    """How likely a standing match is wrong, 0…1: how often its kind is, moved by the odds of the coats where known."""
    prior = _WRONG.get(provenance, _WRONG["reviewer"])
    same = min(_SURE, max(1 - _SURE, 0.5 if probability is None else probability))
    odds = prior / (1 - prior) * (1 - same) / same
    return odds / (1 + odds)


def weakest_links(doubts: Mapping[tuple[int, int], float], start: int, goal: int) -> list[tuple[int, int]]:
    """The matches that would have to be wrong for two detections to be two animals, in the likeliest such case.

    doubts: of every match (a < b) of the component, as `doubt` gives it. Taking all of these back separates the two,
    taking back fewer of them does not; of all such sets it is the one whose doubts have the greatest product, mistakes
    being taken as independent. Usually it is one match. Empty when nothing connects the two. A minimum cut by
    augmenting along shortest paths (Edmonds & Karp 1972), with capacities -log(doubt).
    """
    if start == goal:
        return []
    room: dict[int, dict[int, float]] = {}
    for (a, b), wrong in doubts.items():
        capacity = max(-math.log(min(max(wrong, 1e-12), 1.0)), 1e-9)
        room.setdefault(a, {})[b] = room.setdefault(b, {})[a] = capacity
    while (came := _reached(room, start)) and goal in came:
        way = [goal]
        while way[-1] != start:
            way.append(came[way[-1]])
        steps = list(pairwise(reversed(way)))
        spare = min(room[one][other] for one, other in steps)
        for one, other in steps:
            room[one][other] -= spare
            room[other][one] += spare
    near = _reached(room, start).keys()
    return sorted(pair for pair in doubts if (pair[0] in near) != (pair[1] in near))


def _reached(room: Mapping[int, Mapping[int, float]], start: int) -> dict[int, int]:
    """What can be reached where there is room left, each with where it was reached from."""
    came = {start: start}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for there, left in sorted(room.get(here, {}).items()):
            if left > 1e-9 and there not in came:
                came[there] = here
                queue.append(there)
    return came
