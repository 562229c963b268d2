"""timm backbones by name: how they are built for one input size and which of their layers are trained."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.models import adapt_input_conv
from torch import nn

from .weights import WeightsError

HUB_ARCHITECTURES = {
    "hf-hub:BVRA/MegaDescriptor-T-224": "swin_tiny_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-S-224": "swin_small_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-B-224": "swin_base_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-L-224": "swin_large_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-L-384": "swin_large_patch4_window12_384",
    "hf-hub:conservationxlabs/miewid-msv2": "efficientnetv2_rw_m",
    "hf-hub:conservationxlabs/miewid-msv3": "efficientnetv2_rw_m",
}
"""Published animal re-identification networks and the timm architecture below their heads, so that none has to ask the
hub. MiewID pools with a generalised mean of its own; here timm's average is used."""

_PREFIXES = ("module.", "backbone.", "final_backbone.")


def architecture(name: str) -> str:
    """timm's name of a backbone; ValueError for one that timm does not know and for a hub name not listed here."""
    known = HUB_ARCHITECTURES.get(name, name)
    if known.startswith("hf-hub:"):
        raise ValueError(f"the hub is never asked for {name}; known without it are {', '.join(HUB_ARCHITECTURES)}")
    if not timm.is_model(known):
        raise ValueError(f"timm knows no network {name!r}")
    return known


def build(name: str, in_channels: int, width: int, height: int) -> tuple[nn.Module, tuple[int, int]]:
    """The backbone without classifier, random weights, and the (height, width) of image that it takes.

    That is the given size, except for transformers, whose image is a whole number of patches: rounded up.
    """
    known = architecture(name)
    settings: dict[str, Any] = {"pretrained": False, "in_chans": in_channels, "num_classes": 0}
    configured = timm.get_pretrained_cfg(known)
    fixed = configured is not None and configured.fixed_input_size
    if not fixed:
        return timm.create_model(known, **settings), (height, width)
    backbone: Any = timm.create_model(known, **settings, img_size=(height, width))
    embedding = getattr(backbone, "patch_embed", None)
    patch = getattr(embedding, "patch_size", (1, 1))
    size = (math.ceil(height / patch[0]) * patch[0], math.ceil(width / patch[1]) * patch[1])
    if size != (height, width):
        if not hasattr(backbone, "set_input_size"):
            raise ValueError(f"{name} takes sizes that are multiples of {patch[1]}×{patch[0]}, not {width}×{height}")
        backbone.set_input_size(img_size=size)
    return backbone, size


def output_width(backbone: nn.Module) -> int:
    """Numbers that the backbone gives for an image."""
    width: Any = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    return int(width)


def load_rgb(backbone: nn.Module, in_channels: int, state: Mapping[str, torch.Tensor]) -> None:
    """Takes the weights of the same backbone for RGB images (timm's names, a classifier is left aside).

    The first convolution is adapted by timm: its channels are repeated for RGB and edges and scaled by ¾, so that the
    activations keep their size; for edges alone they are summed. Positions of transformers are resampled. Raises
    WeightsError when the weights are not of this architecture.
    """
    stem = _stem_name(backbone)
    given = {_plain(key): value for key, value in state.items()}
    if stem in given and given[stem].shape[1] != in_channels:
        if given[stem].shape[1] != 3:
            raise WeightsError(f"{stem} has {given[stem].shape[1]} channels: RGB weights have 3")
        given[stem] = adapt_input_conv(in_channels, given[stem])
    adapt = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if adapt is not None:
        given = adapt(given, backbone)
    wanted = backbone.state_dict()
    missing = [key for key in wanted if key not in given]
    shaped = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    if missing or shaped:
        what = f"{missing[0]} is missing" if missing else f"{shaped[0]} has shape {tuple(given[shaped[0]].shape)}"
        raise WeightsError(f"the weights are not of a {type(backbone).__name__} like this one: {what}")
    backbone.load_state_dict({key: given[key] for key in wanted})


def _plain(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _stem_name(backbone: nn.Module) -> str:
    configured: Any = getattr(backbone, "pretrained_cfg", {})
    first = configured.get("first_conv")
    if not isinstance(first, str):
        raise ValueError(f"timm does not say which convolution of {type(backbone).__name__} comes first")
    return f"{first}.weight"


def set_trainable(net: nn.Module, all_layers: bool, num_last_layers: int = 1) -> list[str]:
    """Freezes all but the last layers, for ``requires_grad`` and the statistics of normalisation; returns their names.

    A layer is a module with a weight of two or more dimensions (linear or convolution), with the normalisations and
    biases that follow it until the next one. The last of a :class:`CoatNet` is its embedding, the one before the last
    convolution of the backbone. In the network of the original the last three are the two linear layers and the last
    convolution, which is what its ``num_last_layers`` of 1 to 3 means. Raises ValueError for less than 1.
    """
    if num_last_layers < 1:
        raise ValueError("num_last_layers is at least 1")
    layers: list[tuple[str, list[nn.Parameter]]] = []
    for name, module in net.named_modules():
        own = list(module.parameters(recurse=False))
        if any(p.ndim >= 2 for p in own) or (own and not layers):
            layers.append((name, []))
        if own:
            layers[-1][1].extend(own)
    trained = layers if all_layers else layers[-num_last_layers:]
    chosen = {id(p) for _, parameters in trained for p in parameters}
    for parameter in net.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    net.train(net.training)
    return [name for name, _ in trained]


def freeze_statistics(net: nn.Module) -> None:
    """Frozen normalisations in evaluation mode, so that their running statistics stay too."""
    for module in net.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.training = False
