"""What trains dense descriptors: InfoNCE over exact correspondences, and the chance of a right match.

InfoNCE: van den Oord et al. 2018, "Representation learning with contrastive predictive coding". Every place of the
other window is a negative, so the hard ones, places nearby on the same coat, are among them; so are other coats of the
batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Correspondences:
    """k places of one window and the whole other window (m cells). source: k cells of the first window. target: k cells
    of the second, the nearest on the coat. near: k×m bool, cells of the second too close to the right place to be
    called wrong (the target among them)."""

    source: torch.Tensor
    target: torch.Tensor
    near: torch.Tensor


def correspondences(
    first: torch.Tensor, second: torch.Tensor, most: int, generator: torch.Generator
) -> Correspondences:
    """Cells of the first window (n×2 coat places, NaN unknown) seen in the second (m×2), at most `most`, at random.

    A cell is seen when the nearest coat place of the second window is within three quarters of the usual distance
    between its cells; cells within two and a half such distances are near.
    """
    known = torch.nonzero(~first.isnan().any(dim=1))[:, 0]
    there = torch.nonzero(~second.isnan().any(dim=1))[:, 0]
    if len(known) == 0 or len(there) < 2:
        nothing = torch.zeros(0, dtype=torch.int64)
        return Correspondences(nothing, nothing, torch.zeros((0, len(second)), dtype=torch.bool))
    distance = torch.cdist(first[known], second[there], compute_mode="donot_use_mm_for_euclid_dist")
    nearest, column = distance.min(dim=1)
    step = cell_step(second[there])
    seen = torch.nonzero(nearest < 0.75 * step)[:, 0]
    seen = seen[torch.randperm(len(seen), generator=generator)[:most]]
    near = torch.zeros((len(seen), len(second)), dtype=torch.bool)
    near[:, there] = distance[seen] < 2.5 * step
    return Correspondences(known[seen], there[column[seen]], near)


def cell_step(places: torch.Tensor) -> float:
    """Usual distance on the coat between neighbouring cells: the median distance to the nearest other place."""
    some = places[:: max(1, len(places) // 200)]
    distance = torch.cdist(some, places, compute_mode="donot_use_mm_for_euclid_dist")
    return float(distance.topk(2, dim=1, largest=False).values[:, 1].median())


class DenseLoss(nn.Module):
    """InfoNCE plus `reliability_weight` times the binary cross-entropy of reliability. temperature divides cosines."""

    def __init__(self, temperature: float = 0.07, reliability_weight: float = 0.2) -> None:
        super().__init__()
        self.temperature, self.reliability_weight = temperature, reliability_weight

    def forward(
        self,
        queries: torch.Tensor,
        candidates: torch.Tensor,
        others: torch.Tensor,
        found: Correspondences,
        reliability: torch.Tensor,
        ground: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of one window against another (a scalar), and which of the k matches were right (k bool).

        queries: n×d of the first window, candidates: m×d of the second, others: o×d of other coats, all unit rows.
        reliability: n log-odds of the first window. ground: n bool, its cells off the animal, never reliable.
        """
        chosen = queries[found.source]
        cosine = chosen @ candidates.T
        hidden = found.near.clone()
        hidden[torch.arange(len(hidden)), found.target] = False
        logits = torch.cat([cosine.masked_fill(hidden, float("-inf")), chosen @ others.T], dim=1) / self.temperature
        contrast = functional.cross_entropy(logits, found.target)
        with torch.no_grad():
            wrong = torch.cat([cosine.masked_fill(found.near, -2.0), chosen @ others.T], dim=1).max(dim=1).values
            right = cosine.masked_fill(~found.near, -2.0).max(dim=1).values > wrong
        logs = torch.cat([reliability[found.source], reliability[ground]])
        truth = torch.cat([right.float(), torch.zeros(int(ground.sum()))])
        weight = torch.cat([torch.ones(len(right)), torch.full((int(ground.sum()),), 0.25)])
        trust = functional.binary_cross_entropy_with_logits(logs, truth, weight)
        return contrast + self.reliability_weight * trust, right
