"""Coats: one layout per individual and flank, the same statistics for all."""

import numpy as np
import pytest

from modelzoo.synthetic import coat_texture

RESOLUTION = 128


def _likeness(first, second):
    return np.corrcoef(first.pattern.ravel(), second.pattern.ravel())[0, 1]


def test_unknown_flank_is_refused():
    with pytest.raises(ValueError, match="flank"):
        coat_texture(0, 0, "top", RESOLUTION)


def test_same_individual_and_flank_same_coat():
    first = coat_texture(3, 1, "left", RESOLUTION)
    coat_texture.cache_clear()
    second = coat_texture(3, 1, "left", RESOLUTION)
    assert first is not second
    np.testing.assert_array_equal(first.albedo, second.albedo)
    np.testing.assert_array_equal(first.pattern, second.pattern)


@pytest.mark.parametrize("other", [(3, 2, "left"), (3, 1, "right"), (4, 1, "left")])
def test_another_individual_flank_or_seed_has_another_layout(other):
    likeness = _likeness(coat_texture(3, 1, "left", RESOLUTION), coat_texture(*other, RESOLUTION))
    assert abs(likeness) < 0.25


def test_layout_does_not_depend_on_the_resolution():
    fine = coat_texture(3, 1, "left", 2 * RESOLUTION).pattern
    height, width = coat_texture(3, 1, "left", RESOLUTION).pattern.shape
    halved = fine[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    coarse = coat_texture(3, 1, "left", RESOLUTION).pattern
    assert np.corrcoef(halved.ravel(), coarse.ravel())[0, 1] > 0.75


def test_individuals_share_colour_and_amount_of_marks():
    coats = [coat_texture(3, individual, "left", RESOLUTION) for individual in range(4)]
    covers = [float(coat.pattern.mean()) for coat in coats]
    colours = np.array([coat.albedo.reshape(-1, 3).mean(axis=0) for coat in coats])
    assert min(covers) > 0.1 and max(covers) < 0.5
    assert max(covers) / min(covers) < 1.1
    assert (colours.std(axis=0) / colours.mean(axis=0)).max() < 0.05


def test_marks_are_darker_than_the_ground_by_day_and_in_infrared():
    coat = coat_texture(3, 1, "left", RESOLUTION)
    dark, bare = coat.pattern > 0.9, coat.pattern < 0.1
    assert coat.albedo[dark].mean() < 0.3 * coat.albedo[bare].mean()
    assert coat.infrared[dark].mean() < 0.6 * coat.infrared[bare].mean()
