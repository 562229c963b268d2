"""Whether the vectors of a newly trained network have a say in candidates' scores, and with what coefficients."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from ..matching.candidates import Side, compatible
from ..selectors.training_set import TrainingRow
from . import engines
from .coats import EncodingError, load_coat
from .comparison import CoatSet
from .ranking import SHORTLIST, VERIFY_ALL
from .training import Trained

if TYPE_CHECKING:
    from modelzoo.calibrating import Judged, ShownPair
    from modelzoo.calibration import Evidence

logger = logging.getLogger(__name__)
Tell = Callable[[int, int, str], None]
_BATCH = 8


def judge_similarity(
    rows: Sequence[TrainingRow], sides: Sequence[Side], coats: CoatSet, *, trained: Trained, tell: Tell
) -> Judged:
    """Ask the photos that the best epoch was chosen by: see `modelzoo.calibrating.judge`.

    Not those that were learned from, whose vectors are closer than any new animal's will be, nor those that the network
    is measured on. sides, coats: detections as matching meets them; those that are not of `rows` are left out. `tell`
    is called between batches and may raise.
    """
    from modelzoo.calibrating import judge
    from modelzoo.calibration import Calibration

    row_of = {row.detection: row for row in rows}
    chosen = [index for index, side in enumerate(sides) if side.detection in row_of]
    kept = [row_of[sides[index].detection] for index in chosen]
    coats.prefetch(chosen)
    vectors, features = _read(kept, [not len(coats.features[index]) for index in chosen], trained, tell)
    compared = coats.under(vectors, trained.sha256, chosen)
    compared.features = [features.get(index, stored) for index, stored in enumerate(compared.features)]
    pairs = _shown_pairs(kept, [sides[index] for index in chosen], compared, tell)
    version = f"{engines.local_version()}-{trained.sha256[:12]}"
    return judge(pairs, Calibration.default(), version)


def evaluation_of(judged: Judged) -> dict[str, Any]:
    """What the model's evaluation keeps of it: the coefficients where they count, and in any case what was found."""
    found: dict[str, Any] = {
        "similarity": {
            "counts": judged.calibration is not None,
            "sentence": judged.sentence,
            "brier_with": judged.with_similarity,
            "brier_without": judged.without,
            "pairs": judged.pairs,
            "right": judged.right,
            "individuals": judged.individuals,
        }
    }
    if judged.calibration is not None:
        found["calibration"] = judged.calibration.to_dict()
    return found


def _read(
    rows: Sequence[TrainingRow], wanted: Sequence[bool], trained: Trained, tell: Tell
) -> tuple[NDArray[np.float32], Mapping[int, Any]]:
    """Vectors of the new network (zeros where there is none), and local features of those that have none stored."""
    from modelzoo.embedders import open_embedder
    from modelzoo.evaluation.shortcuts import encode_or_nan
    from modelzoo.local.features import from_bytes

    embedder = open_embedder(
        trained.config, trained.weights, trained.sha256, runtime="torch", threads=settings.SPOTID_TRAINING_THREADS
    )
    vectors = np.zeros((len(rows), embedder.dimension), np.float32)
    features: dict[int, Any] = {}
    for start in range(0, len(rows), _BATCH):
        batch = {index: _coat(rows[index]) for index in range(start, min(start + _BATCH, len(rows)))}
        there = {index: coat for index, coat in batch.items() if coat is not None}
        if there:
            vectors[list(there)] = np.nan_to_num(encode_or_nan(embedder.encode, list(there.values())))
        for index, coat in there.items():
            if wanted[index]:
                features[index] = from_bytes(engines.extract(coat.crop, coat.mask)[1])
        tell(start + len(batch), len(rows), "Encoding for the calibration")
    return vectors, features


def _coat(row: TrainingRow) -> Any:
    """None for a photo whose files are gone or do not fit together."""
    media = Path(settings.MEDIA_ROOT)
    try:
        return load_coat(media / row.crop, *(media / name if name else None for name in (row.edges, row.mask)))
    except (OSError, EncodingError) as error:
        logger.warning("detection %s has no vector in the calibration: %s", row.detection, error)
        return None


def _shown_pairs(rows: Sequence[TrainingRow], sides: Sequence[Side], coats: CoatSet, tell: Tell) -> list[ShownPair]:
    """Every photo with its best candidates. Near-duplicates of one event are no candidates: all would look too good."""
    from modelzoo.calibrating import ShownPair, best_candidates

    found: dict[tuple[int, int], Evidence] = {}
    weight, cosine = np.full((len(rows), len(rows)), -1.0), np.full((len(rows), len(rows)), np.nan)
    for i, j in _worth_verifying(rows, sides, coats, tell):
        if (i, j) not in found:
            evidence = coats.evidence(i, j)
            found[i, j] = evidence
            weight[i, j] = weight[j, i] = evidence.weight or 0.0
            cosine[i, j] = cosine[j, i] = np.nan if evidence.similarity is None else evidence.similarity
    names = [str(row.individual) for row in rows]
    return [
        ShownPair(found[min(i, j), max(i, j)], names[i], names[j], (min(i, j), max(i, j)))
        for i, j in best_candidates(weight, cosine)
    ]


def _worth_verifying(
    rows: Sequence[TrainingRow], sides: Sequence[Side], coats: CoatSet, tell: Tell
) -> Iterator[tuple[int, int]]:
    """Pairs i < j that matching would verify, some of them twice."""
    everything = len(rows) <= VERIFY_ALL
    for i, row in enumerate(rows):
        for j in range(i + 1, len(rows)) if everything else coats.shortlist(i, SHORTLIST):
            one_event = row.event is not None and row.event == rows[j].event
            if compatible(sides[i], sides[j]) and not one_event:
                yield min(i, j), max(i, j)
        tell(i + 1, len(rows), "Verifying for the calibration")
