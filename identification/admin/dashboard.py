"""The first page of the admin: how the surveys stand and what needs somebody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from .. import permissions
from ..models import Decision, MatchEdge, ProcessingState, Verdict, Work
from ..permissions import Action, detections_for, images_for, individuals_for, surveys_for
from ..presenting import span_words
from ..selectors.health import health_read
from ..selectors.surveys import FAILED, survey_cards, survey_totals, surveys_listed
from .base import account

# The newest.
_SURVEYS = 12
_FAILURES = 8
_DECISIONS = 8


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What `templates/admin/index.html` shows, as far as the account may see it."""
    user = account(request)
    surveys = surveys_listed(user)
    cards = survey_cards(user, surveys.order_by("-pk")[:_SURVEYS])
    totals = survey_totals(user)
    photos = {state: totals.photos.by_state.get(state, 0) for state in ProcessingState.values}
    seen = detections_for(user).filter(image__survey__in=surveys_for(user, Action.SEE_CANDIDATES))
    decisions = Decision.objects.filter(edge__a__in=seen, edge__b__in=seen)
    failures = Work.objects.filter(image__in=images_for(user), state__in=FAILED)
    standing = individuals_for(user).filter(retired=False)
    health = health_read() if permissions.is_administrator(user) else None
    context |= {
        "title": gettext("Dashboard"),
        "silent_for": span_words(timedelta(seconds=health.heartbeat_age)) if health and health.heartbeat_age else "",
        "cards": cards,
        "more": totals.surveys - len(cards),
        "figures": [
            _figure(gettext("Surveys"), totals.surveys, "survey", "map"),
            _figure(gettext("Images"), sum(photos.values()), "image", "photo_library", _states(photos)),
            _figure(
                gettext("Animals detected"),
                totals.animals,
                "detection",
                "select_all",
                _named(totals.identified),
            ),
            _figure(gettext("Individuals"), standing.count(), "individual", "pets", _declared(standing)),
            _figure(
                gettext("Decisions"),
                decisions.filter(undoes__isnull=True).count(),
                "decision",
                "rule",
                _undone(decisions),
            ),
            _figure(
                gettext("Failed images"), failures.count(), "work", "error", query="?state__exact=failed", alarm=True
            ),
        ],
        "failures": failures.select_related("image__survey").order_by("-finished_at", "image")[:_FAILURES],
        "decisions": decisions.select_related("acting_user", "edge__a__image", "edge__b__image").order_by("-id")[
            :_DECISIONS
        ],
        "contradictions": _contradictions(seen),
        "health": health,
    }
    return context


def _figure(
    title: str, number: int, model: str, icon: str, note: str = "", query: str = "", alarm: bool = False
) -> dict[str, Any]:
    link = reverse(f"admin:identification_{model}_changelist") + query
    return {"title": title, "number": number, "link": link, "icon": icon, "note": note, "alarm": alarm and number > 0}


def _states(photos: dict[str, int]) -> str:
    waiting = photos[ProcessingState.PENDING] + photos[ProcessingState.RUNNING]
    said = {"done": photos[ProcessingState.DONE], "waiting": waiting}
    return gettext("%(done)s done, %(waiting)s waiting") % said


def _named(identified: int) -> str:
    return gettext("%(n)s identified") % {"n": identified}


def _declared(individuals: Any) -> str:
    return gettext("%(n)s with a name") % {"n": individuals.exclude(name="").count()}


def _undone(decisions: Any) -> str:
    return gettext("%(n)s taken back") % {"n": decisions.filter(undoes__isnull=False).count()}


def _contradictions(seen: Any) -> int:
    """Refused pairs whose two photos are in one individual all the same."""
    refused = MatchEdge.objects.filter(verdict=Verdict.NO_MATCH, a__in=seen, b__in=seen)
    return refused.filter(a__individual__isnull=False, a__individual=F("b__individual")).count()


def failures_badge(request: HttpRequest) -> str | None:
    """How many photos failed, for the sidebar; nothing when none did."""
    number = Work.objects.filter(image__in=images_for(account(request)), state__in=FAILED).count()
    return str(number) if number else None


def is_administrator(request: HttpRequest) -> bool:
    return permissions.is_administrator(account(request))


def may_decide(request: HttpRequest) -> bool:
    return is_administrator(request) or surveys_for(account(request), Action.SEE_CANDIDATES).exists()


def may_ingest(request: HttpRequest) -> bool:
    return is_administrator(request) or surveys_for(account(request), Action.INGEST).exists()
