"""None of these: all candidates that are shown with a photo refused in one step."""

from __future__ import annotations

import re

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST

from ..errors import SpotIDError
from ..models import Detection, Survey, Verdict
from ..permissions import Action, detections_for, surveys_for
from ..selectors.review import review_state
from ..services.confirming import Confirmed, Ticked, decisions_confirm
from ..services.review import review_position_set
from .access import account, key_of, number, reads_rights_once, survey_of
from .review_modes import review_address
from .review_session import ahead_json, answers_json, said, wants_json

MOST_AT_ONCE = 5
_SHOWN = re.compile(r"([1-9]\d{0,17}):(\d{1,9}):([01]\.\d{1,9})")


@require_POST
@answers_json
@reads_rights_once
def none_of_these(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Refuse every candidate that was shown together, once for each key, as one step that is taken back as one."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    anchor_id = number(request.POST.get("anchor"))
    anchor = get_object_or_404(_boxes(request), pk=anchor_id, image__survey=survey)
    ticked, key = _ticked(request, survey, anchor), key_of(request.POST.get("key"))
    if not ticked or (key is None and request.POST.get("key")):
        return _nothing(request, survey, gettext("No candidate was sent along, so nothing was recorded."))
    try:
        outcome = decisions_confirm(acting_user=user, survey=survey, ticked=ticked, verdict=Verdict.NO_MATCH, batch=key)
    except SpotIDError as refused:
        return _nothing(request, survey, str(refused))
    review_position_set(user=user, survey=survey, anchor=anchor)
    if wants_json(request):
        return _answer(request, survey, anchor, outcome)
    _tell(request, survey, anchor, outcome)
    query = f"anchor={anchor.pk}" if outcome.refused or request.POST.get("explicit") else ""
    return redirect(review_address(survey, query))


def _nothing(request: HttpRequest, survey: Survey, words: str) -> HttpResponse:
    if wants_json(request):
        return said(422, "refused", words=words)
    messages.info(request, words)
    return redirect("review", survey.pk)


def _answer(request: HttpRequest, survey: Survey, anchor: Detection, outcome: Confirmed) -> HttpResponse:
    """What became of it, for a page that goes on by itself: it shows the words, or the one that it goes to does."""
    ahead = ahead_json(request, survey)
    if ahead["over"]:
        _tell(request, survey, anchor, outcome)
        return said(200, "recorded", next=ahead)
    words = [_refused_words(anchor, len(outcome.recorded))] if outcome.recorded else []
    link = {"href": _further(request, survey, anchor), "text": gettext("Look at more candidates")}
    told = " ".join([*words, *_left_out(outcome)])
    return said(200, "recorded", words=told, link=link if words and link["href"] else None, next=ahead)


def _tell(request: HttpRequest, survey: Survey, anchor: Detection, outcome: Confirmed) -> None:
    """What was recorded, the way to the next five where there are more, and what was left out."""
    if outcome.recorded:
        words = _refused_words(anchor, len(outcome.recorded))
        if address := _further(request, survey, anchor):
            link = format_html('{} <a href="{}">{}</a>', words, address, gettext("Look at more candidates"))
            messages.success(request, link)
        else:
            messages.success(request, words)
    for left in _left_out(outcome):
        messages.warning(request, left)


def _refused_words(anchor: Detection, refused: int) -> str:
    return ngettext(
        "%(n)s candidate is refused for %(photo)s. Z takes it back.",
        "%(n)s candidates are refused for %(photo)s. Z takes all of them back together.",
        refused,
    ) % {"n": refused, "photo": anchor.image.name}


def _left_out(outcome: Confirmed) -> list[str]:
    words = gettext("%(photo)s was left out: %(reason)s")
    return [words % {"photo": pair.candidate.image.name, "reason": reason} for pair, reason in outcome.refused]


def _further(request: HttpRequest, survey: Survey, anchor: Detection) -> str:
    """The address of the next five candidates; '' where there are none."""
    further = review_state(user=account(request), survey=survey, anchor=anchor.pk, more=1)
    if further.anchor is not None and further.anchor.pk == anchor.pk and further.more:
        return review_address(survey, f"anchor={anchor.pk}", "more=1")
    return ""


def _boxes(request: HttpRequest) -> QuerySet[Detection]:
    return detections_for(account(request)).select_related("image__survey__population", "image__station")


def _ticked(request: HttpRequest, survey: Survey, anchor: Detection) -> list[Ticked]:
    """What the form names, as far as it is the account's to decide about: id, version, number shown."""
    found = filter(None, map(_SHOWN.fullmatch, request.POST.getlist("candidate")[:MOST_AT_ONCE]))
    named = {int(one[1]): (int(one[2]), min(1.0, float(one[3]))) for one in found}
    decidable = surveys_for(account(request), Action.DECIDE).filter(population=survey.population_id)
    rows = {row.pk: row for row in _boxes(request).filter(pk__in=named, image__survey__in=decidable)}
    return [Ticked(anchor, rows[pk], *named[pk]) for pk in named if pk in rows and pk != anchor.pk]
