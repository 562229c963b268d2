"""Inference with an embedding network: coats in, unit vectors out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .coats import CoatPixels, EncodingError
from .network import CoatNet, EmbeddingConfig, load_weights
from .runtimes import RUNTIMES, Recipe, Runner, choose
from .weights import WeightsError, check_registered, sha256_of, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator


class NetworkEmbedder:
    """One network, which reads its weights at the first call and refuses a file of another SHA-256.

    threads: of one call on the CPU; torch's are restored afterwards. exact: float32 throughout. Not made for calls from
    several threads at once: they wait for each other.
    """

    def __init__(
        self,
        config: EmbeddingConfig,
        weights: Path,
        sha256: str,
        *,
        build: Callable[[EmbeddingConfig], nn.Module] = CoatNet,
        runtime: str = "auto",
        device: str = "cpu",
        threads: int = 1,
        batch_size: int = 4,
        exact: bool = False,
        cache_dir: Path | None = None,
    ) -> None:
        if threads < 1 or batch_size < 1:
            raise ValueError("threads and batch_size are at least 1")
        if runtime not in RUNTIMES:
            raise ValueError(f"there is no runtime {runtime!r}; there are {', '.join(RUNTIMES)}")
        self.config = config
        self.weights = weights
        self.sha256 = sha256.lower()
        self.device = torch.device(device)
        self.threads = threads
        self.batch_size = batch_size
        self._build = build
        self._runtime = runtime
        self._exact = exact
        self._cache_dir = cache_dir if cache_dir is not None else weights.parent / ".converted"
        self._runner: Runner | None = None
        self._lock = threading.Lock()

    @property
    def dimension(self) -> int:
        return self.config.dimension

    @property
    def loaded(self) -> bool:
        return self._runner is not None

    def describe(self) -> str:
        """For people: what runs the network here, and why where there was a choice."""
        with self._lock, self._own_threads():
            return self._loaded_runner().description

    def encode(self, coats: Sequence[CoatPixels]) -> NDArray[np.float32]:
        """n×dimension float32 unit rows of n coats, each stretched to the network's size by its pipeline.

        Raises EncodingError for a coat that lacks what the pipeline needs and for vectors that are no directions,
        naming the position; WeightsError for a file that is missing, changed or of another network.
        """
        if not coats:
            return np.zeros((0, self.dimension), np.float32)
        self._check(coats)
        with self._lock, self._own_threads():
            return self._encode_all(coats)

    @contextmanager
    def _own_threads(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _check(self, coats: Sequence[CoatPixels]) -> None:
        if not self.config.preprocessing.edges:
            return
        for position, coat in enumerate(coats):
            if coat.edges is None:
                raise EncodingError(
                    f"photo {position} of this call has no edge map, which {self.config.pipeline} needs"
                )

    def _encode_all(self, coats: Sequence[CoatPixels]) -> NDArray[np.float32]:
        size = self.batch_size
        rows: list[NDArray[np.float32]] = []
        done = 0
        while done < len(coats):
            batch = self._pack(coats[done : done + size])
            try:
                vectors = self._forward(batch)
            except (torch.OutOfMemoryError, MemoryError):
                if size == 1:
                    raise
                size = max(1, size // 2)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            rows.append(_directions(vectors, done))
            done += len(batch)
        return np.concatenate(rows)

    def _pack(self, coats: Sequence[CoatPixels]) -> torch.Tensor:
        """Normalised n×C×H×W float32 with channels last in memory."""
        config = self.config
        packed = np.empty((len(coats), config.height, config.width, config.in_channels), np.float32)
        for i, coat in enumerate(coats):
            packed[i] = config.preprocessing.planes(coat, config.width, config.height)
        packed /= 255.0
        packed -= np.array(config.mean, np.float32)
        packed /= np.array(config.std, np.float32)
        return torch.from_numpy(packed).permute(0, 3, 1, 2)

    def _forward(self, batch: torch.Tensor) -> NDArray[np.float32]:
        return self._loaded_runner().run(batch)

    def _loaded_runner(self) -> Runner:
        if self._runner is None:
            self._check_file()
            config = self.config
            settings = json.dumps(config.to_dict(), sort_keys=True)
            recipe = Recipe(
                load=self._load,
                key=f"{self.sha256} {settings} {self._build.__name__} {self._exact}",
                shape=(config.in_channels, config.height, config.width),
                threads=self.threads,
                cache_dir=self._cache_dir,
                exact=self._exact,
            )
            self._runner = choose(recipe, self._runtime, self.device)
        return self._runner

    def _check_file(self) -> None:
        """What was converted earlier runs without the file, which must be the registered one all the same."""
        try:
            found = sha256_of(self.weights)
        except OSError as error:
            raise unreadable(self.weights, error) from error
        check_registered(self.weights, found, self.sha256)

    def _load(self) -> nn.Module:
        state = load_weights(self.weights, sha256=self.sha256)
        net = self._build(self.config)
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"the weights {self.weights.name} belong to another network: {error}") from error
        return net.eval().requires_grad_(False)


def _directions(vectors: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
    """Unit rows; a row without direction is refused, because pgvector would answer NaN distances for it."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(length) | (length < 1e-6))
    if len(bad):
        raise EncodingError(f"photo {offset + int(bad[0])} of this call gives no valid vector (NaN, infinite or zero)")
    return np.asarray(vectors / length[:, None], np.float32)
