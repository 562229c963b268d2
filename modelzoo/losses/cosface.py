"""CosFace: a softmax of cosines with a margin for the right class."""

from __future__ import annotations

import torch
from pytorch_metric_learning.losses import CosFaceLoss

from .prototypes import WithPrototypes


class CosFace(WithPrototypes, CosFaceLoss):  # type: ignore[misc]
    """Cross entropy of the logits s·cosθ, of the right class s·(cosθ − m). Wang et al. 2018, arXiv 1801.09414.

    margin: m = 0.2 by default, the best of the SpotID paper for this loss.
    """

    def __init__(
        self,
        classes: int,
        dimension: int,
        margin: float = 0.2,
        scale: float = 64.0,
        train_prototypes: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(classes, dimension, margin, scale, train_prototypes, generator)
