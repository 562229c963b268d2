"""RootSIFT-VLAD: against a recomputation by loops in float64, and what must hold of any vector."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.embedders import open_embedder
from modelzoo.local import LocalConfig, LocalFeatures, extract
from modelzoo.shipped import shipped_model, write_shipped
from modelzoo.synthetic import make_crop
from modelzoo.vlad import KIND, VladConfig, VladEmbedder, VladWeights, aggregate, cell_weights
from modelzoo.vlad_training import k_means, learn, main_axes
from modelzoo.weights import ChecksumError, WeightsError

SMALL = VladConfig(words=5, descriptor_dimension=6, columns=3, rows=2)
RNG = np.random.default_rng


def random_features(n: int, seed: int = 0) -> LocalFeatures:
    rng = RNG(seed)
    points = np.column_stack([rng.random((n, 2)), rng.uniform(1, 9, n), np.zeros(n)]).astype(np.float32)
    return LocalFeatures(points, rng.integers(0, 200, (n, 128), np.uint8), 400, 200)


def random_weights(config: VladConfig, seed: int = 1) -> VladWeights:
    rng = RNG(seed)
    axes = np.linalg.qr(rng.standard_normal((128, config.descriptor_dimension)))[0]
    words = rng.standard_normal((config.words, config.descriptor_dimension)) * 0.1
    return VladWeights(np.full(128, 0.08, np.float32), axes.astype(np.float32), words.astype(np.float32))


@pytest.fixture(scope="module")
def coats() -> list[CoatPixels]:
    crops = [make_crop(5, animal, "left", view, (256, 128)) for animal in (0, 1) for view in (0, 1)]
    return [CoatPixels(crop.rgb, mask=crop.mask.astype(np.uint8) * 255) for crop in crops]


def by_loops(features: LocalFeatures, config: VladConfig, weights: VladWeights) -> np.ndarray:
    """The definition, one keypoint at a time."""
    mean, axes, words = (a.astype(np.float64) for a in (weights.mean, weights.axes, weights.words))
    whole = np.zeros((config.rows, config.columns, config.words, config.descriptor_dimension))
    for point, raw in zip(features.points.astype(np.float64), features.descriptors.astype(np.float64), strict=True):
        descriptor = (np.sqrt(raw / raw.sum()) - mean) @ axes
        word = min(range(config.words), key=lambda k: float(((descriptor - words[k]) ** 2).sum()))
        residual = descriptor - words[word]
        residual /= np.sqrt((residual**2).sum())
        for row in range(config.rows):
            for column in range(config.columns):
                x = min(max(point[0] * config.columns - 0.5, 0), config.columns - 1)
                y = min(max(point[1] * config.rows - 0.5, 0), config.rows - 1)
                share = max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
                whole[row, column, word] += share * residual
    for row in range(config.rows):
        for column in range(config.columns):
            for word in range(config.words):
                length = np.sqrt((whole[row, column, word] ** 2).sum())
                whole[row, column, word] /= length or 1.0
            whole[row, column] /= np.sqrt((whole[row, column] ** 2).sum()) or 1.0
    return whole.reshape(-1) / np.sqrt((whole**2).sum())


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, columns=1, rows=1), replace(SMALL, words=1)])
@pytest.mark.parametrize("n", [1, 40])
def test_the_vector_is_what_loops_in_float64_make_of_the_definition(config: VladConfig, n: int) -> None:
    features, weights = random_features(n), random_weights(config)
    found = aggregate(features, config, weights)
    assert found is not None and found.shape == (config.dimension,) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_loops(features, config, weights), atol=2e-6)


def test_nothing_to_sum_up_makes_no_vector() -> None:
    assert aggregate(LocalFeatures.empty(200, 100), SMALL, random_weights(SMALL)) is None


def test_the_order_of_keypoints_does_not_matter() -> None:
    features, weights = random_features(50), random_weights(SMALL)
    order = RNG(3).permutation(50)
    turned = LocalFeatures(features.points[order], features.descriptors[order], features.width, features.height)
    np.testing.assert_allclose(aggregate(turned, SMALL, weights), aggregate(features, SMALL, weights), atol=1e-6)


def test_a_keypoint_counts_wholly_whatever_its_place() -> None:
    places = RNG(0).random((200, 2)).astype(np.float32)
    for columns, rows in ((1, 1), (4, 2), (3, 5)):
        shares = cell_weights(places, columns, rows)
        assert shares.shape == (200, columns * rows) and (shares >= 0).all()
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    corner = cell_weights(np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]], np.float32), 2, 2)
    np.testing.assert_allclose(corner, [[1, 0, 0, 0], [0, 0, 0, 1], [0.25] * 4], atol=1e-6)


def test_the_shipped_model_encodes_coats_to_unit_vectors_alike_every_time(coats: list[CoatPixels]) -> None:
    shipped = shipped_model()
    shipped.verify()
    first, second = (open_embedder(shipped.card.config, shipped.path, shipped.sha256) for _ in range(2))
    vectors = first.encode(coats)
    assert vectors.shape == (4, shipped.card.dimension) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(second.encode(coats[::-1])[::-1], vectors)
    assert first.encode([]).shape == (0, shipped.card.dimension)
    cosines = vectors @ vectors.T
    assert min(cosines[0, 1], cosines[2, 3]) > cosines[:2, 2:].max(), "two views of one coat are alike"


def test_only_what_is_inside_the_mask_counts(coats: list[CoatPixels]) -> None:
    shipped = shipped_model()
    embedder = open_embedder(shipped.card.config, shipped.path, shipped.sha256)
    coat = coats[0]
    assert coat.mask is not None
    # Beyond the reach of keypoints that stand on the widened mask.
    far = np.array(coat.mask == 0)
    ring = np.pad(coat.mask, 24)
    for shift in range(-24, 25, 4):
        for other in range(-24, 25, 4):
            height, width = coat.mask.shape
            far &= ring[24 + shift : 24 + shift + height, 24 + other : 24 + other + width] == 0
    assert far.any()
    noisy = coat.crop.copy()
    noisy[far] = RNG(0).integers(0, 255, noisy[far].shape, np.uint8)
    with_mask = embedder.encode([coat, CoatPixels(noisy, mask=coat.mask)])
    without = embedder.encode([CoatPixels(coat.crop), CoatPixels(noisy)])
    assert with_mask[0] @ with_mask[1] > without[0] @ without[1]


def test_a_coat_without_any_keypoint_is_named_and_makes_no_zero_vector(coats: list[CoatPixels]) -> None:
    shipped = shipped_model()
    embedder = open_embedder(shipped.card.config, shipped.path, shipped.sha256)
    flat = CoatPixels(np.full((60, 120, 3), 90, np.uint8))
    with pytest.raises(EncodingError, match="photo 1 of this call"):
        embedder.encode([coats[0], flat])


def test_damaged_exchanged_and_unfit_files_are_refused(tmp_path: Path) -> None:
    import hashlib

    weights = random_weights(SMALL)
    path = tmp_path / "w.safetensors"

    def put(data: bytes) -> str:
        path.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def encode(sha256: str, config: VladConfig = SMALL) -> None:
        VladEmbedder(config.to_dict(), path, sha256).encode([CoatPixels(np.zeros((8, 8, 3), np.uint8))])

    good = save(weights.tensors())
    with pytest.raises(WeightsError, match="cannot be read"):
        encode("0" * 64)
    put(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ChecksumError, match="not the registered ones"):
        encode(hashlib.sha256(good).hexdigest())
    with pytest.raises(WeightsError, match="no safetensors file"):
        encode(put(b"\x80\x02 nothing of the kind"))
    with pytest.raises(WeightsError, match="no vocabulary"):
        encode(put(save({"words": weights.words})))
    with pytest.raises(WeightsError, match="other settings"):
        encode(put(good), replace(SMALL, words=6))
    broken = replace(weights, words=np.full_like(weights.words, np.nan))
    with pytest.raises(WeightsError, match="not finite"):
        encode(put(save(broken.tensors())))
    with pytest.raises(EncodingError, match="photo 0"):
        encode(put(good))


def test_settings_survive_json_and_unknown_ones_are_refused() -> None:
    config = replace(SMALL, local=LocalConfig(max_keypoints=77))
    values = json.loads(json.dumps(config.to_dict()))
    assert (values["kind"], values["dimension"]) == (KIND, 5 * 6 * 6)
    assert VladConfig.from_dict(values) == config
    for change in ({"colour": 1}, {"kind": "coatnet"}, {"dimension": 7}, {"local": {"colour": 1}}, {"words": 0}):
        with pytest.raises(ValueError):
            VladConfig.from_dict(values | change)


def test_learning_again_gives_the_same_bits_and_another_seed_others(coats: list[CoatPixels]) -> None:
    features = [extract(coat.crop, coat.mask, LocalConfig()) for coat in coats]
    config = VladConfig(words=16, descriptor_dimension=8)
    first, again, other = (save(learn(features, config, seed).tensors()) for seed in (1, 1, 2))
    assert first == again and first != other
    with pytest.raises(ValueError, match="too few"):
        learn([], config, 1)


def test_words_settle_on_separate_heaps() -> None:
    rng = RNG(0)
    heaps = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    rows = np.repeat(heaps, 50, axis=0) + rng.normal(0, 0.1, (150, 2)).astype(np.float32)
    found = k_means(rows, 3, rng)
    by_place = sorted(found.tolist(), key=lambda row: [round(v) for v in row])
    np.testing.assert_allclose(by_place, sorted(heaps.tolist()), atol=0.1)
    assert np.isfinite(k_means(np.ones((5, 2), np.float32), 3, rng)).all(), "equal rows have words, too"


def test_axes_are_those_of_largest_variance() -> None:
    rows = RNG(0).normal(0, [1, 5, 3], (500, 3)).astype(np.float32)
    axes = main_axes(rows - rows.mean(axis=0), 2)
    np.testing.assert_allclose(axes, [[0, 0], [1, 0], [0, 1]], atol=0.1)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-5)


def test_a_changed_shipped_file_and_an_unreadable_card_are_refused(tmp_path: Path) -> None:
    shipped = shipped_model()
    with pytest.raises(WeightsError, match="no model rootsift-vlad-2 is shipped"):
        shipped_model(folder=tmp_path)
    write_shipped(tmp_path, shipped.card, shipped.sha256)
    copied = shipped_model(folder=tmp_path)
    assert (copied.card, copied.sha256) == (shipped.card, shipped.sha256)
    with pytest.raises(WeightsError, match="cannot be read"):
        copied.verify()
    copied.path.write_bytes(shipped.path.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match="not those that were shipped"):
        copied.verify()
    (tmp_path / "rootsift-vlad-2.json").write_text('{"sha256": ""}')
    with pytest.raises(WeightsError, match="not readable"):
        shipped_model(folder=tmp_path)


def test_the_card_says_what_the_file_is() -> None:
    shipped = shipped_model()
    assert shipped.card.trained and shipped.card.licence == "AGPL-3.0-or-later"
    assert "synthetic" in shipped.card.training_data
    assert set(shipped.card.evaluation) == {"leopards", "tigers", "nyala"}
    assert shipped.card.dimension <= 4000, "pgvector can index it as halfvec"
    assert shipped.path.stat().st_size < 1 << 20


@pytest.mark.shared_data
def test_the_card_s_figures_of_leopards_hold(shared_data: Path) -> None:
    """Without the card's masks, which take minutes: in these crops they change little."""
    import cv2

    from modelzoo.metrics import RankingReport

    shipped = shipped_model()
    embedder = open_embedder(shipped.card.config, shipped.path, shipped.sha256)
    files = sorted((shared_data / "spotid" / "crops").rglob("*.jpg"))
    coats = [CoatPixels(np.ascontiguousarray(cv2.imread(str(file))[:, :, ::-1])) for file in files]
    vectors = embedder.encode(coats)
    report = RankingReport.from_scores(vectors @ vectors.T, [file.parent.name for file in files])
    said = shipped.card.evaluation["leopards"]["tables"]["all photos, as seen"]
    assert report.t1 == pytest.approx(said["t1"]["value"], abs=0.03)
    assert report.dt5ap == pytest.approx(said["dt5ap"]["value"], abs=0.02)
