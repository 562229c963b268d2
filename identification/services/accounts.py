"""Accounts and memberships."""

from __future__ import annotations

import secrets
from typing import Any

from django.db import transaction

from ..models import Membership, Role, Survey, User
from .audit import audit_record

ADMINISTRATOR = "admin"


@transaction.atomic
def administrator_ensure(*, password: str = "") -> str | None:
    """Make the first administrator; returns the password when it was made now, None when there is one already."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    password = password or secrets.token_urlsafe(12)
    user = User.objects.create_superuser(ADMINISTRATOR, password=password)
    audit_record(acting_user=None, action="user.create_administrator", target=user)
    return password


@transaction.atomic
def membership_set(
    *, acting_user: User | None, user: User, survey: Survey, role: str, may_see_places: bool = False
) -> Membership:
    """Give an account a role in a survey."""
    Role(role)
    known = Membership.objects.filter(user=user, survey=survey).first()
    before = {"role": known.role, "may_see_places": known.may_see_places} if known else {}
    after: dict[str, Any] = {"role": role, "may_see_places": may_see_places}
    membership, _ = Membership.objects.update_or_create(user=user, survey=survey, defaults=after)
    audit_record(
        acting_user=acting_user, action="membership.set", target=membership, survey=survey, before=before, after=after
    )
    return membership
