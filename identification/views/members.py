"""Who may do what in a survey: its curators add, change and remove members, within their own role."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from .. import permissions
from ..errors import SpotIDError
from ..models import Membership, Population, Role, Survey, User
from ..permissions import Action
from ..selectors.members import members_of, members_shown
from ..services.accounts import membership_remove, membership_set
from .access import account, back, page_of, query_without, survey_of

PER_PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
def members(request: HttpRequest, survey_id: int) -> HttpResponse:
    """The members of a survey and of its population; a form that adds one."""
    survey = survey_of(request, survey_id, Action.MANAGE_MEMBERS)
    user = account(request)
    whole = permissions.populations_managed_by(user).filter(pk=survey.population_id).exists()
    if request.method == "POST":
        try:
            _add(request, user, survey, survey.population if whole and request.POST.get("reach") == "all" else None)
        except SpotIDError as refused:
            messages.error(request, str(refused))
        return redirect("survey-members", survey.pk)
    search = request.GET.get("q", "").strip()[:150]
    page = page_of(request, members_of(survey=survey, search=search), PER_PAGE)
    context = {
        "survey": survey,
        "members": members_shown(user=user, rows=page.object_list),
        "page": page,
        "search": search,
        "query": query_without(request, "page"),
        "roles": permissions.roles_given_by(user, survey=survey),
        "gives_places": permissions.may_give_places(user, survey=survey),
        "whole": whole,
    }
    return render(request, "identification/members.html", context)


def _add(request: HttpRequest, acting_user: User, survey: Survey, population: Population | None) -> None:
    """Raises SpotIDError where there is no such account, or it has that membership already, or may not be given it."""
    name = request.POST.get("username", "").strip()
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise SpotIDError(gettext("There is no account with this user name. Administrators make accounts."))
    reach = {"survey": None, "population": population} if population else {"survey": survey, "population": None}
    if Membership.objects.filter(user=user, **reach).exists():
        raise SpotIDError(gettext("%(name)s is a member already. Change the role in the list.") % {"name": name})
    membership_set(
        acting_user=acting_user,
        user=user,
        role=_role(request),
        may_see_places=request.POST.get("may_see_places") == "on",
        **reach,
    )
    messages.success(request, gettext("%(name)s is a member now.") % {"name": name})


@require_POST
def member_change(request: HttpRequest, membership_id: int) -> HttpResponse:
    """Another role, or none any more."""
    user = account(request)
    found = permissions.memberships_managed_by(user).select_related("user", "survey", "population")
    membership = get_object_or_404(found, pk=membership_id)
    if not permissions.member_may_be_changed_by(user, membership):
        raise PermissionDenied(gettext("You may not change this member: nobody's own role, and none above yours."))
    name = membership.user.username
    try:
        if request.POST.get("what") == "remove":
            membership_remove(acting_user=user, membership=membership)
            messages.success(request, gettext("%(name)s is no member any more.") % {"name": name})
        else:
            membership_set(
                acting_user=user,
                user=membership.user,
                survey=membership.survey,
                population=membership.population,
                role=_role(request),
                may_see_places=request.POST.get("may_see_places") == "on",
            )
            messages.success(request, gettext("The role of %(name)s is changed.") % {"name": name})
    except SpotIDError as refused:
        messages.error(request, str(refused))
    return back(request, "survey-list")


def _role(request: HttpRequest) -> Role:
    try:
        return Role(request.POST.get("role", ""))
    except ValueError:
        raise SpotIDError(gettext("Choose a role.")) from None
