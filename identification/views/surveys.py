"""Surveys: the list, the dashboard, and what can be asked of a survey as a whole."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..permissions import Action
from ..presenting import grid_cell
from ..selectors.clocks import station_clocks
from ..selectors.proposals import proposals_open
from ..selectors.review_questions import survey_completeness
from ..selectors.surveys import (
    failed_images,
    matching_words,
    photo_counts,
    skipped_files,
    survey_cards,
    survey_dashboard,
)
from ..services.matching import matching_request
from ..services.places import stations_reveal
from ..services.queue import work_requeue
from .access import account, survey_of
from .downloads import export_download

SKIPPED_PER_PAGE = 100


@require_safe
def survey_list(request: HttpRequest) -> HttpResponse:
    user = account(request)
    context = {"cards": survey_cards(user), "administrator": permissions.is_administrator(user)}
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
    context["goal_percent"] = f"{100 * survey.completeness_goal:.4g}"
    return render(request, "identification/survey_detail.html", context)


_ASKED = (Action.DECIDE, Action.CURATE, Action.INGEST, Action.EXPORT, Action.EXPORT_PLACES, Action.SEE_PLACES)


@never_cache
@require_safe
def survey_progress(request: HttpRequest, survey_id: int) -> JsonResponse:
    """What the dashboard asks for while work is going on."""
    survey = survey_of(request, survey_id)
    photos = photo_counts(survey)
    matching = round(100 * survey.matching_progress) if survey.matching_state == "running" else None
    return JsonResponse(
        {
            "total": photos.total,
            "done": photos.done,
            "failed": photos.failed,
            "running": photos.running,
            "waiting": photos.waiting,
            "through": photos.through,
            "percent": photos.percent,
            "matching": survey.matching_state,
            "matching_label": matching_words(survey, photos),
            "matching_percent": matching,
            "finished": photos.through == photos.total and survey.matching_state in ("done", "failed"),
        }
    )


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
    messages.success(request, f"{number} {'photo is' if number == 1 else 'photos are'} waiting to be processed again.")
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
        messages.success(request, "The photos are being matched again. Decisions stay as they are.")
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
    stations = stations_reveal(acting_user=account(request), survey=survey) if exact else list(survey.stations.all())
    rows = [(station, _place(station.latitude, station.longitude, exact)) for station in stations]
    context = {"survey": survey, "rows": rows, "exact": exact}
    context["may_reveal"] = permissions.may(account(request), Action.SEE_PLACES, survey)
    context["may_curate"] = permissions.may(account(request), Action.CURATE, survey)
    compared = bool(request.GET.get("compare")) and bool(context["may_curate"])
    context |= {"compared": compared, "clocks": station_clocks(survey, user=account(request), compare=compared)}
    return render(request, "identification/station_list.html", context)


def _place(latitude: float | None, longitude: float | None, exact: bool) -> str:
    if latitude is None or longitude is None:
        return "unknown"
    return f"{latitude:.5f}, {longitude:.5f}" if exact else grid_cell(latitude, longitude)
