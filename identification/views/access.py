"""Finding what a URL names, for the account that asks. What it may not see is answered as if it did not exist."""

from __future__ import annotations

from typing import cast

from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from .. import permissions
from ..models import Detection, Image, Individual, Survey, User
from ..permissions import Action
from ..selectors.individuals import declaration_of


def account(request: HttpRequest) -> User:
    """The account that asks. Only views behind the sign-in may call it."""
    return cast(User, request.user)


def survey_of(request: HttpRequest, survey_id: int, action: Action = Action.SEE) -> Survey:
    """The survey, for an action. Raises Http404 when it is not to be seen, PermissionDenied when not to do."""
    user = account(request)
    survey = get_object_or_404(permissions.surveys_for(user).select_related("population"), pk=survey_id)
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


def may_undeclare(request: HttpRequest, individual: Individual) -> bool:
    """Whether the account may take the declaration back: as a curator everywhere, or because it is its own."""
    if may_everywhere(request, individual, Action.CURATE):
        return True
    last = declaration_of(individual)
    own = last is not None and last.acting_user_id == request.user.pk
    return own and may_everywhere(request, individual, Action.DECIDE)


def back(request: HttpRequest, fallback: str, *args: object, query: str = "") -> HttpResponseRedirect:
    """To where the form's `next` says, when it stays on this site; else to the fallback view."""
    wanted = request.POST.get("next", "")
    if wanted and url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        return redirect(wanted)
    return redirect(reverse(fallback, args=args) + query)


def number(text: str | None) -> int | None:
    """A row id out of a query string; None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
