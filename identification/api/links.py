"""Groups of one visit that time and place propose."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from .. import permissions
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
from ..views.access import survey_of
from .base import ApiView, operation
from .paging import Page, PageQuery, by_place
from .shapes import AccountRef, PictureOut, id_field, ids_field


class LinkOut(s.Serializer):
    id = s.IntegerField(source="proposal.pk")
    kind = s.ChoiceField(choices=LinkProposal.Kind.values, source="proposal.kind")
    started_at = s.DateTimeField(source="proposal.started_at")
    seconds = s.FloatField(source="proposal.seconds")
    photos = PictureOut(many=True)
    cautions = s.ListField(child=s.CharField(), help_text="What to look at twice.")
    apart = s.IntegerField(help_text="Groups that the photos fall into now.")


class Links(ApiView):
    @operation("Open groups of one visit", out=LinkOut, paged=True, query=PageQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        survey = survey_of(request, survey_id, Action.DECIDE)
        page = by_place(proposals_open(survey), self.asked())
        return Page(proposal_cards(user=self.user, survey=survey, ids=page.rows), page.after)


class LinkDone(s.Serializer):
    id = s.IntegerField(source="proposal.pk")
    state = s.ChoiceField(choices=LinkProposal.State.values, source="proposal.state")
    decided_by = AccountRef(source="proposal.decided_by", allow_null=True)
    decided_at = s.DateTimeField(source="proposal.decided_at", allow_null=True)
    photos = s.IntegerField()
    left_out = s.IntegerField()
    may_undo = s.BooleanField()


class LinksAnswered(ApiView):
    @operation("The last answers on groups", out=LinkDone, many=True)
    def get(self, request: Any, survey_id: int) -> Any:
        survey = survey_of(request, survey_id, Action.DECIDE)
        return proposals_answered(user=self.user, survey=survey)


class GroupIn(s.Serializer):
    id = id_field()
    boxes = s.ListField(
        child=id_field(),
        max_length=500,
        required=False,
        help_text="Those of the group that are one animal; without it, all.",
    )


class ConfirmIn(s.Serializer):
    groups = s.ListField(child=GroupIn(), min_length=1, max_length=100)

    def validate_groups(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len({row["id"] for row in rows}) != len(rows):
            raise ValidationError("One group is named twice.")
        return rows


class RefusedGroup(s.Serializer):
    id = s.IntegerField()
    reason = s.CharField()


class AnsweredOut(s.Serializer):
    done = s.ListField(child=s.IntegerField())
    matches = s.IntegerField()
    waiting = s.IntegerField(help_text="Matches of named animals that wait for a curator.")
    refused = RefusedGroup(many=True)


def _groups(survey: Survey, ids: list[int]) -> list[LinkProposal]:
    rows = list(LinkProposal.objects.filter(pk__in=ids, survey=survey).select_related("survey"))
    if len(rows) != len(set(ids)):
        raise Http404("No such group.")
    return rows


def _answered(found: Answered) -> dict[str, Any]:
    refused = [{"id": row.pk, "reason": str(reason)} for row, reason in found.refused]
    return {
        "done": [row.pk for row in found.done],
        "matches": found.matches,
        "waiting": len(found.waiting),
        "refused": refused,
    }


class LinksConfirm(ApiView):
    @operation("Say that groups are one animal each", out=AnsweredOut, body=ConfirmIn)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Each wholly or not at all: one that is refused does not hold up the others."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        wanted = {row["id"]: row.get("boxes") for row in self.said()["groups"]}
        chosen = [(row, wanted[row.pk]) for row in _groups(survey, list(wanted))]
        return _answered(proposals_confirm(acting_user=self.user, chosen=chosen))


class DismissIn(s.Serializer):
    groups = ids_field(100)


class LinksDismiss(ApiView):
    @operation("Leave groups apart", out=AnsweredOut, body=DismissIn)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Nothing is refused by that."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        groups = _groups(survey, self.said()["groups"])
        return _answered(proposals_dismiss(acting_user=self.user, proposals=groups))


class ReopenIn(s.Serializer):
    group = id_field(required=False, help_text="Without it, your last answer.")


class ReopenedOut(s.Serializer):
    groups = s.IntegerField()
    decisions = s.IntegerField()


class LinksUndo(ApiView):
    @operation("Take an answer on groups back", out=ReopenedOut, body=ReopenIn)
    def post(self, request: Any, survey_id: int) -> dict[str, int]:
        survey = survey_of(request, survey_id, Action.DECIDE)
        wanted = self.said().get("group")
        if wanted is None:
            groups, decisions = proposals_undo_last(acting_user=self.user, survey=survey)
        else:
            proposal = get_object_or_404(LinkProposal.objects.select_related("survey"), pk=wanted, survey=survey)
            curator = permissions.may(self.user, Action.UNDO_ANY, survey)
            groups = 1
            decisions = proposal_reopen(acting_user=self.user, proposal=proposal, any_user=curator)
        return {"groups": groups, "decisions": decisions}
