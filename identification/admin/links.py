"""What time and place propose, and clocks of cameras. Both are answered on the pages, and can be looked up here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from .. import permissions
from ..models import CameraClock, LinkProposal, Survey, User
from ..permissions import Action, surveys_for
from .base import RoomAdmin
from .filters import survey_filter
from .pictures import clock, gallery


@admin.register(LinkProposal)
class LinkProposalAdmin(RoomAdmin):
    seen_by = Action.SEE_CANDIDATES
    related = ("survey", "decided_by")
    list_display = ("began", "kind", "photos", "seconds", "state", "decided_by", "survey")
    list_filter = (survey_filter("survey"), "kind", "state")
    search_fields = ("survey__name",)
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-pk")
    readonly_fields = ("survey", "kind", "state", "began", "seconds", "decided_by", "decided", "photos_shown")
    fields = readonly_fields

    def visible(self, user: User) -> QuerySet[Any]:
        return LinkProposal.objects.filter(survey__in=surveys_for(user, Action.SEE_CANDIDATES))

    def surveys_of(self, obj: LinkProposal) -> list[Survey]:
        return [obj.survey]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(photos_n=Count("detections"))

    @display(description=_("Began"), ordering="started_at")
    def began(self, proposal: LinkProposal) -> str:
        return clock(proposal.started_at, proposal.survey.time_zone)

    @display(description=_("Answered"))
    def decided(self, proposal: LinkProposal) -> str:
        return clock(proposal.decided_at, proposal.survey.time_zone) if proposal.decided_at else "–"

    @display(description=_("Photos"), ordering="photos_n")
    def photos(self, proposal: Any) -> int:
        return int(proposal.photos_n)

    @display(description=_("Photos"))
    def photos_shown(self, proposal: LinkProposal) -> str:
        rows = permissions.detections_for(self.viewer(proposal)).filter(link_proposals=proposal)
        ordered = rows.select_related("image__station", "image__survey").order_by("image__captured_at", "pk")
        return gallery(ordered)


@admin.register(CameraClock)
class CameraClockAdmin(RoomAdmin):
    related = ("station__survey",)
    list_display = ("station", "camera", "offset_seconds", "by_person", "note", "survey", "updated_at")
    list_filter = (survey_filter("station__survey"),)
    telling = ("station__survey",)
    search_fields = ("station__code", "note")
    ordering = ("station__survey", "station__code", "camera")
    readonly_fields = ("station", "camera", "offset_seconds", "by_person", "note", "updated_at")
    fields = readonly_fields

    def visible(self, user: User) -> QuerySet[Any]:
        return CameraClock.objects.filter(station__survey__in=surveys_for(user))

    def surveys_of(self, obj: CameraClock) -> list[Survey]:
        return [obj.station.survey]

    @display(description=_("Survey"), ordering="station__survey")
    def survey(self, row: CameraClock) -> str:
        return str(row.station.survey)
