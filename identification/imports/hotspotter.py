"""HotSpotter's `flat_table.csv`: one chip a line, with its image, name, and region in pixels.

    #   ChipID,  Image,  Name,  roi[tl_x  tl_y  w  h],  theta
             1,  a.JPG,  Cat1,      [320 466 924 564],    0.0

A turned region (theta, in radians) counts as the upright box around it. Names restart in every database, so they are
read as `FOLDER NAME`. `____` and unknown ones are no names. Boxes in VOC XML files beside the photos are used where the
table has none of a photo.
"""

from __future__ import annotations

import csv
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.utils.translation import gettext_noop

from ..matching.labels import Label
from .boxes import category_named
from .folder_walk import is_photo, name_of
from .reading import ANIMAL, BoxRecord, Corners, Issue, Kind, Options, PhotoRecord, Photos, Reading, UnusableFile
from .tables import decoded

TABLE = "flat_table.csv"
ENGINE = "HotSpotter"
_MOST_TABLE, _MOST_XML = 64 << 20, 1 << 20
_COLUMNS = ("chipid", "image", "name", "roi", "theta")
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_NONE = "-"
BAD_ROI = "The region is not four numbers with an area; the line is left out."
NO_IMAGE = "The line names no image."
SHORT = "The line has too few columns."
TWO = "One region is said to show two individuals; neither is taken."
BAD_XML = "The boxes in the XML file cannot be read."


@dataclass
class _Chip:
    line: int
    image: str
    name: str
    corners: Corners


@dataclass
class _Found:
    """A table: its chips by image, in their order."""

    file: Path
    scope: str
    chips: dict[str, list[_Chip]] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


def looks_like(path: Path) -> bool:
    try:
        inside = [path / TABLE, *sorted(path.glob(f"*/{TABLE}"))] if path.is_dir() else [path]
        table = next((file for file in inside if file.is_file()), path)
        with table.open("rb") as handle:
            head = handle.read(2000).decode("utf-8", "replace").casefold()
    except (OSError, ValueError):
        return False
    return "chipid" in head and "roi" in head and "image" in head


def read(path: Path, options: Options) -> Reading:
    tables = [_read(file, scope) for file, scope in _tables(path, options)]
    flank = options.values.get("flank", "").strip().casefold()
    if flank not in ("", "left", "right"):
        raise UnusableFile("bad_flank", "The flank is left or right.")
    items = list(_items(tables, flank))
    animals = {
        box.label for item in items if isinstance(item, PhotoRecord) for box in item.boxes if box.label is not None
    }
    chips = sum(len(rows) for table in tables for rows in table.chips.values())
    notes = [f"{chips} chips of {len(animals)} animals in {len(tables)} tables."]
    scopes = [table.scope for table in tables if table.scope]
    if scopes:
        notes.append(f"Names are read with that of their table in front: {', '.join(scopes[:5])}.")
    issues = tuple(issue for table in tables for issue in table.issues)
    return Reading(notes=tuple(notes), issues=issues, photos=Photos(lambda: iter(items)), rows_of=TABLE)


def _tables(path: Path, options: Options) -> list[tuple[Path, str]]:
    """The tables with what stands before their names: one in the folder, or one in each folder right below it."""
    said = options.values.get("scope", "").strip()
    if path.is_file():
        files = [path]
    else:
        files = [path / TABLE] if (path / TABLE).is_file() else sorted(path.glob(f"*/{TABLE}"))
    if not files:
        raise UnusableFile("no_table", "There is no flat_table.csv in it.")
    found = []
    for file in files:
        own = name_of(file.parent) if file.name == TABLE else Path(options.name or file.name).stem
        own = own or Path(options.name).stem
        scope = (
            ""
            if said == _NONE
            else " ".join(part for part in (said, own if len(files) > 1 or not said else "") if part)
        )
        found.append((file, scope))
    return found


def _read(file: Path, scope: str) -> _Found:
    if file.stat().st_size > _MOST_TABLE:
        raise UnusableFile("too_large", f"A table of HotSpotter may have at most {_MOST_TABLE >> 20} MB.")
    text, _ = decoded(file.read_bytes())
    found = _Found(file, scope)
    columns: dict[str, int] | None = None
    for line, row in enumerate(text.splitlines(), 1):
        plain = row.strip()
        if plain.startswith("#") or not plain:
            if "," in plain and "image" in plain.casefold():
                columns = _heading(plain.lstrip("# "))
            continue
        cells = [cell.strip() for cell in next(csv.reader([plain]))]
        if columns is None:
            columns = _heading(plain) if "image" in plain.casefold() and "[" in plain else dict(zip(_COLUMNS, range(5)))
            if "chipid" in plain.casefold():
                continue
        _take(found, line, cells, columns)
    if not found.chips and not found.issues:
        raise UnusableFile("empty", "The table is empty.")
    return found


def _heading(text: str) -> dict[str, int]:
    names = [cell.strip().casefold().split("[", 1)[0] for cell in text.split(",")]
    columns = {name: names.index(name) for name in _COLUMNS if name in names}
    missing = [name for name in ("image", "name", "roi") if name not in columns]
    if missing:
        raise UnusableFile("missing_column", f"The table has no column {', '.join(missing)}.")
    return columns


def _take(found: _Found, line: int, cells: list[str], columns: dict[str, int]) -> None:
    def cell(name: str) -> str:
        at = columns.get(name, -1)
        return cells[at] if 0 <= at < len(cells) else ""

    def issue(code: str, words: str) -> None:
        found.issues.append(Issue(code, words, found.file.name, line, ", ".join(cells)[:500]))

    if len(cells) <= max(columns[name] for name in ("image", "name", "roi")):
        issue("short_line", SHORT)
    elif not cell("image"):
        issue("no_name", NO_IMAGE)
    else:
        corners = _corners(cell("roi"), cell("theta"))
        if corners is None:
            issue("bad_roi", BAD_ROI)
        else:
            found.chips.setdefault(cell("image"), []).append(_Chip(line, cell("image"), cell("name"), corners))


def _corners(roi: str, theta: str) -> Corners | None:
    """x1, y1, x2, y2 in pixels of the upright box around a region that is turned about its middle."""
    numbers = [float(text) for text in _NUMBERS.findall(roi)]
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers) or min(numbers[2:]) <= 0:
        return None
    x, y, width, height = numbers
    try:
        angle = float(theta or 0)
    except ValueError:
        return None
    if not math.isfinite(angle):
        return None
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    wide, high = width * cosine + height * sine, width * sine + height * cosine
    middle = x + width / 2, y + height / 2
    return middle[0] - wide / 2, middle[1] - high / 2, middle[0] + wide / 2, middle[1] + high / 2


def _items(tables: list[_Found], flank: str) -> Iterator[PhotoRecord | Issue]:
    number = 0
    for table in tables:
        folder = table.file.parent
        for image, chips in table.chips.items():
            number += 1
            relative = image.replace("\\", "/")
            file = _beside(folder, relative)
            boxes, issues = _boxes(table, chips, flank)
            yield from issues
            place = f"{folder.name}/{relative}" if len(tables) > 1 else relative
            row = chips[0].line if len(tables) == 1 else number
            yield _record(row, place, file, boxes, ENGINE)
        for relative, file, drawn in _voc(table):
            number += 1
            if drawn is None:
                yield Issue("bad_xml", BAD_XML, file.with_suffix(".xml").name, None, relative[:500])
            else:
                place = f"{folder.name}/{relative}" if len(tables) > 1 else relative
                yield _record(1_000_000 + number, place, file, drawn, "VOC")


def _record(row: int, place: str, file: Path | None, boxes: tuple[BoxRecord, ...], engine: str) -> PhotoRecord:
    return PhotoRecord(row, place, looked=True, engine=engine, boxes=boxes, file=file, in_pixels=True)


def _beside(folder: Path, relative: str) -> Path | None:
    """The photo in the table's folder, or in HotSpotter's folder of images; None for a path that leads elsewhere."""
    if relative.startswith(("/", "~")) or ".." in relative.split("/") or ":" in relative:
        return None
    return next((path for path in (folder / relative, folder / "images" / relative) if is_photo(path)), None)


def _boxes(table: _Found, chips: list[_Chip], flank: str) -> tuple[tuple[BoxRecord, ...], list[Issue]]:
    found: dict[Corners, BoxRecord] = {}
    torn: set[Corners] = set()
    issues = []
    for chip in chips:
        label: Label | None = Label(" ".join(f"{table.scope} {chip.name}".split())[:120], flank)
        if not chip.name or Label(chip.name).says_nothing:
            label = None
        there = found.get(chip.corners)
        if chip.corners in torn or (there and there.label and label and there.label != label):
            torn.add(chip.corners)
            issues.append(Issue("two_individuals", TWO, table.file.name, chip.line, f"{chip.image}: {chip.name}"[:500]))
            label = None
        elif there and there.label:
            label = there.label
        found[chip.corners] = BoxRecord(chip.corners, ANIMAL, 1.0, "", label, flank, bool(flank))
    return tuple(found.values()), issues


def _voc(table: _Found) -> Iterator[tuple[str, Path, tuple[BoxRecord, ...] | None]]:
    """Photos beside the table that it does not name and that have a VOC file; None for one that cannot be read."""
    named = {Path(image).stem for image in table.chips}
    for xml in sorted(table.file.parent.glob("*.xml")):
        photo = next((p for p in sorted(xml.parent.glob(f"{_escaped(xml.stem)}.*")) if is_photo(p)), None)
        if xml.stem not in named and photo is not None:
            yield photo.name, photo, voc_boxes(xml)


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def voc_boxes(path: Path) -> tuple[BoxRecord, ...] | None:
    """The boxes of a VOC annotation, in pixels; names that are no category are species. None when it is unreadable."""
    try:
        data = path.read_bytes()
        # Entities could grow without end.
        if len(data) > _MOST_XML or b"<!" in data:
            return None
        found = []
        for item in ElementTree.fromstring(data).iter("object"):
            name = (item.findtext("name") or "").strip()
            corners = [float(item.findtext(f"bndbox/{key}") or "nan") for key in ("xmin", "ymin", "xmax", "ymax")]
            if (
                not all(math.isfinite(value) for value in corners)
                or corners[2] <= corners[0]
                or corners[3] <= corners[1]
            ):
                return None
            category = category_named(name)
            species = name[:200] if category is None else ""
            found.append(BoxRecord((*corners,), category or ANIMAL, 1.0, species))  # type: ignore[arg-type]
        return tuple(found)
    except (OSError, ValueError, ElementTree.ParseError):
        return None


KIND = Kind(
    "hotspotter",
    "HotSpotter",
    read,
    looks_like,
    accepts=(".csv", ".zip"),
    fields=(
        ("scope", gettext_noop("what stands before the names instead of the folder's name; - for nothing")),
        ("flank", gettext_noop("left or right, where all photos show one side")),
    ),
    help=gettext_noop(
        "flat_table.csv, with its photos where they lie beside it: boxes, and animals as confirmed matches."
    ),
    writer="identification.services.imports_identities.write",
    inside=(TABLE,),
)
