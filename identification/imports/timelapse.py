"""The table that Timelapse exports (`Export … to CSV`).

Columns that are read, whatever their capitals:

- `File`, with `RelativePath` (or `Folder`) before it; `RootFolder` is left out, because it names the user's own disk
- `DeleteFlag`: photos marked for deletion are left out and told
- `Species`, `Species1`, `Animal`, `ScientificName`, `Scientific_Name`, `Common_Name`, `Taxon`: what is on the photo; a
  photo with several species gets none, because nothing says which box is which
- `Empty`, `Blank`, `NoAnimal` as a flag: the photo is empty
- `Human`, `Person`, `People`, `HumanCount` as a flag or number: a person is on it
- `Count`, `Number`, `Quantity`: 0 beside a species means that none is there

Rows of one photo (Timelapse duplicates them for a second species) are taken together. Dates are the photos' own and are
not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from .reading import Issue, Kind, Options, PhotoRecord, Photos, Reading, UnusableFile
from .sheets import Glance, Sheet
from .spill import Groups, Listing, Spill
from .tables import Row, said_nothing
from .taxonomy import Taxon, taxon_of

FILE = ("file", "filename", "image", "imagefile")
FOLDER = ("relativepath", "folder", "subfolder")
DELETE = ("deleteflag", "markfordeletion", "delete")
SPECIES = (
    *("species", "species1", "species2", "species3", "scientificname", "animal", "animal1"),
    *("commonname", "taxon", "speciesname"),
)
EMPTY = ("empty", "blank", "noanimal", "emptyphoto")
PEOPLE = ("human", "humans", "person", "people", "humancount", "numberofpeople")
COUNT = ("count", "number", "quantity", "numberofanimals", "count1")


def looks_like(path: Path) -> bool:
    """A table with `File` and `RelativePath` or `Folder`, and one of Timelapse's own columns."""
    try:
        table = Glance(path) if path.is_file() else None
    except (UnusableFile, OSError):
        return False
    return table is not None and min(table.column("file"), table.column(*FOLDER)) >= 0 and table.column(*DELETE) >= 0


def read(path: Path, options: Options) -> Reading:
    table = Sheet(path)
    if table.column(*FILE) < 0:
        raise UnusableFile("no_file_column", "The first line names no column File: this is no table of Timelapse.")
    columns = _Columns(table)
    if not (columns.species or columns.empty >= 0 or columns.people >= 0):
        raise UnusableFile("no_columns", "The first line names no column of species, empty photos or people.")
    spill = Spill(options.spill)
    issues, rows, number = spill.listing(), spill.groups(), 0
    for row in table:
        number += 1
        _sort(columns, path.name, row, issues, rows)

    def photos() -> Iterator[PhotoRecord | Issue]:
        yield from (Issue(*said) for said in issues)
        for name, own in rows:
            yield from _photo(path.name, name, [_Said(line, *said) for line, said in own])

    return Reading(notes=(table.said(number), columns.words), photos=Photos(photos))


class _Columns:
    def __init__(self, table: Sheet) -> None:
        self.table = table
        self.file, self.folder = table.column(*FILE), table.column(*FOLDER)
        self.delete, self.empty = table.column(*DELETE), table.column(*EMPTY)
        self.people, self.count = table.column(*PEOPLE), table.column(*COUNT)
        found = (table.column(name) for name in SPECIES)
        self.species = list(dict.fromkeys(column for column in found if column >= 0))

    @property
    def words(self) -> str:
        used = [*self.species, self.empty, self.people, self.count]
        return f"Read are the columns {', '.join(self.table.heading[column] for column in used if column >= 0)}."

    def path(self, row: Row) -> str:
        folder = self.table.cell(row, self.folder).replace("\\", "/").strip("/")
        return f"{folder}/{self.table.cell(row, self.file)}".lstrip("/")

    def said(self, row: Row) -> list[Any]:
        """For `_Said`: species, whether there is a person, whether there is nothing. Of a count of 0, no species."""
        taxa: list[Taxon] = []
        if _number(self.table.cell(row, self.count)) != 0:
            cells = (self.table.cell(row, column) for column in self.species)
            taxa = [taxon_of(cell) for cell in cells if not said_nothing(cell)]
        return [
            [taxon.species for taxon in taxa if taxon.species],
            any(taxon.person for taxon in taxa) or _flag(self.table.cell(row, self.people)),
            any(taxon.blank for taxon in taxa) or _flag(self.table.cell(row, self.empty)),
        ]


@dataclass(frozen=True)
class _Said:
    """What one row says of its photo."""

    line: int
    species: list[str]
    people: bool
    empty: bool


def _sort(columns: _Columns, file: str, row: Row, issues: Listing, rows: Groups) -> None:
    """To what is said of its photo, or to what cannot be used."""
    name = columns.table.cell(row, columns.file)
    if not name:
        issues.append(("no_name", "A row names no photo.", file, row.line))
    elif _flag(columns.table.cell(row, columns.delete)):
        words = "The photo is marked for deletion and left as it is."
        issues.append(("delete_flag", words, file, row.line, columns.path(row)[:500]))
    else:
        rows.add(columns.path(row), row.line, columns.said(row))


def _photo(file: str, path: str, rows: list[_Said]) -> Iterator[PhotoRecord | Issue]:
    line = rows[0].line
    species = sorted({name for row in rows for name in row.species})
    people, empty = any(row.people for row in rows), any(row.empty for row in rows)
    if empty and (species or people):
        words = "The photo is called empty and not empty; it is left as it is."
        yield Issue("empty_and_not", words, file, line, path[:500])
        return
    if len(species) > 1:
        words = "The photo shows several species, and nothing says which box is which; none is named."
        yield Issue("several_species", words, file, line, f"{path}: {', '.join(species)}"[:500])
    named = species[0] if len(species) == 1 else ""
    if named or people or empty:
        yield PhotoRecord(line, path, looked=empty, engine="Timelapse", species=named, people=people)


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return None


def _flag(cell: str) -> bool:
    number = _number(cell)
    return number > 0 if number is not None else cell.strip().casefold() in ("true", "yes", "y", "x", "t")


KIND = Kind(
    "timelapse",
    "Timelapse",
    read,
    looks_like,
    accepts=(".csv",),
    help=gettext_noop("The table of Timelapse: species, empty photos, people."),
)
