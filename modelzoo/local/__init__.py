"""Local features of coats: extraction, geometric verification, search over many detections."""

from .features import LocalConfig, LocalFeatureError, LocalFeatures, extract, from_bytes, to_bytes
from .inverted import InvertedIndex
from .verify import Verification, verify

__all__ = [
    "InvertedIndex",
    "LocalConfig",
    "LocalFeatureError",
    "LocalFeatures",
    "Verification",
    "extract",
    "from_bytes",
    "to_bytes",
    "verify",
]
