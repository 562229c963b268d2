"""Calibrations of a population: how well its probabilities hold, fitting them anew, going back. For administrators."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from rest_framework import serializers as s

from ..models import CalibrationRun, PairCalibration, Population
from ..selectors.calibration import active_calibration, labelled_candidates
from ..sentences import stored_words
from ..services.calibration_queue import calibration_request
from .base import ApiView, operation
from .finding import administrator, population_of
from .paging import Page, PageQuery, by_id
from .shapes import AccountRef


class CalibrationIn(s.Serializer):
    kind = s.ChoiceField(choices=["fit", "rollback"], default="fit")


class CalibrationOut(s.Serializer):
    """One that was asked for. calibration: what it made, if it made one; words: what came of it."""

    id = s.IntegerField(source="pk")
    kind = s.CharField()
    state = s.CharField()
    calibration = s.IntegerField(source="calibration_id", allow_null=True)
    words = s.SerializerMethodField()
    requested_by = AccountRef(allow_null=True)
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)

    def get_words(self, row: CalibrationRun) -> str:
        return stored_words(row.error or row.sentence)


class FittedOut(s.Serializer):
    """report: reliability on individuals that were held out, of this one (`fitted`) and of the one that ships."""

    id = s.IntegerField(source="pk")
    population = s.IntegerField(source="population_id")
    version = s.CharField()
    pairs = s.IntegerField()
    right = s.IntegerField()
    in_use = s.BooleanField(source="active")
    report = s.DictField()
    decided_until = s.DateTimeField(allow_null=True, help_text="What was decided later is not in it. null: not kept.")
    created_at = s.DateTimeField()


class DecidedOut(s.Serializer):
    """What people have decided, as far as a calibration can learn from it."""

    right = s.IntegerField()
    wrong = s.IntegerField()
    individuals = s.IntegerField()
    enough = s.BooleanField()
    words = s.CharField(source="said")


class StandingOut(s.Serializer):
    decided = DecidedOut()
    in_use = FittedOut(allow_null=True, help_text="null: the one that ships.")


class _OfPopulation(ApiView):
    def population(self, population_id: int) -> Population:
        found = population_of(self.user, population_id)
        administrator(self.user)
        return found


class Calibrations(_OfPopulation):
    @operation("Calibrations that were asked for", out=CalibrationOut, paged=True, query=PageQuery)
    def get(self, request: Any, population_id: int) -> Page:
        rows = CalibrationRun.objects.filter(population=self.population(population_id)).select_related("requested_by")
        return by_id(rows, self.asked(), newest=True)

    @operation("Fit the probabilities anew, or go back", out=CalibrationOut, body=CalibrationIn, status=202)
    def post(self, request: Any, population_id: int) -> Any:
        """For administrators. A worker does it."""
        population = self.population(population_id)
        return calibration_request(population=population, acting_user=self.user, kind=self.said()["kind"])


class Standing(_OfPopulation):
    @operation("The calibration in use, and what could be learnt from", out=StandingOut)
    def get(self, request: Any, population_id: int) -> dict[str, Any]:
        """It reads all decided pairs of the population: ask it seldom."""
        population = self.population(population_id)
        return {"decided": labelled_candidates(population), "in_use": active_calibration(population)}


class OneCalibration(ApiView):
    @operation("One calibration, with how well it holds", out=FittedOut)
    def get(self, request: Any, calibration_id: int) -> PairCalibration:
        administrator(self.user)
        return get_object_or_404(PairCalibration, pk=calibration_id)
