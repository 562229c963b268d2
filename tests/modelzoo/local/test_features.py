"""Extraction and the stored form of local features."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from modelzoo.local import LocalConfig, LocalFeatureError, LocalFeatures, extract, from_bytes, to_bytes
from modelzoo.local.features import MAX_BYTES, rootsift

CONFIG = LocalConfig()


def spotted(height: int = 240, width: int = 500, seed: int = 0) -> np.ndarray:
    """A coat-like picture: dark blobs of several sizes on a light ground."""
    draw = np.random.default_rng(seed)
    image = np.full((height, width, 3), 190, np.uint8)
    for x, y, r, g in zip(
        draw.integers(0, width, 150),
        draw.integers(0, height, 150),
        draw.integers(3, 12, 150),
        draw.integers(20, 90, 150),
    ):
        shape = (int(r), int(r * draw.uniform(0.4, 1.0)))
        cv2.ellipse(image, (int(x), int(y)), shape, float(draw.uniform(0, 180)), 0, 360, (int(g),) * 3, -1)
    return image


def noise_features(n: int) -> LocalFeatures:
    """Descriptors that cannot be compressed."""
    draw = np.random.default_rng(1)
    points = np.column_stack([draw.random((n, 2)), draw.uniform(1, 60, n), draw.uniform(0, 360, n)])
    return LocalFeatures(points.astype(np.float32), draw.integers(0, 256, (n, 128), np.uint8), 480, 200)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_crop_without_texture_gives_empty_features(value):
    found = extract(np.full((120, 300, 3), value, np.uint8), None, CONFIG)
    assert len(found) == 0
    assert found.rootsift.shape == (0, 128)
    assert len(from_bytes(to_bytes(found))) == 0


def test_a_ribbon_is_not_blown_up():
    found = extract(spotted(12, 4000), None, CONFIG)
    assert max(found.width, found.height) == CONFIG.longest_side


def test_upright_keypoints_have_one_place_each_and_no_direction():
    found = extract(spotted(), None, CONFIG)
    assert not found.points[:, 3].any()
    assert len({tuple(p) for p in found.points[:, :3].round(5).tolist()}) == len(found)
    turned = extract(spotted(), None, LocalConfig(upright=False))
    assert len(set(turned.points[:, 3].tolist())) > 50


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (2, 2)])
def test_tiny_crops_give_features_not_errors(shape):
    found = extract(np.zeros((*shape, 3), np.uint8), None, CONFIG)
    assert len(found) == 0


def test_a_coat_gives_keypoints_within_the_resized_crop():
    found = extract(spotted(), None, CONFIG)
    assert 100 < len(found) <= CONFIG.max_keypoints
    assert (found.width * found.height) ** 0.5 == pytest.approx(CONFIG.mean_side, rel=0.01)
    assert found.width / found.height == pytest.approx(500 / 240, rel=0.01)
    assert found.points[:, :2].min() >= 0.0
    assert found.points[:, :2].max() <= 1.0
    assert found.points.dtype == np.float32
    assert found.descriptors.dtype == np.uint8


def test_extraction_is_deterministic():
    one, two = extract(spotted(), None, CONFIG), extract(spotted(), None, CONFIG)
    assert np.array_equal(one.points, two.points)
    assert np.array_equal(one.descriptors, two.descriptors)


def test_a_mask_keeps_the_keypoints_on_the_animal():
    crop = spotted()
    mask = np.zeros(crop.shape[:2], np.uint8)
    mask[:, 100:300] = 255
    found = extract(crop, mask, CONFIG)
    assert len(found) > 50
    inside = np.minimum(found.points[:, 0] - 100 / 500, 300 / 500 - found.points[:, 0]) * found.width
    assert (inside >= CONFIG.mask_support * found.points[:, 2] - 2).all()


def test_the_edge_of_the_crop_is_no_outline():
    crop = spotted()
    whole = extract(crop, np.full(crop.shape[:2], 255, np.uint8), CONFIG)
    assert np.array_equal(whole.points, extract(crop, None, CONFIG).points)


@pytest.mark.parametrize("corner", [0, 6])
def test_a_mask_that_keeps_next_to_nothing_is_ignored(corner):
    crop = spotted()
    mask = np.zeros(crop.shape[:2], np.uint8)
    mask[:corner, :corner] = 255
    assert np.array_equal(extract(crop, mask, CONFIG).points, extract(crop, None, CONFIG).points)


@pytest.mark.parametrize(
    ("crop", "mask"),
    [
        (np.zeros((5, 5), np.uint8), None),
        (np.zeros((5, 5, 3), np.float32), None),
        (np.zeros((5, 5, 3), np.uint8), np.zeros((5, 6), np.uint8)),
    ],
)
def test_unfit_input_is_refused(crop, mask):
    with pytest.raises(LocalFeatureError):
        extract(crop, mask, CONFIG)


def test_rootsift_is_the_root_of_the_normalised_descriptor():
    raw = np.zeros((2, 128), np.uint8)
    raw[0, :2] = (1, 3)
    found = rootsift(raw)
    assert found[0, :3] == pytest.approx([0.5, 3**0.5 / 2, 0.0])
    assert not found[1].any()


def test_stored_form_keeps_descriptors_exactly_and_points_closely():
    found = extract(spotted(), None, LocalConfig(upright=False))
    again = from_bytes(to_bytes(found))
    assert np.array_equal(again.descriptors, found.descriptors)
    assert (again.width, again.height) == (found.width, found.height)
    assert np.abs(again.points[:, :2] - found.points[:, :2]).max() <= 1 / 65535
    assert np.abs(np.log2(again.points[:, 2] / found.points[:, 2])).max() <= 1 / 32 + 1e-4
    turned = np.abs(again.points[:, 3] - found.points[:, 3])
    assert np.minimum(turned, 360 - turned).max() <= 180 / 256 + 1e-3


def test_stored_form_stays_within_its_budget_and_drops_the_weakest():
    found = noise_features(600)
    data = to_bytes(found)
    again = from_bytes(data)
    assert len(data) <= MAX_BYTES
    assert 450 < len(again) < 600
    assert np.array_equal(again.descriptors, found.descriptors[: len(again)])


def test_stored_form_is_stable():
    assert to_bytes(noise_features(3)) == to_bytes(noise_features(3))
    assert to_bytes(noise_features(3))[:4] == b"SPLF"


def test_damaged_bytes_are_refused():
    data = to_bytes(noise_features(20))
    for damaged in (b"", b"SPLF", b"nonsense" * 9, data[:-5], data[:40] + b"\0" * 30 + data[70:], b"XXXX" + data[4:]):
        with pytest.raises(LocalFeatureError):
            from_bytes(damaged)


def test_another_format_version_is_refused_by_name():
    data = bytearray(to_bytes(noise_features(2)))
    data[4] = 99
    with pytest.raises(LocalFeatureError, match="format 99"):
        from_bytes(bytes(data))


def test_a_bomb_is_not_inflated():
    header = struct.pack("<4sBBHHH", b"SPLF", 1, 0, 1, 10, 10)
    with pytest.raises(LocalFeatureError, match="damaged"):
        from_bytes(header + zlib.compress(bytes(50_000_000)))


def test_features_of_unequal_length_are_refused():
    with pytest.raises(LocalFeatureError):
        LocalFeatures(np.zeros((2, 4), np.float32), np.zeros((3, 128), np.uint8), 1, 1)


def test_version_changes_with_what_is_stored_and_not_with_how_it_is_compared():
    assert LocalConfig(ratio=0.7).version == CONFIG.version
    assert LocalConfig(tolerance=0.05, min_inliers=5).version == CONFIG.version
    assert LocalConfig(mean_side=400).version != CONFIG.version
    assert LocalConfig(clahe_clip=0).version != CONFIG.version
    assert CONFIG.version.startswith("rootsift-1-")
