"""Known weights and where they are: the door to `modelzoo.weights` and `modelzoo.known_weights`, for commands."""

from modelzoo.known_weights import KNOWN, used
from modelzoo.weights import WeightsError, fetch, installed, register_local

__all__ = ["KNOWN", "WeightsError", "fetch", "installed", "register_local", "used"]
