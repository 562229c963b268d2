"""Photos that come along with an import: they are taken into the survey as ingest would, placed and timed as the file
says."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import SpotIDError
from ..imports.labelled import YES
from ..imports.reading import PERSON, Issue, PhotoRecord, Photos, Reading
from ..inference import photos
from ..models import CaptureTimeSource
from .imports_writing import Writing
from .ingest import IngestRun
from .unpacking import safe_parts

_STEP = 50
TWO = "One photo lies in the folders of two animals; it is matched with neither."


def said_yes(writing: Writing, option: str) -> bool:
    return writing.options.values.get(option, "").strip().casefold() in YES


def crops_settle(writing: Writing) -> None:
    """A survey without photos becomes one of finished crops, where somebody says so."""
    survey = writing.survey
    if not said_yes(writing, "crops") or survey.crops_only:
        return
    if survey.images.exists():
        raise SpotIDError("The survey holds whole photos; bring finished crops into another survey.")
    with writing.step():
        survey.crops_only = True
        survey.save(update_fields=["crops_only"])


@dataclass
class _Along:
    """A file that comes along."""

    record: PhotoRecord
    found: Any
    sha256: str


@dataclass
class _Arrived:
    """What is known of the files: their hashes by record, the first record of each hash, hashes of several records, and
    the records whose animal contradicts another's."""

    hashes: dict[int, str] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    several: set[str] = field(default_factory=set)
    torn: set[int] = field(default_factory=set)


def photos_take(writing: Writing, reading: Reading) -> Reading:
    """Take in the files that come along and are not here; returns the reading with what is known of the files now."""
    there = set(writing.survey.images.values_list("sha256", flat=True))
    source = reading.photos

    def along() -> Iterator[PhotoRecord]:
        """Of a photo that is here, a copy without its places may come along: it is another file, and the same photo."""
        for item in source:
            if isinstance(item, PhotoRecord) and item.file and item.sha256.lower() not in there:
                yield item

    arrived = _hashed(writing, along)
    _tell_torn(writing, (record for record in along() if arrived.hashes.get(record.row) in arrived.several), arrived)
    writing.count("photos_along_known", len(arrived.first.keys() & there))
    fresh = {row for sha256, row in arrived.first.items() if sha256 not in there}
    if fresh:
        _take(writing, (record for record in along() if record.row in fresh), arrived, len(fresh))

    def adapted() -> Iterator[PhotoRecord | Issue]:
        for item in source:
            if isinstance(item, PhotoRecord) and item.row in arrived.hashes:
                item = replace(item, sha256=arrived.hashes[item.row])
                if item.row in arrived.torn:
                    item = replace(item, label=None, boxes=tuple(replace(box, label=None) for box in item.boxes))
            yield item

    return replace(reading, photos=Photos(adapted))


def _hashed(writing: Writing, along: Callable[[], Iterable[PhotoRecord]]) -> _Arrived:
    arrived = _Arrived()
    number = sum(1 for _ in along())
    for done, record in enumerate(along(), 1):
        assert record.file is not None
        try:
            photo = photos.found_at(record.file, _relative(record))
            sha256 = arrived.hashes[record.row] = photos.content_hash(photo)
            if arrived.first.setdefault(sha256, record.row) != record.row:
                arrived.several.add(sha256)
        except OSError as error:
            reason = f"The file cannot be read: {error.strerror or error}."
            writing.problem("unreadable", reason, row=record.row, detail=record.path[:500])
        except photos.Unreadable as error:
            writing.problem(error.code, error.reason, row=record.row, detail=record.path[:500])
        writing.progress(done, number)
    return arrived


def _relative(record: PhotoRecord) -> str:
    """As it stands in the file, unless that is a place on somebody's disk."""
    assert record.file is not None
    path = record.path.replace("\\", "/")
    return path if safe_parts(path) else "/".join(record.file.parts[-2:])


def _tell_torn(writing: Writing, several: Iterable[PhotoRecord], arrived: _Arrived) -> None:
    """One photo under the names of two animals is nobody's: it is told, and matched with neither."""
    same: dict[str, list[PhotoRecord]] = defaultdict(list)
    for record in several if arrived.several else ():
        same[arrived.hashes[record.row]].append(record)
    for records in same.values():
        names = {label for record in records for label in _labels(record)}
        if len({label.identity for label in names}) > 1 and any(r.label for r in records):
            arrived.torn |= {record.row for record in records}
            where = " = ".join(record.path for record in records)
            writing.problem("two_individuals", TWO, row=records[0].row, detail=where[:500])


def _labels(record: PhotoRecord) -> set[Any]:
    return {label for label in (record.label, *(box.label for box in record.boxes)) if label is not None}


def _take(writing: Writing, fresh: Iterator[PhotoRecord], arrived: _Arrived, number: int) -> None:
    with writing.step():
        run = _Arriving(writing)
    done = 0
    while some := list(islice(fresh, _STEP)):
        with writing.step():
            before = run.result.new
            for record in some:
                run.take(record, arrived.hashes[record.row])
            writing.count("photos_new", run.result.new - before)
        done += len(some)
        writing.progress(done, number)
    with writing.step():
        run.finish(writing.acting_user)
    for path, code, reason in run.result.skipped:
        writing.problem(code, reason, detail=path[:500])


class _Arriving(IngestRun):
    """Ingest of single files, which the import places and times."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.survey, Path(writing.survey.source_root or "."), None, None)
        self.writing = writing
        self.taken: datetime | None = None

    def take(self, record: PhotoRecord, sha256: str) -> None:
        assert record.file is not None
        self.result.found += 1
        try:
            one = _Along(record, photos.found_at(record.file, _relative(record)), sha256)
        except OSError as error:
            # It went since it was hashed.
            self.result.skipped.append((record.path, "missing", f"The file cannot be read: {error.strerror}."))
            return
        try:
            read = photos.read(one.found, one.sha256, pattern=self.pattern, places=False)
            found = one.found if self.writing.dry_run else self._kept(one)
        except photos.Unreadable as error:
            self.result.skipped.append((record.path, error.code, error.reason))
            return
        if record.station:
            read = replace(read, station=record.station, camera=record.camera)
        self.taken = None
        if record.taken is not None and super()._instant(read)[0] != record.taken:
            self.taken = record.taken.astimezone(self.zone)
            text = record.taken.isoformat()
            read = replace(read, captured_at=self.taken, captured_source=CaptureTimeSource.IMPORTED, captured_raw=text)
        self._store(found, read)
        if record.people or any(box.category == PERSON for box in record.boxes):
            # Kept from view from the first moment on.
            self.survey.images.filter(sha256=one.sha256).update(has_person=not self.survey.crops_only)

    def _instant(self, read: photos.ReadPhoto) -> tuple[datetime | None, list[str]]:
        return (self.taken, []) if self.taken is not None else super()._instant(read)

    def _kept(self, one: _Along) -> Any:
        """The file where it stays: where it lies, or below the survey's photos, when what was sent is deleted."""
        folder = self.writing.keep_in
        if folder is None:
            return one.found
        goal = folder / one.sha256[:2] / f"{one.sha256[:16]}{one.found.path.suffix.lower()}"
        goal.parent.mkdir(parents=True, exist_ok=True)
        if not goal.exists():
            beside = goal.with_name(f".{goal.name}.{os.getpid()}")
            shutil.copy2(one.found.path, beside)
            beside.replace(goal)
        facts = goal.stat()
        return replace(one.found, path=Path(goal), size=facts.st_size, mtime_ns=facts.st_mtime_ns)
