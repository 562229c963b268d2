"""The work of one ingest that was asked for in a browser: unpack, read, tidy up. For tasks."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now

from ..errors import SpotIDError
from ..inference import photos
from ..models import IngestRequest, ReceivedFile
from .ingest import survey_ingest
from .leases import attempt_fail, attempt_release, lease_renew, lease_take
from .receiving import folder_of, is_archive, parts_of
from .silence import held, lease_keep
from .unpacking import Limits, Refused, zip_unpack
from .work import LeaseLost, heartbeat, stopping_asked

if TYPE_CHECKING:
    from ..models import ReceivedFile

logger = logging.getLogger(__name__)

State = IngestRequest.State
_RENEW_EVERY = 2.0
_TABLE = "identification_ingestrequest"


def ingest_request_run(*, request_id: int) -> bool:
    """Read what a request names; returns whether it could be claimed. What goes wrong is written down.

    Only the loss of the database is raised. Files that no photo of the survey needs are deleted, of uploads alone.
    """
    token = lease_take(IngestRequest, request_id, seconds=settings.SPOTID_LEASE_SECONDS)
    if token is None:
        return False
    request = IngestRequest.objects.select_related("survey", "requested_by").get(pk=request_id)
    try:
        with held(
            renew=lambda: lease_keep(_TABLE, request_id, token, settings.SPOTID_LEASE_SECONDS),
            fail=lambda reason: _fail(request_id, token, reason, final=False),
        ):
            _read(request, _Lease(request_id, token))
    except LeaseLost:
        logger.info("ingest %s was taken over", request_id)
    except _Stopped:
        _release(request_id, token)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        refused = isinstance(error, SpotIDError)
        if not refused:
            logger.exception("ingest %s failed", request_id)
        reason = str(error) if refused else f"{type(error).__name__}: {error}"
        _fail(request_id, token, reason, final=refused)
    return True


def _fail(request_id: int, token: int, reason: str, *, final: bool) -> None:
    own = IngestRequest.objects.filter(pk=request_id, token=token, state=State.RUNNING)
    attempt_fail(own, reason=reason, final=final)


def _release(request_id: int, token: int) -> None:
    attempt_release(IngestRequest.objects.filter(pk=request_id, token=token, state=State.RUNNING))


class _Stopped(Exception):
    """Workers are to stop."""


class _Lease:
    """Renews the claim while files are read, and says how far it is."""

    def __init__(self, request_id: int, token: int) -> None:
        self.request_id, self.token = request_id, token
        self._last = 0.0

    def progress(self, done: int, total: int, _name: str = "") -> None:
        """Raises LeaseLost when somebody else has taken over, _Stopped when workers are to stop."""
        if time.monotonic() - self._last < _RENEW_EVERY and not done == total > 0:
            return
        self._last = time.monotonic()
        seconds = settings.SPOTID_LEASE_SECONDS
        lease_renew(IngestRequest, self.request_id, self.token, seconds=seconds, progress=(done, total))
        heartbeat()
        if stopping_asked():
            raise _Stopped


def _read(request: IngestRequest, lease: _Lease) -> None:
    upload = request.kind == IngestRequest.Kind.FILES
    root = folder_of(request) if upload else Path(request.folder)
    refused: list[Refused] = []
    if upload:
        root.mkdir(parents=True, exist_ok=True)
        refused = [(row.relative_path, row.code, row.reason) for row in request.files.exclude(code="")]
        refused += _unpack(request, root, lease)
    result = survey_ingest(
        root=root,
        survey_name=request.survey.name,
        crops_only=request.survey.crops_only,
        acting_user=request.requested_by,
        progress=lease.progress,
        refused=refused,
    )
    own = IngestRequest.objects.filter(pk=request.pk, token=lease.token, state=State.RUNNING)
    done = own.update(state=State.DONE, report=result.report, lease_until=None, finished_at=Now())
    if upload and done:
        _tidy(request, root)


def _folder_for(request: IngestRequest, row: ReceivedFile) -> str:
    """Below the request's folder; the archive's own name, unless files or another archive would lie in it, too."""
    name = row.relative_path[: -len(".zip")].rstrip(" .")
    paths = request.files.filter(code="").exclude(pk=row.pk).values_list("relative_path", flat=True)
    others = {path[: -len(".zip")].rstrip(" .").casefold() for path in paths if is_archive(path)}
    beside = name.casefold() + "/"
    taken = name.casefold() in others or any(path.casefold().startswith(beside) for path in paths)
    return f"{name} zip{row.pk}".strip() if taken or not name.rpartition("/")[2] else name


def _unpack(request: IngestRequest, root: Path, lease: _Lease) -> list[Refused]:
    """Every archive into a folder of its own name, beside the other files."""
    refused: list[Refused] = []
    left = settings.SPOTID_UNPACK_TOTAL_GB << 30
    for row in request.files.filter(code="").order_by("pk"):
        if not is_archive(row.relative_path):
            continue
        into = root.joinpath(*_folder_for(request, row).split("/"))
        try:
            into.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            refused.append((row.relative_path, "zip_not_written", f"It could not be unpacked: {error.strerror}."))
            continue
        refused += zip_unpack(
            archive=_archive(request, row),
            into=into,
            name=row.relative_path,
            limits=_limits(left),
            progress=lambda: lease.progress(0, 0),
        )
        left -= sum(path.stat().st_size for path in into.rglob("*") if path.is_file())
    return refused


def _archive(request: IngestRequest, row: ReceivedFile) -> Path:
    return parts_of(request) / str(row.pk)


def _limits(left: int) -> Limits:
    return Limits(
        member=settings.SPOTID_UNPACK_FILE_MB << 20,
        total=max(0, left),
        members=settings.SPOTID_UPLOAD_FILES,
        ratio=settings.SPOTID_UNPACK_RATIO,
        free=settings.SPOTID_UPLOAD_KEEP_FREE_GB << 30,
    )


def _tidy(request: IngestRequest, root: Path) -> None:
    """Archives are unpacked, and copies of photos that the survey had are not kept twice."""
    shutil.rmtree(parts_of(request), ignore_errors=True)
    stored = set(request.survey.images.values_list("source_path", flat=True))
    stored |= set(request.survey.images.exclude(edges_path="").values_list("edges_path", flat=True))
    needed = {photos.openable_path(path) for path in stored}
    for path in root.rglob("*"):
        if path.is_file() and path not in needed:
            path.unlink(missing_ok=True)
