"""The trained network against what there is: the same held-out photos, the same rules, one report."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from ..models import EmbeddingModel
from ..selectors.training_set import TrainingRow
from .model_files import UnfitModel, verify_weights
from .training import Trained

logger = logging.getLogger(__name__)
Tell = Callable[[int, int, str], None]

NEW, SERVING, START, UNTRAINED = "new", "serving", "start", "untrained"
TITLES = {
    NEW: "newly trained",
    SERVING: "in use now",
    START: "where the training began",
    UNTRAINED: "same network, untrained",
}
_BATCH = 8
_NAMED = 20
_NOT_LEARNED = (
    "No measurable difference: it is better than the model in use, but not measurably better than an untrained network "
    "of its own kind, so nothing says that it has learned coats."
)


_DOUBTFUL = "No difference that could be relied on, though the new network comes out better. {}"


@dataclass(frozen=True)
class Measured:
    """What the held-out photos say. figures: by scorer, JSON-ready; comparisons: of the new one with each other one.

    advice: "activate", "no measurable difference" or "do not activate"; sentences: why, for people.
    """

    figures: dict[str, Any]
    comparisons: dict[str, Any]
    not_measured: dict[str, str]
    advice: str
    sentences: list[str]


@dataclass
class _Scorer:
    """One way to make vectors. open_it: loads it when its turn comes."""

    key: str
    name: str
    open_it: Callable[[], Any]
    also: list[str] = field(default_factory=list)


def measure(
    rows: Sequence[TrainingRow],
    *,
    trained: Trained,
    start_model: EmbeddingModel | None,
    config: Mapping[str, Any],
    title: str,
    about: Mapping[str, str],
    report: Path,
    tell: Tell,
    doubt: str = "",
) -> Measured:
    """Evaluate the new network and what it is held against on photos of individuals that no part of it has seen.

    Held against: the model in use, the one that the training began from, every shipped vocabulary (VLAD) in the
    register and the untrained network. about: what the report says first. doubt: why an earlier model may have learned
    from the photos after all (then no activation is advised). `tell` is called between batches and may raise. Writes
    the report.
    """
    from modelzoo.evaluation import compare, evaluate_vectors
    from modelzoo.evaluation.report import write_report

    readable = [(row, coat) for row in rows if (coat := _coat(row)) is not None]
    photos = [_photo(row) for row, _ in readable]
    coats = [coat for _, coat in readable]
    seed = int(config["seed"])
    reports: dict[str, Any] = {}
    vectors: dict[str, Any] = {}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="spotid-measure-") as scratch:
        scorers = _scorers(trained, start_model, seed, Path(scratch))
        for position, scorer in enumerate(scorers):
            told = _told(tell, position, len(scorers), len(coats), scorer.name)
            try:
                made, mirrored = _encode(scorer, coats, photos, told)
            except UnfitModel as error:
                missing[_named(scorer)] = str(error)
                continue
            vectors[scorer.key] = made
            reports[scorer.key] = evaluate_vectors(made, photos, mirrored=mirrored, seed=seed)
    if NEW not in reports:
        raise UnfitModel(f"The new network cannot be measured. {missing[TITLES[NEW]]}")
    comparisons = {
        scorer.key: compare(reports[scorer.key], reports[NEW], seed=seed)
        for scorer in scorers
        if scorer.key in reports and scorer.key != NEW
    }
    names = {scorer.key: _named(scorer) for scorer in scorers}
    advice, sentences, verdict = _advise(comparisons, names, trained, doubt)
    sentences += _unreadable(rows, readable)
    shortcuts = _shortcuts(trained, coats, photos, reports[NEW], tell)
    tell(1, 1, "Writing the report")
    write_report(
        report,
        title,
        {names[key]: reports[key] for key in (NEW, *(key for key in reports if key != NEW))},
        about=about,
        vectors=vectors[NEW],
        shortcuts=shortcuts,
        comparison=verdict,
        notes=sentences,
    )
    return Measured(
        figures={names[key]: said.to_dict() for key, said in reports.items()},
        comparisons={names[key]: said.to_dict() for key, said in comparisons.items()},
        not_measured=missing,
        advice=advice,
        sentences=[*sentences, *shortcuts.sentences()],
    )


def _shortcuts(trained: Trained, coats: list[Any], photos: list[Any], plain: Any, tell: Tell) -> Any:
    """Whether the new network goes by the background, or is blind to left and right."""
    from modelzoo.evaluation.shortcuts import shortcut_tests

    embedder = _open(trained.config, trained.weights, trained.sha256)

    def embed(some: Sequence[Any]) -> Any:
        return _rows(embedder, some, lambda done: tell(1, 1, "Testing for shortcuts"))

    return shortcut_tests(coats, photos, embed, plain=plain)


def _subject(comparisons: Mapping[str, Any]) -> str:
    """Against what the advice is given: the model in use where there is one."""
    return next((key for key in (SERVING, START, UNTRAINED) if key in comparisons), "")


def _scorers(trained: Trained, start_model: EmbeddingModel | None, seed: int, scratch: Path) -> list[_Scorer]:
    """The new network first; a model that stands there for two reasons comes once."""
    found = [_Scorer(NEW, "", partial(_open, trained.config, trained.weights, trained.sha256))]
    models: dict[int, _Scorer] = {}
    active = EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).first()
    vocabulary = EmbeddingModel.objects.filter(config__kind="rootsift-vlad").order_by("-pk").first()
    for key, model in ((SERVING, active), (START, start_model), ("vlad", vocabulary)):
        if model is None:
            continue
        if model.pk in models:
            models[model.pk].also.append(key)
        else:
            models[model.pk] = _Scorer(key, model.name, partial(_open_model, model))
    control = _Scorer(UNTRAINED, "", partial(_open_untrained, trained.config, seed, scratch))
    return [*found, *models.values(), control]


def _named(scorer: _Scorer) -> str:
    said = ", ".join(TITLES[key] for key in (scorer.key, *scorer.also) if key in TITLES)
    return " – ".join(part for part in (scorer.name, said) if part)


def _open(config: Mapping[str, Any], weights: Path, sha256: str) -> Any:
    """All in one runtime, so that nothing but the networks differs."""
    from modelzoo.embedders import open_embedder

    return open_embedder(config, weights, sha256, runtime="torch", threads=settings.SPOTID_TRAINING_THREADS)


def _open_model(model: EmbeddingModel) -> Any:
    return _open(model.config, verify_weights(model), model.checksum)


def _open_untrained(config: Mapping[str, Any], seed: int, scratch: Path) -> Any:
    """The control: what the architecture alone makes of the photos."""
    from modelzoo.network import EmbeddingConfig, initial_weights, save_weights

    path = scratch / "untrained.safetensors"
    sha256 = save_weights(path, initial_weights(EmbeddingConfig.from_dict(config), seed), {})
    return _open(config, path, sha256)


def _encode(scorer: _Scorer, coats: Sequence[Any], photos: Sequence[Any], told: Callable[[int], None]) -> Any:
    """Vectors of the coats, and of the mirrored ones where animals face different ways (else None).

    A coat that cannot be encoded has a row of NaN. Raises UnfitModel where the scorer cannot be loaded at all.
    """
    from modelzoo.evaluation.scores import needs_mirrored
    from modelzoo.evaluation.shortcuts import mirrored_coats
    from modelzoo.weights import WeightsError

    try:
        embedder = scorer.open_it()
    except (WeightsError, ValueError, RuntimeError, OSError) as error:
        raise UnfitModel(f"{scorer.name or 'It'} cannot be loaded: {error}") from error
    both = [coats, mirrored_coats(coats)] if needs_mirrored(photos) else [coats]
    made = [
        _rows(embedder, some, partial(_share_told, told, turn * len(coats), len(both)))
        for turn, some in enumerate(both)
    ]
    return made[0], made[1] if len(made) > 1 else None


def _share_told(told: Callable[[int], None], before: int, turns: int, done: int) -> None:
    told((before + done) // turns)


def _rows(embedder: Any, coats: Sequence[Any], told: Callable[[int], None]) -> Any:
    import numpy as np

    from modelzoo.coats import EncodingError

    rows = np.full((len(coats), embedder.dimension), np.nan, np.float32)
    for start in range(0, len(coats), _BATCH):
        some = coats[start : start + _BATCH]
        try:
            rows[start : start + len(some)] = embedder.encode(some)
        except EncodingError:
            for index, coat in enumerate(some, start):
                rows[index] = _row(embedder, coat)
        told(start + len(some))
    return rows


def _row(embedder: Any, coat: Any) -> Any:
    import numpy as np

    from modelzoo.coats import EncodingError

    try:
        return embedder.encode([coat])[0]
    except EncodingError:
        return np.full(embedder.dimension, np.nan, np.float32)


def _told(tell: Tell, position: int, scorers: int, coats: int, name: str) -> Callable[[int], None]:
    what = f"Measuring {name}" if name else "Measuring the network"
    return lambda done: tell(position * coats + done, scorers * coats, what)


def _photo(row: TrainingRow) -> Any:
    from modelzoo.evaluation import EvaluationPhoto

    return EvaluationPhoto(
        key=str(row.detection),
        identity=row.identity,
        individual=str(row.individual),
        event=None if row.event is None else str(row.event),
        flank=row.flank,
        crop=Path(settings.MEDIA_ROOT) / row.crop,
    )


def _coat(row: TrainingRow) -> Any:
    """None for a photo whose files are gone or do not fit together."""
    from .coats import EncodingError, load_coat

    media = Path(settings.MEDIA_ROOT)
    try:
        return load_coat(
            media / row.crop, media / row.edges if row.edges else None, media / row.mask if row.mask else None
        )
    except (OSError, ValueError, EncodingError) as error:
        logger.warning("detection %s cannot be read and is not measured on: %s", row.detection, error)
        return None


def _unreadable(rows: Sequence[TrainingRow], readable: Sequence[tuple[TrainingRow, Any]]) -> list[str]:
    there = {row.detection for row, _ in readable}
    gone = [row.detection for row in rows if row.detection not in there]
    if not gone:
        return []
    more = " and more" if len(gone) > _NAMED else ""
    named = ", ".join(map(str, gone[:_NAMED])) + more
    return [f"{len(gone)} held-back photos could not be read and are not measured on: detections {named}."]


def _advise(
    comparisons: Mapping[str, Any], names: Mapping[str, str], trained: Trained, doubt: str = ""
) -> tuple[str, list[str], Any | None]:
    """Advice, sentences, and the comparison that the report shows first; None when there is nothing to compare with.

    The advice is about the model in use. Against a network of the same kind that has learned nothing, a gain has to
    show as well: else what is gained is the architecture's, not the training's. With a doubt, no gain counts.
    """
    first = _subject(comparisons)
    sentences = [doubt] if doubt else []
    if not first:
        return "no measurable difference", [*sentences, "There was nothing to hold the new network against."], None
    verdict = comparisons[first]
    control = comparisons.get(UNTRAINED)
    if verdict.advice == "activate" and doubt:
        verdict = replace(verdict, advice="no measurable difference", sentence=_DOUBTFUL.format(doubt))
    if verdict.advice == "activate" and control is not None and control.advice != "activate":
        verdict = replace(verdict, advice="no measurable difference", sentence=_NOT_LEARNED)
        sentences.append(_NOT_LEARNED)
    sentences += [f"Against {names[key]}: {found.sentence}" for key, found in comparisons.items()]
    if trained.best_epoch == 0:
        sentences.append("No epoch was better on the validation individuals than the start: nothing was learned.")
    return str(verdict.advice), sentences, verdict
