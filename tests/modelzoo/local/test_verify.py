"""Geometric verification on keypoints whose transform is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from modelzoo.local import LocalConfig, LocalFeatures, Verification, verify
from modelzoo.local.verify import tentative_matches

CONFIG = LocalConfig()
SIZE = (480, 240)


def keypoints(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, scale and angle of n keypoints, and n unlike descriptors."""
    draw = np.random.default_rng(seed)
    points = np.column_stack(
        [draw.uniform(60, 420, n), draw.uniform(50, 190, n), draw.uniform(3, 20, n), draw.uniform(0, 360, n)]
    )
    raw = draw.gamma(0.4, 40.0, (n, 128)).clip(0, 255)
    return points, raw.astype(np.uint8)


def features(points: np.ndarray, descriptors: np.ndarray) -> LocalFeatures:
    scaled = points / np.array([SIZE[0], SIZE[1], 1.0, 1.0])
    return LocalFeatures(scaled.astype(np.float32), descriptors, *SIZE)


def moved(
    points: np.ndarray, scale: float, degrees: float, shift: tuple[float, float], mirror: bool = False
) -> np.ndarray:
    """The same keypoints after a similarity (mirrored left to right first where asked)."""
    out = points.copy()
    if mirror:
        out[:, 0] = SIZE[0] - out[:, 0]
        out[:, 3] = 180.0 - out[:, 3]
    angle = math.radians(degrees)
    x, y = out[:, 0].copy(), out[:, 1].copy()
    out[:, 0] = scale * (math.cos(angle) * x - math.sin(angle) * y) + shift[0]
    out[:, 1] = scale * (math.sin(angle) * x + math.cos(angle) * y) + shift[1]
    out[:, 2] *= scale
    out[:, 3] = (out[:, 3] + degrees) % 360
    return out


def noisy(descriptors: np.ndarray, seed: int = 5, by: float = 8.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return (descriptors + draw.normal(0, by, descriptors.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_or_no_keypoints_give_nothing(n):
    few, many = features(*keypoints(n)), features(*keypoints(50))
    for a, b in ((few, many), (many, few), (few, few)):
        found = verify(a, b, CONFIG)
        assert (found.inliers, found.transform, found.pairs.shape, found.weight) == (0, None, (0, 2), 0.0)


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (0.7, 12.0), (1.4, -20.0)])
def test_the_transform_between_two_views_is_found(scale, degrees):
    points, raw = keypoints(80)
    there = moved(points, scale, degrees, (9.0, -14.0))
    found = verify(features(points, raw), features(there, noisy(raw)), CONFIG)
    assert found.inliers == found.matches == 80
    assert np.array_equal(found.pairs[:, 0], found.pairs[:, 1])
    expected = scale * np.array(
        [
            [math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))],
            [math.sin(math.radians(degrees)), math.cos(math.radians(degrees))],
        ]
    )
    assert found.transform is not None
    assert found.transform[:, :2] == pytest.approx(expected, abs=1e-3)
    assert found.transform[:, 2] == pytest.approx([9.0, -14.0], abs=0.1)
    assert found.residual < 0.1
    assert 0 < found.weight <= found.inliers


def test_matches_that_do_not_follow_the_transform_are_left_out():
    points, raw = keypoints(60)
    there = moved(points, 1.1, 5.0, (4.0, 4.0))
    draw = np.random.default_rng(9)
    there[40:, :2] = np.column_stack([draw.uniform(0, 480, 20), draw.uniform(0, 240, 20)])
    there[40:, 3] = draw.uniform(0, 360, 20)
    found = verify(features(points, raw), features(there, noisy(raw)), CONFIG)
    assert found.matches == 60
    assert 40 <= found.inliers <= 42
    assert set(range(40)) <= set(found.pairs[:, 0].tolist())


def test_unlike_coats_share_next_to_nothing():
    a, b = features(*keypoints(300, seed=1)), features(*keypoints(300, seed=2))
    assert verify(a, b, CONFIG).inliers <= 6
    same = verify(a, features(moved(keypoints(300, seed=1)[0], 1, 3, (5, 5)), noisy(a.descriptors)), CONFIG)
    assert same.weight > 20 * verify(a, b, CONFIG).weight


def test_a_mirrored_coat_is_refused():
    points, raw = keypoints(60)
    mirrored = features(moved(points, 1.0, 0.0, (0, 0), mirror=True), raw)
    assert verify(features(points, raw), mirrored, CONFIG).inliers < 10


@pytest.mark.parametrize(("scale", "degrees"), [(5.0, 0.0), (0.2, 0.0), (1.0, 180.0)])
def test_absurd_transforms_are_refused(scale, degrees):
    points, raw = keypoints(60)
    there = moved(points, scale, degrees, (0.0, 0.0))
    found = verify(features(points, raw), features(there, raw), CONFIG)
    assert found.matches == 60
    assert found.inliers < 10


def test_a_bent_body_still_matches():
    points, raw = keypoints(80)
    there = points.copy()
    there[:, 1] += 10.0 * ((there[:, 0] - 240) / 180) ** 2
    assert verify(features(points, raw), features(there, noisy(raw)), CONFIG).inliers >= 70


def test_scenery_behind_a_fixed_camera_is_left_out():
    """40 keypoints of the coat moved on; 40 of the ground stayed in the frame though the boxes differ."""
    coat, coat_raw = keypoints(40, seed=1)
    ground, ground_raw = keypoints(40, seed=2)
    here, there = (100.0, 50.0, 580.0, 290.0), (130.0, 40.0, 610.0, 280.0)
    moved_ground = ground.copy()
    moved_ground[:, :2] += np.array(here[:2]) - np.array(there[:2])
    a = features(np.concatenate([coat, ground]), np.concatenate([coat_raw, ground_raw]))
    b = features(
        np.concatenate([moved(coat, 0.9, 6.0, (30.0, 20.0)), moved_ground]),
        noisy(np.concatenate([coat_raw, ground_raw])),
    )
    found = verify(a, b, CONFIG, same_camera=(here, there))
    assert found.matches == 40
    assert set(found.pairs[:, 0].tolist()) == set(range(40))
    ground_alone = features(ground, ground_raw), features(moved_ground, noisy(ground_raw))
    assert verify(*ground_alone, CONFIG).inliers == 40
    assert verify(*ground_alone, CONFIG, same_camera=(here, there)).inliers == 0


def test_same_camera_boxes_do_no_harm_to_empty_features():
    boxes = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0))
    assert verify(LocalFeatures.empty(), features(*keypoints(9)), CONFIG, boxes).inliers == 0


def test_exchanging_the_two_gives_the_same_matches():
    points, raw = keypoints(120)
    there = moved(points, 0.9, 8.0, (3.0, 2.0))
    a, b = features(points, noisy(raw, 1, 30)), features(there, noisy(raw, 2, 30))
    forth, back = tentative_matches(a, b, CONFIG), tentative_matches(b, a, CONFIG)
    assert {tuple(p) for p in forth[0].tolist()} == {tuple(p[::-1]) for p in back[0].tolist()}
    assert sorted(forth[1].tolist()) == pytest.approx(sorted(back[1].tolist()), abs=1e-4)


def test_tentative_matches_agree_with_a_plain_search():
    points, raw = keypoints(40)
    a, b = features(points, noisy(raw, 1, 25)), features(points, noisy(raw, 2, 25))
    expected = {}
    for i in range(40):
        forth = [math.dist(a.rootsift[i], row) for row in b.rootsift]
        j = min(range(40), key=forth.__getitem__)
        back = [math.dist(b.rootsift[j], row) for row in a.rootsift]
        if min(range(40), key=back.__getitem__) == i:
            ratio = (forth[j] / sorted(forth)[1] + back[i] / sorted(back)[1]) / 2
            if ratio < CONFIG.ratio:
                expected[i, j] = 1 - ratio
    pairs, weights = tentative_matches(a, b, CONFIG)
    assert len(expected) > 20
    assert {tuple(p) for p in pairs.tolist()} == set(expected)
    assert [expected[tuple(p)] for p in pairs.tolist()] == pytest.approx(weights.tolist(), abs=1e-3)


def test_equal_descriptors_never_match_twice():
    points, raw = keypoints(30)
    raw[10:] = raw[0]
    found, _ = tentative_matches(features(points, raw), features(points, raw), replace(CONFIG, ratio=2.0))
    assert len(set(found[:, 0].tolist())) == len(set(found[:, 1].tolist())) == len(found)


def test_keypoints_in_one_place_do_not_crash():
    points, raw = keypoints(30)
    points[:, :3] = (100.0, 100.0, 5.0)
    assert isinstance(verify(features(points, raw), features(points, raw), CONFIG), Verification)


def test_verification_is_deterministic():
    points, raw = keypoints(200)
    a, b = features(points, noisy(raw, 1, 40)), features(moved(points, 1.1, 4, (1, 1)), noisy(raw, 2, 40))
    one, two = verify(a, b, CONFIG), verify(a, b, CONFIG)
    assert one.weight == two.weight
    assert np.array_equal(one.pairs, two.pairs)
