"""A checkpoint of the original's layout, from a network built here of plain torch and timm, imports and agrees."""

import cv2
import numpy as np
import pytest
import timm
import torch
from torch import nn

from modelzoo.embedders import CoatPixels, open_embedder, starting_weights
from modelzoo.network import CoatNet, EmbeddingConfig, load_weights
from modelzoo.original import OriginalNet, import_original
from modelzoo.weights import ChecksumError, WeightsError


class TheOriginals(nn.Module):
    """As in the original: the ready-made network with another first layer, its classifier kept, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.final_backbone = timm.create_model("tf_efficientnetv2_b2", pretrained=False)
        self.final_backbone.conv_stem = nn.Conv2d(4, 32, kernel_size=3, stride=2, bias=False)
        self.embedding_layer = nn.Linear(1000, 1024)

    def forward(self, x):
        x = self.embedding_layer(self.final_backbone(x))
        return x / x.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def original():
    """Not as it is initialised: normalisations have statistics of images, and numbers of their own."""
    torch.manual_seed(5)
    net = TheOriginals()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.8, 1.2)
                module.bias.normal_(0, 0.1)
                module.momentum = 0.7
        net.final_backbone.classifier.bias.normal_(0, 0.1)
        for _ in range(3):
            net(torch.randn(4, 4, 64, 128))
    return net.eval()


@pytest.fixture(scope="module")
def checkpoint(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("original") / "best-model-cosface.pth"
    torch.save(original.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def imported(checkpoint):
    return import_original(checkpoint, checkpoint.parent / "weights")


def test_the_first_layer_does_not_pad(imported):
    net = OriginalNet(EmbeddingConfig())
    assert net.final_backbone.conv_stem(torch.zeros(1, 4, 256, 512)).shape == (1, 32, 127, 255)


def test_every_tensor_is_carried_unchanged(original, imported):
    carried = load_weights(imported.weights, sha256=imported.sha256)
    state = original.state_dict()
    assert carried.keys() == state.keys()
    assert any(key.endswith("running_var") for key in carried)
    assert all(torch.equal(carried[key], state[key]) for key in state)


def test_vectors_of_the_same_tensor_agree(original, imported):
    net = OriginalNet(EmbeddingConfig.from_dict({k: v for k, v in imported.config.items() if k != "kind"}))
    net.load_state_dict(load_weights(imported.weights, sha256=imported.sha256))
    images = torch.randn(2, 4, 256, 512)
    with torch.inference_mode():
        assert torch.allclose(net.eval()(images), original(images), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def coats():
    """Two photos of other sizes than the network's, both larger, with a mask that must not be looked at."""
    draw = np.random.default_rng(1)
    found = []
    for height, width in ((300, 700), (411, 555)):
        crop = cv2.GaussianBlur(draw.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 3)
        edges = np.where(draw.random((height, width)) < 0.1, 255, 0).astype(np.uint8)
        found.append(CoatPixels(crop, edges, np.zeros((height, width), np.uint8)))
    return found


@pytest.fixture(scope="module")
def expected(original, coats):
    """Stretched, scaled to 0…1, normalised and encoded, channel by channel."""
    images = []
    for coat in coats:
        channels = [coat.crop[:, :, 0], coat.crop[:, :, 1], coat.crop[:, :, 2], coat.edges]
        planes = []
        for plane, mean, std in zip(channels, (0.485, 0.456, 0.406, 0.456), (0.229, 0.224, 0.225, 0.225), strict=True):
            small = cv2.resize(plane, dsize=(512, 256), interpolation=cv2.INTER_AREA)
            planes.append((torch.from_numpy(small).double() / 255 - mean) / std)
        images.append(torch.stack(planes).float())
    with torch.inference_mode():
        return original(torch.stack(images)).numpy()


@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_vectors_of_photos_agree_through_the_whole_embedder(imported, coats, expected, runtime):
    embedder = open_embedder(imported.config, imported.weights, imported.sha256, runtime=runtime)
    assert embedder.dimension == 1024
    found = embedder.encode(coats)
    assert np.abs(found - expected).max() <= 1e-5
    assert abs(float(expected[0] @ expected[1])) < 0.999


def test_only_torch_in_float32_is_exact_enough_unless_another_runtime_is_asked_for(imported):
    embedder = open_embedder(imported.config, imported.weights, imported.sha256)
    assert embedder.describe().startswith("torch")
    assert "float32" in embedder.describe()


def test_importing_again_gives_the_same_file(checkpoint, imported):
    assert import_original(checkpoint, imported.weights.parent) == imported


def test_the_prefix_of_data_parallel_is_tolerated(original, imported, tmp_path):
    torch.save({f"module.{key}": value for key, value in original.state_dict().items()}, tmp_path / "p.pth")
    again = import_original(tmp_path / "p.pth", tmp_path)
    one, other = (load_weights(m.weights, sha256=m.sha256) for m in (imported, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def spoilt(original, change) -> dict[str, torch.Tensor]:
    state = dict(original.state_dict())
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("final_backbone.bn2.running_var"), "missing: final_backbone.bn2.running_var"),
        (lambda s: s.update(cosface=torch.zeros(2)), "unknown: cosface"),
        (
            lambda s: s.update({"final_backbone.conv_stem.weight": torch.zeros(32, 3, 3, 3)}),
            "final_backbone.conv_stem.weight is 32×3×3×3 instead of 32×4×3×3",
        ),
        (
            lambda s: s.update({"embedding_layer.weight": torch.zeros(1024, 1408)}),
            "embedding_layer.weight is 1024×1408 instead of 1024×1000",
        ),
        (lambda s: s.update({"embedding_layer.bias": torch.zeros(7)}), "embedding_layer.bias is 7 instead of 1024"),
        (lambda s: s.update({"embedding_layer.bias": torch.full((1024,), torch.nan)}), "not finite in embedding_layer"),
        (lambda s: s.update(epoch=7), "not a state dict.*epoch"),
        (dict.clear, "not a state dict"),
    ],
)
def test_what_does_not_fit_is_named(original, tmp_path, change, words):
    torch.save(spoilt(original, change), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=words):
        import_original(tmp_path / "w.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_network_of_ours_or_a_whole_other_one_is_refused_in_a_few_words(tmp_path):
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"and \d+ more") as refusal:
        import_original(tmp_path / "w.pth", tmp_path)
    assert len(str(refusal.value)) < 1000


def test_other_files_and_pickled_objects_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        import_original(tmp_path / "absent.pth", tmp_path)
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(WeightsError, match="no checkpoint of tensors only"):
        import_original(tmp_path / "text.pth", tmp_path)
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="no checkpoint of tensors only"):
        import_original(tmp_path / "empty.pth", tmp_path)
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list"):
        import_original(tmp_path / "list.pth", tmp_path)
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(WeightsError, match="no checkpoint of tensors only"):
        import_original(tmp_path / "module.pth", tmp_path)


def test_a_changed_file_is_refused(imported, coats, tmp_path):
    copy = tmp_path / "w.safetensors"
    copy.write_bytes(imported.weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ChecksumError):
        open_embedder(imported.config, copy, imported.sha256, runtime="torch").encode(coats)


def test_training_starts_from_the_same_network_but_for_the_padding(original, imported):
    """With the first convolution padded nowhere by hand, the folded network gives the original's vectors."""
    net = CoatNet(EmbeddingConfig())
    net.load_state_dict(starting_weights(imported.config, imported.weights, imported.sha256))
    unpadded = nn.Conv2d(4, 32, 3, stride=2, bias=False)
    unpadded.weight = net.backbone.conv_stem.weight
    net.backbone.conv_stem = unpadded
    images = torch.randn(1, 4, 128, 256)
    with torch.inference_mode():
        assert torch.allclose(net.eval()(images), original(images), rtol=0, atol=1e-5)
