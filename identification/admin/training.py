"""Retraining: asking for it, watching it, and what came of it. For administrators."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from .. import permissions
from ..errors import SpotIDError
from ..models import EmbeddingModel, Population, TrainingRun
from ..presenting import span_words
from ..selectors.health import health_read
from ..selectors.training import training_age, training_progress
from ..services.training import training_cancel, training_plan, training_request, training_resume
from .base import LabelColours, ReadOnlyAdmin, account, moving
from .curves import curve
from .filters import population_filter
from .training_form import TrainingForm, as_toml

_TEMPLATES = "admin/identification/trainingrun"
_PARTS = (("train", "Learned from"), ("validation", "Best epoch chosen on"), ("test", "Measured on"))
_FIGURES = (("dt5ap", "DT5AP"), ("t1", "T1RMD"), ("map", "mAP"), ("auroc", "AUROC of new animals"))


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("population", "candidate", "requested_by")
    list_display = ("number", "population", "state_shown", "progress_shown", "advice", "candidate", "created_at")
    list_display_links = ("number",)
    list_filter = (population_filter("population"), ("state", ChoicesDropdownFilter))
    search_fields = ("population__name", "candidate__name")
    ordering = ("-id",)
    list_before_template = f"{_TEMPLATES}/before_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.is_administrator(account(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without what only a run's own page shows: curves and tables are long."""
        said = KeyTextTransform("advice", "outcome")
        return super().get_queryset(request).annotate(advised=said).defer("outcome", "history", "config", "warnings")

    def get_urls(self) -> list[Any]:
        site, name = self.admin_site, "identification_trainingrun"
        return [
            path("<int:run_id>/live/", site.admin_view(self.live), name=f"{name}_live"),
            path("<int:run_id>/cancel/", site.admin_view(require_POST(self.cancel)), name=f"{name}_cancel"),
            path("<int:run_id>/resume/", site.admin_view(require_POST(self.resume)), name=f"{name}_resume"),
            path("<int:run_id>/report/", site.admin_view(self.report), name=f"{name}_report"),
            *super().get_urls(),
        ]

    @display(description=_("Training"), ordering="pk")
    def number(self, run: TrainingRun) -> str:
        return gettext("Training %(number)s") % {"number": run.pk}

    @display(
        description=_("State"),
        ordering="state",
        label=LabelColours({"Done": "success", "Failed": "danger", "Training": "info", "Waiting": "warning"}),
    )
    def state_shown(self, run: TrainingRun) -> str:
        return run.get_state_display()

    @display(description=_("Epoch"))
    def progress_shown(self, run: TrainingRun) -> str:
        return f"{run.epoch} of {run.epochs}" if run.epochs else "–"

    @display(description=_("Advice"))
    def advice(self, run: Any) -> str:
        return run.advised or "–"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Choose a population, see what there is to learn from, and start."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        populations = list(Population.objects.order_by("name"))
        wanted = request.GET.get("population", "")
        chosen = next((one for one in populations if str(one.pk) == wanted), None)
        if chosen is None and len(populations) == 1:
            chosen = populations[0]
        if chosen is None:
            return self._page(request, "choose", title=gettext("Retrain"), populations=populations)
        form = TrainingForm(request.POST if request.method == "POST" else None, initial=_like(request, chosen))
        if request.method == "POST" and form.is_valid():
            try:
                run = training_request(
                    population=chosen,
                    start_model=form.cleaned_data["start_model"],
                    config=form.config,
                    acting_user=account(request),
                )
            except SpotIDError as refused:
                form.add_error(None, str(refused))
            else:
                messages.success(
                    request, gettext("Training %(id)s begins as soon as the training worker is free.") % {"id": run.pk}
                )
                return HttpResponseRedirect(_address("change", run))
        plan = training_plan(population=chosen, start_model=_start_of(form), config={})
        open_run = TrainingRun.objects.filter(state__in=TrainingRun.OPEN).first()
        title = f"Retrain on {chosen.name}"
        return self._page(
            request,
            "start",
            title=title,
            form=form,
            plan=plan,
            population=chosen,
            others=len(populations) > 1,
            open_run=open_run,
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method != "GET":
            raise PermissionDenied
        run = self._run(request, object_id)
        return self._page(request, "progress", title=f"Training {run.pk}", **self._shown(run))

    def live(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """The part of the page that moves."""
        shown = self._shown(self._run(request, run_id))
        return moving(TemplateResponse(request, f"{_TEMPLATES}/_live.html", shown), is_open=shown["now"]["open"])

    def cancel(self, request: HttpRequest, run_id: int) -> HttpResponse:
        return self._acted(request, run_id, training_cancel, gettext("The training ends after its present step."))

    def resume(self, request: HttpRequest, run_id: int) -> HttpResponse:
        return self._acted(request, run_id, training_resume, gettext("The training goes on from its checkpoint."))

    def report(self, request: HttpRequest, run_id: int) -> HttpResponseBase:
        """The evaluation as a page of its own, without any right: it is a file and no part of this site."""
        run = self._run(request, run_id)
        home = Path(settings.SPOTID_HOME).resolve()
        file = (home / str(run.outcome.get("report", ""))).resolve()
        if not file.is_relative_to(home / "training") or not file.is_file():
            raise Http404("There is no report of this training.")
        response = FileResponse(file.open("rb"), content_type="text/html; charset=utf-8")
        response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
        response["Cache-Control"] = "private, no-store"
        return response

    def _acted(
        self, request: HttpRequest, run_id: int, act: Callable[..., TrainingRun], said: str
    ) -> HttpResponseRedirect:
        run = self._run(request, run_id)
        try:
            act(run=run, acting_user=account(request))
        except SpotIDError as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, said)
        return HttpResponseRedirect(_address("change", run))

    def _run(self, request: HttpRequest, run_id: Any) -> TrainingRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        runs = TrainingRun.objects.select_related("population", "candidate", "start_model", "requested_by")
        run = runs.filter(pk=run_id).first() if str(run_id).isdecimal() else None
        if run is None:
            raise Http404("There is no such training.")
        return run

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        shown = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"{_TEMPLATES}/{name}.html", shown)

    def _shown(self, run: TrainingRun) -> dict[str, Any]:
        now, age = training_progress(run), training_age(run)
        left = now["seconds_left"]
        return {
            "run": run,
            "now": now,
            "left": "" if left is None else span_words(timedelta(seconds=left)),
            "age": "" if age is None else span_words(timedelta(seconds=age)),
            "loss": curve(now["history"], "loss", title=gettext("Loss"), epochs=run.epochs),
            "dt5ap": curve(
                now["history"], "dtkap", title=gettext("DT5AP on the validation animals"), epochs=run.epochs, top=1.0
            ),
            "figures": _figures(run),
            "titles": [title for _, title in _FIGURES],
            "parts": [
                (title, run.outcome["parts"][part]) for part, title in _PARTS if part in run.outcome.get("parts", {})
            ],
            "toml": as_toml(run.config),
            "may_cancel": run.state in TrainingRun.OPEN and not run.cancel_requested,
            "may_resume": run.state in (TrainingRun.State.CANCELLED, TrainingRun.State.FAILED),
            "nobody": _nobody(run),
        }


def _nobody(run: TrainingRun) -> str:
    """Why nobody takes a run that waits; empty when somebody will."""
    if run.state != TrainingRun.State.PENDING:
        return ""
    if not settings.SPOTID_TRAINING:
        return gettext(
            "Workers of this machine do not train (SPOTID_TRAINING=0): one on another machine has to take it."
        )
    if health_read().worker != "alive":
        return gettext("No worker answers. Start one: python3 spotid.py up")
    return ""


def _start_of(form: TrainingForm) -> EmbeddingModel | None:
    said = getattr(form, "cleaned_data", {}).get("start_model")
    return said if isinstance(said, EmbeddingModel) else None


def _like(request: HttpRequest, population: Population) -> dict[str, Any]:
    """What the form begins with: the settings of the training that is to be done anew, if one is named."""
    number = request.GET.get("like", "")
    runs = TrainingRun.objects.filter(population=population)
    run = runs.filter(pk=number).first() if number.isascii() and number.isdecimal() else None
    return {} if run is None else {"toml": as_toml(run.config), "start_model": run.start_model_id}


def _address(view: str, run: TrainingRun) -> str:
    return reverse(f"admin:identification_trainingrun_{view}", args=[run.pk])


def _figures(run: TrainingRun) -> list[dict[str, Any]]:
    """Per scorer of the outcome: its name and its figures in the strictest table that is known."""
    found = []
    for measured in run.outcome.get("measured", []):
        variant, table = _strictest(measured["tables"])
        if table is not None:
            cells = [_cell(table["figures"].get(key)) for key, _ in _FIGURES]
            named = {"name": measured["name"], "variant": variant, "photos": table["photos"]}
            found.append({**named, "animals": table["individuals"], "cells": cells})
    return found


def _strictest(tables: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """The table nearest to what a new survey asks, of those that are known, and what it leaves out, in words."""
    for events, heading, words in (
        ("other_events", "normalised", "other events only, headings normalised"),
        ("other_events", "as_seen", "other events only"),
        ("all", "normalised", "headings normalised"),
        ("all", "as_seen", "all of them"),
    ):
        table: dict[str, Any] = tables.get(events, {}).get(heading, {})
        if table.get("known") and table.get("queries"):
            return words, table
    return "", None


def _cell(figure: dict[str, Any] | None) -> str:
    if not figure or figure.get("value") is None:
        return "–"
    if figure.get("low") is None:
        return f"{figure['value']:.2f}"
    return f"{figure['value']:.2f} ({figure['low']:.2f}–{figure['high']:.2f})"
