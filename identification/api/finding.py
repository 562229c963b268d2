"""What addresses name beyond a survey, a photo, a box or an animal. What may not be seen is as if it were not there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext

from .. import permissions
from ..matching.graph import ordered
from ..models import Decision, Detection, Population, Survey, User
from ..permissions import Action
from ..selectors.curation import surveys_seen
from ..selectors.graph import component_of


def administrator(user: User) -> None:
    """Raise PermissionDenied for everybody else."""
    if not permissions.is_administrator(user):
        raise PermissionDenied(gettext("This is for administrators."))


def population_of(user: User, population_id: int) -> Population:
    return get_object_or_404(permissions.populations_for(user), pk=population_id)


def boxes_seen(user: User) -> QuerySet[Detection]:
    """Boxes with everything that their answers show."""
    related = "image__survey__population", "image__station", "individual__population"
    return permissions.detections_for(user).select_related(*related)


def decidable(user: User) -> QuerySet[Detection]:
    """Boxes of surveys in which the account decides."""
    return boxes_seen(user).filter(image__survey__in=permissions.surveys_for(user, Action.DECIDE))


def pair_of(user: User, survey: Survey, anchor: int, candidate: int) -> tuple[Detection, Detection]:
    """Both boxes, each of a survey in which the account decides, the first of this survey. Raises Http404."""
    found = decidable(user).filter(image__survey__population=survey.population_id).in_bulk([anchor, candidate])
    first, second = found.get(anchor), found.get(candidate)
    if first is None or second is None or anchor == candidate or first.image.survey_id != survey.pk:
        raise Http404("No such pair.")
    return first, second


def pairs_seen(user: User, survey: Survey, pairs: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the pairs whose photos are both of the survey's population and the account's to see."""
    ends = {pk for pair in pairs for pk in pair}
    rows = permissions.detections_for(user).filter(pk__in=ends, image__survey__population=survey.population_id)
    seen = set(rows.values_list("pk", flat=True))
    return [ordered(pair) for pair in pairs if set(pair) <= seen and pair[0] != pair[1]]


def boxes_of(user: User, ids: Collection[int], **narrowed: Any) -> list[Detection]:
    """All of these boxes, by id. Raises Http404 where one of them is not there, or not the account's to see."""
    rows = list(boxes_seen(user).filter(pk__in=set(ids), **narrowed).order_by("pk"))
    if len(rows) != len(set(ids)):
        raise Http404("No such box.")
    return rows


def joined_boxes(user: User, ids: Collection[int], action: Action, **narrowed: Any) -> list[Detection]:
    """The same where the account may take the action in every survey that the boxes are joined with. Raises
    PermissionDenied, too."""
    rows = boxes_of(user, ids, **narrowed)
    surveys = surveys_seen(component_of([row.pk for row in rows])) if rows else []
    if rows and not permissions.may_for_all(user, action, surveys):
        raise PermissionDenied(gettext("These photos are joined with some of another survey, which you do not curate."))
    return rows


def decision_of(decision_id: int) -> Decision:
    """A decision that is no undo, with what `undone_as_curator` needs."""
    related = (
        *("acting_user", "edge__a__image__survey", "edge__b__image__survey"),
        *("edge__a__image__station", "edge__b__image__station"),
    )
    return get_object_or_404(Decision.objects.select_related(*related), pk=decision_id, undoes__isnull=True)
