"""Matches of named animals that reviewers proposed: the curators' list, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import Decision
from ..permissions import Action
from ..selectors.joins import JOINS_SHOWN, joins_listed, joins_shown, joins_waiting
from ..services.joins import join_settle
from .access import account, number, page_of
from .curation import step_done


@require_safe
def join_list(request: HttpRequest) -> HttpResponse:
    """What waits for this account, the oldest first, with both pictures and both galleries."""
    user = account(request)
    if not permissions.surveys_for(user, Action.CURATE).exists() and not permissions.is_administrator(user):
        raise PermissionDenied(gettext("Joining named animals is for curators."))
    page = page_of(request, joins_listed(user), JOINS_SHOWN)
    context = {"joins": joins_shown(user=user, ids=page.object_list), "page": page, "done": step_done(request)}
    return render(request, "identification/join_list.html", context)


@require_POST
def settle(request: HttpRequest, decision_id: int) -> HttpResponse:
    """Join the two animals, or refuse it."""
    user = account(request)
    rows = joins_waiting(user).select_related("acting_user", "edge__a__image__survey__population")
    shown = permissions.detections_for(user).values("pk")
    rows = rows.select_related("edge__b__image__survey__population").filter(edge__a__in=shown, edge__b__in=shown)
    proposal = get_object_or_404(rows, pk=decision_id)
    try:
        decision = join_settle(acting_user=user, proposal=proposal, verdict=request.POST.get("verdict", ""))
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return redirect("join-list")
    page = number(request.POST.get("page")) or 1
    return redirect(f"{reverse('join-list')}?done={decision.pk}&page={page}")


def waits_words(decisions: Iterable[Decision]) -> str:
    """That matches among these wait for a curator; '' where none does."""
    number = sum(row.proposed for row in decisions)
    if not number:
        return ""
    return ngettext(
        "Both animals have names, so the match waits for a curator. Z takes it back.",
        "%(n)s matches wait for a curator: they would join animals that have names. Z takes them back.",
        number,
    ) % {"n": number}


def tell_waiting(request: HttpRequest, decisions: Iterable[Decision]) -> bool:
    """Say so on the next page; returns whether there was something to say."""
    words = waits_words(decisions)
    if words:
        messages.info(request, words)
    return bool(words)
