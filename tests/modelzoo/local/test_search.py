"""Search over many detections, on sets of keypoints of which it is known who shares what."""

import numpy as np
import pytest

from modelzoo.local import LocalConfig, LocalFeatures, LocalIndex, rank

CONFIG = LocalConfig()


def coat(seed: int, n: int = 80) -> LocalFeatures:
    draw = np.random.default_rng(seed)
    points = np.column_stack([draw.random((n, 2)), draw.uniform(3, 20, n), draw.uniform(0, 360, n)])
    return LocalFeatures(
        points.astype(np.float32), draw.gamma(0.4, 40.0, (n, 128)).clip(0, 255).astype(np.uint8), 480, 240
    )


def seen_again(features: LocalFeatures, seed: int, by: float = 15.0) -> LocalFeatures:
    """Another photo of the same coat: noisy descriptors, half of the keypoints lost, others instead."""
    draw = np.random.default_rng(seed)
    n = len(features)
    kept = np.sort(draw.permutation(n)[: n // 2])
    raw = (features.descriptors[kept] + draw.normal(0, by, (len(kept), 128))).clip(0, 255).astype(np.uint8)
    other = coat(seed + 1000, n - len(kept))
    return LocalFeatures(
        np.concatenate([features.points[kept], other.points]), np.concatenate([raw, other.descriptors]), 480, 240
    )


@pytest.fixture(scope="module")
def catalogue() -> list[LocalFeatures]:
    """30 coats, each seen twice: photo i and photo i + 30; and one without texture at the end."""
    first = [coat(seed) for seed in range(30)]
    return [*first, *(seen_again(f, i) for i, f in enumerate(first)), LocalFeatures.empty(480, 240)]


def test_an_empty_index_finds_nothing():
    positions, votes = LocalIndex([], CONFIG).shortlist(coat(0), 5)
    assert len(positions) == len(votes) == 0
    assert rank(coat(0), LocalIndex([], CONFIG)) == []


def test_an_index_of_empty_features_finds_nothing():
    index = LocalIndex([LocalFeatures.empty()] * 3, CONFIG)
    assert len(index.shortlist(coat(0), 5)[0]) == 0
    assert index.votes(coat(0)).tolist() == [0, 0, 0]


def test_an_empty_query_finds_nothing(catalogue):
    index = LocalIndex(catalogue, CONFIG)
    assert len(index.shortlist(LocalFeatures.empty(), 5)[0]) == 0
    assert rank(LocalFeatures.empty(), index) == []


def test_an_index_of_one_finds_it(catalogue):
    assert LocalIndex(catalogue[:1], CONFIG).shortlist(catalogue[30], 5)[0].tolist() == [0]


def test_the_other_photo_of_a_coat_is_voted_first(catalogue):
    index = LocalIndex(catalogue, CONFIG)
    for i in range(30):
        positions, votes = index.shortlist(catalogue[i], 3)
        assert positions[:2].tolist() == [i, i + 30]
        assert votes.tolist() == sorted(votes.tolist(), reverse=True)


def test_votes_agree_with_a_plain_recomputation_when_nothing_is_shortened(catalogue):
    some = catalogue[:6]
    index = LocalIndex(some, CONFIG, keypoints=80, dimensions=128)
    query = catalogue[31]
    nearest = np.array([[max(float(q @ d) for d in f.rootsift) for f in some] for q in query.rootsift])
    background = np.sort(nearest, axis=1)[:, ::-1][:, 2:3]
    expected = np.maximum(nearest - background, 0).sum(axis=0)
    assert index.votes(query) == pytest.approx(expected, abs=1e-3)


def test_chunks_do_not_change_the_votes(catalogue, monkeypatch):
    index = LocalIndex(catalogue, CONFIG)
    whole = index.votes(catalogue[3])
    monkeypatch.setattr("modelzoo.local.search._CHUNK_CELLS", 1)
    assert index.votes(catalogue[3]) == pytest.approx(whole, abs=1e-4)


def test_rank_verifies_the_shortlist_best_first(catalogue):
    index = LocalIndex(catalogue, CONFIG)
    steps = []
    found = rank(catalogue[7], index, limit=10, progress=lambda *step: steps.append(step))
    assert [i for i, _ in found][:2] == [7, 37]
    assert len(found) == 10
    assert found[1][1].inliers >= 35
    assert [v.weight for _, v in found] == sorted((v.weight for _, v in found), reverse=True)
    assert steps[-1][:2] == (10, 10)


def test_rank_keeps_to_the_given_candidates(catalogue):
    index = LocalIndex(catalogue, CONFIG)
    found = rank(catalogue[7], index, [60, 37, 2])
    assert found[0][0] == 37
    assert sorted(i for i, _ in found) == [2, 37, 60]
    assert rank(catalogue[7], index, []) == []
