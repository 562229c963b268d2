"""The review page: an anchor beside a candidate, and what a person says of them."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from ..errors import Contradiction, SpotIDError, StaleEdge
from ..models import Detection, Survey, Verdict
from ..permissions import Action, detections_for, surveys_for
from ..selectors.consequences import clash_read, undo_outcome
from ..selectors.review import review_mode, review_state
from ..selectors.review_page import passed_anchors, review_page
from ..selectors.surveys import matching_words, photo_counts
from ..services.decisions import decision_record, decision_undo_last
from ..services.review import (
    review_anchor_pass,
    review_anchor_return,
    review_position_set,
    review_questions_return,
)
from .access import account, may_undeclare, number, survey_of
from .review_queue import VIEWS, mode_chosen, queue_page


class DecisionForm(forms.Form):
    """What the buttons of the page send."""

    anchor = forms.IntegerField(min_value=1)
    candidate = forms.IntegerField(min_value=1)
    version = forms.IntegerField(min_value=0)
    verdict = forms.ChoiceField(choices=[(v.value, v.label) for v in (Verdict.MATCH, Verdict.NO_MATCH, Verdict.UNSURE)])
    confirm = forms.BooleanField(required=False)
    explicit = forms.BooleanField(required=False)
    on = forms.BooleanField(required=False)
    shown = forms.FloatField(min_value=0, max_value=1, required=False)


@require_safe
def review(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Where the reviewer is, in the order that she works in, or what the address names."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    mode_chosen(request, survey)
    wanted = number(request.GET.get("anchor"))
    by_queue = review_mode(user=user, survey=survey) == "queue"
    if wanted is None and by_queue:
        return queue_page(request, survey)
    state = review_state(user=user, survey=survey, anchor=wanted)
    explicit = wanted is not None and state.anchor is not None and state.anchor.pk == wanted
    if by_queue and not state.offers:
        return queue_page(request, survey)
    if explicit and not state.offers:
        state, explicit = review_state(user=user, survey=survey), False
    if state.anchor is None or not state.offers:
        context = {"survey": survey, "state": state, "passed": passed_anchors(user=user, survey=survey)}
        context["matching_words"] = matching_words(survey, photo_counts(survey))
        return render(request, "identification/review_done.html", context)
    review_position_set(user=user, survey=survey, anchor=state.anchor)
    shown = request.GET.get("view", "crop")
    page = review_page(user=user, state=state, offer=number(request.GET.get("offer")))
    context = {"survey": survey, "state": state, "page": page, "explicit": explicit}
    context |= {"view": shown if shown in VIEWS else "crop", "views": VIEWS}
    lone = state.anchor.individual
    context["may_undeclare"] = lone is not None and lone.declared and may_undeclare(request, lone)
    return render(request, "identification/review.html", context)


@require_POST
def decide(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Record a verdict. 409 with the present state when the pair was decided meanwhile or the verdict contradicts."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, "That was no decision this page can send. Nothing was recorded.")
        return redirect("review", survey.pk)
    said = form.cleaned_data
    anchor, candidate = _pair(request, survey, said["anchor"], said["candidate"])
    try:
        decision_record(
            acting_user=account(request),
            first=anchor,
            second=candidate,
            verdict=said["verdict"],
            anchor=anchor,
            expected_version=said["version"],
            confirm_contradiction=said["confirm"],
            shown=said["shown"],
        )
    except StaleEdge as stale:
        context = {"survey": survey, "anchor": anchor, "candidate": candidate, "said": said, "stale": stale}
        context["verdict"] = Verdict(stale.verdict).label if stale.verdict else "undecided"
        context["wanted"] = Verdict(said["verdict"]).label
        return render(request, "identification/review_stale.html", context, status=409)
    except Contradiction as contradiction:
        clash = clash_read(user=account(request), pairs=contradiction.pairs, first=anchor, second=candidate)
        context = {"survey": survey, "anchor": anchor, "candidate": candidate, "said": said, "clash": clash}
        context |= {"contradiction": contradiction, "wanted": Verdict(said["verdict"]).label}
        return render(request, "identification/review_contradiction.html", context, status=409)
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return redirect("review", survey.pk)
    query = f"?anchor={anchor.pk}" if said["explicit"] else "?on=1" if said["on"] else ""
    return redirect(reverse("review", args=[survey.pk]) + query)


def _pair(request: HttpRequest, survey: Survey, anchor_id: int, candidate_id: int) -> tuple[Detection, Detection]:
    """Both detections, each from a survey in which the account may decide."""
    visible = detections_for(account(request)).select_related("image__survey__population", "image__station")
    anchor = get_object_or_404(visible, pk=anchor_id, image__survey=survey)
    candidate = get_object_or_404(
        visible, pk=candidate_id, image__survey__in=surveys_for(account(request), Action.DECIDE)
    )
    return anchor, candidate


@require_POST
def undo(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Take back the reviewer's last decision in this survey, say what followed, and show the pair again."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    try:
        taken_back = decision_undo_last(acting_user=account(request), survey=survey)
    except SpotIDError as refused:
        messages.info(request, str(refused))
        return redirect("review", survey.pk)
    decision = taken_back[0]
    if decision.batch is not None:
        number_of = f"{len(taken_back)} {'match' if len(taken_back) == 1 else 'matches'}"
        messages.success(request, f"Taken back: {number_of} that you confirmed together.")
        return redirect("review-certain", survey.pk)
    messages.success(request, undo_outcome(user=account(request), decision=decision))
    other = decision.edge.b_id if decision.edge.a_id == decision.anchor_id else decision.edge.a_id
    query = f"?anchor={decision.anchor_id}&offer={other}"
    if review_mode(user=account(request), survey=survey) == "queue":
        query = f"?pair={decision.anchor_id}-{other}"
    return redirect(reverse("review", args=[survey.pk]) + query)


@require_POST
def pass_anchor(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Go on to the next anchor; this one waits at the end."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    anchor = get_object_or_404(
        detections_for(account(request)), pk=number(request.POST.get("anchor")), image__survey=survey
    )
    review_anchor_pass(user=account(request), survey=survey, anchor=anchor)
    return redirect("review", survey.pk)


@require_POST
def return_anchor(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Take up one passed anchor again, or all that was put off when the form names none."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    wanted = number(request.POST.get("anchor"))
    anchor = None
    if wanted is not None:
        anchor = get_object_or_404(detections_for(account(request)), pk=wanted, image__survey=survey)
    review_anchor_return(user=account(request), survey=survey, anchor=anchor)
    if anchor is None:
        review_questions_return(user=account(request), survey=survey)
    return redirect("review", survey.pk)
