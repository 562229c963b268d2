"""Matches of two named animals that wait for a curator."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from rest_framework import serializers as s

from .. import permissions
from ..models import Verdict
from ..permissions import Action
from ..selectors.joins import joins_listed, joins_shown, joins_waiting
from ..services.joins import join_settle
from .base import ApiView, operation
from .paging import Page, PageQuery, by_place
from .shapes import DecisionOut, PictureOut


class JoinSideOut(s.Serializer):
    """more, hidden: other photos that are not listed, and those of surveys that are not yours."""

    box = PictureOut(source="detection")
    others = PictureOut(many=True)
    more = s.IntegerField()
    hidden = s.IntegerField()


class JoinOut(s.Serializer):
    id = s.IntegerField(source="decision.pk", help_text="Of the decision that waits.")
    by = s.CharField(source="decision.acting_user.username")
    created_at = s.DateTimeField(source="decision.created_at")
    left = JoinSideOut()
    right = JoinSideOut()


class Joins(ApiView):
    @operation("Matches of named animals that wait for you", out=JoinOut, paged=True, query=PageQuery)
    def get(self, request: Any) -> Page:
        """The oldest first."""
        curates = permissions.surveys_for(self.user, Action.CURATE).exists()
        if not curates and not permissions.is_administrator(self.user):
            raise PermissionDenied(gettext("Joining named animals is for curators."))
        page = by_place(joins_listed(self.user), self.asked())
        return Page(joins_shown(user=self.user, ids=page.rows), page.after)


class SettleJoinIn(s.Serializer):
    verdict = s.ChoiceField(choices=[Verdict.MATCH.value, Verdict.NO_MATCH.value])


class SettleJoin(ApiView):
    @operation("Join two named animals as proposed, or refuse it", out=DecisionOut, body=SettleJoinIn)
    def post(self, request: Any, decision_id: int) -> Any:
        """The answer is a decision like any other, and can be taken back like one."""
        rows = joins_waiting(self.user).select_related("acting_user", "edge__a__image__survey__population")
        shown = permissions.detections_for(self.user).values("pk")
        rows = rows.select_related("edge__b__image__survey__population").filter(edge__a__in=shown, edge__b__in=shown)
        proposal = get_object_or_404(rows, pk=decision_id)
        return join_settle(acting_user=self.user, proposal=proposal, verdict=self.said()["verdict"])
