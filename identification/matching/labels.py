"""What a sorted archive says: which photo shows which animal, from which side. Pure functions."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..spreadsheets import restore, visible

_SIDED = re.compile(r"^(?P<name>.*[^\s_.-])[\s_.-]+(?P<side>left|right)$", re.IGNORECASE)
_PHOTO, _INDIVIDUAL = 0, 1
_UNNAMED = frozenset(("na", "n/a", "nan", "none"))
_UNKNOWN = re.compile(
    r"(?:unknowns?|unk|unid|unidentified|unidentifiable|unsorted|undetermined|unnamed|unclear|uncertain"
    r"|not[\W_]*identified|no[\W_]*ids?)(?![^\W\d_])",
    re.IGNORECASE,
)
_SIDE_ALONE = re.compile(r"[\W_]*(?:(?:left|right|both|flanks?|sides?)[\W_]*)*", re.IGNORECASE)
_FLANK_COLUMNS = ("flank", "side")

Identity = tuple[str, str]


@dataclass(frozen=True, order=True)
class Label:
    """Name of an animal as it stands there, and the flank that is seen ("left", "right" or "").

    name: without the side. sided: the side was part of the name, so that the same name with the other side need not be
    the same animal: many archives number left and right flanks apart.
    """

    name: str
    flank: str = ""
    sided: bool = False

    @property
    def says_nothing(self) -> bool:
        """Whether it is a side alone, or begins with a word for what nobody knows: its photos show no one animal."""
        name = self.name.strip("\"'([{<# _.-")
        return name.casefold() in _UNNAMED or bool(_UNKNOWN.match(name) or _SIDE_ALONE.fullmatch(name))

    @property
    def identity(self) -> Identity:
        """What two photos must have in common to show one animal by the archive's word."""
        return (self.name, self.flank) if self.sided else (self.name, "")

    def joined(self) -> Label:
        """The same, where the archive is known to call both sides of one animal alike."""
        return Label(self.name, self.flank)


def title(identity: Identity) -> str:
    """The name that an animal of the archive gets."""
    return "".join(c for c in " ".join(part for part in identity if part) if c.isprintable())[:120]


def apart(one: Identity, other: Identity) -> bool:
    """Whether an archive says that these are two animals.

    Not when one is a left and the other a right side: where sides are numbered apart, their names tell nothing.
    """
    return one[0] != other[0] and title(one) != title(other) and not (one[1] and other[1] and one[1] != other[1])


def parse_label(text: str) -> Label:
    """The label in a folder's name: `Asha_left`, `Asha-Right` and `Asha left` tell the side, `Asha` does not."""
    text = " ".join(text.split())
    found = _SIDED.match(text)
    if found is None:
        return Label(text)
    return Label(found["name"], found["side"].lower(), sided=True)


def labels_of_folders(paths: Iterable[str]) -> dict[str, set[Label]]:
    """Labels by path, of the first folder below the ingested root; photos that lie in no folder have none."""
    return {path: {parse_label(path.split("/", 1)[0])} for path in paths if "/" in path}


@dataclass(frozen=True)
class NestedFolder:
    """A folder at the top whose photos lie deeper, `deep` of them. example: one such path.

    holds_several: all photos lie in subfolders, and these have several names, as where `2019` holds the animals'.
    """

    top: str
    deep: int
    example: str
    holds_several: bool


def nested_folders(paths: Iterable[str]) -> list[NestedFolder]:
    """The top folders that hold subfolders with photos."""
    photos: dict[str, list[list[str]]] = defaultdict(list)
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) > 1:
            photos[parts[0]].append(parts)
    nested = []
    for top, rows in sorted(photos.items()):
        deep = [parts for parts in rows if len(parts) > 2]
        if deep:
            several = len(deep) == len(rows) and len({parts[1] for parts in deep}) > 1
            nested.append(NestedFolder(top, len(deep), "/".join(deep[0]), several))
    return nested


def labels_of_table(text: str, paths: Iterable[str]) -> dict[str, set[Label]]:
    """Labels by path, of a table with a heading: photo, individual, and a column `flank` or `side` where there is one.

    Comma, semicolon or tab; photos are named as `export_survey` names them. With a column of flanks the individual is
    one animal whatever its side; without, the side may be in its name as in a folder's.
    """
    heading = text.split("\n", 1)[0]
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=heading.count)))
    names = [cell.strip().casefold() for cell in rows[0]] if rows else []
    column = next((names.index(name) for name in _FLANK_COLUMNS if name in names), None)
    said: dict[str, set[Label]] = defaultdict(set)
    for row in rows[1:]:
        if len(row) >= 2 and row[_PHOTO].strip() and row[_INDIVIDUAL].strip():
            said[restore(row[_PHOTO]).strip().removeprefix("./")].add(_label_in(row, column))
    found = {path: said.get(path) or said.get(visible(path).strip()) for path in paths}
    return {path: labels for path, labels in found.items() if labels}


def _label_in(row: list[str], column: int | None) -> Label:
    name = " ".join(restore(row[_INDIVIDUAL]).split())
    if column is None:
        return parse_label(name)
    side = row[column].strip().casefold() if column < len(row) else ""
    return Label(name, {"l": "left", "r": "right"}.get(side, side if side in ("left", "right") else ""))


def names_of_both_sides(labels: Mapping[str, set[Label]]) -> list[str]:
    """Names that stand with both sides in them: whether they are one animal each, only people can say."""
    sides: dict[str, set[str]] = defaultdict(set)
    for label in {label for some in labels.values() for label in some}:
        if label.sided:
            sides[label.name].add(label.flank)
    return sorted(name for name, both in sides.items() if len(both) == 2)
