"""The page "Same visit": groups that time and place propose, confirmed in one glance each, or many at once."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import Contradiction, SpotIDError
from ..models import LinkProposal, Survey
from ..permissions import Action
from ..selectors.proposals import proposal_cards, proposals_answered, proposals_open
from ..services.proposals import (
    Answered,
    proposal_reopen,
    proposals_confirm,
    proposals_dismiss,
    proposals_undo_last,
)
from .access import account, number, survey_of
from .joins import tell_waiting

GROUPS_PER_PAGE = 20


@require_safe
def link_list(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    page = Paginator(proposals_open(survey), GROUPS_PER_PAGE).get_page(request.GET.get("page"))
    answered = proposals_answered(user=user, survey=survey)
    context = {"survey": survey, "page": page, "answered": answered}
    context["cards"] = proposal_cards(user=user, survey=survey, ids=page.object_list)
    context["own"] = any(card.proposal.decided_by_id == user.pk for card in answered)
    return render(request, "identification/link_list.html", context)


@require_POST
def link_confirm(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Join the photos that are ticked, of one group (`only`) or of every ticked one (`group`)."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    chosen = [(row, _photos(request.POST, row)) for row in _chosen(request.POST, survey)]
    answered = proposals_confirm(acting_user=account(request), chosen=chosen)
    if answered.done:
        groups = _groups(len(answered.done))
        messages.success(
            request,
            gettext("%(groups)s confirmed, %(matches)s recorded.")
            % {"groups": groups, "matches": _matches(answered.matches)},
        )
        tell_waiting(request, answered.waiting)
    return _back(request, survey, answered)


@require_POST
def link_dismiss(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Say that groups are not one animal, or that it cannot be told."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    answered = proposals_dismiss(acting_user=account(request), proposals=_chosen(request.POST, survey))
    if answered.done:
        messages.success(
            request,
            gettext("%(groups)s left apart. Nothing is refused by that.") % {"groups": _groups(len(answered.done))},
        )
    return _back(request, survey, answered)


@require_POST
def link_undo(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Take back the answer on the group that the form names, or the account's last one."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    wanted = number(request.POST.get("group"))
    try:
        if wanted is None:
            groups, decisions = proposals_undo_last(acting_user=user, survey=survey)
        else:
            proposal = get_object_or_404(LinkProposal.objects.select_related("survey"), pk=wanted, survey=survey)
            curator = permissions.may(user, Action.UNDO_ANY, survey)
            groups, decisions = 1, proposal_reopen(acting_user=user, proposal=proposal, any_user=curator)
    except SpotIDError as refused:
        messages.info(request, str(refused))
    else:
        messages.success(
            request,
            gettext("%(groups)s open again, %(matches)s taken back.")
            % {"groups": _groups(groups), "matches": _matches(decisions)},
        )
    return _back(request, survey)


def _chosen(form: QueryDict, survey: Survey) -> list[LinkProposal]:
    """The survey's proposals that the form names, by time. Raises Http404 when none of those that it names is there.

    One of another survey is as if it were not there, and one that was replaced meanwhile does not hold up the others.
    """
    only = form.get("only")
    names = [only] if only else form.getlist("group")
    ids = [pk for pk in map(number, names) if pk is not None]
    rows = list(LinkProposal.objects.filter(pk__in=ids, survey=survey).select_related("survey"))
    if ids and not rows:
        raise Http404("No such group.")
    return rows


def _photos(form: QueryDict, proposal: LinkProposal) -> list[int]:
    ticked = [number(value) for value in form.getlist(f"photo-{proposal.pk}")]
    return [pk for pk in ticked if pk is not None]


def _back(request: HttpRequest, survey: Survey, answered: Answered | None = None) -> HttpResponse:
    if answered is not None:
        for proposal, refused in answered.refused:
            said = gettext("The group of %(number)s photos: %(refused)s") % {
                "number": proposal.detections.count(),
                "refused": refused,
            }
            if isinstance(refused, Contradiction):
                said = f"{said} {gettext('Nothing of this group was recorded; it stays open.')}"
            messages.error(request, said)
        if not answered.done and not answered.refused:
            messages.info(request, gettext("No group was ticked, or it is no longer what it was."))
    page = number(request.POST.get("page"))
    return redirect(reverse("survey-links", args=[survey.pk]) + (f"?page={page}" if page and page > 1 else ""))


def _groups(count: int) -> str:
    return ngettext("%(n)s group", "%(n)s groups", count) % {"n": count}


def _matches(count: int) -> str:
    return ngettext("%(n)s match", "%(n)s matches", count) % {"n": count}
