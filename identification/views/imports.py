"""Bringing data of other tools into a survey: choose a file, look at its dry run, import."""

from __future__ import annotations

import csv
import io
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from ..errors import SpotIDError
from ..imports.registry import KINDS
from ..models import ImportRun, Survey
from ..permissions import Action
from ..selectors.imports import SHOWN, imports_of, imports_shown, kinds_offered
from ..sentences import stored_words
from ..services import imports
from ..spreadsheets import neutralise, visible
from .access import account, number, page_of, survey_of

_ORDERS = ("ymd", "dmy", "mdy")


@require_safe
def imports_page(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id, Action.INGEST)
    page = page_of(request, imports_of(survey), SHOWN)
    shown = imports_shown(page.object_list)
    context = {
        "survey": survey,
        "shown": shown,
        "page": page,
        "busy": any(row.busy for row in shown),
        "kinds": kinds_offered(),
        "accept": ",".join(sorted({ending for kind in KINDS.values() for ending in kind.accepts} | {".zip"})),
        "threshold": f"{settings.SPOTID_IMPORT_CONFIDENCE:g}",
        "most_mb": settings.SPOTID_IMPORT_MB,
    }
    return render(request, "identification/survey_imports.html", context)


@never_cache
@require_safe
def imports_state(request: HttpRequest, survey_id: int) -> HttpResponse:
    """One dry run or run: what the page asks for while a worker is at it."""
    survey = survey_of(request, survey_id, Action.INGEST)
    wanted = number(request.GET.get("run"))
    rows = survey.import_runs.filter(pk=wanted if wanted is not None else 0)
    return render(request, "identification/_imports.html", {"survey": survey, "shown": imports_shown(rows)})


@require_POST
def imports_request(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Keep the file and ask for its dry run."""
    survey = survey_of(request, survey_id, Action.INGEST)
    sent = request.FILES.get("file")
    try:
        if sent is not None and (sent.size or 0) > settings.SPOTID_IMPORT_MB << 20:
            raise SpotIDError(
                gettext(
                    "The file has more than %(number)s MB. Ask an administrator to import it with the command "
                    "import_data."
                )
                % {"number": settings.SPOTID_IMPORT_MB}
            )
        imports.import_request(
            survey=survey,
            acting_user=account(request),
            kind_code=request.POST.get("kind", ""),
            name=(sent.name or "") if sent is not None else "",
            chunks=sent.chunks() if sent is not None else None,
            options=_options(request),
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
    return redirect("survey-imports", survey.pk)


def _options(request: HttpRequest) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    said = request.POST.get("threshold", "").strip().replace(",", ".")
    if said:
        try:
            threshold = float(said)
        except ValueError:
            threshold = -1.0
        if not 0 <= threshold <= 1:
            raise SpotIDError(gettext("The threshold has to be a number from 0 to 1."))
        chosen["threshold"] = threshold
    order = request.POST.get("date_order", "")
    if order in _ORDERS:
        chosen["date_order"] = order
    kind = KINDS.get(request.POST.get("kind", ""))
    for name, _ in kind.fields if kind is not None else ():
        value = request.POST.get(f"{kind.code}.{name}", "").strip() if kind is not None else ""
        if value:
            chosen[name] = value[:500]
    return chosen


@require_POST
def imports_confirm(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Import what a dry run has shown."""
    survey = survey_of(request, survey_id, Action.INGEST)
    try:
        imports.import_confirm(rehearsal=_run(request, survey, post=True), acting_user=account(request))
    except SpotIDError as refused:
        messages.error(request, str(refused))
    return redirect("survey-imports", survey.pk)


@require_POST
def imports_discard(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Give a dry run up, and delete its file."""
    survey = survey_of(request, survey_id, Action.INGEST)
    try:
        imports.import_discard(rehearsal=_run(request, survey, post=True), acting_user=account(request))
    except SpotIDError as refused:
        messages.error(request, str(refused))
    return redirect("survey-imports", survey.pk)


def _run(request: HttpRequest, survey: Survey, *, post: bool) -> ImportRun:
    """Raises SpotIDError where the survey has no such run."""
    wanted = number((request.POST if post else request.GET).get("run"))
    found = survey.import_runs.filter(pk=wanted).first() if wanted is not None else None
    if found is None:
        raise SpotIDError(gettext("There is no such import."))
    return found


@require_safe
def imports_report(request: HttpRequest, survey_id: int) -> HttpResponse:
    """All that could not be used, row by row, as a table."""
    survey = survey_of(request, survey_id, Action.INGEST)
    try:
        run = _run(request, survey, post=False)
    except SpotIDError as refused:
        raise Http404(str(refused)) from None
    out = io.StringIO(newline="")
    table = csv.writer(out)
    table.writerow(["file", "row", "code", "reason", "detail"])
    for issue in run.issues.order_by("pk").iterator():
        cells = (issue.shown_file, str(issue.row or ""), issue.code, stored_words(issue.words), issue.shown_detail)
        table.writerow([neutralise(visible(cell)) for cell in cells])
    response = HttpResponse("\ufeff" + out.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="import-{run.pk}.csv"'
    return response
