"""How far reviewers agree, and disagreements to settle."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import serializers as s

from .. import permissions
from ..models import Opinion, Survey, User
from ..permissions import Action
from ..selectors.adjudication import disagreements, disagreements_for
from ..selectors.agreement import agreement_own, agreement_report
from ..services.adjudication import opinion_adjudicate
from ..views.access import survey_of
from .base import ApiView, operation
from .shapes import AccountRef, PictureOut, id_field, verdict_field


class AgreementOut(s.Serializer):
    pairs = s.IntegerField()
    same = s.IntegerField()
    kappa = s.FloatField(allow_null=True)
    low = s.FloatField(allow_null=True)
    high = s.FloatField(allow_null=True)


class RateOut(s.Serializer):
    wrong = s.IntegerField()
    n = s.IntegerField()
    share = s.FloatField(allow_null=True)
    low = s.FloatField(allow_null=True)
    high = s.FloatField(allow_null=True)


class PersonOut(s.Serializer):
    user = AccountRef()
    splitting = RateOut(source="faults.splitting")
    lumping = RateOut(source="faults.lumping")
    undecided = s.IntegerField(source="faults.undecided")
    known = s.IntegerField()
    second = s.IntegerField()


class TwoOut(s.Serializer):
    one = AccountRef()
    other = AccountRef()
    agreement = AgreementOut()


class ReportOut(s.Serializer):
    """Everybody's figures for curators; for a reviewer her own, and nothing of others."""

    all = AgreementOut()
    twos = TwoOut(many=True)
    people = PersonOut(many=True)
    waiting = s.IntegerField(allow_null=True)
    open = s.IntegerField(allow_null=True)


class Agreement(ApiView):
    @operation("How far reviewers agree", out=ReportOut)
    def get(self, request: Any, survey_id: int) -> Any:
        survey = survey_of(request, survey_id, Action.DECIDE)
        if permissions.may(self.user, Action.CURATE, survey):
            return agreement_report(survey=survey)
        together, person = agreement_own(user=self.user, survey=survey)
        return {"all": together, "twos": [], "people": [person], "waiting": None, "open": None}


class DisagreementQuery(s.Serializer):
    opinion = id_field(required=False)
    after = s.IntegerField(min_value=0, max_value=2**63 - 1, default=0, help_text="The first behind this one.")


class DisagreementShown(s.Serializer):
    id = s.IntegerField(source="pk")
    first = PictureOut(source="a")
    second = PictureOut(source="b")
    decision = s.IntegerField(source="decision.pk")
    decided = verdict_field(source="decision.verdict")
    decided_by = AccountRef(source="decision.acting_user", allow_null=True)
    second_opinion = verdict_field(source="verdict")
    second_by = AccountRef(source="user")


class DisagreementOut(s.Serializer):
    shown = DisagreementShown(allow_null=True)
    open = s.IntegerField()
    others = s.IntegerField(help_text="That wait for another curator.")
    alone = s.BooleanField(help_text="You are one of the two, for there is no other curator.")


class AdjudicationIn(s.Serializer):
    opinion = id_field()
    verdict = verdict_field()
    note = s.CharField(max_length=1000, allow_blank=True, default="")
    confirm = s.BooleanField(default=False, help_text="Although it contradicts earlier decisions.")


class AdjudicatedOut(s.Serializer):
    decision = s.IntegerField(source="decision_id")
    opinion = s.IntegerField(source="opinion_id")


class Adjudications(ApiView):
    @operation("A disagreement to settle", out=DisagreementOut, query=DisagreementQuery)
    def get(self, request: Any, survey_id: int) -> Any:
        survey = survey_of(request, survey_id, Action.CURATE)
        said = self.asked()
        return disagreements_for(user=self.user, survey=survey, wanted=said.get("opinion"), after=said["after"])

    @operation("Settle a disagreement", out=AdjudicatedOut, body=AdjudicationIn, status=201)
    def post(self, request: Any, survey_id: int) -> Any:
        """By an ordinary decision; both answers stay in their records."""
        survey = survey_of(request, survey_id, Action.CURATE)
        said = self.said()
        return opinion_adjudicate(
            acting_user=self.user,
            opinion=_opinion(self.user, survey, said["opinion"]),
            verdict=said["verdict"],
            note=said["note"],
            confirm_contradiction=said["confirm"],
        )


def _opinion(user: User, survey: Survey, pk: int) -> Opinion:
    mine = permissions.surveys_for(user, Action.DECIDE)
    rows = disagreements(survey=survey).filter(a__image__survey__in=mine, b__image__survey__in=mine)
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404("No such disagreement.")
    return found
