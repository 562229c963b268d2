"""A Camtrap DP 1.0 package (https://camtrap-dp.tdwg.org), as another tool or another SpotID exports it.

`deployments` become stations, cameras, places and camera operation; `media` photos, those that lie in the package, and
those that the survey has; `observations` boxes, species, people, empty photos, and individuals by their `individualID`.
Events are made here anew, so `eventID` is not read, and observations of whole events, which name no photo, are told.

A package of SpotID has two tables more, `photos` (where each photo was read, its SHA-256) and `individuals` (codes,
names), and says in `observationTags` which flank a box shows.
"""

from __future__ import annotations

import re
import zoneinfo
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from ..matching.labels import Label
from .boxes import corners_of, share
from .camtrapdp_sites import Site, sites_of
from .camtrapdp_tables import DESCRIPTOR, Cells, Package, package_of
from .reading import (
    ANIMAL,
    PERSON,
    VEHICLE,
    AnimalRecord,
    BoxRecord,
    Issue,
    Issues,
    Kind,
    Options,
    PhotoRecord,
    Photos,
    Reading,
    UnusableFile,
)
from .spill import Said, Spill

_CATEGORIES = {"animal": ANIMAL, "human": PERSON, "vehicle": VEHICLE, "unknown": ANIMAL}
_STAGES = ("juvenile", "subadult", "adult")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Of a medium, and of a box, as they are kept on the disk.
_MEDIA = ("mediaID", "fileName", "filePath", "fileMediatype", "deploymentID", "timestamp")
_BOX = ("corners", "category", "confidence", "species", "flank", "flank_said", "usable", "reason")
ENGINE = "Camtrap DP"
MEDIA_TWICE = "The medium has no mediaID, or one that an earlier line has."
BAD_PATH = "The path of the file leads out of the package; the file is not read."
NO_DEPLOYMENT = "The medium belongs to a deployment that the package does not have."
NO_MEDIA = "Observations name a medium that the package does not have."
ELSEWHERE = "The photo lies on another server, from which nothing is fetched, and the survey has none of this name."
EVENT = "The observation speaks of an event, not of a photo; photos have observations of their own."
TWO = "One box is said to show two individuals; neither is taken."
SEVERAL = "The photo is said to show several individuals, and no box says which is which; none is taken."


def looks_like(path: Path) -> bool:
    """A folder with, or a file that is, the descriptor of such a package."""
    try:
        package = package_of(path)
    except (UnusableFile, OSError):
        return False
    return "camtrap-dp" in str(package.about.get("profile", ""))


def read(path: Path, options: Options) -> Reading:
    package = package_of(path)
    zone = zoneinfo.ZoneInfo(options.zone)
    sites = sites_of(package, zone)
    spill = Spill(options.spill)
    said = _Observed(package, options.threshold, spill)
    animals = said.animals()
    media = _Media(package, said, spill)
    notes = [f"Camtrap DP {package.version}: {media.number} media, {said.number} observations."]
    if animals:
        notes.append(f"{len(animals)} individuals are named on {said.labelled} photos.")
    if media.surveys > 1:
        notes.append("The package holds several surveys; all of them come into this one.")
    if not media.number:
        notes.append("The package names no media.")
    return Reading(
        notes=tuple(notes),
        issues=Issues(lambda: chain(package.issues, sites.issues, (Issue(*one) for one in said.issues))),
        photos=Photos(lambda: media.photos(sites.by_id)),
        stations=sites.stations,
        operations=sites.operations,
        animals=animals,
        rows_of=package.file("media"),
    )


@dataclass
class _Photo:
    """What the observations of one photo say."""

    boxes: list[BoxRecord] = field(default_factory=list)
    species: set[str] = field(default_factory=set)
    loose: set[Label] = field(default_factory=set)
    people: bool = False
    blank: bool = False
    boxed: bool = False


@dataclass
class _Animal:
    """What observations say of an individual. line: the first of them."""

    line: int
    sexes: set[str] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)


class _Observed:
    """The observations by their photo, on the disk: there may be millions."""

    def __init__(self, package: Package, threshold: float, spill: Spill) -> None:
        self.package, self.threshold = package, threshold
        self.issues, self.by_media = spill.listing(), spill.groups()
        self._animals: dict[str, _Animal] = {}
        self.number = self.labelled = 0
        for row in package.rows("observations"):
            self.number += 1
            self._take(row)
        for media, rows in self.by_media:
            photo = self._settled(media, rows, tell=True)
            self.labelled += bool(photo.loose) or any(box.label for box in photo.boxes)

    def of(self, media: str) -> _Photo | None:
        rows = self.by_media.of(media)
        return self._settled(media, rows, tell=False) if rows else None

    def _issue(self, code: str, words: str, row: Cells, detail: str = "") -> None:
        self.issues.append((code, words, self.package.file("observations"), row.line, detail[:500]))

    def _take(self, row: Cells) -> None:
        media, kind = row["mediaID"], row["observationType"].casefold()
        if not media:
            self._issue("event_level", EVENT, row, row["observationID"])
            return
        category = _CATEGORIES.get(kind)
        if category is None and kind not in ("blank", "unclassified"):
            self._issue("unknown_type", "The type of the observation is none of Camtrap DP.", row, kind)
        said = {"blank": True} if kind == "blank" else self._said(row, category) if category else {}
        self.by_media.add(media, row.line, said)

    def _said(self, row: Cells, category: str) -> dict[str, Any]:
        """What one observation says, for `_settled`."""
        species = row["scientificName"] if category == ANIMAL else ""
        if species.casefold() == "homo sapiens":
            category, species = PERSON, ""
        label = self._label(row) if category == ANIMAL else None
        corners = self._corners(row)
        if corners is None:
            return {"people": category == PERSON, "species": species, "loose": label.name if label else ""}
        confidence = self._confidence(row)
        if confidence < self.threshold and label is None:
            return {"boxed": True}
        box = _tagged(BoxRecord(corners, category, confidence, species, label), row)
        return {"boxed": True, "box": [getattr(box, name) for name in _BOX], "label": _told(box.label)}

    def _label(self, row: Cells) -> Label | None:
        name = " ".join(row["individualID"].split())[:120]
        label = Label(name)
        if not name or label.says_nothing:
            return None
        animal = self._animals.setdefault(name, _Animal(row.line))
        animal.sexes |= {row["sex"]} - {""}
        animal.stages |= {row["lifeStage"]} - {""}
        return label

    def _corners(self, row: Cells) -> tuple[float, float, float, float] | None:
        texts = [row[name] for name in ("bboxX", "bboxY", "bboxWidth", "bboxHeight")]
        if not any(texts):
            return None
        try:
            corners = corners_of([float(text) for text in texts])
        except ValueError:
            corners = None
        if corners is None:
            self._issue("bad_box", "A box is no box or lies outside the photo; what it says counts for the photo.", row)
        return corners

    def _confidence(self, row: Cells) -> float:
        """1 for what a person said, or where nobody says how sure it is."""
        if row["classificationMethod"] == "human" or not row["classificationProbability"]:
            return 1.0
        try:
            found = share(float(row["classificationProbability"]))
        except ValueError:
            found = None
        return 1.0 if found is None else round(found, 6)

    def _settled(self, media: str, rows: list[Said], *, tell: bool) -> _Photo:
        """One box is one animal's, and so is a photo without boxes. tell: what contradicts that."""
        photo = _Photo()
        by_corners: dict[Any, list[BoxRecord]] = defaultdict(list)
        for _, said in rows:
            photo.blank = photo.blank or "blank" in said
            photo.boxed = photo.boxed or "boxed" in said
            photo.people = photo.people or bool(said.get("people"))
            photo.species |= {said.get("species", "")} - {""}
            photo.loose |= {Label(said["loose"])} if said.get("loose") else set()
            if "box" in said:
                box = _box(said)
                by_corners[box.corners].append(box)
        for boxes in by_corners.values():
            labels = {box.label for box in boxes if box.label}
            first = next((box for box in boxes if box.label), boxes[0])
            if len(labels) > 1:
                first = replace(first, label=None)
                if tell:
                    self._of_photo("two_individuals", TWO, media, labels)
            # A place is one box, and a person in it keeps the photo from view.
            photo.people = photo.people or any(box.category == PERSON for box in boxes)
            photo.boxes.append(first)
        if len(photo.loose) > 1:
            if tell:
                self._of_photo("several_individuals", SEVERAL, media, photo.loose)
            photo.loose = set()
        return photo

    def _of_photo(self, code: str, words: str, media: str, labels: set[Label]) -> None:
        names = ", ".join(sorted(label.name for label in labels))
        self.issues.append((code, words, self.package.file("observations"), None, f"{media}: {names}"[:500]))

    def animals(self) -> tuple[AnimalRecord, ...]:
        """The individuals that photos show, with what the table of individuals, else all their photos agree on."""
        table = {row["individualID"]: row for row in self.package.rows("individuals")}
        found = []
        for name, animal in sorted(self._animals.items()):
            row = table.get(name)
            sexes = {row["sex"]} if row else animal.sexes
            stages = {row["lifeStage"]} if row else animal.stages
            sex = next(iter(sexes)) if len(sexes) == 1 else ""
            stage = next(iter(stages)) if len(stages) == 1 else ""
            found.append(
                AnimalRecord(
                    row.line if row else animal.line,
                    name,
                    code=name,
                    name=row["individualName"] if row else "",
                    sex=sex if sex in ("female", "male") else "",
                    age_class=stage if stage in _STAGES else "",
                )
            )
        return tuple(found)


def _told(label: Label | None) -> list[str] | None:
    return None if label is None else [label.name, label.flank]


def _box(said: dict[str, Any]) -> BoxRecord:
    values = dict(zip(_BOX, said["box"], strict=True))
    label = Label(*said["label"]) if said["label"] else None
    return BoxRecord(**values | {"corners": tuple(values["corners"])}, label=label)


def _tagged(box: BoxRecord, row: Cells) -> BoxRecord:
    """With what SpotID writes into the tags of an observation."""
    tags = dict(part.strip().split(":", 1) for part in row["observationTags"].split("|") if ":" in part)
    flank = tags.get("flank", "")
    if flank in ("left", "right", "unknown"):
        said = tags.get("flankBy") == "person"
        box = replace(box, flank=flank, flank_said=said)
        if box.label is not None and said and flank != "unknown":
            box = replace(box, label=replace(box.label, flank=flank))
    if tags.get("usable") == "no":
        box = replace(box, usable=False, reason=tags.get("reason", "")[:200])
    return box


class _Media:
    """The media with what is said of them, on the disk, in the order of their table."""

    def __init__(self, package: Package, said: _Observed, spill: Spill) -> None:
        self.file, self.said = package.file("media"), said
        own, surveys = spill.groups(), set()
        for row in package.rows("photos"):
            own.add(row["mediaID"], row.line, [row["relativePath"], row["sha256"]])
            surveys.add(row["survey"])
        self.surveys, self.number = len(surveys), 0
        self._rows, seen = spill.listing(), spill.names()
        for row in package.rows("media"):
            self.number += 1
            values: dict[str, Any] = {name: row[name] for name in _MEDIA}
            if values["mediaID"]:
                values["again"] = not seen.add(values["mediaID"])
            mine = own.of(values["mediaID"])
            path, there, refused = _where(package, row)
            self._rows.append([row.line, values, mine[-1][1] if mine else None, path, there and str(there), refused])
        self._missing = spill.listing()
        for media in said.by_media.without(seen):
            self._missing.append(media)

    def photos(self, sites: dict[str, Site]) -> Iterator[PhotoRecord | Issue]:
        for line, row, mine, path, there, refused in self._rows:
            media, name = row["mediaID"], row["fileName"]
            if not media or row["again"]:
                yield self._issue("media_twice", MEDIA_TWICE, line, media)
                continue
            if row["fileMediatype"].startswith(("video/", "audio/")):
                yield self._issue("no_photo_file", "The medium is no photo.", line, name or media)
                continue
            if refused:
                yield self._issue("bad_path", BAD_PATH, line, row["filePath"][:500])
            site = sites.get(row["deploymentID"])
            if site is None:
                yield self._issue("no_deployment", NO_DEPLOYMENT, line, row["deploymentID"][:200])
            record = PhotoRecord(
                line,
                (mine[0] if mine else "") or path,
                sha256=mine[1] if mine else "",
                also=(name,) if name and path != name else (),
                file=Path(there) if there else None,
                station=site.station if site else "",
                camera=site.camera if site else "",
                taken=_instant(row["timestamp"]),
                absent=ELSEWHERE if _REMOTE.match(row["filePath"]) else "",
            )
            yield _with(record, self.said.of(media))
        for media in self._missing:
            yield self._issue("no_media", NO_MEDIA, None, media[:200])

    def _issue(self, code: str, words: str, line: int | None, detail: str) -> Issue:
        return Issue(code, words, self.file, line, detail)


def _with(record: PhotoRecord, photo: _Photo | None) -> PhotoRecord:
    if photo is None:
        return record
    empty = photo.blank and not (photo.boxed or photo.people or photo.species or photo.loose)
    return replace(
        record,
        looked=photo.boxed or empty,
        engine=ENGINE,
        boxes=tuple(photo.boxes),
        species=next(iter(photo.species)) if len(photo.species) == 1 and not photo.boxed else "",
        people=photo.people,
        label=next(iter(photo.loose), None),
    )


def _where(package: Package, row: Cells) -> tuple[str, Path | None, bool]:
    """The path that stands there, the file in the package, and whether the path leads out of it."""
    path, name = row["filePath"].replace("\\", "/"), row["fileName"]
    if _REMOTE.match(path):
        candidates = [f"media/{name}", name]
    elif path.startswith(("/", "~", ".")) or ".." in path.split("/") or re.match(r"[A-Za-z]:", path):
        return name or path, None, True
    else:
        candidates = [path]
    for candidate in candidates:
        found = package.inside(candidate) if candidate and not candidate.endswith("/") else None
        if found is not None:
            return path, found, False
    return path, None, False


def _instant(text: str) -> datetime | None:
    """None for what is no time, or one without a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


KIND = Kind(
    "camtrapdp",
    "Camtrap DP",
    read,
    looks_like,
    accepts=(".zip",),
    asks=("threshold",),
    fields=(("prefix", gettext_noop("put before names of animals whose code is another animal's here")),),
    help=gettext_noop(
        "A package (1.0) with its photos: stations, camera operation, boxes, species, individuals as confirmed matches."
    ),
    writer="identification.services.imports_identities.write",
    inside=(DESCRIPTOR,),
)
