"""The work of one dry run or run of an import: claim, read, write, report. For tasks and commands."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from ..errors import SpotIDError
from ..imports.reading import Kind, Options, Reading, UnusableFile
from ..imports.registry import KINDS
from ..inference import photos
from ..models import ImportIssue, ImportRun, Survey
from .audit import audit_record
from .imports import State, folder_of
from .imports_writing import Writing
from .leases import attempt_fail, attempt_release, lease_renew, lease_take
from .silence import held, lease_keep
from .unpacking import Limits, zip_unpack
from .work import LeaseLost, heartbeat, stopping_asked

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
_RENEW_EVERY = 2.0
_TABLE = "identification_importrun"


def import_run(*, run_id: int, progress: Callable[[int, int, str], None] | None = None) -> bool:
    """Do what a row asks for; returns whether it could be claimed. What goes wrong is written down.

    Only the loss of the database is raised.
    """
    token = lease_take(ImportRun, run_id, seconds=settings.SPOTID_LEASE_SECONDS)
    if token is None:
        return False
    run = ImportRun.objects.select_related("survey__population", "requested_by").get(pk=run_id)
    try:
        with held(
            renew=lambda: lease_keep(_TABLE, run_id, token, settings.SPOTID_LEASE_SECONDS),
            fail=lambda reason: _fail(run_id, token, reason, final=False),
        ):
            _work(run, _Lease(run_id, token, progress))
    except LeaseLost:
        logger.info("import %s was taken over", run_id)
    except _Stopped:
        _release(run_id, token)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        refused = isinstance(error, (SpotIDError, UnusableFile))
        if not refused:
            logger.exception("import %s failed", run_id)
        _fail(run_id, token, str(error) if refused else _reason(error), final=refused)
    return True


def _reason(error: Exception) -> str:
    """What curators may read. Paths of this server are in the log only."""
    said = error.strerror if isinstance(error, OSError) else str(error)
    return f"{type(error).__name__}: {said}"


def _fail(run_id: int, token: int, reason: str, *, final: bool) -> None:
    own = ImportRun.objects.filter(pk=run_id, token=token, state=State.RUNNING)
    attempt_fail(own, reason=reason, final=final)


def _release(run_id: int, token: int) -> None:
    attempt_release(ImportRun.objects.filter(pk=run_id, token=token, state=State.RUNNING))


class _Stopped(Exception):
    """Workers are to stop."""


class _Lease:
    """Renews the claim while a file is read, and says how far it is."""

    def __init__(self, run_id: int, token: int, progress: Callable[[int, int, str], None] | None) -> None:
        self.run_id, self.token, self._progress = run_id, token, progress
        self._last = 0.0
        self._outside = not connection.in_atomic_block

    def tell(self, done: int, total: int) -> None:
        """Raises LeaseLost when somebody else has taken over, _Stopped when workers are to stop.

        Inside a long step of a dry run, whose transaction is taken back, the claim is renewed on another connection.
        """
        if self._progress is not None:
            self._progress(done, total, "")
        if time.monotonic() - self._last < _RENEW_EVERY and not done == total > 0:
            return
        self._last = time.monotonic()
        if self._outside and connection.in_atomic_block:
            beside = connection.copy()
            try:
                self._renew(beside, done, total)
                heartbeat(by=beside)
            finally:
                beside.close()
        else:
            self._renew(connection, done, total)
            heartbeat()
        if self._progress is None and stopping_asked():
            raise _Stopped

    def keep(self, counts: dict[str, int]) -> None:
        """Write down what was done, in the transaction that does it. Raises LeaseLost."""
        own = ImportRun.objects.filter(pk=self.run_id, token=self.token, state=State.RUNNING)
        if not own.update(counts=counts):
            raise LeaseLost("The import was taken over.")

    def _renew(self, by: Any, done: int, total: int) -> None:
        seconds = settings.SPOTID_LEASE_SECONDS
        lease_renew(ImportRun, self.run_id, self.token, seconds=seconds, progress=(done, total), by=by)


def _work(run: ImportRun, lease: _Lease) -> None:
    if run.kind not in KINDS:
        raise SpotIDError(f"There is no import of the kind {run.kind!r} any more.")
    kind = KINDS[run.kind]
    options = options_of(run.options, kind, run.survey, run.file_name)
    writing = Writing(
        run.survey,
        run.requested_by,
        run.dry_run,
        options,
        run.file_name,
        Path(run.path).name,
        tell=lease.tell,
        kind=run.kind,
        before=Counter({name: int(number) for name, number in run.counts.items()}),
        keep=lease.keep,
    )
    lease.tell(0, 0)
    with _opened(run, writing) as path:
        reading = _read(kind, path, options)
        _writer(kind)(writing, reading)
    _finish(run, lease, writing)


def _read(kind: Kind, path: Path, options: Options) -> Reading:
    try:
        return kind.read(path, options)
    except OSError as error:
        raise SpotIDError(f"The file cannot be read: {error.strerror or error}.") from None


def options_of(said: dict[str, Any], kind: Kind, survey: Survey, name: str = "") -> Options:
    """The options that were chosen; what was not is as `Options` has it."""
    own = {name: str(said.get(name, "")) for name, _ in kind.fields}
    threshold = float(said.get("threshold", settings.SPOTID_IMPORT_CONFIDENCE))
    paths: list[tuple[str, Path]] = []
    if kind.of_photos:
        rows = survey.images.order_by("relative_path").values_list("relative_path", "source_path")
        paths = [(relative, photos.openable_path(source)) for relative, source in rows.iterator()]
    order = str(said.get("date_order", ""))
    return Options(
        threshold=threshold,
        date_order=order,
        values=own,
        photos=paths,
        zone=survey.time_zone,
        name=name,
        spill=_unpack_in(),
    )


def _writer(kind: Kind) -> Callable[[Writing, Reading], None]:
    module, _, name = kind.writer.rpartition(".")
    writer: Callable[[Writing, Reading], None] = getattr(import_module(module), name)
    return writer


@contextmanager
def _opened(run: ImportRun, writing: Writing) -> Iterator[Path]:
    """The file, or the folder into which an archive is unpacked for the time being."""
    path = Path(run.path)
    if run.path and not path.exists():
        raise SpotIDError("The file is not here any more. Choose it again.")
    if path.suffix.lower() == ".zip" or folder_of(run) in path.parents:
        writing.keep_in = Path(settings.SPOTID_UPLOAD_DIR) / str(run.survey_id) / "imports"
    if path.suffix.lower() != ".zip" or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="spotid-import-", dir=_unpack_in()) as folder:
        into = Path(folder)
        refused = zip_unpack(
            archive=path, into=into, name=run.file_name, limits=_limits(), progress=lambda: writing.progress(0, 0)
        )
        for name, code, reason in refused:
            writing.problem(code, reason, detail=name)
        inside = [found for found in into.iterdir() if not found.name.startswith(("__MACOSX", "."))]
        # An archive of one folder, or of one file, is that folder or file.
        yield inside[0] if len(inside) == 1 else into


def _unpack_in() -> Path:
    folder = Path(settings.SPOTID_IMPORT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _limits() -> Limits:
    return Limits(
        member=settings.SPOTID_IMPORT_MB << 20,
        total=4 * settings.SPOTID_IMPORT_MB << 20,
        members=50_000,
        ratio=settings.SPOTID_UNPACK_RATIO,
        free=settings.SPOTID_UPLOAD_KEEP_FREE_GB << 30,
    )


def _finish(run: ImportRun, lease: _Lease, writing: Writing) -> None:
    """Write the report, under the claim's fence."""
    with transaction.atomic():
        own = ImportRun.objects.select_for_update().filter(pk=run.pk, token=lease.token, state=State.RUNNING)
        if not own.exists():
            raise LeaseLost("The import was taken over.")
        # Of an attempt that was killed while it wrote them.
        ImportIssue.objects.filter(run=run).delete()
        ImportIssue.objects.bulk_create(
            (
                ImportIssue(
                    run=run,
                    file=_plain(issue.file),
                    row=issue.row,
                    code=issue.code[:64],
                    words=_plain(issue.words),
                    detail=_plain(issue.detail),
                )
                for issue in writing.issues
            ),
            batch_size=1000,
        )
        counts = writing.total()
        own.update(
            state=State.DONE,
            counts=counts,
            notes=[_plain(note) for note in writing.notes],
            issues_left_out=writing.left_out,
            lease_until=None,
            finished_at=Now(),
        )
        audit_record(
            acting_user=run.requested_by,
            action="import.dry_run" if run.dry_run else "import.run",
            target=run,
            survey=run.survey,
            after={"kind": run.kind, "file": run.file_name, "sha256": run.sha256, "counts": counts},
        )
    if not run.dry_run and run.path and folder_of(run) in Path(run.path).parents:
        shutil.rmtree(folder_of(run), ignore_errors=True)


def _plain(text: str) -> str:
    """Text that PostgreSQL takes."""
    return text.replace("\x00", "").encode("utf-8", "backslashreplace").decode()
