"""Folders of individuals for benchmarks: which photos there are, and the fixed sample of a large set."""

from collections import defaultdict
from pathlib import Path

import numpy as np

LIMIT = 300


def sample(photos: list[tuple[str, Path]], limit: int = LIMIT) -> list[tuple[str, Path]]:
    """(identity, file) of whole identities, evenly spaced over the sorted names, as many as fit into `limit` photos.

    A set that fits is taken whole. Identities of one photo stay: they are nobody's match, as in a survey. A single
    identity of more than `limit` photos gives its first ones.
    """
    if len(photos) <= limit:
        return list(photos)
    of: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for identity, path in photos:
        of[identity].append((identity, path))
    names = sorted(of)
    for count in range(len(names), 0, -1):
        chosen = [names[i] for i in np.linspace(0, len(names) - 1, count).round().astype(int)]
        if sum(len(of[name]) for name in chosen) <= limit:
            return [photo for name in chosen for photo in of[name]]
    return of[names[0]][:limit]
