"""Evaluating a scorer on photos of known animals: all figures, with intervals, in four variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import scores as scoring
from .bootstrap import Resampler
from .pairs import Pair, telling_pairs
from .photos import EvaluationPhoto, animals, check_photos
from .table import Table, make_table

Events = Literal["all", "other_events"]
Heading = Literal["as_seen", "normalised"]
Variant = tuple[Events, Heading]

VARIANTS: tuple[Variant, ...] = (
    ("all", "as_seen"),
    ("other_events", "as_seen"),
    ("all", "normalised"),
    ("other_events", "normalised"),
)
VARIANT_NAMES: dict[Variant, str] = {
    ("all", "as_seen"): "all photos, as seen",
    ("other_events", "as_seen"): "other events only, as seen",
    ("all", "normalised"): "all photos, headings normalised",
    ("other_events", "normalised"): "other events only, headings normalised",
}
# Nearest to what a new survey asks first: neither near-duplicates nor the way an animal walks may help.
HONEST_FIRST: tuple[Variant, ...] = (
    ("other_events", "normalised"),
    ("other_events", "as_seen"),
    ("all", "normalised"),
    ("all", "as_seen"),
)
DEFAULT_RESAMPLES = 2000
FEW_INDIVIDUALS = 10
NOT_MIRRORED = "Animals may face different ways, and there are no vectors of mirrored coats."


@dataclass(frozen=True)
class EvaluationReport:
    """tables: one per variant. pairs: the hardest right and wrong ones, for people to look at."""

    photos: tuple[EvaluationPhoto, ...] = field(repr=False)
    tables: dict[Variant, Table]
    seed: int
    resamples: int
    pairs: dict[str, tuple[Pair, ...]] = field(default_factory=dict, repr=False)

    def __getitem__(self, variant: Variant) -> Table:
        return self.tables[variant]

    @property
    def identities(self) -> int:
        return len({photo.identity for photo in self.photos if photo.labelled})

    @property
    def individuals(self) -> int:
        return len({photo.individual for photo in self.photos if photo.labelled})

    def honest_variant(self) -> Variant:
        """The strictest variant of which something is known (all photos, as seen, when there is no query at all)."""
        return next((v for v in HONEST_FIRST if self.tables[v].known and self.tables[v].queries), VARIANTS[0])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: {"tables": {"all": {"as_seen": {…}, "normalised": {…}}, "other_events": {…}}, …}."""
        tables: dict[str, dict[str, Any]] = {}
        for (events, heading), table in self.tables.items():
            tables.setdefault(events, {})[heading] = table.to_dict()
        return {
            "photos": len(self.photos),
            "identities": self.identities,
            "individuals": self.individuals,
            "queries": self.tables[VARIANTS[0]].queries,
            "seed": self.seed,
            "resamples": self.resamples,
            "interval": "95 %, percentile bootstrap over individuals, the gallery kept as it is",
            "tables": tables,
        }


def evaluate_vectors(
    vectors: ArrayLike,
    photos: Sequence[EvaluationPhoto],
    *,
    mirrored: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> EvaluationReport:
    """Evaluate n×d vectors (compared by cosine; a row of NaN is a photo that could not be encoded) of n photos.

    mirrored: n×d vectors of the same coats mirrored left to right, needed for the variants with headings normalised
    where animals face different ways. Raises ValueError for arrays of another shape, vectors without direction and
    photos that contradict each other.
    """
    check_photos(photos)
    rows = scoring.cosines(vectors, photos)
    seen = scoring.as_seen(rows)
    normalised: NDArray[np.float64] | None = None
    if not scoring.needs_mirrored(photos):
        normalised = seen
    elif mirrored is not None:
        normalised = scoring.normalised_cosines(rows, scoring.cosines(mirrored, photos), _flanks(photos))
    return evaluate_matrices(seen, normalised, photos, cosine=True, seed=seed, resamples=resamples)


def evaluate_scores(
    scores: ArrayLike,
    photos: Sequence[EvaluationPhoto],
    *,
    mirrored: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> EvaluationReport:
    """Evaluate a scorer without vectors: scores[i, j] says how alike photo j is to query i (higher is more).

    NaN: not comparable. The diagonal is ignored. mirrored[i, j]: photo i mirrored left to right against photo j as
    seen. CCDR and angles are left out: scores are no cosines. Raises ValueError as `evaluate_vectors` does.
    """
    check_photos(photos)
    seen = _square(scores, photos)
    normalised: NDArray[np.float64] | None = None
    if not scoring.needs_mirrored(photos):
        normalised = seen
    elif mirrored is not None:
        normalised = scoring.normalised_scores(seen, _square(mirrored, photos), _flanks(photos))
    return evaluate_matrices(seen, normalised, photos, cosine=False, seed=seed, resamples=resamples)


def _flanks(photos: Sequence[EvaluationPhoto]) -> list[str]:
    return [photo.flank for photo in photos]


def evaluate_matrices(
    seen: ArrayLike,
    normalised: ArrayLike | None,
    photos: Sequence[EvaluationPhoto],
    *,
    cosine: bool,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
    why_not: str = NOT_MIRRORED,
) -> EvaluationReport:
    """For callers that have the n×n scores of both kinds: as seen, and with headings normalised.

    normalised: None where it is not known; why_not then says why. cosine: whether scores are cosines, so that CCDR and
    angles mean something. Raises ValueError as `evaluate_vectors` does.
    """
    check_photos(photos)
    shown = _square(seen, photos)
    matrices: dict[Heading, NDArray[np.float64] | None] = {
        "as_seen": shown,
        "normalised": None if normalised is None else _square(normalised, photos),
    }
    individuals, known = animals(photos)
    resampler = Resampler(individuals, seed=seed, resamples=resamples, known=known)
    everybody = scoring.everybody(photos)
    galleries: dict[Events, NDArray[np.bool_] | str] = {
        "all": everybody,
        "other_events": scoring.other_events(photos),
    }
    tables: dict[Variant, Table] = {}
    for events, heading in VARIANTS:
        gallery, matrix = galleries[events], matrices[heading]
        if isinstance(gallery, str):
            tables[events, heading] = Table(known=False, reason=gallery)
        elif matrix is None:
            tables[events, heading] = Table(known=False, reason=why_not)
        elif heading == "normalised" and normalised is seen:
            tables[events, heading] = tables[events, "as_seen"]
        else:
            note = _remarks(events, photos)
            tables[events, heading] = make_table(matrix, gallery, photos, resampler, cosine=cosine, reason=note)
    return EvaluationReport(
        photos=tuple(photos),
        tables=tables,
        seed=seed,
        resamples=len(resampler.weights),
        pairs=telling_pairs(shown, everybody, photos),
    )


def _square(scores: ArrayLike, photos: Sequence[EvaluationPhoto]) -> NDArray[np.float64]:
    matrix = np.asarray(scores, np.float64)
    n = len(photos)
    if n == 0 and matrix.size == 0:
        return np.zeros((0, 0))
    if matrix.shape != (n, n):
        raise ValueError(f"scores of shape {matrix.shape} do not belong to {n} photos")
    return matrix


def _remarks(events: Events, photos: Sequence[EvaluationPhoto]) -> str:
    """What a reader of the table must know, in sentences."""
    found = []
    individuals = animals(photos)[1]
    if individuals < FEW_INDIVIDUALS:
        found.append(f"Only {individuals} individual{'s' * (individuals != 1)}: the intervals say little.")
    if events == "other_events":
        known = [photo.event for photo in photos if photo.event is not None]
        if len(known) < len(photos):
            found.append(f"The event is known of {len(known)} of {len(photos)} photos; the others are left out.")
        if len(set(known)) == len(known):
            found.append("No two photos share an event.")
    nobody = sum(not photo.labelled for photo in photos)
    if nobody:
        found.append(f"{nobody} of them without label are nobody's match.")
    return " ".join(found)
