"""Review by what is settled: one question between two groups at a time, and near-certain pairs many at a glance."""

from __future__ import annotations

import re

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from ..errors import SpotIDError
from ..models import Detection, Survey
from ..permissions import Action, detections_for, surveys_for
from ..selectors.consequences import pairs_shown
from ..selectors.review_questions import (
    QueueState,
    certain_pairs,
    photos_alone,
    put_off_pairs,
    queue_state,
    sees_all,
    stage_words,
)
from ..selectors.surveys import matching_words, photo_counts
from ..services.confirming import Ticked, decisions_confirm
from ..services.review import review_mode_set, review_question_put_off, survey_goal_set
from .access import account, back, may_undeclare, survey_of

VIEWS = ("crop", "cutout", "edges", "whole")
_PAIR = re.compile(r"([1-9]\d{0,17})[-:]([1-9]\d{0,17})")
_TICKED = re.compile(r"([1-9]\d{0,17}):([1-9]\d{0,17}):(\d{1,9}):([01]\.\d{1,9})")
_SKIPPED_MOST = 240


def queue_page(request: HttpRequest, survey: Survey) -> HttpResponse:
    """The next question, the one that the address names, or what is left to say when none is asked."""
    user = account(request)
    on = request.GET.get("on") == "1"
    state = queue_state(user=user, survey=survey, pair=_pair(request.GET.get("pair", "")))
    if state.asked is None or (state.progress.reached and not on and not request.GET.get("pair")):
        return _end(request, survey, state)
    shown = request.GET.get("view", "crop")
    lone = state.asked.left.detection.individual
    context = {
        "survey": survey,
        "state": state,
        "page": state.asked,
        "on": on,
        "view": shown if shown in VIEWS else "crop",
        "why": stage_words(state.asked.question.stage),
        "sees_all": sees_all(user=user, survey=survey),
        "may_undeclare": lone is not None and lone.declared and may_undeclare(request, lone),
    }
    return render(request, "identification/review_question.html", context)


def _end(request: HttpRequest, survey: Survey, state: QueueState) -> HttpResponse:
    alone, number = photos_alone(user=account(request), survey=survey)
    context = {"survey": survey, "state": state, "alone": alone, "alone_more": number - len(alone)}
    context["matching_words"] = matching_words(survey, photo_counts(survey))
    return render(request, "identification/review_end.html", context)


def _pair(text: str) -> tuple[int, int] | None:
    found = _PAIR.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def _pairs(text: str) -> list[tuple[int, int]]:
    found = (_pair(part) for part in text.split(",")[-_SKIPPED_MOST:])
    return [pair for pair in found if pair]


@require_safe
def certain(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Near-certain pairs, many at a glance. `skip` names pairs that were looked at and left."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    skip = _pairs(request.GET.get("skip", ""))
    # What somebody has put off was looked at and left, too.
    pairs = certain_pairs(user=user, survey=survey, without=[*skip, *put_off_pairs(user=user, survey=survey)])
    state = queue_state(user=user, survey=survey)
    context = {"survey": survey, "pairs": pairs, "state": state}
    context["skip"] = ",".join(f"{a}-{b}" for a, b in skip)
    return render(request, "identification/review_certain.html", context)


@require_POST
def certain_confirm(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Match every ticked pair, each as its own decision. Those that collide are shown, the rest stands."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    values = request.POST.getlist("pair")[:200]
    ticked = _ticked(request, survey, values)
    if not ticked:
        messages.info(request, "Nothing was ticked, so nothing was recorded.")
    outcome = decisions_confirm(acting_user=user, survey=survey, ticked=ticked)
    if outcome.recorded:
        number = len(outcome.recorded)
        messages.success(request, f"{number} {'match' if number == 1 else 'matches'} recorded. Z takes them back.")
    if outcome.refused:
        pairs = [tuple(sorted((pair.anchor.pk, pair.candidate.pk))) for pair, _ in outcome.refused]
        shown = pairs_shown(user=user, pairs=[(a, b) for a, b in pairs])
        reasons = [str(reason) for _, reason in outcome.refused]
        context = {"survey": survey, "outcome": outcome, "refused": list(zip(shown, reasons, strict=True))}
        return render(request, "identification/review_refused.html", context, status=409)
    looked_at = {":".join(value.split(":")[:2]) for value in values}
    left = [pair for pair in request.POST.getlist("shown")[:200] if _PAIR.fullmatch(pair) and pair not in looked_at]
    skip = [*_pairs(request.POST.get("skip", "")), *_pairs(",".join(left))][-_SKIPPED_MOST:]
    query = "?skip=" + ",".join(f"{a}-{b}" for a, b in skip) if skip else ""
    return redirect(reverse("review-certain", args=[survey.pk]) + query)


def _ticked(request: HttpRequest, survey: Survey, values: list[str]) -> list[Ticked]:
    """What the boxes say, as far as both photos are the account's to decide about and the first is of this survey."""
    said = [found for found in map(_TICKED.fullmatch, values) if found]
    decidable = set(surveys_for(account(request), Action.DECIDE).values_list("pk", flat=True))
    ids = {int(found[place]) for found in said for place in (1, 2)}
    rows = detections_for(account(request)).filter(pk__in=ids, image__survey__in=decidable)
    by_id: dict[int, Detection] = {
        detection.pk: detection for detection in rows.select_related("image__survey__population", "image__station")
    }
    pairs = []
    for found in said:
        anchor, candidate = by_id.get(int(found[1])), by_id.get(int(found[2]))
        if anchor and candidate and anchor.image.survey_id == survey.pk:
            pairs.append(Ticked(anchor, candidate, int(found[3]), min(1.0, float(found[4]))))
    return pairs


@require_POST
def later(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Put the question off."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    pair = _pair(request.POST.get("pair", ""))
    visible = detections_for(account(request)).filter(image__survey__population=survey.population_id)
    if pair and visible.filter(pk__in=pair).count() == 2:
        review_question_put_off(user=account(request), survey=survey, pair=pair)
    return redirect(reverse("review", args=[survey.pk]) + ("?on=1" if request.POST.get("on") == "1" else ""))


@require_POST
def goal(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Choose which share of the true matches has to be found."""
    survey = survey_of(request, survey_id, Action.CURATE)
    try:
        share = float(request.POST.get("goal", "")) / 100
        survey_goal_set(acting_user=account(request), survey=survey, goal=share)
    except (ValueError, SpotIDError):
        messages.error(request, "The goal is a share between 50 and 100 %. Nothing was changed.")
    else:
        messages.success(
            request, f"The review counts as finished when {100 * share:.4g} % of the true matches are found."
        )
    return back(request, "survey-detail", survey.pk)


def mode_chosen(request: HttpRequest, survey: Survey) -> None:
    """Remember the order of review that the address names."""
    wanted = request.GET.get("mode", "")
    if wanted in ("queue", "photo"):
        review_mode_set(user=account(request), survey=survey, mode=wanted)
