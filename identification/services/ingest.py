"""A folder of photos becomes rows. The files are only read; repeating it adds only what is new."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from ..errors import SpotIDError
from ..imports.camtrapr import INDIVIDUAL, SPECIES, Layout, layout_of
from ..inference import photos
from ..models import Image, IngestReport, SkippedPhoto, Station, Survey, User, Work
from .audit import audit_record
from .clocks import clocks_apply
from .events import events_rebuild
from .imported_before import Beforehand
from .matching import matching_invalidate
from .queue import work_enqueue
from .surveys import survey_get_or_create

Progress = Callable[[int, int, str], None]
# Files of a folder after which it is told that there are more: a network drive may take long for many.
_LOOKED = 50


@dataclass
class IngestResult:
    """What one run found. `skipped`: (relative path, code, reason). `layout`: what folders with more than stations and
    cameras in them seem to mean, where the survey has no station pattern."""

    survey: Survey
    report: IngestReport | None = None
    found: int = 0
    new: int = 0
    known: int = 0
    unknown_time: int = 0
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    layout: Layout | None = None


@dataclass(frozen=True)
class _Known:
    pk: int
    sha256: str
    source_path: str
    relative_path: str


def survey_ingest(
    *,
    root: Path,
    survey_name: str,
    population_name: str = "",
    time_zone: str = "",
    station_pattern: str = "",
    crops_only: bool = False,
    edges: Path | None = None,
    acting_user: User | None = None,
    progress: Progress | None = None,
    refused: Iterable[tuple[str, str, str]] = (),
    beforehand: Beforehand | None = None,
) -> IngestResult:
    """Read every photo below a folder into a survey and enqueue the new ones.

    refused: (relative path, code, reason) of files that never came as far as the folder; the report lists them, too.
    beforehand: what a detector has found on them already.
    A photo is known by its content. An unchanged file (path, size, time) is not even opened again. Raises SpotIDError
    for a folder, time zone or pattern that cannot be used.
    """
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise SpotIDError(f"{root} is not a folder." if root.exists() else f"There is no folder {root}.")
    if edges is not None and not edges.is_dir():
        raise SpotIDError(f"There is no folder {edges} with edge maps.")
    try:
        photos.compile_pattern(station_pattern)
    except ValueError as error:
        raise SpotIDError(str(error)) from None
    survey = survey_get_or_create(
        name=survey_name,
        population=population_name,
        time_zone=time_zone,
        crops_only=crops_only,
        acting_user=acting_user,
    )
    if station_pattern:
        survey.station_pattern = station_pattern
    survey.source_root = str(root)
    survey.save(update_fields=["station_pattern", "source_root"])
    run = IngestRun(survey, root, edges.absolute() if edges else None, beforehand)
    run.result.skipped.extend(refused)
    run.walk(progress)
    run.finish(acting_user)
    return run.result


class IngestRun:
    """One walk over one folder."""

    def __init__(self, survey: Survey, root: Path, edges: Path | None, beforehand: Beforehand | None) -> None:
        self.survey = survey
        self.beforehand = beforehand
        self.edges = edges
        self.zone = zoneinfo.ZoneInfo(survey.time_zone)
        self.pattern: re.Pattern[str] | None = photos.compile_pattern(survey.station_pattern)
        self.result = IngestResult(survey)
        self.report = self.result.report = IngestReport.objects.create(survey=survey)
        self.root = root
        self.stations = {station.code: station for station in survey.stations.all()}
        self.by_file: dict[tuple[str, int, int], _Known] = {}
        self.by_hash: dict[str, _Known] = {}
        rows = survey.images.values_list("pk", "sha256", "source_path", "relative_path", "size_bytes", "mtime_ns")
        for pk, sha256, source, relative, size, mtime in rows.iterator():
            known = _Known(pk, sha256, source, relative)
            self.by_hash[sha256] = known
            self.by_file[(source, size, mtime)] = known

    def walk(self, progress: Progress | None) -> None:
        if progress is not None:
            progress(0, 0, "Looking through the folder")
        entries = []
        for entry in photos.walk(self.root):
            entries.append(entry)
            if progress is not None and len(entries) % _LOOKED == 0:
                progress(0, 0, "Looking through the folder")
        if self.pattern is None and not self.survey.crops_only:
            layout = layout_of(entry.relative_path for entry in entries if photos.is_photo(entry))
            if layout is not None and layout.sure and {SPECIES, INDIVIDUAL} & set(layout.levels):
                self.result.layout = layout
        for done, entry in enumerate(entries, 1):
            if photos.is_photo(entry):
                self.result.found += 1
                self._take(entry)
            else:
                self.result.skipped.append((entry.relative_path, entry.code, entry.reason))  # type: ignore[union-attr]
            if progress is not None:
                progress(done, len(entries), entry.relative_path)

    def _take(self, found: Any) -> None:
        if (photos.storable_path(found.path), found.size, found.mtime_ns) in self.by_file:
            self.result.known += 1
            return
        try:
            sha256 = photos.content_hash(found)
            known = self.by_hash.get(sha256)
            if known is not None:
                self._meet_again(known, found)
                return
            read = photos.read(found, sha256, pattern=self.pattern, places=not self.survey.crops_only)
        except photos.Unreadable as error:
            self.result.skipped.append((found.relative_path, error.code, error.reason))
            return
        self._store(found, read)

    def _meet_again(self, known: _Known, found: Any) -> None:
        """Content that the survey has: a copy, or the same file at a new place (then the row follows it)."""
        where = photos.openable_path(known.source_path)
        if where != found.path and where.exists():
            reason = f"The same photo as {known.relative_path}; it is kept once."
            self.result.skipped.append((found.relative_path, "duplicate", reason))
            return
        Image.objects.filter(pk=known.pk).update(
            source_path=photos.storable_path(found.path), mtime_ns=found.mtime_ns, size_bytes=found.size
        )
        self.result.known += 1

    def _store(self, found: Any, read: photos.ReadPhoto) -> None:
        captured, flags = self._instant(read)
        metadata = read.metadata
        gps = metadata.gps or (None, None)
        values = {
            "relative_path": found.relative_path,
            "source_path": photos.storable_path(found.path),
            "size_bytes": found.size,
            "mtime_ns": found.mtime_ns,
            "width": metadata.width,
            "height": metadata.height,
            "format": read.format,
            "camera": read.camera,
            "captured_at": captured,
            "captured_raw": read.captured_raw,
            "captured_source": read.captured_source,
            "flags": sorted({*metadata.flags, *flags}),
            "exif": metadata.exif,
            "gps_latitude": gps[0],
            "gps_longitude": gps[1],
            "edges_path": self._edges_of(found),
            "imported": self.beforehand.said_of(found.relative_path) if self.beforehand else {},
        }
        try:
            with transaction.atomic():
                station = self._station(read.station)
                image = Image.objects.create(survey=self.survey, sha256=read.sha256, station=station, **values)
                Work.objects.create(image=image)
        except IntegrityError:
            # Another ingest of the same survey was quicker; the row is there.
            self.result.known += 1
            return
        if not self.result.new:
            # Said at once, so that a run that is killed leaves nothing unmatched.
            matching_invalidate(survey=self.survey)
        self.result.new += 1
        self.result.unknown_time += captured is None
        known = _Known(image.pk, read.sha256, image.source_path, image.relative_path)
        self.by_hash[read.sha256] = known

    def _station(self, code: str) -> Station | None:
        if not code:
            return None
        if code not in self.stations:
            self.stations[code] = Station.objects.get_or_create(survey=self.survey, code=code)[0]
        return self.stations[code]

    def _instant(self, read: photos.ReadPhoto) -> tuple[datetime | None, list[str]]:
        """The camera's local clock as an instant, in the photo's own zone or the survey's."""
        naive = read.captured_at
        if naive is None:
            return None, []
        offset = _offset(read.metadata.offset) if read.captured_source == "exif" else None
        if offset is not None:
            return naive.replace(tzinfo=offset), []
        aware = naive.replace(tzinfo=self.zone)
        back = aware.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None)
        flags = ["clock_change_gap"] if back != naive else []
        if aware.utcoffset() != aware.replace(fold=1).utcoffset() and not flags:
            flags = ["clock_change_twice"]
        return aware, flags

    def _edges_of(self, found: Any) -> str:
        """The edge map with the photo's relative name, whatever its suffix."""
        if self.edges is None:
            return ""
        relative = found.path.relative_to(self.root)
        for candidate in (self.edges / relative, *(self.edges / relative.parent).glob("*")):
            if (
                candidate.stem == relative.stem
                and candidate.is_file()
                and candidate.parent == self.edges / relative.parent
            ):
                return photos.storable_path(candidate)
        self.result.skipped.append(
            (found.relative_path, "no_edge_map", "No edge map with this name: it is computed instead.")
        )
        return ""

    def finish(self, acting_user: User | None) -> None:
        """Write the report, group events, and wake the workers."""
        result = self.result
        with transaction.atomic():
            SkippedPhoto.objects.bulk_create(
                SkippedPhoto(report=self.report, relative_path=path, code=code, reason=reason)
                for path, code, reason in result.skipped
            )
            report = self.report
            report.read, report.new, report.known = result.found, result.new, result.known
            report.skipped, report.finished_at = len(result.skipped), Now()
            report.save()
            moved = clocks_apply(survey=self.survey)
            if result.new or moved or self._without_event():
                events_rebuild(survey=self.survey)
            if result.new:
                matching_invalidate(survey=self.survey)
            audit_record(
                acting_user=acting_user,
                action="survey.ingest",
                target=self.survey,
                survey=self.survey,
                after={"new": result.new, "known": result.known, "skipped": len(result.skipped)},
            )
        work_enqueue(survey=self.survey)

    def _without_event(self) -> bool:
        """Whether a run that was killed left photos that belong to no event yet."""
        placed = self.survey.images.filter(station__isnull=False, captured_at__isnull=False)
        return placed.filter(event__isnull=True).exists()


def _offset(text: str | None) -> timezone | None:
    if not text:
        return None
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[4:6])))
