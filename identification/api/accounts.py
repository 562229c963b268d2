"""Everybody's accounts and tokens: for administrators. Passwords and second factors are a browser's business."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from rest_framework import serializers as s

from ..models import User
from ..selectors.members import tokens_of
from ..services.accounts import account_change, account_make
from .account import MembershipOut, TokenOut, confirmed_lately
from .base import operation
from .networks import AdministratorView
from .paging import Page, PageQuery, by_id, by_place

_RIGHTS = {"active": "is_active", "staff": "is_staff", "administrator": "is_superuser"}


class OneAccountOut(s.Serializer):
    id = s.IntegerField(source="pk")
    username = s.CharField()
    first_name = s.CharField(allow_blank=True)
    last_name = s.CharField(allow_blank=True)
    email = s.CharField(allow_blank=True)
    active = s.BooleanField(source="is_active")
    staff = s.BooleanField(source="is_staff", help_text="May open the admin, and nothing behind its door.")
    administrator = s.BooleanField(source="is_superuser")
    has_password = s.BooleanField(source="has_usable_password")
    two_factor = s.BooleanField()
    single_sign_on = s.BooleanField(help_text="Connected with an account of single sign-on.")
    memberships = MembershipOut(many=True, source="memberships.all")
    joined = s.DateTimeField(source="date_joined")
    last_sign_in = s.DateTimeField(source="last_login", allow_null=True)


class AccountQuery(PageQuery):
    q = s.CharField(max_length=150, required=False, allow_blank=True, help_text="Part of a name or an address.")
    active = s.BooleanField(required=False, allow_null=True, default=None)


def username_field(**more: Any) -> s.CharField:
    return s.CharField(max_length=150, validators=[UnicodeUsernameValidator()], **more)


class AccountIn(s.Serializer):
    username = username_field()
    first_name = s.CharField(max_length=150, required=False, allow_blank=True)
    last_name = s.CharField(max_length=150, required=False, allow_blank=True)
    email = s.EmailField(max_length=254, required=False, allow_blank=True)


class AccountSet(AccountIn):
    """staff and administrator are given and taken only in a browser's session that was confirmed lately."""

    username = username_field(required=False)
    active = s.BooleanField(required=False)
    staff = s.BooleanField(required=False)
    administrator = s.BooleanField(required=False)


def _accounts() -> QuerySet[User]:
    second = Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)
    connected = SocialAccount.objects.filter(user=OuterRef("pk"))
    rows = User.objects.annotate(two_factor=Exists(second), single_sign_on=Exists(connected))
    return rows.prefetch_related("memberships__survey", "memberships__population")


def _account(account_id: int) -> User:
    return get_object_or_404(_accounts(), pk=account_id)


class Accounts(AdministratorView):
    @operation("Accounts", out=OneAccountOut, paged=True, query=AccountQuery)
    def get(self, request: Any) -> Page:
        said, rows = self.asked(), _accounts()
        if said.get("q"):
            names = ("username", "first_name", "last_name", "email")
            rows = rows.filter(Q(*((f"{name}__icontains", said["q"]) for name in names), _connector=Q.OR))
        return by_id(rows if said["active"] is None else rows.filter(is_active=said["active"]), said)

    @operation("Make an account", out=OneAccountOut, body=AccountIn, status=201)
    def post(self, request: Any) -> User:
        """Without a password and without a right: memberships give those. The password is set in a browser, or the
        account signs in by single sign-on."""
        return _account(account_make(acting_user=self.user, **self.said()).pk)


class OneAccount(AdministratorView):
    @operation("One account", out=OneAccountOut)
    def get(self, request: Any, account_id: int) -> User:
        return _account(account_id)

    @operation("Change an account, or switch it off", out=OneAccountOut, body=AccountSet, matched=True)
    def patch(self, request: Any, account_id: int) -> User:
        """Accounts are switched off, not deleted: what they decided stays theirs. Nobody changes their own rights; who
        administers is said only in a browser's session that was confirmed lately, so that a lost token makes nobody an
        administrator."""
        found, said = _account(account_id), self.said()
        if {"staff", "administrator"} & said.keys() and not confirmed_lately(request):
            raise PermissionDenied(gettext("Who administers is said in a browser, after the password was given."))
        changes = {_RIGHTS.get(name, name): value for name, value in said.items()}
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=found.pk)
            self.match(OneAccountOut, _account(account_id))
            account_change(acting_user=self.user, account=found, **changes)
        return _account(account_id)


class AccountTokens(AdministratorView):
    @operation("The tokens of an account", out=TokenOut, paged=True, query=PageQuery)
    def get(self, request: Any, account_id: int) -> Page:
        """Not their text, which nobody keeps. `tokens/<key>/` revokes one."""
        return by_place(tokens_of(_account(account_id)), self.asked())
