"""Finding what a URL names, for the account that asks. What it may not see is answered as if it did not exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext

from .. import permissions
from ..models import Decision, Detection, Image, Individual, Survey, User
from ..permissions import Action
from ..prepared import Given, Prepared
from ..selectors.individuals import declaration_of


def account(request: HttpRequest) -> User:
    """The account that asks. Only views behind the sign-in may call it."""
    return cast(User, request.user)


def reads_rights_once(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view that asks many times what the account may do, and changes nothing of it."""

    @wraps(view)
    def reading(request: HttpRequest, *args: Any, **named: Any) -> HttpResponse:
        with permissions.rights_read_once(account(request)):
            return view(request, *args, **named)

    return reading


_SURVEY = Prepared(lambda: Survey.objects.select_related("population").filter(pk=Given("survey")))


def survey_of(request: HttpRequest, survey_id: int, action: Action = Action.SEE) -> Survey:
    """The survey, for an action. Raises Http404 when it is not to be seen, PermissionDenied when not to do."""
    user = account(request)
    if (seen := permissions.surveys_read(user, Action.SEE)) is None:
        survey = get_object_or_404(permissions.surveys_for(user).select_related("population"), pk=survey_id)
    else:
        found = _SURVEY(survey=survey_id) if survey_id in seen else []
        if not found:
            raise Http404("No such survey.")
        survey = found[0]
    if action != Action.SEE:
        permissions.require(user, action, survey)
    return survey


def image_of(request: HttpRequest, image_id: int, action: Action = Action.SEE) -> Image:
    user = account(request)
    found = permissions.images_for(user).select_related("survey__population", "station", "work", "event")
    image = get_object_or_404(found, pk=image_id)
    if action != Action.SEE:
        permissions.require(user, action, image.survey)
    return image


def detection_of(request: HttpRequest, detection_id: int, action: Action = Action.SEE) -> Detection:
    user = account(request)
    found = permissions.detections_for(user).select_related("image__survey__population", "image__station", "individual")
    detection = get_object_or_404(found, pk=detection_id)
    if action != Action.SEE:
        permissions.require(user, action, detection.image.survey)
    return detection


def individual_of(request: HttpRequest, individual_id: int) -> Individual:
    """A standing individual with a visible photo, or a retired one that stood for a photo that is visible."""
    user = account(request)
    found = Individual.objects.select_related("population", "founder__image__survey", "merged_into__population")
    individual = get_object_or_404(found, pk=individual_id)
    if permissions.individuals_for(user).filter(pk=individual.pk).exists():
        return individual
    if individual.retired and permissions.detections_for(user).filter(pk=individual.founder_id).exists():
        return individual
    raise Http404("No such individual.")


def may_everywhere(request: HttpRequest, individual: Individual, action: Action) -> bool:
    """Whether the account may take the action in every survey that the animal was seen in.

    Of an animal without photos (retired, or all matched elsewhere) the survey of its founding photo decides.
    """
    seen = list(Survey.objects.filter(images__detections__individual=individual).distinct())
    return permissions.may_for_all(account(request), action, seen or [individual.founder.image.survey])


def curated_of(request: HttpRequest, individual_id: int, action: Action = Action.CURATE) -> Individual:
    """A standing individual for a curator of every survey that it was seen in, or who may take another action there."""
    individual = individual_of(request, individual_id)
    if individual.retired:
        raise Http404("This code is retired.")
    if not may_everywhere(request, individual, action):
        raise PermissionDenied(gettext("Animals are for curators of every survey that they were seen in."))
    return individual


def undone_as_curator(request: HttpRequest, decisions: Sequence[Decision]) -> bool:
    """Whether the account takes the decisions back as a curator (else they are its own).

    Raises Http404 when a photo of one is not the account's to see, PermissionDenied when one is not its to take back.
    decisions: with `edge__a__image__survey` and `edge__b__image__survey` at hand.
    """
    user = account(request)
    ends = {end.pk: end for row in decisions for end in (row.edge.a, row.edge.b)}
    if permissions.detections_for(user).filter(pk__in=list(ends)).count() != len(ends):
        raise Http404("No such decision.")
    surveys = [end.image.survey for end in ends.values()]
    if permissions.may_for_all(user, Action.UNDO_ANY, surveys):
        return True
    own = all(row.acting_user_id == user.pk for row in decisions)
    if own and permissions.may_for_all(user, Action.DECIDE, surveys):
        return False
    raise PermissionDenied(gettext("This decision is somebody else's; a curator can take it back."))


def may_undeclare(request: HttpRequest, individual: Individual) -> bool:
    """Whether the account may take the declaration back: as a curator everywhere, or because it is its own."""
    if may_everywhere(request, individual, Action.CURATE):
        return True
    last = declaration_of(individual)
    own = last is not None and last.acting_user_id == request.user.pk
    return own and may_everywhere(request, individual, Action.DECIDE)


def back(request: HttpRequest, fallback: str, *args: object, query: str = "") -> HttpResponseRedirect:
    """To where the form's `next` says, when it stays on this site; else to the fallback view."""
    wanted = safe_next(request, request.POST.get("next", ""))
    return redirect(wanted or reverse(fallback, args=args) + query)


def page_of(request: HttpRequest, rows: Any, most: int, name: str = "page") -> Page[Any]:
    """The page of a list that the address asks for: by `page`, or by another name where a page has several lists."""
    return Paginator(rows, most).get_page(request.GET.get(name))


def query_without(request: HttpRequest, *names: str) -> str:
    """What the address says beside these: for links that change one of them alone."""
    kept = request.GET.copy()
    for name in names:
        kept.pop(name, None)
    return kept.urlencode()


def safe_next(request: HttpRequest, wanted: str) -> str:
    """An address that stays on this site; '' for any other."""
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if wanted and safe else ""


def number(text: str | None) -> int | None:
    """A row id out of a query string; None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def key_of(text: str | None) -> UUID | None:
    """A key that a browser made; None for anything else."""
    try:
        return UUID(text or "")
    except ValueError:
        return None
