"""Stations: on a coarse grid, exactly for those who were granted places; when cameras worked, and how clocks go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from .. import permissions
from ..matching.operation import Operation as CameraWorked
from ..models import CameraOperation, Station, Survey
from ..permissions import Action
from ..presenting import PLACE_GRIDS, PRINT_HEIGHTS, grid_cell
from ..selectors.clocks import station_clocks
from ..services.camera_operation import operations_forget, operations_set
from ..services.catalogue import station_update
from ..services.clocks import camera_clock_set
from ..services.places import PlacesPolicy, places_choose, stations_reveal
from ..services.station_table import StationRow, stations_place
from ..views.access import survey_of
from .base import ApiView, operation
from .finding import administrator
from .paging import Page, PageQuery, by_id
from .shapes import StationRef, id_field


class StationOut(s.Serializer):
    id = s.IntegerField(source="pk")
    code = s.CharField(source="label")
    cell = s.SerializerMethodField(
        help_text="Of the survey's grid (`place_grid` in its settings); null where the place is not known."
    )

    @extend_schema_field(s.CharField(allow_null=True))
    def get_cell(self, row: Station) -> str | None:
        if row.latitude is None or row.longitude is None:
            return None
        return grid_cell(row.latitude, row.longitude, row.survey.place_grid)


class StationPlace(s.Serializer):
    id = s.IntegerField(source="pk")
    code = s.CharField()
    latitude = s.FloatField(allow_null=True)
    longitude = s.FloatField(allow_null=True)


class PlaceIn(s.Serializer):
    code = s.CharField(max_length=200)
    latitude = s.FloatField(min_value=-90, max_value=90)
    longitude = s.FloatField(min_value=-180, max_value=180)


class PlacesIn(s.Serializer):
    stations = s.ListField(child=PlaceIn(), min_length=1, max_length=5000)

    def validate_stations(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len({row["code"] for row in rows}) != len(rows):
            raise ValidationError("One station is named twice.")
        return rows


class PlacesOut(s.Serializer):
    known = s.IntegerField()
    made = s.IntegerField()


class Stations(ApiView):
    @operation("Stations, on a coarse grid", out=StationOut, paged=True, query=PageQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        return by_id(survey_of(request, survey_id).stations.all(), self.asked())


class Places(ApiView):
    @operation("Exact places of stations", out=StationPlace, many=True, keyed=False)
    def post(self, request: Any, survey_id: int) -> list[Station]:
        """For those who were granted places. It changes nothing, but is written to the audit log: so it is no GET."""
        survey = survey_of(request, survey_id, Action.SEE_PLACES)
        return stations_reveal(acting_user=self.user, survey=survey)

    @operation("Set places of stations", out=PlacesOut, body=PlacesIn)
    def put(self, request: Any, survey_id: int) -> dict[str, int]:
        """All or none, by their code; those that are not there are made. For those who were granted places."""
        survey = survey_of(request, survey_id, Action.SEE_PLACES)
        rows = [StationRow(**row) for row in self.said()["stations"]]
        known, made = stations_place(survey=survey, acting_user=self.user, rows=rows)
        return {"known": known, "made": made}


class PlacesShownOut(s.Serializer):
    grid = s.FloatField(source="place_grid", help_text="Width of a cell in degrees.")
    hide_stations = s.BooleanField(help_text="Names of stations and photo files are hidden, too.")
    print_top = s.FloatField(
        help_text="Height of the strip at the top of photos that is covered because cameras print there, as a share."
    )
    print_bottom = s.FloatField(help_text="The same at the bottom.")


class PlacesShownIn(s.Serializer):
    grid = s.FloatField(min_value=0, max_value=1, required=False, help_text=", ".join(map(str, PLACE_GRIDS)))
    hide_stations = s.BooleanField(required=False)
    print_top = s.FloatField(min_value=0, max_value=0.3, required=False, help_text=", ".join(map(str, PRINT_HEIGHTS)))
    print_bottom = s.FloatField(min_value=0, max_value=0.3, required=False, help_text="As print_top.")


class PlacesShown(ApiView):
    @operation("What those see of places who may not see them", out=PlacesShownOut)
    def get(self, request: Any, survey_id: int) -> Survey:
        return survey_of(request, survey_id, Action.CHOOSE_PLACES)

    @operation("Choose what they see", out=PlacesShownOut, body=PlacesShownIn, matched=True)
    def patch(self, request: Any, survey_id: int) -> Survey:
        """For administrators of the survey. Written to the audit log."""
        survey = survey_of(request, survey_id, Action.CHOOSE_PLACES)
        said = self.said()
        with transaction.atomic():
            held = Survey.objects.select_for_update(no_key=True).get(pk=survey.pk)
            self.match(PlacesShownOut, held)
            shown = replace(PlacesPolicy.of(held), **said)
            places_choose(acting_user=self.user, survey=held, shown=shown)
        return Survey.objects.get(pk=survey.pk)


class ClockOut(s.Serializer):
    camera = s.CharField(allow_blank=True)
    photos = s.IntegerField()
    suspect = s.IntegerField(help_text="Photos whose clock was probably not set.")
    first = s.DateTimeField(allow_null=True)
    last = s.DateTimeField(allow_null=True)
    offset = s.IntegerField(help_text="Seconds that are added to what the clock said.")
    by_person = s.BooleanField()
    note = s.CharField(allow_blank=True)


class RemedyOut(s.Serializer):
    camera = s.CharField()
    offset = s.IntegerField()
    likelier = s.BooleanField()


class ComparisonOut(s.Serializer):
    first = s.CharField()
    second = s.CharField()
    words = s.CharField()
    remedies = RemedyOut(many=True)


class StationClocksOut(s.Serializer):
    station = StationRef()
    cameras = ClockOut(many=True)
    comparisons = ComparisonOut(many=True)


class ClockQuery(s.Serializer):
    compare = s.BooleanField(default=False, help_text="Compare the clocks of each station, for curators.")


class ClockIn(s.Serializer):
    station = id_field()
    camera = s.CharField(max_length=64, allow_blank=True, default="", trim_whitespace=False)
    offset_seconds = s.IntegerField(min_value=-(2**31) + 1, max_value=2**31 - 1)
    note = s.CharField(max_length=200, allow_blank=True, default="")


class ClockMoved(s.Serializer):
    photos = s.IntegerField(help_text="Photos whose times moved.")


class Clocks(ApiView):
    @operation("Clocks of the cameras", out=StationClocksOut, many=True, query=ClockQuery)
    def get(self, request: Any, survey_id: int) -> Any:
        compare = self.asked()["compare"]
        survey = survey_of(request, survey_id, Action.CURATE if compare else Action.SEE)
        return station_clocks(survey, user=self.user, compare=compare)

    @operation("Say how a clock goes", out=ClockMoved, body=ClockIn)
    def post(self, request: Any, survey_id: int) -> dict[str, int]:
        """The times of its photos move; events and groups follow."""
        survey = survey_of(request, survey_id, Action.CURATE)
        said = self.said()
        rows = Station.objects.select_related("survey")
        station = get_object_or_404(rows, pk=said.pop("station"), survey=survey)
        return {"photos": camera_clock_set(acting_user=self.user, station=station, **said)}


@extend_schema_field({"type": "string", "minLength": 10, "maxLength": 19})
class MomentField(s.Field):
    """A day (`2026-03-01`) or an instant of it (`2026-03-01T17:30`) by the survey's clock."""

    def to_internal_value(self, data: Any) -> date:
        try:
            if not isinstance(data, str) or not 10 <= len(data) <= 19:
                raise ValueError
            moment = date.fromisoformat(data) if len(data) == 10 else datetime.fromisoformat(data)
        except ValueError:
            raise ValidationError("Write a day as 2026-03-01, an instant as 2026-03-01T17:30.") from None
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            raise ValidationError("Times are by the survey's clock, without a zone.")
        return moment


class ProblemSpan(s.Serializer):
    since = MomentField()
    until = MomentField()


class OperationIn(s.Serializer):
    station = s.CharField(max_length=200, help_text="Its code.")
    camera = s.CharField(max_length=64, allow_blank=True, default="")
    set_up = MomentField()
    retrieved = MomentField(required=False, allow_null=True)
    problems = s.ListField(child=ProblemSpan(), max_length=200, default=list)


class OperationsIn(s.Serializer):
    operations = s.ListField(child=OperationIn(), min_length=1, max_length=5000)


class OperationOut(s.Serializer):
    id = s.IntegerField(source="pk")
    station = StationRef()
    camera = s.CharField(allow_blank=True)
    set_up = s.DateField()
    set_up_time = s.TimeField(allow_null=True)
    retrieved = s.DateField(allow_null=True)
    retrieved_time = s.TimeField(allow_null=True)
    problems = s.ListField(child=s.ListField(child=s.CharField(), min_length=2, max_length=2))


class OperationsDone(s.Serializer):
    written = s.IntegerField()
    same = s.IntegerField()
    removed = s.IntegerField()
    stations = s.ListField(child=s.CharField(), help_text="Codes of stations that were made.")


@dataclass(frozen=True)
class _Said:
    station: str
    worked: CameraWorked

    @classmethod
    def of(cls, row: dict[str, Any]) -> _Said:
        problems = tuple((one["since"], one["until"]) for one in row["problems"])
        return cls(row["station"], CameraWorked(row["set_up"], row.get("retrieved"), problems, row["camera"]))


class Operations(ApiView):
    @operation("When cameras worked", out=OperationOut, paged=True, query=PageQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        survey = survey_of(request, survey_id)
        return by_id(CameraOperation.objects.filter(station__survey=survey).select_related("station"), self.asked())

    @operation("Say when cameras worked", out=OperationsDone, body=OperationsIn)
    def put(self, request: Any, survey_id: int) -> Any:
        """What is said of a station replaces all that was known of it; others stay. Stations are made by their code."""
        survey = survey_of(request, survey_id, Action.INGEST)
        rows = [_Said.of(row) for row in self.said()["operations"]]
        return operations_set(survey=survey, acting_user=self.user, rows=[(row.station, row.worked) for row in rows])


class StationIn(s.Serializer):
    code = s.CharField(max_length=200)


class _OfStation(ApiView):
    def station(self, station_id: int) -> Station:
        visible = Station.objects.filter(survey__in=permissions.surveys_for(self.user)).select_related("survey")
        return get_object_or_404(visible, pk=station_id)


class OneStation(_OfStation):
    @operation("One station, on a coarse grid", out=StationOut)
    def get(self, request: Any, station_id: int) -> Station:
        return self.station(station_id)

    @operation("Correct the code of a station", out=StationOut, body=StationIn, matched=True)
    def patch(self, request: Any, station_id: int) -> Station:
        """For administrators."""
        station = self.station(station_id)
        administrator(self.user)
        said = self.said()
        with transaction.atomic():
            locked = Station.objects.select_for_update(of=("self",), no_key=True).select_related("survey")
            station = locked.get(pk=station.pk)
            self.match(StationOut, station)
            station_update(acting_user=self.user, station=station, **said)
        return station


class StationOperations(_OfStation):
    @operation("Forget when the cameras of a station worked")
    def delete(self, request: Any, station_id: int) -> None:
        station = self.station(station_id)
        permissions.require(self.user, Action.INGEST, station.survey)
        operations_forget(survey=station.survey, acting_user=self.user, station=station)
