"""The one door for people: password, second factor, single sign-on, all by django-allauth.

What is here hooks the record of who came and went into it, and words that do not tell who has an account.
"""

from __future__ import annotations

import hashlib
from typing import Any

from allauth.account import views as account_views
from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.account.forms import LoginForm
from allauth.core import context as allauth_context
from allauth.core.ratelimit import consume_or_429
from allauth.mfa import signals as mfa_signals
from allauth.mfa.adapter import DefaultMFAAdapter
from django import forms
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.signals import user_logged_out
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from ..models import User
from ..services.sign_ins import (
    password_change_record,
    second_factor_record,
    sign_in_failure_record,
    sign_in_record,
    sign_out_record,
)
from .access import account, safe_next
from .single_sign_on import provider_of


class AccountAdapter(DefaultAccountAdapter):
    """No open sign-up; everything that happens at the door is written down."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _("User name and password do not belong together. Capital letters count."),
        "too_many_login_attempts": _("Too many attempts. Wait five minutes, then try again."),
        "incorrect_password": _("This is not your password."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts are made by administrators, or by single sign-on where they chose so."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """Nowhere but here: allauth would also lead to other names that this server answers to."""
        return bool(safe_next(allauth_context.request, url or ""))

    def add_message(self, request: HttpRequest, level: int, *args: Any, **options: Any) -> None:
        """Faults only: of what went well the pages speak by themselves."""
        if level >= messages.ERROR:
            super().add_message(request, level, *args, **options)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except forms.ValidationError:
            # Once while it lasts: who goes on trying shall not fill the log.
            tried = f"{credentials.get('username')}\n{self.get_client_ip(request)}".encode()
            if cache.add(f"spotid.throttled:{hashlib.sha256(tried).hexdigest()}", True, timeout=300):
                self._failed(request, credentials, "too many attempts")
            raise

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """By account alone. allauth's own key has the name and port in it that the visitor's browser says it asks for:
        whoever makes those up would have attempts without end."""
        return str(credentials.get("username") or "").lower()

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        self._failed(request, credentials, "password")

    def _failed(self, request: HttpRequest, credentials: dict[str, Any], why: str) -> None:
        name = str(credentials.get("username") or "")
        sign_in_failure_record(name=name, address=self.get_client_ip(request), why=why)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        sign_in_failure_record(name=user.username, address=self.get_client_ip(request), why="account is switched off")
        return super().respond_user_inactive(request, user)

    def post_login(self, request: HttpRequest, user: Any, **options: Any) -> HttpResponse:
        sign_in_record(user=user, address=self.get_client_ip(request), how=_how(request))
        return super().post_login(request, user, **options)


class SignInForm(LoginForm):
    """allauth's form with the field `username`, which scripts that sign in have always filled."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["username"] = self.fields.pop("login")

    def clean(self) -> dict[str, Any]:
        if "username" in self.cleaned_data:
            self.cleaned_data["login"] = self.cleaned_data["username"].strip()
        return super().clean()


class SignInView(account_views.LoginView):
    """Too many requests from one address are refused before any password is looked at."""

    def get_context_data(self, **options: Any) -> dict[str, Any]:
        context = super().get_context_data(**options)
        wanted = safe_next(self.request, self.request.POST.get("next") or self.request.GET.get("next") or "")
        return {**context, "next": wanted, "provider": provider_of(self.request, wanted)}


class TwoFactorAdapter(DefaultMFAAdapter):
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("This code is not right, or not valid any more. Take the next one."),
    }

    def get_totp_label(self, user: Any) -> str:
        return str(user.username)


class PasswordChange(auth_views.PasswordChangeView):
    """Also the one of the admin. Who found a browser signed in shall not guess the password here."""

    def post(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        refused = consume_or_429(request, action="change_password", user=request.user)
        return refused or super().post(request, *args, **options)

    def form_valid(self, form: Any) -> HttpResponse:
        done = super().form_valid(form)
        password_change_record(user=account(self.request))
        return done


@method_decorator(never_cache, name="dispatch")
class SignOut(auth_views.LogoutView):
    http_method_names = ["post", "options"]


@login_not_required
@never_cache
def admin_door(request: HttpRequest) -> HttpResponse:
    """The admin has no sign-in of its own, so that neither throttle nor second factor can be walked around."""
    wanted = safe_next(request, request.POST.get("next") or request.GET.get("next") or "") or reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect(f"{reverse('login')}?{urlencode({'next': wanted})}")
    if not account(request).is_staff:
        raise PermissionDenied(gettext("The admin is for staff."))
    return redirect(wanted)


def _how(request: HttpRequest) -> str:
    """By what the account that has just signed in proved who it is."""
    used = {record["method"] for record in get_authentication_records(request, account(request))}
    first = "single sign-on" if "socialaccount" in used else "password"
    return f"{first}, two-factor" if "mfa" in used else first


@receiver(user_logged_out)
def _signed_out(sender: Any, user: User | None, **_rest: Any) -> None:
    if user is not None:
        sign_out_record(user=user)


def _second_factor(action: str) -> Any:
    def record(sender: Any, request: HttpRequest, user: Any, authenticator: Any, **_rest: Any) -> None:
        second_factor_record(acting_user=account(request), user=user, action=action, kind=authenticator.type)

    return record


_RECORDED = {
    mfa_signals.authenticator_added: _second_factor("add"),
    mfa_signals.authenticator_removed: _second_factor("remove"),
    mfa_signals.authenticator_reset: _second_factor("renew"),
}
for _signal, _record in _RECORDED.items():
    _signal.connect(_record)


@receiver(mfa_signals.authentication_failed)
def _wrong_code(sender: Any, request: HttpRequest, user: Any, **_rest: Any) -> None:
    address = get_adapter(request).get_client_ip(request)
    sign_in_failure_record(name=user.username, address=address, why="second factor")


sign_in = SignInView.as_view()
sign_out = login_not_required(SignOut.as_view())
