"""The queue's own tables, for administrators and for looking only. Payloads are never unpacked here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.contrib.filters.admin import AllValuesCheckboxFilter
from unfold.decorators import display

from .base import ReadOnlyAdmin

for _model in (Failure, OrmQ, Schedule, Success):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class QueueAdmin(ReadOnlyAdmin):
    administrators_only = True
    shown: tuple[str, ...] = ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return list(self.shown)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return list(self.shown)


@admin.register(OrmQ)
class OrmQAdmin(QueueAdmin):
    list_display = shown = ("id", "key", "lock")
    list_filter = (("key", AllValuesCheckboxFilter),)
    ordering = ("id",)


class TaskAdmin(QueueAdmin):
    list_display = ("name", "func", "group", "started", "stopped", "attempt_count")
    list_filter = (("func", AllValuesCheckboxFilter), ("group", AllValuesCheckboxFilter))
    search_fields = ("name", "func", "group")
    ordering = ("-stopped",)
    shown = ("name", "func", "group", "cluster", "started", "stopped", "attempt_count", "success", "said")

    @display(description=_("Result"))
    def said(self, task: Any) -> str:
        return str(task.result)[:4000] if isinstance(task.result, str | int | float | None) else "–"


admin.site.register(Success, TaskAdmin)
admin.site.register(Failure, TaskAdmin)


@admin.register(Schedule)
class ScheduleAdmin(QueueAdmin):
    list_display = ("name", "func", "schedule_type", "repeats", "next_run")
    shown = ("name", "func", "schedule_type", "minutes", "repeats", "next_run", "cron")
    search_fields = ("name", "func")
    ordering = ("next_run",)
