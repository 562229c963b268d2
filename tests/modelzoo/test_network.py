"""The embedding network and its weights on disk."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open

from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, load_weights, save_weights
from modelzoo.pipelines import PIPELINES
from modelzoo.weights import ChecksumError, WeightsError

SMALL = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=16)


def test_config_survives_json():
    config = EmbeddingConfig(backbone="resnet18", in_channels=1, mean=(0.456,), std=(0.225,))
    assert EmbeddingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_default_config_is_that_of_the_paper():
    config = EmbeddingConfig()
    assert (config.backbone, config.width, config.height, config.dimension) == ("tf_efficientnetv2_b2", 512, 256, 1024)
    assert config.mean == (0.485, 0.456, 0.406, 0.456)
    assert config.std == (0.229, 0.224, 0.225, 0.225)


@pytest.mark.parametrize(
    "change",
    [
        {"in_channels": 2},
        {"mean": (0.5,)},
        {"std": (1, 1, 1, 0)},
        {"dimension": 0},
        {"width": 0},
        {"pipeline": "grey"},
        {"pipeline": "edges", "in_channels": 3},
    ],
)
def test_impossible_configs_are_refused(change):
    with pytest.raises(ValueError):
        EmbeddingConfig(**change)


@pytest.mark.parametrize("name", PIPELINES)
def test_channels_and_normalisation_follow_from_the_pipeline(name):
    config = EmbeddingConfig(pipeline=name)
    pipeline = PIPELINES[name]
    assert (config.in_channels, config.mean, config.std) == (pipeline.channels, pipeline.mean, pipeline.std)
    assert EmbeddingConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(("channels", "name"), [(1, "edges"), (3, "crop_rgb"), (4, "crop_rgb_edges")])
def test_settings_of_the_time_before_pipelines_are_read(channels, name):
    old = EmbeddingConfig(in_channels=channels).to_dict()
    old.pop("pipeline")
    assert EmbeddingConfig.from_dict(old).pipeline == name


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="unknown embedding settings: colour"):
        EmbeddingConfig.from_dict({"colour": "blue"})


def test_settings_may_name_their_own_kind_only():
    assert EmbeddingConfig.from_dict({"kind": "coatnet", "dimension": 8}) == EmbeddingConfig(dimension=8)
    with pytest.raises(ValueError, match="another kind: rootsift-vlad"):
        EmbeddingConfig.from_dict({"kind": "rootsift-vlad"})


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_network_gives_unit_rows_of_the_configured_dimension(channels):
    config = EmbeddingConfig("test_efficientnet", channels, 64, 32, 16, (0.5,) * channels, (0.5,) * channels)
    net = CoatNet(config).eval()
    with torch.inference_mode():
        rows = net(torch.randn(3, channels, 32, 64))
    assert rows.shape == (3, 16)
    assert torch.allclose(rows.norm(dim=1), torch.ones(3), atol=1e-5)


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(99)
    first = initial_weights(SMALL, 1)
    undisturbed = torch.rand(1)
    torch.manual_seed(99)
    assert torch.equal(torch.rand(1), undisturbed)
    again, other = initial_weights(SMALL, 1), initial_weights(SMALL, 2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_saved_weights_come_back_and_leave_no_other_file(tmp_path):
    state = initial_weights(SMALL, 1)
    path = tmp_path / "deep" / "w.safetensors"
    digest = save_weights(path, state, {"pipeline": "test"})
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]
    loaded = load_weights(path, sha256=digest.upper())
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_the_same_tensors_and_metadata_give_the_same_file(tmp_path):
    state, metadata = {"b": torch.ones(3), "a": torch.zeros(2)}, {name: name.upper() for name in "spotid é"}
    digests = {save_weights(tmp_path / f"{n}", state, metadata) for n in range(8)}
    assert len(digests) == 1
    with safe_open(tmp_path / "0", "pt") as file:
        assert file.metadata() == metadata
        assert torch.equal(file.get_tensor("b"), state["b"])


def test_a_failed_write_leaves_the_old_weights(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    digest = save_weights(path, {"a": torch.ones(2)}, {})
    monkeypatch.setattr("modelzoo.network.os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_weights(path, {"a": torch.zeros(2)}, {})
    assert torch.equal(load_weights(path, sha256=digest)["a"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_changed_weights_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    digest = save_weights(path, {"a": torch.ones(8)}, {})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumError, match=f"registered is {digest}"):
        load_weights(path, sha256=digest)


def test_missing_weights_and_other_files_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(tmp_path / "none", sha256="0" * 64)
    path = tmp_path / "text"
    path.write_bytes(b"no safetensors at all")
    with pytest.raises(WeightsError, match="no safetensors file"):
        load_weights(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
