import numpy as np
import pytest

from preprocessing.crops import crop_box, cut_out, measure_quality, sharpness
from preprocessing.types import Box


def numbered(width: int = 10, height: int = 8) -> np.ndarray:
    return np.repeat(np.arange(width * height, dtype=np.uint8).reshape(height, width, 1), 3, axis=2)


def test_a_box_outside_the_image_is_an_error() -> None:
    for box in (Box(20, 20, 30, 30), Box(3, 3, 3, 5), Box(-9, 0, 0, 5)):
        with pytest.raises(ValueError, match="outside"):
            crop_box(numbered(), box)


def test_a_crop_holds_the_pixels_of_its_box() -> None:
    assert crop_box(numbered(), Box(2, 1, 4, 3))[:, :, 0].tolist() == [[12, 13], [22, 23]]


def test_a_box_over_the_edge_is_clipped() -> None:
    assert crop_box(numbered(), Box(-5, -5, 1, 2)).shape == (2, 1, 3)


def test_a_margin_grows_the_crop_within_the_image() -> None:
    assert crop_box(numbered(), Box(4, 4, 6, 6), margin=0.5).shape == (4, 4, 3)
    assert crop_box(numbered(), Box(0, 0, 6, 6), margin=1.0).shape == (8, 10, 3)


def test_a_crop_is_a_copy() -> None:
    image = numbered()
    crop_box(image, Box(0, 0, 4, 4))[:] = 0
    assert image[2, 2, 0] == 22


def test_the_background_becomes_black() -> None:
    mask = np.zeros((8, 10), np.uint8)
    mask[2, 3] = 255
    cut = cut_out(numbered(), mask)
    assert cut[2, 3, 0] == 23 and np.count_nonzero(cut) == 3


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        cut_out(numbered(), np.zeros((4, 4), np.uint8))


def test_sharpness_by_hand() -> None:
    """One white pixel: its Laplacian is -4·255 there, 255 on its four neighbours and 0 on the other 20."""
    gray = np.zeros((5, 5), np.uint8)
    gray[2, 2] = 255
    expected = np.var([-1020.0] + [255.0] * 4 + [0.0] * 20)
    assert sharpness(gray) == pytest.approx(expected)
    assert sharpness(np.full((5, 5), 90, np.uint8)) == 0


def test_sharpness_falls_with_blur() -> None:
    import cv2

    gray = np.random.default_rng(1).integers(0, 255, (200, 300), dtype=np.uint8)
    assert sharpness(gray) > sharpness(np.asarray(cv2.GaussianBlur(gray, (0, 0), 2)))


def test_black_white_and_flat_crops_are_poor_and_no_error() -> None:
    black = measure_quality(np.zeros((100, 100, 3), np.uint8))
    white = measure_quality(np.full((100, 100, 3), 255, np.uint8))
    assert {"dark", "flat", "blurred"} <= set(black.flags) and black.clipped_fraction == 1
    assert {"over_exposed", "flat", "blurred"} <= set(white.flags) and white.clipped_fraction == 1
    assert "small" in measure_quality(np.zeros((3, 2, 3), np.uint8)).flags


def test_a_good_crop_has_no_flags() -> None:
    rng = np.random.default_rng(1)
    quality = measure_quality(rng.integers(60, 190, (200, 300, 3), dtype=np.uint8))
    assert quality.flags == () and 120 < quality.mean < 130


def test_only_the_animal_counts_where_there_is_a_mask() -> None:
    crop = np.zeros((100, 100, 3), np.uint8)
    crop[40:60, 40:60] = 128
    mask = np.zeros((100, 100), np.uint8)
    mask[40:60, 40:60] = 255
    assert measure_quality(crop, mask).mean == pytest.approx(128)
    assert measure_quality(crop, np.zeros_like(mask)).mean < 10
