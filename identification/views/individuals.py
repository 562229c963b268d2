"""Individuals: the catalogue, one animal, contradictions, and taking decisions back."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import Decision, Individual
from ..permissions import Action
from ..selectors.conflicts import contradictions_read
from ..selectors.consequences import undo_outcome, undo_preview
from ..selectors.individuals import (
    individual_cards,
    individual_page,
    individuals_listed,
    successors_of,
)
from ..services.decisions import decision_undo
from ..services.individuals import individual_rename, individual_undeclare
from .access import account, back, individual_of, may_everywhere, may_undeclare, number

CARDS_PER_PAGE = 48


@require_safe
def individual_list(request: HttpRequest) -> HttpResponse:
    user = account(request)
    populations = list(permissions.populations_for(user).order_by("name"))
    surveys = list(permissions.surveys_for(user).select_related("population").order_by("name"))
    chosen_population = number(request.GET.get("population"))
    chosen_survey = number(request.GET.get("survey"))
    population = next((item for item in populations if item.pk == chosen_population), None)
    survey = next((item for item in surveys if item.pk == chosen_survey), None)
    search = request.GET.get("q", "")[:120]
    found = individuals_listed(user=user, population=population, survey=survey, search=search)
    page = Paginator(found, CARDS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "cards": individual_cards(user=user, individuals=list(page.object_list)),
        "page": page,
        "populations": populations,
        "surveys": surveys,
        "population": population,
        "survey": survey,
        "search": search,
    }
    return render(request, "identification/individual_list.html", context)


@require_safe
def individual_detail(request: HttpRequest, individual_id: int) -> HttpResponse:
    individual = individual_of(request, individual_id)
    user = account(request)
    if individual.retired:
        successors = [item for item in successors_of(individual) if _visible(request, item)]
        context = {"individual": individual, "successors": successors}
        return render(request, "identification/individual_retired.html", context)
    page = individual_page(user=user, individual=individual)
    context = {"individual": individual, "page": page, "may_curate": may_everywhere(request, individual, Action.CURATE)}
    context["may_undeclare"] = individual.declared and may_undeclare(request, individual)
    return render(request, "identification/individual_detail.html", context)


def _visible(request: HttpRequest, individual: Individual) -> bool:
    return permissions.individuals_for(account(request)).filter(pk=individual.pk).exists()


def _curated(request: HttpRequest, individual_id: int) -> Individual:
    individual = individual_of(request, individual_id)
    if individual.retired:
        raise Http404("This code is retired.")
    if not may_everywhere(request, individual, Action.CURATE):
        raise PermissionDenied("Names and declarations are for curators of every survey that the animal was seen in.")
    return individual


@require_POST
def rename(request: HttpRequest, individual_id: int) -> HttpResponse:
    individual = _curated(request, individual_id)
    try:
        renamed = individual_rename(
            acting_user=account(request), individual=individual, name=request.POST.get("name", "")
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(
            request, f"{renamed.code} is now called {renamed.name}." if renamed.name else "The name is gone."
        )
    return redirect("individual-detail", individual_id)


@require_POST
def undeclare(request: HttpRequest, individual_id: int) -> HttpResponse:
    individual = individual_of(request, individual_id)
    if not may_undeclare(request, individual):
        raise PermissionDenied("This declaration is somebody else's; a curator can take it back.")
    individual_undeclare(acting_user=account(request), individual=individual)
    messages.success(request, f"{individual.code} is no longer declared. Its matches, if any, stay.")
    return back(request, "individual-detail", individual_id)


@require_safe
def conflict_list(request: HttpRequest) -> HttpResponse:
    user = account(request)
    if not permissions.surveys_for(user, Action.DECIDE).exists() and not permissions.is_administrator(user):
        raise PermissionDenied("Contradictions are for those who decide.")
    found = contradictions_read(user=user)
    context = {"conflicts": found.conflicts, "jumps": found.jumps}
    return render(request, "identification/conflict_list.html", context)


def decision_undo_view(request: HttpRequest, decision_id: int) -> HttpResponse:
    """GET: what would follow. POST: take the decision back."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    decision, any_user = _undoable(request, decision_id)
    if request.method != "POST":
        preview = undo_preview(user=account(request), decision=decision)
        context = {"decision": decision, "preview": preview, **_way_back(request)}
        return render(request, "identification/decision_undo.html", context)
    try:
        decision_undo(acting_user=account(request), decision=decision, any_user=any_user)
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, undo_outcome(user=account(request), decision=decision))
    return back(request, "individual-list")


def _way_back(request: HttpRequest) -> dict[str, str]:
    """Where the page that asked is, for the form and for the link that leaves everything as it is."""
    wanted = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return {"next": wanted if safe else "", "stay": wanted if safe else reverse("individual-list")}


def _undoable(request: HttpRequest, decision_id: int) -> tuple[Decision, bool]:
    """The decision, and whether it is taken back as a curator. 404 when a photo of it is not the account's to see."""
    user = account(request)
    rows = Decision.objects.select_related(
        "acting_user",
        "edge__a__image__survey",
        "edge__b__image__survey",
        "edge__a__image__station",
        "edge__b__image__station",
    )
    decision = get_object_or_404(rows, pk=decision_id, undoes__isnull=True)
    ends = [decision.edge.a, decision.edge.b]
    if permissions.detections_for(user).filter(pk__in=[end.pk for end in ends]).count() != 2:
        raise Http404("No such decision.")
    surveys = [end.image.survey for end in ends]
    if permissions.may_for_all(user, Action.UNDO_ANY, surveys):
        return decision, True
    if decision.acting_user_id == user.pk and permissions.may_for_all(user, Action.DECIDE, surveys):
        return decision, False
    raise PermissionDenied("This decision is somebody else's; a curator can take it back.")
