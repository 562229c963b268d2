"""What came in and went out, and when cameras worked: rows that services write, shown to administrators."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from ..models import CameraOperation, ExportRun, ImportIssue, ImportRun, RequestKey
from .base import ReadOnlyAdmin
from .filters import survey_filter


@admin.register(ImportRun)
class ImportRunAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("survey", "requested_by")
    list_display = ("kind", "file_name", "survey", "dry_run", "state", "done", "total", "requested_by", "created_at")
    list_filter = (survey_filter("survey"), ("state", ChoicesDropdownFilter), "dry_run")
    search_fields = ("file_name", "sha256", "kind")
    ordering = ("-id",)


@admin.register(ImportIssue)
class ImportIssueAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("run__survey",)
    list_display = ("run", "file", "row", "code", "words")
    list_filter = (survey_filter("run__survey"),)
    search_fields = ("file", "code")
    ordering = ("-id",)


@admin.register(ExportRun)
class ExportRunAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("population", "survey", "requested_by")
    list_display = (
        "population",
        "survey",
        "state",
        "done",
        "total",
        "size",
        "requested_by",
        "created_at",
        "expires_at",
    )
    list_filter = (survey_filter("survey"), ("state", ChoicesDropdownFilter))
    search_fields = ("sha256", "requested_by__username")
    ordering = ("-id",)


@admin.register(CameraOperation)
class CameraOperationAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("station__survey",)
    list_display = ("station", "camera", "set_up", "retrieved", "updated_at")
    list_filter = (survey_filter("station__survey"),)
    search_fields = ("station__code", "camera")
    ordering = ("station", "camera")


@admin.register(RequestKey)
class RequestKeyAdmin(ReadOnlyAdmin):
    """Answers that were given stay out: they were for the account that asked."""

    administrators_only = True
    related = ("user",)
    list_display = ("user", "key", "status", "created_at")
    search_fields = ("user__username", "key")
    ordering = ("-id",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["user", "key", "digest", "status", "created_at"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_readonly_fields(request, obj)
