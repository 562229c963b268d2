"""Known weights and where they are: the door to `modelzoo.weights`, for commands."""

from modelzoo.weights import KNOWN, WeightsError, fetch, installed, register_local

__all__ = ["KNOWN", "WeightsError", "fetch", "installed", "register_local"]
