"""How trainings stand, and what they can begin from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone

from ..errors import SpotIDError
from ..models import EmbeddingModel, Population, TrainingRun

# Of the progress of a run; the rest is for calibrating, measuring and the report.
TRAINING_SHARE = 0.9
_KINDS = ("coatnet", "spotid-original")
# Per channels of a network: which of its means and deviations are the edge map's.
_CHANNELS = {1: (0, 1), 3: (3, 0), 4: (3, 1)}


def startable_models() -> list[EmbeddingModel]:
    """The models that a training can begin from, the latest first: networks that have learned something.

    A published network that knows no animals yet is one, too.
    """
    return [model for model in EmbeddingModel.objects.order_by("-pk") if _is_network(model) and has_learned(model)]


def has_learned(model: EmbeddingModel) -> bool:
    """Whether its weights are more than random numbers, even if its vectors do not tell animals apart."""
    return model.trained or bool(model.card.get("training_data"))


def _is_network(model: EmbeddingModel) -> bool:
    return model.config.get("kind", _KINDS[0]) in _KINDS and "backbone" in model.config


def network_settings(model: EmbeddingModel) -> dict[str, Any]:
    """What a training that begins from the model has to take over from it. Raises SpotIDError where none can.

    Size and dimension belong to a network that was trained on coats; of another one they are free.
    """
    if not _is_network(model):
        raise SpotIDError(f"{model} is no network that can be trained further.")
    config = model.config
    mean, std = list(config["mean"]), list(config["std"])
    colours, edges = _CHANNELS[int(config["in_channels"])]
    kept = ("backbone", "width", "height", "dimension") if model.trained else ("backbone",)
    found = {name: config[name] for name in kept}
    found["pipeline"] = config.get("pipeline", "crop_rgb_edges")
    if colours:
        found |= {"rgb_mean": mean[:colours], "rgb_std": std[:colours]}
    if edges:
        found |= {"edge_mean": mean[colours:], "edge_std": std[colours:]}
    return found


def training_progress(run: TrainingRun) -> dict[str, Any]:
    """What the page of a run shows and asks for again while it lasts."""
    rows = [row for row in run.history if isinstance(row, dict)]
    return {
        "state": run.state,
        "state_label": run.get_state_display(),
        "open": run.state in TrainingRun.OPEN,
        "cancelling": run.cancel_requested,
        "stage": run.stage,
        "epoch": run.epoch,
        "epochs": run.epochs,
        "percent": round(100 * run.progress),
        "seconds_left": _seconds_left(run, rows),
        "attempts": run.attempts,
        "error": run.error,
        "history": [{"epoch": row.get("epoch"), "loss": row.get("loss"), "dtkap": row.get("dtkap")} for row in rows],
    }


def _seconds_left(run: TrainingRun, rows: list[dict[str, Any]]) -> int | None:
    """By the mean of the last epochs; None before the first has ended and after the last, while it is measured.

    An early stop may end it sooner.
    """
    spent = [float(row["seconds"]) for row in rows if row.get("epoch") and row.get("seconds")][-5:]
    if run.state != TrainingRun.State.RUNNING or not spent or run.progress >= TRAINING_SHARE:
        return None
    return round(max(0, run.epochs - run.epoch + 1) * sum(spent) / len(spent))


def training_age(run: TrainingRun, now: datetime | None = None) -> float | None:
    """Seconds since the run began, or that it took; None before."""
    if run.started_at is None:
        return None
    return ((run.finished_at or now or timezone.now()) - run.started_at).total_seconds()


def compared_runs(start_model: EmbeddingModel | None) -> list[TrainingRun]:
    """Finished trainings that the start model and the active one came out of, with all that those began from."""
    active = EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).first()
    return _runs_that_made([start_model, active])


def _runs_that_made(models: Iterable[EmbeddingModel | None]) -> list[TrainingRun]:
    found: dict[int, TrainingRun] = {}
    waiting, seen = list(models), set()
    while waiting:
        model = waiting.pop()
        if model is None or model.pk in seen:
            continue
        seen.add(model.pk)
        runs = TrainingRun.objects.filter(candidate=model, state=TrainingRun.State.DONE).select_related("start_model")
        found |= {run.pk: run for run in runs}
        waiting += [model.parent, *(run.start_model for run in runs)]
    return [found[number] for number in sorted(found)]


def latest_run(population: Population) -> TrainingRun | None:
    """The last finished training of a population."""
    return TrainingRun.objects.filter(population=population, state=TrainingRun.State.DONE).order_by("-pk").first()
