"""The photos of an evaluation: who is on them, which side is seen, and of which event they are."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

FLANKS = ("left", "right", "unknown")

_TIME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)-(?P<month>\d{1,2})-(?P<day>\d{1,2})[ _T]{1,3}"
    r"(?P<hour>\d{1,2})-(?P<minute>\d{1,2})-(?P<second>\d{1,2})(?!\d)"
)
# What a detector that crops puts before the name: 0_0_BG-102B-….
_CROP_PREFIX = re.compile(r"\A\d+_\d+_")
_CAMERA = re.compile(r"(?<=\d)[A-Z]\Z|__camera\w+\Z", re.IGNORECASE)


@dataclass(frozen=True)
class EvaluationPhoto:
    """One photo of one animal.

    key: unique in its evaluation. identity: what a hit must agree in, one flank of one animal. individual: the animal;
    the unit that the bootstrap draws. event: photos of one event are near-duplicates; None where it is not known.
    flank: left, right or unknown. crop: the picture for reports. labelled: False where nobody knows who it is: such a
    photo stands in everybody's ranking as nobody's match, and says nothing of known and new animals.
    """

    key: str
    identity: str
    individual: str
    event: str | None = None
    flank: str = "unknown"
    crop: Path | None = None
    labelled: bool = True

    def __post_init__(self) -> None:
        if self.flank not in FLANKS:
            raise ValueError(f"the flank of {self.key} is {self.flank!r}, not one of {', '.join(FLANKS)}")


def check_photos(photos: Sequence[EvaluationPhoto]) -> None:
    """Raises ValueError for a key that comes twice and for an identity that is said to be two individuals."""
    seen: set[str] = set()
    animals: dict[str, str] = {}
    for photo in photos:
        if photo.key in seen:
            raise ValueError(f"the photo {photo.key} comes twice")
        seen.add(photo.key)
        if animals.setdefault(photo.identity, photo.individual) != photo.individual:
            raise ValueError(
                f"the identity {photo.identity} belongs to {animals[photo.identity]} and to {photo.individual}"
            )


def codes(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Numbers 0, 1, … of labels in the order in which they come first; None becomes −1."""
    numbers: dict[Hashable, int] = {}
    found = [-1 if label is None else numbers.setdefault(label, len(numbers)) for label in labels]
    return np.array(found, np.int64)


def animals(photos: Sequence[EvaluationPhoto]) -> tuple[NDArray[np.int64], int]:
    """A number for the individual of each photo, and how many are known: 0 … known − 1. Beyond, each photo that is not
    labelled is one of its own."""
    found = codes([photo.individual if photo.labelled else None for photo in photos])
    known = int(found.max(initial=-1)) + 1
    nobody = found < 0
    found[nobody] = known + np.arange(int(nobody.sum()))
    return found, known


def events_from_names(names: Sequence[str], *, minutes: int = 30) -> list[str | None]:
    """Encounter events of photos whose file names state station and time; None for every other name.

    A name must hold a date with time (`BG-102B-2019-03-01_19-49-36`, `Station12__Camera2__2012-6-14__11-53-34(5)`) and
    something before it, the station; a last letter after a digit, or `__Camera…`, is the camera, and both cameras of a
    station share its events. A photo that comes more than `minutes` after the one before it at its station begins a
    new event. Nothing is guessed from numbers: the frame numbers of ATRW are shuffled (photos of one tiger with near
    numbers are no more alike than with far ones), and nyala names count sightings without saying when they were.
    """
    placed: dict[str, list[tuple[datetime, int]]] = {}
    for index, name in enumerate(names):
        found = _station_and_time(PurePosixPath(name.replace("\\", "/")).stem)
        if found is not None:
            placed.setdefault(found[0], []).append((found[1], index))
    events: list[str | None] = [None] * len(names)
    for station, photos in placed.items():
        first = last = datetime.min
        for time, index in sorted(photos):
            if last is datetime.min or time - last > timedelta(minutes=minutes):
                first = time
            last = time
            events[index] = f"{station} {first:%Y-%m-%d %H:%M:%S}"
    return events


def _station_and_time(stem: str) -> tuple[str, datetime] | None:
    match = _TIME.search(stem)
    if match is None:
        return None
    station = _CROP_PREFIX.sub("", stem[: match.start()]).strip(" _-")
    station = _CAMERA.sub("", station).strip(" _-").casefold()
    if not station:
        return None
    try:
        return station, datetime(*(int(match[part]) for part in match.re.groupindex))  # type: ignore[arg-type]
    except ValueError:
        return None
