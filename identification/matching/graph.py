"""The signed graph of decisions, as pure functions over detection ids.

Match edges join, no-match edges forbid. A component of match edges is an individual; a no-match edge inside a
component is a contradiction. What follows: two members of one component match; members of two components
between which any no-match edge runs do not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field


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


def fold(log: Iterable[LoggedDecision]) -> LoggedDecision | None:
    """The decision that stands: the last one that no standing undo takes back; None when none is left."""
    taken_back: set[Hashable] = set()
    for decision in reversed(list(log)):
        if decision.id in taken_back:
            continue
        if decision.undoes is None:
            return decision
        taken_back.add(decision.undoes)
    return None
