"""Single photos: truth that fits the pixels, day and night, the same scene every day."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from modelzoo.synthetic import PlannedPhoto, SurveyPlan, render_photo
from modelzoo.synthetic.sensor import strip_height

CONFIG = SurveyPlan(seed=11, width=320, height=240)


def _planned(**changes):
    photo = PlannedPhoto(
        "ST01/A/IMG_0001.JPG", 0, 0, 1, "ST01", "A", 0, "left", datetime(2024, 2, 3, 10, 20, 30), infrared=False
    )
    return replace(photo, **changes)


EMPTY = {"individual": None, "flank": None, "event": 5}


@pytest.fixture(scope="module")
def day():
    return render_photo(CONFIG, _planned())


def test_empty_photo_has_no_box_and_no_mask():
    photo = render_photo(CONFIG, _planned(**EMPTY))
    assert photo.box is None and not photo.mask.any() and photo.visible_fraction == 0
    assert photo.pixels.shape == (240, 320, 3) and photo.pixels.dtype == np.uint8


def test_box_is_the_tight_frame_of_the_mask(day):
    rows, columns = np.nonzero(day.mask)
    assert day.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert day.box[2] - day.box[0] > 60
    assert 0 < day.visible_fraction <= 1


def test_rendering_again_gives_the_same_pixels(day):
    np.testing.assert_array_equal(render_photo(CONFIG, _planned()).pixels, day.pixels)


def test_infrared_is_grey_and_day_is_not(day):
    night = render_photo(CONFIG, _planned(infrared=True, captured_at=datetime(2024, 2, 3, 23, 0, 0), event=3))
    bottom = 240 - strip_height(240)
    assert np.ptp(night.pixels[:bottom].astype(int), axis=2).max() == 0
    assert np.ptp(day.pixels[:bottom].astype(int), axis=2).mean() > 5
    assert night.pixels[: bottom // 4].mean() < 40  # flash does not reach the back


def test_scene_of_a_camera_stays_while_another_camera_has_its_own():
    def texture(photo):
        view = photo.pixels[: 240 - strip_height(240)].mean(axis=2)
        return (view - view.mean(axis=1, keepdims=True)).ravel()  # what is left of a view without its light by height

    first, second = (texture(render_photo(CONFIG, _planned(**{**EMPTY, "event": event}))) for event in (6, 7))
    other = texture(render_photo(CONFIG, _planned(**EMPTY, camera="B")))
    assert np.corrcoef(first, second)[0, 1] > 0.4
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.2


def test_animal_stands_out_where_the_mask_says(day):
    without = render_photo(CONFIG, _planned(individual=None, flank=None))
    change = np.abs(day.pixels.astype(int) - without.pixels).mean(axis=2)
    outside = ~day.mask
    outside[240 - strip_height(240) :] = False
    assert change[day.mask].mean() > 2 * change[outside].mean()


def test_frames_of_a_burst_walk_on_in_the_direction_of_the_head():
    def middle(frame):
        photo = render_photo(CONFIG, _planned(frame=frame, frames=2, flank="right", event=9))
        return np.nonzero(photo.mask)[1].mean()

    assert middle(1) > middle(0) + 10


def test_strip_hides_what_lies_under_it(day):
    assert not day.mask[240 - strip_height(240) :].any()
    strip = day.pixels[240 - strip_height(240) :]
    assert np.median(strip) < 30 and strip.max() > 150  # dark, with bright letters
