"""How many groups wait on the page "Same visit", for pages that lead there."""

from __future__ import annotations

from django import template

from ..models import Survey
from ..selectors.proposals import proposals_open

register = template.Library()


@register.simple_tag
def groups_open(survey: Survey) -> int:
    return len(proposals_open(survey))
