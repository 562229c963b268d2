"""Individuals: the catalogue, one animal, contradictions, and taking decisions back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import AgeClass, Decision, Individual, Population, Sex, Survey, User
from ..permissions import Action
from ..selectors.captures import captures_coarse, surveys_placed
from ..selectors.conflicts import contradictions_read
from ..selectors.consequences import undo_outcome, undo_preview
from ..selectors.curation import decisions_together
from ..selectors.individual_page import PagesWanted, individual_page
from ..selectors.individuals import (
    FLANKS_SEEN,
    ORDERS,
    contradictory_among,
    individual_cards,
    individuals_listed,
    retired_found,
    successors_of,
)
from ..services.catalogue import individual_describe
from ..services.decisions import decision_undo
from ..services.individuals import individual_rename, individual_undeclare
from ..services.places import captures_reveal
from .access import (
    account,
    back,
    curated_of,
    individual_of,
    may_everywhere,
    may_undeclare,
    query_without,
    reads_rights_once,
    undone_as_curator,
)
from .choosing import chooser
from .curation import step_done
from .sketches import sketch, timeline

CARDS_PER_PAGE = 36
_PICKED: dict[str, dict[Any, Any]] = {
    "sex": {**{value: label for value, label in Sex.choices if value}, "unknown": gettext_lazy("Not known")},
    "age_class": {**{value: label for value, label in AgeClass.choices if value}, "unknown": gettext_lazy("Not known")},
    "flanks": FLANKS_SEEN,
    "order": ORDERS,
}


@require_safe
def individual_list(request: HttpRequest) -> HttpResponse:
    user = account(request)
    populations = chooser(request, "population", permissions.populations_for(user).order_by("name"), among=("name",))
    surveys = chooser(request, "survey", permissions.surveys_for(user).order_by("name"), among=("name",))
    population: Population | None = populations.chosen
    survey: Survey | None = surveys.chosen
    search = request.GET.get("q", "")[:120]
    picked = {name: _one_of(request, name, allowed) for name, allowed in _PICKED.items()}
    found = individuals_listed(user=user, population=population, survey=survey, search=search, **picked)
    page = Paginator(found, CARDS_PER_PAGE).get_page(request.GET.get("page"))
    individuals = list(page.object_list)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "cards": individual_cards(user=user, individuals=individuals),
        "torn": contradictory_among(user=user, individuals=individuals),
        "retired": retired_found(user=user, search=search),
        "page": page,
        "query": query.urlencode(),
        "populations": populations,
        "surveys": surveys,
        "population": population,
        "survey": survey,
        "search": search,
        "reviewed": _reviewed(user, survey, population),
        "exported": _exported(user, population),
        "choices": _PICKED,
        "narrowed": bool(search or survey or population or any(v for k, v in picked.items() if k != "order")),
        **picked,
    }
    return render(request, "identification/individual_list.html", context)


def _exported(user: User, population: Population | None) -> list[Population]:
    """The populations whose exports the page leads to: what is chosen, at most three."""
    rows = Population.objects.filter(surveys__in=permissions.surveys_for(user, Action.EXPORT))
    if population is not None:
        rows = rows.filter(pk=population.pk)
    return list(rows.distinct().order_by("name")[:3])


def _reviewed(user: User, survey: Survey | None, population: Population | None) -> list[Survey]:
    """The surveys whose photos that stand alone the page leads to: what is chosen, at most three, the newest first."""
    rows = permissions.surveys_for(user, Action.DECIDE)
    if survey is not None:
        rows = rows.filter(pk=survey.pk)
    elif population is not None:
        rows = rows.filter(population=population)
    return list(rows.order_by("-pk")[:3])


def _one_of(request: HttpRequest, name: str, allowed: dict[str, str]) -> str:
    wanted = request.GET.get(name, "")
    return wanted if wanted in allowed else ""


@require_safe
@reads_rights_once
def individual_detail(request: HttpRequest, individual_id: int) -> HttpResponse:
    individual = individual_of(request, individual_id)
    user = account(request)
    if individual.retired and not individual.detections.exists():
        successors = [item for item in successors_of(individual) if _visible(request, item)]
        return render(
            request, "identification/individual_retired.html", {"individual": individual, "successors": successors}
        )
    by_visit = request.GET.get("by") == "visit"
    wanted = PagesWanted(*(request.GET.get(name) for name in ("page", "visits", "matches", "log")))
    page = individual_page(user=user, individual=individual, by_visit=by_visit, wanted=wanted)
    curates = may_everywhere(request, individual, Action.CURATE)
    context = {
        "individual": individual,
        "page": page,
        "shown": page.shown,
        "by_visit": by_visit,
        "kept": {name: query_without(request, name, "done") for name in ("page", "visits", "matches", "log", "by")},
        "timeline": timeline(page.marks),
        "may_curate": curates,
        "may_propose": not curates and may_everywhere(request, individual, Action.DECIDE),
        "may_places": bool(surveys_placed(user=user, individual=individual)),
        "sexes": Sex.choices,
        "age_classes": AgeClass.choices,
        "done": step_done(request),
        "decidable": permissions.surveys_for(user, Action.DECIDE).filter(pk__in=[row.pk for row in page.seen.surveys]),
    }
    context["may_undeclare"] = individual.declared and may_undeclare(request, individual)
    return render(request, "identification/individual_detail.html", context)


def individual_map(request: HttpRequest, individual_id: int) -> HttpResponse:
    """Where the animal was seen: in cells of the grid. A POST shows exact places, which is written to the audit log."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    individual = individual_of(request, individual_id)
    placed = bool(surveys_placed(user=account(request), individual=individual))
    if request.method != "POST":
        captures = captures_coarse(user=account(request), individual=individual)
        context = {"individual": individual, "captures": captures, "sketch": sketch(captures.stations), "coarse": True}
        return render(request, "identification/individual_map.html", context | {"may_places": placed})
    if not placed:
        raise PermissionDenied(gettext("Places are for those who were granted them."))
    captures = captures_reveal(acting_user=account(request), individual=individual)
    context = {"individual": individual, "captures": captures, "sketch": sketch(captures.stations)}
    return render(request, "identification/individual_map.html", context)


@require_POST
def describe(request: HttpRequest, individual_id: int) -> HttpResponse:
    individual = curated_of(request, individual_id)
    try:
        individual_describe(
            acting_user=account(request),
            individual=individual,
            sex=request.POST.get("sex"),
            age_class=request.POST.get("age_class"),
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, gettext("Sex and age class are saved."))
    return redirect("individual-detail", individual_id)


def _visible(request: HttpRequest, individual: Individual) -> bool:
    return permissions.individuals_for(account(request)).filter(pk=individual.pk).exists()


@require_POST
def rename(request: HttpRequest, individual_id: int) -> HttpResponse:
    individual = curated_of(request, individual_id)
    try:
        renamed = individual_rename(
            acting_user=account(request), individual=individual, name=request.POST.get("name", "")
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(
            request,
            gettext("%(code)s is now called %(name)s.") % {"code": renamed.code, "name": renamed.name}
            if renamed.name
            else gettext("The name is gone."),
        )
    return redirect("individual-detail", individual_id)


@require_POST
def undeclare(request: HttpRequest, individual_id: int) -> HttpResponse:
    individual = individual_of(request, individual_id)
    if not may_undeclare(request, individual):
        raise PermissionDenied(gettext("This declaration is somebody else's; a curator can take it back."))
    individual_undeclare(acting_user=account(request), individual=individual)
    messages.success(
        request, gettext("%(code)s is no longer declared. Its matches, if any, stay.") % {"code": individual.code}
    )
    return back(request, "individual-detail", individual_id)


@require_safe
@reads_rights_once
def conflict_list(request: HttpRequest) -> HttpResponse:
    user = account(request)
    if not permissions.surveys_for(user, Action.DECIDE).exists() and not permissions.is_administrator(user):
        raise PermissionDenied(gettext("Contradictions are for those who decide."))
    found = contradictions_read(user=user, number=request.GET.get("page"))
    return render(
        request,
        "identification/conflict_list.html",
        {"found": found, "conflicts": found.conflicts, "jumps": found.jumps, "opposed": found.opposed}
        | {"page": found.page, "done": step_done(request)},
    )


def decision_undo_view(request: HttpRequest, decision_id: int) -> HttpResponse:
    """GET: what would follow. POST: take the decision back."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    decision, any_user = _undoable(request, decision_id)
    if request.method != "POST":
        preview = undo_preview(user=account(request), decision=decision)
        context = {"decision": decision, "preview": preview, "together": _together(request, decision)}
        context |= _way_back(request)
        return render(request, "identification/decision_undo.html", context)
    try:
        decision_undo(acting_user=account(request), decision=decision, any_user=any_user)
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, undo_outcome(user=account(request), decision=decision))
    return back(request, "individual-list")


def _together(request: HttpRequest, decision: Decision) -> int:
    """How many decisions of the same step the account may take back together; 0 where it is one alone."""
    rows = decisions_together(decision)
    try:
        undone_as_curator(request, rows)
    except (Http404, PermissionDenied):
        return 0
    return len(rows) if len(rows) > 1 else 0


def _way_back(request: HttpRequest) -> dict[str, str]:
    """Where the page that asked is, for the form and for the link that leaves everything as it is."""
    wanted = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return {"next": wanted if safe else "", "stay": wanted if safe else reverse("individual-list")}


def _undoable(request: HttpRequest, decision_id: int) -> tuple[Decision, bool]:
    """The decision, and whether it is taken back as a curator. 404 when a photo of it is not the account's to see."""
    rows = Decision.objects.select_related(
        "acting_user",
        "edge__a__image__survey",
        "edge__b__image__survey",
        "edge__a__image__station",
        "edge__b__image__station",
    )
    decision = get_object_or_404(rows, pk=decision_id, undoes__isnull=True)
    return decision, undone_as_curator(request, [decision])
