"""Surveys: the list, the dashboard, and what can be asked of a survey as a whole."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from .. import permissions
from ..errors import SpotIDError
from ..models import Survey
from ..naming import by_label
from ..permissions import Action
from ..presenting import PLACE_GRIDS, PRINT_HEIGHTS, cell_size_words, grid_cell
from ..selectors.camera_operation import operations_shown
from ..selectors.clocks import station_clocks
from ..selectors.coming import photos_coming
from ..selectors.figures import survey_shown
from ..selectors.proposals import proposals_open
from ..selectors.review_questions import survey_completeness
from ..selectors.surveys import (
    failed_images,
    failure_reasons,
    photo_printed,
    skipped_files,
    survey_cards,
    survey_dashboard,
    survey_progress,
    surveys_listed,
)
from ..services.matching import matching_request
from ..services.places import PlacesPolicy, places_choose, stations_reveal
from ..services.queue import work_requeue
from . import plots
from .access import account, page_of, query_without, survey_of
from .downloads import export_download

SURVEYS_PER_PAGE = 24
SKIPPED_PER_PAGE = 100


@require_safe
def survey_list(request: HttpRequest) -> HttpResponse:
    user = account(request)
    administrator = permissions.is_administrator(user)
    search = request.GET.get("q", "").strip()[:200]
    page = page_of(request, surveys_listed(user, search=search), SURVEYS_PER_PAGE)
    context = {
        "cards": survey_cards(user, page.object_list),
        "page": page,
        "search": search,
        "query": query_without(request, "page"),
        "administrator": administrator,
        "may_add": administrator and user.is_staff,
    }
    return render(request, "identification/survey_list.html", context)


@require_safe
def survey_detail(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id)
    user = account(request)
    board = survey_dashboard(user=user, survey=survey)
    allowed = {action.value: permissions.may(user, action, survey) for action in _ASKED}
    progress = survey_completeness(user=user, survey=survey) if allowed["decide"] else None
    context = {"survey": survey, "board": board, "may": allowed, "review": progress}
    context["links"] = len(proposals_open(survey)) if allowed["decide"] else 0
    if board.photos.total:
        shown = survey_shown(user=user, survey=survey, empty=board.empty)
        context["bars"], context["scale"] = plots.frequency(shown, board.photos.total)
    else:
        context["coming"] = photos_coming(survey)
    context["goal_percent"] = f"{100 * survey.completeness_goal:.4g}"
    return render(request, "identification/survey_detail.html", context)


_ASKED = (
    *(Action.DECIDE, Action.CURATE, Action.INGEST, Action.EXPORT, Action.EXPORT_PLACES, Action.SEE_PLACES),
    Action.MANAGE_MEMBERS,
)


@never_cache
@require_safe
def progress(request: HttpRequest, survey_id: int) -> HttpResponse:
    """The part of the dashboard that moves while work is going on; when that is over, the whole page is wanted."""
    survey = survey_of(request, survey_id)
    user = account(request)
    now = survey_progress(survey)
    context: dict[str, Any] = {"survey": survey}
    if request.GET.get("empty"):
        coming = None if now.photos.total else photos_coming(survey)
        context["coming"] = coming
        return render(request, "identification/_survey_coming.html", context) if coming else HttpResponseClientRefresh()
    if now.finished:
        return HttpResponseClientRefresh()
    context |= {"progress": now, "alone": True, "failed": now.photos.failed}
    if now.photos.failed:
        context["reasons"] = failure_reasons(user, survey)
        context["may"] = {"ingest": permissions.may(user, Action.INGEST, survey)}
    return render(request, "identification/_survey_progress.html", context)


@require_safe
def skipped_list(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Files that ingest left out. Their paths are for those who ingest."""
    survey = survey_of(request, survey_id, Action.INGEST)
    page = Paginator(skipped_files(survey), SKIPPED_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "identification/skipped_list.html", {"survey": survey, "page": page})


@require_POST
def survey_retry(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Process every failed photo of the survey again."""
    survey = survey_of(request, survey_id, Action.INGEST)
    number = work_requeue(images=failed_images(user=account(request), survey=survey), acting_user=account(request))
    messages.success(
        request,
        ngettext(
            "%(number)s photo is waiting to be processed again.",
            "%(number)s photos are waiting to be processed again.",
            number,
        )
        % {"number": number},
    )
    return redirect("survey-detail", survey.pk)


@require_POST
def survey_match(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Compute the candidates anew."""
    survey = survey_of(request, survey_id, Action.INGEST)
    try:
        matching_request(survey=survey, acting_user=account(request))
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, gettext("The photos are being matched again. Decisions stay as they are."))
    return redirect("survey-detail", survey.pk)


@require_POST
def survey_export(request: HttpRequest, survey_id: int) -> HttpResponseBase:
    """The export as a zip file."""
    survey = survey_of(request, survey_id, Action.EXPORT)
    with_places = request.POST.get("with_places") == "on"
    if with_places:
        permissions.require(account(request), Action.EXPORT_PLACES, survey)
    try:
        return export_download(survey=survey, user=account(request), with_places=with_places)
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return redirect("survey-detail", survey.pk)


def station_list(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Stations on a coarse grid; a POST by those who may know places shows exact coordinates, and is audited."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    exact = request.method == "POST"
    survey = survey_of(request, survey_id, Action.SEE_PLACES if exact else Action.SEE)
    if exact:
        stations = stations_reveal(acting_user=account(request), survey=survey)
    else:
        stations = by_label(survey.stations.all())
    rows = [(station, _place(survey, station.latitude, station.longitude, exact)) for station in stations]
    context = {"survey": survey, "rows": rows, "exact": exact}
    context["may_reveal"] = permissions.may(account(request), Action.SEE_PLACES, survey)
    context["may_curate"] = permissions.may(account(request), Action.CURATE, survey)
    context["may_decide"] = permissions.may(account(request), Action.DECIDE, survey)
    context["may_choose"] = permissions.may(account(request), Action.CHOOSE_PLACES, survey)
    known = sorted(row.latitude for row in stations if row.latitude is not None)
    context["cell"] = cell_size_words(survey.place_grid, known[len(known) // 2] if known else None)
    context |= {"grids": PLACE_GRIDS, "heights": PRINT_HEIGHTS}
    if context["may_choose"] and (photo := photo_printed(account(request), survey)):
        top, bottom = 100 * survey.print_top, 100 * survey.print_bottom
        context["example"] = {
            "photo": photo, "top": f"{top:g}%", "bottom": f"{bottom:g}%", "below": f"{100 - bottom:g}%",
        }  # fmt: skip
    context["operations"] = operations_shown(survey)
    compared = bool(request.GET.get("compare")) and bool(context["may_curate"])
    context |= {"compared": compared, "clocks": station_clocks(survey, user=account(request), compare=compared)}
    return render(request, "identification/station_list.html", context)


@require_POST
def places_kept(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Choose what those see of places who may not see them: how wide a cell is, names of stations, what is printed."""
    survey = survey_of(request, survey_id, Action.CHOOSE_PLACES)
    hide = request.POST.get("hide") == "on"
    try:
        grid = float(request.POST.get("grid", ""))
        top, bottom = (float(request.POST.get(name, getattr(survey, name))) for name in ("print_top", "print_bottom"))
        shown = PlacesPolicy(grid, hide, top, bottom)
        places_choose(acting_user=account(request), survey=survey, shown=shown)
    except ValueError:
        messages.error(request, gettext("Choose one of the widths. Nothing was changed."))
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, gettext("Saved. It holds from now on, on pages and in exports."))
    return redirect("survey-stations", survey.pk)


def _place(survey: Survey, latitude: float | None, longitude: float | None, exact: bool) -> str:
    if latitude is None or longitude is None:
        return gettext("unknown")
    return f"{latitude:.5f}, {longitude:.5f}" if exact else grid_cell(latitude, longitude, survey.place_grid)
