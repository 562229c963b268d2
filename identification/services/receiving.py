"""Files that arrive from a browser piece by piece, and folders that the server sees. Loads no engine.

A piece is written where it belongs and counted in the same transaction, so that a connection that breaks loses at most
one piece, and sending a piece twice changes nothing.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import IngestRequest, ReceivedFile, Survey, User
from .audit import audit_record
from .unpacking import safe_parts

State = IngestRequest.State
MOST_ANNOUNCED = 500


@dataclass(frozen=True)
class Announced:
    """A file that a browser has: path below what was chosen, with /, size in bytes, time in milliseconds."""

    relative_path: str
    size: int
    modified_ms: int


class WrongOffset(SpotIDError):
    """The piece does not continue what is here. `received`: where the next one begins."""

    def __init__(self, received: int) -> None:
        super().__init__(f"The file is here up to byte {received}.")
        self.received = received


def folder_of(request: IngestRequest) -> Path:
    """Where a request's photos lie; they stay there."""
    return _base(request) / "files"


def parts_of(request: IngestRequest) -> Path:
    """Where files lie that are not whole yet, and archives until they are unpacked."""
    return _base(request) / "arriving"


def _base(request: IngestRequest) -> Path:
    return Path(settings.SPOTID_UPLOAD_DIR) / str(request.survey_id) / str(request.pk)


def is_archive(relative_path: str) -> bool:
    return relative_path.casefold().endswith(".zip")


def receiving_open(*, survey: Survey, acting_user: User) -> IngestRequest:
    """The account's request that receives files for the survey; begun when there is none."""
    found = IngestRequest.objects.filter(survey=survey, requested_by=acting_user, state=State.RECEIVING).first()
    if found is not None:
        return found
    try:
        with transaction.atomic():
            return IngestRequest.objects.create(survey=survey, requested_by=acting_user)
    except IntegrityError:
        return IngestRequest.objects.get(survey=survey, requested_by=acting_user, state=State.RECEIVING)


@transaction.atomic
def files_announce(*, request: IngestRequest, files: Iterable[Announced]) -> list[ReceivedFile]:
    """A row for each file, in their order; what arrived of it before stays, unless it has changed since.

    A file that is refused has a code and a reason. Raises SpotIDError when the request no longer receives, or for more
    files than are allowed.
    """
    request = _held(request)
    wanted = list(files)
    if len(wanted) > MOST_ANNOUNCED:
        raise SpotIDError(gettext("At most %(number)s files can be announced at once.") % {"number": MOST_ANNOUNCED})
    known = {
        row.relative_path: row for row in request.files.filter(relative_path__in=[f.relative_path for f in wanted])
    }
    total = request.files.filter(code="").aggregate(n=Sum("size"))["n"] or 0
    number = request.files.count()
    rows = []
    for file in wanted:
        row = known.get(file.relative_path)
        if row is not None and (row.size, row.modified_ms) != (file.size, file.modified_ms):
            if not row.code and row.received == row.size:
                # Another card's file of the same name must not take the place of one that is here.
                rows.append(_name_taken(file))
                continue
            total -= 0 if row.code else row.size
            _forget(request, row)
            row = None
            number -= 1
        if row is None:
            row = _new(request, file, number, total)
            known[file.relative_path] = row
            number, total = number + 1, total + (0 if row.code else row.size)
        rows.append(row)
    return rows


def _name_taken(file: Announced) -> ReceivedFile:
    """Not stored: what is stored under this path is the file that arrived."""
    reason = "Another file of this path and name has arrived already. Ingest those first, or send it in another folder."
    return ReceivedFile(
        relative_path=file.relative_path,
        size=file.size,
        modified_ms=file.modified_ms,
        code="name_taken",
        reason=reason,
    )


def _new(request: IngestRequest, file: Announced, number: int, total: int) -> ReceivedFile:
    if number >= settings.SPOTID_UPLOAD_FILES:
        raise SpotIDError(
            gettext("At most %(number)s files can be sent at once. Ingest these first.")
            % {"number": settings.SPOTID_UPLOAD_FILES}
        )
    code, reason = _refusal(file, total)
    return ReceivedFile.objects.create(
        request=request,
        relative_path=file.relative_path,
        size=file.size,
        modified_ms=file.modified_ms,
        code=code,
        reason=reason,
    )


def _refusal(file: Announced, total: int) -> tuple[str, str]:
    from ..inference import photos

    if safe_parts(file.relative_path) is None:
        return "bad_path", "The path is no file's name below a folder."
    by_name = None if is_archive(file.relative_path) else photos.refused_by_name(file.relative_path)
    if by_name is not None:
        return by_name
    if file.size == 0:
        return "empty", "The file has no content (zero bytes). Copy it again from the memory card."
    if file.size > settings.SPOTID_UPLOAD_FILE_MB << 20:
        return "too_large", f"Larger than {settings.SPOTID_UPLOAD_FILE_MB} MB."
    if total + file.size > settings.SPOTID_UPLOAD_TOTAL_GB << 30:
        return "too_much", f"Together more than {settings.SPOTID_UPLOAD_TOTAL_GB} GB. Ingest what arrived, then go on."
    if file.size > _free() - (settings.SPOTID_UPLOAD_KEEP_FREE_GB << 30):
        return "disk_full", "The server's disk has no room for it. Ask the administrator."
    return "", ""


def _free() -> int:
    folder = Path(settings.SPOTID_UPLOAD_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


@transaction.atomic
def piece_receive(*, request: IngestRequest, file_id: int, offset: int, data: bytes, crc32: int) -> ReceivedFile:
    """Write one piece of a file; one that is here already changes nothing.

    Raises WrongOffset when bytes before it are missing, SpotIDError when it was damaged on the way, is longer than the
    file, or the file is refused or unknown.
    """
    request = _held(request)
    row = ReceivedFile.objects.select_for_update().filter(request=request, pk=file_id).first()
    if row is None or row.code:
        raise SpotIDError(gettext("This file is not being received."))
    if zlib.crc32(data) != crc32:
        raise SpotIDError(gettext("The piece was damaged on the way. Send it again."))
    if offset + len(data) > row.size or not data:
        raise SpotIDError(gettext("The piece does not fit into the file."))
    if offset + len(data) <= row.received:
        return row
    if offset != row.received:
        raise WrongOffset(row.received)
    if _free() - len(data) < settings.SPOTID_UPLOAD_KEEP_FREE_GB << 30:
        raise SpotIDError(gettext("The server's disk has no room for it. Ask the administrator."))
    row.received = _write(request, row, offset, data)
    row.save(update_fields=["received"])
    return row


def _write(request: IngestRequest, row: ReceivedFile, offset: int, data: bytes) -> int:
    """At its place in the file; the last piece moves the file to where it stays. Returns how much is here now."""
    arriving = parts_of(request) / str(row.pk)
    arriving.parent.mkdir(parents=True, exist_ok=True)
    last = offset + len(data) == row.size
    goal = arriving if is_archive(row.relative_path) else folder_of(request).joinpath(*row.relative_path.split("/"))
    try:
        # Where the database lost the last piece, the file may be in its place: there it is written once more.
        if last and goal.is_file() and not arriving.exists():
            goal.replace(arriving)
        here = arriving.stat().st_size if arriving.exists() else 0
        if here < offset:
            # The disk lost what the database counted: the browser is told to go on from there.
            return here
        with os.fdopen(os.open(arriving, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as out:
            out.seek(offset)
            out.write(data)
            out.truncate()
            out.flush()
            os.fsync(out.fileno())
        if last:
            os.utime(arriving, ns=(row.modified_ms * 1_000_000,) * 2)
            goal.parent.mkdir(parents=True, exist_ok=True)
            arriving.replace(goal)
    except OSError as error:
        raise SpotIDError(
            gettext("The server could not write the file: %(error)s.") % {"error": error.strerror or error}
        ) from None
    return offset + len(data)


def _forget(request: IngestRequest, row: ReceivedFile) -> None:
    """A file that changed while it was on its way begins anew."""
    arriving = parts_of(request) / str(row.pk)
    transaction.on_commit(lambda: arriving.unlink(missing_ok=True))
    row.delete()


@transaction.atomic
def receiving_finish(*, request: IngestRequest, acting_user: User) -> IngestRequest:
    """Hand what arrived to a worker; what did not arrive whole is reported as skipped. Raises SpotIDError."""
    request = _held(request)
    if not request.files.exists():
        raise SpotIDError(gettext("No file has arrived yet."))
    request.files.filter(code="", received__lt=F("size")).update(
        code="incomplete", reason="It did not arrive whole. Send it again."
    )
    return _hand_over(request, acting_user)


@transaction.atomic
def receiving_discard(*, request: IngestRequest, acting_user: User) -> None:
    """Delete what arrived and was not ingested."""
    request = _held(request)
    audit_record(
        acting_user=acting_user,
        action="ingest.discard",
        target=request,
        survey=request.survey,
        before={"files": request.files.count()},
    )
    base = _base(request)
    request.delete()
    transaction.on_commit(lambda: shutil.rmtree(base, ignore_errors=True))


@transaction.atomic
def folder_request(*, survey: Survey, acting_user: User, folder: str) -> IngestRequest:
    """Ask for a folder below one of the allowed roots. Raises SpotIDError for any other."""
    place = allowed_folder(folder)
    if IngestRequest.objects.filter(survey=survey, folder=str(place), state__in=IngestRequest.OPEN).exists():
        raise SpotIDError(gettext("This folder is being read already."))
    request = IngestRequest.objects.create(
        survey=survey, requested_by=acting_user, kind=IngestRequest.Kind.FOLDER, folder=str(place)
    )
    return _hand_over(request, acting_user)


@transaction.atomic
def request_retry(*, request: IngestRequest, acting_user: User) -> None:
    """Try a request that failed once more, with fresh attempts. Raises SpotIDError for any other."""
    held = IngestRequest.objects.select_for_update().filter(pk=request.pk, state=State.FAILED).first()
    if held is None:
        raise SpotIDError(gettext("Only what failed can be tried again."))
    held.attempts, held.error, held.finished_at = 0, "", None
    held.save(update_fields=["attempts", "error", "finished_at"])
    _hand_over(held, acting_user)


def _hand_over(request: IngestRequest, acting_user: User) -> IngestRequest:
    request.state = State.PENDING
    request.save(update_fields=["state"])
    audit_record(
        acting_user=acting_user,
        action="ingest.request",
        target=request,
        survey=request.survey,
        after={"kind": request.kind, "files": request.files.count()},
    )
    transaction.on_commit(lambda: ingest_enqueue(request_id=request.pk))
    return request


def ingest_enqueue(*, request_id: int) -> None:
    """Wake a worker for it."""
    from django_q.tasks import async_task

    async_task("identification.tasks.ingest_request", request_id, group="ingest")


def _held(request: IngestRequest) -> IngestRequest:
    held = IngestRequest.objects.select_for_update().filter(pk=request.pk, state=State.RECEIVING).first()
    if held is None:
        raise SpotIDError(gettext("These files were handed over already."))
    return held


def ingest_roots() -> list[Path]:
    """The folders below which an administrator allows folders to be picked, as far as they are there."""
    return [root for root in (Path(text).resolve() for text in settings.SPOTID_INGEST_ROOTS if text) if root.is_dir()]


def allowed_folder(folder: str) -> Path:
    """The folder, links followed. Raises SpotIDError for one that is not below a root, as for one that is not there."""
    try:
        place = Path(folder).resolve()
        allowed = any(place.is_relative_to(root) for root in ingest_roots()) and place.is_dir()
    except (OSError, ValueError):
        allowed = False
    if not folder or not allowed:
        raise SpotIDError(gettext("This is no folder from which photos may be read."))
    return place


def folders_below(place: Path) -> list[Path]:
    """Folders in a folder, by name; hidden ones and links are left out, and what cannot be read."""
    try:
        found = [Path(entry.path) for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted((path for path in found if not path.name.startswith(".")), key=lambda path: path.name.casefold())


_EXPIRED = """
UPDATE identification_ingestrequest SET state = 'failed', lease_until = NULL, finished_at = clock_timestamp(),
    error = 'The worker died ' || attempts || ' times while it read the files.'
WHERE state = 'running' AND lease_until < clock_timestamp() AND attempts >= %s
"""


def requests_waiting() -> list[int]:
    """Requests that a worker may take now. Those whose worker died too often are ended."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, [settings.SPOTID_MAX_ATTEMPTS])
        cursor.execute(
            "SELECT id FROM identification_ingestrequest WHERE attempts < %s AND (state = 'pending' OR "
            "(state = 'running' AND lease_until < clock_timestamp())) ORDER BY id",
            [settings.SPOTID_MAX_ATTEMPTS],
        )
        return [row[0] for row in cursor.fetchall()]
