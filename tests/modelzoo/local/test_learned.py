"""Learned matchers with weights made on the spot: the real networks, read from files by the real path."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from modelzoo.known_weights import KNOWN, used
from modelzoo.local import LocalConfig
from modelzoo.local.learned import KINDS, LearnedConfig, LearnedFeatures, LearnedMatcher
from modelzoo.weights import ChecksumError, WeightsError, register_local
from tests.learned_weights import FILES, write_weights

# 281 pixels of a crop that was 240.
LARGER = LocalConfig().mean_side / (240 * 320) ** 0.5


def coat(seed: int = 0) -> np.ndarray:
    """400×600 RGB of blotches about as large as rosettes."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (400, 600)), (0, 0), 5)
    grey = ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
    return np.stack([grey] * 3, axis=-1)


WHOLE = coat()
A, B = WHOLE[40:280, 60:380], WHOLE[60:300, 90:410]


@pytest.fixture(scope="module", params=KINDS)
def matcher(request, tmp_path_factory) -> LearnedMatcher:
    return LearnedMatcher.load(request.param, *write_weights(tmp_path_factory.mktemp("weights"), request.param))


@pytest.fixture(scope="module")
def a(matcher) -> LearnedFeatures:
    return matcher.extract(A, None)


@pytest.fixture(scope="module")
def b(matcher) -> LearnedFeatures:
    return matcher.extract(B, None)


@pytest.mark.parametrize("shape", [(1, 5), (300, 2)])
def test_ribbons_of_one_colour_give_no_keypoints_and_no_match(matcher, a, shape):
    nothing = matcher.extract(np.full((*shape, 3), 128, np.uint8), None)
    for pair in ((nothing, a), (a, nothing), (nothing, nothing)):
        found = matcher.verify(*pair)
        assert (found.inliers, found.matches, found.transform, found.weight) == (0, 0, None, 0.0)


def test_what_moved_between_two_crops_is_found_again_by_its_transform(matcher, a, b):
    """The second crop begins 30 columns and 20 rows further on."""
    found = matcher.verify(a, b)
    assert found.inliers >= 20 and found.inliers <= found.matches
    assert 0 < found.weight <= found.inliers
    expected = np.array([[1, 0, -30 * LARGER], [0, 1, -20 * LARGER]])
    assert found.transform == pytest.approx(expected, abs=3.0) and found.transform[0, 0] == pytest.approx(1, abs=0.02)


def test_another_coat_shares_less(matcher, a, b):
    other = matcher.extract(coat(7)[40:280, 60:380], None)
    assert matcher.verify(a, other).weight < 0.5 * matcher.verify(a, b).weight


def test_a_crop_matches_itself_point_for_point(matcher, a):
    found = matcher.verify(a, a)
    assert found.inliers == len(a) and (found.pairs[:, 0] == found.pairs[:, 1]).all()
    assert found.transform == pytest.approx(np.eye(3)[:2], abs=1e-3) and found.residual < 0.1


def test_what_one_camera_sees_in_the_same_place_is_left_out(matcher, a):
    box = (100.0, 80.0, 420.0, 320.0)
    assert matcher.verify(a, a, same_camera=(box, box)).matches == 0
    elsewhere = (300.0, 80.0, 620.0, 320.0)
    assert matcher.verify(a, a, same_camera=(box, elsewhere)).inliers == len(a)


def test_keypoints_lie_well_inside_the_outline_unless_it_leaves_too_few(matcher, a):
    mask = np.zeros(A.shape[:2], np.uint8)
    mask[60:180, 80:240] = 255
    found = matcher.extract(A, mask)
    edge = matcher.config.margin * max(found.width, found.height)
    x, y = found.pixels.T
    assert 10 < len(found) < len(a)
    assert x.min() > 80 * LARGER + edge - 2 and x.max() < 240 * LARGER - edge + 2
    assert y.min() > 60 * LARGER + edge - 2 and y.max() < 180 * LARGER - edge + 2
    failed = np.zeros(A.shape[:2], np.uint8)
    failed[:4, :4] = 255
    assert len(matcher.extract(A, failed)) == len(a)


def test_the_strongest_keypoints_are_kept_the_same_every_time(matcher, a):
    some = LearnedMatcher(
        matcher.kind, matcher._extractor, matcher._glue, "", LearnedConfig(replace(LocalConfig(), max_keypoints=40))
    )
    first, again = some.extract(A, None), some.extract(A, None)
    assert len(first) == 40 < len(a) <= LocalConfig().max_keypoints
    assert np.array_equal(first.points, a.points[:40]) and np.array_equal(first.points, again.points)
    assert np.array_equal(first.descriptors, again.descriptors)
    assert np.linalg.norm(first.descriptors, axis=1) == pytest.approx(np.ones(40), abs=1e-4)
    for crop, mask in ((A[..., 0], None), (A.astype(np.float32), None), (A, np.ones((3, 3), np.uint8))):
        with pytest.raises(ValueError):
            some.extract(crop, mask)


@pytest.mark.parametrize("kind", KINDS)
def test_loading_asks_no_network_and_the_version_tells_weights_and_settings(kind, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("somebody reached for the network")

    files = write_weights(tmp_path / "one", kind)
    others = write_weights(tmp_path / "other", kind, seed=1)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    one = LearnedMatcher.load(kind, *files).version
    assert LearnedMatcher.load(kind, *files).version == one and one.startswith(f"{kind}-lightglue-1-")
    changed = LearnedMatcher.load(kind, *files, LearnedConfig(margin=0.05)).version
    assert len({one, changed, LearnedMatcher.load(kind, *others).version}) == 3


class Harmful:
    """Unpickling it as it asks would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_files_that_are_not_what_they_should_be_are_refused_and_never_executed(tmp_path):
    extractor, glue = write_weights(tmp_path, "disk")

    def load(kind: str = "disk", one=extractor, other=glue) -> LearnedMatcher:
        return LearnedMatcher.load(kind, one, other)

    def written(name: str, value: object) -> tuple[Path, str]:
        torch.save(value, tmp_path / name)
        return tmp_path / name, register_local(tmp_path / name, tmp_path).sha256

    with pytest.raises(ValueError, match="there is no learned matcher 'superpoint'"):
        load("superpoint")
    with pytest.raises(ChecksumError, match="not the registered ones"):
        load(one=(extractor[0], "0" * 64))
    with pytest.raises(WeightsError, match="cannot be read"):
        load(one=(tmp_path / "gone.pth", "0" * 64))
    with pytest.raises(
        WeightsError, match=r"disk_lightglue\.pth holds another network: \d+ of \d+ tensors are missing"
    ):
        load(one=glue)
    with pytest.raises(WeightsError, match="holds another network: size mismatch"):
        sizes = {name: v[:1] for name, v in torch.load(extractor[0], weights_only=True)["extractor"].items()}
        load(one=written("small.pth", {"extractor": sizes}))
    with pytest.raises(WeightsError, match="no file of named tensors"):
        load(one=written("list.pth", [torch.zeros(1)]))
    harm = tmp_path / "harm"
    with pytest.raises(WeightsError, match="no file of tensors"):
        load(one=written("harmful.pth", {"extractor": Harmful(harm)}))
    assert not harm.exists()
    (tmp_path / "text.pth").write_text("not found")
    with pytest.raises(WeightsError, match="no file of tensors"):
        load(one=(tmp_path / "text.pth", register_local(tmp_path / "text.pth", tmp_path).sha256))


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_known_by_address_and_licence(kind):
    sources = [KNOWN[kind], KNOWN[f"{kind}-lightglue"]]
    assert tuple(source.filename for source in sources) == FILES[kind]
    assert all(
        source.licence and source.record_url and f"SPOTID_LEARNED_MATCHER={kind}" in source.note for source in sources
    )


def test_only_the_matcher_that_is_asked_for_is_fetched_with_the_rest():
    always = {"megadetector-v6-compact", "u2net"}
    assert {source.name for source in used("")} == always
    assert {source.name for source in used("disk")} == always | {"disk", "disk-lightglue"}
