"""The folder that an export is written into, and what is known of every file in it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .files import StagedPhoto, stage_photo
from .folders import csv_line
from .snapshot import ExportPhoto

Progress = Callable[[int, int, str], None]
Cell = str | int | float | None
NOT_LOOKED_AT = "nothing has looked at the photo yet, and it may show people"


@dataclass(frozen=True)
class LeftOut:
    """Something that a format cannot hold, or must not, and why."""

    what: str
    survey: str
    reason: str


@dataclass
class Output:
    """Writes text and photos below `folder` and keeps their SHA-256. Photos are staged once, whoever asks for them."""

    folder: Path
    with_places: bool
    stage: Callable[..., StagedPhoto] = stage_photo
    progress: Progress | None = None
    files: dict[str, str] = field(default_factory=dict)
    staged: dict[int, StagedPhoto] = field(default_factory=dict)

    @property
    def _staging(self) -> Path:
        return self.folder / ".staging"

    def stage_all(self, photos: Sequence[ExportPhoto]) -> None:
        """Fetch the bytes of photos that are not staged yet."""
        missing = [photo for photo in photos if photo.id not in self.staged]
        self._staging.mkdir(exist_ok=True)
        for done, photo in enumerate(missing, 1):
            self.staged[photo.id] = self.stage(photo, self._staging, with_places=self.with_places)
            self.tell(done, len(missing), photo.name)

    def tell(self, done: int, total: int, what: str) -> None:
        if self.progress is not None:
            self.progress(done, total, what)

    def photo(self, photo: ExportPhoto, relative: str) -> None:
        """Put a staged photo, which has a file, into the export."""
        staged = self.staged[photo.id]
        assert staged.file is not None
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(staged.file, target)
        self.files[relative] = staged.sha256

    def text(self, relative: str, lines: Iterable[str]) -> None:
        """Write lines, each with its line end, as UTF-8."""
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with target.open("wb") as stream:
            for line in lines:
                data = line.encode("utf-8", "backslashreplace")
                stream.write(data)
                digest.update(data)
        self.files[relative] = digest.hexdigest()

    def table(self, relative: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """A CSV with a header. Texts are neutralised for spreadsheets, numbers are written as numbers."""
        self.text(relative, _table_lines(columns, rows))

    def json(self, relative: str, value: Any) -> None:
        self.text(relative, [json.dumps(value, ensure_ascii=False, indent=1) + "\n"])

    def left_out(self, relative: str, rows: Iterable[LeftOut]) -> None:
        self.table(relative, ("what", "survey", "reason"), [(row.what, row.survey, row.reason) for row in rows])

    def close(self) -> None:
        """Remove what was only staged."""
        shutil.rmtree(self._staging, ignore_errors=True)


def _table_lines(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterable[str]:
    yield ",".join(columns) + "\n"
    for row in rows:
        yield csv_line(row)
