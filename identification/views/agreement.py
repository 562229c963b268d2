"""How far the reviewers of a survey agree, what share of pairs is checked, and the disagreements to settle."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import Contradiction, SpotIDError
from ..matching.agreement import KAPPA_PAIRS_LEAST
from ..models import Opinion, Survey, User, Verdict
from ..permissions import Action
from ..presenting import decimal
from ..selectors.adjudication import Queue, disagreements, disagreements_for
from ..selectors.agreement import agreement_own, agreement_report
from ..services.adjudication import opinion_adjudicate
from ..services.opinions import survey_checks_set
from .access import account, number, survey_of


@require_safe
def agreement(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Everybody's figures for curators; a reviewer sees her own and nothing of others."""
    survey = survey_of(request, survey_id, Action.DECIDE)
    context = {"survey": survey, "least": KAPPA_PAIRS_LEAST}
    if permissions.may(account(request), Action.CURATE, survey):
        context |= {"report": agreement_report(survey=survey), "curates": True}
        context |= {"second": _percent(survey.second_review_share), "known": _percent(survey.known_pairs_share)}
    else:
        together, person = agreement_own(user=account(request), survey=survey)
        context |= {"together": together, "person": person, "own": [person]}
    return render(request, "identification/agreement.html", context)


def _percent(share: float) -> str:
    return f"{100 * share:.4g}"


class SharesForm(forms.Form):
    """Both shares in per cent."""

    second = forms.FloatField(min_value=0, max_value=100)
    known = forms.FloatField(min_value=0, max_value=50)


@require_POST
def shares(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Choose which share of pairs is checked."""
    survey = survey_of(request, survey_id, Action.CURATE)
    form = SharesForm(request.POST)
    if not form.is_valid():
        messages.error(
            request,
            gettext(
                "A second review is for 0 to %(second)s of the pairs, known pairs are 0 to %(known)s. "
                "Nothing was changed."
            )
            % {"second": "100 %", "known": "50 %"},
        )
        return redirect("agreement", survey.pk)
    second, known = form.cleaned_data["second"] / 100, form.cleaned_data["known"] / 100
    survey_checks_set(acting_user=account(request), survey=survey, second=second, known=known)
    messages.success(
        request,
        gettext("%(second)s of the decided pairs get a second review, %(known)s of questions are known.")
        % {"second": f"{decimal(_percent(second))} %", "known": f"{decimal(_percent(known))} %"},
    )
    return redirect("agreement", survey.pk)


@require_safe
def adjudication(request: HttpRequest, survey_id: int) -> HttpResponse:
    """One disagreement, with both answers. `opinion` names one, `after` goes on to the next."""
    survey = survey_of(request, survey_id, Action.CURATE)
    queue = disagreements_for(
        user=account(request),
        survey=survey,
        wanted=number(request.GET.get("opinion")),
        after=number(request.GET.get("after")) or 0,
    )
    return _page(request, survey, queue)


def _page(
    request: HttpRequest, survey: Survey, queue: Queue, *, conflict: Contradiction | None = None, verdict: str = ""
) -> HttpResponse:
    context: dict[str, object] = {"survey": survey, "queue": queue, "verdicts": Verdict, "conflict": conflict}
    if conflict is not None:
        context |= {"verdict": verdict, "verdict_words": Verdict(verdict).label, "note": request.POST.get("note", "")}
    return render(request, "identification/adjudication.html", context, status=409 if conflict else 200)


class AdjudicationForm(forms.Form):
    """What the buttons of the page send."""

    opinion = forms.IntegerField(min_value=1)
    verdict = forms.ChoiceField(choices=Verdict.choices)
    note = forms.CharField(required=False, max_length=1000)
    confirm = forms.BooleanField(required=False)


@require_POST
def adjudicate(request: HttpRequest, survey_id: int) -> HttpResponse:
    """Settle a disagreement by an ordinary decision, and show the next. 409 when it contradicts earlier decisions."""
    survey = survey_of(request, survey_id, Action.CURATE)
    form, user = AdjudicationForm(request.POST), account(request)
    opinion = _opinion(user, survey, form.cleaned_data["opinion"]) if form.is_valid() else None
    if opinion is None:
        messages.info(
            request, gettext("Nothing was recorded: this disagreement is settled by now, or an answer was taken back.")
        )
        return redirect("adjudication", survey.pk)
    said = form.cleaned_data
    try:
        opinion_adjudicate(
            acting_user=user,
            opinion=opinion,
            verdict=said["verdict"],
            note=said["note"],
            confirm_contradiction=said["confirm"],
        )
    except Contradiction as conflict:
        queue = disagreements_for(user=user, survey=survey, wanted=opinion.pk)
        return _page(request, survey, queue, conflict=conflict, verdict=said["verdict"])
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, gettext("Settled: %(verdict)s.") % {"verdict": Verdict(said["verdict"]).label})
    return redirect(reverse("adjudication", args=[survey.pk]) + f"?after={opinion.pk}")


def _opinion(user: User, survey: Survey, pk: int) -> Opinion | None:
    """The disagreement; None, too, where a photo is of a survey that is not the account's, which is not named."""
    decidable = permissions.surveys_for(user, Action.DECIDE)
    rows = disagreements(survey=survey).filter(a__image__survey__in=decidable, b__image__survey__in=decidable)
    return rows.filter(pk=pk).first()
