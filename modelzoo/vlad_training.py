"""Learning what :mod:`modelzoo.vlad` needs from the local features of many coats: main axes and words.

Everything is NumPy, and every draw comes from one seed: the same features on the same machine give the same bits.
k-means with careful seeding: Arthur and Vassilvitskii 2007, "k-means++".
"""

from collections.abc import Callable, Sequence

import numpy as np

from .local.features import LocalFeatures
from .vlad import Rows, VladConfig, VladWeights, nearest_words

Progress = Callable[[int, int, str], None]

DESCRIPTORS = 200_000
_ITERATIONS = 30


def learn(
    features: Sequence[LocalFeatures], config: VladConfig, seed: int, progress: Progress | None = None
) -> VladWeights:
    """Weights for the config from the features of at least a few coats.

    Up to DESCRIPTORS of their descriptors are looked at, evenly many per coat. Raises ValueError where there are not
    more descriptors than words.
    """
    tell = progress or (lambda done, total, message: None)
    rng = np.random.default_rng(seed)
    sample = _sample(features, rng)
    if len(sample) <= max(config.words, config.descriptor_dimension):
        raise ValueError(f"{len(sample)} descriptors are too few for {config.words} words")
    tell(0, 2, f"axes of {len(sample)} descriptors")
    mean = np.asarray(sample.mean(axis=0, dtype=np.float64), np.float32)
    axes = main_axes(sample - mean, config.descriptor_dimension)
    tell(1, 2, f"{config.words} words")
    shortened = np.asarray((sample - mean) @ axes, np.float32)
    weights = VladWeights(mean, axes, k_means(shortened, config.words, rng))
    tell(2, 2, "learned")
    weights.check(config)
    return weights


def _sample(features: Sequence[LocalFeatures], rng: np.random.Generator) -> Rows:
    """RootSIFT rows, evenly many of each coat, drawn without replacement."""
    each = max(1, DESCRIPTORS // max(len(features), 1))
    drawn = [f.rootsift[rng.permutation(len(f))[:each]] for f in features if len(f)]
    return np.concatenate(drawn) if drawn else np.zeros((0, 128), np.float32)


def main_axes(rows: Rows, count: int) -> Rows:
    """d×count: orthonormal directions in which n×d centred rows vary most, the largest entry of each positive."""
    _, axes = np.linalg.eigh(rows.T.astype(np.float64) @ rows)
    axes = axes[:, ::-1][:, :count]
    # The sign of an axis is arbitrary: fixed, so that it does not hang on the library.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])
    return np.ascontiguousarray(axes * signs, np.float32)


def k_means(rows: Rows, k: int, rng: np.random.Generator) -> Rows:
    """k×d centres of n×d rows (n > k). A centre that loses its rows goes to the row farthest from its own centre."""
    centres = _spread(rows, k, rng)
    square = (rows**2).sum(axis=1)
    for _ in range(_ITERATIONS):
        nearest = nearest_words(rows, centres)
        order = np.argsort(nearest, kind="stable")
        bounds = np.searchsorted(nearest[order], np.arange(k + 1))
        moved = centres.copy()
        for word in range(k):
            members = rows[order[bounds[word] : bounds[word + 1]]]
            if len(members):
                moved[word] = members.mean(axis=0, dtype=np.float64)
        empty = np.flatnonzero(np.diff(bounds) == 0)
        if len(empty):
            distance = square - 2 * (rows * centres[nearest]).sum(axis=1) + (centres[nearest] ** 2).sum(axis=1)
            moved[empty] = rows[np.argsort(-distance, kind="stable")[: len(empty)]]
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _spread(rows: Rows, k: int, rng: np.random.Generator) -> Rows:
    """First centres, each drawn with a chance that grows with the squared distance to those there are."""
    chosen = [int(rng.integers(len(rows)))]
    distance = ((rows - rows[chosen[0]]) ** 2).sum(axis=1, dtype=np.float64)
    for _ in range(k - 1):
        total = distance.sum()
        # All rows may be equal: then any will do.
        chosen.append(int(rng.choice(len(rows), p=distance / total if total > 0 else None)))
        distance = np.minimum(distance, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1, dtype=np.float64))
    return np.array(rows[chosen], np.float32)
