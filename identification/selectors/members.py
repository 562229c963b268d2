"""Who is a member of a survey, which of them an account may change, and what programs sign in with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, QuerySet

from ..models import ApiToken, Membership, Population, Role, Survey, User
from ..permissions import may_give_places, member_may_be_changed_by, memberships_reaching, roles_given_by


@dataclass(frozen=True)
class Member:
    """One membership, with what the account that looks may make of it: no roles where it may not change it."""

    membership: Membership
    roles: tuple[Role, ...]
    gives_places: bool

    @property
    def may_be_changed(self) -> bool:
        return bool(self.roles)


def members_of(*, survey: Survey, search: str = "") -> QuerySet[Membership]:
    """Of the survey, then of its whole population, each by name; those alone whose names a search is part of."""
    rows = memberships_reaching(survey).select_related("user", "survey", "population")
    return _named(rows, search).order_by(F("population").asc(nulls_first=True), "user__username", "pk")


def members_of_population(*, population: Population, search: str = "") -> QuerySet[Membership]:
    """Who is a member of all surveys of the population, by name."""
    rows = population.memberships.select_related("user", "survey", "population")
    return _named(rows, search).order_by("user__username", "pk")


def _named(rows: QuerySet[Membership], search: str) -> QuerySet[Membership]:
    for word in search.split():
        named = [Q(**{f"user__{name}__icontains": word}) for name in ("username", "first_name", "last_name")]
        rows = rows.filter(Q(*named, _connector=Q.OR))
    return rows


def members_shown(*, user: User, rows: Iterable[Membership]) -> list[Member]:
    """Some of these, of one survey and its population, with what the account may make of each."""
    rows = list(rows)
    reach: dict[bool, dict[str, Any]] = {}
    for row in rows:
        whole = row.population_id is not None
        reach.setdefault(whole, {"population": row.population} if whole else {"survey": row.survey})
    given = {whole: tuple(roles_given_by(user, **where)) for whole, where in reach.items()}
    places = {whole: may_give_places(user, **where) for whole, where in reach.items()}
    found = []
    for row in rows:
        whole = row.population_id is not None
        roles = given[whole] if member_may_be_changed_by(user, row, given=given[whole]) else ()
        found.append(Member(row, roles, bool(roles) and (row.may_see_places or places[whole])))
    return found


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """The tokens of an account, the last made first."""
    return ApiToken.objects.filter(user=user).order_by("-created", "token_key")
