"""One folder per individual and `leopard_matches.csv`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from .folders import CSV_NAME, folder_names, photo_names
from .output import Output
from .snapshot import ExportPhoto, Sighting, SurveySnapshot

COLUMNS = (
    "Image Path", "Leopard ID", "x1", "y1", "x2", "y2", "flank", "station", "camera", "captured_at", "decided_by",
    "individual_code", "individual_name", "species", "survey", "image_width", "image_height", "sha256", "conflict",
    "exported_file", "note",
)  # fmt: skip
_PLACES_COLUMNS = ("original_path",)


@dataclass(frozen=True)
class MissingPhoto:
    """A photo whose original could not be exported, and what stands in its place."""

    relative_path: str
    reason: str


def folders_write(snapshot: SurveySnapshot, out: Output, *, photos: bool) -> tuple[MissingPhoto, ...]:
    """Write the table and, with photos, a folder per individual; returns the photos that are not as they were read."""
    folders = folder_names((i.id, i.number, i.name, i.code) for i in snapshot.individuals)
    placed: dict[tuple[int, int], str] = {}
    if photos:
        out.stage_all(snapshot.photos)
        placed = _place(snapshot, out, folders)
    columns = (*COLUMNS, *_PLACES_COLUMNS) if out.with_places else COLUMNS
    out.table(CSV_NAME, columns, (_cells(snapshot, row, columns, folders, placed, out) for row in snapshot.sightings))
    if not photos:
        return ()
    return tuple(
        MissingPhoto(photo.relative_path, out.staged[photo.id].note)
        for photo in snapshot.photos
        if not out.staged[photo.id].whole
    )


def _place(snapshot: SurveySnapshot, out: Output, folders: dict[int, str]) -> dict[tuple[int, int], str]:
    """Put each photo into the folders of its individuals; (individual, photo) → path below the export."""
    members: dict[int, dict[int, ExportPhoto]] = defaultdict(dict)
    for sighting in snapshot.sightings:
        if out.staged[sighting.photo.id].file is not None:
            members[sighting.individual.id][sighting.photo.id] = sighting.photo
    placed = {}
    for individual in snapshot.individuals:
        own = members[individual.id]
        (out.folder / folders[individual.id]).mkdir()
        names = photo_names(
            (p.id, p.name, f"{p.station}_{p.camera}", f"{p.sha256}-{p.survey_id}", out.staged[p.id].suffix)
            for p in own.values()
        )
        for photo_id, name in names.items():
            relative = f"{folders[individual.id]}/{name}"
            out.photo(own[photo_id], relative)
            placed[(individual.id, photo_id)] = relative
    return placed


def _cells(
    snapshot: SurveySnapshot,
    sighting: Sighting,
    columns: tuple[str, ...],
    folders: dict[int, str],
    placed: dict[tuple[int, int], str],
    out: Output,
) -> list[str]:
    photo, individual = sighting.photo, sighting.individual
    staged = out.staged.get(photo.id)
    values = {
        "Image Path": photo.relative_path,
        "Leopard ID": folders[individual.id],
        **{name: f"{value:.1f}" for name, value in zip(("x1", "y1", "x2", "y2"), sighting.box)},
        "flank": sighting.flank,
        "station": photo.station,
        "camera": photo.camera,
        "captured_at": photo.captured_at.isoformat() if photo.captured_at else "",
        "decided_by": sighting.decided_by,
        "individual_code": individual.code,
        "individual_name": individual.name,
        "species": sighting.species,
        "survey": snapshot.survey_of(photo.survey_id).name,
        "image_width": str(photo.width),
        "image_height": str(photo.height),
        "sha256": photo.sha256,
        "conflict": "yes" if sighting.conflict else "",
        "exported_file": placed.get((individual.id, photo.id), ""),
        "note": staged.note if staged is not None and placed else "",
        "original_path": photo.source_path,
    }
    return [values[column] for column in columns]
