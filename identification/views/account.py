"""The account's own page: what it may do, how it is protected, and its tokens for programs."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.decorators import reauthentication_required
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.db.models import F
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import ApiToken
from ..selectors.audit import audit_surveys
from ..selectors.members import tokens_of
from ..services import tokens
from .access import account, number, page_of, query_without
from .single_sign_on import provider_of

MEMBERSHIPS_SHOWN, TOKENS_SHOWN = 20, 20


@never_cache
@require_safe
def account_page(request: HttpRequest) -> HttpResponse:
    return render(request, "identification/account.html", _context(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    user = account(request)
    kinds = {row.type: row for row in Authenticator.objects.filter(user=user)}
    codes = kinds.get(Authenticator.Type.RECOVERY_CODES)
    memberships = user.memberships.select_related("survey", "population").order_by(
        Coalesce("population__name", "survey__population__name"), F("survey__name").asc(nulls_first=True), "pk"
    )
    return {
        "administrator": permissions.is_administrator(user),
        "memberships": page_of(request, memberships, MEMBERSHIPS_SHOWN, "memberships"),
        "memberships_query": query_without(request, "memberships"),
        "two_factor": kinds.get(Authenticator.Type.TOTP),
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "has_password": user.has_usable_password(),
        "provider": provider_of(request),
        "connected": SocialAccount.objects.filter(user=user).exists(),
        "tokens": page_of(request, tokens_of(user), TOKENS_SHOWN, "tokens"),
        "tokens_query": query_without(request, "tokens"),
        "now": timezone.now(),
        "days": tokens.DAYS,
        "may_audit": permissions.is_administrator(user) or audit_surveys(user).exists(),
    }


def _can_prove(request: HttpRequest) -> bool:
    """Whether the account has a password or a second factor to prove itself with; who came by sign-on has neither."""
    return bool(get_adapter(request).get_reauthentication_methods(account(request)))


@never_cache
@require_POST
@reauthentication_required(enabled=_can_prove)
def token_make(request: HttpRequest) -> HttpResponse:
    """A new token, shown in this answer and never again."""
    try:
        token, text = tokens.token_make(
            acting_user=account(request),
            name=request.POST.get("name", ""),
            days=number(request.POST.get("days")) or 0,
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return redirect("account")
    return render(request, "identification/account.html", {**_context(request), "made": token, "made_text": text})


@require_POST
def token_revoke(request: HttpRequest, token_key: str) -> HttpResponse:
    """One's own token is refused from now on."""
    token = get_object_or_404(ApiToken.objects.select_related("user"), token_key=token_key, user=account(request))
    tokens.token_revoke(acting_user=account(request), token=token)
    messages.success(request, gettext("The token “%(name)s” is revoked.") % {"name": token.name})
    return redirect("account")
