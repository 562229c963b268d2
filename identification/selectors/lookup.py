"""Finding things by what people call them."""

from __future__ import annotations

from ..errors import SpotIDError
from ..models import Population, Survey


def survey_by_name(name: str) -> Survey:
    """Raises SpotIDError that lists the surveys there are."""
    survey = Survey.objects.select_related("population").filter(name__iexact=name.strip()).first()
    if survey is not None:
        return survey
    names = list(Survey.objects.order_by("name").values_list("name", flat=True)[:20])
    there = f"There are: {', '.join(names)}." if names else "There is none yet; `ingest` makes one."
    raise SpotIDError(f"There is no survey named {name!r}. {there}")


def population_by_name(name: str) -> Population:
    """Raises SpotIDError that lists the populations there are."""
    population = Population.objects.filter(name__iexact=name.strip()).first()
    if population is not None:
        return population
    names = list(Population.objects.order_by("name").values_list("name", flat=True)[:20])
    there = f"There are: {', '.join(names)}." if names else "There is none yet; `ingest` makes one."
    raise SpotIDError(f"There is no population named {name!r}. {there}")
