"""The encoder, against the network called by hand."""

import cv2
import numpy as np
import pytest
import torch

from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, save_weights
from modelzoo.runtime import Encoder, EncodingError
from modelzoo.weights import ChecksumError, WeightsError

CONFIG = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    return path, save_weights(path, initial_weights(CONFIG, 1), {})


@pytest.fixture
def encoder(weights):
    return Encoder(CONFIG, *weights)


def photos(n: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    draw = np.random.default_rng(0)
    sizes = [(40 + 7 * i, 90 + 3 * i) for i in range(n)]
    crops = [draw.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    return crops, [draw.integers(0, 2, size, np.uint8) * 255 for size in sizes]


def test_nothing_gives_an_empty_matrix_without_reading_the_weights(tmp_path):
    encoder = Encoder(CONFIG, tmp_path / "absent", "0" * 64)
    assert encoder.encode([], []).shape == (0, 16)
    assert not encoder.loaded


def test_vectors_are_those_of_the_network(encoder):
    crops, edges = photos(3)
    found = encoder.encode(crops, edges)
    net = CoatNet(CONFIG).eval()
    net.load_state_dict(initial_weights(CONFIG, 1))
    for row, crop, edge in zip(found, crops, edges, strict=True):
        planes = []
        for c in range(4):
            plane = cv2.resize(edge if c == 3 else crop[:, :, c], (64, 32), interpolation=cv2.INTER_AREA)
            planes.append((plane.astype(np.float64) / 255 - CONFIG.mean[c]) / CONFIG.std[c])
        with torch.inference_mode():
            expected = net(torch.tensor(np.stack(planes)[None], dtype=torch.float32))[0].numpy()
        assert float(row @ expected) == pytest.approx(1.0, abs=1e-5)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_batches_do_not_change_the_vectors(weights):
    crops, edges = photos(5)
    one = Encoder(CONFIG, *weights, batch_size=1).encode(crops, edges)
    many = Encoder(CONFIG, *weights, batch_size=4).encode(crops, edges)
    assert np.allclose(one, many, atol=1e-5)


def test_out_of_memory_halves_the_batch_and_skips_nothing(encoder, monkeypatch):
    crops, edges = photos(7)
    expected = encoder.encode(crops, edges)
    whole = encoder._forward
    sizes = []

    def small_card(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(batch)

    monkeypatch.setattr(encoder, "_forward", small_card)
    encoder.batch_size = 8
    assert np.allclose(encoder.encode(crops, edges), expected, atol=1e-5)
    assert sizes == [7, 4, 2, 2, 2, 1]


def test_out_of_memory_for_one_photo_is_an_error(encoder, monkeypatch):
    def no_room(batch):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(encoder, "_forward", no_room)
    with pytest.raises(torch.OutOfMemoryError):
        encoder.encode(*photos(2))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_that_are_no_directions_are_refused(encoder, monkeypatch, value):
    monkeypatch.setattr(encoder, "_forward", lambda batch: np.full((len(batch), 16), value, np.float32))
    with pytest.raises(EncodingError, match="photo 0 of this call"):
        encoder.encode(*photos(2))


@pytest.mark.parametrize(
    ("crop", "edge", "words"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), "crop 0"),
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), "crop 0"),
        (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), "crop 0"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), "edge map 0"),
    ],
)
def test_unfit_input_is_named(encoder, crop, edge, words):
    with pytest.raises(EncodingError, match=words):
        encoder.encode([crop], [edge])


def test_a_missing_edge_map_is_an_error_unless_the_network_has_no_use_for_it(encoder, tmp_path):
    crops, _ = photos(1)
    with pytest.raises(EncodingError, match="1 crops and 0 edge maps"):
        encoder.encode(crops, [])
    rgb = EmbeddingConfig("test_efficientnet", 3, 64, 32, 16, (0.5,) * 3, (0.5,) * 3)
    digest = save_weights(tmp_path / "rgb.safetensors", initial_weights(rgb, 1), {})
    assert Encoder(rgb, tmp_path / "rgb.safetensors", digest).encode(crops).shape == (1, 16)


def test_weights_of_another_hash_or_network_are_refused(weights):
    path, digest = weights
    with pytest.raises(ChecksumError):
        Encoder(CONFIG, path, "0" * 64).encode(*photos(1))
    wider = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=32)
    with pytest.raises(WeightsError, match="belong to another network"):
        Encoder(wider, path, digest).encode(*photos(1))


def test_the_number_of_threads_is_put_back(weights):
    before = torch.get_num_threads()
    Encoder(CONFIG, *weights, threads=before + 1).encode(*photos(1))
    assert torch.get_num_threads() == before
