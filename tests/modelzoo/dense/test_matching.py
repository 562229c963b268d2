"""Dense features: which cells are kept, what is stored, and that a moved coat is found again."""

import cv2
import numpy as np
import pytest
import torch

from modelzoo.cards import ModelCard
from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.dense import (
    DenseConfig,
    DenseFeatureError,
    DenseFeatures,
    compare,
    extract,
    from_bytes,
    open_dense,
    save_dense,
    to_bytes,
)
from modelzoo.dense.matching import tentative_matches
from modelzoo.dense.network import STRIDE, initial_network
from modelzoo.weights import ChecksumError, WeightsError

TINY = DenseConfig(dimension=16, stem=4, fine=8, middle=8, coarse=8, animal_side=80, mean_side=110, keypoints=90)


def _features(rng, n=40, d=16, width=200, height=100):
    places = np.stack([rng.permutation(48)[:n] * 4 + 2, rng.integers(0, 24, n) * 4 + 2], axis=1)
    rows = rng.standard_normal((n, d))
    rows = np.rint(127 * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.int8)
    return DenseFeatures(places.astype(np.uint16), rows, np.full(n, 200, np.uint8), width, height)


def _coat(seed=0, width=220, height=120):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 3)
    grey = np.where(noise > 0, 190, 60).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 3, height // 3), 0, 0, 360, 255, -1)
    return np.repeat(grey[..., None], 3, axis=2), mask


def test_no_features_match_nothing():
    none, some = DenseFeatures.empty(16), _features(np.random.default_rng(0))
    for a, b in ((none, none), (none, some), (some, none)):
        found = compare(a, b)
        assert (found.inliers, found.matches, found.weight) == (0, 0, 0.0)
    assert len(from_bytes(to_bytes(none))) == 0


def test_a_moved_coat_is_found_with_its_shift():
    rng = np.random.default_rng(1)
    a = _features(rng)
    b = DenseFeatures((a.places + np.array([8, 4])).astype(np.uint16), a.descriptors, a.reliability, 200, 100)
    found = compare(a, b)
    assert found.inliers == len(a)
    np.testing.assert_allclose(found.transform, [[1, 0, 8], [0, 1, 4]], atol=1e-3)
    stranger = compare(a, _features(np.random.default_rng(2)))
    assert stranger.weight < 0.25 * found.weight


def test_matches_are_mutual_symmetric_and_weighed_by_the_best_cell_elsewhere():
    rng = np.random.default_rng(3)
    a, b = _features(rng), _features(rng)
    pairs, weights = tentative_matches(a, b)
    back, back_weights = tentative_matches(b, a)
    assert {tuple(p) for p in pairs.tolist()} == {(j, i) for i, j in back.tolist()}
    similarity = a.rows @ b.rows.T
    for (i, j), weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        assert similarity[i].argmax() == j and similarity[:, j].argmax() == i
        gap, ratios = np.sqrt(1 - similarity[i, j]), []
        for row, features, matched in ((similarity[i], b, j), (similarity[:, j], a, i)):
            apart = [
                k for k in range(len(features)) if np.abs(features.pixels[k] - features.pixels[matched]).max() >= 10
            ]
            ratios.append(gap / np.sqrt(1 - row[apart].max()))
        assert weight == pytest.approx(1 - np.mean(ratios), abs=1e-4)
    assert sorted(weights.tolist()) == pytest.approx(sorted(back_weights.tolist()), abs=1e-5)


def test_kept_cells_lie_on_the_animal_one_to_a_block():
    crop, mask = _coat()
    features = extract(CoatPixels(crop, mask=mask), initial_network(TINY, 0))
    assert 20 < len(features) <= TINY.keypoints
    assert (np.diff(features.reliability.astype(int)) <= 0).all()
    assert (features.places % STRIDE == STRIDE // 2).all()
    blocks = {tuple(b) for b in (features.places // (STRIDE * TINY.block)).tolist()}
    assert len(blocks) == len(features)
    # The picture is cut to the ellipse, which then touches the middle of every side and no corner.
    x, y = features.points[:, 0], features.points[:, 1]
    assert (np.hypot((x - 0.5) / 0.5, (y - 0.5) / 0.5) < 1.05).all()


def test_the_animals_size_in_the_photo_does_not_matter():
    crop, mask = _coat()
    network = initial_network(TINY, 0)
    small = extract(CoatPixels(crop, mask=mask), network)
    twice = [cv2.resize(v, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for v in (crop, mask)]
    large = extract(CoatPixels(twice[0], mask=twice[1]), network)
    assert abs(small.width - large.width) <= 2 and abs(small.height - large.height) <= 2


def test_a_failed_mask_and_a_tiny_crop_do_no_harm():
    crop, mask = _coat()
    network = initial_network(TINY, 0)
    whole = extract(CoatPixels(crop), network)
    np.testing.assert_array_equal(extract(CoatPixels(crop, mask=np.zeros_like(mask)), network).places, whole.places)
    thin = np.zeros((400, 2, 3), np.uint8)
    assert len(extract(CoatPixels(thin), network)) == 0


def test_a_network_that_gives_nan_is_refused():
    network = initial_network(TINY, 0)
    with torch.no_grad():
        network.descriptor.weight.fill_(float("nan"))
    with pytest.raises(EncodingError, match="finite"):
        extract(CoatPixels(_coat()[0]), network)


def test_storage_loses_nothing_and_refuses_other_bytes():
    features = extract(CoatPixels(_coat()[0]), initial_network(TINY, 0))
    data = to_bytes(features)
    again = from_bytes(data)
    for name in ("places", "descriptors", "reliability"):
        np.testing.assert_array_equal(getattr(again, name), getattr(features, name))
        assert getattr(again, name).dtype == getattr(features, name).dtype
    assert (again.width, again.height) == (features.width, features.height)
    newer = data[:4] + b"\x09" + data[5:]
    for bad in (b"", b"SPLF" + data[4:], newer, data[:-3], data[:13] + b"\x00" * 40):
        with pytest.raises(DenseFeatureError):
            from_bytes(bad)
    with pytest.raises(DenseFeatureError, match="belong together"):
        DenseFeatures(features.places[:1], features.descriptors, features.reliability, 1, 1)


def test_weights_travel_with_their_card_in_half_precision(tmp_path):
    network = initial_network(TINY, 7)
    path = tmp_path / "dense.safetensors"
    digest = save_dense(path, network, ModelCard(name="tiny", config=TINY.to_dict(), dimension=16))
    again = open_dense(path, digest)
    assert again.config == TINY and not again.training
    picture = torch.randn(1, 1, 32, 48)
    with torch.inference_mode():
        cosine = (again(picture)[0] * network(picture)[0]).sum(dim=1)
    assert cosine.min() > 0.999
    with pytest.raises(ChecksumError):
        open_dense(path, "0" * 64)
    other = ModelCard(name="other", config={"kind": "coatnet", "dimension": 16}, dimension=16)
    save_dense(path, network, other)
    with pytest.raises(WeightsError, match="coatnet"):
        open_dense(path)
