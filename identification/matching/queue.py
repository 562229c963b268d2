"""What to ask next: questions between groups of photos, in the order of what an answer settles. Pure.

A question is about two components of the signed graph that candidates connect: "are these two groups one animal?" A
match joins them, a refusal settles every pair between them. Nothing is asked that follows from what was said. The queue
follows decisions one by one; each costs as much as the smaller of the two groups has candidates. Taking one back, and a
photo that changes, make the groups that it touches anew, and nothing else.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from .graph import ordered
from .groups import SignedGroups
from .pooling import Pair, best_view, bounded, from_log_odds, log_odds, strength
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
# After so many steps, so many of the next questions are freed of old entries; the heaps; entries cleared at once.
_TIDY_EVERY, _TIDY_DEPTH, _HEAPS, _CLEARED_AT_ONCE = 64, 1000, 32, 8000


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
    """Everything compared between two groups. `version` is a new one whenever its place in the order changes.

    strength: of its pairs (`pooling.strength`), None where it is to be computed anew, and with it `unsure`. log_odds:
    of the probability, bounded, as it was counted in `Queue.weights`.
    """

    left: int
    right: int
    pairs: list[Pair]
    probability: float = 0.0
    settles: int = 0
    unsure: int = 0
    version: int = 0
    open: bool = False
    strength: float | None = None
    log_odds: float = 0.0


# Uncertain, minus the value of an answer, both groups, the link's version, the link.
Entry = tuple[bool, float, int, int, int, Link]


def _holds(entry: Entry) -> bool:
    return entry[-1].open and entry[-1].version == entry[-2]


class Queue(SignedGroups):
    """The open questions of one review.

    photos: image of each detection that may be shown or counted; kept, and changed by `replace`. pairs: compared pairs
    among them, each once. Decisions may name further detections (of surveys that this reviewer does not see): they join
    groups all the same.
    """

    def __init__(
        self,
        photos: dict[int, int],
        pairs: Iterable[Pair],
        decisions: Iterable[tuple[int, int, str]] = (),
    ) -> None:
        super().__init__(photos)
        self._links: dict[int, dict[int, Link]] = defaultdict(dict)
        self._unsure: set[tuple[int, int]] = set()
        self._pairs_of: dict[int, list[Pair]] = defaultdict(list)
        self._steps = self._versions = self._cleared = 0
        # One order in several heaps, which are cleared of old entries one at a time: all at once took seconds.
        self._heaps: list[list[Entry]] = [[] for _ in range(_HEAPS)]
        self._open = 0
        self.weights = Weights()
        said = list(decisions)
        for a, b, verdict in said:
            if verdict == "match":
                self._join(self._group(a), self._group(b))
        for a, b, verdict in said:
            self._note(a, b, verdict)
        for pair in pairs:
            self._pairs_of[pair.a].append(pair)
            self._pairs_of[pair.b].append(pair)
            self._connect(pair)
        self._weigh(self.links(), push=False)
        self._rebuild()

    def decide(self, a: int, b: int, verdict: str) -> None:
        """Follow what stands of a pair now: 'match', 'no_match', 'unsure', 'incomparable', or '' when nothing does."""
        before = self._said[a].get(b, "")
        if not before and verdict:
            self._add(a, b, verdict)
        elif before != verdict:
            self._take_back(a, b, before)
            if verdict:
                self._note(a, b, verdict)
            self._regroup({self._group(a), self._group(b)})
        self._tidy()

    def replace(self, detection: int, image: int | None, pairs: Iterable[Pair]) -> None:
        """Follow a change of one photo: its image (None when it may no longer be shown) and all its compared pairs."""
        for pair in self._pairs_of.pop(detection, []):
            self._pairs_of[pair.b if pair.a == detection else pair.a].remove(pair)
        for pair in pairs:
            self._pairs_of[pair.a].append(pair)
            self._pairs_of[pair.b].append(pair)
        if image is None:
            self._photos.pop(detection, None)
        else:
            self._photos[detection] = image
        self._regroup({self._group(detection)})
        self._tidy()

    def compared(self, detection: int) -> list[Pair]:
        """The compared pairs of a photo."""
        return list(self._pairs_of.get(detection, ()))

    def pairs_inside(self, group: int) -> Iterator[Pair]:
        """Compared pairs of which both photos are of one group, each once."""
        for detection in self.members(group):
            for pair in self._pairs_of.get(detection, ()):
                if pair.a == detection and self._group_of[pair.b] == group:
                    yield pair

    def compared_between(self, group: int, other: int) -> list[Pair]:
        """Compared pairs between two groups."""
        link = self._links.get(group, {}).get(other)
        return [] if link is None else link.pairs

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

    def questions(self, without: Collection[tuple[int, int]] = ()) -> Iterator[Question]:
        """Open questions, the next one first. Taking the first k costs k·log k, whatever the queue holds.

        without: ordered pairs of groups that are passed by, which costs less than looking at their questions.
        """
        return (self._question(link) for link in self.in_order() if ordered((link.left, link.right)) not in without)

    def questions_about(self, detections: Iterable[int]) -> Iterator[Question]:
        """Open questions about the groups of these detections, the next one first. Costs as much as these groups have
        candidates, whatever the queue holds."""
        about = {self.group(detection) for detection in detections}
        links = {id(link): link for group in about for link in self._links.get(group, {}).values() if link.open}
        return (self._question(entry[-1]) for entry in sorted(map(self._entry, links.values())))

    def in_order(self) -> Iterator[Link]:
        """Open links in the order of the questions, without building them. Not to be mixed with `decide`."""
        # A heap is a tree whose children are never smaller: walk them with a heap of their frontiers.
        frontier = [(heap[0], 0, heap) for heap in self._heaps if heap]
        heapq.heapify(frontier)
        while frontier:
            entry, index, heap = heapq.heappop(frontier)
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heapq.heappush(frontier, (heap[child], child, heap))
            if _holds(entry):
                yield entry[-1]

    def certain(self, most: int, without: Iterable[tuple[int, int]] = ()) -> list[Question]:
        """Near-certain questions that can be confirmed together: none follows from the others. `without`: pairs."""
        return [self._question(link) for link in self._certain(most, without)]

    def number_certain(self, most: int, without: Iterable[tuple[int, int]] = ()) -> int:
        """How many these are, up to `most`."""
        return sum(1 for _ in self._certain(most, without))

    def _certain(self, most: int, without: Iterable[tuple[int, int]]) -> Iterator[Link]:
        left_out = {ordered((self.group(a), self.group(b))) for a, b in without}
        # What would be one group if everything chosen so far were confirmed: the groups that it is made of.
        parts: dict[int, list[int]] = {}
        chosen = 0
        for link in self.in_order():
            if chosen == most or self._stage(link) != Stage.CERTAIN:
                break
            mine, theirs = parts.get(link.left, [link.left]), parts.get(link.right, [link.right])
            if mine is theirs or ordered((link.left, link.right)) in left_out:
                continue
            if any(self._exclude(a, b) for a in mine for b in theirs):
                continue
            together = mine + theirs
            parts |= dict.fromkeys(together, together)
            chosen += 1
            yield link

    def anyone(self, detection: int) -> float | None:
        """Probability that somebody else in the catalogue is a photo's animal; None where no question is open.

        The likeliest group of photos tells it best, by itself: docs/decisions/0026.
        """
        links = self._links.get(self._group_of.get(detection, detection), {})
        return max((link.probability for link in links.values() if link.open), default=None)

    def alone(self) -> list[tuple[int, float]]:
        """Single photos with open questions and :meth:`anyone` of each, the likeliest first."""
        singles = ((g.members[0], self.anyone(g.members[0])) for g in self._groups.values() if len(g.members) == 1)
        found = [(detection, probability) for detection, probability in singles if probability is not None]
        return sorted(found, key=lambda item: (-item[1], item[0]))

    # ---- groups ----
    def _connect(self, pair: Pair) -> None:
        left, right = self._group_of[pair.a], self._group_of[pair.b]
        if left == right:
            return
        link = self._links[left].get(right)
        if link is None:
            link = self._links[left][right] = self._links[right][left] = Link(left, right, [])
        link.pairs.append(pair)
        link.strength = None

    def _add(self, a: int, b: int, verdict: str) -> None:
        left, right = self._group(a), self._group(b)
        self._note(a, b, verdict)
        if verdict == "match" and left != right:
            self._weigh(self._join(left, right))
        elif (asked := self._links[left].get(right)) is not None:
            asked.strength = None
            self._weigh([asked])

    def _note(self, a: int, b: int, verdict: str) -> None:
        left, right = self._group(a), self._group(b)
        self._said[a][b] = self._said[b][a] = verdict
        if verdict == "no_match" and left != right:
            self._refused[left].add(right)
            self._refused[right].add(left)
        elif verdict in ("unsure", "incomparable"):
            self._unsure.add(ordered((a, b)))

    def _take_back(self, a: int, b: int, verdict: str) -> None:
        del self._said[a][b], self._said[b][a]
        self._unsure.discard(ordered((a, b)))

    def _regroup(self, groups: set[int]) -> None:
        """Make some groups anew out of what stands and what is compared; the others are only linked to them again."""
        members = [detection for group in groups for detection in self._groups[group].everyone]
        for group in groups:
            for other, link in self._links.pop(group, {}).items():
                self._close(link)
                if other not in groups:
                    del self._links[other][group]
            for other in self._refused.pop(group, set()):
                if other not in groups:
                    self._refused[other].discard(group)
            del self._groups[group]
        for detection in members:
            del self._group_of[detection]
        for detection in members:
            self._group(detection)
        inside = set(members)
        said = [(d, other, verdict) for d in members for other, verdict in self._said.get(d, {}).items()]
        for detection, other, verdict in said:
            if verdict == "match":
                self._join(self._group(detection), self._group(other))
        for detection, other, verdict in said:
            self._note(detection, other, verdict)
        for detection in members:
            for pair in self._pairs_of.get(detection, ()):
                # A pair with both ends among them is met twice.
                if pair.a == detection or pair.a not in inside:
                    self._connect(pair)
        made = {self._group_of[detection] for detection in members}
        self._touch(groups | made)
        self._weigh({id(link): link for group in made for link in self._links.get(group, {}).values()}.values())

    def _join(self, keep: int, gone: int) -> list[Link]:
        """Make two groups one; returns the links of the joint group. The one with more to move keeps its name."""
        if keep == gone:
            return []
        if self._bulk(keep) < self._bulk(gone):
            keep, gone = gone, keep
        self._touch({keep, gone})
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
            self._close(link)
            if other == keep:
                continue
            there = self._links[keep].get(other)
            if there is None:
                there = self._links[keep][other] = self._links[other][keep] = Link(keep, other, [])
            there.pairs += link.pairs
            there.strength = None
        return list(self._links[keep].values())

    def _bulk(self, group: int) -> int:
        return len(self._links.get(group, ())) + len(self._groups[group].everyone)

    # ---- links ----
    def _weigh(self, links: Iterable[Link], *, push: bool = True) -> None:
        """Bring links in line with their groups and pairs. All of an animal's whenever it grows: one plain loop."""
        groups, refused, unsure, count = self._groups, self._refused, self._unsure, self.weights.add
        heaps, entry = self._heaps, self._entry
        for link in links:
            if link.open:
                count(link.log_odds, link.settles, -1)
                self._open -= 1
                link.open = False
            mine, theirs = link.left, link.right
            left, right = groups[mine], groups[theirs]
            if (mine in refused and theirs in refused[mine]) or not left.images.isdisjoint(right.images):
                continue
            if link.strength is None:
                # Most links of a group that has grown are the same but for the number of its photos.
                link.strength = strength([pair.probability for pair in link.pairs])
                link.unsure = sum((pair.a, pair.b) in unsure for pair in link.pairs) if unsure else 0
            if link.unsure == len(link.pairs):
                continue
            link.settles = settles = len(left.members) * len(right.members)
            if settles == 1:
                link.probability = link.pairs[0].probability
                link.log_odds = log_odds(link.probability)
            else:
                found = link.strength - math.log(max(settles, len(link.pairs)))
                link.probability = from_log_odds(found)
                link.log_odds = bounded(found)
            self._versions += 1
            link.version = self._versions
            link.open = True
            self._open += 1
            count(link.log_odds, settles)
            if push:
                heapq.heappush(heaps[link.version % _HEAPS], entry(link))

    def _close(self, link: Link) -> None:
        if link.open:
            self.weights.add(link.log_odds, link.settles, -1)
            self._open -= 1
            link.open = False

    def _entry(self, link: Link) -> Entry:
        value = link.probability * link.settles**SIZE_EXPONENT
        if link.unsure:
            value *= UNSURE_FACTOR**link.unsure
        low, high = (link.left, link.right) if link.left < link.right else (link.right, link.left)
        return (link.unsure > 0 or link.probability < CERTAIN, -value, low, high, link.version, link)

    def _stage(self, link: Link) -> Stage:
        if link.probability >= CERTAIN and not link.unsure:
            return Stage.CERTAIN
        alone = 1 in (len(self._groups[link.left].members), len(self._groups[link.right].members))
        return Stage.ALONE if alone and link.probability < UNLIKELY else Stage.GROUPS

    def _tidy(self) -> None:
        """Drop entries that hold no more: now and then those near the tops of the heaps, where the next questions are
        looked for, and while most are old, those of one heap after the other, some thousands with each step."""
        looked_at = 0
        while looked_at < _CLEARED_AT_ONCE and sum(map(len, self._heaps)) > 2 * self._open + 1000:
            self._cleared = (self._cleared + 1) % _HEAPS
            heap = self._heaps[self._cleared]
            looked_at += len(heap)
            heap[:] = filter(_holds, heap)
            heapq.heapify(heap)
        self._steps += 1
        for heap in () if self._steps % _TIDY_EVERY else self._heaps:
            kept: list[Entry] = []
            while heap and len(kept) < _TIDY_DEPTH // _HEAPS:
                kept += filter(_holds, [heapq.heappop(heap)])
            for entry in kept:
                heapq.heappush(heap, entry)

    def _rebuild(self) -> None:
        self._heaps = [[] for _ in range(_HEAPS)]
        for link in filter(lambda link: link.open, self.links()):
            self._heaps[link.version % _HEAPS].append(self._entry(link))
        for heap in self._heaps:
            heapq.heapify(heap)

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
