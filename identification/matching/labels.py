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
_UNNAMED = frozenset(
    ("unknown", "unidentified", "unsorted", "undetermined", "not identified", "na", "n/a", "nan", "none", "?", "-")
)
_FLANK_COLUMNS = ("flank", "side")


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
        """Whether it is a word for what nobody knows: its photos show no one animal."""
        return self.name.casefold() in _UNNAMED

    @property
    def identity(self) -> tuple[str, str]:
        """What two photos must have in common to show one animal by the archive's word."""
        return (self.name, self.flank) if self.sided else (self.name, "")

    def joined(self) -> Label:
        """The same, where the archive is known to call both sides of one animal alike."""
        return Label(self.name, self.flank)


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
