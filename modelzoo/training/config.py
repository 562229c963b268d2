"""Every setting of a training run, read from ``train.toml`` or from a form.

The settings of the original SpotID's ``config.json`` and what they are called here:

| original | here |
|---|---|
| train_data_dir, train_binary_mask_dir | train_data_dir, train_edges_dir |
| test_data_dir, test_binary_mask_dir | test_data_dir, test_edges_dir |
| mask_only | pipeline = "edges" |
| method | loss |
| number_embedding_dimensions | dimension |
| resize_width, resize_height | width, height |
| batch_size, learning_rate, epochs, device, margin, max_k, save_path | the same |
| verbose | log_angles |
| backbone_model | backbone |
| num_last_layers_to_train, train_all_layers | num_last_layers, train_all_layers |
| mean_normalize, std_normalize | rgb_mean, rgb_std |
| mean_normalize_binary_mask, std_normalize_binary_mask | edge_mean, edge_std |
| max_images_individual_leopard_sampler | images_per_identity |
| apply_dropout_pixels | pixel_dropout (a share; 0 is off) |
| apply_augmentations | augment |
| lr_scheduler | lr_scheduler, with lr_step and lr_gamma |

:meth:`TrainConfig.from_original` reads such a file.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from modelzoo.network import EDGE_MEAN, EDGE_STD, IMAGENET_MEAN, IMAGENET_STD, EmbeddingConfig
from modelzoo.pipelines import PIPELINES
from modelzoo.training.rules import MARGINS, RULES, checked

PATH_KEYS = ("train_data_dir", "train_edges_dir", "test_data_dir", "test_edges_dir", "save_path")
"""Settings that name files of this machine: for training from folders, never for a form that others fill in."""

_ORIGINAL_NAMES = {
    "train_data_dir": "train_data_dir",
    "test_data_dir": "test_data_dir",
    "train_binary_mask_dir": "train_edges_dir",
    "test_binary_mask_dir": "test_edges_dir",
    "method": "loss",
    "number_embedding_dimensions": "dimension",
    "resize_width": "width",
    "resize_height": "height",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "epochs": "epochs",
    "device": "device",
    "verbose": "log_angles",
    "backbone_model": "backbone",
    "margin": "margin",
    "max_k": "max_k",
    "save_path": "save_path",
    "num_last_layers_to_train": "num_last_layers",
    "train_all_layers": "train_all_layers",
    "mean_normalize": "rgb_mean",
    "std_normalize": "rgb_std",
    "mean_normalize_binary_mask": "edge_mean",
    "std_normalize_binary_mask": "edge_std",
    "max_images_individual_leopard_sampler": "images_per_identity",
    "apply_augmentations": "augment",
    "lr_scheduler": "lr_scheduler",
}
_ORIGINAL_DROPOUT = 0.1
_ORIGINAL_CHOICES = {"loss": {"cosface": "adaptive_cosface", "triplet": "triplet"}, "device": {"cuda": "auto"}}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run; the defaults are the paper's for the adaptive CosFace. Sizes in pixels, angles in degrees.

    margin: None becomes the loss's own, as its paper has it (0.28 for the adaptive one).
    prototype_lr_factor: the prototypes' learning rate as a multiple of the network's. An identity is in few batches of
    an epoch, so that at 1 its prototype turns by a few degrees an epoch. 25 did not learn sooner on synthetic coats.
    batch_size: images per optimiser step; accumulation: into how many parts a batch is cut to save memory.
    patience: epochs without a DTkAP on the validation individuals that is better than that of all other epochs (the
    start apart) before training stops; 0 never stops early.
    crop_share: the most that is cut off each side. split shares: of the individuals, together 1.
    checkpoint_steps: steps between checkpoints within an epoch; 0 writes one at the end of each epoch only.
    cache_mb: prepared pictures are kept in memory when all of them fit, else read again each time.
    Raises ValueError, which names the setting and what it may be, for a value that is not permitted.
    """

    backbone: str = "tf_efficientnetv2_b2"
    pipeline: str = "crop_rgb_edges"
    width: int = 512
    height: int = 256
    dimension: int = 1024
    rgb_mean: tuple[float, ...] = IMAGENET_MEAN
    rgb_std: tuple[float, ...] = IMAGENET_STD
    edge_mean: tuple[float, ...] = (EDGE_MEAN,)
    edge_std: tuple[float, ...] = (EDGE_STD,)
    train_all_layers: bool = True
    num_last_layers: int = 1

    loss: str = "adaptive_cosface"
    margin: float | None = None
    scale: float = 64.0
    train_prototypes: bool = True
    prototype_lr_factor: float = 1.0

    epochs: int = 80
    patience: int = 15
    batch_size: int = 64
    accumulation: int = 1
    images_per_identity: int = 4
    learning_rate: float = 0.001
    lr_scheduler: bool = True
    lr_step: int = 5
    lr_gamma: float = 0.7
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0

    augment: bool = True
    rotation: float = 10.0
    crop_share: float = 0.1
    jitter: float = 0.2
    pixel_dropout: float = 0.0

    train_share: float = 0.7
    validation_share: float = 0.15
    test_share: float = 0.15

    max_k: int = 10
    log_angles: bool = True
    checkpoint_steps: int = 50
    cache_mb: int = 1024

    train_data_dir: str = ""
    train_edges_dir: str = ""
    test_data_dir: str = ""
    test_edges_dir: str = ""
    save_path: str = ""

    def __post_init__(self) -> None:
        if self.margin is None and isinstance(self.loss, str):
            object.__setattr__(self, "margin", MARGINS.get(self.loss, 0.0))
        for field in fields(self):
            object.__setattr__(self, field.name, checked(field.name, getattr(self, field.name)))
        if self.accumulation > self.batch_size:
            raise ValueError(f"accumulation: at most batch_size ({self.batch_size}), not {self.accumulation}")
        if abs(self.train_share + self.validation_share + self.test_share - 1) > 1e-6:
            shares = f"{self.train_share}, {self.validation_share} and {self.test_share}"
            raise ValueError(f"train_share, validation_share and test_share: together 1, not {shares}")

    def embedding_config(self) -> EmbeddingConfig:
        """What the trained network's vectors mean: the part of the settings that travels with the weights."""
        channels = PIPELINES[self.pipeline].channels
        mean = {1: self.edge_mean, 3: self.rgb_mean, 4: (*self.rgb_mean, *self.edge_mean)}[channels]
        std = {1: self.edge_std, 3: self.rgb_std, 4: (*self.rgb_std, *self.edge_std)}[channels]
        return EmbeddingConfig(
            backbone=self.backbone,
            in_channels=channels,
            width=self.width,
            height=self.height,
            dimension=self.dimension,
            mean=mean,
            std=std,
            pipeline=self.pipeline,
        )

    @classmethod
    def of_the_paper(cls, loss: str, **changes: Any) -> TrainConfig:
        """The SpotID paper's settings for a loss; its triplet network differs from the others in more than that."""
        triplet: dict[str, Any] = {"backbone": "resnet18", "dimension": 128, "batch_size": 32}
        triplet |= {"learning_rate": 0.0008, "lr_scheduler": False}
        settings: dict[str, Any] = {"loss": loss, **(triplet if loss == "triplet" else {})}
        return cls(**(settings | changes))

    def shares(self) -> tuple[float, float, float]:
        """Shares of the individuals for training, validation and test."""
        return self.train_share, self.validation_share, self.test_share

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Inverse of :meth:`to_dict`; a missing setting takes its default, an unknown one is a ValueError."""
        unknown = sorted(set(values) - set(RULES))
        if unknown:
            raise ValueError(f"unknown training settings: {', '.join(unknown)}; known are {', '.join(sorted(RULES))}")
        return cls(**values)

    def to_toml(self) -> str:
        """The text of a ``train.toml`` with every setting."""
        return "".join(f"{name} = {_toml(value)}\n" for name, value in self.to_dict().items())

    @classmethod
    def from_toml(cls, source: Path | str) -> TrainConfig:
        """From a file (a Path) or from TOML text (a str). Raises ValueError for text that is no TOML, OSError for a
        file that cannot be read."""
        try:
            text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"the training settings are no TOML: {error}") from error
        return cls.from_dict(values)

    @classmethod
    def from_original(cls, values: Mapping[str, Any]) -> TrainConfig:
        """From the original SpotID's ``config.json``, as a mapping.

        Its method "cosface" is the adaptive margin here, its device "cuda" is "auto" (it falls back as well), and
        without a directory of edge maps the pipeline is "crop_rgb".
        """
        known = set(_ORIGINAL_NAMES) | {"mask_only", "apply_dropout_pixels"}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(
                f"not a setting of the original: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        ours: dict[str, Any] = {}
        for name, value in values.items():
            if name in _ORIGINAL_NAMES and value is not None:
                key = _ORIGINAL_NAMES[name]
                ours[key] = _ORIGINAL_CHOICES.get(key, {}).get(value, value) if isinstance(value, str) else value
        if "train_binary_mask_dir" in values and values["train_binary_mask_dir"] is None:
            ours["pipeline"] = "crop_rgb"
        if values.get("mask_only"):
            ours["pipeline"] = "edges"
        if values.get("apply_dropout_pixels"):
            ours["pixel_dropout"] = _ORIGINAL_DROPOUT
        return cls.from_dict(ours)


def _toml(value: Any) -> str:
    """A TOML value: JSON's strings without control characters, numbers, booleans and flat lists are TOML as well."""
    return json.dumps(value, ensure_ascii=False)
