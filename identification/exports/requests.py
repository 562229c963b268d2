"""Asking for an export, writing it, and fetching it: one service for pages, admin and API.

What is asked for by an account is checked here, when it is asked for, when it is written and when it is fetched.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext, override

from .. import permissions
from ..errors import SpotIDError
from ..models import AuditEntry, Detection, ExportRun, Image, Population, Survey, User
from ..permissions import Action
from ..sentences import stored_words
from ..services.audit import audit_record
from ..services.export_queue import (
    ExportClaim,
    export_claim,
    export_create,
    export_fail,
    export_finish,
    export_held,
    exports_folder,
)
from ..services.work import LeaseLost
from .options import ExportOptions, Files, Format
from .survey import export_audit, export_write, pack

logger = logging.getLogger(__name__)

# What a request writes while somebody waits: rows of tables, and photo files.
AT_ONCE_PHOTOS = 5000
AT_ONCE_FILES = 150


def surveys_to_export(*, user: User, population: Population, options: ExportOptions) -> list[Survey]:
    """The surveys of a population that the account may export so, by name."""
    action = Action.EXPORT_PLACES if options.with_places else Action.EXPORT
    return list(permissions.surveys_for(user, action).filter(population=population).order_by("name"))


def export_request(
    *,
    acting_user: User,
    population: Population,
    survey: Survey | None,
    options: ExportOptions,
    at_once: bool = True,
) -> ExportRun:
    """Ask for an export of a survey, or (without one) of all surveys of the population that the account may export so.

    A small one is written at once, a large one by a worker; `run.open` tells. at_once: False leaves it to a worker in
    any case. One of the same account that is under way answers the same request. Raises PermissionDenied without the
    right, SpotIDError when a format cannot hold these data.
    """
    surveys = (
        [survey] if survey is not None else surveys_to_export(user=acting_user, population=population, options=options)
    )
    _check_rights(acting_user, surveys, options)
    same = ExportRun.objects.filter(
        requested_by=acting_user,
        population=population,
        survey=survey,
        state__in=ExportRun.OPEN,
        options=options.as_json(),
        survey_ids=sorted(row.pk for row in surveys),
    ).first()
    if same is not None:
        return same
    small = at_once and is_small(surveys, options)
    run = export_create(
        acting_user=acting_user,
        population=population,
        survey=survey,
        surveys=surveys,
        options=options.as_json(),
        enqueue=not small,
    )
    if small:
        export_run(run_id=run.pk)
        run.refresh_from_db()
        if run.state == ExportRun.State.FAILED:
            raise SpotIDError(stored_words(run.error))
    return run


def _check_rights(user: User, surveys: Sequence[Survey], options: ExportOptions) -> None:
    action = Action.EXPORT_PLACES if options.with_places else Action.EXPORT
    if not permissions.may_for_all(user, action, surveys):
        raise PermissionDenied(gettext("You may not export these surveys so."))


def is_small(surveys: Sequence[Survey], options: ExportOptions) -> bool:
    """Whether an export is written while somebody waits for it."""
    photos = Image.objects.filter(survey__in=surveys)
    if photos[: AT_ONCE_PHOTOS + 1].count() > AT_ONCE_PHOTOS:
        return False
    known = Detection.objects.comparable().filter(image__survey__in=surveys, individual__isnull=False)
    files = 0
    beside = {Format.CAMTRAPDP, Format.WILDBOOK} & set(options.formats)
    if Format.FOLDERS in options.formats or (beside and options.files != Files.NONE):
        files = photos.count() if options.files == Files.ALL else known.values("image").distinct().count()
    return files <= AT_ONCE_FILES


def export_run(*, run_id: int) -> bool:
    """Write the file of a run; returns whether it could be claimed. What goes wrong is written down.

    Only the loss of the database is raised.
    """
    claim = export_claim(run_id=run_id)
    if claim is None:
        return False
    run = ExportRun.objects.select_related("population", "requested_by").get(pk=run_id)
    try:
        # Files and what is stored read the same whoever asks, in whatever language.
        with override(settings.LANGUAGE_CODE), export_held(claim):
            _write(run, claim)
    except LeaseLost:
        logger.info("export %s was taken over", run_id)
    except (OperationalError, InterfaceError):
        raise
    except (SpotIDError, PermissionDenied) as refused:
        _record(claim, _readable(str(refused)), final=True)
    except Exception as error:
        logger.exception("export %s failed", run_id)
        said = error.strerror if isinstance(error, OSError) else error
        _record(claim, _readable(f"{type(error).__name__}: {said}"), final=False)
    return True


def _readable(words: str) -> str:
    """What whoever asked may read. Where this server keeps its files is in the log only."""
    return words.replace(f"{settings.SPOTID_HOME}", "…")


def _record(claim: ExportClaim, reason: str, *, final: bool) -> None:
    try:
        export_fail(claim=claim, reason=reason, final=final)
    except LeaseLost:
        logger.info("export %s was taken over", claim.run_id)


def _write(run: ExportRun, claim: ExportClaim) -> None:
    """Into a folder of this attempt's own; the file gets its name, which nobody can guess, when the row gets it."""
    options = ExportOptions.from_json(run.options)
    surveys = list(Survey.objects.filter(pk__in=run.survey_ids).select_related("population").order_by("name"))
    if len(surveys) != len(run.survey_ids):
        raise SpotIDError("A survey of this export is not there any more.")
    if run.requested_by is not None:
        _check_rights(run.requested_by, surveys, options)
    home = exports_folder()
    work = Path(tempfile.mkdtemp(prefix="work-", dir=home))
    published: Path | None = None
    try:
        result = export_write(
            population=run.population,
            surveys=surveys,
            out=work / "export",
            options=options,
            progress=claim.progress,
            audited=False,
        )
        packed = work / "packed.zip"
        pack(work / "export", packed, beat=lambda: claim.progress(run.total, run.total + 1))
        size, sha256 = packed.stat().st_size, _sha256(packed)
        published = home / f"run-{run.pk}-{uuid.uuid4().hex}.zip"
        packed.rename(published)
        counts = {"individuals": result.individuals, "photos": result.photos, "about": result.about}
        with transaction.atomic():
            export_finish(claim=claim, file=published.name, size=size, sha256=sha256, counts=counts)
            export_audit(acting_user=run.requested_by, surveys=surveys, options=options, result=result)
    except BaseException:
        if published is not None:
            published.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def exports_for(user: User) -> QuerySet[ExportRun]:
    """The exports that an account may know of: its own, where it still may export; all for an administrator."""
    rows = ExportRun.objects.select_related("population", "survey", "requested_by")
    if permissions.is_administrator(user):
        return rows
    surveys = permissions.surveys_for(user, Action.EXPORT)
    whole = Q(survey=None, population__in=surveys.values("population"))
    return rows.filter(Q(survey__in=surveys) | whole, requested_by=user)


def exports_shown(*, user: User, population: Population, survey: Survey | None) -> QuerySet[ExportRun]:
    """Those of these that are still of use, of a survey or (without one) of the population as a whole, last first."""
    rows = exports_for(user).filter(population=population, survey=survey)
    # What failed long ago, and what is gone, is of no use to anybody.
    lately = timezone.now() - timedelta(hours=settings.SPOTID_EXPORT_HOURS)
    failed = Q(state=ExportRun.State.FAILED, finished_at__gt=lately)
    return rows.filter(Q(state__in=ExportRun.OPEN) | ~Q(file="") | failed).order_by("-pk")


def export_fetch(*, acting_user: User, run: ExportRun) -> Path:
    """The file of a finished export, for somebody who still has the right in every survey in it; leaves an audit row.

    Raises PermissionDenied without it, SpotIDError when the file is not there yet or not any more, or was made under
    other rules about places than now.
    """
    options = ExportOptions.from_json(run.options)
    action = Action.EXPORT_PLACES if options.with_places else Action.EXPORT
    allowed = set(permissions.surveys_for(acting_user, action).values_list("pk", flat=True))
    if not run.survey_ids or not set(run.survey_ids) <= allowed:
        raise PermissionDenied(gettext("You may not export these surveys so."))
    if run.open:
        raise SpotIDError(gettext("This export is not finished yet."))
    file = exports_folder() / run.file if run.file else None
    over = run.expires_at is not None and run.expires_at < timezone.now()
    if file is None or over or not file.is_file():
        raise SpotIDError(gettext("This export is not kept any more. Ask for it again."))
    if _rules_changed(acting_user, run):
        raise SpotIDError(
            gettext("Since this export was made, it was changed what is told of places. Ask for the export again.")
        )
    with transaction.atomic():
        for survey in Survey.objects.filter(pk__in=run.survey_ids):
            audit_record(
                acting_user=acting_user,
                action="export.download",
                target=run,
                survey=survey,
                after={"formats": run.formats, "with_places": run.with_places, "sha256": run.sha256},
            )
    return file


def _rules_changed(user: User, run: ExportRun) -> bool:
    """Whether a file may tell of places what this account is not told any more."""
    placed = set(permissions.surveys_for(user, Action.EXPORT_PLACES).values_list("pk", flat=True))
    secret = set(run.survey_ids) - placed
    changes = AuditEntry.objects.filter(action="survey.places", survey__in=secret, created_at__gte=run.created_at)
    return bool(secret) and changes.exists()
