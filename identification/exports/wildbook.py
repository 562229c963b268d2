"""A sheet for Wildbook's bulk import: a row per encounter, that is one animal at one visit, with its photos.

Fields as Wildbook documents them (docs.wildme.org, "Bulk Import"): at most 200 encounters a sheet, file names of
letters, digits, points and spaces that are unique among all photos.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .folders import keep_apart, safe_file_name
from .histories import CONFLICT
from .options import ExportOptions, Files
from .output import NOT_LOOKED_AT, Cell, LeftOut, Output
from .snapshot import ExportPhoto, ExportSurvey, Sighting, SurveySnapshot

FOLDER = "wildbook"
MOST_ENCOUNTERS = 200
COLUMNS = (
    "Encounter.individualID", "Encounter.genus", "Encounter.specificEpithet", "Encounter.year", "Encounter.month",
    "Encounter.day", "Encounter.hour", "Encounter.minutes", "Encounter.locationID", "Encounter.verbatimLocality",
    "Encounter.occurrenceID", "Encounter.sex", "Encounter.lifeStage", "Encounter.identificationRemarks",
    "Encounter.researcherComments",
)  # fmt: skip
_PLACES = ("Encounter.decimalLatitude", "Encounter.decimalLongitude")
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9. ]+")


@dataclass(frozen=True)
class Encounter:
    """Photos of one animal at one visit, in the order of time."""

    survey: ExportSurvey
    sightings: tuple[Sighting, ...]

    @property
    def photos(self) -> list[ExportPhoto]:
        return list({row.photo.id: row.photo for row in self.sightings}.values())


def wildbook_write(snapshot: SurveySnapshot, out: Output, options: ExportOptions) -> dict[str, Any]:
    """Write wildbook/: sheets of at most 200 encounters, and their photos where photo files were asked for."""
    encounters, left_out = encounters_of(snapshot)
    photos = {photo.id: photo for found in encounters for photo in found.photos}
    wanted = [photo for photo in photos.values() if options.files != Files.NONE and not photo.may_show_people]
    out.stage_all(wanted)
    suffixes = {photo.id: out.staged[photo.id].suffix for photo in wanted}
    names = _photo_names(photos.values(), suffixes)
    places = {row.id: (row.latitude, row.longitude) for row in snapshot.stations} if options.with_places else {}
    sheets = [encounters[at : at + MOST_ENCOUNTERS] for at in range(0, len(encounters), MOST_ENCOUNTERS)] or [[]]
    for at, sheet in enumerate(sheets, 1):
        most = max((len(found.photos) for found in sheet), default=1)
        columns = [*(f"Encounter.mediaAsset{number}" for number in range(most)), *COLUMNS]
        columns += _PLACES if options.with_places else ()
        rows = (_row(snapshot, found, names, most, places, options) for found in sheet)
        out.table(f"{FOLDER}/bulk_import_{at:02d}.csv", columns, rows)
    for photo in wanted:
        if out.staged[photo.id].file is not None:
            out.photo(photo, f"{FOLDER}/photos/{names[photo.id]}")
    if options.files != Files.NONE:
        left_out += _without_file(snapshot, out, photos.values())
    columns_of_names = ("file", "image_path", "survey", "sha256_of_original")
    out.table(
        f"{FOLDER}/photos.csv",
        columns_of_names,
        (
            (names[pk], photo.relative_path, snapshot.survey_of(photo.survey_id).name, photo.sha256)
            for pk, photo in photos.items()
        ),
    )
    out.left_out(f"{FOLDER}/left_out.csv", left_out)
    return {"encounters": len(encounters), "sheets": len(sheets), "left_out": len(left_out)}


def encounters_of(snapshot: SurveySnapshot) -> tuple[list[Encounter], list[LeftOut]]:
    """One per animal and event; a photo outside of any event is one by itself. Without a year there is none."""
    groups: dict[tuple[int, int, str], list[Sighting]] = defaultdict(list)
    out = []
    for row in snapshot.sightings:
        survey = snapshot.survey_of(row.photo.survey_id)
        if row.conflict:
            out.append(LeftOut(row.photo.relative_path, survey.name, CONFLICT))
        elif row.photo.captured_at is None:
            out.append(LeftOut(row.photo.relative_path, survey.name, "no capture time: Wildbook needs a year"))
        else:
            event = f"event {row.photo.event[0]}" if row.photo.event else f"photo {row.photo.id}"
            groups[row.individual.number, row.photo.survey_id, event].append(row)
    found = [
        Encounter(
            snapshot.survey_of(key[1]),
            tuple(sorted(rows, key=lambda row: (str(row.photo.captured_at), row.photo.relative_path, row.photo.id))),
        )
        for key, rows in groups.items()
    ]
    return sorted(found, key=_order), out


def _order(found: Encounter) -> tuple[str, int, str, int]:
    first = found.sightings[0]
    return found.survey.name, first.individual.number, str(first.photo.captured_at), first.photo.id


def _without_file(snapshot: SurveySnapshot, out: Output, photos: Iterable[ExportPhoto]) -> Iterator[LeftOut]:
    for photo in photos:
        survey = snapshot.survey_of(photo.survey_id).name
        if photo.has_person:
            yield LeftOut(photo.relative_path, survey, "it shows people: the file stays behind")
        elif not photo.looked_at:
            yield LeftOut(photo.relative_path, survey, f"{NOT_LOOKED_AT}: the file stays behind")
        elif out.staged[photo.id].file is None:
            yield LeftOut(photo.relative_path, survey, out.staged[photo.id].note)


def _photo_names(photos: Iterable[ExportPhoto], suffixes: Mapping[int, str | None]) -> dict[int, str]:
    """A name for each photo that Wildbook takes as it is; a preview has the suffix of what it is."""
    rows = list(photos)
    plain = {photo.id: _plain(safe_file_name(photo.name, suffix=suffixes.get(photo.id))) for photo in rows}
    where = {photo.id: _plain(f"{photo.station} {photo.camera}").strip() for photo in rows}
    return keep_apart(
        {
            photo.id: [
                plain[photo.id],
                f"{where[photo.id]} {plain[photo.id]}".strip(),
                f"{photo.sha256[:12]} {plain[photo.id]}",
                f"{photo.sha256} {photo.survey_id} {plain[photo.id]}",
            ]
            for photo in rows
        }
    )


def _plain(name: str) -> str:
    return " ".join(_NOT_ALLOWED.sub(" ", name).split()) or "photo"


def _row(
    snapshot: SurveySnapshot,
    found: Encounter,
    names: dict[int, str],
    most: int,
    places: dict[int, tuple[float | None, float | None]],
    options: ExportOptions,
) -> list[Cell]:
    first = found.sightings[0]
    photo, individual = first.photo, first.individual
    at = photo.captured_at
    assert at is not None
    assets: list[Cell] = [names[one.id] for one in found.photos]
    genus, _, epithet = first.species.partition(" ")
    flanks = sorted({row.flank for row in found.sightings})
    row: list[Cell] = [
        *assets, *[None] * (most - len(assets)), individual.code, genus, epithet, at.year, at.month, at.day, at.hour,
        at.minute, snapshot.population, photo.station,
        f"{found.survey.id}-{photo.event[0]}" if photo.event else f"{found.survey.id}-photo{photo.id}",
        individual.sex or "unknown", individual.age_class, f"decided by {first.decided_by}" if first.decided_by else "",
        f"{found.survey.name}; flanks: {', '.join(flanks)}; {individual.name}".rstrip("; "),
    ]  # fmt: skip
    if options.with_places:
        row += places.get(photo.station_id or 0, (None, None))
    return row
