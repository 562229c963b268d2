"""What is said of one photo from a question of the review, without leaving it, and taking that back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from ..errors import SpotIDError
from ..models import Survey
from ..models.image import Unusable
from ..permissions import Action, detections_for
from ..selectors.remarks import remark_outcome
from ..selectors.review import review_mode
from ..services.remarks import remark_record, remark_undo
from ..services.review import review_position_set
from .access import account, back, detection_of, key_of, number, reads_rights_once, survey_of
from .review_modes import review_address, within
from .review_session import Page, ahead_json, answers_json, pair_named, said, wants_json


def remark_asked(request: HttpRequest) -> dict[str, Any] | None:
    """The review and the question that a form about one photo was sent from; None: it was sent from elsewhere."""
    survey_id, pair = number(request.POST.get("review")), pair_named(request.POST.get("question", ""))
    if survey_id is None or pair is None:
        return None
    return {"survey": survey_of(request, survey_id, Action.DECIDE), "pair": pair}


@require_POST
@answers_json
@reads_rights_once
def empty(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Set a box aside because it shows no animal, once for each key. What arrives twice changes nothing more."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    box = detection_of(request, number(request.POST.get("box")) or 0, Action.DECIDE)
    words = gettext("%(photo)s is set aside: no animal.") % {"photo": box.image.name}
    pair = pair_named(request.POST.get("question", "")) or (box.pk, box.pk)
    aside: dict[str, Any] = {"usable": False, "unusable_reason": Unusable.NOTHING.value}
    try:
        remark_record(
            user=account(request), survey=survey, detection=box, pair=pair, key=key_of(request.POST.get("key")), **aside
        )
    except SpotIDError as refused:
        if wants_json(request):
            return said(422, "refused", words=str(refused))
        messages.error(request, str(refused))
        return back(request, "review", survey.pk)
    many = reverse("survey-species", args=[box.image.survey_id]) + "?order=place"
    if wants_json(request):
        link = {"href": many, "text": gettext("Restore it, or set many aside together")}
        return said(200, "recorded", words=words, link=link, next=ahead_json(request, survey))
    told = format_html('{} <a href="{}">{}</a>', words, many, gettext("Restore it, or set many aside together"))
    messages.success(request, told)
    return back(request, "review", survey.pk)


def remark_taken_back(request: HttpRequest, survey: Survey, of: UUID | None, key: UUID | None) -> HttpResponse | None:
    """Take back what was said of a photo where that is meant, and show its question again; None where it is not."""
    user = account(request)
    try:
        remark = remark_undo(user=user, survey=survey, of=of, key=key)
    except SpotIDError as refused:
        if wants_json(request):
            return said(422, "refused", words=str(refused))
        messages.info(request, str(refused))
        return redirect("review", survey.pk)
    if remark is None:
        return None
    first, second = remark.pair
    by_photo = Page.of(request).by_photo if wants_json(request) else review_mode(user=user, survey=survey) == "photo"
    anchor = detections_for(user).filter(pk=first, image__survey=survey).first()
    if by_photo and anchor is not None:
        review_position_set(user=user, survey=survey, anchor=anchor)
    if wants_json(request):
        ahead = ahead_json(request, survey, first=(first, second) if first != second else None)
        return said(200, "undone", words=remark_outcome(remark), next=ahead)
    messages.success(request, remark_outcome(remark))
    query = f"anchor={first}&offer={second}" if by_photo else f"pair={first}-{second}"
    return redirect(review_address(survey, query, within(request)))
