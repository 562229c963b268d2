"""Which photos make up each batch: a few of each flank identity, every photo once an epoch.

As in the paper: an identity is drawn at random, and up to `per_identity` of its photos join the batch. The weight of
an identity is ln(remaining photos + 1), as in the original's code, so that large ones last through the epoch. Left and
right flanks mix in a batch, which the paper found to train better than batches of one side.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


class IdentitySampler:
    """Batches of photo numbers. They depend on the identities, the seed and the epoch alone.

    identities: one per photo. batch_size: the most photos of a batch, but a photo that would be left alone in the last
    batch joins the one before (batch statistics need two). per_identity: the most photos of one identity in a batch.
    drop_singletons leaves out photos that are the only one of their identity: losses with one prototype per identity
    learn nothing from them, while triplets use them as negatives.
    """

    def __init__(
        self, identities: Sequence[Hashable], *, batch_size: int, per_identity: int, seed: int, drop_singletons: bool
    ) -> None:
        if batch_size < 2 or per_identity < 1:
            raise ValueError("a batch has at least two photos, and at least one of each identity")
        counts = Counter(identities)
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for number, identity in enumerate(identities):
            if counts[identity] > 1 or not drop_singletons:
                groups[identity].append(number)
        self._groups = list(groups.values())
        self.batch_size, self.per_identity, self.seed = batch_size, per_identity, seed

    @property
    def photos(self) -> int:
        """Photos of an epoch."""
        return sum(len(group) for group in self._groups)

    def batches(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, in their order. Every photo (but dropped singletons) is in exactly one."""
        rng = np.random.default_rng([self.seed, epoch])
        waiting = [[group[i] for i in rng.permutation(len(group))] for group in self._groups]
        remaining = np.array([len(group) for group in waiting], np.int64)
        batches: list[list[int]] = []
        while remaining.any():
            batches.append(self._fill(rng, waiting, remaining))
        if len(batches) > 1 and len(batches[-1]) == 1:
            last = batches.pop()
            batches[-1] += last
        return batches

    def _fill(self, rng: np.random.Generator, waiting: list[list[int]], remaining: np.ndarray) -> list[int]:
        """Takes one batch out of `waiting`."""
        batch: list[int] = []
        free = np.ones(len(waiting), bool)
        while len(batch) < self.batch_size:
            weights = np.log(remaining + 1.0) * free
            if not weights.any():
                break
            chosen = int(rng.choice(len(waiting), p=weights / weights.sum()))
            free[chosen] = False
            take = min(self.per_identity, self.batch_size - len(batch), int(remaining[chosen]))
            batch += [waiting[chosen].pop() for _ in range(take)]
            remaining[chosen] -= take
        return batch
