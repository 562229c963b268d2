"""What a box looks like at a glance."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from preprocessing.appearance import LENGTH, PARTS, appearance


def _animal(colour: tuple[int, int, int], *, stripes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A filled ellipse on green, and its mask."""
    crop = np.full((100, 180, 3), (60, 120, 60), np.uint8)
    mask = np.zeros((100, 180), np.uint8)
    cv2.ellipse(mask, (80, 50), (60, 30), 0, 0, 360, 255, -1)
    coat = np.full_like(crop, colour)
    if stripes:
        coat[:, ::8] = coat[:, 1::8] = coat[:, 2::8] = 10
    crop[mask > 0] = coat[mask > 0]
    return crop, mask


def _part(numbers: np.ndarray, name: str) -> np.ndarray:
    start = 0
    for part, length in PARTS.items():
        if part == name:
            return numbers[start : start + length]
        start += length
    raise AssertionError(name)


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3), (8, 8)])
def test_any_crop_gives_finite_numbers(shape: tuple[int, int]) -> None:
    numbers = appearance(np.full((*shape, 3), 127, np.uint8))
    assert numbers.shape == (LENGTH,) and np.isfinite(numbers).all()


def test_an_empty_mask_is_no_mask() -> None:
    crop, mask = _animal((200, 150, 90))
    assert np.array_equal(appearance(crop, np.zeros_like(mask)), appearance(crop))


def test_left_and_right_views_are_the_same() -> None:
    crop, mask = _animal((200, 150, 90), stripes=True)
    mirrored = appearance(np.ascontiguousarray(crop[:, ::-1]), np.ascontiguousarray(mask[:, ::-1]))
    assert np.abs(mirrored - appearance(crop, mask)).max() < 1e-4


def test_colour_is_that_of_the_animal_and_not_of_what_is_around() -> None:
    brown, mask = _animal((200, 150, 90))
    lab = cv2.cvtColor(np.uint8([[[200, 150, 90]]]).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0] / 100
    assert np.abs(_part(appearance(brown, mask), "colour")[:3] - lab).max() < 0.03
    snow = brown.copy()
    snow[mask == 0] = 240
    assert np.abs(_part(appearance(snow, mask), "colour")[:3] - lab).max() < 0.03


def test_a_striped_coat_has_more_texture_than_a_plain_one() -> None:
    plain, striped = (appearance(*_animal((200, 150, 90), stripes=on)) for on in (False, True))
    finest, sharpness = 0, 3
    gained = _part(striped, "texture") - _part(plain, "texture")
    assert gained[finest] > 1 and gained[sharpness] > 1


def test_an_outline_is_where_the_mask_is() -> None:
    crop, mask = _animal((200, 150, 90))
    grid = _part(appearance(crop, mask), "outline").reshape(6, 4)
    assert grid[2:4, 3].min() > 0.9 and grid[0, 0] < 0.05 and grid[5, 0] < 0.05
