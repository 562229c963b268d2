"""The triplet loss of the SpotID paper with its choice of negatives."""

from __future__ import annotations

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer

from .prototypes import at_least_float

Triplets = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

FIRST_EPOCH_OF_MINING = 4


class Triplet(TripletMarginLoss):  # type: ignore[misc]
    """Mean of max(d(a, p) − d(a, n) + m, 0) over all pairs (a, p) of one identity, each with one negative n.

    From the fourth epoch on n is drawn among the semi-hard ones, d(a, p) < d(a, n) < d(a, p) + m, with weights
    1/d(a, n); before, and where none is semi-hard, among all negatives alike. SpotID paper, section 2.3.1. Photos that
    are alone with their identity serve as negatives.

    margin: m = 10 by default. d is Euclidean between the embeddings *as they are*: of unit vectors no two are further
    apart than 2, so that the paper's margin of 10 could never be met, every negative would be semi-hard and the loss
    would never reach 0. So this loss wants rows that are not normalised (``CoatNet.forward(images, normalise=False)``).
    Photos are compared by cosine afterwards all the same, as everywhere in SpotID.
    """

    wants_unit_rows = False
    drops_singletons = False
    prototypes = None

    def __init__(self, margin: float = 10.0, generator: torch.Generator | None = None) -> None:
        if margin <= 0:
            raise ValueError("the margin is above 0")
        distance = LpDistance(normalize_embeddings=False, p=2)
        super().__init__(margin=margin, distance=distance, reducer=MeanReducer())
        self.generator = generator
        self.epoch = 1

    def set_epoch(self, epoch: int) -> None:
        """epoch: counted from 1."""
        if epoch < 1:
            raise ValueError("epochs are counted from 1")
        self.epoch = epoch

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scalar, 0 where no triplet can be made. embeddings: n×d as they are; labels: n int64."""
        with torch.autocast(embeddings.device.type, enabled=False):
            rows = at_least_float(embeddings)
            value: torch.Tensor = super().forward(rows, labels, self.choose(rows, labels))
        return value

    @torch.no_grad()
    def choose(self, embeddings: torch.Tensor, labels: torch.Tensor) -> Triplets:
        """Positions of anchors, positives and negatives: one triplet per ordered pair of one identity."""
        same = labels[:, None] == labels[None, :]
        others = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        anchors, positives = torch.nonzero(others & ~same.all(dim=1, keepdim=True), as_tuple=True)
        if not len(anchors):
            return anchors, positives, anchors
        negative = ~same[anchors]
        weights = negative.to(embeddings.dtype)
        if self.epoch >= FIRST_EPOCH_OF_MINING:
            distances = self.distance(embeddings)
            to_all = distances[anchors]
            to_positive = distances[anchors, positives][:, None]
            semi_hard = negative & (to_all > to_positive) & (to_all < to_positive + self.margin)
            inverse = torch.where(semi_hard, 1.0 / to_all.clamp_min(torch.finfo(to_all.dtype).tiny), 0.0)
            weights = torch.where(semi_hard.any(dim=1, keepdim=True), inverse, weights)
        return anchors, positives, torch.multinomial(weights, 1, generator=self.generator)[:, 0]
