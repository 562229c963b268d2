"""The contrastive loss over all pairs of a batch."""

from __future__ import annotations

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss

from .prototypes import at_least_float


class Contrastive(ContrastiveLoss):  # type: ignore[misc]
    """Distance d of pairs of one identity plus max(m − d, 0) of other pairs, d Euclidean between unit vectors.

    Each sum is divided by the number of its terms that are above 0. Hadsell et al. 2006, with distances as they are
    instead of squared (the form of pytorch-metric-learning). margin: m = 1 by default, an angle of 60°.
    """

    wants_unit_rows = True
    drops_singletons = False
    prototypes = None

    def __init__(self, margin: float = 1.0) -> None:
        if not 0 < margin <= 2:
            raise ValueError("the margin is above 0 and at most 2, the largest distance of unit vectors")
        super().__init__(pos_margin=0.0, neg_margin=margin, distance=LpDistance(normalize_embeddings=True, p=2))

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scalar, 0 without any pair. embeddings: n×d of any length; labels: n int64."""
        with torch.autocast(embeddings.device.type, enabled=False):
            value: torch.Tensor = super().forward(at_least_float(embeddings), labels)
        return value
