"""What the losses with one prototype per class share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


class WithPrototypes:
    """Mixed in before a large-margin softmax of pytorch-metric-learning, whose ``W`` holds the prototypes.

    They are drawn with a length of about 1. Their length has no influence on the loss, but on how far one step of Adam
    turns them: at the library's length of √dimension they hardly move.
    """

    W: nn.Parameter
    wants_unit_rows = True
    drops_singletons = True

    def __init__(
        self,
        classes: int,
        dimension: int,
        margin: float,
        scale: float = 64.0,
        train_prototypes: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        if min(classes, dimension) < 1 or scale <= 0 or margin < 0:
            raise ValueError("classes, dimension and scale are positive, and the margin is at least 0")
        settings: dict[str, Any] = {"margin": margin, "scale": scale}
        super().__init__(num_classes=classes, embedding_size=dimension, **settings)  # type: ignore[call-arg]
        with torch.no_grad():
            self.W.normal_(0.0, 1.0 / math.sqrt(dimension), generator=generator)
        self.W.requires_grad_(train_prototypes)

    @property
    def prototypes(self) -> nn.Parameter:
        """dimension × classes; fixed where ``requires_grad`` is False."""
        return self.W

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean over the batch. embeddings: n×dimension of any length; labels: n int64 below the number of classes."""
        # The library would turn the prototypes themselves into bfloat16, for good.
        with torch.autocast(embeddings.device.type, enabled=False):
            value: torch.Tensor = super().forward(at_least_float(embeddings), labels)  # type: ignore[misc]
        return value


def at_least_float(embeddings: torch.Tensor) -> torch.Tensor:
    """As they are in float64, else float32."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()
