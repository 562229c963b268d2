"""Inference with an embedding network: crops and edge maps in, unit vectors out."""

import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from .network import CoatNet, EmbeddingConfig, load_weights
from .weights import WeightsError


class EncodingError(RuntimeError):
    """Input that cannot be encoded, or a vector that must not be stored (NaN, infinite or zero)."""


class Encoder:
    """One loaded network. Reads the weights at the first call, and refuses a file of another SHA-256.

    threads: torch's threads during a call on the CPU, restored afterwards. Not made for calls from several threads at
    once: they wait for each other.
    """

    def __init__(
        self,
        config: EmbeddingConfig,
        weights: Path,
        sha256: str,
        device: str = "cpu",
        threads: int = 1,
        batch_size: int = 4,
    ) -> None:
        if threads < 1 or batch_size < 1:
            raise ValueError("threads and batch_size are at least 1")
        self.config = config
        self.weights = weights
        self.sha256 = sha256
        self.device = torch.device(device)
        self.threads = threads
        self.batch_size = batch_size
        self._net: CoatNet | None = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        return self._net is not None

    def encode(
        self, crops: Sequence[NDArray[np.uint8]], edges: Sequence[NDArray[np.uint8]] = ()
    ) -> NDArray[np.float32]:
        """n×dimension float32 unit rows of n crops (H×W×3 RGB uint8) and their edge maps (H×W uint8).

        Both are stretched to the network's size. edges may be left out for a 3-channel network. Raises
        :class:`EncodingError` for unfit input and for vectors that are no directions, naming the photo's position.
        """
        self._check(crops, edges)
        if not crops:
            return np.zeros((0, self.config.dimension), np.float32)
        with self._lock:
            before = torch.get_num_threads()
            torch.set_num_threads(self.threads)
            try:
                return self._encode_all(crops, edges)
            finally:
                torch.set_num_threads(before)

    def _check(self, crops: Sequence[NDArray[np.uint8]], edges: Sequence[NDArray[np.uint8]]) -> None:
        if self.config.in_channels != 3 and len(edges) != len(crops):
            raise EncodingError(f"{len(crops)} crops and {len(edges)} edge maps: this network needs one for each")
        for i, crop in enumerate(crops):
            if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or 0 in crop.shape:
                raise EncodingError(f"crop {i} is {crop.shape} {crop.dtype}, not H×W×3 uint8")
        for i, edge in enumerate(edges):
            if edge.dtype != np.uint8 or edge.ndim != 2 or 0 in edge.shape:
                raise EncodingError(f"edge map {i} is {edge.shape} {edge.dtype}, not H×W uint8")

    def _encode_all(
        self, crops: Sequence[NDArray[np.uint8]], edges: Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32]:
        size = self.batch_size
        rows: list[NDArray[np.float32]] = []
        done = 0
        while done < len(crops):
            batch = self._pack(crops[done : done + size], edges[done : done + size])
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

    def _pack(self, crops: Sequence[NDArray[np.uint8]], edges: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Normalised n×C×H×W float32 with channels last in memory."""
        config = self.config
        packed = np.empty((len(crops), config.height, config.width, config.in_channels), np.float32)
        for i, crop in enumerate(crops):
            if config.in_channels >= 3:
                packed[i, :, :, :3] = self._stretch(crop)
            if config.in_channels != 3:
                packed[i, :, :, -1] = self._stretch(edges[i])
        packed /= 255.0
        packed -= np.array(config.mean, np.float32)
        packed /= np.array(config.std, np.float32)
        return torch.from_numpy(packed).permute(0, 3, 1, 2)

    def _stretch(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = (self.config.width, self.config.height)
        smaller = image.shape[0] >= size[1] and image.shape[1] >= size[0]
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))

    def _forward(self, batch: torch.Tensor) -> NDArray[np.float32]:
        if self._net is None:
            self._net = self._load()
        with torch.inference_mode():
            return np.asarray(self._net(batch.to(self.device)).float().cpu().numpy())

    def _load(self) -> CoatNet:
        state = load_weights(self.weights, sha256=self.sha256)
        net = CoatNet(self.config)
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"the weights {self.weights} belong to another network: {error}") from error
        net.eval()
        return net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _directions(vectors: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
    """Unit rows; a row without direction is refused, because pgvector would answer NaN distances for it."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(length) | (length < 1e-6))
    if len(bad):
        raise EncodingError(f"photo {offset + int(bad[0])} of this call gives no valid vector (NaN, infinite or zero)")
    return np.asarray(vectors / length[:, None], np.float32)
