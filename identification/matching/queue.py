"""What to ask next: questions between groups of photos, in the order of what an answer settles. Pure.

A question is about two components of the signed graph that candidates connect: "are these two groups one animal?" A
match joins them, a refusal settles every pair between them. Nothing is asked that follows from what was said. The queue
follows decisions one by one; each costs as much as the smaller of the two groups has candidates.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from .graph import ordered
from .pooling import Pair, best_view, pooled
from .progress import Weights

# Pairs at least this probable are confirmed many at a glance.
CERTAIN = 0.95
# Below this, a question whose one side is a single photo looks for a match that was missed.
UNLIKELY = 0.10
# How much the size of the groups counts beside the probability. A match between groups of 4 and 5 photos finds 20
# pairs; yet with 1, improbable questions between large groups came before probable ones between small ones.
SIZE_EXPONENT = 0.5
# A pair of groups that somebody was unsure of waits, once for each such answer.
UNSURE_FACTOR = 0.25


class Stage(IntEnum):
    """Near-certain pairs, then what joins or separates groups, then matches of single photos that may be missed."""

    CERTAIN = 0
    GROUPS = 1
    ALONE = 2


@dataclass(frozen=True, slots=True)
class Question:
    """Whether two groups are one animal. pair: the view to show. settles: pairs of photos that an answer settles.

    left, right: representatives of the groups of pair.a and pair.b. unsure: earlier answers on the same two groups.
    """

    pair: Pair
    left: int
    right: int
    probability: float
    stage: Stage
    settles: int
    compared: int
    unsure: int


@dataclass(slots=True, eq=False)
class Link:
    """Everything compared between two groups. `version` grows whenever its place in the order changes."""

    left: int
    right: int
    pairs: list[Pair]
    probability: float = 0.0
    settles: int = 0
    unsure: int = 0
    version: int = 0
    open: bool = False


@dataclass(slots=True)
class _Group:
    """everyone: detections, also those that may not be shown. members, images: of those that may."""

    everyone: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    images: set[int] = field(default_factory=set)


class Queue:
    """The open questions of one review.

    photos: image of each detection that may be shown or counted. pairs: compared pairs among them, each once. Decisions
    may name further detections (of surveys that this reviewer does not see): they join groups all the same.
    """

    def __init__(
        self,
        photos: Mapping[int, int],
        pairs: Iterable[Pair],
        decisions: Iterable[tuple[int, int, str]] = (),
    ) -> None:
        self._photos = photos
        self._group_of: dict[int, int] = {}
        self._groups: dict[int, _Group] = {}
        self._links: dict[int, dict[int, Link]] = defaultdict(dict)
        self._refused: dict[int, set[int]] = defaultdict(set)
        self._unsure: set[tuple[int, int]] = set()
        self._heap: list[tuple[int, float, int, int, int, Link]] = []
        self._open = 0
        self.weights = Weights()
        for detection in photos:
            self._group(detection)
        said = list(decisions)
        for a, b, verdict in said:
            if verdict == "match":
                self._join(self._group(a), self._group(b))
        for a, b, verdict in said:
            self._note(a, b, verdict)
        self._connect(pairs)
        for link in self.links():
            self._weigh(link, push=False)
        self._rebuild()

    def decide(self, a: int, b: int, verdict: str) -> None:
        """Follow a decision that was added: 'match', 'no_match', 'unsure' or 'incomparable'."""
        left, right = self._group(a), self._group(b)
        self._note(a, b, verdict)
        if verdict == "match" and left != right:
            for link in self._join(left, right):
                self._weigh(link)
        elif (asked := self._links[left].get(right)) is not None:
            self._weigh(asked)
        if len(self._heap) > 2 * self._open + 1000:
            self._rebuild()

    def group(self, detection: int) -> int:
        """A representative that all members of the detection's group share."""
        return self._group_of.get(detection, detection)

    def members(self, detection: int) -> list[int]:
        """The group's detections that may be shown."""
        group = self._groups.get(self.group(detection))
        return [] if group is None else group.members

    def groups(self) -> Iterator[list[int]]:
        """Every group with at least one detection that may be shown."""
        return (group.members for group in self._groups.values() if group.members)

    def links(self) -> Iterator[Link]:
        """What is compared between any two groups, open or settled, each once."""
        return (link for group, links in self._links.items() for other, link in links.items() if group == link.left)

    @property
    def open(self) -> int:
        """How many questions are left."""
        return self._open

    def settled(self, a: int, b: int) -> bool:
        """Whether it follows from decisions and photos that two detections are one animal, or that they are two."""
        left, right = self.group(a), self.group(b)
        return left == right or (left in self._groups and right in self._groups and self._exclude(left, right))

    def question(self, a: int, b: int) -> Question | None:
        """The open question between the groups of two detections; on this very pair where it is compared and open."""
        link = self._links.get(self.group(a), {}).get(self.group(b))
        if link is None or not link.open:
            return None
        wanted = next((pair for pair in link.pairs if (pair.a, pair.b) == ordered((a, b))), None)
        if wanted is not None and (wanted.a, wanted.b) in self._unsure:
            wanted = None
        return self._question(link, wanted)

    def questions(self) -> Iterator[Question]:
        """Open questions, the next one first. Taking the first k costs k·log k, whatever the queue holds."""
        return (self._question(link) for link in self.in_order())

    def in_order(self) -> Iterator[Link]:
        """Open links in the order of the questions, without building them. Not to be mixed with `decide`."""
        heap = self._heap
        # The heap is a tree whose children are never smaller: walk it with a heap of its frontier.
        frontier = [(heap[0], 0)] if heap else []
        while frontier:
            entry, index = heapq.heappop(frontier)
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heapq.heappush(frontier, (heap[child], child))
            link, version = entry[-1], entry[-2]
            if link.open and link.version == version:
                yield link

    def certain(self, most: int, without: Iterable[tuple[int, int]] = ()) -> list[Question]:
        """Near-certain questions that can be confirmed together: none follows from the others. `without`: pairs."""
        left_out = {ordered((self.group(a), self.group(b))) for a, b in without}
        # What would be one group if everything chosen so far were confirmed: the groups that it is made of.
        parts: dict[int, list[int]] = {}
        chosen: list[Question] = []
        for link in self.in_order():
            if len(chosen) == most or self._stage(link) != Stage.CERTAIN:
                break
            mine, theirs = parts.get(link.left, [link.left]), parts.get(link.right, [link.right])
            if mine is theirs or ordered((link.left, link.right)) in left_out:
                continue
            if any(self._exclude(a, b) for a in mine for b in theirs):
                continue
            together = mine + theirs
            parts |= dict.fromkeys(together, together)
            chosen.append(self._question(link))
        return chosen

    def _exclude(self, one: int, other: int) -> bool:
        """Whether two groups cannot be one animal: refused, or both on one photo."""
        images = self._groups[one].images
        return other in self._refused.get(one, ()) or not images.isdisjoint(self._groups[other].images)

    def alone(self) -> list[tuple[int, float]]:
        """Single photos with open questions, and the probability of the likeliest of these, the likeliest first.

        Whether anyone else is the animal of a photo is told best by the best group alone: docs/decisions/0026.
        """
        found = []
        for detection, group in self._singles():
            open_ones = [link.probability for link in self._links.get(group, {}).values() if link.open]
            if open_ones:
                found.append((detection, max(open_ones)))
        return sorted(found, key=lambda item: (-item[1], item[0]))

    def _singles(self) -> Iterator[tuple[int, int]]:
        return ((g.members[0], key) for key, g in self._groups.items() if len(g.members) == 1)

    # ---- groups ----
    def _group(self, detection: int) -> int:
        if detection not in self._group_of:
            self._group_of[detection] = detection
            group = self._groups[detection] = _Group([detection])
            if detection in self._photos:
                group.members.append(detection)
                group.images.add(self._photos[detection])
        return self._group_of[detection]

    def _connect(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            left, right = self._group_of[pair.a], self._group_of[pair.b]
            if left == right:
                continue
            link = self._links[left].get(right)
            if link is None:
                link = self._links[left][right] = self._links[right][left] = Link(left, right, [])
            link.pairs.append(pair)

    def _note(self, a: int, b: int, verdict: str) -> None:
        if verdict == "no_match":
            left, right = self._group(a), self._group(b)
            if left != right:
                self._refused[left].add(right)
                self._refused[right].add(left)
        elif verdict in ("unsure", "incomparable"):
            self._group(a), self._group(b)
            self._unsure.add(ordered((a, b)))

    def _join(self, keep: int, gone: int) -> list[Link]:
        """Make two groups one; returns the links of the joint group. The one with more to move keeps its name."""
        if keep == gone:
            return []
        if self._bulk(keep) < self._bulk(gone):
            keep, gone = gone, keep
        old, group = self._groups.pop(gone), self._groups[keep]
        for detection in old.everyone:
            self._group_of[detection] = keep
        group.everyone += old.everyone
        group.members += old.members
        group.images |= old.images
        for other in self._refused.pop(gone, set()):
            self._refused[other].discard(gone)
            if other != keep:
                self._refused[other].add(keep)
                self._refused[keep].add(other)
        for other, link in self._links.pop(gone, {}).items():
            del self._links[other][gone]
            self._set_open(link, False)
            if other == keep:
                continue
            there = self._links[keep].get(other)
            if there is None:
                there = self._links[keep][other] = self._links[other][keep] = Link(keep, other, [])
            there.pairs += link.pairs
        return list(self._links[keep].values())

    def _bulk(self, group: int) -> int:
        return len(self._links.get(group, ())) + len(self._groups[group].everyone)

    # ---- links ----
    def _weigh(self, link: Link, *, push: bool = True) -> None:
        """Bring a link in line with its groups and pairs."""
        self._set_open(link, False)
        left, right = self._groups[link.left], self._groups[link.right]
        link.unsure = sum((pair.a, pair.b) in self._unsure for pair in link.pairs) if self._unsure else 0
        link.settles = len(left.members) * len(right.members)
        link.probability = (
            link.pairs[0].probability
            if link.settles == 1
            else pooled((pair.probability for pair in link.pairs), link.settles)
        )
        link.version += 1
        self._set_open(link, link.unsure < len(link.pairs) and not self._exclude(link.left, link.right))
        if link.open and push:
            heapq.heappush(self._heap, self._entry(link))

    def _set_open(self, link: Link, to: bool) -> None:
        if link.open != to:
            step = 1 if to else -1
            self._open += step
            self.weights.add(link.probability, link.settles, step)
            link.open = to

    def _entry(self, link: Link) -> tuple[int, float, int, int, int, Link]:
        value = link.probability * link.settles**SIZE_EXPONENT * UNSURE_FACTOR**link.unsure
        low, high = ordered((link.left, link.right))
        return (self._stage(link) != Stage.CERTAIN, -value, low, high, link.version, link)

    def _stage(self, link: Link) -> Stage:
        if link.probability >= CERTAIN and not link.unsure:
            return Stage.CERTAIN
        alone = 1 in (len(self._groups[link.left].members), len(self._groups[link.right].members))
        return Stage.ALONE if alone and link.probability < UNLIKELY else Stage.GROUPS

    def _rebuild(self) -> None:
        self._heap = [self._entry(link) for link in self.links() if link.open]
        heapq.heapify(self._heap)

    def _question(self, link: Link, wanted: Pair | None = None) -> Question:
        pair = wanted or best_view([pair for pair in link.pairs if (pair.a, pair.b) not in self._unsure])
        left, right = link.left, link.right
        if self._group_of[pair.a] != left:
            left, right = right, left
        return Question(
            pair=pair,
            left=left,
            right=right,
            probability=link.probability,
            stage=self._stage(link),
            settles=link.settles,
            compared=len(link.pairs),
            unsure=link.unsure,
        )
