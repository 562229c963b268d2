"""Exact places are shown on request, and the request is written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import Individual, Station, Survey, User
from ..presenting import PLACE_GRIDS, PRINT_HEIGHTS
from ..selectors.captures import Captures, captures_read
from .audit import audit_record


@transaction.atomic
def stations_reveal(*, acting_user: User, survey: Survey) -> list[Station]:
    """The survey's stations for somebody who may see exact coordinates; leaves an audit row."""
    audit_record(acting_user=acting_user, action="stations.reveal", target=survey, survey=survey)
    return list(survey.stations.order_by("code"))


@transaction.atomic
def captures_reveal(*, acting_user: User, individual: Individual) -> Captures:
    """Where an animal was seen, in the surveys whose places the account may know; leaves an audit row for each."""
    captures = captures_read(user=acting_user, individual=individual)
    for survey in captures.surveys:
        audit_record(
            acting_user=acting_user,
            action="stations.reveal",
            target=survey,
            survey=survey,
            after={"individual": individual.code},
        )
    return captures


@dataclass(frozen=True)
class PlacesPolicy:
    """What is shown of a survey's places to those who may not see them.

    grid: width of a cell in degrees. hide_stations: names of stations and files are hidden. print_top, print_bottom:
    heights of the strips at the edges of photos, on which the cameras print, in fractions of the photo's height.
    """

    grid: float
    hide_stations: bool
    print_top: float = 0.0
    print_bottom: float = 0.0

    @classmethod
    def of(cls, survey: Survey) -> PlacesPolicy:
        return cls(survey.place_grid, survey.hide_stations, survey.print_top, survey.print_bottom)


@transaction.atomic
def places_choose(*, acting_user: User, survey: Survey, shown: PlacesPolicy) -> None:
    """Say what those see of a survey's places who may not see them. Raises SpotIDError for widths and heights that are
    not offered."""
    if shown.grid not in PLACE_GRIDS:
        raise SpotIDError(gettext("Choose one of the widths. Nothing was changed."))
    if not {shown.print_top, shown.print_bottom} <= set(PRINT_HEIGHTS):
        raise SpotIDError(gettext("Choose one of the heights. Nothing was changed."))
    held = Survey.objects.select_for_update(no_key=True).get(pk=survey.pk)
    before, after = asdict(PlacesPolicy.of(held)), asdict(shown)
    if before == after:
        return
    held.place_grid, held.hide_stations = shown.grid, shown.hide_stations
    held.print_top, held.print_bottom = shown.print_top, shown.print_bottom
    held.save(update_fields=["place_grid", "hide_stations", "print_top", "print_bottom"])
    audit_record(acting_user=acting_user, action="survey.places", target=held, survey=held, before=before, after=after)
