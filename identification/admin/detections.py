"""Boxes on photos: where photos are annotated, singly and in bulk."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldBooleanSwitchWidget

from ..models import Detection, Flank, Individual, Survey, User, Verdict
from ..permissions import Action, detections_for, individuals_for
from ..presenting import flank_reasons, flank_words
from ..services.annotation import detection_annotate, detection_redraw
from ..services.identity import (
    JudgePreview,
    detection_assign,
    detection_detach,
    detections_judge,
    detections_judge_preview,
)
from ..services.individuals import individual_declare, individual_undeclare
from .base import ServiceForm, account, pairs_decided
from .confirm import AnnotateForm, ConfirmForm, ask, confirmed
from .filters import station_filter, survey_filter, yes_no_filter
from .pictures import clock, crop_picture, gallery, linked, views
from .triage import TriageActions

_SHOWN = 60
_BOX = ("x1", "y1", "x2", "y2")


class DetectionForm(ServiceForm):
    """One box. The individual is changed by taking matches back and making one: decisions, which can be undone."""

    confirm_contradiction = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text=_("Only when the individual is refused because earlier decisions contradict it."),
    )

    class Meta:
        model = Detection
        fields = ("category", "species", "flank", "usable", "unusable_reason", *_BOX, "individual")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in _BOX:
            if self.initial.get(name) is not None:
                self.initial[name] = round(self.initial[name], 1)

    def apply(self, acting_user: User) -> None:
        detection = self.stored()
        changes = self.changes("category", "species", "flank", "usable", "unusable_reason")
        if changes:
            detection_annotate(acting_user=acting_user, detections=[detection], **changes)
            detection.refresh_from_db()
        if self.changes(*_BOX):
            x1, y1, x2, y2 = (self.cleaned_data[name] for name in _BOX)
            detection_redraw(acting_user=acting_user, detection=detection, box=(x1, y1, x2, y2))
        if "individual" in self.changed_data:
            self._move(acting_user, detection, self.cleaned_data["individual"])

    def _move(self, acting_user: User, detection: Detection, individual: Individual | None) -> None:
        if individual is None:
            detection_detach(acting_user=acting_user, detection=detection)
            return
        detection_assign(
            acting_user=acting_user,
            detection=detection,
            individual=individual,
            confirm_contradiction=self.cleaned_data["confirm_contradiction"],
        )


@admin.register(Detection)
class DetectionAdmin(TriageActions):
    form = DetectionForm
    changed_by = Action.CURATE
    related = ("image__survey__population", "image__station", "individual__population")
    list_display = (
        "picture",
        "photo",
        "survey",
        "station",
        "captured",
        "category",
        "flank_shown",
        "species",
        "usable",
        "who",
        "source",
    )
    list_display_links = ("photo",)
    list_filter = (
        survey_filter("image__survey"),
        station_filter("image__station"),
        ("category", ChoicesDropdownFilter),
        ("flank", ChoicesDropdownFilter),
        yes_no_filter("flank_said", _("flank said by a person"), Q(flank_by_person=True)),
        yes_no_filter("use", _("usable"), Q(usable=True)),
        ("triage", ChoicesDropdownFilter),
        yes_no_filter("identified", _("identified"), Q(individual__isnull=False)),
        ("source", ChoicesDropdownFilter),
    )
    telling = ("image__survey",)
    search_fields = ("image__relative_path", "species", "individual__name", "image__station__code")
    search_help_text = _("Path of the photo, station, species or name of the individual")
    date_hierarchy = "image__captured_at"
    ordering = ("-id",)
    autocomplete_fields = ("individual",)
    actions = (
        "annotate",
        "flank_left",
        "flank_right",
        "flank_unknown",
        "mark_usable",
        "mark_unusable",
        "triage_wanted",
        "triage_other",
        "triage_undecided",
        "same_animal",
        "different_animals",
        "unsure",
        "incomparable",
        "declare",
        "undeclare",
        "detach",
    )
    fieldsets = (
        (None, {"fields": ("views_shown", ("photo_link", "survey_link"), "captured")}),
        (
            _("What it shows"),
            {
                "fields": (
                    ("category", "species"),
                    ("triage", "triage_by_person", "triage_score"),
                    ("flank", "flank_by_person", "flank_estimate"),
                    ("usable", "unusable_reason"),
                )
            },
        ),
        (_("Which individual"), {"fields": ("individual", "confirm_contradiction", "companions")}),
        (
            _("Box, in pixels of the upright photo"),
            {"fields": (("x1", "y1"), ("x2", "y2"), ("size", "confidence"), ("source", "engine"), "segmenter")},
        ),
    )
    readonly_fields = (
        "triage",
        "triage_by_person",
        "triage_score",
        "views_shown",
        "photo_link",
        "survey_link",
        "captured",
        "companions",
        "size",
        "confidence",
        "source",
        "engine",
        "segmenter",
        "flank_by_person",
        "flank_estimate",
    )

    def visible(self, user: User) -> QuerySet[Any]:
        return detections_for(user)

    def surveys_of(self, obj: Detection) -> list[Survey]:
        return [obj.image.survey]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "individual":
            options["queryset"] = individuals_for(account(request)).filter(retired=False).select_related("population")
        return super().formfield_for_foreignkey(db_field, request, **options)

    @display(description=_("Crop"))
    def picture(self, detection: Detection) -> str:
        return crop_picture(detection)

    @display(description=_("Photo"), ordering="image__relative_path")
    def photo(self, detection: Detection) -> str:
        return detection.image.relative_path

    @display(description=_("Survey"), ordering="image__survey__name")
    def survey(self, detection: Detection) -> str:
        return detection.image.survey.name

    @display(description=_("Station"), ordering="image__station__code")
    def station(self, detection: Detection) -> str:
        image = detection.image
        return f"{image.station.code} {image.camera}".strip() if image.station else "–"

    @display(description=_("Captured"), ordering="image__captured_at")
    def captured(self, detection: Detection) -> Any:
        return clock(detection.image.captured_at, detection.image.survey.time_zone)

    @display(description=_("Flank"), ordering="flank")
    def flank_shown(self, detection: Detection) -> str:
        estimate = flank_words(detection.flank, detection.flank_by_person, detection.left_probability)
        return estimate.capitalize() or detection.get_flank_display()

    @display(description=_("Estimate of the flank"))
    def flank_estimate(self, detection: Detection) -> str:
        # Also beside a person's word: where the two differ, one of them is wrong.
        estimate = flank_words("", False, detection.left_probability)
        reasons = flank_reasons(detection.flank_evidence)
        return f"{estimate.capitalize()} (from {reasons})" if estimate and reasons else estimate.capitalize() or "–"

    @display(description=_("Individual"), ordering="individual__number")
    def who(self, detection: Detection) -> str:
        individual = detection.individual
        return linked("individual", detection.individual_id, str(individual)) if individual else "–"

    @display(description=_("Pictures"))
    def views_shown(self, detection: Detection) -> str:
        return views(detection)

    @display(description=_("Photo"))
    def photo_link(self, detection: Detection) -> str:
        return linked("image", detection.image_id, detection.image.relative_path)

    @display(description=_("Survey"))
    def survey_link(self, detection: Detection) -> str:
        return linked("survey", detection.image.survey_id, detection.image.survey.name)

    @display(description=_("Other photos of it"))
    def companions(self, detection: Detection) -> str:
        if detection.individual_id is None:
            return gettext("It belongs to no individual.")
        others = (
            detections_for(self.viewer(detection)).filter(individual=detection.individual_id).exclude(pk=detection.pk)
        )
        return gallery(others.select_related("image__station", "image__survey").order_by("pk")[:_SHOWN])

    @display(description=_("Size"))
    def size(self, detection: Detection) -> str:
        return gettext("%(width)s × %(height)s pixels") % {
            "width": f"{detection.x2 - detection.x1:.0f}",
            "height": f"{detection.y2 - detection.y1:.0f}",
        }

    def _annotate(self, request: HttpRequest, chosen: QuerySet[Detection], **changes: Any) -> None:
        if self.allowed(request, chosen, Action.CURATE):
            self.told(
                request,
                lambda: _annotated(detection_annotate(acting_user=account(request), detections=chosen, **changes)),
            )

    @admin.action(description=_("Annotate: flank, species, use …"), permissions=["curate"])
    def annotate(self, request: HttpRequest, chosen: QuerySet[Detection]) -> HttpResponse | None:
        form = AnnotateForm(request.POST if confirmed(request) else None)
        if confirmed(request) and form.is_valid():
            self._annotate(request, chosen, **form.changes())
            return None
        number = chosen.count()
        return ask(
            self,
            request,
            action="annotate",
            title=ngettext("Annotate %(n)s box", "Annotate %(n)s boxes", number) % {"n": number},
            button=gettext("Annotate"),
            form=form,
            pictures=gallery(chosen[:_SHOWN]),
            lines=[
                gettext("The first %(shown)s are shown; all %(number)s are annotated.")
                % {"shown": _SHOWN, "number": number}
            ]
            if number > _SHOWN
            else [],
        )

    @admin.action(description=_("Flank: left"), permissions=["curate"])
    def flank_left(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        self._annotate(request, chosen, flank=Flank.LEFT)

    @admin.action(description=_("Flank: right"), permissions=["curate"])
    def flank_right(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        self._annotate(request, chosen, flank=Flank.RIGHT)

    @admin.action(description=_("Flank: unknown"), permissions=["curate"])
    def flank_unknown(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        self._annotate(request, chosen, flank=Flank.UNKNOWN)

    @admin.action(description=_("Usable"), permissions=["curate"])
    def mark_usable(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        self._annotate(request, chosen, usable=True, unusable_reason="")

    @admin.action(description=_("Not usable"), permissions=["curate"])
    def mark_unusable(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        self._annotate(request, chosen, usable=False)

    @admin.action(description=_("Match: all of them are one animal …"), permissions=["decide"])
    def same_animal(self, request: HttpRequest, chosen: QuerySet[Detection]) -> HttpResponse | None:
        return self._judge(request, chosen, "same_animal", Verdict.MATCH)

    @admin.action(description=_("Not a match: each is another animal …"), permissions=["decide"])
    def different_animals(self, request: HttpRequest, chosen: QuerySet[Detection]) -> HttpResponse | None:
        return self._judge(request, chosen, "different_animals", Verdict.NO_MATCH)

    @admin.action(description=_("Unsure about each pair …"), permissions=["decide"])
    def unsure(self, request: HttpRequest, chosen: QuerySet[Detection]) -> HttpResponse | None:
        return self._judge(request, chosen, "unsure", Verdict.UNSURE)

    @admin.action(description=_("Each pair is incomparable …"), permissions=["decide"])
    def incomparable(self, request: HttpRequest, chosen: QuerySet[Detection]) -> HttpResponse | None:
        return self._judge(request, chosen, "incomparable", Verdict.INCOMPARABLE)

    def _judge(
        self, request: HttpRequest, chosen: QuerySet[Detection], action: str, verdict: Verdict
    ) -> HttpResponse | None:
        if not self.allowed(request, chosen, Action.DECIDE):
            return None
        preview = detections_judge_preview(detections=chosen, verdict=verdict)
        if preview.refused:
            messages.error(request, preview.refused)
            return None
        form = ConfirmForm(request.POST if confirmed(request) else None, contradiction=bool(preview.contradiction))
        if confirmed(request) and form.is_valid():
            self.told(request, lambda: _judged(request, chosen, verdict, bool(preview.contradiction)))
            return None
        return ask(
            self,
            request,
            action=action,
            title=ngettext("%(verdict)s: %(n)s photo", "%(verdict)s: %(n)s photos", len(chosen))
            % {"verdict": verdict.label, "n": len(chosen)},
            button=gettext("Decide"),
            warning=preview.contradiction,
            lines=consequences(request, preview, verdict),
            form=form,
            pictures=gallery(chosen),
        )

    @admin.action(description=_("Each is an animal of its own (declare)"), permissions=["decide"])
    def declare(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        if self.allowed(request, chosen, Action.DECIDE):
            lone = [detection for detection in chosen if detection.individual_id is None]

            def change() -> str:
                for detection in lone:
                    individual_declare(acting_user=account(request), detection=detection)
                words = ngettext(
                    "%(n)s animal declared; %(others)s belonged to one already.",
                    "%(n)s animals declared; %(others)s belonged to one already.",
                    len(lone),
                )
                return words % {"n": len(lone), "others": len(chosen) - len(lone)}

            self.told(request, change)

    @admin.action(description=_("Take declarations back"), permissions=["curate"])
    def undeclare(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        if self.allowed(request, chosen, Action.CURATE):
            declared = {d.individual for d in chosen if d.individual and d.individual.declared}
            everywhere = Detection.objects.filter(individual__in=declared).select_related("image__survey")
            if declared and not self.allowed(request, everywhere, Action.CURATE):
                return

            def change() -> str:
                for individual in declared:
                    individual_undeclare(acting_user=account(request), individual=individual)
                return ngettext("%(n)s declaration taken back.", "%(n)s declarations taken back.", len(declared)) % {
                    "n": len(declared)
                }

            self.told(request, change)

    @admin.action(description=_("Take out of their individuals …"), permissions=["curate"])
    def detach(self, request: HttpRequest, chosen: QuerySet[Detection]) -> HttpResponse | None:
        if not self.allowed(request, chosen, Action.CURATE):
            return None
        if not confirmed(request):
            lines = [gettext("Every match that holds one of these photos is taken back, whoever made it.")]
            return ask(
                self,
                request,
                action="detach",
                title=ngettext(
                    "Take %(n)s photo out of its individual", "Take %(n)s photos out of their individuals", len(chosen)
                )
                % {"n": len(chosen)},
                button=gettext("Take out"),
                lines=lines,
                pictures=gallery(chosen[:_SHOWN]),
            )

        def change() -> str:
            number = sum(detection_detach(acting_user=account(request), detection=row) for row in list(chosen))
            return ngettext("%(n)s match taken back.", "%(n)s matches taken back.", number) % {"n": number}

        self.told(request, change)
        return None


def _judged(request: HttpRequest, chosen: QuerySet[Detection], verdict: Verdict, contradiction: bool) -> str:
    decisions = detections_judge(
        acting_user=account(request), detections=chosen, verdict=verdict, confirm_contradiction=contradiction
    )
    return pairs_decided(len(decisions), verdict)


def _annotated(number: int) -> str:
    words = ngettext(
        "%(n)s box is annotated; what was so already stayed.",
        "%(n)s boxes are annotated; what was so already stayed.",
        number,
    )
    return words % {"n": number}


def consequences(request: HttpRequest, preview: JudgePreview, verdict: Verdict) -> list[str]:
    """What a verdict would do, in sentences. Individuals that the account may not see stay without a name."""
    lines = [
        ngettext("%(n)s pair will be decided: %(verdict)s.", "%(n)s pairs will be decided: %(verdict)s.", preview.pairs)
        % {"n": preview.pairs, "verdict": verdict.label.lower()}
    ]
    if preview.retired:
        pks = [one.pk for one in (*preview.retired, *preview.survivors)]
        seen = set(individuals_for(account(request)).filter(pk__in=pks).values_list("pk", flat=True))

        def named(individuals: tuple[Individual, ...]) -> str:
            return ", ".join(
                (f"{one.name} ({one.code})" if one.name else one.code)
                if one.pk in seen
                else gettext("one of another survey")
                for one in individuals
            )

        lines.append(
            gettext(
                "This merges individuals: %(retired)s will be part of %(survivors)s. "
                "Taking the decision back restores them."
            )
            % {"retired": named(preview.retired), "survivors": named(preview.survivors)}
        )
    if preview.contradiction:
        lines.append(gettext("No individuals are merged while the contradiction stands."))
    return lines
