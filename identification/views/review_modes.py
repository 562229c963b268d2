"""Which part of a review is asked, what lies beside the pictures, and photos that stand alone."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from ..errors import SpotIDError
from ..models import Detection, Individual, Survey
from ..permissions import Action, detections_for, survey_ids_for, surveys_for
from ..selectors.beside import beside
from ..selectors.ghosts import ghosts
from ..selectors.individuals import animals_exist
from ..selectors.review_modes import Scope, ScopeShown, choices, scope_parse, scope_shown, scope_stored, unsure_own
from ..services.review import review_mode_set
from .access import account, number, survey_of
from .choosing import chooser, chooser_of_list


def scope_of(request: HttpRequest, survey: Survey) -> ScopeShown:
    """What is asked now: the part that the address or the form's `within` names, else what was chosen last.

    An address shows a part and chooses nothing. One that names what is not there counts as none.
    """
    kept: dict[int, ScopeShown] = request.__dict__.setdefault("review_scopes", {})
    if survey.pk not in kept:
        kept[survey.pk] = _scope_of(request, survey)
    return kept[survey.pk]


def _scope_of(request: HttpRequest, survey: Survey) -> ScopeShown:
    user = account(request)
    form = request.POST if request.method == "POST" else request.GET
    said = QueryDict(form.get("within", "")) if "within" in form else request.GET
    asked = scope_parse(said.dict())
    scopes = [asked] if asked is not None and asked.narrow else []
    for scope in [*scopes, scope_stored(user=user, survey=survey)]:
        shown = scope_shown(user=user, survey=survey, scope=scope)
        if shown is not None:
            return shown
    return ScopeShown(Scope())


def within(request: HttpRequest) -> str:
    """The part that the page was in, for the address to go on with: checked, '' for none."""
    scope = scope_parse(QueryDict(request.POST.get("within", "")).dict())
    return scope.query if scope is not None else ""


def review_address(survey: Survey, *parts: str) -> str:
    """The review page with these parts of a query, empty ones left out."""
    query = "&".join(part for part in parts if part)
    return reverse("review", args=[survey.pk]) + (f"?{query}" if query else "")


def any_animal(survey: Survey) -> Any:
    """Whether the catalogue has an animal, asked for where it is said, and once."""
    return SimpleLazyObject(partial(animals_exist, population_id=survey.population_id))


def survey_parts(request: HttpRequest, survey: Survey) -> dict[str, Any]:
    """What every page of the review needs: the part that is asked, where boxes may be drawn, why one is not usable."""
    return {
        "catalogued": any_animal(survey),
        "scope": scope_of(request, survey),
        "curates": survey_ids_for(account(request), Action.CURATE, survey.population_id),
    }


def pair_parts(survey: Survey, first: Detection, second: Detection, scope: ScopeShown, here: str) -> dict[str, Any]:
    """What the page of one pair needs beside its pictures. here: the query that leads to this very pair."""
    query = urlencode({"anchor": first.pk, "candidate": second.pk})
    return {
        "beside": f"{reverse('review-beside', args=[survey.pk])}?{query}",
        "here": review_address(survey, here, scope.query),
        "about": f"{first.pk}-{second.pk}",
    }


@require_POST
def mode(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Choose the order of review, or the part of the survey, and go on in it."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    scope = scope_parse(request.POST.dict())
    try:
        if scope is None:
            raise SpotIDError(_unchosen(request.POST.get("mode", "")))
        shown = scope_shown(user=user, survey=survey, scope=scope)
        if shown is None:
            raise SpotIDError(gettext("That station or animal is not part of this survey. Choose another."))
        review_mode_set(user=user, survey=survey, mode=scope.mode, focus=scope.focus)
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return redirect("review", survey.pk)
    return redirect(review_address(survey, scope.query))


def _unchosen(wanted: str) -> str:
    needs = {
        "station": gettext("Choose a station."),
        "individual": gettext("Choose an animal."),
        "date": gettext("Give at least one date."),
    }
    return needs.get(wanted) or gettext("%(mode)s is no order of review.") % {"mode": repr(wanted)}


@require_safe
def modes(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Every order and part of the review to choose from."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    found = choices(user=user, survey=survey)
    context = {"survey": survey, "scope": scope_of(request, survey), "choices": found}
    labels = [(pk, f"{code} ({photos})") for pk, code, photos in found.stations]
    context["stations"] = chooser_of_list(request, "station", labels)
    named = ("name", "number")
    context["animals"] = chooser(request, "individual", found.individuals, words=_code_and_name, among=named)
    context["unsure"] = unsure_own(user=user, survey=survey)
    return render(request, "identification/review_choose.html", context)


def _code_and_name(animal: Individual) -> str:
    return f"{animal.code} {animal.name}".strip()


@require_safe
def beside_page(request: HttpRequest, survey_id: int) -> HttpResponse:
    """What lies beside the pictures of a pair; with `part`, without the page around it."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    first, second = _pair(request, survey)
    scope = scope_of(request, survey)
    notes = beside(user=account(request), survey=survey, first=first, second=second)
    context: dict[str, Any] = {"survey": survey, "notes": notes}
    context |= {"first": first, "second": second, "scope": scope, "part": request.GET.get("part") == "1"}
    name = "_beside" if context["part"] else "review_beside"
    response = render(request, f"identification/{name}.html", context)
    patch_cache_control(response, private=True, no_store=True)
    return response


def _pair(request: HttpRequest, survey: Survey) -> tuple[Detection, Detection]:
    """Both detections of the address, each of a survey in which the account may decide; the first of this survey."""
    ids = number(request.GET.get("anchor")), number(request.GET.get("candidate"))
    if None in ids or ids[0] == ids[1]:
        raise Http404("No such pair.")
    rows = detections_for(account(request)).select_related("image__survey", "image__station", "individual__population")
    decidable = surveys_for(account(request), Action.DECIDE).filter(population=survey.population_id)
    first = get_object_or_404(rows, pk=ids[0], image__survey=survey)
    return first, get_object_or_404(rows, pk=ids[1], image__survey__in=decidable)


@require_safe
def alone(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Photos that stand alone, the likeliest missed match first."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    found = ghosts(user=account(request), survey=survey, number=request.GET.get("page"))
    context = {"survey": survey, "found": found, "page": found.page, "catalogued": any_animal(survey)}
    return render(request, "identification/review_alone.html", context)
