"""Dense descriptors of one coat: which places are kept, how they are stored, how two coats are compared.

Kept are the most reliable cells on the animal, at most one of each small block. Two coats are matched mutually; how
distinctive a match is follows from the best cell elsewhere (the first geometrically inconsistent neighbour, Mishkin et
al. 2015), because cells beside each other look alike; geometry is verified as for RootSIFT (`modelzoo.local.verify`).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.dense.network import STRIDE, DenseConfig, DenseNet
from modelzoo.dense.photometry import even_contrast
from modelzoo.local import LocalConfig, Verification
from modelzoo.local.verify import fit

FORMAT_VERSION = 1
_MAGIC = b"SPDN"
_HEADER = struct.Struct("<4sBBHHH")
_LEVELS = 127.0
_APART = 10.0  # pixels from a match beyond which the next best cell counts as another place
_MULTIPLE = 16
_MARGIN = 0.05
_SMALLEST_MASK = 0.02

GEOMETRY = replace(LocalConfig(), ratio=0.97, tolerance=0.035, scale_tolerance=1.0)
"""How agreeing matches are found. Cells have no scale or direction of their own, so those say nothing."""


class DenseFeatureError(ValueError):
    """Bytes that are no stored dense features, or arrays of the wrong form."""


@dataclass(frozen=True, eq=False)
class DenseFeatures:
    """places: n×2 uint16, x and y in pixels of the resized picture. descriptors: n×d int8, 127 times a unit row.
    reliability: n uint8, 255 times the chance. width, height: pixels of the resized picture. Most reliable first."""

    places: NDArray[np.uint16]
    descriptors: NDArray[np.int8]
    reliability: NDArray[np.uint8]
    width: int
    height: int

    def __post_init__(self) -> None:
        n = len(self.places)
        if self.places.shape != (n, 2) or self.descriptors.ndim != 2 or not n == len(self.descriptors) == len(self.reliability):  # fmt: skip # noqa: E501
            raise DenseFeatureError(
                f"places {self.places.shape}, descriptors {self.descriptors.shape} and reliability "
                f"{self.reliability.shape} do not belong together"
            )

    def __len__(self) -> int:
        return len(self.places)

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """n×d float32 unit rows; computed once and kept."""
        values = self.descriptors.astype(np.float32)
        return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)

    @cached_property
    def pixels(self) -> NDArray[np.float32]:
        """n×2 float32 x, y in pixels of the resized picture."""
        return self.places.astype(np.float32)

    @cached_property
    def points(self) -> NDArray[np.float32]:
        """n×4 float32 as `modelzoo.local` has them: x, y in 0…1, scale 1 and direction 0 for all."""
        size = np.array([max(self.width, 1), max(self.height, 1)], np.float32)
        n = len(self)
        return np.hstack([self.pixels / size, np.ones((n, 1), np.float32), np.zeros((n, 1), np.float32)])

    @cached_property
    def beside(self) -> NDArray[np.bool_]:
        """n×n: which cells lie so close that they say the same; computed once and kept."""
        x, y = self.pixels.T
        return (np.abs(x[:, None] - x) < _APART) & (np.abs(y[:, None] - y) < _APART)

    @classmethod
    def empty(cls, dimension: int, width: int = 0, height: int = 0) -> DenseFeatures:
        return cls(np.zeros((0, 2), np.uint16), np.zeros((0, dimension), np.int8), np.zeros(0, np.uint8), width, height)


def extract(coat: CoatPixels, network: DenseNet) -> DenseFeatures:
    """The dense features of one coat, from a network in evaluation mode, on one picture at a time.

    With a mask, the animal's surroundings are cut off and its size evened out; without one the whole crop counts.
    Raises EncodingError when the network gives something that is not finite.
    """
    config = network.config
    grey, mask = _framed(coat, config)
    height, width = grey.shape
    if min(height, width) < _MULTIPLE:
        return DenseFeatures.empty(config.dimension, width, height)
    picture = even_contrast(grey, config.contrast_sigma)
    right, below = -width % _MULTIPLE, -height % _MULTIPLE
    padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
    with torch.inference_mode():
        found = network(torch.from_numpy(np.ascontiguousarray(padded))[None, None])
    descriptors, trust = (value[0].numpy() for value in found)
    if not (np.isfinite(descriptors).all() and np.isfinite(trust).all()):
        raise EncodingError("the dense network gives values that are not finite")
    rows, columns = height // STRIDE, width // STRIDE
    usable = _usable(mask, rows, columns)
    place_rows, place_columns = _most_reliable(trust[:rows, :columns], usable, config)
    chosen = descriptors[:, place_rows, place_columns].T
    chance = 1.0 / (1.0 + np.exp(-trust[place_rows, place_columns].astype(np.float64)))
    places = np.stack([place_columns, place_rows], axis=1) * STRIDE + STRIDE // 2
    return DenseFeatures(
        places.astype(np.uint16),
        np.rint(chosen * _LEVELS).astype(np.int8),
        np.rint(chance * 255).astype(np.uint8),
        width,
        height,
    )


def _framed(coat: CoatPixels, config: DenseConfig) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Grey picture of the size the network expects, cut to the mask's surroundings, and the mask."""
    grey = np.asarray(cv2.cvtColor(coat.crop, cv2.COLOR_RGB2GRAY), np.uint8)
    mask = None if coat.mask is None else coat.mask > 0
    if mask is not None and mask.mean() < _SMALLEST_MASK:
        mask = None
    if mask is None:
        factor = config.mean_side / (grey.shape[0] * grey.shape[1]) ** 0.5
    else:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        margin = round(_MARGIN * max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1)
        area = (
            slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
            slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
        )
        grey, mask = grey[area], mask[area]
        factor = config.animal_side / float(mask.sum()) ** 0.5
    factor = min(factor, config.longest_side / max(grey.shape))
    size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    resized = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    if mask is not None:
        mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(resized, np.uint8), mask


def _usable(mask: NDArray[np.bool_] | None, rows: int, columns: int) -> NDArray[np.bool_]:
    """Cells (rows×columns) of which at least half lies on the animal."""
    if mask is None:
        return np.ones((rows, columns), bool)
    cells = mask[: rows * STRIDE, : columns * STRIDE].reshape(rows, STRIDE, columns, STRIDE)
    return np.asarray(cells.mean(axis=(1, 3)) >= 0.5)


def _most_reliable(
    trust: NDArray[np.float32], usable: NDArray[np.bool_], config: DenseConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the most reliable usable cell of each block, the best of them first."""
    block = config.block
    rows, columns = (trust.shape[0] // block) * block, (trust.shape[1] // block) * block
    values = np.where(usable, trust, -np.inf)[:rows, :columns]
    blocks = values.reshape(rows // block, block, columns // block, block).swapaxes(1, 2).reshape(-1, block * block)
    best = blocks.argmax(axis=1)
    value = blocks[np.arange(len(blocks)), best]
    order = np.argsort(-value, kind="stable")[: config.keypoints]
    order = order[np.isfinite(value[order])]
    across = columns // block
    return order // across * block + best[order] // block, order % across * block + best[order] % block


def tentative_matches(a: DenseFeatures, b: DenseFeatures) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """m×2 indices of cells that are each other's nearest, and m weights 1 − ratio; symmetric in a and b.

    ratio: distance to the match over the distance to the nearest cell that is not beside it, the mean of both ways.
    """
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    similarity = a.rows @ b.rows.T
    best = similarity.argmax(axis=1)
    nearest = similarity[np.arange(len(a)), best]
    first = np.flatnonzero(similarity.max(axis=0)[best] <= nearest)
    # Equal descriptors can make one cell the nearest of several: the first keeps it.
    _, kept = np.unique(best[first], return_index=True)
    first = first[np.sort(kept)]
    second = best[first]
    gap = np.sqrt(np.maximum(1.0 - nearest[first], 0.0))
    ratios = []
    for values, beside in ((similarity[first], b.beside[second]), (similarity.T[second], a.beside[first])):
        values[beside] = -1.0
        ratios.append(gap / np.maximum(np.sqrt(np.maximum(1.0 - values.max(axis=1), 0.0)), 1e-3))
    weights = 1.0 - np.minimum((ratios[0] + ratios[1]) / 2.0, 1.0)
    clear = weights > 1.0 - GEOMETRY.ratio
    return np.stack([first[clear], second[clear]], axis=1), weights[clear].astype(np.float32)


def compare(a: DenseFeatures, b: DenseFeatures) -> Verification:
    """What two coats share, in the terms of `modelzoo.local`: `weight` is the number to rank by."""
    pairs, weights = tentative_matches(a, b)
    if len(pairs) < GEOMETRY.min_inliers:
        return Verification.none(len(pairs))
    return fit(a, b, pairs, weights, GEOMETRY)


def to_bytes(features: DenseFeatures) -> bytes:
    """The stored form: a header, then deflated places, reliability and descriptors; nothing is lost."""
    n, dimension = features.descriptors.shape
    body = features.places.astype("<u2").T.tobytes() + features.reliability.tobytes() + features.descriptors.tobytes()
    return _HEADER.pack(_MAGIC, FORMAT_VERSION, dimension, n, features.width, features.height) + zlib.compress(body, 6)


def from_bytes(data: bytes) -> DenseFeatures:
    """Inverse of :func:`to_bytes`; raises :class:`DenseFeatureError` for anything else."""
    data = bytes(data)
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise DenseFeatureError("these bytes are no stored dense features")
    _, version, dimension, n, width, height = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise DenseFeatureError(f"stored dense features of format {version}; this program reads {FORMAT_VERSION}")
    expected = n * (5 + dimension)
    inflater = zlib.decompressobj()
    try:
        # Bounded by what the header promises: damaged bytes cannot inflate without limit.
        body = inflater.decompress(data[_HEADER.size :], expected + 1)
    except zlib.error as error:
        raise DenseFeatureError(f"stored dense features are damaged: {error}") from error
    if len(body) != expected or not inflater.eof:
        raise DenseFeatureError(f"stored dense features are damaged: {len(body)} bytes where {expected} belong")
    places = np.ascontiguousarray(np.frombuffer(body, "<u2", 2 * n).reshape(2, n).T).astype(np.uint16)
    reliability = np.frombuffer(body, np.uint8, n, 4 * n).copy()
    descriptors = np.frombuffer(body, np.int8, n * dimension, 5 * n).reshape(n, dimension).copy()
    return DenseFeatures(places, descriptors, reliability, width, height)
