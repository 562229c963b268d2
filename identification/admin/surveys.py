"""Populations, surveys, stations and events."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelect2Widget

from .. import permissions
from ..errors import SpotIDError
from ..models import Decision, Detection, Image, Population, Station, Survey, User, Work
from ..permissions import Action, populations_for, surveys_for
from ..selectors.surveys import FAILED, failed_images
from ..services.catalogue import population_update, survey_update
from ..services.matching import matching_request
from ..services.queue import work_enqueue, work_requeue
from ..services.surveys import survey_delete, survey_get_or_create
from ..views.downloads import export_download
from .base import LabelColours, RoomAdmin, ServiceForm, account, photos_waiting
from .filters import population_filter, yes_no_filter


class PopulationForm(ServiceForm):
    class Meta:
        model = Population
        fields = ("name", "species", "code_prefix")

    def apply(self, acting_user: User) -> None:
        changes = self.changes("name", "species", "code_prefix")
        population_update(acting_user=acting_user, population=self.stored(), **changes)


@admin.register(Population)
class PopulationAdmin(RoomAdmin):
    form = PopulationForm
    list_display = ("name", "species", "code_prefix", "survey_count", "individual_count", "created_at")
    actions = ("retrain", "export")
    list_filter = (yes_no_filter("species", _("has a species"), ~Q(species="")),)
    search_fields = ("name", "species")
    ordering = ("name",)
    readonly_fields = ("last_number", "created_at")
    fields = ("name", "species", "code_prefix", "last_number", "created_at")

    def visible(self, user: User) -> QuerySet[Any]:
        return populations_for(user)

    def has_change_permission(self, request: HttpRequest, obj: Population | None = None) -> bool:
        return permissions.is_administrator(account(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = surveys_for(account(request)).filter(population=OuterRef("pk")).order_by().values("population")
        seen = permissions.individuals_for(account(request)).filter(population=OuterRef("pk"), retired=False)
        individuals = seen.order_by().values("population").annotate(n=Count("pk"))
        return (
            super()
            .get_queryset(request)
            .annotate(
                surveys_n=Coalesce(Subquery(own.annotate(n=Count("pk")).values("n"), output_field=IntegerField()), 0),
                individuals_n=Coalesce(Subquery(individuals.values("n"), output_field=IntegerField()), 0),
            )
        )

    @display(description=_("Surveys"), ordering="surveys_n")
    def survey_count(self, population: Any) -> int:
        return int(population.surveys_n)

    @display(description=_("Individuals"), ordering="individuals_n")
    def individual_count(self, population: Any) -> int:
        return int(population.individuals_n)

    def has_retrain_permission(self, request: HttpRequest) -> bool:
        return permissions.is_administrator(account(request))

    @admin.action(description=_("Retrain on its individuals"), permissions=["retrain"])
    def retrain(self, request: HttpRequest, chosen: QuerySet[Population]) -> HttpResponse | None:
        populations = list(chosen)
        if len(populations) != 1:
            messages.error(request, gettext("Choose one population: a training learns from one."))
            return None
        return redirect(f"{reverse('admin:identification_trainingrun_add')}?population={populations[0].pk}")

    @admin.action(description=_("Export in a format of your choice…"), permissions=["export"])
    def export(self, request: HttpRequest, chosen: QuerySet[Population]) -> HttpResponse | None:
        populations = list(chosen)
        if len(populations) != 1:
            messages.error(request, gettext("Choose one population: each export is a file of its own."))
            return None
        return redirect("population-exports", populations[0].pk)


class SurveyForm(ServiceForm):
    time_zone = forms.ChoiceField(
        choices=[(name, name) for name in sorted(zoneinfo.available_timezones())],
        initial="UTC",
        widget=UnfoldAdminSelect2Widget(),
        help_text=_("Of the camera clocks. Changing it moves the times of photos that were read in the former zone."),
    )

    class Meta:
        model = Survey
        fields = ("population", "name", "time_zone", "crops_only", "independence_minutes")

    def apply(self, acting_user: User) -> None:
        said = self.cleaned_data
        if self.instance.pk is not None:
            changes = self.changes("name", "time_zone", "independence_minutes")
            survey_update(acting_user=acting_user, survey=self.stored(), **changes)
            return
        if Survey.objects.filter(name__iexact=said["name"].strip()).exists():
            raise SpotIDError(gettext("There is a survey of this name already."))
        self.made = survey_get_or_create(
            name=said["name"],
            population=said["population"].name,
            time_zone=said["time_zone"],
            crops_only=said["crops_only"],
            acting_user=acting_user,
        )
        if said["independence_minutes"] != self.made.independence_minutes:
            survey_update(acting_user=acting_user, survey=self.made, independence_minutes=said["independence_minutes"])


@admin.register(Survey)
class SurveyAdmin(RoomAdmin):
    form = SurveyForm
    changed_by = Action.CURATE
    related = ("population",)
    list_display = (
        "name",
        "population",
        "photos",
        "failed",
        "stations_count",
        "matching_shown",
        "time_zone",
        "page_link",
    )
    list_filter = (
        population_filter("population"),
        ("matching_state", ChoicesDropdownFilter),
        yes_no_filter("crops", _("finished crops"), Q(crops_only=True)),
    )
    search_fields = ("name", "population__name")
    ordering = ("name",)
    actions = ("process", "retry_failed", "match_again", "download", "download_with_places", "export")
    readonly_fields = (
        "page_link",
        "matching_shown",
        "matched_at",
        "matching_error",
        "photos",
        "failed",
        "stations_count",
        "created_at",
        "source_root",
        "station_pattern",
    )

    def visible(self, user: User) -> QuerySet[Any]:
        return surveys_for(user)

    def surveys_of(self, obj: Survey) -> list[Survey]:
        return [obj]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        photos = Image.objects.filter(survey=OuterRef("pk")).order_by().values("survey").annotate(n=Count("pk"))
        failed = Work.objects.filter(image__survey=OuterRef("pk"), state__in=FAILED).order_by().values("image__survey")
        stations = Station.objects.filter(survey=OuterRef("pk")).order_by().values("survey").annotate(n=Count("pk"))

        def number(rows: Any) -> Any:
            return Coalesce(Subquery(rows.values("n"), output_field=IntegerField()), 0)

        return (
            super()
            .get_queryset(request)
            .annotate(
                photos_n=number(photos), failed_n=number(failed.annotate(n=Count("pk"))), stations_n=number(stations)
            )
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.is_administrator(account(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.is_administrator(account(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Survey | None = None) -> Any:
        return self.readonly_fields if obj is None else (*self.readonly_fields, "population", "crops_only")

    def get_fieldsets(self, request: HttpRequest, obj: Survey | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("population", "name", "time_zone", "independence_minutes", "crops_only")})]
        shown = [
            (
                None,
                {"fields": (("name", "population"), ("time_zone", "independence_minutes"), "crops_only", "page_link")},
            ),
            (
                _("State"),
                {
                    "fields": (
                        ("photos", "failed"),
                        ("stations_count", "matching_shown"),
                        ("matched_at", "matching_error"),
                    )
                },
            ),
        ]
        if permissions.may(account(request), Action.SEE_PLACES, obj):
            shown.append((_("Where it was read"), {"fields": ("source_root", "station_pattern")}))
        return shown

    def save_model(self, request: HttpRequest, obj: Survey, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            obj.pk = form.made.pk
            obj.refresh_from_db()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A summary instead of thousands of rows. What goes with a survey is the service's business."""
        surveys = list(objs)
        counts = {
            "surveys": len(surveys),
            "photos (the files themselves stay)": Image.objects.filter(survey__in=surveys).count(),
            "boxes": Detection.objects.filter(image__survey__in=surveys).count(),
            "decisions": Decision.objects.filter(
                Q(edge__a__image__survey__in=surveys) | Q(edge__b__image__survey__in=surveys)
            ).count(),
        }
        return [str(survey) for survey in surveys], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Survey) -> None:
        survey_delete(acting_user=account(request), survey=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Survey]) -> None:
        for survey in queryset:
            survey_delete(acting_user=account(request), survey=survey)

    @display(description=_("Photos"), ordering="photos_n")
    def photos(self, survey: Any) -> int:
        return int(survey.photos_n)

    @display(description=_("Failed"), ordering="failed_n")
    def failed(self, survey: Any) -> str:
        if not survey.failed_n:
            return "–"
        address = reverse("admin:identification_work_changelist")
        return format_html(
            '<a class="spotid-link" href="{}?survey={}&state__exact=failed">{}</a>', address, survey.pk, survey.failed_n
        )

    @display(description=_("Stations"), ordering="stations_n")
    def stations_count(self, survey: Any) -> int:
        return int(survey.stations_n)

    @display(
        description=_("Matching"),
        ordering="matching_state",
        label=LabelColours(
            {"Matched": "success", "Failed": "danger", "Matching": "info", "Waiting for photos": "warning"}
        ),
    )
    def matching_shown(self, survey: Survey) -> str:
        return survey.get_matching_state_display()

    @display(description=_("Page"))
    def page_link(self, survey: Survey) -> str:
        return format_html(
            '<a class="spotid-link" href="{}">{}</a>', reverse("survey-detail", args=[survey.pk]), gettext("open")
        )

    @admin.action(description=_("Process now: wake the workers"), permissions=["ingest"])
    def process(self, request: HttpRequest, chosen: QuerySet[Survey]) -> None:
        if self.allowed(request, chosen, Action.INGEST):
            number = sum(work_enqueue(survey=survey) for survey in chosen)
            messages.success(
                request,
                ngettext("%(n)s waiting photo put on the queue.", "%(n)s waiting photos put on the queue.", number)
                % {"n": number},
            )

    @admin.action(description=_("Process failed photos again"), permissions=["ingest"])
    def retry_failed(self, request: HttpRequest, chosen: QuerySet[Survey]) -> None:
        if self.allowed(request, chosen, Action.INGEST):
            user = account(request)
            number = sum(
                work_requeue(images=failed_images(user=user, survey=survey), acting_user=user) for survey in chosen
            )
            messages.success(request, photos_waiting(number))

    @admin.action(description=_("Match again"), permissions=["ingest"])
    def match_again(self, request: HttpRequest, chosen: QuerySet[Survey]) -> None:
        if not self.allowed(request, chosen, Action.INGEST):
            return
        for survey in chosen:
            try:
                matching_request(survey=survey, acting_user=account(request))
            except SpotIDError as refused:
                messages.error(request, str(refused))
            else:
                messages.success(
                    request,
                    gettext("%(survey)s is being matched again. Decisions stay as they are.") % {"survey": survey},
                )

    @admin.action(description=_("Download the export (ZIP)"), permissions=["export"])
    def download(self, request: HttpRequest, chosen: QuerySet[Survey]) -> Any:
        return self._download(request, chosen, Action.EXPORT)

    @admin.action(description=_("Download the export with places (ZIP)"), permissions=["export"])
    def download_with_places(self, request: HttpRequest, chosen: QuerySet[Survey]) -> Any:
        return self._download(request, chosen, Action.EXPORT_PLACES)

    @admin.action(description=_("Export in a format of your choice…"), permissions=["export"])
    def export(self, request: HttpRequest, chosen: QuerySet[Survey]) -> HttpResponse | None:
        surveys = list(chosen)
        if len(surveys) != 1:
            messages.error(request, gettext("Choose one survey: each export is a file of its own."))
            return None
        return redirect("survey-exports", surveys[0].pk) if self.allowed(request, surveys, Action.EXPORT) else None

    def _download(
        self, request: HttpRequest, chosen: QuerySet[Survey], action: Action
    ) -> FileResponse | HttpResponse | None:
        surveys = list(chosen)
        if len(surveys) != 1:
            messages.error(request, gettext("Choose one survey: each export is a file of its own."))
            return None
        if not self.allowed(request, surveys, action):
            return None
        try:
            return export_download(survey=surveys[0], user=account(request), with_places=action == Action.EXPORT_PLACES)
        except SpotIDError as refused:
            messages.error(request, str(refused))
            return None
