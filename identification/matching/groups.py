"""The groups of a review: components of the signed graph that stands, and which of them are refused. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .graph import ordered


@dataclass(slots=True)
class _Group:
    """everyone: detections, also those that may not be shown. members, images: of those that may."""

    everyone: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    images: set[int] = field(default_factory=set)


class SignedGroups:
    """What stands between photos, group by group; `Queue` adds what is compared between them.

    photos: image of each detection that may be shown or counted.
    """

    def __init__(self, photos: dict[int, int]) -> None:
        self._photos = photos
        self._group_of: dict[int, int] = {}
        self._groups: dict[int, _Group] = {}
        self._refused: dict[int, set[int]] = defaultdict(set)
        self._said: dict[int, dict[int, str]] = defaultdict(dict)
        self._watching: list[set[int]] = []
        self._changed = self.watch()
        for detection in photos:
            self._group(detection)

    def watch(self) -> set[int]:
        """A set that representatives of groups are added to whenever they change or are gone. To be emptied at will."""
        watching: set[int] = set()
        self._watching.append(watching)
        return watching

    def changed_groups(self) -> set[int]:
        """Representatives of groups that have changed or are gone since this was asked last."""
        changed = set(self._changed)
        self._changed.clear()
        return changed

    def _touch(self, groups: set[int]) -> None:
        for watching in self._watching:
            watching |= groups

    def matches_inside(self, group: int) -> list[tuple[int, int]]:
        """Standing matches that hold a group together, each once, also of photos that may not be shown."""
        said = (
            (d, other, self._said[d][other]) for d in self._groups[group].everyone for other in self._said.get(d, ())
        )
        return [(a, b) for a, b, verdict in said if a < b and verdict == "match"]

    def refused_inside(self, group: int) -> bool:
        """Whether somebody has refused a pair of the group: it contradicts itself."""
        return any(
            "no_match" in self._said.get(d, {}).values() and self._refusals_of(d, group)
            for d in self._groups[group].everyone
        )

    def refused(self, group: int) -> set[int]:
        """The groups that are refused with one."""
        return set(self._refused.get(group, ()))

    def refusals_between(self, group: int, other: int) -> list[tuple[int, int]]:
        """Standing refusals between two groups, each once."""
        small, large = sorted((group, other), key=lambda one: len(self._groups[one].everyone))
        return [ordered((d, e)) for d in self._groups[small].everyone for e in self._refusals_of(d, large)]

    def representatives(self) -> Iterable[int]:
        """Of every group."""
        return self._groups.keys()

    def _refusals_of(self, detection: int, group: int) -> list[int]:
        said = self._said.get(detection, {}).items()
        return [other for other, verdict in said if verdict == "no_match" and self._group_of[other] == group]

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

    def _exclude(self, one: int, other: int) -> bool:
        """Whether two groups cannot be one animal: refused, or both on one photo."""
        images = self._groups[one].images
        return other in self._refused.get(one, ()) or not images.isdisjoint(self._groups[other].images)

    def _group(self, detection: int) -> int:
        if detection not in self._group_of:
            self._group_of[detection] = detection
            group = self._groups[detection] = _Group([detection])
            if detection in self._photos:
                group.members.append(detection)
                group.images.add(self._photos[detection])
        return self._group_of[detection]
