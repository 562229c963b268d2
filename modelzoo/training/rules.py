"""What each training setting may be, and the messages for what it may not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from modelzoo.pipelines import PIPELINES

MARGINS = {"triplet": 10.0, "contrastive": 1.0, "arcface": 0.5, "cosface": 0.2, "adaptive_cosface": 0.28}
"""Where none is given."""
PRECISIONS = ("auto", "bf16", "float32")
DEVICES = ("auto", "cpu", "cuda")

Rule = Callable[[Any], Any]
"""Returns the value in its final type, or raises ValueError with what it may be."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(low: int, high: int) -> Rule:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def _number(low: float, high: float, *, above: bool = False) -> Rule:
    def check(value: Any) -> float:
        if not _is_number(value) or not (low < value if above else low <= value) or value > high:
            raise ValueError(f"a number {'above' if above else 'from'} {low:g} {'up ' if above else ''}to {high:g}")
        return float(value)

    return check


def _numbers(count: int, low: float, high: float) -> Rule:
    def check(value: Any) -> tuple[float, ...]:
        fits = isinstance(value, list | tuple) and len(value) == count
        if not fits or not all(_is_number(v) and low < v <= high for v in value):
            raise ValueError(f"{count} number{'s' if count > 1 else ''} above {low:g} up to {high:g}")
        return tuple(float(v) for v in value)

    return check


def _choice(*options: str) -> Rule:
    def check(value: Any) -> str:
        if value not in options:
            raise ValueError("one of " + ", ".join(options))
        return str(value)

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("one line of text")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("a name, as timm knows it")
    return value


RULES: dict[str, Rule] = {
    "backbone": _name,
    "pipeline": _choice(*PIPELINES),
    "width": _whole(16, 4096),
    "height": _whole(16, 4096),
    "dimension": _whole(1, 16000),
    "rgb_mean": _numbers(3, -1, 1),
    "rgb_std": _numbers(3, 0, 10),
    "edge_mean": _numbers(1, -1, 1),
    "edge_std": _numbers(1, 0, 10),
    "train_all_layers": _flag,
    "num_last_layers": _whole(1, 3),
    "loss": _choice(*MARGINS),
    "margin": _number(0, 100),
    "scale": _number(0, 1000, above=True),
    "train_prototypes": _flag,
    "prototype_lr_factor": _number(0, 1000, above=True),
    "epochs": _whole(1, 10000),
    "patience": _whole(0, 10000),
    "batch_size": _whole(2, 4096),
    "accumulation": _whole(1, 4096),
    "images_per_identity": _whole(1, 1024),
    "learning_rate": _number(0, 1, above=True),
    "lr_scheduler": _flag,
    "lr_step": _whole(1, 10000),
    "lr_gamma": _number(0, 1, above=True),
    "precision": _choice(*PRECISIONS),
    "device": _choice(*DEVICES),
    "seed": _whole(0, 2**31 - 1),
    "augment": _flag,
    "rotation": _number(0, 45),
    "crop_share": _number(0, 0.45),
    "jitter": _number(0, 0.9),
    "pixel_dropout": _number(0, 0.9),
    "train_share": _number(0, 1, above=True),
    "validation_share": _number(0, 1, above=True),
    "test_share": _number(0, 1),
    "max_k": _whole(1, 100),
    "log_angles": _flag,
    "checkpoint_steps": _whole(0, 1000000),
    "cache_mb": _whole(0, 1048576),
    "train_data_dir": _text,
    "train_edges_dir": _text,
    "test_data_dir": _text,
    "test_edges_dir": _text,
    "save_path": _text,
}


def checked(name: str, value: Any) -> Any:
    """The value in its final type; ValueError with the setting's name and what it may be."""
    try:
        return RULES[name](value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}, not {value!r}") from None
