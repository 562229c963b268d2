"""The network run by torch itself."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .recipe import Recipe, probe


class TorchRunner:
    """Channels last in memory, and in bfloat16 where the processor multiplies it and the vectors stay the same.

    Where exactness is asked for neither, so that every number is what the network gives when it is called plainly.
    Measured with ``benchmarks/runtimes.py``.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self._device = device
        self._dtype = torch.float32
        self._layout = torch.contiguous_format if recipe.exact else torch.channels_last
        self._net = self._loaded(recipe)
        if device.type == "cpu" and not recipe.exact and has_bfloat16():
            self._try_bfloat16(recipe)
        precision = "bfloat16" if self._dtype == torch.bfloat16 else "float32"
        self.description = f"torch {torch.__version__.partition('+')[0]} on {device.type}, {precision}"

    def _loaded(self, recipe: Recipe) -> nn.Module:
        net: nn.Module = recipe.load().to(self._device, memory_format=self._layout)  # type: ignore[call-overload]
        return net

    def _try_bfloat16(self, recipe: Recipe) -> None:
        images = probe(recipe.shape)
        expected = self.run(images)
        self._dtype = torch.bfloat16
        self._net.to(torch.bfloat16)
        if not recipe.agree(self.run(images), expected):
            self._dtype = torch.float32
            self._net = self._loaded(recipe)

    def run(self, images: torch.Tensor) -> NDArray[np.float32]:
        """n×C×H×W float32 → n×dimension float32."""
        given = images.to(self._device, self._dtype, memory_format=self._layout)
        with torch.inference_mode():
            return np.asarray(self._net(given).float().cpu().numpy())


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 products; without them they are slower than float32."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("arm_bf16"))
