"""Calibrations of populations: how well probabilities hold, fitting anew and going back. For administrators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.decorators import display

from ..models import CalibrationRun, PairCalibration, Population
from ..selectors.calibration import active_calibration, labelled_candidates, latest_run
from ..sentences import stored_words
from ..services.calibration_queue import calibration_request
from .base import ReadOnlyAdmin, account, moving
from .curves import HEIGHT, WIDTH
from .filters import population_filter
from .work import STATE_LABELS

_TEMPLATES = "admin/identification/paircalibration"
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 34


@admin.register(PairCalibration)
class PairCalibrationAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("population", "fitted_by")
    list_display = ("version", "population", "in_use", "candidates", "error_shown", "created_at")
    list_filter = (population_filter("population"),)
    search_fields = ("version", "population__name")
    ordering = ("-id",)
    list_before_template = f"{_TEMPLATES}/before_list.html"

    def get_urls(self) -> list[Any]:
        site, name = self.admin_site, "identification_paircalibration"
        return [
            path("<int:pk>/fit/", site.admin_view(require_POST(self.fit)), name=f"{name}_fit"),
            path("<int:pk>/live/", site.admin_view(self.live), name=f"{name}_live"),
            path("<int:pk>/rollback/", site.admin_view(require_POST(self.rollback)), name=f"{name}_rollback"),
            *super().get_urls(),
        ]

    @display(description=_("In use"), boolean=True, ordering="active")
    def in_use(self, calibration: PairCalibration) -> bool:
        return calibration.active

    @display(description=_("Candidates"), ordering="pairs")
    def candidates(self, calibration: PairCalibration) -> int:
        return calibration.pairs

    @display(description=_("Calibration error"))
    def error_shown(self, calibration: PairCalibration) -> str:
        said = calibration.report.get("fitted", {}).get("ece")
        return "–" if said is None else f"{said:.3f}"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        populations = list(Population.objects.order_by("name"))
        wanted = request.GET.get("population", "")
        # All decided candidates of a population are read: of one at a time.
        shown = populations if len(populations) == 1 else [one for one in populations if str(one.pk) == wanted]
        states = [
            {
                "population": one,
                "labels": labelled_candidates(one),
                "active": active_calibration(one),
                "run": latest_run(one),
            }
            for one in shown
        ]
        others = [one for one in populations if one not in shown]
        return super().changelist_view(request, {**(extra_context or {}), "states": states, "others": others})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method != "GET" or not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request)
        calibration = rows.filter(pk=object_id).first() if object_id.isascii() and object_id.isdecimal() else None
        if calibration is None:
            raise Http404("There is no such calibration.")
        tables = [
            {**calibration.report[name], "title": title, "diagram": diagram(calibration.report[name]["bins"], title)}
            for name, title in (("fitted", "Fitted to the population"), ("shipped", "As shipped"))
            if name in calibration.report
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": calibration.version,
            "calibration": calibration,
            "tables": tables,
        }
        return TemplateResponse(request, f"{_TEMPLATES}/calibration.html", context)

    def fit(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._asked(
            request,
            pk,
            CalibrationRun.Kind.FIT,
            gettext("%(population)s is being calibrated. What comes of it is said here."),
        )

    def rollback(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._asked(
            request,
            pk,
            CalibrationRun.Kind.ROLLBACK,
            gettext("%(population)s goes back to the calibration before. What comes of it is said here."),
        )

    def _asked(self, request: HttpRequest, pk: int, kind: str, words: str) -> HttpResponse:
        """Leave it to a worker; the page says how far that is."""
        population = self._population(request, pk)

        def ask() -> str:
            calibration_request(population=population, acting_user=account(request), kind=kind)
            return words % {"population": population}

        self.told(request, ask)
        listing = reverse("admin:identification_paircalibration_changelist")
        return HttpResponseRedirect(f"{listing}?population={population.pk}")

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that moves."""
        run = latest_run(self._population(request, pk))
        if run is None:
            raise Http404("Nobody has asked for a calibration of this population.")
        return moving(TemplateResponse(request, f"{_TEMPLATES}/_run.html", {"run": run}), is_open=run.open)

    def _population(self, request: HttpRequest, pk: int) -> Population:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = Population.objects.filter(pk=pk).first()
        if found is None:
            raise Http404("There is no such population.")
        return found


@admin.register(CalibrationRun)
class CalibrationRunAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("population", "calibration__population", "requested_by")
    list_display = ("number", "population", "kind", "state_shown", "came_of_it", "requested_by", "created_at")
    list_display_links = ("number",)
    list_filter = (population_filter("population"),)
    search_fields = ("population__name", "sentence", "error")
    ordering = ("-id",)

    @display(description=_("Calibration run"), ordering="pk")
    def number(self, run: CalibrationRun) -> str:
        return gettext("Run %(number)s") % {"number": run.pk}

    @display(description=_("State"), ordering="state", label=STATE_LABELS)
    def state_shown(self, run: CalibrationRun) -> str:
        return run.get_state_display()

    @display(description=_("What came of it"))
    def came_of_it(self, run: CalibrationRun) -> str:
        return stored_words(run.error or run.sentence)[:200] or "–"


def diagram(bins: Sequence[dict[str, Any]], title: str) -> SafeString:
    """Reliability: what was said against what was right, on the diagonal where probabilities hold."""

    def place(said: float, right: float) -> tuple[float, float]:
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * said
        return round(x, 1), round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - right), 1)

    points = [place(row["probability"], row["right"]) for row in bins]
    grid = format_html_join(
        "",
        '<line x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (*(place(0, v)[0], place(1, v)[0]), place(0, v)[1], place(0, v)[1], _LEFT - 6, place(0, v)[1] + 4, f"{v:g}")
            for v in (0, 0.25, 0.5, 0.75, 1)
        ),
    )
    (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
    return format_html(
        '<svg class="spotid-curve" viewBox="0 0 {} {}" role="img" aria-label="{}: share of right candidates by what '
        'was said; the table below has the numbers">{}<line class="spotid-diagonal" x1="{}" y1="{}" x2="{}" '
        'y2="{}"/><polyline points="{}"/>{}'
        '<text x="{}" y="{}" text-anchor="end">said 1</text><text x="{}" y="{}">said 0</text></svg>',
        *(WIDTH, HEIGHT, title, grid, x1, y1, x2, y2),
        " ".join(f"{x},{y}" for x, y in points),
        format_html_join("", '<circle cx="{}" cy="{}" r="3"/>', points),
        *(WIDTH - _RIGHT, HEIGHT - 12, _LEFT, HEIGHT - 12),
    )
