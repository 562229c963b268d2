"""Who asks: the account, what it may do where, and its tokens."""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.core.exceptions import PermissionDenied
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from rest_framework import serializers as s
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny

from .. import permissions
from ..models import ApiToken, Role
from ..selectors.audit import audit_surveys
from ..selectors.members import tokens_of
from ..services import tokens
from ..views.health import health
from .base import ApiView, operation
from .paging import Page, PageQuery, by_place
from .shapes import PopulationRef, SurveyRef


class HealthOut(s.Serializer):
    status = s.CharField()
    database = s.CharField()
    worker = s.DictField(required=False)
    photos_waiting = s.IntegerField(required=False)


class Health(ApiView):
    permission_classes = [AllowAny]

    @operation("Whether the installation is well", out=HealthOut)
    def get(self, request: Any) -> JsonResponse:
        """Open to everybody: no name, no path. 503 while the database is away."""
        return health(request._request)


class MembershipOut(s.Serializer):
    id = s.IntegerField(source="pk")
    survey = SurveyRef(allow_null=True)
    population = PopulationRef(allow_null=True)
    role = s.ChoiceField(choices=Role.values)
    may_see_places = s.BooleanField()


class AccountOut(s.Serializer):
    """Beside its rights, how it is protected: to change that, a browser is needed."""

    id = s.IntegerField()
    username = s.CharField()
    first_name = s.CharField(allow_blank=True)
    last_name = s.CharField(allow_blank=True)
    email = s.CharField(allow_blank=True)
    has_password = s.BooleanField()
    two_factor = s.BooleanField()
    recovery_codes_left = s.IntegerField()
    single_sign_on = s.BooleanField()
    administrator = s.BooleanField()
    may_read_audit = s.BooleanField()
    memberships = MembershipOut(many=True)


class Account(ApiView):
    @operation("The account that asks, and its memberships", out=AccountOut)
    def get(self, request: Any) -> dict[str, Any]:
        administrator = permissions.is_administrator(self.user)
        kinds = {row.type: row for row in Authenticator.objects.filter(user=self.user)}
        codes = kinds.get(Authenticator.Type.RECOVERY_CODES)
        return {
            "id": self.user.pk,
            **{name: getattr(self.user, name) for name in ("username", "first_name", "last_name", "email")},
            "has_password": self.user.has_usable_password(),
            "two_factor": Authenticator.Type.TOTP in kinds,
            "recovery_codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
            "single_sign_on": SocialAccount.objects.filter(user=self.user).exists(),
            "administrator": administrator,
            "may_read_audit": administrator or audit_surveys(self.user).exists(),
            "memberships": self.user.memberships.select_related("survey", "population").order_by("pk"),
        }


def confirmed_lately(request: Any) -> bool:
    """Whether this is a browser's session in which the password, or the second factor, was given lately."""
    session = isinstance(request.successful_authenticator, SessionAuthentication)
    return session and bool(did_recently_reauthenticate(request._request))


class TokenOut(s.Serializer):
    key = s.CharField(source="token_key", help_text="The first characters, which tell one from another.")
    name = s.CharField()
    created = s.DateTimeField()
    expiry = s.DateTimeField(allow_null=True)
    last_used_at = s.DateTimeField(allow_null=True)


class TokenIn(s.Serializer):
    name = s.CharField(max_length=80)
    days = s.ChoiceField(choices=tokens.DAYS)


class TokenMade(TokenOut):
    text = s.CharField(help_text="What is sent. It is not kept, and shown only now.")


class Tokens(ApiView):
    @operation("The tokens of the account", out=TokenOut, paged=True, query=PageQuery)
    def get(self, request: Any) -> Page:
        return by_place(tokens_of(self.user), self.asked())

    @operation("Make a token", out=TokenMade, body=TokenIn, status=201, keyed=False)
    def post(self, request: Any) -> Any:
        """Only in a browser's session in which the password, or the second factor, was given lately: a token makes no
        other, so that one that got lost cannot outlive itself."""
        if not confirmed_lately(request):
            raise PermissionDenied(gettext("Tokens are made on the page of the account, after the password was given."))
        said = self.said()
        token, text = tokens.token_make(acting_user=self.user, name=said["name"], days=said["days"])
        token.text = text
        return token


class Token(ApiView):
    @operation("Revoke a token")
    def delete(self, request: Any, token_key: str) -> None:
        """It is refused from now on. A program may revoke the one that it signs in with, an administrator anybody's."""
        rows = ApiToken.objects.select_related("user")
        if not permissions.is_administrator(self.user):
            rows = rows.filter(user=self.user)
        token = get_object_or_404(rows, token_key=token_key)
        tokens.token_revoke(acting_user=self.user, token=token)
