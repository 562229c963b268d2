"""Training pairs: picture and coat map are bent alike, and correspondences are exact."""

import cv2
import numpy as np
import pytest
import torch

from modelzoo.dense.bank import NO_COAT, Bank, coat_at, render_bank, to_levels
from modelzoo.dense.losses import cell_step, correspondences
from modelzoo.dense.network import STRIDE
from modelzoo.dense.pairs import PairConfig, common_place, draw_pair, draw_window, window_map
from modelzoo.dense.photometry import even_contrast, worsen
from modelzoo.synthetic.anatomy import CHART_HEIGHT, CHART_WIDTH

SIZE = (256, 128)
PLAIN = PairConfig(width=64, height=48, cover=0.0, scenery=0.0)


@pytest.fixture(scope="module")
def bank():
    return render_bank(3, flanks=2, views=2, size=SIZE)


def _ramp_bank():
    """One view whose grey levels spell its own coat: x of the coat rises with the column, y with the row."""
    width, height = 240, 160
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    coat = np.dstack([columns / width, rows / height]).astype(np.float32)
    grey = np.rint(columns).astype(np.uint8)
    mask = np.ones((height // 2, width // 2), bool)
    return Bank(grey[None], mask[None], to_levels(coat[::2, ::2])[None], np.zeros(1, np.int64)), width, height


def test_places_off_the_coat_stay_unknown_when_stored():
    coat = np.array([[[0.25, 0.5], [np.nan, np.nan]], [[1.0, 0.0], [0.1, 0.9]]], np.float32)
    levels = to_levels(coat)
    assert (levels[0, 1] == NO_COAT).all()
    np.testing.assert_allclose(levels[1, 0] / 65534, [1.0, 0.0], atol=1e-5)


def test_coat_between_pixels_is_interpolated_and_unknown_across_an_edge():
    coat = np.full((3, 4, 2), np.nan, np.float32)
    coat[:, :3, 0], coat[:, :3, 1] = [0.10, 0.11, 0.30], 0.5
    at = coat_at(
        to_levels(coat), np.array([1.0, 3.0, 5.0, -1.0], np.float32), np.array([1.0, 1.0, 1.0, 1.0], np.float32)
    )
    np.testing.assert_allclose(at[0], [0.105 * CHART_WIDTH, 0.5 * CHART_HEIGHT], atol=1e-3)
    assert np.isnan(at[1:]).all()  # a jump, a neighbour without coat, outside


def test_picture_and_coat_of_a_window_are_bent_alike():
    bank, width, _ = _ramp_bank()
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = window_map(np.array([120, 80], np.float32), PLAIN, rng)
        picture = cv2.remap(bank.grey[0].astype(np.float32), x, y, cv2.INTER_LINEAR)
        middle = picture.reshape(48 // STRIDE, STRIDE, 64 // STRIDE, STRIDE)[:, 1:3, :, 1:3].mean(axis=(1, 3))
        cells = [
            v.reshape(48 // STRIDE, STRIDE, 64 // STRIDE, STRIDE)[:, 1:3, :, 1:3].mean(axis=(1, 3)) for v in (x, y)
        ]
        coat = coat_at(bank.coat[0], *cells)
        known = ~np.isnan(coat[..., 0])
        assert known.mean() > 0.5
        np.testing.assert_allclose(coat[known][:, 0] / CHART_WIDTH * width, middle[known], atol=0.6)


def test_a_window_knows_the_coat_under_each_of_its_cells():
    """Nothing but the affine map and the bend: the window's coat is the map's, taken through the same generator."""
    bank, width, height = _ramp_bank()
    window = draw_window(bank, 0, np.array([120, 80], np.float32), PLAIN, np.random.default_rng(4))
    x, y = window_map(np.array([120, 80], np.float32), PLAIN, np.random.default_rng(4))
    known = ~np.isnan(window.coat[..., 0])
    at = (slice(1, None, STRIDE), slice(1, None, STRIDE))
    expected = np.dstack([(x[at] + 0.5) / width * CHART_WIDTH, (y[at] + 0.5) / height * CHART_HEIGHT])
    assert known.any() and not window.ground[known].any()
    np.testing.assert_allclose(window.coat[known], expected[known], atol=0.02)


def test_corresponding_cells_show_the_same_place_of_the_coat(bank):
    rng = np.random.default_rng(1)
    found_any = 0
    for _ in range(6):
        first, second = draw_pair(bank, PLAIN, rng, flank=0)
        a, b = (torch.from_numpy(w.coat.reshape(-1, 2)) for w in (first, second))
        found = correspondences(a, b, 50, torch.Generator().manual_seed(0))
        found_any += len(found.source)
        gap = (a[found.source] - b[found.target]).norm(dim=1)
        known = b[~b.isnan().any(dim=1)]
        for k in range(len(gap)):
            assert gap[k] <= (known - a[found.source[k]]).norm(dim=1).min() + 1e-6
            assert gap[k] < 0.75 * cell_step(known)
            assert found.near[k, found.target[k]]
    assert found_any > 60


def test_a_common_place_is_one_place_of_the_coat(bank):
    at_first, at_second = common_place(bank, 0, 1, np.random.default_rng(2))
    places = [bank.coat[i][int(p[1]) // 2, int(p[0]) // 2] / 65534 for i, p in ((0, at_first), (1, at_second))]
    assert np.abs(places[0] - places[1]).max() < 0.03


def test_views_of_one_coat_agree_in_its_marks_at_corresponding_cells(bank):
    """Dark in one view is dark in the other: the correspondences are those of the pattern, not only of numbers."""
    from modelzoo.dense.coats import painted_coat

    pattern = painted_coat(3, 0, "left", 320).pattern
    height, width = pattern.shape
    values = []
    for view in (0, 1):
        known = bank.coat[view][..., 0] != NO_COAT
        x, y = (bank.coat[view][known] / 65534).T * np.array([[width - 1], [height - 1]])
        light = even_contrast(bank.grey[view], 8.0)[::2, ::2][known]
        values.append(np.corrcoef(pattern[y.astype(int), x.astype(int)], light)[0, 1])
    assert min(np.abs(values)) > 0.2 and np.sign(values[0]) == np.sign(values[1])


def test_the_same_seed_gives_the_same_pair_and_another_seed_another(bank):
    pairs = [draw_pair(bank, PairConfig(width=64, height=48), np.random.default_rng(s), flank=1) for s in (5, 5, 6)]
    np.testing.assert_array_equal(pairs[0][0].picture, pairs[1][0].picture)
    np.testing.assert_array_equal(pairs[0][1].coat, pairs[1][1].coat)
    assert not np.array_equal(pairs[0][0].picture, pairs[2][0].picture)


def test_even_contrast_forgets_gain_and_offset_and_stays_bounded():
    rng = np.random.default_rng(0)
    grey = rng.integers(60, 120, (64, 96)).astype(np.uint8)
    brighter = (grey * 2 - 20).astype(np.uint8)
    first, second = even_contrast(grey, 6.0), even_contrast(brighter, 6.0)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99
    assert np.abs(even_contrast(np.zeros((32, 32), np.uint8), 6.0)).max() == 0.0
    assert np.abs(first).max() <= 4.0


def test_worsening_keeps_the_form_and_changes_the_picture():
    grey = np.tile(np.arange(96, dtype=np.uint8) * 2, (64, 1))
    for seed in range(20):
        worse = worsen(grey, np.random.default_rng(seed))
        assert worse.shape == grey.shape and worse.dtype == np.uint8
        assert not np.array_equal(worse, grey)
