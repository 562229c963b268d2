"""Photos of a survey, one photo, and what people say of the boxes on it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..errors import SpotIDError
from ..models import Flank
from ..permissions import Action
from ..selectors.photos import boxes_of, neighbours_of, photo_filters, photos_of
from ..services.annotation import detection_annotate, detection_draw, detection_redraw
from ..services.individuals import individual_declare
from ..services.queue import work_requeue
from .access import account, back, detection_of, image_of, number, survey_of

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
    photos = photos_of(user=user, survey=survey, chosen=chosen, station=station)
    page = Paginator(photos, PHOTOS_PER_PAGE).get_page(request.GET.get("page"))
    context = {"survey": survey, "page": page, "filters": filters, "chosen": chosen, "station": station}
    context["stations"] = list(survey.stations.order_by("code"))
    context["query"] = f"show={chosen}" + (f"&station={station}" if station else "")
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
    }
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

    flank = forms.ChoiceField(choices=[*Flank.choices, (WITHDRAW, "Not said")], required=False)
    usable = forms.ChoiceField(choices=[("yes", "yes"), ("no", "no")], required=False)
    unusable_reason = forms.CharField(max_length=200, required=False)


@require_POST
def photo_draw(request: HttpRequest, image_id: int) -> HttpResponse:
    """Add a box by hand."""
    image = image_of(request, image_id, Action.CURATE)
    form = BoxForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Draw a box on the photo first: four numbers in pixels are needed.")
        return redirect("photo-detail", image.pk)
    try:
        detection_draw(acting_user=account(request), image=image, box=form.box())
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "The box is drawn. The photo is processed again with it.")
    return redirect("photo-detail", image.pk)


@require_POST
def photo_retry(request: HttpRequest, image_id: int) -> HttpResponse:
    """Process one photo again."""
    image = image_of(request, image_id, Action.INGEST)
    work_requeue(images=[image], acting_user=account(request))
    messages.success(request, f"{image.name} is waiting to be processed again.")
    return back(request, "photo-detail", image.pk)


@require_POST
def detection_redraw_view(request: HttpRequest, detection_id: int) -> HttpResponse:
    """Correct a box by hand."""
    detection = detection_of(request, detection_id, Action.CURATE)
    form = BoxForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Draw the new box on the photo first: four numbers in pixels are needed.")
        return redirect("photo-detail", detection.image_id)
    try:
        detection_redraw(acting_user=account(request), detection=detection, box=form.box())
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "The box is corrected. The photo is processed again with it.")
    return redirect("photo-detail", detection.image_id)


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
            changes["unusable_reason"] = "" if said["usable"] == "yes" else said["unusable_reason"]
    if not changes:
        messages.error(request, "That is nothing that can be said of a photo. Nothing was changed.")
    else:
        try:
            detection_annotate(acting_user=account(request), detections=[detection], **changes)
        except SpotIDError as refused:
            messages.error(request, str(refused))
    return back(request, "photo-detail", detection.image_id)


@require_POST
def detection_declare(request: HttpRequest, detection_id: int) -> HttpResponse:
    """Say that a box shows an animal of its own."""
    detection = detection_of(request, detection_id, Action.DECIDE)
    try:
        individual = individual_declare(acting_user=account(request), detection=detection)
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"{individual} stands for the animal on {detection.image.name}.")
    return back(request, "photo-detail", detection.image_id)
