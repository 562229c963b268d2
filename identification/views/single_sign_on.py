"""Single sign-on by OpenID Connect: whose account it is that somebody comes for. docs/decisions/0041-accounts.md."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.openid_connect import views as openid
from allauth.socialaccount.signals import social_account_added
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from requests import RequestException

from ..models import User
from ..services.sign_ins import account_from_sign_on_record, sign_in_failure_record, sign_on_connection_record

logger = logging.getLogger(__name__)


def provider_of(request: HttpRequest, wanted: str = "") -> dict[str, str] | None:
    """Name and address of the provider to sign in at; None where none is configured."""
    for provider in SingleSignOnAdapter(request).list_providers(request):
        query = urlencode({"next": wanted}) if wanted else ""
        address = reverse("openid_connect_login", args=[provider.app.provider_id])
        return {"name": provider.app.name, "address": f"{address}?{query}" if query else address}
    return None


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    """Finds the account of somebody who comes; makes one only where an administrator chose so."""

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[Any]:
        """Only what the environment configures: a row of the database cannot open another door."""
        apps = super().list_apps(request, provider=provider, client_id=client_id)
        return [app for app in apps if app.pk is None]

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Connect with the account that the chosen claim names; refuse where nobody, or more than one, is meant."""
        if sociallogin.is_existing or sociallogin.state.get("process") == AuthProcess.CONNECT:
            return
        said = _claims(sociallogin)
        found = list(_matching(said))
        if len(found) == 1:
            sociallogin.connect(request, found[0])
        elif not settings.SPOTID_OIDC_NEW_ACCOUNTS or _taken(said):
            self._refuse(request, sociallogin)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return bool(settings.SPOTID_OIDC_NEW_ACCOUNTS)

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> Any:
        """An address that the provider has not verified is not taken over."""
        user = super().populate_user(request, sociallogin, data)
        if not _verified(_claims(sociallogin)):
            user.email = ""
        sociallogin.email_addresses = []
        return user

    @transaction.atomic
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> Any:
        user = super().save_user(request, sociallogin, form)
        account_from_sign_on_record(user=user)
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("account")

    def _refuse(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        name = str(_claims(sociallogin).get("preferred_username") or "")
        address = _address(request)
        sign_in_failure_record(name=name, address=address, why="single sign-on without an account")
        raise ImmediateHttpResponse(render(request, "account/signup_closed.html", status=403))


def _claims(sociallogin: SocialLogin) -> dict[str, Any]:
    """What the provider says of somebody. userinfo counts before the identity token, which often says less."""
    said = sociallogin.account.extra_data or {}
    return dict(said.get("userinfo") or said.get("id_token") or said)


def _verified(said: dict[str, Any]) -> str:
    """The e-mail address, if the provider says that it has verified it; else nothing."""
    return str(said.get("email") or "") if said.get("email_verified") in (True, "true") else ""


def _matching(said: dict[str, Any]) -> Any:
    """Accounts that the claims name. Administrators connect theirs themselves: none is found by a claim."""
    accounts = User.objects.filter(is_active=True, is_superuser=False)
    if settings.SPOTID_OIDC_MATCH == "email" and _verified(said):
        return accounts.filter(email__iexact=_verified(said))
    if settings.SPOTID_OIDC_MATCH == "username" and said.get("preferred_username"):
        return accounts.filter(username=said["preferred_username"])
    return accounts.none()


def _taken(said: dict[str, Any]) -> bool:
    """Whether an account bears what is said already: a second one like it would be taken for the first."""
    name, address = str(said.get("preferred_username") or ""), str(said.get("email") or "")
    alike = Q(username__iexact=name) if name else Q(pk=None)
    if address:
        alike |= Q(email__iexact=address) | Q(username__iexact=address)
    return User.objects.filter(alike).exists()


def _address(request: HttpRequest) -> str:
    return str(get_adapter(request).get_client_ip(request))


def _calmly(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A provider that is away, or answers what no provider should, is told in words; allauth lets that through."""

    @login_not_required
    @never_cache
    @wraps(view)
    def calm(request: HttpRequest, provider_id: str) -> HttpResponse:
        try:
            return view(request, provider_id)
        except (RequestException, KeyError, ValueError) as fault:
            logger.warning("The single sign-on gave no answer that can be used: %s: %s", type(fault).__name__, fault)
            return render(request, "socialaccount/authentication_error.html", status=503)

    return calm


start = _calmly(openid.login)
callback = _calmly(openid.callback)


@receiver(social_account_added)
def _connected(sender: Any, request: HttpRequest, sociallogin: SocialLogin, **_rest: Any) -> None:
    user = sociallogin.user
    by = user if request.user.is_authenticated else None
    sign_on_connection_record(acting_user=by, user=user, action="connect", provider=sociallogin.account.provider)
