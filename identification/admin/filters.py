"""Filters that offer only what the account may see."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext
from unfold.contrib.filters.admin import DropdownFilter

from ..models import Station
from ..permissions import populations_for, surveys_for, surveys_nameless
from .base import account


def _number(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19 else None


def survey_filter(*paths: str) -> type[DropdownFilter]:
    """A filter on the survey at a path of lookups; several paths: any of them."""

    class SurveyFilter(DropdownFilter):
        title = "survey"
        parameter_name = "survey"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(str(survey.pk), survey.name) for survey in surveys_for(account(request)).order_by("name")]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            chosen = _number(self.value())
            if chosen is None:
                return queryset
            found = queryset.filter(**{paths[0]: chosen})
            for path in paths[1:]:
                found = found | queryset.filter(**{path: chosen})
            return found

    return SurveyFilter


def population_filter(path: str) -> type[DropdownFilter]:
    class PopulationFilter(DropdownFilter):
        title = "population"
        parameter_name = "population"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(str(one.pk), one.name) for one in populations_for(account(request)).order_by("name")]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            chosen = _number(self.value())
            return queryset if chosen is None else queryset.filter(**{path: chosen})

    return PopulationFilter


def station_filter(path: str) -> type[DropdownFilter]:
    """Stations of the survey that is chosen, or of all that the account sees."""

    class StationFilter(DropdownFilter):
        title = "station"
        parameter_name = "station"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            own = surveys_for(account(request)).exclude(pk__in=surveys_nameless(account(request)))
            stations = Station.objects.filter(survey__in=own).select_related("survey")
            survey = _number(request.GET.get("survey"))
            if survey is not None:
                stations = stations.filter(survey=survey)
            return [
                (str(one.pk), one.code if survey else f"{one.survey} · {one.code}")
                for one in stations.order_by("survey__name", "code")[:500]
            ]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            chosen = _number(self.value())
            return queryset if chosen is None else queryset.filter(**{path: chosen})

    return StationFilter


def yes_no_filter(name: str, words: str | Promise, yes: Q, no: Q | None = None) -> type[DropdownFilter]:
    """A filter on something that is so or is not."""

    class YesNoFilter(DropdownFilter):
        title = words
        parameter_name = name

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [("yes", gettext("Yes")), ("no", gettext("No"))]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            if self.value() == "yes":
                return queryset.filter(yes)
            if self.value() == "no":
                return queryset.filter(~yes if no is None else no)
            return queryset

    return YesNoFilter
