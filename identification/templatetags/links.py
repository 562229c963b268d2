"""How much waits on other pages, for those that lead there: groups of one visit, boxes that may show no animal, matches
of named animals."""

from __future__ import annotations

from django import template

from ..models import Survey
from ..permissions import Action, is_administrator, surveys_for, surveys_read
from ..selectors.joins import joins_count
from ..selectors.proposals import proposals_open
from ..selectors.triage import found_by_change

register = template.Library()


@register.simple_tag
def groups_open(survey: Survey) -> int:
    return len(proposals_open(survey))


# From so many boxes, and such a share of them, it is worth a person's while to look through them first.
_WEAK_LEAST, _WEAK_SHARE = 5, 0.3


@register.simple_tag
def empties_likely(survey: Survey) -> int:
    """How many undecided boxes were found without a detector's weights, where that is many; else 0."""
    weak, found = found_by_change(survey)
    return weak if weak >= _WEAK_LEAST and weak >= _WEAK_SHARE * found else 0


@register.simple_tag(takes_context=True)
def decides_somewhere(context: template.Context) -> bool:
    """Whether the account that reads the page decides in any survey."""
    user = getattr(context.get("request"), "user", None)
    if user is None or not user.is_authenticated:
        return False
    if is_administrator(user):
        return True
    read = surveys_read(user, Action.DECIDE)
    return bool(read) if read is not None else surveys_for(user, Action.DECIDE).exists()


@register.simple_tag(takes_context=True)
def joins_waiting(context: template.Context) -> int:
    """How many matches of named animals wait for the account that reads the page."""
    request = context.get("request")
    user = getattr(request, "user", None)
    return joins_count(user) if user is not None and user.is_authenticated else 0
