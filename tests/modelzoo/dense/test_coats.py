"""Painted coats: every kind is drawn, two flanks of one animal are of one kind and differ in their marks."""

import numpy as np
import pytest

from modelzoo.dense.coats import FAMILIES, family_of, painted_coat

RESOLUTION = 64


def _one_of(family):
    return next(i for i in range(400) if family_of(0, i) == family)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_has_marks_and_ground_of_its_own(family):
    individual = _one_of(family)
    left, again, right = (painted_coat(0, individual, flank, RESOLUTION) for flank in ("left", "left", "right"))
    np.testing.assert_array_equal(left.albedo, again.albedo)
    assert left.albedo.shape == (*left.pattern.shape, 3) and left.infrared.shape == left.pattern.shape
    assert 0.005 < left.pattern.mean() < 0.9 and left.pattern.max() > 0.3
    assert left.albedo.min() > 0 and left.albedo.max() <= 1.0
    assert abs(np.corrcoef(left.pattern.ravel(), right.pattern.ravel())[0, 1]) < 0.8
    assert not np.array_equal(left.pattern, painted_coat(1, individual, "left", RESOLUTION).pattern)


def test_pale_stripes_are_lighter_than_their_ground():
    coat = painted_coat(0, _one_of("pale_stripes"), "left", 128)
    light = coat.albedo.mean(axis=2)
    assert light[coat.pattern > 0.6].mean() > 1.3 * light[coat.pattern < 0.05].mean()


def test_another_flank_is_refused():
    with pytest.raises(ValueError, match="flank"):
        painted_coat(0, 0, "front", RESOLUTION)
