"""Local features of coats: extraction, geometric verification, search over many detections."""

from .features import LocalConfig, LocalFeatureError, LocalFeatures, extract, from_bytes, to_bytes
from .search import LocalIndex, rank
from .verify import Verification, verify

__all__ = [
    "LocalConfig",
    "LocalFeatureError",
    "LocalFeatures",
    "LocalIndex",
    "Verification",
    "extract",
    "from_bytes",
    "rank",
    "to_bytes",
    "verify",
]
