"""The five pipelines of the paper's table 1, channel by channel."""

import cv2
import numpy as np
import pytest

from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.pipelines import PIPELINES, pipeline_named, usual_pipeline

RNG = np.random.default_rng(5)
CROP = RNG.integers(1, 256, (60, 150, 3), np.uint8)
EDGES = RNG.integers(0, 2, (60, 150), np.uint8) * 255
MASK = np.zeros((60, 150), np.uint8)
MASK[10:50, 30:120] = 255
COAT = CoatPixels(CROP, EDGES, MASK)


def small(plane: np.ndarray) -> np.ndarray:
    return cv2.resize(plane, (64, 32), interpolation=cv2.INTER_AREA)


def test_there_are_the_five_of_the_paper_and_the_default_is_the_best():
    assert {name: p.channels for name, p in PIPELINES.items()} == {
        "crop_rgb": 3,
        "cutout_rgb": 3,
        "edges": 1,
        "cutout_rgb_edges": 4,
        "crop_rgb_edges": 4,
    }
    assert usual_pipeline(4) == "crop_rgb_edges"


@pytest.mark.parametrize("name", PIPELINES)
def test_planes_are_stretched_crops_cutouts_and_edge_maps_in_this_order(name):
    black = CROP.copy()
    black[MASK == 0] = 0
    rgb = {"crop": CROP, "cutout": black}.get(name.split("_")[0])
    expected = [small(rgb[:, :, c]) for c in range(3)] if rgb is not None else []
    if name.endswith("edges"):
        expected.append(small(EDGES))
    planes = PIPELINES[name].planes(COAT, 64, 32)
    assert planes.dtype == np.uint8
    assert np.array_equal(planes, np.stack(expected, axis=2))


def test_normalisation_is_imagenets_and_that_of_edges():
    assert PIPELINES["edges"].mean == (0.456,)
    assert PIPELINES["edges"].std == (0.225,)
    assert PIPELINES["cutout_rgb"].mean == (0.485, 0.456, 0.406)
    assert PIPELINES["cutout_rgb_edges"].std == (0.229, 0.224, 0.225, 0.225)


def test_a_coat_without_edges_fits_only_where_none_are_needed():
    bare = CoatPixels(CROP)
    assert PIPELINES["crop_rgb"].planes(bare, 64, 32).shape == (32, 64, 3)
    for name in ("edges", "crop_rgb_edges", "cutout_rgb_edges"):
        with pytest.raises(EncodingError, match=f"{name} needs an edge map"):
            PIPELINES[name].planes(bare, 64, 32)


def test_without_a_mask_nothing_is_cut_out():
    bare = CoatPixels(CROP, EDGES)
    cutout, crop = (PIPELINES[n].planes(bare, 64, 32) for n in ("cutout_rgb_edges", "crop_rgb_edges"))
    assert np.array_equal(cutout, crop)


def test_enlarging_is_linear():
    planes = PIPELINES["edges"].planes(CoatPixels(CROP[:2, :2].copy(), np.array([[0, 200], [0, 200]], np.uint8)), 4, 4)
    assert planes[0, :, 0].tolist() == [0, 50, 150, 200]


def test_unknown_names_and_channels_are_refused():
    with pytest.raises(ValueError, match="no pipeline 'grey'"):
        pipeline_named("grey")
    with pytest.raises(ValueError, match="not 2"):
        usual_pipeline(2)
