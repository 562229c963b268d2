"""Photos of a survey, one photo, and what people say of the boxes on it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import Detection, Flank
from ..models.image import Unusable
from ..naming import by_label
from ..permissions import Action
from ..selectors.checks import checks_asked
from ..selectors.photos import boxes_of, neighbours_of, photo_filters, photos_of
from ..selectors.review_modes import Scope, scope_parse
from ..services.annotation import detection_annotate, detection_draw, detection_redraw
from ..services.individuals import individual_declare
from ..services.queue import work_requeue
from ..services.remarks import remark_record
from .access import account, back, detection_of, image_of, number, safe_next, survey_of
from .choosing import chooser_of_list
from .review_aside import remark_asked

PHOTOS_PER_PAGE = 60
# In place of a flank: takes back what a person said of it.
WITHDRAW = "withdraw"


@require_safe
def photo_list(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id)
    user = account(request)
    filters = photo_filters(user=user, survey=survey)
    chosen = request.GET.get("show", "all")
    if chosen not in {item.name for item in filters}:
        chosen = "all"
    station = number(request.GET.get("station"))
    days = scope_parse({"mode": "date", "from": request.GET.get("from"), "to": request.GET.get("to")}) or Scope()
    photos = photos_of(user=user, survey=survey, chosen=chosen, station=station, first=days.first, last=days.last)
    page = Paginator(photos, PHOTOS_PER_PAGE).get_page(request.GET.get("page"))
    context = {"survey": survey, "page": page, "filters": filters, "chosen": chosen, "station": station}
    labels = [(row.pk, row.label) for row in by_label(survey.stations.all())]
    context["stations"] = chooser_of_list(request, "station", labels)
    narrowed = ({"station": station} if station else {}) | days.focus
    context["query"] = urlencode({"show": chosen, **narrowed})
    context |= {
        "days": days,
        "narrowed": urlencode(narrowed),
        "may_decide": permissions.may(user, Action.DECIDE, survey),
    }
    # The part of a review that these photos are: by day where days were given, else by station.
    context["part"] = days.query or (Scope("station", station=station).query if station else "")
    return render(request, "identification/photo_list.html", context)


@require_safe
def photo_detail(request: HttpRequest, image_id: int) -> HttpResponse:
    image = image_of(request, image_id)
    user = account(request)
    allowed = {action.value: permissions.may(user, action, image.survey) for action in _ASKED}
    context = {
        "survey": image.survey,
        "image": image,
        "boxes": boxes_of(user=user, image=image),
        "neighbours": neighbours_of(user=user, image=image),
        "flanks": Flank.choices,
        "may": allowed,
        "blurred": permissions.people_blurred(user, image),
        "next": safe_next(request, request.GET.get("next", "")),
        "drawing": number(request.GET.get("box")),
    }
    # After a box was drawn for a question: the page waits for the photo, and leads back there.
    context["waiting"] = bool(request.GET.get("wait")) and bool(context["next"])
    return render(request, "identification/photo_detail.html", context)


_ASKED = (Action.DECIDE, Action.CURATE, Action.INGEST, Action.SEE_ORIGINAL)


class BoxForm(forms.Form):
    """A box in pixels of the upright photo."""

    x1 = forms.FloatField(min_value=0)
    y1 = forms.FloatField(min_value=0)
    x2 = forms.FloatField(min_value=0)
    y2 = forms.FloatField(min_value=0)

    def box(self) -> tuple[float, float, float, float]:
        said = self.cleaned_data
        return said["x1"], said["y1"], said["x2"], said["y2"]


class AnnotationForm(forms.Form):
    """One thing said of a box."""

    flank = forms.ChoiceField(choices=[*Flank.choices, (WITHDRAW, gettext_lazy("Not said"))], required=False)
    usable = forms.ChoiceField(choices=[("yes", "yes"), ("no", "no")], required=False)
    unusable_reason = forms.CharField(max_length=200, required=False)


@require_POST
def photo_draw(request: HttpRequest, image_id: int) -> HttpResponse:
    """Add a box by hand."""
    image = image_of(request, image_id, Action.CURATE)
    form = BoxForm(request.POST)
    if not form.is_valid():
        messages.error(request, gettext("Draw a box on the photo first: four numbers in pixels are needed."))
        return _back_to_drawing(request, image.pk)
    try:
        detection_draw(acting_user=account(request), image=image, box=form.box())
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, gettext("The box is drawn. The photo is processed again with it."))
        return _drawn(request, image.pk)
    return _back_to_drawing(request, image.pk)


@require_POST
def photo_retry(request: HttpRequest, image_id: int) -> HttpResponse:
    """Process one photo again."""
    image = image_of(request, image_id, Action.INGEST)
    work_requeue(images=[image], acting_user=account(request))
    messages.success(request, gettext("%(name)s is waiting to be processed again.") % {"name": image.name})
    return back(request, "photo-detail", image.pk)


@require_POST
def detection_redraw_view(request: HttpRequest, detection_id: int) -> HttpResponse:
    """Correct a box by hand."""
    detection = detection_of(request, detection_id, Action.CURATE)
    form = BoxForm(request.POST)
    if not form.is_valid():
        messages.error(request, gettext("Draw the new box on the photo first: four numbers in pixels are needed."))
        return _back_to_drawing(request, detection.image_id, detection.pk)
    try:
        detection_redraw(acting_user=account(request), detection=detection, box=form.box())
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, gettext("The box is corrected. The photo is processed again with it."))
        return _drawn(request, detection.image_id)
    return _back_to_drawing(request, detection.image_id, detection.pk)


def _drawn(request: HttpRequest, image_id: int) -> HttpResponse:
    """The photo's page; where the box was drawn for a question, it waits there for the photo and leads back."""
    wanted = safe_next(request, request.POST.get("next", ""))
    query = "?" + urlencode({"wait": 1, "next": wanted}) if wanted else ""
    return redirect(reverse("photo-detail", args=[image_id]) + query)


def _back_to_drawing(request: HttpRequest, image_id: int, box: int | None = None) -> HttpResponse:
    """The photo's page once more, with everything that it was opened with."""
    wanted = safe_next(request, request.POST.get("next", ""))
    said = ({"box": box} if box else {}) | {"next": wanted}
    query = "?" + urlencode(said) if wanted else ""
    return redirect(reverse("photo-detail", args=[image_id]) + query)


@require_POST
def detection_annotate_view(request: HttpRequest, detection_id: int) -> HttpResponse:
    """Say which flank a box shows, or whether it is of use."""
    detection = detection_of(request, detection_id, Action.DECIDE)
    form = AnnotationForm(request.POST)
    changes: dict[str, Any] = {}
    if form.is_valid():
        said = form.cleaned_data
        if said["flank"] == WITHDRAW:
            changes |= {"flank": Flank.UNKNOWN, "flank_said": False}
        elif said["flank"]:
            changes["flank"] = said["flank"]
        if said["usable"]:
            changes["usable"] = said["usable"] == "yes"
            changes["unusable_reason"] = "" if changes["usable"] else said["unusable_reason"] or Unusable.OTHER.value
    if not changes:
        messages.error(request, gettext("That is nothing that can be said of a photo. Nothing was changed."))
    else:
        try:
            asked = remark_asked(request)
            if asked:
                remark_record(user=account(request), detection=detection, **asked, **changes)
            else:
                detection_annotate(acting_user=account(request), detections=[detection], **changes)
        except SpotIDError as refused:
            messages.error(request, str(refused))
        else:
            _say_usable(request, detection, changes)
    return back(request, "photo-detail", detection.image_id)


def _say_usable(request: HttpRequest, detection: Detection, changes: dict[str, Any]) -> None:
    """What it means that a picture was set aside or restored, with the way back."""
    if changes.get("usable") is False:
        page = reverse("photo-detail", args=[detection.image_id]) + f"#box-{detection.pk}"
        said = gettext(
            "{name} is set aside as not usable: {reason}. "
            'What was decided of it stands. <a href="{page}">Restore it</a>'
        )
        reason = Unusable.words(changes["unusable_reason"])
        messages.success(request, format_html(said, name=detection.image.name, reason=reason, page=page))
    elif changes.get("usable") is True:
        messages.success(
            request, gettext("%(name)s is usable again, and is compared anew.") % {"name": detection.image.name}
        )


@require_POST
def detection_declare(request: HttpRequest, detection_id: int) -> HttpResponse:
    """Say that a box shows an animal of its own.

    From a question of a survey that checks answers nothing is told of who it is: the question may be a check, and the
    box may have an animal that its page keeps back.
    """
    detection = detection_of(request, detection_id, Action.DECIDE)
    try:
        individual = individual_declare(acting_user=account(request), detection=detection)
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return back(request, "photo-detail", detection.image_id)
    if request.POST.get("check") and checks_asked(detection.image.survey):
        messages.success(request, gettext("%(name)s counts as an animal of its own.") % {"name": detection.image.name})
    else:
        messages.success(
            request,
            gettext("%(individual)s stands for the animal on %(name)s.")
            % {"individual": individual, "name": detection.image.name},
        )
    return back(request, "photo-detail", detection.image_id)
