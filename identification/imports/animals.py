"""A table that says which photo shows which animal: somebody's own, a record table of camtrapR, or the
`leopard_matches.csv` of SpotID, the first one's too.

Columns, whatever their capitals, blanks and underscores:

- the photo: `Photo`, `Image`, `Image Path`, `RelativePath`, `File`, `FileName`, `Path`; with `Directory` before it
  where there is one
- the animal: `individual_code`, `Individual`, `IndividualID`, `Leopard ID`, `Animal`, `Name`
- the side: `flank` or `side` (left, right, L, R); without such a column `Asha_left` tells it, as in folders
- of SpotID's own: `individual_name`, `x1` to `y2` (pixels), `sha256`, `exported_file` (the photo beside the table),
  `station`, `camera` and `captured_at` of a photo that comes along, `conflict`
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext_noop

from ..matching.labels import Label, names_of_both_sides, parse_label
from .folder_walk import is_photo
from .reading import (
    ANIMAL,
    AnimalRecord,
    BoxRecord,
    Corners,
    Issue,
    Kind,
    Options,
    PhotoRecord,
    Photos,
    Reading,
    UnusableFile,
)
from .sheets import Glance
from .tables import Row, Table, said_nothing, table_of

OWN = "leopard_matches.csv"
PHOTO = ("image path", "relativepath", "photo", "image", "file", "filename", "path")
ANIMALS = ("individual_code", "individual", "individualid", "leopard id", "animal", "name")
SIDE = ("flank", "side")
_BOX = ("x1", "y1", "x2", "y2")
_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}
SEVERAL = "The photo is said to show several individuals, and no box says which is which; none is taken."
CONFLICT = "What was decided of the animal contradicts itself there; the photo is matched with nothing."
TWO = "One box is said to show two individuals; neither is taken."
NO_ROW_PHOTO = "A row names no photo."


def looks_like(path: Path) -> bool:
    """A table with a photo and an animal in its heading."""
    try:
        table = Glance(_file(path))
    except (UnusableFile, OSError):
        return False
    return min(table.column(*PHOTO), table.column(*ANIMALS)) >= 0


def _file(path: Path) -> Path:
    return path / OWN if path.is_dir() else path


def read(path: Path, options: Options) -> Reading:
    file = _file(path)
    if not file.is_file():
        raise UnusableFile("no_table", "There is no leopard_matches.csv in it.")
    columns = _Columns(table_of(file.read_bytes()), file)
    items = list(columns.items())
    labels = {label for item in items if isinstance(item, PhotoRecord) for label in _labels(item)}
    notes = [columns.table.words, f"{len({label.identity for label in labels})} animals are named."]
    if both := names_of_both_sides({"": labels}):
        names = ", ".join(both[:5])
        notes.append(f"Both sides of one name are kept apart, unless you say that they are one animal: {names}.")
    return Reading(
        notes=tuple(notes),
        photos=Photos(lambda: iter(items)),
        animals=tuple(columns.animals.values()),
        rows_of=file.name,
        # Names of people are those of folders; codes are a catalogue's own.
        source="animals" if columns.catalogue else "",
    )


def _labels(record: PhotoRecord) -> list[Label]:
    return [label for label in (record.label, *(box.label for box in record.boxes)) if label is not None]


class _Columns:
    def __init__(self, table: Table, file: Path) -> None:
        self.table, self.file = table, file
        self.photo, self.animal = table.column(*PHOTO), table.column(*ANIMALS)
        missing = [name for name, at in (("Photo", self.photo), ("Individual", self.animal)) if at < 0]
        if missing:
            raise UnusableFile("missing_column", f"The table has no column {', '.join(missing)}.")
        self.side, self.name = table.column(*SIDE), table.column("individual_name")
        self.folder, self.sha256 = table.column("directory"), table.column("sha256")
        self.along, self.conflict = table.column("exported_file"), table.column("conflict")
        self.station, self.camera = table.column("station"), table.column("camera")
        self.time = table.column("captured_at")
        self.box = [table.column(name) for name in _BOX]
        self.catalogue = table.column("individual_code") >= 0
        self.animals: dict[str, AnimalRecord] = {}

    def items(self) -> Iterator[PhotoRecord | Issue]:
        rows: dict[tuple[str, str], list[Row]] = {}
        for row in self.table.rows:
            path = self._path(row)
            if path:
                rows.setdefault((path, self.table.cell(row, self.sha256)), []).append(row)
            else:
                yield Issue("no_name", NO_ROW_PHOTO, self.file.name, row.line)
        for (path, _), own in rows.items():
            yield from self._photo(path, own)

    def _path(self, row: Row) -> str:
        folder = self.table.cell(row, self.folder).replace("\\", "/").rstrip("/")
        return "/".join(part for part in (folder, self.table.cell(row, self.photo)) if part and part != ".")

    def _photo(self, path: str, rows: list[Row]) -> Iterator[PhotoRecord | Issue]:
        boxes: dict[Corners, Label | None] = {}
        flanks: dict[Corners, str] = {}
        loose: set[Label] = set()
        for row in rows:
            label, corners = self._label(row), self._corners(row)
            if label is not None and self.table.cell(row, self.conflict).casefold() in ("yes", "true", "1"):
                yield Issue("conflict", CONFLICT, self.file.name, row.line, f"{path}: {label.name}"[:500])
                label = None
            if corners is None:
                loose |= {label} if label else set()
            elif boxes.get(corners, label) != label:
                yield Issue("two_individuals", TWO, self.file.name, row.line, path[:500])
                boxes[corners] = None
            else:
                boxes[corners] = label
                flanks[corners] = _SIDES.get(self.table.cell(row, self.side).casefold(), "")
        if len(loose) > 1:
            names = ", ".join(sorted(label.name for label in loose))
            yield Issue("several_individuals", SEVERAL, self.file.name, rows[0].line, f"{path}: {names}"[:500])
            loose = set()
        yield PhotoRecord(
            rows[0].line,
            path,
            sha256=self.table.cell(rows[0], self.sha256),
            engine="SpotID",
            boxes=tuple(BoxRecord(at, ANIMAL, 1.0, "", label, flanks[at]) for at, label in boxes.items()),
            label=next(iter(loose), None),
            file=self._beside(rows[0]),
            station=self.table.cell(rows[0], self.station)[:200],
            camera=self.table.cell(rows[0], self.camera)[:64],
            taken=self._taken(rows[0]),
            in_pixels=True,
        )

    def _label(self, row: Row) -> Label | None:
        name = " ".join(self.table.cell(row, self.animal).split())[:120]
        if said_nothing(name):
            return None
        side = self.table.cell(row, self.side).casefold()
        # Of a catalogue the side may be an estimate: it goes with the box.
        label = parse_label(name) if self.side < 0 else Label(name, "" if self.catalogue else _SIDES.get(side, ""))
        if label.says_nothing:
            return None
        if self.catalogue and name not in self.animals:
            self.animals[name] = AnimalRecord(row.line, name, code=name, name=self.table.cell(row, self.name))
        return label

    def _corners(self, row: Row) -> Corners | None:
        try:
            x1, y1, x2, y2 = (float(self.table.cell(row, at)) for at in self.box)
        except ValueError:
            return None
        return (x1, y1, x2, y2) if all(map(math.isfinite, (x1, y1, x2, y2))) and x2 > x1 and y2 > y1 else None

    def _taken(self, row: Row) -> datetime | None:
        """None where nothing is said with a zone."""
        try:
            found = datetime.fromisoformat(self.table.cell(row, self.time))
        except ValueError:
            return None
        return found if found.tzinfo is not None else None

    def _beside(self, row: Row) -> Path | None:
        relative = self.table.cell(row, self.along)
        if not relative or relative.startswith(("/", "~")) or ".." in relative.split("/"):
            return None
        return next((p for p in (self.file.parent / relative,) if is_photo(p)), None)


KIND = Kind(
    "animals",
    gettext_noop("A table of animals"),
    read,
    looks_like,
    accepts=(".csv", ".zip"),
    fields=(
        ("prefix", gettext_noop("put before names of animals whose code is another animal's here")),
        ("join_flanks", gettext_noop("a name with left and the same with right are one animal")),
    ),
    help=gettext_noop("Which photo shows which animal, such as leopard_matches.csv: confirmed matches."),
    writer="identification.services.imports_identities.write",
    inside=(OWN,),
    yes=("join_flanks",),
)
