"""Writing what most kinds of import bring: stations, camera operation, boxes, species and names of animals.

A kind's own writer may call these parts one by one. Each can be repeated: what is there already is counted as such.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from django.db.models import Q

from ..errors import SpotIDError
from ..imports.boxes import corners_of
from ..imports.matching import Names, PhotoIndex, parts_of
from ..imports.reading import Issue, PhotoRecord, Reading
from ..inference import photos
from ..matching.labels import Label, parse_label
from ..models import Category, Detection, Image, ProcessingState, Work
from .camera_operation import operations_set
from .imported import looked_otherwise, nameless, said_of, shows_people, species_apply, spoken_of
from .imports_writing import Writing
from .label_animals import LabelReport
from .labels import labels_apply
from .queue import work_requeue
from .station_table import StationRow, stations_place
from .triage import triage_hold
from .triage_names import triage_names_apply

CHUNK = 500


def reading_write(writing: Writing, reading: Reading) -> None:
    """Everything that a reading can hold."""
    writing.notes.extend(reading.notes)
    for issue in reading.issues:
        writing.issue(issue)
    stations_write(writing, reading)
    operations_write(writing, reading)
    photos_write(writing, reading)


def stations_write(writing: Writing, reading: Reading) -> None:
    """Stations that are not there yet, and places, where who imports may know them."""
    known = {row.code: (row.latitude, row.longitude) for row in writing.survey.stations.all()}
    rows = [
        StationRow(row.code, row.latitude, row.longitude)
        for row in reading.stations
        if row.latitude is not None and row.longitude is not None
    ]
    if rows and not writing.may_place:
        writing.problem("no_right_to_places", "Places are left out: only who may see exact places can set them.")
        rows = []
    placed = [row for row in rows if known.get(row.code) != (row.latitude, row.longitude)]
    bare = {row.code for row in reading.stations} - known.keys() - {row.code for row in placed}
    with writing.step():
        if placed:
            stations_place(survey=writing.survey, acting_user=writing.acting_user, rows=placed)
        for code in sorted(bare):
            writing.survey.stations.get_or_create(code=code)
        if reading.stations:
            writing.count("stations_new", sum(row.code not in known for row in reading.stations))
            writing.count("places_set", len(placed))
            writing.count("places_same", len(rows) - len(placed))


def operations_write(writing: Writing, reading: Reading) -> None:
    """When cameras worked; what is said of a station replaces what was known of it."""
    if not reading.operations:
        return
    rows = [(record.station, record.operation) for record in reading.operations]
    with writing.step():
        try:
            done = operations_set(survey=writing.survey, acting_user=writing.acting_user, rows=rows)
        except SpotIDError as refused:
            writing.problem("operation_refused", str(refused))
            return
        writing.count("operations_set", done.written)
        writing.count("operations_same", done.same)
        writing.count("operations_removed", done.removed)


@dataclass(frozen=True)
class Placed:
    """A record with the photo that it speaks of. record: its boxes are shares of the photo."""

    pk: int
    record: PhotoRecord


def photos_write(
    writing: Writing, reading: Reading, keep: Callable[[PhotoRecord], bool] = lambda record: False
) -> list[Placed]:
    """Boxes and species of photos, and the animals that a sorted archive names. Returns the records to be kept."""
    paths = writing.survey.images.values_list("relative_path", flat=True)
    names = Names(known={parts[-1] for parts in map(parts_of, paths.iterator()) if parts})
    for item in reading.photos:
        if isinstance(item, PhotoRecord):
            names.add(item)
    if not names.records:
        for item in reading.photos:
            if isinstance(item, Issue):
                writing.issue(item)
        return []
    index = photo_index(writing, names)
    labels: dict[str, set[Label]] = {}
    placed: list[Placed] = []
    done = 0
    for chunk in _chunks(reading.photos):
        matched = _matched(writing, index, chunk)
        with writing.step():
            _Photos(writing, matched).write()
        labels |= {photo.path: {_label(photo.record)} for photo in matched if photo.record.individual}
        placed += [Placed(photo.pk, photo.record) for photo in matched if keep(photo.record)]
        done += sum(isinstance(item, PhotoRecord) for item in chunk)
        writing.progress(done, names.records)
    writing.count("photos_not_in_file", index.missed)
    if labels:
        animals_write(writing, labels)
    return placed


def photo_index(writing: Writing, names: Names) -> PhotoIndex:
    """The survey's photos, to be found by path, name or content."""
    rows = writing.survey.images.order_by("pk").values_list("pk", "relative_path", "sha256")
    return PhotoIndex(rows.iterator(), names, md5s=lambda: _md5s(writing))


def _md5s(writing: Writing) -> Mapping[str, int]:
    """Photos by the MD5 of their file; every file is read for it, and one that is gone is left out."""
    found = {}
    rows = list(writing.survey.images.order_by("pk").values_list("pk", "source_path"))
    for done, (pk, source) in enumerate(rows, 1):
        try:
            with photos.openable_path(source).open("rb") as handle:
                found[hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()] = pk
        except (OSError, ValueError):
            continue
        if done % 50 == 0:
            writing.progress(done, len(rows))
    return found


def _label(record: PhotoRecord) -> Label:
    return Label(record.individual, record.flank) if record.flank else parse_label(record.individual)


def animals_write(writing: Writing, labels: Mapping[str, set[Label]]) -> LabelReport | None:
    """Confirmed matches of a sorted archive (`services.labels`), by path below the ingested root. None when none of the
    photos can be used yet."""
    report = label_report(writing)
    # Not a step: each animal is one of its own.
    with writing.whole():
        try:
            labels_apply(
                survey=writing.survey,
                labels=dict(labels),
                acting_user=writing.acting_user,
                report=report,
                progress=lambda done, total, _: writing.progress(done, total),
            )
        except SpotIDError as refused:
            writing.problem("no_label", str(refused))
            return None
    labels_tell(writing, report)
    return report


def label_report(writing: Writing) -> LabelReport:
    """A report of confirmed matches whose numbers are written down with each transaction."""
    return LabelReport(kept=lambda report: writing.kept(**_counted(report)))


def _counted(report: LabelReport) -> dict[str, int]:
    said = {f"animals_{name}": getattr(report, name) for name in ("matches", "declared", "named", "flanks")}
    return {"animals": report.animals, **said}


def labels_tell(writing: Writing, report: LabelReport) -> None:
    """What came of confirmed matches, into the report of the import."""
    for name, number in _counted(report).items():
        writing.count(name, number)
    for sentence in report.told:
        writing.problem("label", sentence)


@dataclass(frozen=True)
class _Matched:
    record: PhotoRecord
    pk: int
    path: str
    imported: dict[str, object]


def _chunks(stream: Iterable[PhotoRecord | Issue]) -> Iterator[list[PhotoRecord | Issue]]:
    chunk: list[PhotoRecord | Issue] = []
    for item in stream:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _matched(writing: Writing, index: PhotoIndex, chunk: list[PhotoRecord | Issue]) -> list[_Matched]:
    found: dict[int, PhotoRecord] = {}
    for item in chunk:
        which = item if isinstance(item, Issue) else index.find(item, writing.rows_of or writing.file)
        if isinstance(which, Issue):
            writing.issue(which)
        elif isinstance(item, PhotoRecord):
            found[which] = item
    rows = Image.objects.filter(pk__in=found).order_by("pk")
    values = rows.values_list("pk", "relative_path", "imported", "width", "height")
    writing.count("photos_matched", len(found))
    return [
        _Matched(_in_shares(found[pk], width, height), pk, path, imported)
        for pk, path, imported, width, height in values
    ]


def _in_shares(record: PhotoRecord, width: int, height: int) -> PhotoRecord:
    """The record with its boxes as shares of the upright photo; those outside of it are left out."""
    if not record.in_pixels:
        return record
    boxes = []
    for box in record.boxes:
        x1, y1, x2, y2 = box.corners
        corners = corners_of([x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height])
        if corners is not None:
            boxes.append(replace(box, corners=corners))
    return replace(record, boxes=tuple(boxes), in_pixels=False)


class _Photos:
    """What one chunk of records changes."""

    def __init__(self, writing: Writing, matched: list[_Matched]) -> None:
        self.writing = writing
        self.said = {photo.pk: said_of(photo.record, photo.imported) for photo in matched}
        self.changed = [photo for photo in matched if self.said[photo.pk] != photo.imported]
        self.matched = matched
        self.states: dict[int, str] = {}

    def write(self) -> None:
        self._hold()
        self._count_boxes()
        rows = [Image(pk=photo.pk, imported=self.said[photo.pk]) for photo in self.changed]
        Image.objects.bulk_update(rows, ["imported"], batch_size=CHUNK)
        if not self.writing.survey.crops_only:
            # Kept from view at once; when the photo is processed, its boxes decide.
            people = [photo.pk for photo in self.changed if shows_people(self.said[photo.pk])]
            Image.objects.filter(pk__in=people).update(has_person=True)
        again = [
            photo.pk
            for photo in self.changed
            if self.states.get(photo.pk) != ProcessingState.PENDING
            and looked_otherwise(self.said[photo.pk], photo.imported)
        ]
        if again and not self.writing.survey.crops_only:
            self._count_replaced(again)
            work_requeue(images=Image.objects.filter(pk__in=again).select_related("survey"))
        self._species(set(again))

    def _hold(self) -> None:
        """Everything in the order in which others take it: the graph, the work on photos, then photos and boxes.

        A worker may have begun with a photo since it was matched: whether it waits is read anew.
        """
        named = [photo.pk for photo in self.changed if photo.record.species]
        # Boxes of photos that are not through are not called anything yet.
        if named and Work.objects.filter(pk__in=named, state=ProcessingState.DONE).exists():
            triage_hold([self.writing.survey])
        held = Work.objects.select_for_update().filter(pk__in=[photo.pk for photo in self.changed]).order_by("pk")
        self.states = dict(held.values_list("pk", "state"))

    def _count_boxes(self) -> None:
        """Of the photos that change; those of which all is known already are counted as such."""
        writing = self.writing
        writing.count("photos_changed", len(self.changed))
        writing.count("photos_same", len(self.matched) - len(self.changed))
        if writing.survey.crops_only:
            if any(photo.record.looked for photo in self.matched) and not writing.counts["boxes_not_used"]:
                writing.problem("finished_crops", "The survey's photos are finished crops: boxes are not used.")
            writing.count("boxes_not_used", sum(len(photo.record.boxes) for photo in self.changed))
            return
        for photo in self.changed:
            if not photo.record.looked or not looked_otherwise(self.said[photo.pk], photo.imported):
                continue
            for box in photo.record.boxes:
                writing.count(f"boxes_{box.category}")
            writing.count("photos_empty", not photo.record.boxes)

    def _count_replaced(self, photos_again: list[int]) -> None:
        boxes = Detection.objects.filter(image__in=photos_again)
        kept = spoken_of(boxes).count()
        self.writing.count("photos_processed_again", len(photos_again))
        self.writing.count("boxes_kept", kept)
        self.writing.count("boxes_replaced", boxes.count() - kept)

    def _species(self, again: set[int]) -> None:
        """At once where the photo is through; else when it is processed."""
        named = [photo for photo in self.changed if photo.record.species]
        self.writing.count("photos_named", len(named))
        through = [
            photo.pk for photo in named if self.states.get(photo.pk) == ProcessingState.DONE and photo.pk not in again
        ]
        if through:
            others = Detection.objects.filter(image__in=through, category=Category.ANIMAL).exclude(Q(species=""))
            self.writing.count("species_kept", others.exclude(pk__in=nameless(through)).count())
            changed = species_apply(images=through)
            self.writing.count("boxes_named", changed)
            if changed:
                aside = triage_names_apply(survey=self.writing.survey, acting_user=self.writing.acting_user)
                self.writing.count("put_aside_by_name", aside)
