"""Review by what is settled: one question between two groups at a time, and near-certain pairs many at a glance."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST, require_safe

from ..errors import SpotIDError
from ..models import Detection, Survey, User
from ..permissions import Action, detections_for, surveys_for
from ..presenting import decimal
from ..selectors.checks import Check, check_shown
from ..selectors.consequences import pairs_shown
from ..selectors.joins import pairs_waiting
from ..selectors.review import may_undo
from ..selectors.review_glance import certain_pairs, photos_alone
from ..selectors.review_leases import leased_elsewhere
from ..selectors.review_modes import unsure_own
from ..selectors.review_questions import (
    Only,
    QueueState,
    put_off_pairs,
    queue_state,
    survey_completeness,
)
from ..selectors.surveys import matching_words, photo_counts
from ..services.confirming import Ticked, decisions_confirm
from ..services.review import review_question_put_off, survey_goal_set
from ..services.review_leases import questions_lease, questions_release
from .access import account, back, reads_rights_once, survey_of
from .joins import tell_waiting
from .review_modes import any_animal, review_address, scope_of, within
from .review_session import (
    PAIR,
    UNDO_UNREAD,
    ahead_json,
    answers_json,
    page_context,
    pair_named,
    question_context,
    said,
    wants_json,
)

VIEWS = ("crop", "cutout", "edges", "whole")
_TICKED = re.compile(r"([1-9]\d{0,17}):([1-9]\d{0,17}):(\d{1,9}):([01]\.\d{1,9})")
_SKIPPED_MOST = 240


def queue_page(request: HttpRequest, survey: Survey) -> HttpResponse:
    """The next question, the one that the address names, or what is left to say when none is asked."""
    scope = scope_of(request, survey)
    on = request.GET.get("on") == "1"
    wanted = pair_named(request.GET.get("pair", ""))
    token = request.GET.get("check", "")
    check = check_shown(user=account(request), survey=survey, pair=wanted, token=token) if wanted and token else None
    exactly = request.GET.get("frame") == "1"
    state = _leased(account(request), survey, wanted, scope.only, exactly=exactly, check=check)
    ends = state.progress.reached and not scope.narrow and not on and not wanted
    if state.asked is None or (ends and state.asked.check is None):
        return _end(request, survey, state)
    shown = request.GET.get("view", "crop")
    context = page_context(request, survey) | question_context(request, survey, state.asked)
    context |= {"state": state, "on": on, "view": shown if shown in VIEWS else "crop"}
    context["undo"] = UNDO_UNREAD if state.undoable else None
    return render(request, "identification/review_question.html", context)


def _leased(
    user: User,
    survey: Survey,
    wanted: tuple[int, int] | None,
    only: Only | None,
    *,
    exactly: bool,
    check: Check | None,
) -> QueueState:
    """The state with a question that nobody else has before her; it is this reviewer's for the next two minutes."""

    def take(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return questions_lease(user=user, survey=survey, pairs=pairs)

    return queue_state(user=user, survey=survey, pair=wanted, only=only, exactly=exactly, check=check, take=take)


def _end(request: HttpRequest, survey: Survey, state: QueueState) -> HttpResponse:
    context = {"survey": survey, "state": state, **alone_context(request, survey), "scope": scope_of(request, survey)}
    if context["scope"].scope.mode == "mine":
        context["unsure"] = unsure_own(user=account(request), survey=survey)
    context["matching_words"] = matching_words(survey, photo_counts(survey))
    context["waits"] = len(set(pairs_waiting(user=account(request), population_id=survey.population_id)))
    return render(request, "identification/review_end.html", context)


def alone_context(request: HttpRequest, survey: Survey) -> dict[str, Any]:
    """The photos that stand alone, for the end of a review."""
    alone, number = photos_alone(user=account(request), survey=survey)
    return {"alone": alone, "alone_more": number - len(alone), "catalogued": any_animal(survey)}


def _pairs(text: str) -> list[tuple[int, int]]:
    found = (pair_named(part) for part in text.split(",")[-_SKIPPED_MOST:])
    return [pair for pair in found if pair]


@require_safe
def certain(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Near-certain pairs, many at a glance. `skip` names pairs that were looked at and left."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    skip = _pairs(request.GET.get("skip", ""))
    # What somebody has put off was looked at and left, too.
    without = [*skip, *put_off_pairs(user=user, survey=survey), *leased_elsewhere(user=user, survey=survey)]
    pairs = certain_pairs(user=user, survey=survey, without=without)
    asked = [(likely.question.pair.a, likely.question.pair.b) for likely in pairs]
    got = set(questions_lease(user=user, survey=survey, pairs=asked))
    pairs = [likely for likely, pair in zip(pairs, asked, strict=True) if pair in got]
    state = {
        "progress": survey_completeness(user=user, survey=survey),
        "undoable": may_undo(user=user, survey=survey),
    }
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
        messages.info(request, gettext("Nothing was ticked, so nothing was recorded."))
    outcome = decisions_confirm(acting_user=user, survey=survey, ticked=ticked)
    if outcome.recorded:
        tell_waiting(request, outcome.recorded)
        number = sum(not row.proposed for row in outcome.recorded)
    if outcome.recorded and number:
        words = ngettext(
            "%(n)s match recorded. Z takes them back.", "%(n)s matches recorded. Z takes them back.", number
        )
        messages.success(request, words % {"n": number})
    if outcome.refused:
        pairs = [tuple(sorted((pair.anchor.pk, pair.candidate.pk))) for pair, _ in outcome.refused]
        shown = pairs_shown(user=user, pairs=[(a, b) for a, b in pairs])
        reasons = [str(reason) for _, reason in outcome.refused]
        context = {"survey": survey, "outcome": outcome, "refused": list(zip(shown, reasons, strict=True))}
        return render(request, "identification/review_refused.html", context, status=409)
    looked_at = {":".join(value.split(":")[:2]) for value in values}
    left = [pair for pair in request.POST.getlist("shown")[:200] if PAIR.fullmatch(pair) and pair not in looked_at]
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
@answers_json
@reads_rights_once
def later(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Put the question off."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    pair = pair_named(request.POST.get("pair", ""))
    visible = detections_for(user).filter(image__survey__population=survey.population_id)
    if not pair or visible.filter(pk__in=pair).count() != 2:
        words = gettext("These photos are not open to you, so nothing was put off.")
        if wants_json(request):
            return said(422, "refused", words=words)
        messages.error(request, words)
        return redirect(review_address(survey, within(request)))
    review_question_put_off(user=user, survey=survey, pair=pair)
    questions_release(user=user, survey=survey, pairs=[pair])
    if wants_json(request):
        return said(200, "later", next=ahead_json(request, survey))
    return redirect(review_address(survey, "on=1" if request.POST.get("on") == "1" else "", within(request)))


@require_POST
def goal(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Choose which share of the true matches has to be found."""
    survey = survey_of(request, survey_id, Action.CURATE)
    try:
        share = float(request.POST.get("goal", "")) / 100
        survey_goal_set(acting_user=account(request), survey=survey, goal=share)
    except (ValueError, SpotIDError):
        messages.error(request, gettext("The goal is a share between 50 and 100 %. Nothing was changed."))
    else:
        messages.success(
            request,
            gettext("The review counts as finished when %(share)s of the true matches are found.")
            % {"share": decimal(f"{100 * share:.4g} %")},
        )
    return back(request, "survey-detail", survey.pk)
