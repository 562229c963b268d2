"""Clocks of cameras, corrected by a curator on the page of places and clocks."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from ..errors import SpotIDError
from ..models import Station
from ..permissions import Action
from ..presenting import photos_words
from ..selectors.clocks import offset_words
from ..services.clocks import camera_clock_set
from .access import account, survey_of


class ClockForm(forms.Form):
    """What is to be added to the clock of one camera. Whole seconds, with a sign."""

    station = forms.IntegerField(min_value=1)
    camera = forms.CharField(max_length=64, required=False, strip=False)
    offset_seconds = forms.IntegerField(min_value=-(2**31) + 1, max_value=2**31 - 1)
    note = forms.CharField(max_length=200, required=False)


@require_POST
def clock_set(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id, Action.CURATE)
    back = redirect(
        reverse("survey-stations", args=[survey.pk]) + ("?compare=1" if request.POST.get("compare") else "")
    )
    form = ClockForm(request.POST)
    if not form.is_valid():
        messages.error(request, gettext("An offset is a whole number of seconds, such as -3600. Nothing was changed."))
        return back
    said = form.cleaned_data
    station = get_object_or_404(Station.objects.select_related("survey"), pk=said["station"], survey=survey)
    try:
        moved = camera_clock_set(
            acting_user=account(request),
            station=station,
            camera=said["camera"],
            offset_seconds=said["offset_seconds"],
            note=said["note"],
        )
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return back
    where = f"{station.label} {said['camera']}".strip()
    offset, photos = offset_words(said["offset_seconds"]), photos_words(moved)
    messages.success(
        request,
        gettext("Offset of %(where)s: %(offset)s. The times of %(photos)s moved; events and groups follow.")
        % {"where": where, "offset": offset, "photos": photos},
    )
    return back
