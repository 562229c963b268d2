"""Crops: coat places are true, flanks are what they say, views differ."""

import numpy as np
import pytest

from modelzoo.synthetic import coat_texture, make_crop, render_crop, render_pair_catalogue
from modelzoo.synthetic.anatomy import LEFT, Pose, build_mesh
from modelzoo.synthetic.animal import Camera, Light, place, render_animal
from modelzoo.synthetic.crops import coats_of

SIZE = (320, 160)


def _bilinear(image, x, y):
    """Bilinear sample, written out: the oracle for what stands at a coat place."""
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    top = image[y0, x0] * (1 - fx) + image[y0, x0 + 1] * fx
    return top * (1 - fy) + (image[y0 + 1, x0] * (1 - fx) + image[y0 + 1, x0 + 1] * fx) * fy


def _view(pose, heading, individual=0):
    camera = Camera(640, 320, 560.0, 300.0, 170.0, 0.6, 0.05)
    mesh = build_mesh(pose, 0.8)
    world = place(mesh, 0.0, 2.2, heading)
    rng = np.random.default_rng(0)
    return render_animal(mesh, world, camera, coats_of(5, individual, 96), Light("day"), LEFT, rng)


def test_no_individuals_make_an_empty_catalogue():
    assert render_pair_catalogue(0, 3) == []


def test_pattern_at_a_coat_place_is_the_texture_there():
    layer = _view(Pose(phase=0.3), np.pi)
    known = ~np.isnan(layer.coat[..., 0])
    assert known.sum() > 5000
    texture = coat_texture(5, 0, "left", 96).pattern
    height, width = texture.shape
    x, y = layer.coat[known].T.astype(float) * np.array([[width], [height]]) - 0.5
    np.testing.assert_allclose(layer.pattern[known], _bilinear(texture, x, y), atol=0.04)


def test_one_coat_place_shows_the_same_in_two_views():
    cells = []
    for pose, heading in ((Pose(phase=0.1), np.pi - 0.25), (Pose(phase=0.6, neck_pitch=0.0), np.pi + 0.25)):
        layer = _view(pose, heading)
        known = ~np.isnan(layer.coat[..., 0])
        keys = np.floor(layer.coat[known] * 400).astype(int)
        cells.append({tuple(key): value for key, value in zip(keys.tolist(), layer.pattern[known].tolist())})
    shared = sorted(set(cells[0]) & set(cells[1]))
    assert len(shared) > 2000
    first, second = (np.array([cell[key] for key in shared]) for cell in cells)
    assert np.corrcoef(first, second)[0, 1] > 0.9


def test_left_flank_heads_left_and_right_flank_heads_right():
    for flank, sign in (("left", -1), ("right", 1)):
        _, _, coat = render_crop(1, 0, flank, 0, SIZE)
        rows, columns = np.nonzero(~np.isnan(coat[..., 0]))
        body = coat[rows, columns, 0] < 0.55  # beyond lie the patches for tail and inner legs
        correlation = np.corrcoef(columns[body], coat[rows, columns, 0][body])[0, 1]
        assert sign * correlation > 0.9


def test_coat_is_known_only_on_the_animal_and_within_bounds():
    rgb, mask, coat = render_crop(1, 2, "left", 3, SIZE)
    known = ~np.isnan(coat[..., 0])
    assert rgb.shape == (160, 320, 3) and rgb.dtype == np.uint8 and coat.dtype == np.float32
    assert known.any() and not (known & ~mask).any()
    assert known.sum() > 0.5 * mask.sum()
    assert np.nanmin(coat) >= 0 and np.nanmax(coat) <= 1


def test_crops_are_deterministic_and_views_differ():
    first, again, other = (make_crop(1, 0, "left", view, SIZE) for view in (0, 0, 1))
    np.testing.assert_array_equal(first.rgb, again.rgb)
    assert (first.rgb != other.rgb).mean() > 0.5


def test_catalogue_has_every_view_of_every_flank_and_reports_progress():
    steps = []
    crops = render_pair_catalogue(2, 2, size=(128, 64), progress=lambda done, total, _: steps.append((done, total)))
    assert [(crop.individual, crop.flank, crop.view) for crop in crops] == [
        (individual, flank, view) for individual in (0, 1) for flank in ("left", "right") for view in (0, 1)
    ]
    assert steps == [(n, 8) for n in range(1, 9)]


def test_unknown_flank_is_refused():
    with pytest.raises(ValueError, match="flank"):
        render_crop(0, 0, "front", 0, SIZE)
