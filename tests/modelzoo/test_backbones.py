"""Any timm backbone by name; RGB weights in networks of other channels; layers frozen and trained."""

import pytest
import timm
import torch
from torch import nn

from modelzoo.backbones import HUB_ARCHITECTURES, architecture, set_trainable
from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights
from modelzoo.weights import WeightsError

SMALL = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=16)


@pytest.mark.parametrize(
    "name", ["resnet18", "test_convnext", "mobilenetv3_small_050", "test_vit", "test_efficientnet"]
)
def test_every_kind_of_backbone_gives_unit_rows_at_a_size_of_our_own(name):
    config = EmbeddingConfig(backbone=name, width=72, height=40, dimension=8)
    net = CoatNet(config).eval()
    with torch.inference_mode():
        images = torch.randn(2, 4, 40, 72)
        rows = net(images)
        raw = net(images, normalise=False)
    assert rows.shape == (2, 8)
    assert torch.allclose(rows.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(raw / raw.norm(dim=1, keepdim=True), rows, atol=1e-5)
    assert not torch.allclose(raw, rows, atol=1e-3)


def test_a_transformer_sees_the_image_on_whole_patches_and_nothing_more():
    """Sizes are those of patches of 16: a 72×40 image is one of 80×48 with zeros at the right and below."""
    net = CoatNet(EmbeddingConfig(backbone="test_vit", width=72, height=40, dimension=8)).eval()
    whole = CoatNet(EmbeddingConfig(backbone="test_vit", width=80, height=48, dimension=8)).eval()
    whole.load_state_dict(net.state_dict())
    images = torch.randn(2, 4, 40, 72)
    larger = torch.zeros(2, 4, 48, 80)
    larger[:, :, :40, :72] = images
    with torch.inference_mode():
        assert torch.allclose(net(images), whole(larger), atol=1e-6)


def test_dinov2_takes_the_papers_size():
    net = CoatNet(EmbeddingConfig(backbone="vit_small_patch14_dinov2", dimension=8)).eval()
    with torch.inference_mode():
        assert net(torch.randn(1, 4, 256, 512)).shape == (1, 8)


def test_hub_names_are_built_without_asking_the_hub():
    assert all(timm.is_model(architecture(name)) for name in HUB_ARCHITECTURES)
    assert architecture("hf-hub:BVRA/MegaDescriptor-L-384") == "swin_large_patch4_window12_384"
    with pytest.raises(ValueError, match="never asked"):
        architecture("hf-hub:somebody/something")
    with pytest.raises(ValueError, match="no network 'nonsense'"):
        CoatNet(EmbeddingConfig(backbone="nonsense"))


def rgb_network(name: str, **settings) -> dict[str, torch.Tensor]:
    torch.manual_seed(11)
    net = timm.create_model(name, pretrained=False, **settings)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
    return net.state_dict()


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (1, lambda rgb: rgb.sum(1, keepdim=True)),
        (3, lambda rgb: rgb),
        (4, lambda rgb: torch.cat([rgb, rgb[:, :1]], 1) * 0.75),
    ],
)
def test_the_stem_comes_from_the_rgb_one_and_the_rest_unchanged(channels, expected):
    rgb = rgb_network("test_efficientnet")
    config = EmbeddingConfig("test_efficientnet", channels, 64, 32, 16)
    state = initial_weights(config, 1, rgb)
    assert torch.allclose(state["backbone.conv_stem.weight"], expected(rgb["conv_stem.weight"]))
    others = [key for key in rgb if key != "conv_stem.weight" and not key.startswith("classifier.")]
    assert others
    assert all(torch.equal(state[f"backbone.{key}"], rgb[key]) for key in others)
    assert torch.equal(state["embedding.weight"], initial_weights(config, 1)["embedding.weight"])


def test_rgb_weights_of_a_transformer_keep_what_its_positions_mean():
    rgb = rgb_network("test_vit", img_size=(64, 64))
    state = initial_weights(EmbeddingConfig("test_vit", 3, 96, 48, 8), 1, rgb)
    assert state["backbone.pos_embed"].shape == (1, 1 + 3 * 6, 64)
    same = initial_weights(EmbeddingConfig("test_vit", 3, 64, 64, 8), 1, rgb)
    assert torch.equal(same["backbone.pos_embed"], rgb["pos_embed"])


def test_weights_of_a_network_of_ours_start_another():
    rgb = initial_weights(EmbeddingConfig("test_efficientnet", 3, 64, 32, 99), 7)
    state = initial_weights(SMALL, 1, rgb)
    assert torch.equal(state["backbone.conv_head.weight"], rgb["backbone.conv_head.weight"])


def test_weights_of_another_backbone_are_refused():
    with pytest.raises(WeightsError, match="is missing"):
        initial_weights(SMALL, 1, rgb_network("resnet18"))
    wrong = rgb_network("test_efficientnet")
    wrong["conv_head.weight"] = torch.zeros(3, 3, 1, 1)
    with pytest.raises(WeightsError, match=r"conv_head.weight has shape \(3, 3, 1, 1\)"):
        initial_weights(SMALL, 1, wrong)
    with pytest.raises(WeightsError, match="RGB weights have 3"):
        initial_weights(SMALL, 1, {"conv_stem.weight": torch.zeros(24, 5, 3, 3)})


def trained(net: nn.Module) -> set[str]:
    return {name for name, p in net.named_parameters() if p.requires_grad}


def test_one_last_layer_is_the_embedding_and_two_reach_the_last_convolution():
    net = CoatNet(SMALL)
    assert set_trainable(net, False, 1) == ["embedding"]
    assert trained(net) == {"embedding.weight", "embedding.bias"}
    set_trainable(net, False, 2)
    assert trained(net) == {"embedding.weight", "embedding.bias"} | {
        f"backbone.{name}" for name in ("conv_head.weight", "bn2.weight", "bn2.bias")
    }
    set_trainable(net, True)
    assert trained(net) == {name for name, _ in net.named_parameters()}


@pytest.mark.parametrize("name", ["resnet18", "test_vit", "test_convnext"])
def test_each_layer_more_adds_parameters_until_all_are_trained(name):
    net = CoatNet(EmbeddingConfig(backbone=name, width=64, height=32, dimension=8))
    before: set[str] = set()
    for n in range(1, 5):
        set_trainable(net, False, n)
        assert before < trained(net)
        before = trained(net)
    set_trainable(net, False, 10_000)
    assert trained(net) == {name for name, _ in net.named_parameters()}


def test_frozen_layers_change_neither_by_training_nor_in_their_statistics():
    net = CoatNet(SMALL)
    set_trainable(net, False, 2)
    net.eval()
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=1.0)
    net(torch.randn(4, 4, 32, 64))[:, 0].sum().backward()
    optimiser.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed <= {name for name in before if name.startswith(("embedding", "backbone.conv_head", "backbone.bn2"))}
    assert {"embedding.weight", "backbone.conv_head.weight", "backbone.bn2.running_mean"} <= changed


def test_no_last_layer_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        set_trainable(CoatNet(SMALL), False, 0)
