"""Vectors and local features: for looking only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from ..models import Embedding, LocalFeatureSet, Survey, User
from ..permissions import detections_for
from .base import ReadOnlyAdmin
from .filters import survey_filter
from .pictures import crop_picture


class _OfDetection(ReadOnlyAdmin):
    """Rows that hang on a detection."""

    related: tuple[str, ...] = ("detection__image__survey",)
    list_display_links = ("photo",)
    telling = ("detection__image__survey",)
    search_fields = ("detection__image__relative_path",)
    search_help_text = _("Path of the photo")
    ordering = ("-id",)

    def surveys_of(self, obj: Any) -> list[Survey]:
        return [obj.detection.image.survey]

    @display(description=_("Crop"))
    def picture(self, row: Any) -> str:
        return crop_picture(row.detection)

    @display(description=_("Photo"))
    def photo(self, row: Any) -> str:
        return str(row.detection.image.relative_path)


@admin.register(Embedding)
class EmbeddingAdmin(_OfDetection):
    related = ("detection__image__survey", "model")
    list_display = ("picture", "photo", "model", "created_at")
    list_filter = (survey_filter("detection__image__survey"), ("model", RelatedDropdownFilter))
    exclude = ("vector",)

    def visible(self, user: User) -> QuerySet[Any]:
        return Embedding.objects.filter(detection__in=detections_for(user))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("vector")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["picture", "photo", "model", "created_at"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_readonly_fields(request, obj)


@admin.register(LocalFeatureSet)
class LocalFeatureSetAdmin(_OfDetection):
    list_display = ("picture", "photo", "version", "count", "created_at")
    list_filter = (survey_filter("detection__image__survey"),)

    def visible(self, user: User) -> QuerySet[Any]:
        return LocalFeatureSet.objects.filter(detection__in=detections_for(user))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("data")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["picture", "photo", "version", "count", "created_at"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_readonly_fields(request, obj)
