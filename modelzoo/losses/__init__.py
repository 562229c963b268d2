"""Losses for embedding networks: one class each, parts of pytorch-metric-learning where it has them.

All are modules whose ``forward(embeddings n×d, labels n int64)`` gives a scalar, computed in at least float32 whatever
the autocast around it. ``wants_unit_rows``: whether the embeddings are to be of unit length (False: as the linear layer
gives them). ``drops_singletons``: whether identities with one photo only stay out of the training. ``prototypes``: one
column per class (dimension × classes), or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .adaptive import AdaptiveCosFace
from .arcface import ArcFace
from .contrastive import Contrastive
from .cosface import CosFace
from .triplet import Triplet

__all__ = ["LOSSES", "AdaptiveCosFace", "ArcFace", "Contrastive", "CosFace", "Triplet", "make_loss"]

LOSSES: dict[str, Callable[..., Any]] = {
    "triplet": Triplet,
    "contrastive": Contrastive,
    "arcface": ArcFace,
    "cosface": CosFace,
    "adaptive_cosface": AdaptiveCosFace,
}


def make_loss(
    name: str,
    classes: int,
    dimension: int,
    margin: float | None = None,
    scale: float = 64.0,
    train_prototypes: bool = True,
    generator: torch.Generator | None = None,
) -> Any:
    """The loss of that name. margin: None takes the paper's of that loss. Losses without prototypes ignore classes,
    dimension, scale and train_prototypes.

    train_prototypes: False keeps the prototypes as they were drawn, which is what happened in the original SpotID (its
    class weights were made after the optimiser). generator: what is drawn comes from it instead of torch's global one.
    Raises ValueError for an unknown name or numbers that make no sense.
    """
    if name not in LOSSES:
        raise ValueError(f"there is no loss {name!r}; there are {', '.join(LOSSES)}")
    kind = LOSSES[name]
    chosen: dict[str, Any] = {} if margin is None else {"margin": margin}
    if name == "triplet":
        return kind(**chosen, generator=generator)
    if name == "contrastive":
        return kind(**chosen)
    return kind(classes, dimension, **chosen, scale=scale, train_prototypes=train_prototypes, generator=generator)
