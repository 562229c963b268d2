"""What the order by photo shows: the parts of a page for each pair, and the next ones for a session in one page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string

from ..matching.graph import ordered
from ..models import Survey, User
from ..selectors.calibration import is_calibrated
from ..selectors.photo_ahead import PhotosAhead, card_token, photos_ahead
from ..selectors.review import ReviewState, review_mode, review_state
from ..selectors.review_ahead import Waiting
from ..selectors.review_page import ReviewPage
from ..services.review_leases import questions_lease
from .access import account, may_undeclare
from .review_modes import pair_parts, review_address, scope_of, survey_parts

# What is said of a photo, whichever of its candidates is shown: it changes with an answer to any of them.
_PARTS = ("who", "known", "strip")
# So often is asked again where somebody in another process was quicker.
_TRIES = 3


def photo_leased(*, user: User, survey: Survey, anchor: int | None, more: int) -> ReviewState:
    """Where the reviewer is, or that anchor's candidates, as far as nobody else has them before her: they are hers for
    the next two minutes."""
    lost: list[tuple[int, int]] = []
    for _ in range(_TRIES):
        state = review_state(user=user, survey=survey, anchor=anchor, more=more, without=lost, take=True)
        if state.anchor is None or not state.offers:
            return state
        pairs = [ordered((state.anchor.pk, offer.detection.pk)) for offer in state.offers]
        got = set(questions_lease(user=user, survey=survey, pairs=pairs))
        if got:
            # Of the others somebody was quicker in the moment between.
            offers = [offer for offer, pair in zip(state.offers, pairs, strict=True) if pair in got]
            return replace(state, offers=offers, elsewhere=state.elsewhere + len(pairs) - len(offers))
        lost += pairs
    return replace(state, offers=[])


def photo_shared(request: HttpRequest, survey: Survey) -> dict[str, Any]:
    """What the pages of all photos of a survey say."""
    calibrated = is_calibrated(survey.population)
    return {"survey": survey, "view": "crop", "calibrated": calibrated, **survey_parts(request, survey)}


def photo_context(
    request: HttpRequest, survey: Survey, state: ReviewState, page: ReviewPage, *, explicit: bool
) -> dict[str, Any]:
    """What the page of a photo beside one of its candidates says. here: its own address."""
    assert state.anchor is not None
    lone, other = state.anchor.individual, page.offer.detection
    here = f"anchor={state.anchor.pk}&offer={other.pk}" + (f"&more={state.more}" if state.more else "")
    return {
        "state": state,
        "page": page,
        "anchor": state.anchor,
        "explicit": explicit,
        "token": card_token(state, page.position - 1, explicit=explicit),
        "photo_url": review_address(survey, f"anchor={state.anchor.pk}"),
        "may_undeclare": lone is not None and lone.declared and may_undeclare(request, lone),
        **pair_parts(survey, state.anchor, other, scope_of(request, survey), here),
    }


def photo_json(
    request: HttpRequest,
    survey: Survey,
    *,
    shown: tuple[int, int] | None,
    have: Collection[str],
    waiting: Collection[Waiting],
    explicit: int | None,
    more: int,
    first: tuple[int, int] | None,
) -> dict[str, Any]:
    """What the browser should have next, as `ahead_json` says of the queue, and besides:

    spared, of each pair of `order`: pairs of the same photo with which a match would not settle it. parts: of each
    photo that is shown or comes, what is said of it beside any of its candidates. more: the strip that is gone
    on with. elsewhere: whether somebody else has the pair on the page before her. held: what is leased.
    """
    user = account(request)
    more = 0 if first else more  # what was taken back is of the first strip as a rule
    alone = review_mode(user=user, survey=survey) == "queue"
    lost: list[tuple[int, int]] = []
    for _ in range(_TRIES):
        found = photos_ahead(
            user=user,
            survey=survey,
            shown=shown,
            waiting=waiting,
            first=first,
            explicit=explicit,
            more=more,
            alone=alone,
            without=lost,
        )
        asked = [ordered(shown)] if shown and found.shown else []
        pairs = [ordered(one.pair) for one in found.pairs]
        held = questions_lease(user=user, survey=survey, pairs=[*asked, *pairs])
        missed = set(pairs) - set(held)
        if not missed or len(missed) < len(pairs) or asked:
            break
        # Somebody else was quicker in the moment between. Where some were got, the next answer brings others.
        lost += missed
    found = found.less(missed)
    shared = photo_shared(request, survey)
    fresh, pages = found.pages(user, have)
    html: dict[str, str] = {}
    for one, page in fresh:
        context = photo_context(request, survey, one.state, page, explicit=one.pair[0] == explicit)
        html[one.token] = render_to_string("identification/_photo.html", shared | context, request)
    parts = {}
    for state, page in zip(found.states, pages, strict=True):
        assert state.anchor is not None
        context = photo_context(request, survey, state, page, explicit=state.anchor.pk == explicit)
        names = {name: f"identification/_photo_{name}.html" for name in _PARTS}
        parts[state.anchor.pk] = {
            name: render_to_string(template, shared | context, request).strip() for name, template in names.items()
        }
    return {
        "order": _order(found, have, html),
        "held": ["-".join(map(str, pair)) for pair in held],
        "shown": found.shown,
        "groups": found.groups,
        "first": found.first,
        "parts": parts,
        "more": more,
        "elsewhere": any(pair not in held for pair in asked),
        "state": render_to_string("identification/_photo_state.html", {"survey": survey, "state": found}, request),
        "over": not found.pairs and not found.shown,
        "reached": False,
    }


def _order(found: PhotosAhead, have: Collection[str], html: dict[str, str]) -> list[dict[str, Any]]:
    order = []
    for one in found.pairs:
        if one.token not in have and one.token not in html:
            continue
        anchor, candidate = one.pair
        row = {"token": one.token, "pair": f"{anchor}-{candidate}", "groups": one.groups}
        row["spared"] = [f"{anchor}-{pk}" for pk in one.spared]
        order.append(row | ({"html": html[one.token]} if one.token in html else {}))
    return order
