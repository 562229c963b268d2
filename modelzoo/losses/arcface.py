"""ArcFace: a softmax of cosines with a margin added to the angle of the right class."""

from __future__ import annotations

import math

import torch
from pytorch_metric_learning.losses import ArcFaceLoss

from .prototypes import WithPrototypes


class ArcFace(WithPrototypes, ArcFaceLoss):  # type: ignore[misc]
    """Cross entropy of the logits s·cosθ, of the right class s·cos(θ + m). Deng et al. 2019, arXiv 1801.07698.

    margin: m = 0.5 rad by default, that of its paper. Beyond θ = π − m, where the cosine would rise again,
    s·(cosθ − m·sin m) takes its place.
    """

    def __init__(
        self,
        classes: int,
        dimension: int,
        margin: float = 0.5,
        scale: float = 64.0,
        train_prototypes: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(classes, dimension, math.degrees(margin), scale, train_prototypes, generator)
