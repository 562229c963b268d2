"""The adaptive-margin CosFace of the SpotID paper."""

from __future__ import annotations

import torch
from pytorch_metric_learning.losses import CosFaceLoss

from .prototypes import WithPrototypes


def margin_share(cosine: torch.Tensor) -> torch.Tensor:
    """h(θ) = ((1 − cos²θ)⁴ + 0.1)/1.1: 1 at right angles to the prototype, 1/11 on it and opposite to it."""
    return ((1.0 - cosine.square()).pow(4) + 0.1) / 1.1


class AdaptiveCosFace(WithPrototypes, CosFaceLoss):  # type: ignore[misc]
    """Cross entropy of the logits s·cosθ, of the right class s·(cosθ − m·h(θ)). SpotID paper, section 2.3.3.

    The margin is largest for photos at right angles to their prototype. It is a function of cosθ, and its gradient is
    part of the loss's. margin: m = 0.28 by default, the paper's best.
    """

    def __init__(
        self,
        classes: int,
        dimension: int,
        margin: float = 0.28,
        scale: float = 64.0,
        train_prototypes: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(classes, dimension, margin, scale, train_prototypes, generator)

    def modify_cosine_of_target_classes(self, cosine_of_target_classes: torch.Tensor) -> torch.Tensor:
        """The library's hook: n cosines to the right class → what stands in their place before scaling."""
        margin: float = self.margin
        return cosine_of_target_classes - margin * margin_share(cosine_of_target_classes)
