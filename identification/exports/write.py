"""Writing an export: the formats that were asked for, and a manifest that names every file with its SHA-256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .camtrapdp import camtrapdp_write
from .camtrapr import camtrapr_write
from .encounters import encounters_write
from .files import FORMAT
from .folder_tables import MissingPhoto, folders_write
from .folders import MANIFEST_NAME
from .options import ExportOptions, Format
from .output import Output
from .secr import secr_write
from .snapshot import SurveySnapshot
from .wildbook import wildbook_write

FORMAT_VERSION = 2

_Writer = Callable[[SurveySnapshot, Output, ExportOptions], dict[str, Any]]
_WRITERS: dict[Format, _Writer] = {
    Format.CAMTRAPDP: camtrapdp_write,
    Format.SECR: secr_write,
    Format.CAMTRAPR: camtrapr_write,
    Format.WILDBOOK: wildbook_write,
    Format.ENCOUNTERS: encounters_write,
}


@dataclass(frozen=True)
class ExportResult:
    """What an export holds: individuals, photo files of them, and photos that are not there as they were ingested.

    about: what each format says of itself, as in the manifest.
    """

    individuals: int
    photos: int
    missing: tuple[MissingPhoto, ...]
    about: dict[str, Any] = field(default_factory=dict)


def snapshot_write(snapshot: SurveySnapshot, out: Output, options: ExportOptions) -> ExportResult:
    """Write what was asked for below the output's folder, the manifest last. Raises SpotIDError when a format cannot
    be written from these data, OSError when the disk refuses."""
    about: dict[str, Any] = {}
    missing: tuple[MissingPhoto, ...] = ()
    folders = Format.FOLDERS in options.formats
    try:
        if folders or Format.CSV in options.formats:
            missing = folders_write(snapshot, out, photos=folders)
        for name in options.formats:
            if name in _WRITERS:
                out.tell(0, 1, str(name))
                about[str(name)] = _WRITERS[name](snapshot, out, options)
    finally:
        out.close()
    photos = sum(1 for photo in snapshot.photos if photo.id in out.staged and out.staged[photo.id].file is not None)
    result = ExportResult(len(snapshot.individuals), photos, missing, about)
    out.json(MANIFEST_NAME, _manifest(snapshot, out, options, result))
    return result


def _manifest(snapshot: SurveySnapshot, out: Output, options: ExportOptions, result: ExportResult) -> dict[str, Any]:
    from .. import __version__

    surveys = [
        {
            "survey": row.name,
            "time_zone": row.time_zone,
            "independence_minutes": row.independence_minutes,
            "photos": row.photos,
        }
        for row in snapshot.surveys
    ]
    said = options.as_json()
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "spotid_version": __version__,
        "model": snapshot.model,
        "calibration": snapshot.calibration,
        "survey": snapshot.surveys[0].name if len(snapshot.surveys) == 1 else "",
        "surveys": surveys,
        "population": snapshot.population,
        "species": snapshot.species,
        "time_zone": snapshot.surveys[0].time_zone if len(snapshot.surveys) == 1 else "",
        "formats": said.pop("formats"),
        "with_places": said.pop("with_places"),
        "filters": {"category": "animal", "usable": True, "individuals": "matched, declared or named", **said},
        "counts": {
            "photos_in_survey": sum(row.photos for row in snapshot.surveys),
            "individuals": result.individuals,
            "photos": result.photos,
            "rows": len(snapshot.sightings),
            "not_original": len(result.missing),
        },
        "about": result.about,
        "notes": [{"image_path": photo.relative_path, "note": photo.reason} for photo in result.missing],
        "files": dict(sorted(out.files.items())),
    }
