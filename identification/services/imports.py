"""Bringing data of other tools along: dry run first, then the run, in the background or at once.

Every import is an `ImportRun`: a dry run, and the run that repeats it (`rehearsal`). Both do the same work; a dry run
takes each of its steps back (`imports_writing`). A page asks for a dry run, shows what came of it, and may then import;
the command does both, the second with `--run`.

To add a kind of import:

1. `identification/imports/KIND.py`: `read(path, options) -> Reading` and `KIND = Kind(code, title, read, …)`. Pure:
   paths and bytes in, dataclasses out; what cannot be used becomes an `Issue` with file and row.
2. one line in `identification/imports/registry.py`.
3. only where `imports_write.reading_write` is not enough (it writes stations and places, camera operation, boxes and
   species of photos, and, through `PhotoRecord.individual` and `flank`, confirmed matches with provenance), nor
   `imports_identities.write` (photos that come along, boxes and photos with a `label`, codes and names): a module
   `services/imports_KIND.py` with `write(writing, reading)`, named in `Kind.writer`. It works in `writing.step()`s,
   within `writing.whole()` where one needs what another made, counts with `writing.count(name, n)`, reports with
   `writing.issue(…)`, and may call the parts of `imports_write`.
   Names of counts that people should read get words in `identification/selectors/imports.py`.

The page, the command, background work, dry run, report, audit and rights come with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext

from .. import permissions
from ..errors import SpotIDError
from ..imports.reading import Kind
from ..imports.registry import KINDS, kind_of, kind_of_archive
from ..models import ImportRun, Survey, User
from ..permissions import Action
from .audit import audit_record

State = ImportRun.State
_PIECE = 1 << 20
_KEPT_SECONDS = 7 * 86400


def folder_of(run: ImportRun) -> Path:
    """Where the file of a run that a browser asked for lies, until it is imported or given up."""
    return Path(settings.SPOTID_IMPORT_DIR) / str(run.rehearsal_id or run.pk)


def kind_by_code(code: str) -> Kind:
    """Raises SpotIDError that lists the kinds there are."""
    if code not in KINDS:
        raise SpotIDError(
            gettext("There is no import of the kind %(kind)s. There are: %(kinds)s.")
            % {"kind": repr(code), "kinds": ", ".join(KINDS)}
        )
    return KINDS[code]


def kind_detect(path: Path) -> Kind:
    """The kind that a file looks like, or that an archive's files tell. Raises SpotIDError when it looks like none."""
    archive = path.suffix.lower() == ".zip" and path.is_file()
    found = kind_of_archive(path) if archive else kind_of(path)
    if found is None and archive:
        raise SpotIDError(gettext("Say what kind of data the archive holds."))
    if found is None:
        raise SpotIDError(gettext("What kind of file this is cannot be told from its content. Choose the kind."))
    return found


def import_require(*, survey: Survey, acting_user: User | None) -> None:
    """Imports are for curators; the command line, without an account, may. Raises SpotIDError."""
    if acting_user is not None and not permissions.may(acting_user, Action.INGEST, survey):
        raise SpotIDError(
            gettext("%(user)s is no curator of %(survey)s.") % {"user": acting_user, "survey": survey.name}
        )


def import_begin(
    *,
    survey: Survey,
    kind: Kind,
    path: Path | None,
    options: dict[str, Any],
    acting_user: User | None,
    dry_run: bool = True,
    rehearsal: ImportRun | None = None,
) -> ImportRun:
    """The row of one dry run or run over a file that stays where it is. Raises SpotIDError."""
    import_require(survey=survey, acting_user=acting_user)
    _file_fits(kind, path is not None)
    name, digest, size = ("", "", 0) if path is None else fingerprint(path)
    return ImportRun.objects.create(
        survey=survey,
        requested_by=acting_user,
        kind=kind.code,
        dry_run=dry_run,
        rehearsal=rehearsal,
        file_name=name,
        sha256=digest,
        size=size,
        path="" if path is None else str(path),
        options=options,
    )


def _file_fits(kind: Kind, given: bool) -> None:
    if not given and not kind.of_photos:
        raise SpotIDError(gettext("This kind of import needs a file."))
    if given and kind.of_photos and not kind.accepts:
        raise SpotIDError(gettext("This reads the photos that the survey has already. Ingest them, and give no file."))


def fingerprint(path: Path) -> tuple[str, str, int]:
    """Name, SHA-256 and bytes of a file; of a folder the hash is that of the names and sizes in it."""
    try:
        digest, size = hashlib.sha256(), 0
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                if found.is_file():
                    size += found.stat().st_size
                    line = f"{found.relative_to(path).as_posix()}\t{found.stat().st_size}\n"
                    digest.update(os.fsencode(line))
        else:
            with path.open("rb") as handle:
                while piece := handle.read(_PIECE):
                    size += len(piece)
                    digest.update(piece)
    except OSError as error:
        raise SpotIDError(
            gettext("%(name)s cannot be read: %(error)s.") % {"name": path.name, "error": error.strerror or error}
        ) from None
    return shown_name(path.name), digest.hexdigest(), size


def shown_name(name: str) -> str:
    """A file's name for storing and showing, never for opening."""
    plain = os.fsencode(name).decode("utf-8", "backslashreplace").replace("\x00", "")
    return "".join(letter if letter.isprintable() else "_" for letter in plain)[:255]


@transaction.atomic
def import_request(
    *,
    survey: Survey,
    acting_user: User,
    kind_code: str,
    name: str,
    chunks: Iterable[bytes] | None,
    options: dict[str, Any],
) -> ImportRun:
    """Keep a file that a browser sent, and ask for its dry run. kind_code: "" to find it out from the file.

    Raises SpotIDError for a file that is too large, of no kind that is known, or missing.
    """
    import_require(survey=survey, acting_user=acting_user)
    kind = kind_by_code(kind_code) if kind_code else None
    run = ImportRun.objects.create(survey=survey, requested_by=acting_user, kind="", options=options)
    folder = folder_of(run)
    try:
        if chunks is not None:
            path = _keep(folder, name, chunks)
            kind = kind or kind_detect(path)
            run.file_name, run.sha256, run.size = shown_name(name), *fingerprint(path)[1:]
            run.path = str(path)
        if kind is None:
            raise SpotIDError(
                gettext("Say what kind of data the archive holds.")
                if chunks is not None
                else gettext("Choose a file, or the kind of import.")
            )
        _file_fits(kind, chunks is not None)
        run.kind = kind.code
        run.save()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _hand_over(run, acting_user)
    return run


def _keep(folder: Path, name: str, chunks: Iterable[bytes]) -> Path:
    most, size = settings.SPOTID_IMPORT_MB << 20, 0
    suffix = re.sub(r"[^a-z0-9.]", "", Path(name).suffix.lower())[:8]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"file{suffix}"
    try:
        with path.open("wb") as out:
            for piece in chunks:
                size += len(piece)
                if size > most:
                    raise SpotIDError(
                        gettext(
                            "The file has more than %(number)s MB. Ask an administrator to import it with the command "
                            "import_data."
                        )
                        % {"number": settings.SPOTID_IMPORT_MB}
                    )
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise SpotIDError(
            gettext("The server could not write the file: %(error)s.") % {"error": error.strerror or error}
        ) from None
    if not size:
        raise SpotIDError(gettext("The file is empty."))
    return path


@transaction.atomic
def import_confirm(*, rehearsal: ImportRun, acting_user: User) -> ImportRun:
    """Import what a dry run showed. Asking twice gives the same run. Raises SpotIDError when it is not through, or its
    file is gone."""
    held = ImportRun.objects.select_for_update().filter(pk=rehearsal.pk, dry_run=True, state=State.DONE).first()
    if held is None:
        raise SpotIDError(gettext("Only what a dry run has shown can be imported."))
    import_require(survey=held.survey, acting_user=acting_user)
    there = held.runs.exclude(state=State.FAILED).first()
    if there is not None:
        return there
    if held.path and not Path(held.path).exists():
        raise SpotIDError(gettext("The file is not here any more. Choose it again."))
    run = ImportRun.objects.create(
        survey=held.survey,
        requested_by=acting_user,
        kind=held.kind,
        dry_run=False,
        rehearsal=held,
        file_name=held.file_name,
        sha256=held.sha256,
        size=held.size,
        path=held.path,
        options=held.options,
    )
    _hand_over(run, acting_user)
    return run


@transaction.atomic
def import_discard(*, rehearsal: ImportRun, acting_user: User) -> None:
    """Give a dry run up; its file is deleted. Raises SpotIDError when it is being worked on or was imported."""
    held = ImportRun.objects.select_for_update().filter(pk=rehearsal.pk, dry_run=True).first()
    if held is None or held.state == State.RUNNING or held.runs.exclude(state=State.FAILED).exists():
        raise SpotIDError(gettext("This cannot be given up any more."))
    import_require(survey=held.survey, acting_user=acting_user)
    audit_record(
        acting_user=acting_user,
        action="import.discard",
        target=held,
        survey=held.survey,
        before={"kind": held.kind, "file": held.file_name},
    )
    folder = folder_of(held)
    ImportRun.objects.filter(rehearsal=held).delete()
    held.delete()
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def _hand_over(run: ImportRun, acting_user: User | None) -> None:
    audit_record(
        acting_user=acting_user,
        action="import.request",
        target=run,
        survey=run.survey,
        after={"kind": run.kind, "dry_run": run.dry_run, "file": run.file_name, "sha256": run.sha256},
    )
    transaction.on_commit(lambda: import_enqueue(run_id=run.pk))


def import_enqueue(*, run_id: int) -> None:
    """Wake a worker for it."""
    from django_q.tasks import async_task

    async_task("identification.tasks.import_data", run_id, group="import")


_DIED = "The worker died again and again while it read the file."
_EXPIRED = """
UPDATE identification_importrun SET state = 'failed', lease_until = NULL, finished_at = clock_timestamp(),
    error = %s
WHERE state = 'running' AND lease_until < clock_timestamp() AND attempts >= %s
"""


def imports_waiting() -> list[int]:
    """Runs that a worker may take now. Those whose worker died too often are ended."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, [_DIED, settings.SPOTID_MAX_ATTEMPTS])
        cursor.execute(
            "SELECT id FROM identification_importrun WHERE attempts < %s AND (state = 'pending' OR "
            "(state = 'running' AND lease_until < clock_timestamp())) ORDER BY id",
            [settings.SPOTID_MAX_ATTEMPTS],
        )
        return [row[0] for row in cursor.fetchall()]


def imports_tidy() -> int:
    """Delete files of dry runs that nobody has imported for a week, and what killed workers left; returns how many."""
    folder, gone = Path(settings.SPOTID_IMPORT_DIR), 0
    if not folder.is_dir():
        return 0
    now = time.time()
    for entry in folder.iterdir():
        try:
            old = now - entry.stat().st_mtime > _KEPT_SECONDS
        except OSError:
            continue
        waits = entry.name.isdigit() and ImportRun.objects.filter(
            Q(pk=int(entry.name)) | Q(rehearsal=int(entry.name)), state__in=ImportRun.OPEN
        )
        if old and not (waits and waits.exists()):
            shutil.rmtree(entry, ignore_errors=True)
            gone += 1
    return gone
