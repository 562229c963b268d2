"""The species page: boxes on a grid, singly and in bulk told to be the population's species or another one."""

from __future__ import annotations

from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import AuditEntry, Survey, Triage
from ..permissions import Action
from ..selectors.triage import (
    EMPTIED,
    NOTHING,
    ORDERS,
    STEPS,
    TABS,
    TRIAGED,
    below_threshold,
    species_page,
    triage_version,
)
from ..services.empties import detections_empty, empties_undo
from ..services.triage import detections_triage, triage_below, triage_undo
from ..services.triage_queue import triage_request
from .access import account, back, number, survey_of

BOXES_PER_PAGE = 60
FIRST_THRESHOLD = 10
_SAMPLE = 12

_MARKED = {
    Triage.OTHER: ngettext_lazy(
        "%(number)s box put aside as another species.", "%(number)s boxes put aside as another species.", "number"
    ),
    Triage.WANTED: ngettext_lazy(
        "%(number)s box marked as the population's species.",
        "%(number)s boxes marked as the population's species.",
        "number",
    ),
    Triage.UNDECIDED: ngettext_lazy("%(number)s box undecided again.", "%(number)s boxes undecided again.", "number"),
}


_EMPTIED = {
    NOTHING: ngettext_lazy("%(number)s box set aside: no animal.", "%(number)s boxes set aside: no animal.", "number"),
    "animal": ngettext_lazy(
        "%(number)s box shows an animal after all.", "%(number)s boxes show an animal after all.", "number"
    ),
}


class BelowForm(forms.Form):
    """What the page of confirmation sends: what somebody has looked at."""

    below = forms.IntegerField(min_value=0, max_value=100)
    version = forms.IntegerField(min_value=0)
    expected = forms.IntegerField(min_value=0)


class MarkForm(forms.Form):
    """What is said of the boxes that were chosen."""

    triage = forms.ChoiceField(
        choices=[("undecided", "") if not v else (v, v) for v in (*Triage.values, NOTHING, "animal")]
    )
    with_matched = forms.BooleanField(required=False)

    def said(self) -> str:
        chosen = str(self.cleaned_data["triage"])
        return Triage.UNDECIDED if chosen == "undecided" else chosen


def _percent(request: HttpRequest) -> int:
    """The threshold of the address in per cent, or where the slider stands at first."""
    wanted = number(request.GET.get("below"))
    return min(wanted, 100) if wanted is not None else FIRST_THRESHOLD


@require_safe
def species(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    show, order = request.GET.get("show", ""), request.GET.get("order", "")
    show, order = show if show in TABS else "undecided", order if order in ORDERS else ORDERS[0]
    percent = _percent(request)
    found = species_page(user=user, survey=survey, show=show, order=order)
    low = found.below[percent] if found.below else 0
    context = {
        "survey": survey,
        "found": found,
        "page": Paginator(found.boxes, BOXES_PER_PAGE).get_page(request.GET.get("page")),
        "show": show,
        "order": order,
        "percent": percent,
        "threshold": STEPS[percent],
        "below": low,
        "above": found.scored - low,
        "may_curate": permissions.may(user, Action.CURATE, survey),
        "query": urlencode({"show": show, "order": order, "below": percent}),
    }
    return render(request, "identification/species.html", context)


@require_POST
def mark(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Say of chosen boxes what they show. To overrule confirmed matches is for curators."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    form = MarkForm(request.POST)
    chosen = {found for text in request.POST.getlist("box") if (found := number(text)) is not None}
    boxes = permissions.detections_for(account(request)).filter(image__survey=survey, pk__in=chosen)
    if not form.is_valid() or not chosen:
        messages.error(request, gettext("Choose boxes first, and say what they are. Nothing was changed."))
        return back(request, "survey-species", survey.pk)
    if form.cleaned_data["with_matched"]:
        permissions.require(account(request), Action.CURATE, survey)
    said, with_matched = form.said(), bool(form.cleaned_data["with_matched"])
    try:
        if said in _EMPTIED:
            done = detections_empty(
                acting_user=account(request), detections=boxes, empty=said == NOTHING, with_matched=with_matched
            )
        else:
            done = detections_triage(
                acting_user=account(request), detections=boxes, triage=said, with_matched=with_matched
            )
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        words = _EMPTIED[said] if said in _EMPTIED else _MARKED[Triage(said)]
        messages.success(request, words % {"number": done.changed})
    return back(request, "survey-species", survey.pk)


def _boxes(count: int) -> str:
    return ngettext("%(n)s box", "%(n)s boxes", count) % {"n": count}


def below(request: HttpRequest, survey_id: int) -> HttpResponse:
    """GET: exactly what a threshold would put aside. POST: do it, when it still is exactly that."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    survey = survey_of(request, survey_id, Action.CURATE)
    if request.method != "POST":
        return _ask(request, survey, _percent(request))
    form = BelowForm(request.POST)
    if not form.is_valid():
        messages.error(request, gettext("That was no threshold this page can send. Nothing was changed."))
        return redirect("survey-species", survey.pk)
    said = form.cleaned_data
    try:
        done = triage_below(
            acting_user=account(request),
            survey=survey,
            threshold=STEPS[said["below"]],
            version=said["version"],
            expected=said["expected"],
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return _ask(request, survey, said["below"], status=409)
    messages.success(
        request,
        ngettext(
            "%(number)s box put aside as another species. It can be taken back below.",
            "%(number)s boxes put aside as another species. It can be taken back below.",
            done.changed,
        )
        % {"number": done.changed},
    )
    return redirect(reverse("survey-species", args=[survey.pk]) + f"?below={said['below']}")


def _ask(request: HttpRequest, survey: Survey, percent: int, status: int = 200) -> HttpResponse:
    rows = below_threshold(survey, STEPS[percent]).select_related("image__station")
    visible = permissions.detections_for(account(request))
    count = rows.count()
    # Those nearest to the threshold are most likely to be mistaken.
    doubtful = list(rows.filter(pk__in=visible.values("pk")).order_by("-triage_score", "pk")[:_SAMPLE])
    context = {
        "survey": survey,
        "percent": percent,
        "count": count,
        "version": triage_version(survey),
        "doubtful": doubtful,
    }
    return render(request, "identification/species_below.html", context, status=status)


@require_POST
def undo(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Take one triage back. Reviewers their own, curators any."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    entry = get_object_or_404(
        AuditEntry, pk=number(request.POST.get("entry")), survey=survey, action__in=(TRIAGED, EMPTIED)
    )
    if entry.acting_user_id != request.user.pk and not permissions.may(account(request), Action.UNDO_ANY, survey):
        raise PermissionDenied(gettext("This was somebody else's; a curator can take it back."))
    try:
        take_back = empties_undo if entry.action == EMPTIED else triage_undo
        done = take_back(acting_user=account(request), entry=entry)
    except SpotIDError as refused:
        messages.info(request, str(refused))
    else:
        said = gettext("Taken back: %(boxes)s as before.") % {"boxes": _boxes(done.changed)}
        if done.left:
            said = f"{said} {gettext('%(boxes)s changed since and stayed.') % {'boxes': _boxes(done.left)}}"
        messages.success(request, said)
    return back(request, "survey-species", survey.pk)


@require_POST
def score(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Have the scores computed anew."""
    survey = survey_of(request, survey_id, Action.CURATE)
    triage_request(survey=survey, acting_user=account(request))
    messages.success(request, gettext("The scores are computed anew in the background. Marks stay as they are."))
    return back(request, "survey-species", survey.pk)
