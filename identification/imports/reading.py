"""What a reader of another tool's files hands over. Frozen dataclasses; no Django models.

A reader is a function `(path, options) -> Reading`. `path` is a file or a folder (archives are unpacked before), and is
only read. What can be used comes as records, what cannot as `Issue`s, each with its file and row; only a file that is
useless as a whole raises `UnusableFile`. Records may be many: `Reading.photos` is iterated more than once and reads the
file anew each time, so that nothing has to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..matching.labels import Label
from ..matching.operation import Operation

Corners = tuple[float, float, float, float]
ANIMAL, PERSON, VEHICLE = "animal", "person", "vehicle"


class UnusableFile(Exception):
    """A file that cannot be used at all. code: for programs; words: English, for people."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


@dataclass(frozen=True)
class Issue:
    """Something that could not be used. row: line or record from 1, None for the file. detail: what it was about.

    words: an English sentence without the detail, so that it can be translated where it is shown.
    """

    code: str
    words: str
    file: str = ""
    row: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class BoxRecord:
    """One box. corners: x1, y1, x2, y2 as shares of the upright photo, 0 to 1, as the file says, perhaps outside.

    label: the animal in it. flank: which side the file shows, beside what the label says of it; flank_said: a person
    told it, no estimate. usable, reason: whether the coat can be compared, and why not.
    """

    corners: Corners
    category: str
    confidence: float
    species: str = ""
    label: Label | None = None
    flank: str = ""
    flank_said: bool = False
    usable: bool = True
    reason: str = ""

    @property
    def says_more(self) -> bool:
        """Whether a person's word comes with the box."""
        return self.label is not None or self.flank_said or not self.usable


@dataclass(frozen=True)
class PhotoRecord:
    """What a file says of one photo.

    path: as it stands there. md5, sha256: of the photo's content, where they are known. engine: name and version of
    what looked for boxes; with `looked`, the boxes are all that it found (none: the photo is empty). species: of the
    photo as a whole, "" where nobody knows. people: somebody says that a person is on it. individual, flank: as in a
    sorted archive.

    Of kinds that bring identities: label: the one animal on the photo, where no box says which. file: the photo itself,
    where it comes along. also: other names by which it may be found, tried in this order. absent: what to say where it
    is not found. station, camera, taken: where and when it was taken, for a photo that is not here yet. in_pixels:
    corners of boxes are pixels of the upright photo.
    """

    row: int
    path: str
    md5: str = ""
    sha256: str = ""
    looked: bool = False
    engine: str = ""
    boxes: tuple[BoxRecord, ...] = ()
    species: str = ""
    people: bool = False
    individual: str = ""
    flank: str = ""
    label: Label | None = None
    file: Path | None = None
    also: tuple[str, ...] = ()
    absent: str = ""
    station: str = ""
    camera: str = ""
    taken: datetime | None = None
    in_pixels: bool = False

    @property
    def labelled(self) -> bool:
        return self.label is not None or any(box.label is not None for box in self.boxes)


@dataclass(frozen=True)
class AnimalRecord:
    """What a file says of an animal. label: its name in the labels of photos. code, name: of its catalogue, "" where it
    has none. sex, age_class: "" where nobody knows."""

    row: int | None
    label: str
    code: str = ""
    name: str = ""
    sex: str = ""
    age_class: str = ""


@dataclass(frozen=True)
class StationRecord:
    """A station with its place, degrees, north and east positive; None where the file does not say it."""

    row: int
    code: str
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True)
class OperationRecord:
    row: int
    station: str
    operation: Operation


class Photos:
    """Records that are read anew each time they are iterated. Issues found on the way are in the same stream."""

    def __init__(self, open_: Callable[[], Iterator[PhotoRecord | Issue]]) -> None:
        self._open = open_

    def __iter__(self) -> Iterator[PhotoRecord | Issue]:
        return self._open()


class Issues:
    """Issues that are read anew each time they are iterated."""

    def __init__(self, open_: Callable[[], Iterator[Issue]]) -> None:
        self._open = open_

    def __iter__(self) -> Iterator[Issue]:
        return self._open()


@dataclass(frozen=True)
class Reading:
    """All that one file or folder says. notes: English sentences about how it was read, for the preview. issues: may be
    iterated more than once.

    rows_of: the file in which rows of photos are counted, of kinds with several. source: of which catalogue the labels
    are, None for the kind's own, "" for names that people gave, as folders have them. extra: what the kind's own writer
    needs beyond this.
    """

    notes: tuple[str, ...] = ()
    issues: Iterable[Issue] = ()
    photos: Iterable[PhotoRecord | Issue] = ()
    stations: tuple[StationRecord, ...] = ()
    operations: tuple[OperationRecord, ...] = ()
    animals: tuple[AnimalRecord, ...] = ()
    rows_of: str = ""
    source: str | None = None
    extra: Any = None


@dataclass(frozen=True)
class Options:
    """What a person chose for an import. threshold: boxes below this confidence are left out.

    date_order: "ymd", "dmy" or "mdy", "" to find out. values: what a kind of its own asks for. photos: of kinds that
    read the survey's own photos, path below the ingested root and where the file lies. zone: the survey's time zone.
    name: what the file was called where it comes from. spill: the folder for what is too much for memory; None: the
    system's own of temporary files.
    """

    threshold: float = 0.2
    date_order: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    photos: Sequence[tuple[str, Path]] = ()
    zone: str = "UTC"
    name: str = ""
    spill: Path | None = None


Reader = Callable[[Path, Options], Reading]


@dataclass(frozen=True)
class Kind:
    """One kind of import.

    code: of the command line. title: translated where shown. looks_like: whether a file or folder is of this kind, from
    a glance; it never raises. accepts: endings of files that a browser sends, `.zip` for folders (it is unpacked before
    it is read). asks: the options that make sense, of `Options`' fields. fields: options of its own as (name, English
    question). help: one English sentence. writer: dotted name of a function `(writing, reading)` of
    `identification.services`, where `services.imports_write.reading_write` is not what is needed. of_photos: it reads
    the survey's own photos (`Options.photos`), their folders and tags, and needs no file. inside: names of files that
    tell it in an archive. yes: those of `fields` that are answered with yes or not at all.
    """

    code: str
    title: str
    read: Reader
    looks_like: Callable[[Path], bool]
    accepts: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    help: str = ""
    writer: str = "identification.services.imports_write.reading_write"
    of_photos: bool = False
    inside: tuple[str, ...] = ()
    yes: tuple[str, ...] = ()
