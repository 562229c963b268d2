"""Who may see and do what. Pages, admin, downloads and media all ask here, and nowhere else.

The rules are the matrix of docs/permissions.md. What is not listed is refused. An object of a survey that the account
has no membership of is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet

from .models import Detection, Image, Individual, Membership, Population, Role, Survey, User

Account = User | AnonymousUser


class Action(StrEnum):
    """What can be asked of a survey."""

    SEE = "see"
    SEE_ORIGINAL = "see_original"
    SEE_PEOPLE = "see_people"
    SEE_PLACES = "see_places"
    SEE_CANDIDATES = "see_candidates"
    DECIDE = "decide"
    UNDO_ANY = "undo_any"
    CURATE = "curate"
    INGEST = "ingest"
    EXPORT = "export"
    EXPORT_PLACES = "export_places"
    MANAGE_MEMBERS = "manage_members"


_REVIEWER = frozenset({Role.REVIEWER, Role.CURATOR, Role.ADMINISTRATOR})
_CURATOR = frozenset({Role.CURATOR, Role.ADMINISTRATOR})
_ROLES: dict[Action, frozenset[Role]] = {
    Action.SEE: frozenset(Role),
    Action.SEE_ORIGINAL: _CURATOR,
    Action.SEE_PEOPLE: _CURATOR,
    Action.SEE_PLACES: _CURATOR,
    Action.SEE_CANDIDATES: _REVIEWER,
    Action.DECIDE: _REVIEWER,
    Action.UNDO_ANY: _CURATOR,
    Action.CURATE: _CURATOR,
    Action.INGEST: _CURATOR,
    Action.EXPORT: _CURATOR,
    Action.EXPORT_PLACES: _CURATOR,
    Action.MANAGE_MEMBERS: _CURATOR,
}
_NEEDS_PLACES = frozenset({Action.SEE_PLACES, Action.EXPORT_PLACES})


def is_administrator(user: Account) -> bool:
    """Whether the account administers the whole installation. Staff alone is not enough."""
    return bool(user.is_active and user.is_superuser)


def surveys_for(user: Account, action: Action = Action.SEE) -> QuerySet[Survey]:
    """The surveys in which the account may take the action."""
    if not user.is_authenticated or not user.is_active:
        return Survey.objects.none()
    if is_administrator(user):
        return Survey.objects.all()
    memberships = Membership.objects.filter(user=user, role__in=_ROLES[action])
    if action in _NEEDS_PLACES:
        memberships = memberships.filter(may_see_places=True)
    return Survey.objects.filter(pk__in=memberships.values("survey_id"))


def may(user: Account, action: Action, survey: Survey) -> bool:
    return surveys_for(user, action).filter(pk=survey.pk).exists()


def require(user: Account, action: Action, survey: Survey) -> None:
    """Raise PermissionDenied unless the account may take the action in the survey."""
    if not may(user, action, survey):
        raise PermissionDenied(f"You may not do this in {survey.name} ({action.value}).")


def images_for(user: Account) -> QuerySet[Image]:
    """The photos the account may see. Photos of people are for curators and administrators.

    So are photos that nothing has looked at yet (no `detector`): nobody knows whether they show a person.
    """
    return Image.objects.filter(survey__in=surveys_for(user)).exclude(
        Q(has_person=True) | Q(detector=""),
        survey__in=Survey.objects.exclude(pk__in=surveys_for(user, Action.SEE_PEOPLE).values("pk")),
    )


def detections_for(user: Account) -> QuerySet[Detection]:
    """The boxes the account may see. A crop of an animal stays visible where the whole photo shows a person."""
    visible = Detection.objects.filter(image__survey__in=surveys_for(user))
    return visible.exclude(
        category="person",
        image__survey__in=Survey.objects.exclude(pk__in=surveys_for(user, Action.SEE_PEOPLE).values("pk")),
    )


def populations_for(user: Account) -> QuerySet[Population]:
    if is_administrator(user):
        return Population.objects.all()
    return Population.objects.filter(surveys__in=surveys_for(user)).distinct()


def individuals_for(user: Account) -> QuerySet[Individual]:
    """Individuals of which the account may see at least one photo."""
    if is_administrator(user):
        return Individual.objects.all()
    return Individual.objects.filter(
        pk__in=Detection.objects.filter(image__survey__in=surveys_for(user)).values("individual_id")
    )


def may_for_all(user: Account, action: Action, surveys: Iterable[Survey]) -> bool:
    """Whether the account may take the action in each of the surveys. Of no survey at all it may not."""
    wanted = {survey.pk for survey in surveys}
    return bool(wanted) and wanted <= set(surveys_for(user, action).values_list("pk", flat=True))


def member_may_be_changed_by(user: Account, membership: Membership) -> bool:
    """Curators manage the members of their surveys, never their own membership and never above their own role."""
    if is_administrator(user):
        return True
    own = Membership.objects.filter(user=user, survey=membership.survey).first() if isinstance(user, User) else None
    if own is None or own.role not in _CURATOR or membership.user_id == user.pk:
        return False
    order = list(Role.values)
    return order.index(membership.role) <= order.index(own.role)
