"""Answers that check instead of deciding. To the one who answers they look like any other."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext

from ..models import Survey, Verdict
from ..selectors.checks import Check, check_again, check_token
from ..services.opinions import opinion_record, opinion_withdraw
from ..services.review_leases import questions_release
from . import review_session as session
from .access import account
from .review_modes import review_address, within
from .review_session import ahead_json, wants_json


def answered(request: HttpRequest, survey: Survey, check: Check, said: dict[str, Any]) -> HttpResponse:
    """Record what was said of a check, and go on as after a decision. Raises SpotIDError."""
    user = account(request)
    opinion = opinion_record(
        user=user, survey=survey, check=check, verdict=said["verdict"], shown=said["shown"], key=said["key"]
    )
    questions_release(user=user, survey=survey, pairs=[check.pair])
    if wants_json(request):
        # In the very form of a decision's answer.
        number = opinion.pk if opinion else None
        following = {} if request.POST.get("spare") == "1" else {"next": ahead_json(request, survey, undo=False)}
        return session.said(200, "recorded", decision=number, **following)
    return redirect(review_address(survey, "on=1" if said["on"] else "", within(request)))


def opinion_taken_back(request: HttpRequest, survey: Survey, of: UUID | None, key: UUID | None) -> HttpResponse | None:
    """Take back an answer to a check where that is meant, and show the pair again; None where it is not."""
    user = account(request)
    opinion = opinion_withdraw(user=user, survey=survey, of=of, key=key)
    if opinion is None:
        return None
    pair = (opinion.a_id, opinion.b_id)
    again = check_again(user=user, survey=survey, pair=pair)
    words = gettext("Taken back: %(verdict)s.") % {"verdict": Verdict(opinion.verdict).label}
    words = f"{words} {gettext('The pair is open again.')}"
    if wants_json(request):
        return session.said(200, "undone", words=words, next=ahead_json(request, survey, first=pair, again=again))
    messages.success(request, words)
    token = check_token(user=user, survey=survey, pair=pair, check=again)
    return redirect(review_address(survey, f"pair={pair[0]}-{pair[1]}&check={token}", within(request)))
