"""Photos. What tells a place is shown to those who may know it, and that it was shown is written down."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from ..models import Detection, Image, Survey, User
from ..permissions import Action, detections_for, images_for, may
from ..services.annotation import detection_draw
from ..services.catalogue import places_shown
from ..services.queue import work_requeue
from .base import LabelColours, RoomAdmin, ServiceForm, account, photos_waiting
from .filters import station_filter, survey_filter, yes_no_filter
from .pictures import clock, gallery, linked, photo_picture, plain_clock

_PLACES = ("source_path", "position")


class ImageForm(ServiceForm):
    """A photo is not changed; a box can be added to it."""

    new_box = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "x1, y1, x2, y2"}),
        help_text=_("Four numbers in pixels of the upright photo. To draw with the mouse, open the photo's page."),
    )

    class Meta:
        model = Image
        fields = ()

    def clean_new_box(self) -> tuple[float, ...] | None:
        said = self.cleaned_data["new_box"].strip()
        if not said:
            return None
        try:
            box = tuple(float(part) for part in said.replace(";", ",").split(","))
        except ValueError:
            box = ()
        if len(box) != 4 or not all(0 <= value < 1e6 for value in box):
            raise forms.ValidationError(gettext("Four numbers are needed: left, top, right, bottom."))
        return box

    def apply(self, acting_user: User) -> None:
        box = self.cleaned_data.get("new_box")
        if box:
            detection_draw(acting_user=acting_user, image=self.stored(), box=(box[0], box[1], box[2], box[3]))


@admin.register(Image)
class ImageAdmin(RoomAdmin):
    form = ImageForm
    changed_by = Action.CURATE
    related = ("survey__population", "station", "work", "event")
    list_display = (
        "picture",
        "name",
        "survey",
        "station_shown",
        "captured",
        "captured_source",
        "boxes",
        "state",
        "people",
    )
    list_display_links = ("name",)
    list_filter = (
        survey_filter("survey"),
        station_filter("station"),
        ("work__state", ChoicesDropdownFilter),
        ("captured_source", ChoicesDropdownFilter),
        yes_no_filter("light", _("infrared"), Q(infrared=True), Q(infrared=False)),
        yes_no_filter("people", _("person on it"), Q(has_person=True)),
        yes_no_filter("boxed", _("has boxes"), Q(box_count__gt=0)),
    )
    telling = ("survey",)
    search_fields = ("relative_path", "sha256", "station__code")
    search_help_text = _("Path, station or SHA-256")
    date_hierarchy = "captured_at"
    ordering = ("survey", "relative_path")
    actions = ("retry",)
    readonly_fields = (
        "preview_shown",
        "survey_link",
        "relative_path",
        "station_shown",
        "camera",
        "event_shown",
        "captured",
        "captured_raw",
        "captured_source",
        "infrared",
        "flags",
        "size",
        "format",
        "sha256",
        "has_person",
        "detector",
        "detector_note",
        "state_shown",
        "boxes_shown",
        "exif_shown",
        "source_path",
        "position",
    )

    def visible(self, user: User) -> QuerySet[Any]:
        return images_for(user)

    def surveys_of(self, obj: Image) -> list[Survey]:
        return [obj.survey]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        boxes = Detection.objects.filter(image=OuterRef("pk")).order_by().values("image").annotate(n=Count("pk"))
        number = Coalesce(Subquery(boxes.values("n"), output_field=IntegerField()), 0)
        return super().get_queryset(request).annotate(box_count=number)

    def _may_see_place(self, request: HttpRequest, image: Image | None) -> bool:
        return image is not None and may(account(request), Action.SEE_PLACES, image.survey)

    def get_fieldsets(self, request: HttpRequest, obj: Image | None = None) -> Any:
        shown = [
            (None, {"fields": ("preview_shown", ("survey_link", "station_shown"), "relative_path")}),
            (
                _("Boxes"),
                {
                    "fields": ("boxes_shown", "new_box")
                    if self.has_change_permission(request, obj)
                    else ("boxes_shown",)
                },
            ),
            (_("Time"), {"fields": (("captured", "captured_source"), ("captured_raw", "event_shown"), "infrared")}),
            (_("Processing"), {"fields": ("state_shown", "detector", "detector_note", ("has_person", "flags"))}),
            (_("File"), {"fields": (("format", "size"), "sha256", "exif_shown"), "classes": ["collapse"]}),
        ]
        if self._may_see_place(request, obj):
            shown.append((_("Place (that you looked is written down)"), {"fields": _PLACES}))
        return shown

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **options: Any) -> Any:
        image = self.get_object(request, object_id) if request.method == "GET" else None
        if image is not None and self._may_see_place(request, image):
            places_shown(acting_user=account(request), target=image)
        return super().change_view(request, object_id, *args, **options)

    @display(description=_("Photo"))
    def picture(self, image: Image) -> str:
        return photo_picture(image)

    @display(description=_("Station"), ordering="station__code")
    def station_shown(self, image: Image) -> str:
        return f"{image.station.code} {image.camera}".strip() if image.station else "–"

    @display(description=_("Captured"), ordering="captured_at")
    def captured(self, image: Image) -> str:
        return clock(image.captured_at, image.survey.time_zone)

    @display(description=_("Encounter event"))
    def event_shown(self, image: Image) -> str:
        if image.event is None:
            return "–"
        return linked(
            "encounterevent", image.event_id, f"{plain_clock(image.event.started_at, image.survey.time_zone)} on"
        )

    @display(description=_("People"), ordering="has_person", label=LabelColours({"Person": "warning"}))
    def people(self, image: Image) -> str | None:
        return gettext("Person") if image.has_person else None

    @display(description=_("Boxes"), ordering="box_count")
    def boxes(self, image: Any) -> int:
        return int(image.box_count)

    @display(
        description=_("Processing"),
        ordering="work__state",
        label=LabelColours({"Done": "success", "Failed": "danger", "Set aside": "danger"}),
    )
    def state(self, image: Image) -> str:
        work = getattr(image, "work", None)
        return work.get_state_display() if work else "–"

    @display(description=_("Photo"))
    def preview_shown(self, image: Image) -> str:
        return photo_picture(image, large=True)

    @display(description=_("Survey"))
    def survey_link(self, image: Image) -> str:
        return linked("survey", image.survey_id, image.survey.name)

    @display(description=_("Size"))
    def size(self, image: Image) -> str:
        return f"{image.width} × {image.height} pixels, {image.size_bytes / 1e6:.1f} MB"

    @display(description=_("State"))
    def state_shown(self, image: Image) -> str:
        work = getattr(image, "work", None)
        if work is None:
            return "–"
        reason = f": {work.reason}" if work.reason else ""
        return linked("work", work.pk, f"{work.get_state_display()} ({work.get_stage_display().lower()}){reason}")

    @display(description=_("Boxes on it"))
    def boxes_shown(self, image: Image) -> str:
        rows: QuerySet[Detection] = detections_for(self.viewer(image)).filter(image=image)
        return gallery(rows.select_related("image__station", "image__survey").order_by("pk"))

    @display(description=_("EXIF, without position"))
    def exif_shown(self, image: Image) -> str:
        return format_html('<pre class="spotid-json">{}</pre>', json.dumps(image.exif, indent=1, ensure_ascii=False))

    @display(description=_("Position in the photo's EXIF"))
    def position(self, image: Image) -> str:
        if image.gps_latitude is None or image.gps_longitude is None:
            return gettext("none")
        return f"{image.gps_latitude:.6f}, {image.gps_longitude:.6f}"

    @admin.action(description=_("Process again"), permissions=["ingest"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Image]) -> None:
        if self.allowed(request, chosen, Action.INGEST):
            self.told(
                request,
                lambda: photos_waiting(work_requeue(images=list(chosen), acting_user=account(request))),
            )
