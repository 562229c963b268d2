"""Training, validation and test photos that share no animal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelzoo.training.data import TrainingPhoto

FEWEST_PAIRED = 2
"""Individuals with two photos of a flank that each part needs: with one alone every ranking is right."""


class TooFewPhotosError(ValueError):
    """Not enough individuals or photos to train from. The message is for people."""


@dataclass(frozen=True)
class Split:
    """Photos by part, each in the order given."""

    train: tuple[TrainingPhoto, ...]
    validation: tuple[TrainingPhoto, ...]
    test: tuple[TrainingPhoto, ...]


def paired_individuals(photos: Sequence[TrainingPhoto]) -> set[str]:
    """Individuals with at least two photos of one flank identity."""
    counts = Counter(photo.identity for photo in photos)
    return {photo.individual for photo in photos if counts[photo.identity] > 1}


def split_individuals(photos: Sequence[TrainingPhoto], seed: int, shares: Sequence[float] = (0.7, 0.15, 0.15)) -> Split:
    """Splits by individual: both flanks of an animal are on one side. Depends on the seed and the photos' names alone.

    shares: of the individuals, for training, validation and test, together 1; test may be 0. Individuals with two
    photos of a flank and those without are each divided by the shares, and every part gets at least two of the former.
    Raises ValueError for impossible shares and for a flank identity of two individuals, TooFewPhotosError when there
    are too few individuals.
    """
    if len(shares) != 3 or min(shares) < 0 or min(shares[:2]) == 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares are three numbers that add up to 1, of which only the last may be 0, not {list(shares)}"
        )
    _refuse_shared_identities(photos)
    paired = paired_individuals(photos)
    wanted = [share > 0 for share in shares]
    needed = FEWEST_PAIRED * sum(wanted)
    if len(paired) < needed:
        parts = "training, validation and test" if wanted[2] else "training and validation"
        raise TooFewPhotosError(
            f"training needs at least {needed} individuals with two or more photos of one flank "
            f"({FEWEST_PAIRED} each for {parts}); there are {len(paired)}"
        )
    rng = np.random.default_rng(seed)
    part_of: dict[str, int] = {}
    for group, fewest in ((paired, FEWEST_PAIRED), ({p.individual for p in photos} - paired, 0)):
        names = [sorted(group)[i] for i in rng.permutation(len(group))]
        sizes = _sizes(len(names), shares, fewest)
        for part, name in zip(np.repeat(range(3), sizes).tolist(), names, strict=True):
            part_of[name] = part
    return Split(*(tuple(p for p in photos if part_of[p.individual] == part) for part in range(3)))


def _refuse_shared_identities(photos: Sequence[TrainingPhoto]) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        owners[photo.identity].add(photo.individual)
    shared = sorted(identity for identity, names in owners.items() if len(names) > 1)
    if shared:
        raise ValueError(f"one flank cannot belong to two individuals: {', '.join(shared)}")


def _sizes(total: int, shares: Sequence[float], fewest: int) -> list[int]:
    """total divided by the shares (largest remainder), then evened out until each wanted part has the fewest."""
    exact = [total * share for share in shares]
    sizes = [int(value + 1e-9) for value in exact]
    by_remainder = sorted(range(3), key=lambda i: (sizes[i] - exact[i], i))
    for part in by_remainder[: total - sum(sizes)]:
        sizes[part] += 1
    for part in range(3):
        while shares[part] > 0 and sizes[part] < fewest:
            sizes[int(np.argmax(sizes))] -= 1
            sizes[part] += 1
    return sizes
