"""A survey in figures, as data."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as s

from ..selectors.figures import survey_figures
from ..views.access import survey_of
from .base import ApiView, operation
from .shapes import StationRef


class ActivityOut(s.Serializer):
    """hourly: events in each hour of the day. density: [minute of the day, density per hour]; empty for few events."""

    events = s.IntegerField()
    hourly = s.ListField(child=s.IntegerField())
    density = s.ListField(child=s.ListField(child=s.FloatField()))
    peak = s.IntegerField(allow_null=True, help_text="Minute of the day.")


class ShownOut(s.Serializer):
    label = s.CharField()
    animal = s.BooleanField()
    photos = s.IntegerField()
    events = s.IntegerField(allow_null=True)
    activity = ActivityOut(allow_null=True)


class GapOut(s.Serializer):
    first = s.DateField()
    last = s.DateField()


class DayOut(s.Serializer):
    day = s.DateField()
    photos = s.IntegerField()


class StationDaysOut(s.Serializer):
    """nights: station-nights of effort; effort: camera days where operation is known."""

    station = StationRef()
    photos = s.IntegerField()
    nights = s.IntegerField()
    effort = s.FloatField(allow_null=True)
    days = s.SerializerMethodField()
    gaps = GapOut(many=True)

    @extend_schema_field(DayOut(many=True))
    def get_days(self, row: Any) -> list[dict[str, Any]]:
        return [{"day": day.isoformat(), "photos": number} for day, number in sorted(row.days.items())]


class AccumulationOut(s.Serializer):
    """[station-nights, individuals] in the order of time, and as expected in random order."""

    observed = s.ListField(child=s.ListField(child=s.IntegerField()))
    expected = s.ListField(child=s.ListField(child=s.FloatField()))
    once = s.IntegerField()
    individuals = s.IntegerField()
    nights = s.IntegerField()


class FiguresOut(s.Serializer):
    photos = s.IntegerField()
    unplaced = s.IntegerField(help_text="Photos without station or time.")
    suspect = s.IntegerField(help_text="Photos of a clock that was probably not set.")
    unplaced_individuals = s.IntegerField()
    shown = ShownOut(many=True)
    all_animals = ActivityOut(allow_null=True)
    stations = StationDaysOut(many=True)
    accumulation = AccumulationOut()


class Figures(ApiView):
    @operation("What photos show, activity, effort, and individuals over effort", out=FiguresOut)
    def get(self, request: Any, survey_id: int) -> Any:
        """Times are by the survey's clock."""
        return survey_figures(user=self.user, survey=survey_of(request, survey_id))
