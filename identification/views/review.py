"""The review page: an anchor beside a candidate, and what a person says of them."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST, require_safe

from ..errors import Contradiction, SpotIDError, StaleEdge
from ..matching.graph import ordered
from ..models import Decision, Detection, Survey, Verdict
from ..permissions import Action, detections_for, detections_given, rights_given, surveys_for, surveys_read
from ..prepared import Given, Prepared
from ..selectors.checks import check_read
from ..selectors.consequences import clash_read, pairs_shown, undo_outcome
from ..selectors.joins import pairs_waiting
from ..selectors.review import ReviewState, review_mode
from ..selectors.review_page import passed_anchors, review_page
from ..selectors.session_decisions import own_decisions
from ..selectors.spots import pair_spots
from ..selectors.surveys import matching_words, photo_counts
from ..services.decisions import decision_record, decision_undo_last
from ..services.opinions import opinion_seen
from ..services.review import (
    review_anchor_pass,
    review_anchor_return,
    review_position_set,
    review_questions_return,
)
from ..services.review_leases import questions_release
from . import review_session as session
from .access import account, number, reads_rights_once, survey_of
from .joins import tell_waiting, waits_words
from .photo_session import photo_context, photo_leased, photo_shared
from .review_aside import remark_taken_back
from .review_checks import answered, opinion_taken_back
from .review_modes import review_address, scope_of, within
from .review_queue import VIEWS, alone_context, queue_page
from .review_session import MOST_STRIPS, UNDO_UNREAD, Page, ahead_json, answers_json, wants_json


class DecisionForm(forms.Form):
    """What the buttons of the page send."""

    anchor = forms.IntegerField(min_value=1)
    candidate = forms.IntegerField(min_value=1)
    version = forms.IntegerField(min_value=0)
    verdict = forms.ChoiceField(choices=Verdict.choices)
    confirm = forms.BooleanField(required=False)
    explicit = forms.BooleanField(required=False)
    on = forms.BooleanField(required=False)
    shown = forms.FloatField(min_value=0, max_value=1, required=False)
    key = forms.UUIDField(required=False)
    check = forms.CharField(required=False, max_length=64)


class UndoForm(forms.Form):
    """What the page sends to take a decision back: the last one, or the one of an id or a key."""

    decision = forms.IntegerField(min_value=1, required=False)
    of = forms.UUIDField(required=False)
    key = forms.UUIDField(required=False)
    sure = forms.BooleanField(required=False)


@require_safe
@reads_rights_once
def review(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Where the reviewer is, in the order that she works in, or what the address names."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    wanted = number(request.GET.get("anchor"))
    by_queue = review_mode(user=user, survey=survey) == "queue"
    # A part of the survey, or another frame of a pair, is asked as a question whatever the order.
    if wanted is None and (by_queue or request.GET.get("frame") or scope_of(request, survey).narrow):
        return queue_page(request, survey)
    more = min(number(request.GET.get("more")) or 0, MOST_STRIPS)
    state = photo_leased(user=user, survey=survey, anchor=wanted, more=more)
    explicit = wanted is not None and state.anchor is not None and state.anchor.pk == wanted
    offer = number(request.GET.get("offer"))
    if explicit:
        _tell_elsewhere(request, state, offer)
    if by_queue and not state.offers:
        return queue_page(request, survey)
    if explicit and not state.offers:
        state, explicit = photo_leased(user=user, survey=survey, anchor=None, more=0), False
    if state.anchor is None or not state.offers:
        context: dict[str, Any] = {"survey": survey, "state": state, "passed": passed_anchors(user=user, survey=survey)}
        context |= alone_context(request, survey)
        context["matching_words"] = matching_words(survey, photo_counts(survey))
        context["waits"] = len(set(pairs_waiting(user=user, population_id=survey.population_id)))
        return render(request, "identification/review_done.html", context)
    shown = request.GET.get("view", "crop")
    page = review_page(user=user, state=state, offer=offer)
    context = photo_shared(request, survey) | photo_context(request, survey, state, page, explicit=explicit)
    context["view"] = shown if shown in VIEWS else "crop"
    context["undo"] = UNDO_UNREAD if state.undoable else None
    return render(request, "identification/review.html", context)


def _tell_elsewhere(request: HttpRequest, state: ReviewState, offer: int | None) -> None:
    """Say where what the address names is not shown, because others look at it."""
    if state.elsewhere and not state.offers:
        words = gettext("Other reviewers look at the candidates of that photo now. Here is what else is open.")
        messages.info(request, words)
    elif state.elsewhere and offer and offer not in {one.detection.pk for one in state.offers}:
        messages.info(request, gettext("Another reviewer looks at that pair now. Here is another one of the photo."))


@require_POST
@answers_json
@reads_rights_once
def decide(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Record a verdict, once for each key. 409 with the present state when the pair was decided meanwhile or the
    verdict contradicts."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _refused(request, survey, gettext("That was no decision this page can send. Nothing was recorded."), 400)
    said = form.cleaned_data
    anchor, candidate = _pair(request, survey, said["anchor"], said["candidate"])
    pair = (anchor.pk, candidate.pk)
    check = check_read(user=account(request), survey=survey, pair=pair, token=said["check"])
    try:
        if check is not None:
            return answered(request, survey, check, said)
        decision = decision_record(
            acting_user=account(request),
            first=anchor,
            second=candidate,
            verdict=said["verdict"],
            anchor=anchor,
            expected_version=said["version"],
            confirm_contradiction=said["confirm"],
            shown=said["shown"],
            key=said["key"],
        )
    except StaleEdge as stale:
        return _stale(request, survey, anchor, candidate, said, stale)
    except Contradiction as contradiction:
        return _contradiction(request, survey, anchor, candidate, said, contradiction)
    except SpotIDError as refused:
        return _refused(request, survey, str(refused), 422)
    by_photo = said["explicit"] or Page.of(request).by_photo
    if by_photo or (not wants_json(request) and review_mode(user=account(request), survey=survey) == "photo"):
        review_position_set(user=account(request), survey=survey, anchor=anchor)
    if wants_json(request):
        answer: dict[str, Any] = {"decision": decision.pk}
        if decision.proposed:
            answer["words"] = waits_words([decision])
        if by_photo or request.POST.get("spare") != "1":
            # What comes next takes most of the time: a browser that has something at hand asks for it by itself.
            answer["next"] = ahead_json(request, survey, undo=False)
        return session.said(200, "recorded", **answer)
    tell_waiting(request, [decision])
    query = f"anchor={anchor.pk}" if said["explicit"] else "on=1" if said["on"] else ""
    return redirect(review_address(survey, query, within(request)))


def _refused(request: HttpRequest, survey: Survey, words: str, status: int) -> HttpResponse:
    """Nothing was recorded, and why."""
    if wants_json(request):
        return session.said(status, "refused", words=words)
    messages.error(request, words)
    return redirect("review", survey.pk)


def _stale(
    request: HttpRequest,
    survey: Survey,
    anchor: Detection,
    candidate: Detection,
    said: dict[str, Any],
    stale: StaleEdge,
) -> HttpResponse:
    """409: the pair was decided meanwhile; what stands, by whom, and whether it is to stand."""
    (pair,) = pairs_shown(user=account(request), pairs=[ordered((anchor.pk, candidate.pk))])
    if pair.decision is not None:
        opinion_seen(user=account(request), survey=survey, decision=pair.decision)
    context = {"survey": survey, "anchor": anchor, "candidate": candidate, "said": said, "stale": stale}
    context["verdict"] = Verdict(stale.verdict).label if stale.verdict else gettext("undecided")
    context |= {"wanted": Verdict(said["verdict"]).label, "standing": pair.decision}
    if not wants_json(request):
        return render(request, "identification/review_stale.html", context, status=409)
    html = render_to_string("identification/_review_stale.html", context, request)
    by = str(pair.decision.acting_user or "SpotID") if pair.decision else ""
    own = pair.decision is not None and pair.decision.acting_user_id == account(request).pk
    return session.said(409, "stale", html=html, same=stale.verdict == said["verdict"], by="you" if own else by)


def _contradiction(
    request: HttpRequest,
    survey: Survey,
    anchor: Detection,
    candidate: Detection,
    said: dict[str, Any],
    contradiction: Contradiction,
) -> HttpResponse:
    """409: the verdict collides with earlier ones; with which, and whether it is meant."""
    clash = clash_read(user=account(request), pairs=contradiction.pairs, first=anchor, second=candidate)
    context = {"survey": survey, "anchor": anchor, "candidate": candidate, "said": said, "clash": clash}
    context |= {"contradiction": contradiction, "wanted": Verdict(said["verdict"]).label}
    if not wants_json(request):
        return render(request, "identification/review_contradiction.html", context, status=409)
    html = render_to_string("identification/_review_contradiction.html", context, request)
    return session.said(409, "contradiction", html=html)


_OF_A_PAIR = ("image__survey__population", "image__station")
_PAIR = Prepared(
    lambda: (
        detections_given()
        .filter(pk__any_of=Given("ids"), image__survey__any_of=Given("decidable"))
        .select_related(*_OF_A_PAIR)
        .order_by()
    )
)


def _pair(request: HttpRequest, survey: Survey, anchor_id: int, candidate_id: int) -> tuple[Detection, Detection]:
    """Both detections, each from a survey in which the account may decide."""
    user, ids = account(request), [anchor_id, candidate_id]
    rights, decidable = rights_given(user), surveys_read(user, Action.DECIDE)
    if rights is not None and decidable is not None:
        rows = _PAIR(ids=ids, decidable=list(decidable), **rights)
    else:
        visible = detections_for(user).filter(pk__in=ids, image__survey__in=surveys_for(user, Action.DECIDE))
        rows = list(visible.select_related(*_OF_A_PAIR).order_by())
    found = {row.pk: row for row in rows}
    anchor, candidate = found.get(anchor_id), found.get(candidate_id)
    if anchor is None or candidate is None or anchor.image.survey_id != survey.pk:
        raise Http404("No such pair.")
    return anchor, candidate


@require_safe
def spots(request: HttpRequest, survey_id: int) -> JsonResponse:
    """The matched spots of a pair that the account may decide about, as JSON.

    pairs: [x, y in the anchor's crop, x, y in the candidate's, weight], fractions; boxes: where both crops lie in their
    photos, x1, y1, x2, y2 as fractions; words: what was found, in a sentence.
    """
    survey = survey_of(request, survey_id, Action.DECIDE)
    anchor_id, candidate_id = number(request.GET.get("anchor")), number(request.GET.get("candidate"))
    if anchor_id is None or candidate_id is None or anchor_id == candidate_id:
        raise Http404("No such pair.")
    anchor, candidate = _pair(request, survey, anchor_id, candidate_id)
    found = pair_spots(first=anchor, second=candidate)
    rows = [[*spot.a, *spot.b, spot.weight] for spot in found.spots]
    response = JsonResponse(
        {
            "pairs": [[round(value, 5) for value in row] for row in rows],
            "boxes": [_crop_in_photo(anchor), _crop_in_photo(candidate)],
            "words": found.words,
        }
    )
    patch_cache_control(response, private=True, no_store=True)
    return response


def _crop_in_photo(detection: Detection) -> list[float]:
    width, height = detection.image.width or 1, detection.image.height or 1
    return [detection.x1 / width, detection.y1 / height, detection.x2 / width, detection.y2 / height]


@require_POST
@answers_json
@reads_rights_once
def undo(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Take back the reviewer's last decision in this survey, or the one that the form names; say what followed, and
    show the pair again. Where an animal would come apart, a form without `sure` is asked first."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    form = UndoForm(request.POST)
    if not form.is_valid():
        return _refused(request, survey, gettext("That names no decision. Nothing was taken back."), 400)
    said = form.cleaned_data
    if said["decision"] is None:
        for taken_back_by in (opinion_taken_back, remark_taken_back):
            if gone := taken_back_by(request, survey, said["of"], said["key"]):
                return gone
    if not wants_json(request) and not said["sure"] and not said["decision"]:
        last = own_decisions(user=user, survey=survey, most=1)
        if last and last[0].asks and last[0].together == 1 and isinstance(last[0].decision, Decision):
            where = (
                reverse("review", args=[survey.pk]) + f"?pair={last[0].decision.edge.a_id}-{last[0].decision.edge.b_id}"
            )
            address = reverse("decision-undo", args=[last[0].decision.pk])
            return redirect(f"{address}?{urlencode({'next': where})}")
    try:
        taken_back = decision_undo_last(
            acting_user=user, survey=survey, decision=said["decision"], of=said["of"], key=said["key"]
        )
    except SpotIDError as refused:
        if wants_json(request):
            return session.said(422, "refused", words=str(refused))
        messages.info(request, str(refused))
        return redirect("review", survey.pk)
    decision = taken_back[-1]  # of several the first
    together = decision.batch is not None
    if together:
        words = gettext("Taken back: %(answers)s together.") % {"answers": _number_of(taken_back)}
    else:
        words = undo_outcome(user=user, decision=decision)
    other = decision.edge.b_id if decision.edge.a_id == decision.anchor_id else decision.edge.a_id
    if wants_json(request):
        first = (cast(int, decision.anchor_id), other)
        if Page.of(request).by_photo:
            review_position_set(user=user, survey=survey, anchor=decision.anchor)
        return session.said(200, "undone", words=words, next=ahead_json(request, survey, first=first))
    messages.success(request, words)
    if together and decision.verdict == Verdict.NO_MATCH and decision.anchor is not None:
        review_position_set(user=user, survey=survey, anchor=decision.anchor)
        return redirect(review_address(survey, f"anchor={decision.anchor_id}"))
    if together:
        return redirect("review-certain", survey.pk)
    if review_mode(user=user, survey=survey) == "queue":
        query = f"pair={decision.anchor_id}-{other}"
    else:
        query = f"anchor={decision.anchor_id}&offer={other}"
        review_position_set(user=user, survey=survey, anchor=decision.anchor)
    return redirect(review_address(survey, query, within(request)))


def _number_of(taken_back: list[Decision]) -> str:
    """How many matches were confirmed, or candidates refused, in the step that was taken back."""
    number = len(taken_back)
    if taken_back[0].verdict == Verdict.NO_MATCH:
        words = ngettext("%(n)s refusal that you gave", "%(n)s refusals that you gave", number)
    else:
        words = ngettext("%(n)s match that you confirmed", "%(n)s matches that you confirmed", number)
    return words % {"n": number}


@require_POST
@answers_json
@reads_rights_once
def pass_anchor(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Go on to the next anchor; this one waits at the end."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    anchor = get_object_or_404(
        detections_for(account(request)), pk=number(request.POST.get("anchor")), image__survey=survey
    )
    review_anchor_pass(user=account(request), survey=survey, anchor=anchor)
    questions_release(user=account(request), survey=survey, about=anchor)
    if wants_json(request):
        return session.said(200, "later", next=ahead_json(request, survey))
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
