"""The record of who came in, who could not, who left, and how an account is protected."""

from __future__ import annotations

from django.db import transaction

from ..models import AuditEntry, User
from .audit import audit_record


def sign_in_record(*, user: User, address: str, how: str) -> None:
    """Somebody signed in. how: "password", "two-factor" or "single sign-on"."""
    audit_record(acting_user=user, action="sign_in", target=user, after={"address": address, "how": how})


def sign_in_failure_record(*, name: str, address: str, why: str) -> None:
    """Somebody could not sign in.

    name: what was given as user name. It is written down only if there is such an account: people type passwords there.
    """
    user = User.objects.filter(username__iexact=name).order_by("pk").first() if name else None
    AuditEntry.objects.create(
        action="sign_in.failure",
        object_type="user",
        object_id=user.pk if user else 0,
        after={"name": user.username if user else "", "address": address, "why": why},
    )


def sign_out_record(*, user: User) -> None:
    audit_record(acting_user=user, action="sign_out", target=user)


def second_factor_record(*, acting_user: User, user: User, action: str, kind: str) -> None:
    """action: "add", "remove" or "renew"; kind: "totp" or "recovery_codes"."""
    audit_record(acting_user=acting_user, action=f"two_factor.{action}", target=user, after={"kind": kind})


def password_change_record(*, user: User) -> None:
    audit_record(acting_user=user, action="user.password", target=user)


@transaction.atomic
def account_from_sign_on_record(*, user: User) -> None:
    """An account was made because somebody unknown came by single sign-on. It has no membership."""
    after = {"username": user.username, "email": user.email, "by": "single sign-on"}
    audit_record(acting_user=None, action="user.create", target=user, after=after)


def sign_on_connection_record(*, acting_user: User | None, user: User, action: str, provider: str) -> None:
    """An account of single sign-on was connected with this one, or no longer is. action: connect or disconnect."""
    audit_record(acting_user=acting_user, action=f"single_sign_on.{action}", target=user, after={"provider": provider})


@transaction.atomic
def second_factors_remove(*, acting_user: User | None, user: User) -> int:
    """Take an account's second factor away, for somebody who lost it; returns how many were removed."""
    from allauth.mfa.models import Authenticator

    removed, _ = Authenticator.objects.filter(user=user).delete()
    if removed:
        after = {"kind": "all", "number": removed}
        audit_record(acting_user=acting_user, action="two_factor.remove", target=user, after=after)
    return removed


@transaction.atomic
def sign_on_disconnect(*, acting_user: User | None, user: User) -> int:
    """End an account's connections with single sign-on; returns how many. A claim may connect it anew."""
    from allauth.socialaccount.models import SocialAccount

    rows = list(SocialAccount.objects.filter(user=user))
    for row in rows:
        sign_on_connection_record(acting_user=acting_user, user=user, action="disconnect", provider=row.provider)
        row.delete()
    return len(rows)
