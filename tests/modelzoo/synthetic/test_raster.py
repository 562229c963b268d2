"""The rasteriser against positions worked out by hand."""

import numpy as np
import pytest

from modelzoo.synthetic.raster import rasterise

# right triangle with the right angle at the top left; clockwise on the screen
POINTS = np.array([[2.0, 1.0], [10.0, 1.0], [2.0, 9.0]])
FACE = np.array([[0, 1, 2]])


def test_no_faces_cover_nothing():
    found = rasterise(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), int), 8, 8)
    assert len(found.row) == len(found.depth) == 0


def test_a_triangle_covers_exactly_its_pixels():
    found = rasterise(POINTS, np.ones(3), FACE, 20, 20)
    expected = {(y, x) for y in range(20) for x in range(20) if x >= 2 and y >= 1 and (x - 2) + (y - 1) <= 8}
    assert set(zip(found.row.tolist(), found.column.tolist())) == expected


def test_weights_give_back_the_place_of_the_pixel():
    found = rasterise(POINTS, np.ones(3), FACE, 20, 20)
    np.testing.assert_allclose(found.weights @ POINTS, np.stack([found.column, found.row], 1), atol=1e-4)


def test_the_nearer_triangle_hides_the_other():
    points = np.vstack([POINTS, POINTS])
    found = rasterise(points, np.array([5.0, 5, 5, 2, 2, 2]), np.array([[0, 1, 2], [3, 4, 5]]), 20, 20)
    assert set(found.face.tolist()) == {1}
    assert found.depth == pytest.approx(2.0)


def test_a_triangle_seen_from_behind_is_not_drawn():
    assert len(rasterise(POINTS, np.ones(3), FACE[:, ::-1], 20, 20).row) == 0


def test_parts_outside_the_frame_are_cut_off():
    found = rasterise(POINTS - [5, 4], np.ones(3), FACE, 20, 20)
    assert found.row.min() >= 0 and found.column.min() >= 0
    assert len(found.row) < len(rasterise(POINTS, np.ones(3), FACE, 20, 20).row)


def test_shared_edges_leave_no_gap_and_every_pixel_has_one_face():
    points = np.array([[0.0, 0], [30, 3], [27, 31], [2, 28]])
    found = rasterise(points, np.ones(4), np.array([[0, 1, 2], [0, 2, 3]]), 40, 40)
    assert len(set(zip(found.row.tolist(), found.column.tolist()))) == len(found.row)
    covered = np.zeros((40, 40), bool)
    covered[found.row, found.column] = True
    for row in covered[1:30]:
        columns = np.flatnonzero(row)
        if len(columns):
            assert len(columns) == columns[-1] - columns[0] + 1
