"""Published networks to begin a training from: where their weights are, and how they become a model of ours.

Addresses and licences are those of timm 1.0's own table of pretrained weights (``default_cfgs``), and of the model
pages of MegaDescriptor and MiewID. Checksums are asked of the hub; where it lists none, the file is pinned at first
use. The hub's library is never used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cards import CARD_KEY, ModelCard
from .weights import WeightsError, WeightsSource

_HUB = "https://huggingface.co"
_SEED = 20240801
_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class PublicModel:
    """One published network. settings: of its EmbeddingConfig, besides the backbone.

    whole: its own vectors are kept (the embedding layer is the identity); without, that layer is random and the model
    only a starting point. trained: whether its vectors tell animals apart as they are.
    """

    source: WeightsSource
    backbone: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    trained: bool = False
    training_data: str = ""

    @property
    def name(self) -> str:
        return self.source.name


def _hub(name: str, repository: str, file: str, licence: str, note: str) -> WeightsSource:
    return WeightsSource(
        name=name,
        url=f"{_HUB}/{repository}/resolve/main/{file}",
        filename=f"{name}{Path(file).suffix}",
        record_url=f"{_HUB}/api/models/{repository}/tree/main",
        licence=licence,
        note=note,
        remote_name=file,
    )


def _timm(name: str, data: str, note: str, **settings: Any) -> PublicModel:
    source = _hub(name, f"timm/{name}", "model.safetensors", "apache-2.0", note)
    return PublicModel(source, name.split(".")[0], settings, training_data=data)


def _mega(size: str, pixels: int) -> PublicModel:
    name = f"MegaDescriptor-{size}-{pixels}"
    source = _hub(
        name,
        f"BVRA/{name}",
        "pytorch_model.bin",
        "CC-BY-NC-4.0",
        "Swin transformer for re-identification of animals of many species. Not for commercial use.",
    )
    settings = {"width": pixels, "height": pixels, "pipeline": "crop_rgb", "mean": _HALF, "std": _HALF}
    return PublicModel(
        source,
        f"hf-hub:BVRA/{name}",
        settings,
        whole=True,
        trained=True,
        training_data="29 public data sets of known animals (WildlifeDatasets, Čermák et al. 2024)",
    )


_MIEWID = PublicModel(
    _hub(
        "miewid-msv3",
        "conservationxlabs/miewid-msv3",
        "model.safetensors",
        "none stated: ask Conservation X Labs before any use beyond research",
        "EfficientNetV2-M for re-identification. It pools with a generalised mean of its own, here with the plain one: "
        "a starting point only.",
    ),
    "hf-hub:conservationxlabs/miewid-msv3",
    {"width": 440, "height": 440, "pipeline": "crop_rgb"},
    whole=True,
    training_data="photos of known animals of 64 species (Conservation X Labs, Wild Me)",
)

PUBLIC: dict[str, PublicModel] = {
    model.name: model
    for model in (
        _timm("tf_efficientnetv2_b2.in1k", "ImageNet-1k", "EfficientNetV2-B2, the paper's network."),
        _timm("tf_efficientnetv2_b3.in1k", "ImageNet-1k", "EfficientNetV2-B3."),
        _timm("resnet18.a1_in1k", "ImageNet-1k", "ResNet-18, small and quick."),
        _timm("vit_small_patch14_dinov2.lvd142m", "LVD-142M, without labels", "DINOv2 ViT-S/14, as lynx-id uses."),
        _mega("T", 224),
        _mega("B", 224),
        _mega("L", 384),
        _MIEWID,
    )
}


def starting_point(model: PublicModel, weights: Path, sha256: str, out: Path, explanation: str) -> ModelCard:
    """Writes a model of ours that begins as the published network; returns its card, which is also in the file.

    weights: the fetched file with its SHA-256. explanation: how it was verified, for the card. Loads torch. Raises
    WeightsError when the file holds another network.
    """
    import torch

    from .backbones import architecture, build, output_width
    from .network import EmbeddingConfig, initial_weights, save_weights

    config = EmbeddingConfig(backbone=model.backbone, **model.settings)
    if model.whole:
        net, _ = build(model.backbone, config.in_channels, config.width, config.height)
        config = EmbeddingConfig(backbone=model.backbone, dimension=output_width(net), **model.settings)
    state = initial_weights(config, _SEED, _read(weights, sha256))
    if model.whole:
        state["embedding.weight"] = torch.eye(config.dimension)
        state["embedding.bias"] = torch.zeros(config.dimension)
    head = (
        "The vectors are those of the published network."
        if model.whole and model.trained
        else f"The embedding layer is {'the identity' if model.whole else 'random'}: train it before its vectors count."
    )
    card = ModelCard(
        name=model.name,
        config=config.to_dict(),
        dimension=config.dimension,
        trained=model.trained,
        training_data=model.training_data,
        licence=model.source.licence,
        source=f"{model.source.url} ({architecture(model.backbone)})",
        notes=f"{model.source.note} {head} {explanation}",
    )
    save_weights(out, state, {CARD_KEY: card.to_json()})
    return card


def _read(weights: Path, sha256: str) -> Mapping[str, Any]:
    """Tensors of a safetensors file, or of a torch file of which nothing but tensors is unpickled."""
    import pickle

    import torch

    from .network import load_weights
    from .weights import ChecksumError, sha256_of

    if weights.suffix == ".safetensors":
        return load_weights(weights, sha256=sha256)
    if sha256_of(weights) != sha256:
        raise ChecksumError(f"the weights {weights} changed after they were fetched")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"{weights.name} holds more than tensors, or is damaged, and is not read") from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{weights.name} is no table of tensors")
    return state
