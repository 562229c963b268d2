"""Photos from a browser: files that arrive piece by piece, folders that the server sees, and the table of stations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import ReceivedFile
from ..permissions import Action
from ..selectors.receiving import ingested_lately, receiving_of
from ..sentences import stored_words
from ..services import receiving
from ..services.receiving import Announced
from ..services.station_table import MOST_BYTES, station_rows, stations_place
from .access import account, number, survey_of

# Later, a file system's nanoseconds do not fit.
_LATEST_MS = 9_223_372_036_000


@require_safe
def ingest_page(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id, Action.INGEST)
    ingested = ingested_lately(survey)
    context = {
        "survey": survey,
        "receiving": receiving_of(user=account(request), survey=survey),
        "ingested": ingested,
        "busy": any(row.busy for row in ingested),
        "piece_bytes": settings.SPOTID_UPLOAD_CHUNK_KB << 10,
        "most_files": receiving.MOST_ANNOUNCED,
        "may_place": permissions.may(account(request), Action.SEE_PLACES, survey),
        "administrator": permissions.is_administrator(account(request)),
        **(_folders(request.GET.get("in", "")) if permissions.is_administrator(account(request)) else {"roots": []}),
    }
    return render(request, "identification/survey_ingest.html", context)


def _folders(wanted: str) -> dict[str, Any]:
    """The folder that is looked into, and those in it; the roots themselves where none is."""
    roots = receiving.ingest_roots()
    if not roots:
        return {"roots": []}
    try:
        place = receiving.allowed_folder(wanted) if wanted else None
    except SpotIDError:
        place = None
    above = place.parent if place is not None and place not in roots else None
    return {"roots": roots, "place": place, "above": above, "folders": _inside(place, roots)}


def _inside(place: Path | None, roots: list[Path]) -> list[Path]:
    return receiving.folders_below(place) if place is not None else roots


@require_POST
def announce(request: HttpRequest, survey_id: int) -> JsonResponse:
    """Which of the files are wanted, and how much of each is here already."""
    survey = survey_of(request, survey_id, Action.INGEST)
    try:
        files = [Announced(*_file(item)) for item in json.loads(request.body)["files"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return _refused("The list of files cannot be read.")
    try:
        opened = receiving.receiving_open(survey=survey, acting_user=account(request))
        rows = receiving.files_announce(request=opened, files=files)
    except SpotIDError as refused:
        return _refused(str(refused))
    return JsonResponse({"request": opened.pk, "files": [_row(row) for row in rows]})


def _file(item: Any) -> tuple[str, int, int]:
    path, size, modified = item
    if (
        not isinstance(path, str)
        or not all(type(value) is int and abs(value) < 2**53 for value in (size, modified))
        or size < 0
    ):
        raise ValueError("no file")
    if len(path) > 4000 or "\x00" in path:
        raise ValueError("no path")
    path.encode()
    # Cards tell of times before 1970 and after what a file system can hold.
    return path, size, min(max(modified, 0), _LATEST_MS)


def _row(row: ReceivedFile) -> dict[str, Any]:
    return {"id": row.pk, "received": row.received, "code": row.code, "reason": stored_words(row.reason)}


@require_POST
def piece(request: HttpRequest, survey_id: int) -> JsonResponse:
    """One piece of a file, as the body. `received` in the answer is where the next one begins."""
    survey = survey_of(request, survey_id, Action.INGEST)
    file_id, offset = number(request.GET.get("file")), number(request.GET.get("offset"))
    crc32, most = number(request.headers.get("X-Piece-CRC32")), settings.SPOTID_UPLOAD_CHUNK_KB << 10
    own = ReceivedFile.objects.filter(request__survey=survey, request__requested_by=account(request))
    row = own.select_related("request").filter(pk=file_id).first() if file_id is not None else None
    if row is None or offset is None or crc32 is None:
        return _refused("This file is not being received.")
    data = request.read(most + 1)
    if len(data) > most:
        return _refused("The piece is too large.", 413)
    try:
        row = receiving.piece_receive(request=row.request, file_id=row.pk, offset=offset, data=data, crc32=crc32)
    except receiving.WrongOffset as wrong:
        return JsonResponse({"error": str(wrong), "received": wrong.received}, status=409)
    except SpotIDError as refused:
        return _refused(str(refused))
    return JsonResponse({"received": row.received})


def _refused(words: str, status: int = 400) -> JsonResponse:
    return JsonResponse({"error": words}, status=status)


@require_POST
def finish(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Hand what arrived to a worker."""
    survey = survey_of(request, survey_id, Action.INGEST)
    opened = receiving_of(user=account(request), survey=survey)
    try:
        if opened is None:
            raise SpotIDError(gettext("No file has arrived yet."))
        receiving.receiving_finish(request=opened.request, acting_user=account(request))
    except SpotIDError as refused:
        messages.error(request, str(refused))
    return redirect("survey-ingest", survey.pk)


@require_POST
def discard(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Delete what arrived and was not handed over."""
    survey = survey_of(request, survey_id, Action.INGEST)
    opened = receiving_of(user=account(request), survey=survey)
    if opened is not None:
        receiving.receiving_discard(request=opened.request, acting_user=account(request))
        messages.success(request, gettext("What had arrived is deleted."))
    return redirect("survey-ingest", survey.pk)


@require_POST
def folder(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Read a folder that the server sees: for administrators, because such folders hold photos of every survey."""
    survey = survey_of(request, survey_id, Action.INGEST)
    if not permissions.is_administrator(account(request)):
        raise PermissionDenied
    try:
        receiving.folder_request(survey=survey, acting_user=account(request), folder=request.POST.get("folder", ""))
    except SpotIDError as refused:
        messages.error(request, str(refused))
    return redirect("survey-ingest", survey.pk)


@require_POST
def retry(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Try a request of the survey that failed once more."""
    survey = survey_of(request, survey_id, Action.INGEST)
    wanted = number(request.POST.get("request"))
    found = survey.ingest_requests.filter(pk=wanted).first() if wanted is not None else None
    try:
        if found is None:
            raise SpotIDError(gettext("There is nothing to try again."))
        receiving.request_retry(request=found, acting_user=account(request))
    except SpotIDError as refused:
        messages.error(request, str(refused))
    return redirect("survey-ingest", survey.pk)


@never_cache
@require_safe
def state(request: HttpRequest, survey_id: int) -> HttpResponse:
    """What came of the requests of late, or of one of them: what the page asks for while a worker reads."""
    survey = survey_of(request, survey_id, Action.INGEST)
    wanted = number(request.GET.get("request"))
    rows = [row for row in ingested_lately(survey) if wanted in (None, row.request.pk)]
    context = {"survey": survey, "ingested": rows, "administrator": permissions.is_administrator(account(request))}
    return render(request, "identification/_ingested.html", context)


@require_POST
def station_table(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Coordinates of stations from a CSV file; for those who may know exact places."""
    survey = survey_of(request, survey_id, Action.SEE_PLACES)
    sent = request.FILES.get("table")
    try:
        if sent is None:
            raise SpotIDError(gettext("Choose a table first."))
        known, made = stations_place(
            survey=survey, acting_user=account(request), rows=station_rows(sent.read(MOST_BYTES + 1))
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(
            request,
            gettext("Coordinates are set of %(stations)s, new among them: %(made)s.")
            % {"stations": _stations(known + made), "made": made},
        )
    return redirect("survey-ingest", survey.pk)


def _stations(count: int) -> str:
    return ngettext("%(n)s station", "%(n)s stations", count) % {"n": count}
