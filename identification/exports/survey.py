"""One folder per individual and `leopard_matches.csv`, as a folder or as a ZIP file."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from ..errors import SpotIDError
from ..models import Survey, User
from ..services.audit import audit_record
from .files import FORMAT, StagedPhoto, published_folder, stage_photo
from .folders import CSV_NAME, MANIFEST_NAME, csv_line, folder_names, photo_names
from .snapshot import ExportPhoto, Sighting, SurveySnapshot, survey_snapshot

Progress = Callable[[int, int, str], None]

FORMAT_VERSION = 1
COLUMNS = (
    "Image Path", "Leopard ID", "x1", "y1", "x2", "y2", "flank", "station", "camera", "captured_at", "decided_by",
    "individual_code", "individual_name", "species", "survey", "image_width", "image_height", "sha256", "conflict",
    "exported_file", "note",
)  # fmt: skip
_PLACES_COLUMNS = ("original_path",)
_KEEP_ZIP_SECONDS = 3600
# The earliest moment that a ZIP file can hold: the same bytes whenever it is made.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class MissingPhoto:
    """A photo whose original could not be exported, and what stands in its place."""

    relative_path: str
    reason: str


@dataclass(frozen=True)
class ExportResult:
    """What an export holds: individuals, photo files of them, and photos that are not there as they were ingested."""

    individuals: int
    photos: int
    missing: tuple[MissingPhoto, ...]


def survey_export(
    *,
    survey: Survey,
    out: Path,
    acting_user: User | None = None,
    with_places: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a folder per individual, `leopard_matches.csv` and `manifest.json` to `out`.

    The folder appears whole or not at all; one that an earlier export made is replaced. Without `with_places` the
    photos carry no metadata that may tell a place. The caller checks permissions. Raises SpotIDError when `out` is in
    use for something else, lies in the folder the photos were ingested from, or cannot be written.
    """
    _check_outside(survey, out)
    try:
        with published_folder(out) as folder:
            snapshot = survey_snapshot(survey)
            result = _write(snapshot, folder, with_places=with_places, progress=progress)
            audit_record(
                acting_user=acting_user,
                action="survey.export",
                target=survey,
                survey=survey,
                after={
                    "individuals": result.individuals,
                    "photos": result.photos,
                    "missing": len(result.missing),
                    "with_places": with_places,
                },
            )
    except OSError as error:
        raise SpotIDError(f"The export could not be written to {out}: {error.strerror or error}.") from error
    return result


def survey_export_zip(*, survey: Survey, acting_user: User | None, with_places: bool = False) -> Path:
    """The same as a ZIP file below SPOTID_HOME/exports, for one download; files of earlier downloads are removed.

    Equal content gives equal bytes. The caller checks permissions. Raises SpotIDError when it cannot be written.
    """
    home = Path(settings.SPOTID_HOME) / "exports"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_old(home)
        work = Path(tempfile.mkdtemp(prefix="export-", dir=home))
        try:
            survey_export(survey=survey, out=work / "export", acting_user=acting_user, with_places=with_places)
            packed = work / "packed.zip"
            _pack(work / "export", packed)
            target = home / f"survey-{survey.pk}-{uuid.uuid4().hex}.zip"
            packed.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise SpotIDError(f"The export could not be written: {error.strerror or error}.") from error
    return target


def _check_outside(survey: Survey, out: Path) -> None:
    if not survey.source_root:
        return
    from ..inference.photos import openable_path

    source = openable_path(survey.source_root)
    if source.is_dir() and out.expanduser().resolve().is_relative_to(source.resolve()):
        raise SpotIDError(f"{out} lies in the folder that the photos were read from. Name a folder outside it.")


def _write(snapshot: SurveySnapshot, folder: Path, *, with_places: bool, progress: Progress | None) -> ExportResult:
    folders = folder_names((i.id, i.number, i.name, i.code) for i in snapshot.individuals)
    staging = folder / ".staging"
    staging.mkdir()
    staged: dict[int, StagedPhoto] = {}
    photos = snapshot.photos
    for done, photo in enumerate(photos, 1):
        staged[photo.id] = stage_photo(photo, staging, with_places=with_places)
        if progress is not None:
            progress(done, len(photos), photo.name)
    placed = _place(snapshot, folder, folders, staged)
    shutil.rmtree(staging)
    _write_csv(snapshot, folder / CSV_NAME, folders, staged, placed, with_places=with_places)
    missing = tuple(
        MissingPhoto(photo.relative_path, staged[photo.id].note) for photo in photos if not staged[photo.id].whole
    )
    result = ExportResult(len(snapshot.individuals), sum(1 for photo in staged.values() if photo.file), missing)
    _write_manifest(snapshot, folder / MANIFEST_NAME, result, staged, placed, with_places=with_places)
    return result


def _place(
    snapshot: SurveySnapshot, folder: Path, folders: dict[int, str], staged: dict[int, StagedPhoto]
) -> dict[tuple[int, int], str]:
    """Put each photo into the folders of its individuals; (individual, photo) → path below the export."""
    members: dict[int, dict[int, ExportPhoto]] = defaultdict(dict)
    for sighting in snapshot.sightings:
        if staged[sighting.photo.id].file is not None:
            members[sighting.individual.id][sighting.photo.id] = sighting.photo
    placed = {}
    for individual in snapshot.individuals:
        own = members[individual.id]
        (folder / folders[individual.id]).mkdir()
        names = photo_names(
            (p.id, p.name, f"{p.station}_{p.camera}", p.sha256, staged[p.id].suffix) for p in own.values()
        )
        for photo_id, name in names.items():
            relative = f"{folders[individual.id]}/{name}"
            source = staged[photo_id].file
            assert source is not None
            shutil.copyfile(source, folder / relative)
            placed[(individual.id, photo_id)] = relative
    return placed


def _write_csv(
    snapshot: SurveySnapshot,
    file: Path,
    folders: dict[int, str],
    staged: dict[int, StagedPhoto],
    placed: dict[tuple[int, int], str],
    *,
    with_places: bool,
) -> None:
    columns = (*COLUMNS, *_PLACES_COLUMNS) if with_places else COLUMNS
    with file.open("w", encoding="utf-8", newline="") as stream:
        stream.write(",".join(columns) + "\n")
        for sighting in snapshot.sightings:
            photo, individual = sighting.photo, sighting.individual
            values = _values(snapshot, sighting)
            values |= {
                "Leopard ID": folders[individual.id],
                "exported_file": placed.get((individual.id, photo.id), ""),
                "note": staged[photo.id].note,
            }
            stream.write(csv_line([values[column] for column in columns]))


def _values(snapshot: SurveySnapshot, sighting: Sighting) -> dict[str, str]:
    photo, individual = sighting.photo, sighting.individual
    return {
        "Image Path": photo.relative_path,
        **{name: f"{value:.1f}" for name, value in zip(("x1", "y1", "x2", "y2"), sighting.box)},
        "flank": sighting.flank,
        "station": photo.station,
        "camera": photo.camera,
        "captured_at": photo.captured_at.isoformat() if photo.captured_at else "",
        "decided_by": sighting.decided_by,
        "individual_code": individual.code,
        "individual_name": individual.name,
        "species": sighting.species,
        "survey": snapshot.survey,
        "image_width": str(photo.width),
        "image_height": str(photo.height),
        "sha256": photo.sha256,
        "conflict": "yes" if sighting.conflict else "",
        "original_path": photo.source_path,
    }


def _write_manifest(
    snapshot: SurveySnapshot,
    file: Path,
    result: ExportResult,
    staged: dict[int, StagedPhoto],
    placed: dict[tuple[int, int], str],
    *,
    with_places: bool,
) -> None:
    files = {relative: staged[photo_id].sha256 for (_, photo_id), relative in placed.items()}
    files[CSV_NAME] = _sha256(file.parent / CSV_NAME)
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "survey": snapshot.survey,
        "population": snapshot.population,
        "species": snapshot.species,
        "time_zone": snapshot.time_zone,
        "with_places": with_places,
        "filters": {"category": "animal", "usable": True, "individuals": "matched, declared or named"},
        "counts": {
            "photos_in_survey": snapshot.photos_in_survey,
            "individuals": result.individuals,
            "photos": result.photos,
            "rows": len(snapshot.sightings),
            "not_original": len(result.missing),
        },
        "notes": [{"image_path": photo.relative_path, "note": photo.reason} for photo in result.missing],
        "files": dict(sorted(files.items())),
    }
    file.write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _pack(folder: Path, target: Path) -> None:
    """All files of the folder in a fixed order, with a fixed time and mode; photos are compressed already."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED if file.suffix in (".csv", ".json") else zipfile.ZIP_STORED
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=file.stat().st_size > 2**31) as packed:
                shutil.copyfileobj(source, packed, 1 << 20)


def _forget_old(home: Path) -> None:
    """Remove files of downloads that are over, and what killed exports left."""
    limit = time.time() - _KEEP_ZIP_SECONDS
    for path in home.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < limit and (path.suffix == ".zip" or path.name.startswith("export-")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
