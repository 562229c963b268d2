"""Which runtime a network gets."""

from __future__ import annotations

import logging

import torch

from .openvino_cpu import OpenVinoRunner
from .recipe import Recipe, Runner, RuntimeUnavailable
from .torch_cpu import TorchRunner

__all__ = ["RUNTIMES", "Recipe", "Runner", "RuntimeUnavailable", "choose"]

RUNTIMES = ("auto", "torch", "openvino")

logger = logging.getLogger(__name__)


def choose(recipe: Recipe, runtime: str, device: torch.device) -> Runner:
    """What runs the network; a graphics card is torch's.

    For "auto" that is OpenVINO where it is installed, converts the network and agrees with torch on a few images, else
    torch with a description that says why; where exactness is asked for, torch.

    Raises RuntimeUnavailable when OpenVINO was asked for and cannot be had.
    """
    if runtime == "torch" or device.type != "cpu":
        return TorchRunner(recipe, device)
    if runtime == "auto" and recipe.exact:
        runner = TorchRunner(recipe, device)
        runner.description += " (not OpenVINO: these vectors have to be those of torch)"
        return runner
    try:
        return OpenVinoRunner(recipe)
    except RuntimeUnavailable as error:
        if runtime == "openvino":
            raise
        logger.info("OpenVINO is not used: %s", error)
        fallback = TorchRunner(recipe, device)
        fallback.description += f" (not OpenVINO: {error})"
        return fallback
