"""Edge maps by hand, and against the original SpotID's maps of the same photos."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from preprocessing.edges import EdgeConfig, edge_map, equalise_histogram, match_histogram
from preprocessing.imageio import decode_image


def square() -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 255
    return image


def test_a_crop_of_one_colour_has_no_edges() -> None:
    for equalise in ("hist", "clahe", "none"):
        assert not edge_map(np.full((20, 30, 3), 90, np.uint8), None, EdgeConfig(equalise=equalise)).any()


def test_a_square_gives_its_outline() -> None:
    edges = edge_map(square(), None)
    assert edges.shape == (60, 80) and edges.dtype == np.uint8 and set(np.unique(edges)) == {0, 255}
    ys, xs = np.nonzero(edges)
    assert abs(ys.min() - 20) <= 1 and abs(ys.max() - 39) <= 1
    assert abs(xs.min() - 30) <= 1 and abs(xs.max() - 49) <= 1
    assert not edges[26:34, 36:44].any()


def test_the_default_is_the_originals_blur_and_thresholds() -> None:
    image = np.random.default_rng(2).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    expected = cv2.Canny(cv2.GaussianBlur(gray, (5, 5), 0), 55, 160)
    assert (edge_map(image, None, EdgeConfig(equalise="none")) == expected).all()
    assert (EdgeConfig().low, EdgeConfig().high, EdgeConfig().blur) == (55, 160, 5)


def test_the_background_gives_no_edges_but_the_outline_of_the_mask_does() -> None:
    image = np.random.default_rng(2).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:50] = 255
    edges = edge_map(image, mask)
    assert edges[20:40, 30:50].any()
    edges[17:43, 27:53] = 0
    assert not edges.any()


def test_an_empty_mask_leaves_the_crop_as_it_is() -> None:
    nothing = np.zeros((60, 80), np.uint8)
    assert (edge_map(square(), nothing) == edge_map(square(), None)).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        edge_map(square(), np.zeros((4, 4), np.uint8))


def test_equalisation_by_hand() -> None:
    """Four values, each once: cumulative 1, 2, 3, 4 over 4 pixels become 0, 85, 170, 255."""
    gray = np.array([[10, 20], [30, 40]], np.uint8)
    assert equalise_histogram(gray).tolist() == [[0, 85], [170, 255]]


def test_equalisation_learns_from_the_masked_pixels_only() -> None:
    gray = np.array([[10, 20], [200, 250]], np.uint8)
    mask = np.array([[255, 255], [0, 0]], np.uint8)
    assert equalise_histogram(gray, mask).tolist() == [[0, 255], [255, 255]]
    flat = np.full((3, 3), 7, np.uint8)
    assert (equalise_histogram(flat) == flat).all()


def test_a_matched_histogram_is_that_of_the_reference() -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(0, 120, (80, 90, 3), dtype=np.uint8)
    reference = np.clip(rng.normal(150, 25, (70, 60, 3)), 0, 255).astype(np.uint8)
    matched = match_histogram(image, reference)
    for channel in range(3):
        percentiles = range(5, 100, 10)
        ours = np.percentile(matched[:, :, channel], percentiles)
        assert np.abs(ours - np.percentile(reference[:, :, channel], percentiles)).max() <= 2


def test_a_photo_matched_to_itself_is_unchanged() -> None:
    image = np.random.default_rng(5).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    assert (match_histogram(image, image) == image).all()


def test_matching_needs_a_reference() -> None:
    with pytest.raises(ValueError, match="reference"):
        edge_map(square(), None, EdgeConfig(equalise="match"))


@pytest.mark.parametrize("wrong", [{"blur": 4}, {"blur": -1}, {"equalise": "gamma"}])
def test_settings_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        EdgeConfig(**wrong)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """F1 of edge pixels with a tolerance of two pixels."""
    kernel = np.ones((5, 5), np.uint8)
    precision = np.count_nonzero(one & (cv2.dilate(other.astype(np.uint8), kernel) > 0)) / np.count_nonzero(one)
    recall = np.count_nonzero(other & (cv2.dilate(one.astype(np.uint8), kernel) > 0)) / np.count_nonzero(other)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.shared_data
def test_the_originals_maps_are_reproduced_inside_the_coat(shared_data: Path) -> None:
    folder = shared_data / "spotid"
    reference = decode_image(next((folder / "histogram_reference").glob("*.jpg"))).pixels
    scores = []
    for path in sorted((folder / "crops").rglob("*.jpg"))[:31:6]:  # the last one's original map is empty
        image = decode_image(path).pixels
        original = decode_image(folder / "edges" / path.relative_to(folder / "crops")).pixels[:, :, 0] > 127
        outline = cv2.morphologyEx(original.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((31, 31), np.uint8))
        mask = outline * np.uint8(255)
        coat = cv2.erode(mask, np.ones((25, 25), np.uint8)) > 0
        ours = edge_map(image, mask, EdgeConfig(equalise="match"), reference) > 0
        scores.append(agreement(ours & coat, original & coat))
    assert np.mean(scores) > 0.95
