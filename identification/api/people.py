"""Members of surveys and populations, and the audit log."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from rest_framework import serializers as s

from .. import permissions
from ..errors import SpotIDError
from ..models import Membership, Population, Role, Survey, User
from ..permissions import Action
from ..selectors.audit import AuditFilter, audit_entries, audit_surveys, values_shown
from ..selectors.members import members_of, members_of_population, members_shown
from ..services.accounts import membership_remove, membership_set
from ..views.access import survey_of
from .base import ApiView, operation
from .finding import population_of
from .paging import Page, PageQuery, by_id, by_place
from .shapes import AccountRef, PopulationRef, SurveyRef, id_field


class MemberOut(s.Serializer):
    id = s.IntegerField(source="pk")
    user = AccountRef()
    survey = SurveyRef(allow_null=True)
    population = PopulationRef(allow_null=True)
    role = s.ChoiceField(choices=Role.values)
    may_see_places = s.BooleanField()


class MemberRow(s.Serializer):
    member = MemberOut(source="membership")
    may_give = s.ListField(child=s.ChoiceField(choices=Role.values), source="roles", help_text="Empty: not yours.")
    gives_places = s.BooleanField(help_text="Whether you may let them see places.")


class MemberIn(s.Serializer):
    username = s.CharField(max_length=150)
    role = s.ChoiceField(choices=Role.values)
    may_see_places = s.BooleanField(default=False)


class MemberSet(s.Serializer):
    role = s.ChoiceField(choices=Role.values)
    may_see_places = s.BooleanField()


def _add(view: ApiView, survey: Survey | None, population: Population | None) -> Membership:
    said = view.said()
    user = User.objects.filter(username=said["username"], is_active=True).first()
    if user is None:
        raise SpotIDError(gettext("There is no account with this user name. Administrators make accounts."))
    if Membership.objects.filter(user=user, survey=survey, population=population).exists():
        raise SpotIDError(gettext("%(name)s is a member already. Change the role in the list.") % {"name": user})
    return membership_set(
        acting_user=view.user,
        user=user,
        survey=survey,
        population=population,
        role=said["role"],
        may_see_places=said["may_see_places"],
    )


class MembersQuery(PageQuery):
    q = s.CharField(max_length=150, required=False, allow_blank=True, help_text="Part of a name.")


def _members(view: ApiView, rows: QuerySet[Membership]) -> Page:
    page = by_place(rows, view.asked())
    return Page(members_shown(user=view.user, rows=page.rows), page.after)


class SurveyMembers(ApiView):
    @operation("Members of a survey and of its population", out=MemberRow, paged=True, query=MembersQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        survey = survey_of(request, survey_id, Action.MANAGE_MEMBERS)
        return _members(self, members_of(survey=survey, search=self.asked().get("q", "")))

    @operation("Add a member to a survey", out=MemberOut, body=MemberIn, status=201)
    def post(self, request: Any, survey_id: int) -> Membership:
        """Within your own role."""
        return _add(self, survey_of(request, survey_id, Action.MANAGE_MEMBERS), None)


class PopulationMembers(ApiView):
    def population(self, population_id: int) -> Population:
        population = population_of(self.user, population_id)
        if not permissions.populations_managed_by(self.user).filter(pk=population.pk).exists():
            raise PermissionDenied(gettext("This is for those who curate the whole population."))
        return population

    @operation("Members of all surveys of a population", out=MemberRow, paged=True, query=MembersQuery)
    def get(self, request: Any, population_id: int) -> Page:
        """For those who curate it as a whole."""
        population = self.population(population_id)
        return _members(self, members_of_population(population=population, search=self.asked().get("q", "")))

    @operation("Add a member to all surveys of a population", out=MemberOut, body=MemberIn, status=201)
    def post(self, request: Any, population_id: int) -> Membership:
        """For those who curate it as a whole."""
        return _add(self, None, self.population(population_id))


class Member(ApiView):
    def member(self, membership_id: int, *, change: bool) -> Membership:
        rows = permissions.memberships_managed_by(self.user).select_related("user", "survey", "population")
        found = get_object_or_404(rows, pk=membership_id)
        if change and not permissions.member_may_be_changed_by(self.user, found):
            raise PermissionDenied(gettext("You may not change this member: nobody's own role, and none above yours."))
        return found

    @operation("One membership", out=MemberOut)
    def get(self, request: Any, membership_id: int) -> Membership:
        return self.member(membership_id, change=False)

    @operation("Change the role of a member", out=MemberOut, body=MemberSet, matched=True)
    def patch(self, request: Any, membership_id: int) -> Membership:
        self.member(membership_id, change=True)
        said = self.said()
        with transaction.atomic():
            Membership.objects.select_for_update(of=("self",)).filter(pk=membership_id).first()
            found = self.member(membership_id, change=True)
            self.match(MemberOut, found)
            return membership_set(
                acting_user=self.user, user=found.user, survey=found.survey, population=found.population, **said
            )

    @operation("Remove a member", matched=True)
    def delete(self, request: Any, membership_id: int) -> None:
        found = self.member(membership_id, change=True)
        self.match(MemberOut, found)
        membership_remove(acting_user=self.user, membership=found)


class AuditQuery(PageQuery):
    who = s.CharField(max_length=150, required=False, allow_blank=True, help_text="User name, or `command`.")
    action = s.CharField(max_length=64, required=False, allow_blank=True)
    survey = id_field(required=False)
    first = s.DateField(required=False)
    last = s.DateField(required=False, help_text="The day itself included (UTC).")


class AuditOut(s.Serializer):
    id = s.IntegerField(source="pk")
    when = s.DateTimeField(source="created_at")
    who = AccountRef(source="acting_user", allow_null=True)
    action = s.CharField()
    survey = SurveyRef(allow_null=True)
    object_type = s.CharField()
    object_id = s.IntegerField()
    before = s.SerializerMethodField()
    after = s.SerializerMethodField()

    def get_before(self, row: Any) -> dict[str, Any]:
        return values_shown(row, "before")

    def get_after(self, row: Any) -> dict[str, Any]:
        return values_shown(row, "after")


class Audit(ApiView):
    @operation("What was done, the last first", out=AuditOut, paged=True, query=AuditQuery)
    def get(self, request: Any) -> Page:
        """For administrators, and for curators that of their surveys."""
        if not permissions.is_administrator(self.user) and not audit_surveys(self.user).exists():
            raise PermissionDenied(
                gettext("The audit log is for administrators, and for curators that of their surveys.")
            )
        said = self.asked()
        latest = date(9998, 12, 31)
        wanted = AuditFilter(
            who=said.get("who", ""),
            action=said.get("action", ""),
            survey=said.get("survey"),
            first=said.get("first"),
            last=min(said["last"], latest) if said.get("last") else None,
        )
        return by_id(audit_entries(user=self.user, wanted=wanted), said, newest=True)
