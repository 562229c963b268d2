"""The page on which published networks are fetched. For administrators."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from .. import permissions
from ..errors import SpotIDError
from ..models import AuditEntry, EmbeddingModel
from ..services.fetching import ASKED, FAILED, FETCHED, model_fetch_request
from .base import account


def fetch_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """What can be fetched, what is here, and what came of it when it was tried last; POST asks for one by name."""
    from ..inference.public_models import published

    user = account(request)
    if not permissions.is_administrator(user):
        raise PermissionDenied
    if request.method == "POST":
        try:
            model_fetch_request(name=request.POST.get("name", ""), acting_user=user)
        except SpotIDError as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, gettext("A worker fetches it; load this page again to see what came of it."))
        return HttpResponseRedirect(reverse("admin:identification_embeddingmodel_fetch"))
    models = dict(EmbeddingModel.objects.values_list("name", "pk"))
    last = last_tries()
    rows = [
        {"known": known, "model": models.get(known.name), "last": last.get(known.name, ("", ""))}
        for known in published()
    ]
    return TemplateResponse(request, "admin/identification/model/fetch.html", {**context, "rows": rows})


def last_tries() -> dict[str, tuple[str, str]]:
    """By name: what was tried last, and what was said of it."""
    words = {ASKED: "Asked for", FAILED: "Not to be had", FETCHED: "Fetched"}
    tries = AuditEntry.objects.filter(action__in=words).order_by("id").values_list("action", "after")
    return {str(after.get("name")): (words[action], str(after.get("reason", ""))) for action, after in tries.iterator()}
