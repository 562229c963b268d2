"""The network of the original SpotID desktop app, and the import of its checkpoint ``best-model-cosface.pth``.

It differs from ours in two places. Its first convolution was replaced by one without padding, so that a 256×512 image
becomes 127×255 (timm pads to 128×256). And the classifier of ImageNet stayed: its 1 000 numbers, not the features below
it, are the input of the embedding layer.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from torch import nn
from torch.nn import functional

from .network import EmbeddingConfig, save_weights
from .weights import WeightsError, sha256_of

KIND = "spotid-original"
BACKBONE = "tf_efficientnetv2_b2"

_EMBEDDING = "embedding_layer.weight"
_NAMED = 5


class OriginalNet(nn.Module):
    """n×4×H×W float, normalised RGB and edges → n×dimension float, unit rows. Names are those of the checkpoint."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.config = config
        backbone: Any = timm.create_model(config.backbone, pretrained=False)
        width, classes = int(backbone.conv_stem.out_channels), int(backbone.num_classes)
        backbone.conv_stem = nn.Conv2d(config.in_channels, width, 3, stride=2, bias=False)
        self.final_backbone = backbone
        self.embedding_layer = nn.Linear(classes, config.dimension)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.embedding_layer(self.final_backbone(images)), dim=1)


class ImportedModel(NamedTuple):
    """A safetensors file, its SHA-256 and the settings with which ``open_embedder`` opens it."""

    weights: Path
    sha256: str
    config: dict[str, Any]


def import_original(path: Path, out_dir: Path) -> ImportedModel:
    """Reads the original's state dict and writes its tensors, unchanged, as a safetensors file into the folder.

    The file is named after the checkpoint's SHA-256, so that importing again gives the same file. Only tensors are
    unpickled (``weights_only``). Names may bear the prefix of DataParallel. Raises WeightsError, with the names and
    shapes that do not fit.
    """
    state = _checked(_read(path))
    source = sha256_of(path)
    config = EmbeddingConfig(backbone=BACKBONE, dimension=len(state[_EMBEDDING]))
    weights = out_dir / f"{KIND}-{source[:12]}.safetensors"
    sha256 = save_weights(weights, state, {"kind": KIND, "source": path.name, "source_sha256": source})
    return ImportedModel(weights, sha256, {"kind": KIND, **config.to_dict()})


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"the checkpoint {path} cannot be read: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(f"{path} is no checkpoint of tensors only, and nothing else is loaded: {reason}") from error
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path} holds a {type(found).__name__}, not a state dict (names and tensors)")
    return found


def _checked(found: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """The float32 state of an :class:`OriginalNet`."""
    odd = [key for key, value in found.items() if not isinstance(key, str) or not isinstance(value, torch.Tensor)]
    if odd or not found:
        raise WeightsError(f"this is not a state dict (names and tensors){_names(odd, ': it also holds ')}")
    given = {key.removeprefix("module."): value for key, value in found.items()}
    embedding = given.get(_EMBEDDING)
    dimension = len(embedding) if embedding is not None and embedding.ndim == 2 and len(embedding) else 1024
    wanted = OriginalNet(EmbeddingConfig(backbone=BACKBONE, dimension=dimension)).state_dict()
    missing, unknown = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    shaped = [
        f"{key} is {_size(given[key])} instead of {_size(wanted[key])}"
        for key in sorted(set(wanted) & set(given))
        if given[key].shape != wanted[key].shape
    ]
    if missing or unknown or shaped:
        what = [_names(missing, "missing: "), _names(unknown, "unknown: "), _names(shaped, "")]
        raise WeightsError(f"this is no checkpoint of the original SpotID: {'; '.join(part for part in what if part)}")
    spoilt = [key for key, value in given.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if spoilt:
        raise WeightsError(f"the checkpoint is damaged: numbers that are not finite{_names(spoilt, ' in ')}")
    return {key: given[key].to(wanted[key].dtype) for key in wanted}


def _names(names: list[Any], before: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return before + ", ".join(map(str, names[:_NAMED])) + more


def _size(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def coatnet_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State of a :class:`CoatNet` of the same size that starts from the original's weights, for training it further.

    The classifier and the embedding layer, with nothing between them, are multiplied into one. The network is the
    original's but for timm's padding of the first convolution, so that its vectors are near the original's, not equal.
    """
    outer, inner = state[_EMBEDDING].double(), state["final_backbone.classifier.weight"].double()
    bias = outer @ state["final_backbone.classifier.bias"].double() + state["embedding_layer.bias"].double()
    started = {
        key.replace("final_backbone.", "backbone.", 1): value.clone()
        for key, value in state.items()
        if key.startswith("final_backbone.") and not key.startswith("final_backbone.classifier.")
    }
    return started | {"embedding.weight": (outer @ inner).float(), "embedding.bias": bias.float()}
