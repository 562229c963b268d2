"""Accounts and memberships."""

from __future__ import annotations

import secrets
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import Membership, Population, Role, Survey, User
from ..permissions import may_give_places, member_may_be_changed_by, places_count
from .audit import audit_record
from .catalogue import account_update

ADMINISTRATOR = "admin"
_RIGHTS = ("is_active", "is_staff", "is_superuser")
_SAID = ("username", "email", "first_name", "last_name", *_RIGHTS)


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
def account_make(*, acting_user: User, username: str, **said: Any) -> User:
    """Make an account for somebody else. Without a password: it is set in a browser, or single sign-on is used.

    said: email, first_name, last_name. Callers check who may. Raises django's ValidationError, with words by field.
    """
    account = User(username=User.normalize_username(username), **said)
    account.set_unusable_password()
    account.full_clean()
    account.save()
    account_update(acting_user=acting_user, account=account, before=None, after=_facts(account))
    return account


@transaction.atomic
def account_change(*, acting_user: User, account: User, **changes: Any) -> User:
    """Change names, e-mail address or rights (is_active, is_staff, is_superuser) of an account.

    Callers check who may. Raises SpotIDError for one's own rights, django's ValidationError with words by field.
    """
    account = User.objects.select_for_update(no_key=True).get(pk=account.pk)
    before = _facts(account)
    if account.pk == acting_user.pk and any(changes.get(name, before[name]) != before[name] for name in _RIGHTS):
        raise SpotIDError(gettext("Nobody changes their own rights."))
    if "username" in changes:
        changes["username"] = User.normalize_username(changes["username"])
    for name, value in changes.items():
        setattr(account, name, value)
    account.full_clean()
    account.save(update_fields=list(changes))
    account_update(acting_user=acting_user, account=account, before=before, after=_facts(account))
    return account


def _facts(account: User) -> dict[str, Any]:
    return {name: getattr(account, name) for name in _SAID}


@transaction.atomic
def membership_set(
    *,
    acting_user: User | None,
    user: User,
    role: str,
    survey: Survey | None = None,
    population: Population | None = None,
    may_see_places: bool = False,
) -> Membership:
    """Give an account a role in a survey, or in all surveys of a population; change it where there is one already.

    acting_user: None is the command line, which may. Raises SpotIDError when the account may not give this role, change
    the membership that is there, or let others see places.
    """
    known = Membership.objects.select_for_update().filter(user=user, survey=survey, population=population).first()
    if acting_user and may_see_places and not may_give_places(acting_user, survey=survey, population=population):
        if known is None or not known.may_see_places:
            raise SpotIDError(gettext("Only who may see places may let others see them."))
        # A grant that had no effect in the role before gets none from somebody who may not give it.
        may_see_places = places_count(known.role) or not places_count(role)
    wanted = Membership(user=user, survey=survey, population=population, role=Role(role), may_see_places=may_see_places)
    for membership in filter(None, (known, wanted)):
        _check_changed_by(acting_user, membership)
    before = {} if known is None else _said(known)
    after = _said(wanted)
    if before == after and known is not None:
        return known
    membership, _ = Membership.objects.update_or_create(
        user=user, survey=survey, population=population, defaults={"role": role, "may_see_places": may_see_places}
    )
    audit_record(
        acting_user=acting_user, action="membership.set", target=membership, survey=survey, before=before, after=after
    )
    return membership


@transaction.atomic
def membership_remove(*, acting_user: User | None, membership: Membership) -> None:
    """Take a membership away. Raises SpotIDError when the account may not."""
    _check_changed_by(acting_user, membership)
    audit_record(
        acting_user=acting_user,
        action="membership.remove",
        target=membership,
        survey=membership.survey,
        before=_said(membership),
    )
    membership.delete()


def _check_changed_by(acting_user: User | None, membership: Membership) -> None:
    if acting_user is not None and not member_may_be_changed_by(acting_user, membership):
        raise SpotIDError(gettext("You may not give or change this role: nobody's own, and none above yours."))


def _said(membership: Membership) -> dict[str, Any]:
    """What the audit log says of a membership."""
    said = {
        "user": membership.user.username,
        "role": str(membership.role),
        "may_see_places": membership.may_see_places,
    }
    return said if membership.population is None else {**said, "population": membership.population.name}
