"""Tokens that programs sign in with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import ApiToken, User
from .audit import audit_record

DAYS = (30, 90, 365)
MOST = 20
# That a token is used is written down at most so often: a program may ask many times a second.
_USE_WRITTEN = timedelta(minutes=1)


@transaction.atomic
def token_make(*, acting_user: User, name: str, days: int) -> tuple[ApiToken, str]:
    """Make a token for the account itself; returns it and its text, which is not kept and cannot be shown again.

    days: one of DAYS. Raises SpotIDError without a name, for other days, and for more tokens than MOST.
    """
    name = name.strip()
    if not name or len(name) > ApiToken._meta.get_field("name").max_length:
        raise SpotIDError(gettext("Give the token a name of at most 80 characters: what is it for?"))
    if days not in DAYS:
        raise SpotIDError(gettext("A token is valid for 30, 90 or 365 days."))
    if ApiToken.objects.filter(user=acting_user).count() >= MOST:
        raise SpotIDError(gettext("You have 20 tokens already. Revoke one that is not needed any more."))
    token, text = ApiToken.objects.create(user=acting_user, name=name, expiry=timedelta(days=days))
    after = {**_said(token), "expires": token.expiry.isoformat(timespec="seconds")}
    audit_record(acting_user=acting_user, action="token.make", target=acting_user, after=after)
    return token, text


@transaction.atomic
def token_revoke(*, acting_user: User | None, token: ApiToken) -> None:
    """Delete a token: from now on it is refused. Callers check whose it is."""
    audit_record(acting_user=acting_user, action="token.revoke", target=token.user, before=_said(token))
    token.delete()


def token_used(*, token: ApiToken) -> None:
    """Write down that a token was used just now, to the minute."""
    unwritten = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - _USE_WRITTEN)
    ApiToken.objects.filter(unwritten, pk=token.pk).update(last_used_at=Now())


def _said(token: ApiToken) -> dict[str, Any]:
    return {"user": token.user.username, "name": token.name, "key": token.token_key}
