"""The door to `modelzoo.training`: settings, the split by individual, and the training itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from ..errors import SpotIDError
from ..models import EmbeddingModel
from ..selectors.training_set import TrainingRow
from .model_files import verify_weights

PARTS = ("train", "validation", "test")


class TrainingRefused(SpotIDError):
    """A training that cannot begin or go on, however often it is tried. The message is for people."""


@dataclass(frozen=True)
class TrainingStep:
    """How far a training is. fraction: of all its steps, 0…1. loss: of the last step."""

    epoch: int
    epochs: int
    step: int
    fraction: float
    loss: float | None
    message: str
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class Trained:
    """What came of a training: see `modelzoo.training.results.TrainingResult`."""

    weights: Path
    sha256: str
    config: dict[str, Any]
    history: list[dict[str, Any]]
    best_epoch: int
    epochs_run: int
    cancelled: bool
    stopped_early: bool
    left_out: list[dict[str, str]]


@dataclass(frozen=True)
class Parts:
    """Photos to learn from, to choose the best epoch by, and to measure on once; they share no individual.

    doubt: why a model that the new one is held against, or begins from, may have learned from the test photos; "" when
    none has.
    """

    train: tuple[TrainingRow, ...]
    validation: tuple[TrainingRow, ...]
    test: tuple[TrainingRow, ...]
    doubt: str = ""

    def of(self, part: str) -> tuple[TrainingRow, ...]:
        rows: tuple[TrainingRow, ...] = getattr(self, part)
        return rows


def training_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a training, those not given as the paper has them for the loss.

    Raises TrainingRefused, naming what is wrong.
    """
    from modelzoo.training.config import PATH_KEYS, TrainConfig

    try:
        paper = TrainConfig.of_the_paper(values.get("loss", TrainConfig.loss)).to_dict()
        config = TrainConfig.from_dict(paper | {key: value for key, value in values.items() if key not in PATH_KEYS})
    except (ValueError, TypeError) as error:
        raise TrainingRefused(f"Training settings: {str(error).rstrip('.')}.") from None
    return {key: value for key, value in config.to_dict().items() if key not in PATH_KEYS}


def parts_of(
    rows: Sequence[TrainingRow], config: Mapping[str, Any], compared: Mapping[int, str], others: Mapping[int, str]
) -> Parts:
    """Split by individual. compared, others: the part of each detection in earlier trainings (:func:`union_of_parts`),
    in those behind the start model and the active one, and in further ones.

    Individuals keep their part, so that none that an earlier model learned from is measured on now; what is new is
    drawn. One that was in several parts goes where most was learned from it. Where that leaves a part with too few
    individuals, first the others do not count; then everything is drawn anew, and `doubt` says what that spoils.
    Raises TrainingRefused.
    """
    from modelzoo.training.splits import FEWEST_PAIRED, paired_individuals, split_individuals

    photos = [_photo(row) for row in rows]
    shares = [config["train_share"], config["validation_share"], config["test_share"]]
    try:
        drawn = split_individuals(photos, config["seed"], shares)
    except ValueError as error:
        raise TrainingRefused(_sentence(error)) from None
    anew = {photo.individual: part for part in PARTS for photo in getattr(drawn, part)}
    needed = [part for part in PARTS if getattr(drawn, part)]

    def enough(part_of: Mapping[str, str]) -> bool:
        found = {part: [photo for photo in photos if part_of[photo.individual] == part] for part in needed}
        return all(len(paired_individuals(some)) >= FEWEST_PAIRED for some in found.values())

    known = _earlier_parts(rows, compared)
    kept = {**anew, **_earlier_parts(rows, union_of_parts([compared, others]))}
    kept = next((some for some in (kept, {**anew, **known}) if enough(some)), anew)
    train, validation, test = (tuple(row for row in rows if kept[str(row.individual)] == part) for part in PARTS)
    return Parts(train, validation, test, _doubt(kept, known))


def _doubt(part_of: Mapping[str, str], known: Mapping[str, str]) -> str:
    held = [name for name, part in part_of.items() if part == "test"]
    spoiled = sum(known.get(name, "test") != "test" for name in held)
    if not spoiled:
        return ""
    return (
        f"{spoiled} of the {len(held)} animals that are measured on are animals that the start model or the model in "
        "use learned from, or was chosen on: too few others have two photos of one flank, so the parts were drawn "
        "anew. The figures may flatter the models that know them."
    )


def union_of_parts(several: Iterable[Mapping[int, str]]) -> dict[int, str]:
    """The part of each detection in several trainings: the one that most was learned from it in."""
    found: dict[int, str] = {}
    for part_of in several:
        for detection, part in part_of.items():
            if detection not in found or PARTS.index(part) < PARTS.index(found[detection]):
                found[detection] = part
    return found


def _earlier_parts(rows: Iterable[TrainingRow], before: Mapping[int, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        part, name = before.get(row.detection), str(row.individual)
        if part is not None and (name not in found or PARTS.index(part) < PARTS.index(found[name])):
            found[name] = part
    return found


def write_parts(path: Path, parts: Parts) -> None:
    """Keep what a training learns from, whatever people decide while it goes on."""
    kept: dict[str, Any] = {part: [asdict(row) for row in parts.of(part)] for part in PARTS}
    text = json.dumps(kept | ({"doubt": parts.doubt} if parts.doubt else {}))
    beside = path.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def read_parts(path: Path) -> Parts | None:
    """What :func:`write_parts` kept; None where there is nothing."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    train, validation, test = (tuple(TrainingRow(**row) for row in kept[part]) for part in PARTS)
    return Parts(train, validation, test, kept.get("doubt", ""))


def train(
    parts: Parts,
    config: Mapping[str, Any],
    folder: Path,
    *,
    start_model: EmbeddingModel | None,
    progress: Callable[[TrainingStep], None],
    should_stop: Callable[[], bool],
) -> Trained:
    """Train in a folder, or go on with what was begun there. Raises TrainingRefused."""
    from modelzoo.embedders import starting_weights
    from modelzoo.training.config import TrainConfig
    from modelzoo.training.results import TrainingError, TrainingProgress
    from modelzoo.training.trainer import train as run
    from modelzoo.weights import WeightsError

    def tell(told: TrainingProgress) -> None:
        fraction = min(1.0, told.step / told.steps) if told.steps else 0.0
        rows = [dict(row) for row in told.history]
        progress(TrainingStep(told.epoch, told.epochs, told.step, fraction, told.loss, told.message, rows))

    try:
        start = None
        if start_model is not None:
            start = starting_weights(start_model.config, verify_weights(start_model), start_model.checksum)
        result = run(
            [_photo(row) for row in parts.train],
            [_photo(row) for row in parts.validation],
            TrainConfig.from_dict(config),
            folder,
            start=start,
            progress=tell,
            should_stop=should_stop,
            threads=settings.SPOTID_TRAINING_THREADS,
        )
    except (TrainingError, WeightsError, ValueError) as error:
        raise TrainingRefused(_sentence(error)) from error
    return Trained(
        weights=result.weights,
        sha256=result.sha256,
        config=result.embedding_config,
        history=list(result.history),
        best_epoch=result.best_epoch,
        epochs_run=result.epochs_run,
        cancelled=result.outcome == "cancelled",
        stopped_early=result.outcome == "early_stop",
        left_out=[{"key": photo.key, "reason": photo.reason} for photo in result.left_out],
    )


def _photo(row: TrainingRow) -> Any:
    from modelzoo.training.data import TrainingPhoto

    def stored(name: str) -> Path | None:
        return Path(settings.MEDIA_ROOT) / name if name else None

    return TrainingPhoto(
        key=str(row.detection),
        identity=row.identity,
        individual=str(row.individual),
        crop=Path(settings.MEDIA_ROOT) / row.crop,
        edges=stored(row.edges),
        mask=stored(row.mask),
        event=None if row.event is None else str(row.event),
        flank=row.flank,
    )


def _sentence(error: Exception) -> str:
    text = str(error).rstrip(".")
    return text[:1].upper() + text[1:] + "."
