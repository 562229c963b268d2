import math

import pytest

from preprocessing.types import Box, DetectedBox


def test_a_box_without_area_is_allowed_and_has_none() -> None:
    assert Box(5, 5, 5, 9).area == 0


@pytest.mark.parametrize("corners", [(math.nan, 0, 1, 1), (0, 0, math.inf, 1), (2, 0, 1, 1), (0, 2, 1, 1)])
def test_corners_that_make_no_box_are_refused(corners: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="box"):
        Box(*corners)


def test_clipping_keeps_what_is_inside_the_image() -> None:
    assert Box(-10, -20, 50, 60).clipped(40, 30) == Box(0, 0, 40, 30)


def test_clipping_a_box_outside_leaves_no_area() -> None:
    assert Box(100, 100, 120, 130).clipped(40, 30).area == 0


def test_scaling_by_one_or_two_factors() -> None:
    assert Box(1, 2, 3, 4).scaled(2) == Box(2, 4, 6, 8)
    assert Box(1, 2, 3, 4).scaled(2, 10) == Box(2, 20, 6, 40)


def test_overlap_of_half_shifted_squares_is_one_third() -> None:
    assert Box(0, 0, 2, 2).iou(Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert Box(0, 0, 1, 1).iou(Box(1, 0, 2, 1)) == 0


def test_pixel_bounds_hold_every_touched_pixel_inside_the_image() -> None:
    assert Box(0.4, 1.6, 2.1, 9.9).pixel_bounds(3, 5) == (0, 1, 3, 5)


def test_padding_grows_each_side_by_a_share_of_the_size() -> None:
    assert Box(10, 10, 20, 30).padded(0.1) == Box(9, 8, 21, 32)


def test_a_category_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="category"):
        DetectedBox(Box(0, 0, 1, 1), "cat", 0.5)
