"""Networks, their way into use, and trainings: for administrators."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from ..admin.training_form import SETTINGS, TrainingForm
from ..models import EmbeddingModel, ModelActivation, Population, TrainingRun
from ..services.activation import activation_cancel, model_activate, model_rollback
from ..services.models import model_retire
from ..services.training import training_cancel, training_plan, training_request, training_resume
from .base import ApiView, operation
from .finding import administrator
from .paging import Page, PageQuery, by_id
from .shapes import PopulationRef, id_field


class ModelOut(s.Serializer):
    id = s.IntegerField(source="pk")
    name = s.CharField()
    architecture = s.CharField()
    dimension = s.IntegerField()
    checksum = s.CharField()
    licence = s.CharField(allow_blank=True)
    trained = s.BooleanField()
    state = s.ChoiceField(choices=EmbeddingModel.State.values)
    parent = s.IntegerField(source="parent_id", allow_null=True)
    evaluation = s.DictField()
    created_at = s.DateTimeField()


class AdministratorView(ApiView):
    """Whatever is asked for below, it is for administrators."""

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        administrator(self.user)


class Models(AdministratorView):
    @operation("Networks", out=ModelOut, paged=True, query=PageQuery)
    def get(self, request: Any) -> Page:
        return by_id(EmbeddingModel.objects.all(), self.asked(), newest=True)


class OneModel(AdministratorView):
    @operation("One network", out=ModelOut)
    def get(self, request: Any, model_id: int) -> EmbeddingModel:
        return get_object_or_404(EmbeddingModel, pk=model_id)


class ActivationOut(s.Serializer):
    id = s.IntegerField(source="pk")
    model = s.IntegerField(source="model_id")
    previous = s.IntegerField(source="previous_id", allow_null=True)
    state = s.ChoiceField(choices=ModelActivation.State.values)
    done = s.IntegerField()
    total = s.IntegerField()
    error = s.CharField(allow_blank=True)
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)


class ModelActivate(AdministratorView):
    @operation("Put a network to use", out=ActivationOut, status=202)
    def post(self, request: Any, model_id: int) -> ModelActivation:
        """Every box is encoded under it while the old one serves; then it takes over. Decisions do not change."""
        model = get_object_or_404(EmbeddingModel, pk=model_id)
        return model_activate(model=model, acting_user=self.user)


class ModelRetire(AdministratorView):
    @operation("Set a candidate aside", out=ModelOut)
    def post(self, request: Any, model_id: int) -> EmbeddingModel:
        """Its file, card and vectors stay, and it can still be activated."""
        model = get_object_or_404(EmbeddingModel, pk=model_id)
        return model_retire(model=model, acting_user=self.user)


class ModelRollback(AdministratorView):
    @operation("Go back to the network before", out=ActivationOut, status=202)
    def post(self, request: Any) -> ModelActivation:
        return model_rollback(acting_user=self.user)


class Activations(AdministratorView):
    @operation("Ways of networks into use", out=ActivationOut, paged=True, query=PageQuery)
    def get(self, request: Any) -> Page:
        return by_id(ModelActivation.objects.all(), self.asked(), newest=True)


class ActivationCancel(AdministratorView):
    @operation("Give an activation up", out=ActivationOut)
    def post(self, request: Any, activation_id: int) -> ModelActivation:
        """The old network goes on. What is encoded stays."""
        activation = get_object_or_404(ModelActivation, pk=activation_id)
        activation_cancel(activation=activation, acting_user=self.user)
        activation.refresh_from_db()
        return activation


class TrainingOut(s.Serializer):
    id = s.IntegerField(source="pk")
    population = PopulationRef()
    start_model = s.IntegerField(source="start_model_id", allow_null=True)
    candidate = s.IntegerField(source="candidate_id", allow_null=True)
    state = s.ChoiceField(choices=TrainingRun.State.values)
    stage = s.CharField(allow_blank=True)
    epoch = s.IntegerField()
    epochs = s.IntegerField()
    progress = s.FloatField(help_text="0…1")
    warnings = s.ListField(child=s.CharField())
    outcome = s.DictField()
    history = s.ListField(child=s.DictField(), help_text="Loss, DTkAP and seconds of each epoch.")
    error = s.CharField(allow_blank=True)
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)


class TrainingIn(s.Serializer):
    """settings: as in train.toml; what is not named is as the admin's form proposes it."""

    population = id_field()
    start_model = id_field(required=False, allow_null=True)
    settings = s.DictField(required=False, default=dict)


class PlanOut(s.Serializer):
    refusals = s.ListField(child=s.CharField(), help_text="Reasons against it; it can be asked for without one.")
    warnings = s.ListField(child=s.CharField())


def _wanted(view: ApiView) -> dict[str, Any]:
    """Population, start model and checked settings. Raises ValidationError."""
    said = view.said()
    unknown = sorted(set(said["settings"]) - set(SETTINGS))
    if unknown:
        raise ValidationError({"settings": [f"Not a setting: {', '.join(map(str, unknown))}"[:400]]})
    data = {name: field.initial for name, field in TrainingForm().fields.items() if name != "start_model"}
    data |= {"start_model": said.get("start_model"), **said["settings"]}
    form = TrainingForm(
        {name: _text(value) for name, value in data.items() if value is not None and value is not False}
    )
    if not form.is_valid():
        raise ValidationError(
            {"settings": [f"{name}: {' '.join(map(str, words))}" for name, words in form.errors.items()]}
        )
    return {
        "population": get_object_or_404(Population, pk=said["population"]),
        "start_model": form.cleaned_data["start_model"],
        "config": form.config,
    }


def _text(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


class Trainings(AdministratorView):
    @operation("Trainings", out=TrainingOut, paged=True, query=PageQuery)
    def get(self, request: Any) -> Page:
        return by_id(TrainingRun.objects.select_related("population"), self.asked(), newest=True)

    @operation("Ask for a training", out=TrainingOut, body=TrainingIn, status=202)
    def post(self, request: Any) -> TrainingRun:
        return training_request(acting_user=self.user, **_wanted(self))


class TrainingPlanned(AdministratorView):
    @operation("What stands for and against a training", out=PlanOut, body=TrainingIn, keyed=False)
    def post(self, request: Any) -> Any:
        return training_plan(**_wanted(self))


class OneTraining(AdministratorView):
    @operation("One training", out=TrainingOut)
    def get(self, request: Any, run_id: int) -> TrainingRun:
        return get_object_or_404(TrainingRun.objects.select_related("population"), pk=run_id)


class TrainingCancel(AdministratorView):
    @operation("End a training", out=TrainingOut)
    def post(self, request: Any, run_id: int) -> TrainingRun:
        """Its checkpoint is kept."""
        run = get_object_or_404(TrainingRun.objects.select_related("population"), pk=run_id)
        return training_cancel(run=run, acting_user=self.user)


class TrainingResume(AdministratorView):
    @operation("Let a training go on", out=TrainingOut, status=202)
    def post(self, request: Any, run_id: int) -> TrainingRun:
        run = get_object_or_404(TrainingRun.objects.select_related("population"), pk=run_id)
        return training_resume(run=run, acting_user=self.user)
