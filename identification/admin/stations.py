"""Stations and encounter events. That somebody was shown an exact place is written down."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from .. import permissions
from ..models import EncounterEvent, Image, Station, Survey, User
from ..permissions import Action, surveys_for
from ..presenting import grid_cell
from ..services.catalogue import places_shown, station_update
from .base import RoomAdmin, ServiceForm, account
from .filters import survey_filter, yes_no_filter
from .pictures import clock, linked, photo_picture


class StationForm(ServiceForm):
    class Meta:
        model = Station
        fields = ("latitude", "longitude")

    def clean(self) -> dict[str, Any]:
        if ("latitude" in self.fields) and (self.cleaned_data.get("latitude") is None) != (
            self.cleaned_data.get("longitude") is None
        ):
            raise forms.ValidationError(gettext("A place needs both latitude and longitude."))
        return super().clean()

    def apply(self, acting_user: User) -> None:
        changes = self.changes(*(name for name in ("latitude", "longitude") if name in self.fields))
        station_update(acting_user=acting_user, station=self.stored(), **changes)


@admin.register(Station)
class StationAdmin(RoomAdmin):
    form = StationForm
    related = ("survey",)
    list_display = ("code", "survey", "photos", "region")
    list_filter = (survey_filter("survey"), yes_no_filter("placed", _("has a place"), Q(latitude__isnull=False)))
    telling = ("survey",)
    search_fields = ("code", "survey__name")
    ordering = ("survey", "code")
    readonly_fields = ("code", "survey", "photos", "region")

    def visible(self, user: User) -> QuerySet[Any]:
        return Station.objects.filter(survey__in=surveys_for(user))

    def surveys_of(self, obj: Station) -> list[Survey]:
        return [obj.survey]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(photos_n=Count("images"))

    def has_change_permission(self, request: HttpRequest, obj: Station | None = None) -> bool:
        """Who may know places may correct them."""
        if obj is None:
            return self._any(request, Action.SEE_PLACES)
        return permissions.may(account(request), Action.SEE_PLACES, obj.survey)

    def get_fieldsets(self, request: HttpRequest, obj: Station | None = None) -> Any:
        shown: list[Any] = [(None, {"fields": ("code", "survey", "photos", "region")})]
        if obj is not None and self.has_change_permission(request, obj):
            shown.append((_("Exact place (that you looked is written down)"), {"fields": (("latitude", "longitude"),)}))
        return shown

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **options: Any) -> Any:
        station = self.get_object(request, object_id) if request.method == "GET" else None
        if station is not None and self.has_change_permission(request, station):
            places_shown(acting_user=account(request), target=station)
        return super().change_view(request, object_id, *args, **options)

    @display(description=_("Photos"), ordering="photos_n")
    def photos(self, station: Any) -> int:
        return int(station.photos_n)

    @display(description=_("Region (0.1° grid)"))
    def region(self, station: Station) -> str:
        if station.latitude is None or station.longitude is None:
            return gettext("unknown")
        return grid_cell(station.latitude, station.longitude, station.survey.place_grid)


@admin.register(EncounterEvent)
class EncounterEventAdmin(RoomAdmin):
    related = ("survey", "station")
    list_display = ("picture", "began", "ended", "station", "survey", "photos")
    list_display_links = ("began",)
    list_filter = (survey_filter("survey"),)
    telling = ("survey",)
    search_fields = ("station__code", "survey__name")
    date_hierarchy = "started_at"
    ordering = ("-started_at",)
    readonly_fields = ("survey", "station", "started_at", "ended_at", "photos_shown")

    def visible(self, user: User) -> QuerySet[Any]:
        return EncounterEvent.objects.filter(survey__in=surveys_for(user))

    def surveys_of(self, obj: EncounterEvent) -> list[Survey]:
        return [obj.survey]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        first = permissions.images_for(account(request)).filter(event=OuterRef("pk")).exclude(preview="")
        return (
            super()
            .get_queryset(request)
            .annotate(
                photos_n=Count("images"), first_pk=Subquery(first.order_by(F("captured_at"), "pk").values("pk")[:1])
            )
        )

    @display(description=_("First photo"))
    def picture(self, event: Any) -> str:
        return photo_picture(
            None if event.first_pk is None else Image(pk=event.first_pk, preview="there", relative_path="")
        )

    @display(description=_("Began"), ordering="started_at")
    def began(self, event: EncounterEvent) -> str:
        return clock(event.started_at, event.survey.time_zone)

    @display(description=_("Ended"), ordering="ended_at")
    def ended(self, event: EncounterEvent) -> str:
        return clock(event.ended_at, event.survey.time_zone)

    @display(description=_("Photos"), ordering="photos_n")
    def photos(self, event: Any) -> int:
        return int(event.photos_n)

    @display(description=_("Photos"))
    def photos_shown(self, event: EncounterEvent) -> str:
        rows = permissions.images_for(self.viewer(event)).filter(event=event).order_by("captured_at", "pk")[:60]
        figures = [(photo_picture(image), linked("image", image.pk, image.name)) for image in rows]
        return format_html(
            '<div class="spotid-gallery">{}</div>',
            format_html_join("", "<figure>{}<figcaption>{}</figcaption></figure>", figures),
        )
