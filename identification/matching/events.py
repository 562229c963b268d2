"""What time and place say: photos of one burst, and of the facing cameras of one station. Pure functions.

Two rules, each a proposal for a person and never more: a mother and her cub walk the same trail.

* Photos of one camera, each at most BURST_SECONDS after the one before, with one animal in view on each, show one
  animal.
* Two cameras of one station that fire within PAIR_SECONDS, with one animal in view on each, show the two flanks of it:
  the link that no comparison of coats can give.

A photo with two animals in view ends the burst before it and begins a new one after it, and keeps cameras near it in
time from being paired. So does a photo that nothing has looked at. A person or another species in view does not count.
An empty photo neither joins nor parts, since detectors miss animals: the gap between the photos that do show one
counts.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise

BURST_SECONDS = 60.0
PAIR_SECONDS = 10.0
# One glance holds no more. A longer burst goes on in another group that begins with the last photo of this one.
MOST_IN_GROUP = 40

SAME_EVENT, PAIRED_CAMERAS = "same_event", "paired_cameras"
_SIDES = frozenset(("left", "right"))


@dataclass(frozen=True, slots=True)
class Shot:
    """One photo of a station, as far as grouping needs to know.

    at: clock corrected. in_view: animals on it that may be of the population's species, readable or not; None when
    nobody knows. detection: the comparable one where there is exactly one in view, else None. clock_known: False where
    the time may be far off, so that nothing can be said of two cameras. flank: "left", "right" or "unknown".
    """

    image: int
    station: int
    camera: str
    at: datetime
    in_view: int | None
    detection: int | None = None
    flank: str = "unknown"
    clock_known: bool = True

    @property
    def crowded(self) -> bool:
        """Whether a second animal may be in view."""
        return self.in_view is None or self.in_view > 1


@dataclass(frozen=True)
class Group:
    """Photos that may show one animal, at least two, in the order of their times."""

    kind: str
    shots: tuple[Shot, ...]

    @property
    def detections(self) -> tuple[int, ...]:
        return tuple(shot.detection for shot in self.shots if shot.detection is not None)

    @property
    def key(self) -> str:
        """SHA-256 of the kind and the detections: the same photos are the same question."""
        ids = ",".join(str(pk) for pk in sorted(self.detections))
        return hashlib.sha256(f"{self.kind}:{ids}".encode()).hexdigest()

    @property
    def seconds(self) -> float:
        return (self.shots[-1].at - self.shots[0].at).total_seconds()


@dataclass(frozen=True)
class Link:
    """One pair to be matched, first photo before second, and what says so."""

    first: int
    second: int
    kind: str


def groups_of(
    shots: Iterable[Shot], *, burst_seconds: float = BURST_SECONDS, pair_seconds: float = PAIR_SECONDS
) -> list[Group]:
    """Every group of the shots, by time: each visit that two cameras saw, and each further burst of several photos.

    A visit of two cameras holds all photos of both bursts, so that one glance settles it.
    """
    stations: dict[int, list[Shot]] = defaultdict(list)
    for shot in shots:
        stations[shot.station].append(shot)
    found: list[Group] = []
    for rows in stations.values():
        bursts = _bursts(rows, burst_seconds)
        for visit in _visits(rows, bursts, burst_seconds, pair_seconds):
            found += _groups_of_visit(visit)
    return sorted(found, key=lambda group: (group.shots[0].at, group.detections))


def bursts_of(shots: Iterable[Shot], *, burst_seconds: float = BURST_SECONDS) -> list[Group]:
    """The bursts of at least two photos alone, without looking at two cameras together."""
    rows = list(shots)
    found = [group for burst in _bursts(rows, burst_seconds) for group in _pieces(burst)]
    return sorted(found, key=lambda group: (group.shots[0].at, group.detections))


def _bursts(shots: Collection[Shot], burst_seconds: float) -> list[list[Shot]]:
    """Runs of photos with one animal in view, single photos too. Photos of unreadable coats hold a run together."""
    gap = timedelta(seconds=burst_seconds)

    def camera(shot: Shot) -> tuple[int, str]:
        return shot.station, shot.camera

    bursts = []
    for _, rows in groupby(sorted(shots, key=lambda s: (*camera(s), s.at, s.image)), key=camera):
        run: list[Shot] = []
        for shot in (row for row in rows if row.in_view != 0):
            if run and (shot.crowded or shot.at - run[-1].at > gap):
                bursts.append(run)
                run = []
            if not shot.crowded:
                run.append(shot)
        bursts.append(run)
    readable = ([shot for shot in run if shot.detection is not None] for run in bursts)
    return [run for run in readable if run]


def _visits(
    shots: Sequence[Shot], bursts: list[list[Shot]], burst_seconds: float, pair_seconds: float
) -> list[list[list[Shot]]]:
    """Bursts of several cameras that belong together, closest first; each camera once in a visit."""
    crowds = sorted(shot.at for shot in shots if shot.crowded)
    near, reach = timedelta(seconds=burst_seconds), timedelta(seconds=pair_seconds)
    order = sorted(range(len(bursts)), key=lambda index: bursts[index][0].at)
    candidates = []
    for place, i in enumerate(order):
        for j in order[place + 1 :]:
            if bursts[j][0].at - bursts[i][-1].at > reach:
                break
            if not _may_pair(bursts[i], bursts[j]):
                continue
            first, second = closest(bursts[i], bursts[j])
            apart = abs(first.at - second.at)
            if apart <= reach and not any(_any_within(crowds, shot.at, near) for shot in (first, second)):
                candidates.append((apart, i, j))
    visit_of = {index: [index] for index in range(len(bursts))}
    for _, i, j in sorted(candidates):
        together = visit_of[i] + visit_of[j]
        cameras = [bursts[index][0].camera for index in together]
        if visit_of[i] is not visit_of[j] and len(set(cameras)) == len(cameras):
            for index in together:
                visit_of[index] = together
    visits = {id(visit): visit for visit in visit_of.values()}
    return [[bursts[index] for index in sorted(visit)] for visit in visits.values()]


def _may_pair(one: Sequence[Shot], other: Sequence[Shot]) -> bool:
    cameras = {one[0].camera, other[0].camera}
    return len(cameras) == 2 and "" not in cameras and all(shot.clock_known for shot in (*one, *other))


def _any_within(times: Sequence[datetime], at: datetime, near: timedelta) -> bool:
    """Whether one of the sorted times lies within `near` of `at`."""
    index = bisect_left(times, at - near)
    return index < len(times) and times[index] <= at + near


def closest(one: Sequence[Shot], other: Sequence[Shot]) -> tuple[Shot, Shot]:
    """The two photos, one of each side, that are nearest in time; ties go to the earlier ones."""
    return min(((a, b) for a in one for b in other), key=lambda pair: (abs(pair[0].at - pair[1].at), pair[0].at))


def _groups_of_visit(visit: list[list[Shot]]) -> list[Group]:
    """One group where one glance holds it; else the bursts in pieces, and the photos that tie the cameras together."""
    together = _in_time(shot for burst in visit for shot in burst)
    if len(visit) > 1 and len(together) <= MOST_IN_GROUP:
        return [Group(PAIRED_CAMERAS, tuple(together))]
    pieces = [group for burst in visit for group in _pieces(burst)]
    ties = [link for link in links(Group(PAIRED_CAMERAS, tuple(together))) if link.kind == PAIRED_CAMERAS]
    by_detection = {shot.detection: shot for shot in together}
    for link in ties:
        pieces.append(Group(PAIRED_CAMERAS, tuple(_in_time((by_detection[link.first], by_detection[link.second])))))
    return pieces


def _pieces(burst: Sequence[Shot]) -> list[Group]:
    step = MOST_IN_GROUP - 1
    cut = [burst[start : start + MOST_IN_GROUP] for start in range(0, max(1, len(burst) - 1), step)]
    return [Group(SAME_EVENT, tuple(part)) for part in cut if len(part) > 1]


def _in_time(shots: Iterable[Shot]) -> list[Shot]:
    return sorted(shots, key=lambda shot: (shot.at, shot.camera, shot.image))


def links(group: Group, chosen: Collection[int] | None = None) -> list[Link]:
    """The matches that join a group, or the chosen detections of it: one fewer than there are photos.

    Each camera's photos as a chain in time, so that every link lies between neighbours, seconds apart, and a mistake is
    one link; then each further camera by its photo that is nearest to one of a camera joined before.
    """
    shots = [shot for shot in group.shots if chosen is None or shot.detection in chosen]
    by_camera: dict[str, list[Shot]] = defaultdict(list)
    for shot in _in_time(shots):
        by_camera[shot.camera].append(shot)
    made = [_link(one, other, SAME_EVENT) for chain in by_camera.values() for one, other in pairwise(chain)]
    waiting = list(by_camera)
    joined = waiting[:1]
    waiting = waiting[1:]
    while waiting:
        reach = {(a, b): closest(by_camera[a], by_camera[b]) for a in joined for b in waiting}
        (_, camera), pair = min(reach.items(), key=lambda item: (abs(item[1][0].at - item[1][1].at), item[0]))
        one, other = _in_time(pair)
        made.append(_link(one, other, PAIRED_CAMERAS))
        joined.append(camera)
        waiting.remove(camera)
    return _growing(made)


def _growing(made: list[Link]) -> list[Link]:
    """The same links in an order in which each joins one more photo: no second group comes up on the way."""
    ordered, waiting = made[:1], made[1:]
    joined = {pk for link in ordered for pk in (link.first, link.second)}
    while waiting:
        link = next(link for link in waiting if link.first in joined or link.second in joined)
        waiting.remove(link)
        ordered.append(link)
        joined |= {link.first, link.second}
    return ordered


def _link(one: Shot, other: Shot, kind: str) -> Link:
    assert one.detection is not None and other.detection is not None
    return Link(one.detection, other.detection, kind)


def cautions(shots: Iterable[Shot]) -> tuple[str, ...]:
    """What a person should look at twice: "turned", "same_side", or both.

    turned: one camera shows a left and a right flank. An animal can turn round within a minute, so it stays in the
    group. same_side: two cameras show the same flank, which facing ones cannot of one animal between them. Cameras do
    not always face each other, and flanks are named wrongly, so this too is for people to judge.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for shot in shots:
        sides[shot.camera] |= {shot.flank} & _SIDES
    found = []
    if any(len(seen) > 1 for seen in sides.values()):
        found.append("turned")
    known = [seen for seen in sides.values() if seen]
    if len(known) > 1 and any(len(a) == 1 and a == b for i, a in enumerate(known) for b in known[i + 1 :]):
        found.append("same_side")
    return tuple(found)
