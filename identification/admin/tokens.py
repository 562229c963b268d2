"""Tokens of programs: administrators see everybody's and revoke them. Second factors are taken away beside accounts."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from knox.models import AuthToken
from unfold.decorators import display

from .. import permissions
from ..models import ApiToken
from ..services.tokens import token_revoke
from .base import ReadOnlyAdmin, account
from .pictures import clock

# What these packages bring of their own would show secrets, or open a second way to change what is written down here.
for _model in (AuthToken, EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("user",)
    list_display = ("name", "token_key", "user", "made", "used", "ends")
    search_fields = ("name", "token_key", "user__username")
    ordering = ("-created",)
    fields = ("name", "token_key", "user", "made", "used", "ends")
    readonly_fields = fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return list(self.fields)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.is_administrator(account(request))

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        token_revoke(acting_user=account(request), token=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        rows = list(queryset.select_related("user"))
        for row in rows:
            token_revoke(acting_user=account(request), token=row)
        said = ngettext("%(number)s token is revoked.", "%(number)s tokens are revoked.", len(rows))
        messages.success(request, said % {"number": len(rows)})

    @display(description=_("Made"), ordering="created")
    def made(self, token: ApiToken) -> str:
        return clock(token.created)

    @display(description=_("Last used"), ordering="last_used_at")
    def used(self, token: ApiToken) -> str:
        return clock(token.last_used_at) if token.last_used_at else "–"

    @display(description=_("Valid until"), ordering="expiry")
    def ends(self, token: ApiToken) -> str:
        return clock(token.expiry) if token.expiry else "–"
