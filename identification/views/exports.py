"""What a survey or a population takes along: choosing formats, following an export, and fetching its file."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..exports.options import MOST_DAYS, ExportOptions, Format
from ..exports.requests import export_fetch, export_request, exports_for, exports_shown
from ..models import ExportRun, Population, Survey
from ..permissions import Action
from .access import account, page_of, survey_of

RUNS_PER_PAGE = 10

# What each format is called, what it is for, and what is in it.
FORMATS: dict[Format, tuple[str | Promise, str | Promise]] = {
    Format.FOLDERS: (
        _("Folders of photos"),
        _("One folder per individual with its photos, and the table leopard_matches.csv."),
    ),
    Format.CSV: (_("Table"), _("leopard_matches.csv alone, without photos: one row per animal and photo.")),
    Format.CAMTRAPDP: (
        _("Camtrap DP"),
        _("The exchange format of camera trap data (1.0.2): for archives such as GBIF, and for another SpotID."),
    ),
    Format.SECR: (
        _("secr"),
        _(
            "Captures and traps for spatial capture-recapture in R: left flanks, right flanks and both linked, "
            "with effort by occasion. Needs exact places."
        ),
    ),
    Format.CAMTRAPR: (_("camtrapR"), _("Record table of individuals, and when each camera worked.")),
    Format.WILDBOOK: (_("Wildbook"), _("Sheets for bulk import, a row per animal and visit.")),
    Format.ENCOUNTERS: (
        _("Encounter histories"),
        _("Individuals by occasions as noughts and ones, for MARK, CAPTURE and other closed-population models."),
    ),
}


@require_safe
def survey_exports(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id, Action.EXPORT)
    return _page(request, survey.population, survey)


@require_safe
def population_exports(request: HttpRequest, population_id: int) -> HttpResponse:
    return _page(request, _population(request, population_id), None)


@require_POST
def survey_exports_ask(request: HttpRequest, survey_id: int) -> HttpResponseBase:
    survey = survey_of(request, survey_id, Action.EXPORT)
    return _ask(request, survey.population, survey)


@require_POST
def population_exports_ask(request: HttpRequest, population_id: int) -> HttpResponseBase:
    return _ask(request, _population(request, population_id), None)


@require_POST
def export_download(request: HttpRequest, run_id: int) -> HttpResponseBase:
    """The file, for somebody who still may have it; the download is audited."""
    run = _run(request, run_id)
    try:
        return _file(request, run)
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return redirect(_address(run))


@never_cache
@require_safe
def export_state(request: HttpRequest, run_id: int) -> HttpResponse:
    """The row of an export that is under way."""
    return render(request, "identification/_export_run.html", {"run": _run(request, run_id)})


def _run(request: HttpRequest, run_id: int) -> ExportRun:
    return get_object_or_404(exports_for(account(request)), pk=run_id)


def _population(request: HttpRequest, population_id: int) -> Population:
    """A population of which the account may export at least one survey. Raises Http404, PermissionDenied."""
    user = account(request)
    population = get_object_or_404(permissions.populations_for(user), pk=population_id)
    if not _surveys(request, population).exists():
        raise PermissionDenied(gettext("You may not export a survey of this population."))
    return population


def _surveys(request: HttpRequest, population: Population) -> Any:
    return permissions.surveys_for(account(request), Action.EXPORT).filter(population=population).order_by("name")


def _page(
    request: HttpRequest, population: Population, survey: Survey | None, said: QueryDict | None = None
) -> HttpResponse:
    user = account(request)
    surveys = [survey] if survey is not None else list(_surveys(request, population))
    placed = set(permissions.surveys_for(user, Action.EXPORT_PLACES).values_list("pk", flat=True))
    places = [row for row in surveys if row.pk in placed]
    chosen = set(said.getlist("formats")) if said is not None else {str(Format.FOLDERS)}
    page = page_of(request, exports_shown(user=user, population=population, survey=survey), RUNS_PER_PAGE)
    runs = list(page.object_list)
    context = {
        "survey": survey,
        "population": population,
        "surveys": surveys,
        "may_places": bool(places),
        "without_places": [row for row in surveys if row.pk not in placed],
        "formats": [
            {
                "value": str(name),
                "name": words[0],
                "about": words[1],
                "chosen": str(name) in chosen,
                "refused": name == Format.SECR and not places,
            }
            for name, words in FORMATS.items()
        ],
        "said": said,
        "most_days": MOST_DAYS,
        "runs": runs,
        "page": page,
        "address": _page_address(population, survey),
        "busy": any(run.open for run in runs),
        "action": _ask_address(population, survey),
    }
    return render(request, "identification/exports.html", context, status=200 if said is None else 422)


def _ask(request: HttpRequest, population: Population, survey: Survey | None) -> HttpResponseBase:
    user = account(request)
    try:
        options = ExportOptions.from_json(
            {
                "formats": request.POST.getlist("formats"),
                "with_places": request.POST.get("with_places") == "on",
                "occasion_days": request.POST.get("occasion_days", "").strip(),
                "first": request.POST.get("first", "").strip(),
                "last": request.POST.get("last", "").strip(),
                "files": request.POST.get("files", ""),
            }
        )
        if options.with_places and survey is not None:
            permissions.require(user, Action.EXPORT_PLACES, survey)
        run = export_request(acting_user=user, population=population, survey=survey, options=options)
        if not run.open:
            return _file(request, run)
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return _page(request, population, survey, request.POST)
    messages.success(request, gettext("The export is being written. It can be fetched from this page."))
    return redirect(_address(run))


def _file(request: HttpRequest, run: ExportRun) -> FileResponse:
    file = export_fetch(acting_user=account(request), run=run)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in str(run.survey or run.population))[:80]
    return FileResponse(
        file.open("rb"), as_attachment=True, filename=f"spotid_{name}.zip", content_type="application/zip"
    )


def _ask_address(population: Population, survey: Survey | None) -> str:
    if survey is not None:
        return reverse("survey-exports-ask", args=[survey.pk])
    return reverse("population-exports-ask", args=[population.pk])


def _address(run: ExportRun) -> str:
    return _page_address(run.population, run.survey)


def _page_address(population: Population, survey: Survey | None) -> str:
    if survey is not None:
        return reverse("survey-exports", args=[survey.pk])
    return reverse("population-exports", args=[population.pk])
