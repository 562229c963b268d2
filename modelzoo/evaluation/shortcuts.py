"""Two tests of what else a scorer may go by: the background alone, and coats mirrored left to right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..coats import CoatPixels, EncodingError
from . import scores as scoring
from .evaluate import DEFAULT_RESAMPLES, FEW_INDIVIDUALS, EvaluationReport, Variant, evaluate_scores, evaluate_vectors
from .photos import EvaluationPhoto

Embed = Callable[[list[CoatPixels]], ArrayLike]
"""Coats → n×d vectors; raises EncodingError for one that cannot be encoded."""

# The animal's outline is drawn this much wider (share of the shorter side), so that no fringe of the coat is left.
MARGIN = 0.03
_GREY = 128


def mirrored_coats(coats: Sequence[CoatPixels]) -> list[CoatPixels]:
    """The coats with left and right exchanged, edge maps and masks too."""
    return [CoatPixels(_flip(c.crop), *(None if p is None else _flip(p) for p in (c.edges, c.mask))) for c in coats]


def background_coats(coats: Sequence[CoatPixels]) -> list[CoatPixels]:
    """What stands behind the animals: inside the mask, widened, the mean colour of the rest, and no edges.

    The outline of the animal stays visible. A coat whose animal fills the whole crop becomes grey. Raises ValueError
    for a coat without mask.
    """
    return [_without_animal(coat) for coat in coats]


def _flip(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels[:, ::-1])


def _without_animal(coat: CoatPixels) -> CoatPixels:
    if coat.mask is None:
        raise ValueError("the background of a coat without mask is not known")
    reach = max(1, round(MARGIN * min(coat.mask.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    animal = cv2.dilate((coat.mask > 0).astype(np.uint8), kernel) > 0
    crop = coat.crop.copy()
    crop[animal] = _GREY if animal.all() else coat.crop[~animal].mean(axis=0).round().astype(np.uint8)
    edges = coat.edges
    if edges is not None:
        size = (edges.shape[1], edges.shape[0])
        within = cv2.resize(animal.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        edges = np.where(within, 0, edges).astype(np.uint8)
    return CoatPixels(crop, edges, coat.mask)


@dataclass(frozen=True)
class Shortcuts:
    """plain: the scorer as it is used. background, mirrored: the same photos, asked as the module says; None with a
    reason where that cannot be done."""

    plain: EvaluationReport
    mirrored: EvaluationReport
    background: EvaluationReport | None
    background_reason: str = ""

    def sentences(self) -> list[str]:
        """What the two tests mean, for people."""
        found = []
        if self.background is None:
            found.append(f"Background alone: not measured. {self.background_reason}")
        else:
            found.append(
                _sentence(
                    "With the animals painted over",
                    self.background,
                    self.plain,
                    "that where a photo was taken gives the animal away",
                    "part of the scorer's figures comes from where the photos were taken, or from the outline",
                )
            )
        found.append(
            _sentence(
                "With the query mirrored",
                self.mirrored,
                self.plain,
                "that it takes a coat for its mirror image, which it must not: a mirrored left coat is no right coat",
                "it goes by what a mirror leaves as it is (colour, build, light, background), or does not tell left "
                "from right",
            )
        )
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "background": None if self.background is None else self.background.to_dict(),
            "background_reason": self.background_reason,
            "mirrored": self.mirrored.to_dict(),
            "sentences": self.sentences(),
        }


def shortcut_tests(
    coats: Sequence[CoatPixels],
    photos: Sequence[EvaluationPhoto],
    embed: Embed,
    *,
    plain: EvaluationReport | None = None,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Shortcuts:
    """Retrieval on the background alone and of mirrored queries among coats as seen.

    coats: n, in the order of photos. plain: the evaluation of the coats as seen where there is one already. The
    background needs a mask of every coat.
    """
    seen = scoring.cosines(encode_or_nan(embed, coats), photos)
    if plain is None:
        plain = evaluate_vectors(seen, photos, seed=seed, resamples=resamples)
    turned = scoring.cosines(encode_or_nan(embed, mirrored_coats(coats)), photos)
    mirrored = evaluate_scores(np.clip(turned @ seen.T, -1, 1), photos, seed=seed, resamples=resamples)
    background, reason = None, ""
    if any(coat.mask is None for coat in coats):
        reason = "It needs a mask of every coat."
    else:
        vectors = encode_or_nan(embed, background_coats(coats))
        if np.isnan(vectors).all():
            reason = "No vector can be made without the animal: the scorer looks at nothing else."
        else:
            background = evaluate_vectors(vectors, photos, seed=seed, resamples=resamples)
    return Shortcuts(plain, mirrored, background, reason)


def encode_or_nan(embed: Embed, coats: Sequence[CoatPixels]) -> NDArray[np.float64]:
    """n×d vectors; a row of NaN for a coat of which no vector can be made (n×1 when there is none at all)."""
    try:
        return np.asarray(embed(list(coats)), np.float64)
    except EncodingError:
        rows = [_one(embed, coat) for coat in coats]
        width = max((row.shape[0] for row in rows if row is not None), default=1)
        return np.array([np.full(width, np.nan) if row is None else row for row in rows])


def _one(embed: Embed, coat: CoatPixels) -> NDArray[np.float64] | None:
    try:
        return np.asarray(embed([coat]), np.float64)[0]
    except EncodingError:
        return None


def _sentence(what: str, test: EvaluationReport, plain: EvaluationReport, good: str, bad: str) -> str:
    """By the stricter variant of which something is known, as seen: only so were these queries asked."""
    strict: tuple[Variant, ...] = (("other_events", "as_seen"), ("all", "as_seen"))
    variant = next((v for v in strict if test[v].known and test[v].queries), strict[1])
    table = test[variant]
    found, chance = table["dt5ap"], table.chance["dt5ap"]
    if np.isnan(found.value):
        return f"{what}: no photo had another one of its animal to find."
    text = f"{what}, DT5AP is {found} where chance is {chance:.3f} and the coats as seen reach "
    text += f"{plain[variant]['dt5ap'].value:.3f}: "
    if table.individuals < FEW_INDIVIDUALS:
        text += f"with {table.individuals} individuals this says little; "
    above = (found.value if np.isnan(found.low) else found.low) > chance
    return f"{text}{bad}." if above else f"{text}not measurably above chance, no sign {good}."
