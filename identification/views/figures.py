"""A survey in figures: what its photos show, activity, stations by day, individuals over effort."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from ..selectors.figures import survey_figures
from . import plots
from .access import account, survey_of


@require_safe
def survey_figures_page(request: HttpRequest, survey_id: int) -> HttpResponse:
    survey = survey_of(request, survey_id)
    figures = survey_figures(user=account(request), survey=survey)
    bars, scale = plots.frequency(figures.shown, figures.photos)
    days = plots.day_plots(figures)
    context = {
        "survey": survey,
        "figures": figures,
        "bars": bars,
        "scale": scale,
        "days": days,
        "drawn": days[: plots.SPECIES_DRAWN],
        "hours": plots.HOURS,
        "hours_all": range(24),
        "strips": plots.strips(figures),
        "shades": plots.SHADES,
        "found": plots.accumulation_plot(figures.accumulation),
    }
    return render(request, "identification/survey_figures.html", context)
