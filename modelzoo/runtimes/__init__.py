"""What runs a network: torch, or OpenVINO on what was converted from torch."""

from .choice import RUNTIMES, Recipe, Runner, choose

__all__ = ["RUNTIMES", "Recipe", "Runner", "choose"]
