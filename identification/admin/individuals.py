"""Individuals: names, declarations, notes, and merging."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from ..models import Detection, Individual, Survey, User, Verdict
from ..permissions import Action, detections_for, individuals_for
from ..services.catalogue import individual_describe, individual_note
from ..services.identity import detections_judge, detections_judge_preview, individual_affirm, representatives
from ..services.individuals import individual_rename, individual_undeclare
from .base import RoomAdmin, ServiceForm, account
from .confirm import ConfirmForm, ask, confirmed
from .detections import consequences
from .filters import population_filter, survey_filter, yes_no_filter
from .pictures import crop_picture, gallery, linked

_SHOWN = 120


class IndividualForm(ServiceForm):
    declared = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text=_("A person says that this animal is one, even if it was seen once."),
    )
    notes = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget())

    class Meta:
        model = Individual
        fields = ("name", "sex", "age_class", "declared", "notes")

    def apply(self, acting_user: User) -> None:
        individual = self.stored()
        if "name" in self.changed_data:
            individual_rename(acting_user=acting_user, individual=individual, name=self.cleaned_data["name"])
        said = {name: self.cleaned_data[name] for name in ("sex", "age_class") if name in self.changed_data}
        if said:
            individual_describe(acting_user=acting_user, individual=individual, **said)
        if "notes" in self.changed_data:
            individual_note(acting_user=acting_user, individual=individual, notes=self.cleaned_data["notes"])
        if "declared" in self.changed_data:
            if self.cleaned_data["declared"]:
                individual_affirm(acting_user=acting_user, individual=individual)
            else:
                individual_undeclare(acting_user=acting_user, individual=individual)


@admin.register(Individual)
class IndividualAdmin(RoomAdmin):
    form = IndividualForm
    changed_by = Action.CURATE
    related = ("population", "founder__image__survey", "merged_into__population")
    list_display = ("picture", "code_shown", "name", "sex", "age_class", "population", "photos", "declared", "retired")
    list_display_links = ("code_shown",)
    list_filter = (
        population_filter("population"),
        survey_filter("founder__image__survey"),
        ("sex", ChoicesDropdownFilter),
        ("age_class", ChoicesDropdownFilter),
        yes_no_filter("said", _("declared"), Q(declared=True)),
        yes_no_filter("gone", _("retired"), Q(retired=True)),
        yes_no_filter("named", _("has a name"), ~Q(name="")),
    )
    search_fields = ("name", "notes")
    search_help_text = _("Name, code (L-0007) or notes")
    ordering = ("population", "number")
    actions = ("merge", "declare", "undeclare")
    fieldsets = (
        (None, {"fields": (("code_shown", "population"), "name", ("sex", "age_class"), "declared", "notes")}),
        (_("Photos"), {"fields": ("photos_shown",)}),
        (_("History"), {"fields": (("founder_link", "created_at"), ("retired", "merged_link"))}),
    )
    readonly_fields = (
        "code_shown",
        "population",
        "photos_shown",
        "founder_link",
        "retired",
        "merged_link",
        "created_at",
    )

    def visible(self, user: User) -> QuerySet[Any]:
        return individuals_for(user)

    def surveys_of(self, obj: Individual) -> list[Survey]:
        """Every survey that the animal was seen in; of a retired one, that of its founding photo."""
        seen = Survey.objects.filter(images__detections__individual=obj).distinct()
        return list(seen) or [obj.founder.image.survey]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visible = detections_for(account(request))
        best = visible.filter(individual=OuterRef("pk")).exclude(crop="").order_by("-usable", "-confidence", "pk")
        own = (
            visible.filter(individual=OuterRef("pk"))
            .order_by()
            .values("individual")
            .annotate(n=Count("image", distinct=True))
        )
        return (
            super()
            .get_queryset(request)
            .annotate(
                photo_count=Coalesce(Subquery(own.values("n"), output_field=IntegerField()), 0),
                best_pk=Subquery(best.values("pk")[:1]),
                best_image=Subquery(best.values("image_id")[:1]),
            )
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        found, distinct = super().get_search_results(request, queryset, search_term)
        number = search_term.strip().rsplit("-", 1)[-1]
        if number.isascii() and number.isdigit() and len(number) < 9:
            found = found | queryset.filter(number=int(number))
        return found, distinct

    @display(description=_("Photo"))
    def picture(self, individual: Any) -> str:
        best = None if individual.best_pk is None else Detection(pk=individual.best_pk, image_id=individual.best_image)
        if best is not None:
            best.crop = "there"
        return crop_picture(best)

    @display(description=_("Code"), ordering="number")
    def code_shown(self, individual: Individual) -> str:
        return individual.code

    @display(description=_("Photos"), ordering="photo_count")
    def photos(self, individual: Any) -> int:
        return int(individual.photo_count)

    @display(description=_("Photos"))
    def photos_shown(self, individual: Individual) -> str:
        rows = (
            detections_for(self.viewer(individual))
            .filter(individual=individual)
            .select_related("image__station", "image__survey")
        )
        return gallery(rows.order_by("image__captured_at", "pk")[:_SHOWN])

    @display(description=_("Founding photo"))
    def founder_link(self, individual: Individual) -> str:
        return linked("detection", individual.founder_id, individual.founder.image.name)

    @display(description=_("Part of"))
    def merged_link(self, individual: Individual) -> str:
        successor = individual.merged_into
        return linked("individual", individual.merged_into_id, str(successor)) if successor else "–"

    @admin.action(description=_("Merge: they are one animal …"), permissions=["curate"])
    def merge(self, request: HttpRequest, chosen: QuerySet[Individual]) -> HttpResponse | None:
        standing = [individual for individual in chosen if not individual.retired]
        if not self.allowed(request, standing, Action.CURATE):
            return None
        if len(standing) < 2:
            messages.error(request, gettext("Choose at least two individuals that are not retired."))
            return None
        detections = representatives(standing)
        preview = detections_judge_preview(detections=detections, verdict=Verdict.MATCH)
        if preview.refused:
            messages.error(request, preview.refused)
            return None
        collides = bool(preview.contradiction)
        form = ConfirmForm(request.POST if confirmed(request) else None, contradiction=collides)
        if confirmed(request) and form.is_valid():

            def change() -> str:
                detections_judge(
                    acting_user=account(request),
                    detections=detections,
                    verdict=Verdict.MATCH,
                    confirm_contradiction=collides,
                    note="merged in the admin",
                )
                return (
                    gettext("The contradiction is recorded.")
                    if collides
                    else ngettext("%(n)s individual merged.", "%(n)s individuals merged.", len(standing))
                    % {"n": len(standing)}
                )

            self.told(request, change)
            return None
        return ask(
            self,
            request,
            action="merge",
            title=ngettext("Merge %(n)s individual", "Merge %(n)s individuals", len(standing)) % {"n": len(standing)},
            button=gettext("Merge"),
            warning=preview.contradiction,
            lines=consequences(request, preview, Verdict.MATCH),
            form=form,
            pictures=gallery(detections),
        )

    @admin.action(description=_("Declare"), permissions=["curate"])
    def declare(self, request: HttpRequest, chosen: QuerySet[Individual]) -> None:
        self._say(request, chosen, declared=True)

    @admin.action(description=_("Take declarations back"), permissions=["curate"])
    def undeclare(self, request: HttpRequest, chosen: QuerySet[Individual]) -> None:
        self._say(request, chosen, declared=False)

    def _say(self, request: HttpRequest, chosen: QuerySet[Individual], *, declared: bool) -> None:
        rows = [one for one in chosen if not one.retired and one.declared != declared]
        if not self.allowed(request, rows, Action.CURATE):
            return

        def change() -> str:
            for individual in rows:
                if declared:
                    individual_affirm(acting_user=account(request), individual=individual)
                else:
                    individual_undeclare(acting_user=account(request), individual=individual)
            words = (
                ngettext("%(n)s individual declared.", "%(n)s individuals declared.", len(rows))
                if declared
                else ngettext(
                    "%(n)s individual no longer declared.", "%(n)s individuals no longer declared.", len(rows)
                )
            )
            return words % {"n": len(rows)}

        self.told(request, change)
