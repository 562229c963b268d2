"""The embedder of networks, against the network called by hand."""

import cv2
import numpy as np
import pytest
import torch

from modelzoo.embedders import CoatPixels, EncodingError, open_embedder, starting_weights
from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, save_weights
from modelzoo.runtime import NetworkEmbedder
from modelzoo.weights import ChecksumError, WeightsError

CONFIG = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    return path, save_weights(path, initial_weights(CONFIG, 1), {})


@pytest.fixture
def embedder(weights):
    return NetworkEmbedder(CONFIG, *weights, runtime="torch", exact=True)


def photos(n: int) -> list[CoatPixels]:
    draw = np.random.default_rng(0)
    sizes = [(40 + 7 * i, 90 + 3 * i) for i in range(n)]
    crops = [draw.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    edges = [draw.integers(0, 2, size, np.uint8) * 255 for size in sizes]
    masks = [draw.integers(0, 2, size, np.uint8) * 255 for size in sizes]
    return [CoatPixels(*planes) for planes in zip(crops, edges, masks, strict=True)]


def by_hand(config: EmbeddingConfig, coat: CoatPixels) -> np.ndarray:
    """The default pipeline's vector of one coat, channel by channel."""
    net = CoatNet(config).eval()
    net.load_state_dict(initial_weights(config, 1))
    planes = []
    for c in range(4):
        plane = coat.edges if c == 3 else coat.crop[:, :, c]
        small = cv2.resize(plane, (config.width, config.height), interpolation=cv2.INTER_AREA)
        planes.append((small.astype(np.float64) / 255 - config.mean[c]) / config.std[c])
    with torch.inference_mode():
        return net(torch.tensor(np.stack(planes)[None], dtype=torch.float32))[0].numpy()


def test_nothing_gives_an_empty_matrix_without_reading_the_weights(tmp_path):
    embedder = NetworkEmbedder(CONFIG, tmp_path / "absent", "0" * 64)
    assert embedder.encode([]).shape == (0, 16)
    assert not embedder.loaded


def test_vectors_are_those_of_the_network(embedder):
    coats = photos(3)
    found = embedder.encode(coats)
    for row, coat in zip(found, coats, strict=True):
        assert row == pytest.approx(by_hand(CONFIG, coat), abs=1e-5)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_the_pipeline_of_the_settings_decides_what_the_network_sees(tmp_path):
    cut = EmbeddingConfig("test_efficientnet", 0, 64, 32, 16, pipeline="cutout_rgb_edges")
    digest = save_weights(tmp_path / "w.safetensors", initial_weights(cut, 1), {})
    (coat,) = photos(1)
    (found,) = open_embedder(cut.to_dict(), tmp_path / "w.safetensors", digest, runtime="torch").encode([coat])
    assert found == pytest.approx(by_hand(CONFIG, CoatPixels(coat.cutout, coat.edges)), abs=2e-3)
    assert found != pytest.approx(by_hand(CONFIG, coat), abs=2e-3)


def test_batches_do_not_change_the_vectors(weights):
    coats = photos(5)
    one = NetworkEmbedder(CONFIG, *weights, batch_size=1, runtime="torch", exact=True).encode(coats)
    many = NetworkEmbedder(CONFIG, *weights, batch_size=4, runtime="torch", exact=True).encode(coats)
    assert np.allclose(one, many, atol=1e-5)


def test_out_of_memory_halves_the_batch_and_skips_nothing(embedder, monkeypatch):
    coats = photos(7)
    expected = embedder.encode(coats)
    whole = embedder._forward
    sizes = []

    def small_card(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(batch)

    monkeypatch.setattr(embedder, "_forward", small_card)
    embedder.batch_size = 8
    assert np.allclose(embedder.encode(coats), expected, atol=1e-5)
    assert sizes == [7, 4, 2, 2, 2, 1]


def test_out_of_memory_for_one_photo_is_an_error(embedder, monkeypatch):
    def no_room(batch):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(embedder, "_forward", no_room)
    with pytest.raises(torch.OutOfMemoryError):
        embedder.encode(photos(2))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_that_are_no_directions_are_refused(embedder, monkeypatch, value):
    monkeypatch.setattr(embedder, "_forward", lambda batch: np.full((len(batch), 16), value, np.float32))
    with pytest.raises(EncodingError, match="photo 0 of this call"):
        embedder.encode(photos(2))


def test_a_missing_edge_map_is_an_error_unless_the_network_has_no_use_for_it(embedder, tmp_path):
    first, second = photos(2)
    with pytest.raises(EncodingError, match="photo 1 of this call has no edge map"):
        embedder.encode([first, CoatPixels(second.crop)])
    rgb = EmbeddingConfig("test_efficientnet", 3, 64, 32, 16)
    digest = save_weights(tmp_path / "rgb.safetensors", initial_weights(rgb, 1), {})
    bare = NetworkEmbedder(rgb, tmp_path / "rgb.safetensors", digest, runtime="torch")
    assert bare.encode([CoatPixels(first.crop)]).shape == (1, 16)


def test_weights_of_another_hash_or_network_are_refused(weights):
    path, digest = weights
    with pytest.raises(ChecksumError):
        NetworkEmbedder(CONFIG, path, "0" * 64).encode(photos(1))
    wider = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=32)
    for runtime in ("auto", "torch", "openvino"):
        with pytest.raises(WeightsError, match="belong to another network"):
            NetworkEmbedder(wider, path, digest, runtime=runtime).encode(photos(1))


def test_weights_in_half_precision_give_the_same_directions(weights, tmp_path, embedder):
    half = {name: v.half() if v.is_floating_point() else v for name, v in initial_weights(CONFIG, 1).items()}
    digest = save_weights(tmp_path / "half.safetensors", half, {})
    coats = photos(2)
    found = NetworkEmbedder(CONFIG, tmp_path / "half.safetensors", digest, runtime="torch").encode(coats)
    assert (found * embedder.encode(coats)).sum(axis=1) == pytest.approx(np.ones(2), abs=1e-3)


def test_the_number_of_threads_is_put_back(weights):
    before = torch.get_num_threads()
    NetworkEmbedder(CONFIG, *weights, threads=before + 1, runtime="torch").encode(photos(1))
    assert torch.get_num_threads() == before


def test_a_network_goes_on_from_its_own_weights_and_nothing_else_can_be_trained(weights):
    state = starting_weights(CONFIG.to_dict(), *weights)
    CoatNet(CONFIG).load_state_dict(state)
    with pytest.raises(ValueError, match="rootsift-vlad cannot be trained"):
        starting_weights({"kind": "rootsift-vlad"}, *weights)


def test_unknown_kinds_runtimes_and_settings_are_refused(tmp_path):
    path, digest = tmp_path / "w", "0" * 64
    with pytest.raises(ValueError, match="no kind of model 'tarot'; there are coatnet, spotid-original"):
        open_embedder({"kind": "tarot"}, path, digest)
    with pytest.raises(ValueError, match="no runtime 'fast'"):
        open_embedder({}, path, digest, runtime="fast")
    with pytest.raises(ValueError, match="unknown embedding settings"):
        open_embedder({"colour": "blue"}, path, digest)
