"""How good a survey's rankings are, with what a person must know to believe it: see `modelzoo.evaluation`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models import EmbeddingModel
from . import engines
from .comparison import CoatSet
from .ranking import VERIFY_ALL, Matrix, Ranked, by_photo

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

TITLES = {
    "embedding": "embedding",
    "local": "local features",
    "combined": "embedding and local features",
    "untrained": "untrained network",
}
_BATCH = 8
_BASELINE_SEED = 20240801


@dataclass(frozen=True)
class Photo:
    """identity: its label in the truth, unless not labelled. individual: the animal; the label without its flank."""

    key: str
    identity: str
    individual: str
    event: str | None
    picture: Path | None
    labelled: bool = True


@dataclass(frozen=True)
class Stored:
    """A detection: the position of its photo, its flank, and the files of its coat ("" where there is none)."""

    photo: int
    flank: str
    crop: Path | None
    edges: Path | None
    mask: Path | None


@dataclass(frozen=True)
class Options:
    """headings: whether mirrored coats are compared, too, which takes about as long again. baseline: whether an
    untrained network ranks the photos; None: where the model in use is a trained network. shortcuts: whether the
    background alone is asked."""

    headings: bool = True
    baseline: bool | None = None
    shortcuts: bool = False
    seed: int = 0
    resamples: int = 2000


@dataclass
class Evaluation:
    """reports: `EvaluationReport`s by the keys of TITLES. vectors: one per photo, for a map. shortcuts: of the
    embedding, or None."""

    reports: dict[str, Any] = field(default_factory=dict)
    baseline: Ranked | None = None
    vectors: NDArray[np.float64] | None = None
    shortcuts: Any = None


def evaluate_survey(
    photos: Sequence[Photo],
    stored: Sequence[Stored],
    coats: CoatSet,
    ranked: Mapping[str, Ranked],
    model: EmbeddingModel | None,
    options: Options,
    progress: Progress | None = None,
) -> Evaluation:
    """Figures of every ranking in four variants, with intervals. stored, coats: the detections, in the same order.

    Files that are gone make their photos incomparable where they are needed, no error.
    """
    return _Survey(photos, stored, coats, model, options, progress).evaluate(ranked)


def write_report(path: Path, title: str, found: Evaluation, about: Mapping[str, str]) -> None:
    """The evaluation as a page; first what reviewers see. Raises OSError."""
    from modelzoo.evaluation.report import write_report as write

    order = [key for key in ("combined", "embedding", "local", "untrained") if key in found.reports]
    reports = {TITLES[key]: found.reports[key] for key in order}
    write(path, title, reports, about=about, vectors=found.vectors, shortcuts=found.shortcuts)


@dataclass
class _Made:
    """What one pass over the stored coats gives, one row or item per detection; None where it was not asked for."""

    mirrored: NDArray[np.float64] | None = None
    background: NDArray[np.float64] | None = None
    untrained: NDArray[np.float64] | None = None
    untrained_mirrored: NDArray[np.float64] | None = None
    features: list[bytes | None] | None = None


class _Survey:
    def __init__(
        self,
        photos: Sequence[Photo],
        stored: Sequence[Stored],
        coats: CoatSet,
        model: EmbeddingModel | None,
        options: Options,
        progress: Progress | None,
    ) -> None:
        from modelzoo.evaluation.scores import may_differ

        self.stored, self.coats, self.model, self.options, self.progress = stored, coats, model, options, progress
        self.flanks = [item.flank for item in stored]
        self.turn = options.headings and may_differ(self.flanks)
        self.few = len(stored) <= VERIFY_ALL
        self.photo_of = [item.photo for item in stored]
        self.subjects = [_subject(photo, self._flank(index)) for index, photo in enumerate(photos)]

    def _flank(self, photo: int) -> str:
        flanks = {flank for flank, owner in zip(self.flanks, self.photo_of, strict=True) if owner == photo}
        return flanks.pop() if len(flanks) == 1 else "unknown"

    def evaluate(self, ranked: Mapping[str, Ranked]) -> Evaluation:
        found = Evaluation()
        with tempfile.TemporaryDirectory(prefix="spotid-evaluate-") as scratch:
            made = self._pass(Path(scratch))
        rows = None if self.coats.vectors is None else _known(self.coats.vectors)
        if rows is not None:
            found.reports["embedding"] = self._of_vectors(rows, made.mirrored)
            found.vectors = self._one_per_photo(rows)
            if self.options.shortcuts and made.mirrored is not None:
                found.shortcuts = self._shortcuts(found.reports["embedding"], rows, made)
        turned = self._compare_mirrored(made, rows)
        for key in ("local", "combined"):
            found.reports[key] = self._of_pairs(ranked[key], turned.get(key))
        if made.untrained is not None:
            cosines = made.untrained @ made.untrained.T
            np.fill_diagonal(cosines, np.nan)
            found.baseline = Ranked(self._photos(cosines), 0.0)
            found.reports["untrained"] = self._of_vectors(made.untrained, made.untrained_mirrored)
        return found

    def _photos(self, pairs: Matrix) -> Matrix:
        return by_photo(pairs, self.photo_of, len(self.subjects))

    def _report(self, seen: Matrix, normalised: Matrix | None, *, cosine: bool, why_not: str = "") -> Any:
        from modelzoo.evaluation import evaluate_matrices

        by_seen = self._photos(seen)
        return evaluate_matrices(
            by_seen,
            None if normalised is None else by_seen if normalised is seen else self._photos(normalised),
            self.subjects,
            cosine=cosine,
            seed=self.options.seed,
            resamples=self.options.resamples,
            why_not=why_not or "Mirrored coats were not asked for.",
        )

    def _of_vectors(self, rows: NDArray[np.float64], mirrored: NDArray[np.float64] | None) -> Any:
        from modelzoo.evaluation import scores

        seen = scores.as_seen(rows)
        np.fill_diagonal(seen, np.nan)
        normalised: Matrix | None = seen
        if scores.may_differ(self.flanks):
            normalised = None if mirrored is None else scores.normalised_cosines(rows, mirrored, self.flanks)
        return self._report(seen, normalised, cosine=True)

    def _of_pairs(self, ranked: Ranked, turned: Matrix | None) -> Any:
        from modelzoo.evaluation import scores

        assert ranked.pairs is not None
        normalised: Matrix | None = ranked.pairs
        why_not = ""
        if scores.may_differ(self.flanks):
            normalised = None if turned is None else scores.normalised_scores(ranked.pairs, turned, self.flanks)
            if self.turn and not self.few:
                why_not = f"Mirrored coats are compared up to {VERIFY_ALL} detections; here are {len(self.stored)}."
        return self._report(ranked.pairs, normalised, cosine=False, why_not=why_not)

    def _one_per_photo(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = np.full((len(self.subjects), rows.shape[1]), np.nan)
        for row, photo in reversed(list(zip(rows, self.photo_of, strict=True))):
            chosen[photo] = row
        return chosen

    def _shortcuts(self, plain: Any, rows: NDArray[np.float64], made: _Made) -> Any:
        from modelzoo.evaluation.shortcuts import Shortcuts

        assert made.mirrored is not None
        background, reason = None, "No vector can be made without the animal: the scorer looks at nothing else."
        if made.background is None or not all(item.mask for item in self.stored):
            reason = "It needs a mask of every coat."
        elif not np.isnan(made.background).all():
            background = self._report(made.background @ made.background.T, None, cosine=True)
        mirrored = self._report(made.mirrored @ rows.T, None, cosine=True)
        return Shortcuts(plain, mirrored, background, "" if background is not None else reason)

    def _compare_mirrored(self, made: _Made, rows: NDArray[np.float64] | None) -> dict[str, Matrix]:
        """[i, j]: detection i mirrored against detection j as seen, by local features and by both."""
        if made.features is None:
            return {}
        n = len(self.stored)
        vectors = None
        if rows is not None and made.mirrored is not None:
            vectors = np.nan_to_num(made.mirrored).astype(np.float32)
        both = self.coats.followed_by(CoatSet(made.features, vectors, trained=self.coats.trained))
        local, combined = np.full((n, n), np.nan), np.full((n, n), np.nan)
        for i in range(n):
            for j in range(i + 1, n):
                if self.flanks[i] == self.flanks[j] != "unknown":
                    continue
                # Turning the one or the other shows the same pair, once from behind the mirror.
                pair = both.compare(n + i, j)
                local[i, j] = local[j, i] = pair.local_score
                combined[i, j] = combined[j, i] = pair.score
            self._tell(i + 1, n, "mirrored coats")
        return {"local": local, "combined": combined}

    def _tell(self, done: int, total: int, what: str) -> None:
        if self.progress is not None:
            self.progress(done, total, what)

    def _pass(self, scratch: Path) -> _Made:
        """Read every coat once and make of it what is asked for; a batch at a time, since crops are large."""
        from modelzoo.evaluation.shortcuts import mirrored_coats

        untrained = self._untrained(scratch)
        model = self.model if self.coats.vectors is not None else None
        parts: dict[str, list[NDArray[np.float64]]] = {}
        features: list[bytes | None] = []
        wants_features = self.turn and self.few
        shortcuts = self.options.shortcuts and model is not None
        if not (self.turn or shortcuts or untrained is not None):
            return _Made()
        for start in range(0, len(self.stored), _BATCH):
            batch = [_load(item) for item in self.stored[start : start + _BATCH]]
            turned = [None if coat is None else mirrored_coats([coat])[0] for coat in batch]
            if model is not None and (self.turn or shortcuts):
                embed = _of_model(model)
                parts.setdefault("mirrored", []).append(_rows(embed, model.dimension, turned))
                if shortcuts:
                    parts.setdefault("background", []).append(_rows(embed, model.dimension, _scenes(batch)))
            if untrained is not None:
                parts.setdefault("untrained", []).append(_rows(untrained.encode, untrained.dimension, batch))
                if self.turn:
                    rows = _rows(untrained.encode, untrained.dimension, turned)
                    parts.setdefault("untrained_mirrored", []).append(rows)
            if wants_features:
                features += [None if c is None else engines.extract(c.crop, c.mask)[1] for c in turned]
            self._tell(min(start + _BATCH, len(self.stored)), len(self.stored), "reading coats")
        made = {name: np.concatenate(rows) for name, rows in parts.items()}
        return _Made(
            mirrored=made.get("mirrored"),
            background=made.get("background"),
            untrained=made.get("untrained"),
            untrained_mirrored=made.get("untrained_mirrored"),
            features=features if wants_features else None,
        )

    def _untrained(self, scratch: Path) -> Any:
        """An untrained network of the kind in use, else of the default kind; None where it was not asked for."""
        from modelzoo.embedders import open_embedder
        from modelzoo.network import EmbeddingConfig, initial_weights, save_weights

        network = (
            self.model is not None and self.model.trained and self.model.config.get("kind", "coatnet") == "coatnet"
        )
        if not (network if self.options.baseline is None else self.options.baseline):
            return None
        values = dict(self.model.config) if network and self.model is not None else {}
        values.pop("kind", None)
        config = EmbeddingConfig.from_dict(values)
        weights = scratch / "untrained.safetensors"
        sha256 = save_weights(weights, initial_weights(config, _BASELINE_SEED), {})
        return open_embedder(config.to_dict(), weights, sha256, runtime="torch")


def _subject(photo: Photo, flank: str) -> Any:
    from modelzoo.evaluation import EvaluationPhoto

    return EvaluationPhoto(
        photo.key, photo.identity, photo.individual, photo.event, flank, photo.picture, photo.labelled
    )


def _known(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit rows in float64; a row of zeros, a coat without vector, becomes one of NaN."""
    rows = vectors.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.where(length > 0, rows / np.where(length > 0, length, 1), np.nan))


def _of_model(model: EmbeddingModel) -> Callable[[list[Any]], Any]:
    """Raises UnfitModel for weights that are gone or were changed."""
    from modelzoo.weights import WeightsError

    from .model_files import UnfitModel

    def embed(coats: list[Any]) -> Any:
        try:
            return engines.encode(model, coats)
        except WeightsError as error:
            raise UnfitModel(f"{model} cannot encode the mirrored coats: {error}") from None

    return embed


def _rows(embed: Callable[[list[Any]], Any], dimension: int, coats: Sequence[Any]) -> NDArray[np.float64]:
    """n×dimension; NaN for a coat that is not there or of which no vector can be made."""
    from modelzoo.evaluation.shortcuts import encode_or_nan

    rows = np.full((len(coats), dimension), np.nan)
    there = [index for index, coat in enumerate(coats) if coat is not None]
    if there:
        rows[there] = encode_or_nan(embed, [coats[index] for index in there])
    return rows


def _load(item: Stored) -> Any:
    """None for a coat whose files are gone or do not fit together."""
    from .coats import EncodingError, load_coat

    if item.crop is None:
        return None
    try:
        return load_coat(item.crop, item.edges, item.mask)
    except (OSError, ValueError, EncodingError) as error:
        logger.warning("%s cannot be read, its coat is left out where it is needed: %s", item.crop.name, error)
        return None


def _scenes(coats: Sequence[Any]) -> list[Any]:
    from modelzoo.evaluation.shortcuts import background_coats

    return [None if coat is None or coat.mask is None else background_coats([coat])[0] for coat in coats]
