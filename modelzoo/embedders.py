"""One interface for everything that turns coats into vectors, and the door that opens it by a model's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .coats import CoatPixels, EncodingError

if TYPE_CHECKING:
    import torch

__all__ = ["KINDS", "CoatPixels", "Embedder", "EncodingError", "open_embedder", "starting_weights"]

KINDS = ("coatnet", "spotid-original", "rootsift-vlad")


class Embedder(Protocol):
    """A loaded model, or one that loads at its first use. Calls from several threads wait for each other."""

    @property
    def dimension(self) -> int: ...

    def encode(self, coats: Sequence[CoatPixels]) -> NDArray[np.float32]:
        """n×dimension float32 unit rows.

        Raises EncodingError for coats that cannot be encoded, naming the position, and WeightsError for a file that is
        missing, changed or of another network.
        """
        ...

    def describe(self) -> str:
        """For people: what computes the vectors here, and why where there was a choice. Loads the model."""
        ...


def open_embedder(
    config: Mapping[str, Any],
    weights: Path,
    sha256: str,
    *,
    runtime: str = "auto",
    threads: int = 1,
    batch_size: int = 4,
    cache_dir: Path | None = None,
) -> Embedder:
    """The embedder of these settings, whose ``kind`` is one of KINDS ("coatnet" where it is left out).

    Nothing is read before the first use, so that a worker loads after its fork. runtime: "auto", "torch" or "openvino".
    threads: of one call on the CPU. cache_dir: where converted networks are kept, by default ``.converted`` beside the
    weights. Raises ValueError for settings that make no sense.
    """
    kind = config.get("kind", "coatnet")
    if kind == "rootsift-vlad":
        from .vlad import VladEmbedder

        vlad: Embedder = VladEmbedder(config, weights, sha256, threads=threads)
        return vlad
    if kind not in KINDS:
        raise ValueError(f"there is no kind of model {kind!r}; there are {', '.join(KINDS)}")
    from .network import CoatNet, EmbeddingConfig
    from .runtime import NetworkEmbedder

    build: Any = CoatNet
    if kind == "spotid-original":
        from .original import OriginalNet

        build = OriginalNet
    settings = EmbeddingConfig.from_dict({key: value for key, value in config.items() if key != "kind"})
    return NetworkEmbedder(
        settings,
        weights,
        sha256,
        build=build,
        runtime=runtime,
        threads=threads,
        batch_size=batch_size,
        exact=kind == "spotid-original",
        cache_dir=cache_dir,
    )


def starting_weights(config: Mapping[str, Any], weights: Path, sha256: str) -> dict[str, torch.Tensor]:
    """State of a :class:`modelzoo.network.CoatNet` of these settings that goes on from a model's weights.

    The original's network becomes one of ours (:func:`modelzoo.original.coatnet_state`). Raises ValueError for a model
    that is no network, and WeightsError.
    """
    from .network import load_weights

    kind = config.get("kind", "coatnet")
    if kind == "coatnet":
        return load_weights(weights, sha256=sha256)
    if kind == "spotid-original":
        from .original import coatnet_state

        return coatnet_state(load_weights(weights, sha256=sha256))
    raise ValueError(f"a model of the kind {kind} cannot be trained further")
