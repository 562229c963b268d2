"""The shortcut tests on scorers of which it is known what they go by."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.evaluation import EvaluationPhoto, evaluate_vectors
from modelzoo.evaluation.shortcuts import background_coats, mirrored_coats, shortcut_tests

ANIMALS, SHOTS = 8, 4


def herd() -> tuple[list[CoatPixels], list[EvaluationPhoto]]:
    """Each animal has a coat of its own, and walks before a wall of a colour of its own."""
    rng = np.random.default_rng(0)
    coats, photos = [], []
    for animal in range(ANIMALS):
        pattern = np.kron(rng.integers(0, 2, (4, 8)) * 200, np.ones((5, 5))).astype(np.uint8)
        wall = rng.integers(40, 220, 3)
        for shot in range(SHOTS):
            crop = np.broadcast_to(wall, (40, 60, 3)).astype(np.uint8)
            crop = np.clip(crop + rng.integers(-3, 4, crop.shape), 0, 255).astype(np.uint8)
            mask = np.zeros((40, 60), np.uint8)
            mask[10:30, 10:50] = 255
            crop[10:30, 10:50] = np.clip(pattern[..., None] + rng.integers(0, 40, (20, 40, 1)), 0, 255)
            coats.append(CoatPixels(crop, mask.copy(), mask))
            photos.append(EvaluationPhoto(f"{animal}/{shot}", str(animal), str(animal), flank="right"))
    return coats, photos


def by_wall(coats: list[CoatPixels]) -> np.ndarray:
    """Goes by the corner of the photo only."""
    return np.array([coat.crop[:5, :5].reshape(-1, 3).mean(axis=0) - 128 for coat in coats])


def by_coat(coats: list[CoatPixels]) -> np.ndarray:
    """Goes by the pattern at its place."""
    rows = np.array([coat.crop[14:26, 14:46].mean(axis=2)[::2, ::2].ravel() for coat in coats])
    return rows - rows.mean(axis=1, keepdims=True) + 1e-3


def by_amount_of_black(coats: list[CoatPixels]) -> np.ndarray:
    """Blind to left and right: rows of the pattern, summed."""
    rows = np.array([coat.crop[10:30, 10:50].mean(axis=2).mean(axis=1) for coat in coats])
    return rows - rows.mean(axis=1, keepdims=True) + 1e-3


def test_a_mirrored_coat_mirrors_all_its_planes_and_twice_is_none() -> None:
    rng = np.random.default_rng(1)
    coat = CoatPixels(*(rng.integers(0, 255, shape).astype(np.uint8) for shape in ((4, 6, 3), (8, 9), (4, 6))))
    turned = mirrored_coats([coat])[0]
    assert turned.edges is not None and turned.mask is not None and coat.edges is not None and coat.mask is not None
    for x in range(6):
        assert (turned.crop[:, x] == coat.crop[:, 5 - x]).all() and (turned.mask[:, x] == coat.mask[:, 5 - x]).all()
    assert (turned.edges[:, 0] == coat.edges[:, 8]).all()
    assert (mirrored_coats([turned])[0].crop == coat.crop).all()
    assert mirrored_coats([CoatPixels(coat.crop)])[0].mask is None


def test_nothing_of_the_animal_is_left_in_its_background() -> None:
    rng = np.random.default_rng(2)
    crop = np.full((50, 80, 3), (10, 20, 30), np.uint8)
    mask = np.zeros((50, 80), np.uint8)
    mask[20:40, 20:60] = 1
    crop[19:41, 19:61] = rng.integers(100, 255, (22, 42, 3))  # the mask is a pixel too small
    edges = np.full((25, 40), 255, np.uint8)
    left = background_coats([CoatPixels(crop, edges, mask)])[0]
    assert (left.crop == (10, 20, 30)).all()
    assert left.edges is not None and not left.edges[10:20, 10:30].any() and left.edges[:8].all()
    full = background_coats([CoatPixels(crop, None, np.ones((50, 80), np.uint8))])[0]
    assert (full.crop == 128).all()
    with pytest.raises(ValueError, match="without mask"):
        background_coats([CoatPixels(crop)])


def test_a_scorer_that_goes_by_the_background_is_found_out() -> None:
    coats, photos = herd()
    found = shortcut_tests(coats, photos, by_wall, resamples=200)
    assert found.plain["all", "as_seen"]["dt5ap"].value == 1.0
    assert found.background is not None and found.background["all", "as_seen"]["dt5ap"].value == 1.0
    assert "where the photos were taken" in found.sentences()[0]
    assert "what a mirror leaves as it is" in found.sentences()[1]


def test_a_scorer_that_goes_by_the_pattern_fails_both_tests_as_it_should() -> None:
    coats, photos = herd()
    found = shortcut_tests(coats, photos, by_coat, resamples=200)
    assert found.plain["all", "as_seen"]["dt5ap"].value == 1.0
    chance = found.mirrored["all", "as_seen"].chance["dt5ap"]
    assert found.mirrored["all", "as_seen"]["dt5ap"].value < chance + 0.15
    assert found.background is not None
    assert found.background["all", "as_seen"]["dt5ap"].value == pytest.approx(chance, abs=0.15)
    assert all("not measurably above chance" in text for text in found.sentences())
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_scorer_that_is_blind_to_left_and_right_is_found_out() -> None:
    coats, photos = herd()
    plain = evaluate_vectors(by_amount_of_black(coats), photos, resamples=200)
    found = shortcut_tests(coats, photos, by_amount_of_black, plain=plain, resamples=200)
    assert found.plain is plain
    assert found.mirrored["all", "as_seen"]["dt5ap"].value == pytest.approx(plain["all", "as_seen"]["dt5ap"].value)
    assert "does not tell left from right" in found.sentences()[1]


def test_what_cannot_be_asked_is_said() -> None:
    coats, photos = herd()
    unmasked = [CoatPixels(coat.crop, coat.edges) for coat in coats]
    found = shortcut_tests(unmasked, photos, by_coat, resamples=0)
    assert found.background is None and "needs a mask" in found.sentences()[0]
    assert found.to_dict()["background"] is None

    def picky(some: list[CoatPixels]) -> np.ndarray:
        for position, coat in enumerate(some):
            if coat.crop[12:28, 12:48].std(axis=(0, 1)).max() < 5:
                raise EncodingError(f"photo {position} shows nothing")
        return by_coat(some)

    found = shortcut_tests(coats, photos, picky, resamples=0)
    assert found.background is None and "looks at nothing else" in found.background_reason


def test_a_coat_that_cannot_be_encoded_is_left_without_vector_and_the_others_count() -> None:
    coats, photos = herd()
    blank = CoatPixels(np.zeros((40, 60, 3), np.uint8), None, coats[0].mask)

    def picky(some: list[CoatPixels]) -> np.ndarray:
        if any(not coat.crop.any() for coat in some):
            raise EncodingError("a blank coat")
        return by_coat(some)

    found = shortcut_tests([blank, *coats[1:]], photos, picky, resamples=0)
    ranks = found.plain["all", "as_seen"].per_query["t1"]
    assert ranks[0] == 0.0 and (ranks[1:] == 1.0).all()
