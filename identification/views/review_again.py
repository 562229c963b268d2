"""A second look at answers that may be wrong."""

from __future__ import annotations

import re

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from ..errors import SpotIDError
from ..models import Verdict
from ..permissions import Action, detections_for, surveys_for
from ..selectors.review_doubts import doubtful_answers
from ..services.decisions import decision_record
from .access import account, survey_of
from .joins import tell_waiting

_TOKEN = re.compile(r"([1-9]\d{0,17}):([1-9]\d{0,17}):(\d{1,9})")
_VERDICTS = (Verdict.MATCH, Verdict.NO_MATCH)


@require_safe
def again(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Standing answers that everything else speaks against, the most valuable look first."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    found = doubtful_answers(user=account(request), survey=survey)
    return render(request, "identification/review_again.html", {"survey": survey, "doubts": found})


@require_POST
def answer(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Say the same again, or the opposite: a decision of its own, which Undo takes back."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    said, verdict = _TOKEN.fullmatch(request.POST.get("pair", "")), request.POST.get("verdict")
    if said is None or verdict not in _VERDICTS:
        messages.error(request, gettext("That was no answer this page can send. Nothing was recorded."))
        return redirect("review-again", survey.pk)
    rows = detections_for(user).filter(image__survey__in=surveys_for(user, Action.DECIDE))
    ends = {row.pk: row for row in rows.filter(pk__in=said.group(1, 2)).select_related("image__survey__population")}
    first, second = ends.get(int(said[1])), ends.get(int(said[2]))
    if first is None or second is None or survey.pk not in {row.image.survey_id for row in ends.values()}:
        raise Http404("No such pair.")
    if first.image.survey_id != survey.pk:
        first, second = second, first
    try:
        decision = decision_record(
            acting_user=user,
            first=first,
            second=second,
            verdict=verdict,
            anchor=first,
            expected_version=int(said[3]),
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        if not tell_waiting(request, [decision]):
            messages.success(request, gettext("Recorded. Z takes it back."))
    return redirect("review-again", survey.pk)
