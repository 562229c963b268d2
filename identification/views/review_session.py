"""The review as a session in one page: questions ahead, answers as JSON, and the list of what was decided."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_safe

from ..models import Survey
from ..permissions import Action
from ..selectors.calibration import is_calibrated
from ..selectors.checks import Check, check_shown, check_token
from ..selectors.review_ahead import Ahead, Upcoming, Waiting, questions_ahead
from ..selectors.review_questions import Asked, sees_all, stage_words
from ..selectors.session_decisions import OwnDecision, own_decisions
from ..services.review_leases import questions_lease
from .access import account, may_undeclare, number, reads_rights_once, survey_of
from .photo_session import photo_json
from .review_modes import pair_parts, scope_of, survey_parts

PAIR = re.compile(r"([1-9]\d{0,17})[-:]([1-9]\d{0,17})")
_WAITING = re.compile(r"([1-9]\d{0,17})-([1-9]\d{0,17}):([a-z_]{1,12})")
_TOKEN = re.compile(r"[0-9a-f]{16}")
# A browser that was offline for a day may have many.
_MOST_NAMED = 300
MOST_STRIPS = 1000
# So many questions are made for a browser at once: as many as ten seconds without a connection need, and few for one
# that has some at hand or waits for its answer to be recorded, because others wait behind.
NEW, NEW_AT_HAND = 6, 3

# There is something to take back; what would follow from it takes long to say, and is asked for when it is wanted.
UNDO_UNREAD = {"rough": True}

View = Callable[..., HttpResponse]


def wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def answers_json(view: View) -> View:
    """A view that says as JSON, where JSON is asked for, what may not be done (403) and what is not there (404).

    A form that was filled in by another account (`by`) than the one that is signed in now is refused, too.
    """

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **named: Any) -> HttpResponse:
        if not wants_json(request):
            return view(request, *args, **named)
        if request.POST.get("by", str(request.user.pk)) != str(request.user.pk):
            return said(403, "other")
        try:
            response = view(request, *args, **named)
        except PermissionDenied:
            return said(403, "forbidden")
        except Http404:
            return said(404, "gone")
        patch_cache_control(response, private=True, no_store=True)
        return response

    return answered


def said(status: int, what: str, **more: object) -> JsonResponse:
    return JsonResponse({"said": what, **more}, status=status)


def pair_named(text: str) -> tuple[int, int] | None:
    found = PAIR.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True)
class Page:
    """What the browser has: the pair that it shows, tokens of the questions at hand, decisions that it has not sent.

    checking: what the form of the shown pair says of itself to the server alone. by_photo: whether it goes on in the
    order by photo; explicit, more: then, the photo that its address names, and how many strips of five it is past.
    """

    shown: tuple[int, int] | None
    have: frozenset[str]
    waiting: list[Waiting]
    checking: str
    by_photo: bool
    explicit: int | None
    more: int

    @classmethod
    def of(cls, request: HttpRequest) -> Page:
        form = request.POST if request.method == "POST" else request.GET
        parts = form.get("waiting", "").split(",")[:_MOST_NAMED]
        found = [match for match in map(_WAITING.fullmatch, parts) if match]
        return cls(
            shown=pair_named(form.get("showing", "")),
            have=frozenset(filter(_TOKEN.fullmatch, form.get("have", "").split(",")[:_MOST_NAMED])),
            waiting=[Waiting((int(match[1]), int(match[2])), match[3]) for match in found],
            checking=form.get("checking", ""),
            by_photo=form.get("order") == "photo",
            explicit=number(form.get("at")),
            more=min(number(form.get("more")) or 0, MOST_STRIPS),
        )


@require_safe
@answers_json
@reads_rights_once
def ahead(request: HttpRequest, survey_id: int) -> HttpResponse:
    """The questions that come next, as parts of a page. Asking renews the leases of all that are answered. `undo=0`:
    what Undo would take back is not wanted."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    return JsonResponse(ahead_json(request, survey, undo=request.GET.get("undo") != "0"))


def ahead_json(
    request: HttpRequest,
    survey: Survey,
    *,
    first: tuple[int, int] | None = None,
    again: Check | None = None,
    undo: bool = True,
) -> dict[str, Any]:
    """What the browser should have next.

    order: questions in the order in which they are to be shown, each {token, pair, groups} and, where the browser has
    not got it yet, `html`. shown, groups: whether the question on the page still stands, and what it is about. first:
    whether the wanted pair is the first; again: the check that it is asked as. state: the moving part of the bar.
    undo: what Undo would take back, unless that is not wanted: after a decision it is that one, and what would follow
    is asked before it is taken back. over, reached: whether nothing is left to ask, or the goal is reached: another
    page says so.
    """
    page = Page.of(request)
    if page.by_photo:
        named = {name: getattr(page, name) for name in ("shown", "have", "waiting", "explicit", "more")}
        found = photo_json(request, survey, first=first, **named)
    else:
        found = _queue_json(request, survey, page, first, again)
    if not undo:
        return found
    last = own_decisions(user=account(request), survey=survey, most=1)
    return found | {"undo": undo_json(last[0]) if last else None}


def _queue_json(
    request: HttpRequest, survey: Survey, page: Page, first: tuple[int, int] | None, again: Check | None
) -> dict[str, Any]:
    user, scope = account(request), scope_of(request, survey)
    checking = check_shown(user=user, survey=survey, pair=page.shown, token=page.checking) if page.shown else None
    lost: list[tuple[int, int]] = []
    for _ in range(3):
        found = questions_ahead(
            user=user,
            survey=survey,
            shown=page.shown,
            waiting=page.waiting,
            first=first,
            only=scope.only,
            without=lost,
            checking=checking,
            again=again,
        )
        few = request.method == "POST" or len(page.have) >= NEW_AT_HAND
        found = found.with_new(page.have, NEW_AT_HAND if few else NEW)
        pairs = [(one.pick.question.pair.a, one.pick.question.pair.b) for one in found.questions]
        own = [page.shown] if page.shown and found.shown else []
        got = set(questions_lease(user=user, survey=survey, pairs=[*own, *pairs]))
        missed = [pair for pair in pairs if pair not in got]
        if not missed or len(missed) < len(pairs) or own:
            break
        # Somebody else was quicker in the moment between. Where some were got, the next answer brings others.
        lost += missed
    on = _goes_on(request)
    return {
        "order": _order(request, survey, found, [pair for pair in pairs if pair in got], page.have),
        "shown": found.shown,
        "groups": found.groups,
        "first": found.first,
        "state": render_to_string("identification/_review_state.html", {"survey": survey, "state": found}, request),
        "over": not found.questions and not found.shown,
        # A check stays, whatever is reached.
        "reached": found.progress.reached and not scope.narrow and not on and checking is None,
    }


def _goes_on(request: HttpRequest) -> bool:
    """Whether the reviewer goes on although the goal is reached."""
    return (request.POST if request.method == "POST" else request.GET).get("on") in {"1", "on"}


def _order(
    request: HttpRequest, survey: Survey, found: Ahead, leased: list[tuple[int, int]], have: frozenset[str]
) -> list[dict[str, Any]]:
    html = _html(request, survey, found.fresh(account(request), have), found)
    order = []
    for one in found.questions:
        question = one.pick.question
        if (question.pair.a, question.pair.b) not in leased or (one.token not in have and one.token not in html):
            continue
        row = {"token": one.token, "pair": "-".join(map(str, one.pick.pair)), "groups": one.groups}
        order.append(row | ({"html": html[one.token]} if one.token in html else {}))
    return order


def _html(request: HttpRequest, survey: Survey, fresh: list[tuple[Upcoming, Asked]], found: Ahead) -> dict[str, str]:
    shared = page_context(request, survey) if fresh else {}
    html: dict[str, str] = {}
    for one, page in fresh:
        context = shared | question_context(request, survey, page) | {"state": found, "on": _goes_on(request)}
        html[one.token] = render_to_string("identification/_question.html", context | {"token": one.token}, request)
    return html


def page_context(request: HttpRequest, survey: Survey) -> dict[str, Any]:
    """What the pages of all questions of a survey say."""
    return {
        "survey": survey,
        "view": "crop",
        "calibrated": is_calibrated(survey.population),
        # Few pages say so.
        "sees_all": SimpleLazyObject(lambda: sees_all(user=account(request), survey=survey)),
        **survey_parts(request, survey),
    }


def question_context(request: HttpRequest, survey: Survey, page: Asked) -> dict[str, Any]:
    """What the page of one question says. here: its own address, for forms that lead back to it."""
    lone = page.left.detection.individual
    left, right = page.left.detection, page.right.detection
    token = check_token(user=account(request), survey=survey, pair=(left.pk, right.pk), check=page.check)
    here = f"pair={left.pk}-{right.pk}{'&on=1' if _goes_on(request) else ''}&check={token}"
    return {
        "page": page,
        "check": token,
        **pair_parts(survey, left, right, scope_of(request, survey), here),
        "why": stage_words(page.question.stage),
        "may_undeclare": lone is not None and lone.declared and may_undeclare(request, lone),
    }


def undo_json(last: OwnDecision) -> dict[str, Any]:
    """What Undo would take back: its id or key, the verdict, what follows, and whether to ask before."""
    photos = [detection.pk if detection and detection.crop else None for detection in (last.a, last.b)]
    return {
        "decision": None if last.by_key else last.decision.pk,
        "key": str(last.decision.key or ""),
        "verdict": last.said,
        "words": last.words,
        "asks": last.asks,
        "crops": [reverse("media", args=["crop", pk]) if pk else "" for pk in photos],
    }


@require_safe
def decisions(request: HttpRequest, survey_id: int) -> HttpResponse:
    """The reviewer's last decisions in the survey, and what follows from taking each back. `part`: for the dialog."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    context = {"survey": survey, "decisions": own_decisions(user=account(request), survey=survey)}
    part = request.GET.get("part") == "1"
    response = render(request, f"identification/{'_' if part else ''}review_decisions.html", context)
    patch_cache_control(response, private=True, no_store=True)
    return response
