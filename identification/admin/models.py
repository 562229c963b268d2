"""Embedding models and their way into use. For administrators; everything goes through services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.text import slugify
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from .. import permissions
from ..errors import SpotIDError
from ..models import EmbeddingModel, EncodingFailure, ModelActivation
from ..selectors.models import model_before, without_vector
from ..services.activation import activation_cancel, model_activate, model_rollback
from ..services.models import model_download, model_retire, model_upload
from ..services.probing import probe_apart
from .base import LabelColours, ReadOnlyAdmin, account, moving
from .confirm import ask, confirmed
from .fetching import fetch_page
from .model_cards import facts, figure_names, figure_rows, headline, plain_figures
from .pictures import clock, crop_picture

_TEMPLATES = "admin/identification/model"
_STATES = LabelColours({"Active": "success", "Candidate": "info", "Retired": "warning"})
_ACTIVATION_STATES = LabelColours({"Active": "success", "Failed": "danger", "Encoding": "info", "Waiting": "warning"})


class ImportForm(forms.Form):
    """A safetensors file with its card in it. The only pickle that is taken, the original's, comes by command."""

    file = forms.FileField(
        label=_("Safetensors file"),
        widget=UnfoldAdminFileFieldWidget(),
        help_text=_("As Export writes it, with its model card inside. Pickles (.pt, .pth) are not taken here."),
    )
    name = forms.CharField(
        max_length=120,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Of the model here; else as its card says."),
    )

    def clean_file(self) -> UploadedFile:
        file = cast(UploadedFile, self.cleaned_data["file"])
        if not str(file.name).lower().endswith(".safetensors"):
            raise forms.ValidationError(gettext("Only safetensors files are taken here."))
        return file


class _ModelPages(ReadOnlyAdmin):
    """What both lists share: rows by id, pages in the admin's frame, and changes that are told."""

    administrators_only = True

    def row(self, request: HttpRequest, pk: Any) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_queryset(request).filter(pk=pk).first() if str(pk).isdecimal() else None
        if row is None:
            raise Http404("There is no such row.")
        return row

    def page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        shown = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"{_TEMPLATES}/{name}.html", shown)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method != "GET":
            raise PermissionDenied
        return self.shown(request, self.row(request, object_id))

    def shown(self, request: HttpRequest, row: Any) -> HttpResponse:
        raise NotImplementedError

    def acted(self, request: HttpRequest, change: Callable[[], Any], said: str, back: str) -> HttpResponseRedirect:
        try:
            change()
        except SpotIDError as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, said)
        return HttpResponseRedirect(back)


def _of(view: str, row: Any) -> str:
    return reverse(f"admin:identification_{row._meta.model_name}_{view}", args=[row.pk])


@admin.register(EmbeddingModel)
class EmbeddingModelAdmin(_ModelPages):
    related = ("parent",)
    list_display = (
        "name",
        "state_shown",
        "trained",
        "architecture",
        "dimension",
        "figures_shown",
        "vectors",
        "origin",
        "created_at",
    )
    list_filter = (("state", ChoicesDropdownFilter),)
    search_fields = ("name", "architecture", "checksum")
    ordering = ("-id",)
    actions_list = ("roll_back",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.is_administrator(account(request))

    def has_administer_permission(self, request: HttpRequest) -> bool:
        return permissions.is_administrator(account(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(vector_count=Count("embeddings"))

    def get_urls(self) -> list[Any]:
        site, name = self.admin_site, "identification_embeddingmodel"
        return [
            path("fetch/", site.admin_view(self.fetch), name=f"{name}_fetch"),
            path("<int:model_id>/activate/", site.admin_view(self.activate), name=f"{name}_activate"),
            path("<int:model_id>/retire/", site.admin_view(self.retire), name=f"{name}_retire"),
            path("<int:model_id>/export/", site.admin_view(require_POST(self.export)), name=f"{name}_export"),
            path("<int:model_id>/report/", site.admin_view(self.report), name=f"{name}_report"),
            *super().get_urls(),
        ]

    @display(description=_("State"), ordering="state", label=_STATES)
    def state_shown(self, model: EmbeddingModel) -> str:
        return model.get_state_display()

    @display(description=_("Vectors"), ordering="vector_count")
    def vectors(self, model: Any) -> int:
        return int(model.vector_count)

    @display(description=_("Measured"))
    def figures_shown(self, model: EmbeddingModel) -> str:
        return headline(model.evaluation)

    @display(description=_("Origin"))
    def origin(self, model: EmbeddingModel) -> str:
        said = f"from {model.parent}" if model.parent else str(model.card.get("source", ""))
        return said[:60] + "…" if len(said) > 60 else said or "–"

    def shown(self, request: HttpRequest, row: EmbeddingModel) -> HttpResponse:
        rows = figure_rows(row.evaluation)
        return self.page(
            request,
            "model",
            title=str(row),
            model=row,
            facts=facts(row),
            rows=rows,
            figure_names=figure_names(),
            other_figures=[] if rows else plain_figures(row.evaluation),
            advice=row.evaluation.get("advice", "") if isinstance(row.evaluation.get("advice", ""), str) else "",
            has_report=_report_file(row) is not None,
            failures=row.encoding_failures.count(),
            activations=row.activations.select_related("previous", "requested_by").order_by("-id")[:10],
            active=row.state == EmbeddingModel.State.ACTIVE,
            before=model_before(row) if row.state == EmbeddingModel.State.ACTIVE else None,
        )

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Take an uploaded file in."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                model = _take_in(form.cleaned_data["file"], form.cleaned_data["name"].strip(), account(request))
            except SpotIDError as refused:
                form.add_error("file", str(refused))
            else:
                messages.success(
                    request, gettext("%(model)s is a candidate. It serves when it is activated.") % {"model": model}
                )
                return HttpResponseRedirect(_of("change", model))
        return self.page(request, "import", title=gettext("Import a model"), form=form)

    def fetch(self, request: HttpRequest) -> HttpResponse:
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Fetch a published network"}
        return fetch_page(request, context)

    def activate(self, request: HttpRequest, model_id: int) -> HttpResponse:
        model = self.row(request, model_id)
        if confirmed(request):
            return self._begin(request, model)
        missing = without_vector(model).count()
        serves = model.state == EmbeddingModel.State.ACTIVE
        lines = [
            ngettext("%(n)s coat is encoded in the background.", "%(n)s coats are encoded in the background.", missing)
            % {"n": missing},
            gettext("Until then everything stays as it is.")
            if serves
            else gettext(
                "The present model serves until every coat has a vector under this one; then they change at once."
            ),
            gettext("Every survey is matched again afterwards. Decisions and individuals stay as they are."),
        ]
        advice = str(model.evaluation.get("advice", ""))
        warning = (
            "" if model.trained else gettext("This model is untrained: its similarities will not count in matching.")
        )
        if advice not in ("", "activate"):
            warning = gettext("Its evaluation says: %(advice)s.") % {"advice": advice}
        title, button = (f"Fill in vectors of {model}", "Encode") if serves else (f"Activate {model}", "Activate")
        return ask(
            self,
            request,
            action="activate",
            title=title,
            button=button,
            lines=lines,
            warning=warning,
            cancel=_of("change", model),
        )

    def _begin(self, request: HttpRequest, model: EmbeddingModel) -> HttpResponseRedirect:
        try:
            activation = model_activate(model=model, acting_user=account(request))
        except SpotIDError as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(_of("change", model))
        messages.success(
            request,
            gettext("%(model)s is on its way. The old model serves until every coat is encoded.") % {"model": model},
        )
        return HttpResponseRedirect(_of("change", activation))

    @action(description=_("Roll back"), url_path="rollback", permissions=["administer"], icon="undo")
    def roll_back(self, request: HttpRequest) -> HttpResponse:
        active = EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).first()
        target = model_before(active) if active is not None else None
        back = reverse("admin:identification_embeddingmodel_changelist")
        if target is None:
            messages.error(request, gettext("There is nothing to go back to. Any other model can be activated."))
            return HttpResponseRedirect(back)
        if confirmed(request):
            change = lambda: model_rollback(acting_user=account(request))  # noqa: E731
            return self.acted(request, change, gettext("%(target)s serves again.") % {"target": target}, back)
        missing = without_vector(target).count()
        lines = [
            gettext("%(target)s serves again at once instead of %(active)s, which stays and can be activated again.")
            % {"target": target, "active": active},
            ngettext(
                "%(n)s coat without a vector under it will be encoded in the background; until then, it has no "
                "similarity.",
                "%(n)s coats without a vector under it will be encoded in the background; until then, they have no "
                "similarity.",
                missing,
            )
            % {"n": missing}
            if missing
            else gettext("Every coat has a vector under it."),
            gettext("Every survey is matched again. Decisions and individuals stay as they are."),
        ]
        open_one = ModelActivation.objects.filter(state__in=ModelActivation.OPEN).first()
        warning = (
            gettext("The activation of %(model)s that is going on is cancelled by this.") % {"model": open_one.model}
            if open_one
            else ""
        )
        return ask(
            self,
            request,
            action="roll_back",
            title=f"Go back to {target}",
            button=gettext("Roll back"),
            lines=lines,
            warning=warning,
            cancel=back,
        )

    def retire(self, request: HttpRequest, model_id: int) -> HttpResponse:
        model = self.row(request, model_id)
        if confirmed(request):
            return self.acted(
                request,
                lambda: model_retire(model=model, acting_user=account(request)),
                gettext("%(model)s is retired.") % {"model": model},
                _of("change", model),
            )
        lines = [gettext("It is no candidate any more. Its file and vectors stay, and it can still be activated.")]
        return ask(
            self,
            request,
            action="retire",
            title=f"Retire {model}",
            button=gettext("Retire"),
            lines=lines,
            cancel=_of("change", model),
        )

    def export(self, request: HttpRequest, model_id: int) -> HttpResponseBase:
        """The model's file with its card in it, as a download; nothing of it stays."""
        model = self.row(request, model_id)
        try:
            stream = model_download(model=model, acting_user=account(request))
        except SpotIDError as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(_of("change", model))
        name = slugify(model.name) or f"model-{model.pk}"
        return FileResponse(
            stream, as_attachment=True, filename=f"{name}.safetensors", content_type="application/octet-stream"
        )

    def report(self, request: HttpRequest, model_id: int) -> HttpResponseBase:
        """The evaluation as a page without any right: it is a file and no part of this site."""
        file = _report_file(self.row(request, model_id))
        if file is None:
            raise Http404("There is no report of this model.")
        response = FileResponse(file.open("rb"), content_type="text/html; charset=utf-8")
        response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
        response["X-Content-Type-Options"] = "nosniff"
        response["Cache-Control"] = "private, no-store"
        return response


def _report_file(model: EmbeddingModel) -> Path | None:
    """The report below the home folder. Only pages: the home holds secrets, too."""
    home = Path(settings.SPOTID_HOME).resolve()
    file = (home / model.report).resolve()
    fit = model.report.endswith(".html") and file.suffix == ".html" and file.is_relative_to(home) and file.is_file()
    return file if fit else None


def _take_in(upload: UploadedFile, name: str, user: Any) -> EmbeddingModel:
    return model_upload(
        chunks=upload.chunks(), file_name=str(upload.name), name=name, acting_user=user, probe=probe_apart
    )


@admin.register(ModelActivation)
class ModelActivationAdmin(_ModelPages):
    related = ("model", "previous", "requested_by")
    list_display = ("number", "model", "state_shown", "progress_shown", "previous", "requested_by", "created_at")
    list_display_links = ("number",)
    list_filter = (("state", ChoicesDropdownFilter), ("model", RelatedDropdownFilter))
    search_fields = ("model__name",)
    ordering = ("-id",)

    def get_urls(self) -> list[Any]:
        site, name = self.admin_site, "identification_modelactivation"
        return [
            path("<int:activation_id>/live/", site.admin_view(self.live), name=f"{name}_live"),
            path("<int:activation_id>/cancel/", site.admin_view(require_POST(self.cancel)), name=f"{name}_cancel"),
            *super().get_urls(),
        ]

    @display(description=_("Activation"), ordering="pk")
    def number(self, activation: ModelActivation) -> str:
        return f"Activation {activation.pk}"

    @display(description=_("State"), ordering="state", label=_ACTIVATION_STATES)
    def state_shown(self, activation: ModelActivation) -> str:
        return activation.get_state_display()

    @display(description=_("Encoded"))
    def progress_shown(self, activation: ModelActivation) -> str:
        return f"{activation.done} of {activation.total}"

    def shown(self, request: HttpRequest, row: ModelActivation) -> HttpResponse:
        return self.page(request, "activation", title=f"Activation {row.pk}", **_progress(row))

    def live(self, request: HttpRequest, activation_id: int) -> HttpResponse:
        """The part of the page that moves."""
        now = _progress(self.row(request, activation_id))
        return moving(self.page(request, "_live", **now), is_open=now["open"])

    def cancel(self, request: HttpRequest, activation_id: int) -> HttpResponse:
        activation = self.row(request, activation_id)
        return self.acted(
            request,
            lambda: activation_cancel(activation=activation, acting_user=account(request)),
            gettext("The activation is cancelled. What is encoded is kept."),
            _of("change", activation),
        )


def _progress(activation: ModelActivation) -> dict[str, Any]:
    share = activation.done / activation.total if activation.total else 1.0
    return {
        "activation": activation,
        "percent": int(100 * min(1.0, share)),
        "open": activation.state in ModelActivation.OPEN,
        "failures": EncodingFailure.objects.filter(model=activation.model).count(),
    }


@admin.register(EncodingFailure)
class EncodingFailureAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("detection__image__survey", "model")
    list_display = ("picture", "photo", "model", "reason", "when")
    list_display_links = ("photo",)
    list_filter = (("model", RelatedDropdownFilter),)
    telling = ("detection__image__survey",)
    search_fields = ("detection__image__relative_path", "reason")
    ordering = ("-id",)

    @display(description=_("Crop"))
    def picture(self, failure: EncodingFailure) -> str:
        return crop_picture(failure.detection)

    @display(description=_("Photo"))
    def photo(self, failure: EncodingFailure) -> str:
        return format_html('<span class="spotid-wrap">{}</span>', failure.detection.image.relative_path)

    @display(description=_("When"), ordering="created_at")
    def when(self, failure: EncodingFailure) -> str:
        return clock(failure.created_at)
