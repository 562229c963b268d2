"""Background work and what ingest found. The software writes these rows; people may have work done again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, ChoicesDropdownFilter
from unfold.decorators import display

from ..models import (
    Heartbeat,
    IngestReport,
    IngestRequest,
    ReceivedFile,
    SkippedPhoto,
    StationBackgroundRecord,
    Survey,
    TriageRun,
    User,
    Work,
)
from ..permissions import Action, images_for, surveys_for
from ..services.queue import work_requeue
from .base import LabelColours, ReadOnlyAdmin, account, photos_waiting
from .filters import survey_filter
from .pictures import clock, linked, photo_picture

STATE_LABELS = LabelColours(
    {"Done": "success", "Failed": "danger", "Set aside": "danger", "Working": "info", "Waiting": "warning"}
)


@admin.register(Work)
class WorkAdmin(ReadOnlyAdmin):
    related = ("image__survey", "image__station")
    list_display = (
        "picture",
        "photo",
        "survey",
        "state_shown",
        "stage",
        "attempts",
        "reason_shown",
        "seconds_shown",
        "finished",
    )
    list_display_links = ("photo",)
    list_filter = (
        survey_filter("image__survey"),
        ("state", ChoicesDropdownFilter),
        ("stage", ChoicesDropdownFilter),
        ("reason_code", AllValuesCheckboxFilter),
    )
    telling = ("image__survey",)
    search_fields = ("image__relative_path", "reason", "reason_code")
    search_help_text = _("Path of the photo or reason")
    ordering = ("-finished_at", "image")
    actions = ("retry",)

    def visible(self, user: User) -> QuerySet[Any]:
        return Work.objects.filter(image__in=images_for(user))

    def surveys_of(self, obj: Work) -> list[Survey]:
        return [obj.image.survey]

    @display(description=_("Photo"))
    def picture(self, work: Work) -> str:
        return photo_picture(work.image)

    @display(description=_("Path"), ordering="image__relative_path")
    def photo(self, work: Work) -> str:
        return work.image.relative_path

    @display(description=_("Survey"), ordering="image__survey__name")
    def survey(self, work: Work) -> str:
        return work.image.survey.name

    @display(description=_("State"), ordering="state", label=STATE_LABELS)
    def state_shown(self, work: Work) -> str:
        return work.get_state_display()

    @display(description=_("Reason"), ordering="reason_code")
    def reason_shown(self, work: Work) -> str:
        return work.reason[:120] or "–"

    @display(description=_("Seconds"), ordering="seconds")
    def seconds_shown(self, work: Work) -> str:
        return "–" if work.seconds is None else f"{work.seconds:.1f}"

    @display(description=_("Finished"), ordering="finished_at")
    def finished(self, work: Work) -> str:
        return clock(work.finished_at) if work.finished_at else "–"

    @admin.action(description=_("Process again"), permissions=["ingest"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Work]) -> None:
        if self.allowed(request, chosen, Action.INGEST):
            images = [work.image for work in chosen]
            self.told(
                request,
                lambda: photos_waiting(work_requeue(images=images, acting_user=account(request))),
            )


@admin.register(IngestReport)
class IngestReportAdmin(ReadOnlyAdmin):
    seen_by = Action.INGEST
    related = ("survey",)
    list_display = ("started_at", "survey", "read", "new", "known", "skipped", "finished_at")
    list_filter = (survey_filter("survey"),)
    search_fields = ("survey__name",)
    date_hierarchy = "started_at"
    ordering = ("-id",)

    def visible(self, user: User) -> QuerySet[Any]:
        return IngestReport.objects.filter(survey__in=surveys_for(user, Action.INGEST))


@admin.register(IngestRequest)
class IngestRequestAdmin(ReadOnlyAdmin):
    seen_by = Action.INGEST
    related = ("survey", "requested_by")
    list_display = ("created_at", "survey", "requested_by", "kind", "state", "done", "total", "finished_at")
    list_filter = (survey_filter("survey"), ("state", ChoicesDropdownFilter))
    search_fields = ("survey__name",)
    ordering = ("-id",)

    def visible(self, user: User) -> QuerySet[Any]:
        return IngestRequest.objects.filter(survey__in=surveys_for(user, Action.INGEST))


@admin.register(ReceivedFile)
class ReceivedFileAdmin(ReadOnlyAdmin):
    seen_by = Action.INGEST
    related = ("request__survey",)
    telling = ("request__survey",)
    list_display = ("relative_path", "request", "size", "received", "code", "reason")
    list_filter = (survey_filter("request__survey"), ("code", AllValuesCheckboxFilter))
    search_fields = ("relative_path", "reason", "code")
    ordering = ("-request", "id")

    def visible(self, user: User) -> QuerySet[Any]:
        return ReceivedFile.objects.filter(request__survey__in=surveys_for(user, Action.INGEST))


@admin.register(SkippedPhoto)
class SkippedPhotoAdmin(ReadOnlyAdmin):
    seen_by = Action.INGEST
    related = ("report__survey",)
    telling = ("report__survey",)
    list_display = ("relative_path", "survey", "code", "reason", "run")
    list_filter = (survey_filter("report__survey"), ("code", AllValuesCheckboxFilter))
    search_fields = ("relative_path", "reason", "code")
    ordering = ("-report", "id")

    def visible(self, user: User) -> QuerySet[Any]:
        return SkippedPhoto.objects.filter(report__survey__in=surveys_for(user, Action.INGEST))

    @display(description=_("Survey"), ordering="report__survey__name")
    def survey(self, skipped: SkippedPhoto) -> str:
        return skipped.report.survey.name

    @display(description=_("Run"), ordering="report")
    def run(self, skipped: SkippedPhoto) -> str:
        return linked("ingestreport", skipped.report_id, f"{skipped.report.started_at:%Y-%m-%d %H:%M}")


@admin.register(TriageRun)
class TriageRunAdmin(ReadOnlyAdmin):
    seen_by = Action.INGEST
    related = ("survey",)
    list_display = ("survey", "version", "learned", "wanted", "other", "requested", "served", "error", "computed_at")
    list_filter = (survey_filter("survey"),)
    search_fields = ("survey__name", "error")
    ordering = ("survey__name",)

    def visible(self, user: User) -> QuerySet[Any]:
        return TriageRun.objects.filter(survey__in=surveys_for(user, Action.INGEST))


@admin.register(StationBackgroundRecord)
class StationBackgroundRecordAdmin(ReadOnlyAdmin):
    related = ("survey",)
    list_display = ("key", "survey", "frames", "available", "created_at")
    list_filter = (survey_filter("survey"),)
    telling = ("survey",)
    search_fields = ("key", "survey__name")
    ordering = ("survey", "key")

    def visible(self, user: User) -> QuerySet[Any]:
        return StationBackgroundRecord.objects.filter(survey__in=surveys_for(user))


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    administrators_only = True
    list_display = ("name", "beat_at")
    search_fields = ("name",)
    ordering = ("name",)
