"""Exports as a folder or as a ZIP file: whole or not at all, audited, and the same bytes for the same state."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import SpotIDError
from ..models import Population, Survey, User
from ..services.audit import audit_record
from ..services.export_queue import exports_folder
from .files import published_folder, stage_photo
from .folder_tables import MissingPhoto
from .options import ExportOptions, Format
from .output import Output, Progress
from .snapshot import snapshot_read
from .write import ExportResult, snapshot_write

__all__ = ["ExportResult", "MissingPhoto", "export_write", "pack", "survey_export", "survey_export_zip"]

_KEEP_ZIP_SECONDS = 3600
# The earliest moment that a ZIP file can hold: the same bytes whenever it is made.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def export_write(
    *,
    population: Population,
    surveys: Sequence[Survey],
    out: Path,
    options: ExportOptions,
    acting_user: User | None = None,
    progress: Progress | None = None,
    audited: bool = True,
) -> ExportResult:
    """Write an export of one or more surveys of a population to `out`.

    The folder appears whole or not at all; one that an earlier export made is replaced. Without places in the options
    nothing in it may tell a place. The caller checks permissions. Raises SpotIDError when `out` is in use for something
    else, lies in a folder the photos were ingested from, cannot be written, or a format cannot hold these data.
    """
    for survey in surveys:
        _check_outside(survey, out)
    try:
        with published_folder(out) as folder:
            snapshot = snapshot_read(population, surveys, options)
            output = Output(folder, with_places=options.with_places, stage=stage_photo, progress=progress)
            result = snapshot_write(snapshot, output, options)
            if audited:
                export_audit(acting_user=acting_user, surveys=surveys, options=options, result=result)
    except OSError as error:
        raise SpotIDError(f"The export could not be written to {out}: {error.strerror or error}.") from error
    return result


def export_audit(
    *, acting_user: User | None, surveys: Sequence[Survey], options: ExportOptions, result: ExportResult
) -> None:
    """A row in the audit log for every survey that was exported."""
    for survey in surveys:
        audit_record(
            acting_user=acting_user,
            action="survey.export",
            target=survey,
            survey=survey,
            after={
                "individuals": result.individuals,
                "photos": result.photos,
                "missing": len(result.missing),
                **options.as_json(),
            },
        )


def survey_export(
    *,
    survey: Survey,
    out: Path,
    acting_user: User | None = None,
    with_places: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """A folder per individual, `leopard_matches.csv` and `manifest.json` of one survey."""
    options = ExportOptions(formats=(Format.FOLDERS,), with_places=with_places)
    return export_write(
        population=survey.population,
        surveys=[survey],
        out=out,
        options=options,
        acting_user=acting_user,
        progress=progress,
    )


def survey_export_zip(*, survey: Survey, acting_user: User | None, with_places: bool = False) -> Path:
    """The same as a ZIP file below SPOTID_HOME/exports, for one download; files of earlier downloads are removed.

    Equal content gives equal bytes. The caller checks permissions. Raises SpotIDError when it cannot be written.
    """
    try:
        home = exports_folder()
        _forget_old(home)
        work = Path(tempfile.mkdtemp(prefix="export-", dir=home))
        try:
            survey_export(survey=survey, out=work / "export", acting_user=acting_user, with_places=with_places)
            packed = work / "packed.zip"
            pack(work / "export", packed)
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


def pack(folder: Path, target: Path, *, beat: Callable[[], None] | None = None) -> None:
    """All files of the folder in a fixed order, with a fixed time and mode; photos are compressed already.

    beat: called before each file.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            if beat is not None:
                beat()
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            text = file.suffix in (".csv", ".json", ".txt", ".inp")
            entry.compress_type = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=file.stat().st_size > 2**31) as packed:
                shutil.copyfileobj(source, packed, 1 << 20)


def _forget_old(home: Path) -> None:
    """Remove files of downloads that are over, and what killed exports left. A run removes its own."""
    limit = time.time() - _KEEP_ZIP_SECONDS
    for path in home.iterdir():
        with suppress(OSError):
            over = path.name.startswith("survey-") and path.suffix == ".zip"
            if path.stat().st_mtime < limit and (over or path.name.startswith("export-")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
