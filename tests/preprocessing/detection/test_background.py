"""The station-background detector on scenes painted here: what was drawn is what must be found."""

import io

import cv2
import numpy as np
import pytest

from preprocessing.detection.background import (
    BackgroundConfig,
    StationBackground,
    StationBackgroundDetector,
    build_background,
    is_infrared,
    mode_of,
)
from preprocessing.types import Box

WIDTH, HEIGHT = 640, 480


def ground(seed: int = 0, infrared: bool = False) -> np.ndarray:
    """A structured scene: sky, earth with litter, a trunk."""
    rng = np.random.default_rng(seed)
    litter = cv2.GaussianBlur(rng.normal(0, 40, (HEIGHT, WIDTH)), (0, 0), 2) * 3
    scene = np.full((HEIGHT, WIDTH, 3), (120, 105, 80), np.float64)
    scene[:160] = (150, 170, 190)
    scene[160:] += litter[160:, :, None]
    scene[60:300, 500:530] = (60, 50, 40)
    if infrared:
        scene[:] = scene.mean(axis=2, keepdims=True)
    return scene


def photo(scene: np.ndarray, seed: int, gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """The scene as a camera sees it: exposure, noise, and a black strip with a changing text."""
    rng = np.random.default_rng(1000 + seed)
    image = np.clip(scene * gain + offset + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)
    image[HEIGHT - 24 :] = 0
    return np.ascontiguousarray(cv2.putText(image, f"2024-02-{seed:02d} 12:00", (8, HEIGHT - 6), 0, 0.6, (255,) * 3, 1))


def with_animal(scene: np.ndarray, box: Box, seed: int) -> np.ndarray:
    """An ellipse with a spotted coat that fills the box."""
    rng = np.random.default_rng(500 + seed)
    spots = cv2.GaussianBlur(rng.normal(0, 1, scene.shape[:2]), (0, 0), 3)
    coat = np.where(spots[:, :, None] > 0.03, np.array([50.0, 40, 30]), np.array([215.0, 175, 110]))
    mask = np.zeros(scene.shape[:2], np.uint8)
    centre = (round((box.x1 + box.x2) / 2), round((box.y1 + box.y2) / 2))
    cv2.ellipse(mask, centre, (round(box.width / 2), round(box.height / 2)), 0, 0, 360, 1, -1)
    return np.where(mask[:, :, None] > 0, coat, scene)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return ground()


@pytest.fixture(scope="module")
def background(scene: np.ndarray) -> StationBackground:
    return build_background([photo(scene, seed) for seed in range(8)], "day")


ANIMAL_BOX = Box(180, 220, 400, 340)


def test_no_frames_make_no_background() -> None:
    with pytest.raises(ValueError, match="at least one"):
        build_background([], "day")


def test_an_unknown_mode_is_refused(scene: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mode"):
        build_background([photo(scene, 1)], "dusk")


def test_an_empty_photo_gives_no_box(scene: np.ndarray, background: StationBackground) -> None:
    result = StationBackgroundDetector(background).detect(photo(scene, 99))
    assert result.boxes == ()
    assert "station background, 8 frames" in result.note and "cannot tell" in result.note


def test_an_animal_is_boxed_in_pixels_of_the_photo(scene: np.ndarray, background: StationBackground) -> None:
    image = photo(with_animal(scene, ANIMAL_BOX, 1), 50)
    (found,) = StationBackgroundDetector(background).detect(image).boxes
    assert found.box.iou(ANIMAL_BOX) > 0.75
    assert found.category == "animal" and 0.25 < found.confidence < 0.95


def test_a_larger_photo_of_the_same_camera_gives_larger_boxes(scene: np.ndarray, background: StationBackground) -> None:
    image = photo(with_animal(scene, ANIMAL_BOX, 1), 50)
    large = cv2.resize(image, (WIDTH * 2, HEIGHT * 2))
    (found,) = StationBackgroundDetector(background).detect(large).boxes
    assert found.box.iou(ANIMAL_BOX.scaled(2)) > 0.75


def test_the_foreground_mask_covers_the_animal(scene: np.ndarray, background: StationBackground) -> None:
    mask = StationBackgroundDetector(background).foreground_mask(photo(with_animal(scene, ANIMAL_BOX, 1), 50))
    assert mask.shape == (HEIGHT, WIDTH) and set(np.unique(mask)) == {0, 255}
    truth = with_animal(np.zeros_like(scene), ANIMAL_BOX, 1).any(axis=2)
    assert np.count_nonzero((mask > 0) & truth) / np.count_nonzero((mask > 0) | truth) > 0.75


def test_light_that_changed_as_a_whole_is_no_animal(scene: np.ndarray, background: StationBackground) -> None:
    detector = StationBackgroundDetector(background)
    for gain, offset in ((0.6, 0.0), (1.25, -20.0), (1.0, 25.0)):
        assert detector.detect(photo(scene, 99, gain, offset)).boxes == ()
        image = photo(with_animal(scene, ANIMAL_BOX, 2), 50, gain, offset)
        assert detector.detect(image).boxes[0].box.iou(ANIMAL_BOX) > 0.6


def test_a_light_that_fades_across_the_frame_is_no_animal(scene: np.ndarray, background: StationBackground) -> None:
    fading = scene + np.linspace(-15, 15, WIDTH)[None, :, None]
    assert StationBackgroundDetector(background).detect(photo(fading, 99)).boxes == ()


def test_a_shadow_that_wandered_is_no_animal_by_day(scene: np.ndarray, background: StationBackground) -> None:
    shaded = scene.copy()
    shaded[230:400, 100:360] *= 0.6
    assert StationBackgroundDetector(background).detect(photo(shaded, 99)).boxes == ()


def test_the_text_of_the_strip_is_no_animal(scene: np.ndarray, background: StationBackground) -> None:
    assert background.bottom >= 16
    image = photo(scene, 99)
    image[HEIGHT - 22 : HEIGHT - 4, 8:400] = 255
    assert StationBackgroundDetector(background).detect(image).boxes == ()


def test_scattered_blades_of_grass_are_no_animal(scene: np.ndarray, background: StationBackground) -> None:
    image = photo(scene, 99)
    rng = np.random.default_rng(4)
    for _ in range(60):
        x, y = int(rng.integers(10, WIDTH - 10)), int(rng.integers(200, HEIGHT - 60))
        cv2.line(image, (x, y), (x + 3, y - 18), (200, 220, 120), 1)
    assert StationBackgroundDetector(background).detect(image).boxes == ()


def test_a_stronger_and_larger_animal_has_more_confidence(scene: np.ndarray, background: StationBackground) -> None:
    detector = StationBackgroundDetector(background)
    small = detector.detect(photo(with_animal(scene, Box(200, 300, 290, 350), 3), 50)).boxes[0].confidence
    large = detector.detect(photo(with_animal(scene, Box(150, 220, 430, 380), 3), 50)).boxes[0].confidence
    assert large > small


def test_the_ground_is_found_although_most_photos_show_an_animal_in_the_middle(scene: np.ndarray) -> None:
    """A per-pixel median would be coat here: the animal covers the centre in 7 of 10 photos."""
    frames = [photo(with_animal(scene, Box(170 + 9 * i, 215, 400 + 9 * i, 345), i), i) for i in range(7)]
    frames += [photo(scene, seed) for seed in range(20, 23)]
    found = build_background(frames, "day")
    truth = cv2.resize(scene, (found.scene.shape[1], found.scene.shape[0]), interpolation=cv2.INTER_AREA)
    middle = (slice(170, 250), slice(150, 280))
    assert np.abs(found.scene[middle] - truth[middle]).mean() < 8
    median = np.median([cv2.resize(frame, (480, 360)) for frame in frames], axis=0)
    assert np.abs(median[middle] - truth[middle]).mean() > 15
    detector = StationBackgroundDetector(found)
    assert detector.detect(frames[3]).boxes[0].box.iou(Box(197, 215, 427, 345)) > 0.6
    assert detector.detect(photo(scene, 99)).boxes == ()


def test_too_few_frames_find_nothing_and_say_so(scene: np.ndarray) -> None:
    few = build_background([photo(scene, seed) for seed in range(2)], "day")
    result = StationBackgroundDetector(few).detect(photo(with_animal(scene, ANIMAL_BOX, 1), 50))
    assert result.boxes == () and "only 2 frames" in result.note
    assert StationBackgroundDetector(few, min_frames=2).detect(photo(with_animal(scene, ANIMAL_BOX, 1), 50)).boxes


def test_frames_of_another_shape_are_left_out(scene: np.ndarray) -> None:
    frames = [photo(scene, seed) for seed in range(5)] + [np.zeros((200, 640, 3), np.uint8)]
    assert build_background(frames, "day").frames == 5


def test_a_single_frame_is_a_background_of_its_own(scene: np.ndarray) -> None:
    assert build_background([photo(scene, 1)], "day").frames == 1


def test_building_reports_its_progress_and_repeats_itself(scene: np.ndarray) -> None:
    frames = [photo(scene, seed) for seed in range(3)]
    seen: list[tuple[int, int]] = []
    one = build_background(frames, "day", lambda done, total, message: seen.append((done, total)))
    two = build_background(frames, "day")
    assert seen[-1] == (3, 3)
    assert (one.scene == two.scene).all() and (one.spread == two.spread).all()


def test_a_stored_background_detects_the_same(scene: np.ndarray, background: StationBackground) -> None:
    restored = StationBackground.from_npz_bytes(background.to_npz_bytes())
    assert (restored.mode, restored.frames, restored.top, restored.bottom) == (
        "day",
        8,
        background.top,
        background.bottom,
    )
    assert np.abs(restored.scene - background.scene).max() <= 0.126
    image = photo(with_animal(scene, ANIMAL_BOX, 1), 50)
    (before,), (after,) = (StationBackgroundDetector(one).detect(image).boxes for one in (background, restored))
    assert before.box.iou(after.box) > 0.97


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        npz(format=np.int64(7)),
        npz(format=np.array([{"pickled": 1}], dtype=object)),
        npz(
            format=np.int64(1),
            mode=np.int64(0),
            scene=np.zeros((4, 4), np.uint16),
            spread=np.zeros((4, 4), np.uint16),
            numbers=np.array([1, 0, 0]),
        ),
    ],
)
def test_anything_else_is_no_background(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a station background"):
        StationBackground.from_npz_bytes(data)


def test_infrared_is_told_from_day_also_when_tinted_or_dark() -> None:
    gray = photo(ground(infrared=True), 1)
    assert is_infrared(gray)
    assert is_infrared(np.clip(gray * np.array([1.0, 0.8, 0.95]), 0, 255).astype(np.uint8))
    assert is_infrared(np.zeros((60, 80, 3), np.uint8))
    assert not is_infrared(photo(ground(), 1))
    assert (mode_of(gray), mode_of(photo(ground(), 1))) == ("infrared", "day")


def test_an_infrared_station_works_the_same() -> None:
    scene = ground(infrared=True)
    background = build_background([photo(scene, seed) for seed in range(6)], "infrared")
    image = photo(with_animal(scene, ANIMAL_BOX, 1).mean(axis=2, keepdims=True).repeat(3, axis=2), 50)
    assert StationBackgroundDetector(background).detect(image).boxes[0].box.iou(ANIMAL_BOX) > 0.7


def test_the_number_of_boxes_is_bounded(scene: np.ndarray, background: StationBackground) -> None:
    busy = scene
    for index, x in enumerate(range(20, 600, 120)):
        busy = with_animal(busy, Box(x, 240, x + 70, 330), index)
    detector = StationBackgroundDetector(background, config=BackgroundConfig(max_boxes=3))
    assert len(detector.detect(photo(busy, 50)).boxes) == 3
