"""The files of a Camtrap DP package: its descriptor and its tables. Pure reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .reading import Issue, UnusableFile
from .sheets import Sheet
from .tables import Row, said_nothing

DESCRIPTOR = "datapackage.json"
TABLES = ("deployments", "media", "observations")
# Of a package of SpotID.
MORE = ("individuals", "photos")
_MOST_DESCRIPTOR = 16 << 20
_NEEDED = {
    "deployments": ("deploymentID", "deploymentStart", "deploymentEnd"),
    "media": ("mediaID", "deploymentID", "filePath"),
    "observations": ("observationID", "mediaID", "observationType"),
    "individuals": ("individualID", "individualName"),
    "photos": ("mediaID", "relativePath", "sha256"),
}


@dataclass(frozen=True)
class Cells:
    """One row, by the names of its columns. line: of the file, from 1."""

    line: int
    columns: dict[str, int]
    row: Row

    def __getitem__(self, name: str) -> str:
        """ "" where there is no such column, or nothing in it."""
        column = self.columns.get(name, -1)
        text = self.row.cells[column].strip() if 0 <= column < len(self.row.cells) else ""
        return "" if said_nothing(text) else text


@dataclass
class Package:
    """root: the folder of the descriptor. issues: what is wrong with the package as a whole."""

    root: Path
    about: dict[str, Any]
    issues: list[Issue] = field(default_factory=list)

    @cached_property
    def _paths(self) -> dict[str, str]:
        said = self.about.get("resources")
        found = {}
        for resource in said if isinstance(said, list) else []:
            if isinstance(resource, dict) and isinstance(resource.get("path"), str):
                found[str(resource.get("name"))] = resource["path"]
        return found

    @property
    def version(self) -> str:
        return str(self.about.get("version") or "1.0")[:20]

    def file(self, name: str) -> str:
        """What the file of a table is called."""
        return self._paths.get(name, f"{name}.csv")

    def inside(self, relative: str) -> Path | None:
        """A file below the package; None where there is none, or the path leads out of it, also by a link."""
        try:
            path = self.root / relative
            found = path.resolve(strict=True)
            return path if found.is_file() and found.is_relative_to(self.root.resolve()) else None
        except (OSError, ValueError):
            return None

    def rows(self, name: str) -> Iterator[Cells]:
        """The rows of a table, read from the disk. Raises UnusableFile for one of the three that is missing or lacks a
        column, and where it cannot be read further."""
        path = self.inside(self.file(name))
        if path is None:
            if name in MORE:
                return
            raise UnusableFile("missing_table", f"The package has no table {self.file(name)}.")
        try:
            sheet = Sheet(path)
            columns = self._columns(name, sheet)
            if columns:
                for row in sheet:
                    yield Cells(row.line, columns, row)
        except UnusableFile as refused:
            if refused.code == "empty" and name in MORE:
                return
            said = refused.words if refused.code == "missing_column" else f"{self.file(name)}: {refused.words}"
            raise UnusableFile(refused.code, said) from None

    def _columns(self, name: str, sheet: Sheet) -> dict[str, int]:
        """{} for a table that can be done without and is not what it should be."""
        columns = {heading: at for at, heading in enumerate(sheet.heading)}
        missing = [column for column in _NEEDED[name] if column not in columns]
        if not missing:
            return columns
        if name in MORE:
            return {}
        raise UnusableFile("missing_column", f"{self.file(name)} has no column {', '.join(missing)}.")


def package_of(path: Path) -> Package:
    """The package whose descriptor is this file, or lies in this folder or in one right below it. Raises UnusableFile,
    OSError."""
    descriptor = _descriptor(path)
    if descriptor.stat().st_size > _MOST_DESCRIPTOR:
        raise UnusableFile("too_large", "The descriptor of the package is too large.")
    try:
        about = json.loads(descriptor.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise UnusableFile("no_json", "The descriptor of the package is no JSON.") from None
    if not isinstance(about, dict) or not isinstance(about.get("resources"), list):
        raise UnusableFile("no_package", "The descriptor names no resources: this is no data package.")
    profile = str(about.get("profile", ""))
    if "camtrap-dp/0." in profile or str(about.get("version", "")).startswith("0."):
        raise UnusableFile("old_package", "The package is of a version before 1.0. Export it as Camtrap DP 1.0.")
    return Package(descriptor.parent, about)


def _descriptor(path: Path) -> Path:
    if path.is_file() and path.name == DESCRIPTOR:
        return path
    if path.is_dir():
        for folder in (path, *sorted(child for child in path.iterdir() if child.is_dir())):
            if (folder / DESCRIPTOR).is_file():
                return folder / DESCRIPTOR
    raise UnusableFile("no_descriptor", "There is no datapackage.json: this is no Camtrap DP package.")
