"""Honest evaluation: see `evaluate_vectors`, `evaluate_scores`, `compare` and `write_report`."""

from .bootstrap import Figure
from .comparison import Comparison, compare
from .evaluate import (
    HONEST_FIRST,
    VARIANT_NAMES,
    VARIANTS,
    EvaluationReport,
    evaluate_matrices,
    evaluate_scores,
    evaluate_vectors,
)
from .photos import EvaluationPhoto, events_from_names
from .table import FIGURES, LOWER_IS_BETTER, Table

__all__ = [
    "FIGURES",
    "HONEST_FIRST",
    "LOWER_IS_BETTER",
    "VARIANTS",
    "VARIANT_NAMES",
    "Comparison",
    "EvaluationPhoto",
    "EvaluationReport",
    "Figure",
    "Table",
    "compare",
    "evaluate_matrices",
    "evaluate_scores",
    "evaluate_vectors",
    "events_from_names",
]
