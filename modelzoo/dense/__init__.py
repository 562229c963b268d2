"""Dense descriptors of coats: `open_dense` a file of weights, `extract` features of a coat, `compare` two of them."""

from modelzoo.dense.matching import DenseFeatureError, DenseFeatures, compare, extract, from_bytes, to_bytes
from modelzoo.dense.network import DenseConfig, DenseNet
from modelzoo.dense.weights import open_dense, save_dense, untrained_dense

__all__ = [
    "DenseConfig",
    "DenseFeatureError",
    "DenseFeatures",
    "DenseNet",
    "compare",
    "extract",
    "from_bytes",
    "open_dense",
    "save_dense",
    "to_bytes",
    "untrained_dense",
]
