"""RootSIFT-VLAD: the local features of a coat summed up in one vector that a database can compare.

VLAD: Jégou, Douze, Schmid and Pérez 2010, "Aggregating local descriptors into a compact image representation": each
descriptor adds its difference from the nearest word of a vocabulary to that word's place. Intra-normalisation, a unit
length per word: Arandjelović and Zisserman 2013, "All about VLAD". Residuals of unit length: Delhumeau et al. 2013,
"Revisiting the VLAD image representation". A grid of such vectors keeps where on the animal a spot was: Lazebnik,
Schmid and Ponce 2006, "Beyond bags of features".
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as safetensors_load

from .coats import CoatPixels, EncodingError
from .local.features import DESCRIPTOR_LENGTH, LocalConfig, LocalFeatures, extract
from .weights import WeightsError, read_registered

KIND = "rootsift-vlad"
Rows = NDArray[np.float32]

_TINY = 1e-9


@dataclass(frozen=True)
class VladConfig:
    """Everything besides the weights that gives a vector its meaning.

    words: of the vocabulary. descriptor_dimension: to which the 128 of RootSIFT are projected. columns, rows: cells of
    the grid over the crop; a keypoint counts for the cells around it, by how near their centres are. local: how
    keypoints are found.
    """

    words: int = 124
    descriptor_dimension: int = 32
    columns: int = 1
    rows: int = 1
    local: LocalConfig = field(default_factory=LocalConfig)

    def __post_init__(self) -> None:
        if not 1 <= self.descriptor_dimension <= DESCRIPTOR_LENGTH:
            raise ValueError(f"descriptors have 1 to {DESCRIPTOR_LENGTH} dimensions, not {self.descriptor_dimension}")
        if min(self.words, self.columns, self.rows) < 1:
            raise ValueError("words, columns and rows are at least 1")

    @property
    def cells(self) -> int:
        return self.columns * self.rows

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return self.cells * self.words * self.descriptor_dimension

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with kind and dimension; of ``local`` only what decides which keypoints there are."""
        return {"kind": KIND, "dimension": self.dimension, **asdict(self), "local": self.local.stored_fields()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VladConfig:
        """Inverse of :meth:`to_dict`; unknown keys, another kind and an impossible dimension are a ValueError."""
        known = dict(values)
        kind, dimension = known.pop("kind", KIND), known.pop("dimension", None)
        unknown = set(known) - {f.name for f in fields(cls)}
        if kind != KIND or unknown:
            raise ValueError(f"no settings of {KIND}: kind {kind!r}, unknown {', '.join(sorted(unknown)) or 'none'}")
        local = known.pop("local", {})
        unknown = set(local) - set(LocalConfig().stored_fields())
        if unknown:
            raise ValueError(f"unknown settings of local features: {', '.join(sorted(unknown))}")
        # Settings of before masks had a support do not name it.
        config = cls(**known, local=LocalConfig(**{"mask_support": 0.0, **local}))
        if dimension not in (None, config.dimension):
            raise ValueError(f"these settings give {config.dimension} dimensions, not {dimension}")
        return config


@dataclass(frozen=True, eq=False)
class VladWeights:
    """What was learned, float32. mean: 128. axes: 128×descriptor_dimension. words: words×descriptor_dimension."""

    mean: Rows
    axes: Rows
    words: Rows

    def check(self, config: VladConfig) -> None:
        """Raise WeightsError unless the shapes are those of the config and all numbers are finite."""
        expected = {
            "mean": (DESCRIPTOR_LENGTH,),
            "axes": (DESCRIPTOR_LENGTH, config.descriptor_dimension),
            "words": (config.words, config.descriptor_dimension),
        }
        tensors = self.tensors()
        if {name: value.shape for name, value in tensors.items()} != expected:
            raise WeightsError(f"these weights belong to other settings: {expected} is expected")
        if not all(np.isfinite(value).all() for value in tensors.values()):
            raise WeightsError("the weights hold numbers that are not finite")

    def tensors(self) -> dict[str, Rows]:
        """By the names that they have in a file."""
        return {"mean": self.mean, "axes": self.axes, "words": self.words}


def read_weights(path: Path, sha256: str, config: VladConfig) -> VladWeights:
    """The weights of a safetensors file of the given SHA-256. Raises WeightsError for anything else."""
    data = read_registered(path, sha256)
    try:
        tensors = {name: np.asarray(value, np.float32) for name, value in safetensors_load(data).items()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"the weights {path.name} are no safetensors file: {error}") from error
    if set(tensors) != {"mean", "axes", "words"}:
        raise WeightsError(f"the weights {path.name} are no vocabulary of {KIND}")
    weights = VladWeights(**tensors)
    weights.check(config)
    return weights


def nearest_words(descriptors: Rows, words: Rows) -> NDArray[np.int64]:
    """For each row of n×d the position of the nearest of k×d words."""
    # Half the squared distance, less what is the same for every word.
    return np.asarray((descriptors @ words.T - 0.5 * (words**2).sum(axis=1)).argmax(axis=1), np.int64)


def cell_weights(places: Rows, columns: int, rows: int) -> Rows:
    """n×(rows·columns) shares of each cell, row by row, for n×2 places x, y in 0…1. Each row sums to 1."""
    across, down = _shares(places[:, 0], columns), _shares(places[:, 1], rows)
    return np.asarray((down[:, :, None] * across[:, None, :]).reshape(len(places), rows * columns), np.float32)


def _shares(at: NDArray[np.float32], cells: int) -> Rows:
    """n×cells: linear between the centres of the two cells around, whole beyond the outermost centres."""
    place = np.clip(at * cells - 0.5, 0, cells - 1)
    return np.asarray(np.maximum(1.0 - np.abs(place[:, None] - np.arange(cells)), 0.0), np.float32)


def aggregate(features: LocalFeatures, config: VladConfig, weights: VladWeights) -> Rows | None:
    """The unit vector of one coat, cell by cell and in each word by word; None where there is no keypoint to sum up."""
    cells = np.zeros((config.cells, config.words, config.descriptor_dimension), np.float32)
    descriptors = np.asarray((features.rootsift - weights.mean) @ weights.axes, np.float32)
    nearest = nearest_words(descriptors, weights.words)
    residuals = unit_rows(np.asarray(descriptors - weights.words[nearest], np.float32))
    shares = cell_weights(features.points[:, :2], config.columns, config.rows)
    for word in np.unique(nearest).tolist():
        here = nearest == word
        cells[:, word] = shares[here].T @ residuals[here]
    # Each word counts alike in its cell, and each cell in the whole.
    whole = unit_rows(unit_rows(cells).reshape(config.cells, -1)).reshape(-1)
    length = float(np.linalg.norm(whole))
    return None if length < _TINY else np.asarray(whole / length, np.float32)


def unit_rows(rows: Rows) -> Rows:
    """Each row at length 1; a zero row stays."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), _TINY), np.float32)


class VladEmbedder:
    """Crops to unit vectors. Reads its weights at the first call, and refuses a file of another SHA-256.

    threads: for the form of :func:`modelzoo.embedders.open_embedder` only; one thread does the work.
    """

    def __init__(self, config: Mapping[str, Any], weights: Path, sha256: str, threads: int = 1) -> None:
        self.config = VladConfig.from_dict(config)
        self.dimension = self.config.dimension
        self._path, self._sha256 = weights, sha256
        self._weights: VladWeights | None = None
        self._lock = threading.Lock()

    def encode(self, coats: Sequence[CoatPixels]) -> Rows:
        """n×dimension float32 unit rows. Raises EncodingError naming a coat without any keypoint."""
        with self._lock:
            if self._weights is None:
                self._weights = read_weights(self._path, self._sha256, self.config)
        vectors = np.zeros((len(coats), self.dimension), np.float32)
        for i, coat in enumerate(coats):
            found = aggregate(extract(coat.crop, coat.mask, self.config.local), self.config, self._weights)
            if found is None:
                raise EncodingError(f"photo {i} of this call has no spot or edge to make a vector of")
            vectors[i] = found
        return vectors

    def describe(self) -> str:
        """What does the work."""
        return "RootSIFT-VLAD by NumPy and OpenCV, one thread"
