"""The plan of a synthetic survey: counts, order, pairs of cameras, clocks."""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from modelzoo.synthetic import SurveyPlan, plan_survey


def test_no_photos_make_an_empty_plan():
    assert plan_survey(SurveyPlan(photos=0)) == []


def test_no_individuals_make_only_empty_photos():
    plan = plan_survey(SurveyPlan(photos=9, individuals=0))
    assert len(plan) == 9
    assert all(photo.individual is None and photo.flank is None and photo.individual_name == "" for photo in plan)


@pytest.mark.parametrize(("photos", "fraction"), [(1, 0.0), (7, 0.25), (120, 0.25), (40, 1.0), (33, 0.5)])
def test_counts_are_exact(photos, fraction):
    plan = plan_survey(SurveyPlan(photos=photos, empty_fraction=fraction))
    assert len(plan) == photos
    assert sum(photo.individual is None for photo in plan) == round(photos * fraction)


def test_same_config_same_plan_and_another_seed_another():
    assert plan_survey(SurveyPlan()) == plan_survey(SurveyPlan())
    assert plan_survey(SurveyPlan()) != plan_survey(SurveyPlan(seed=1))


def test_demonstration_meets_every_individual_often_and_every_camera():
    plan = plan_survey(SurveyPlan())
    events = {(photo.individual, photo.event) for photo in plan if photo.individual is not None}
    visits = Counter(individual for individual, _ in events)
    assert set(visits) == set(range(10)) and min(visits.values()) >= 2
    assert {(photo.station, photo.camera) for photo in plan} == {(f"ST{n:02d}", c) for n in range(1, 7) for c in "AB"}
    assert 0.3 < sum(photo.infrared for photo in plan) / len(plan) < 0.7


def test_files_are_numbered_in_the_order_of_the_clock():
    cameras = defaultdict(list)
    for photo in plan_survey(SurveyPlan(photos=200, stations=2, days=1)):
        cameras[photo.station, photo.camera].append(photo)
    for (station, camera), photos in cameras.items():
        assert [photo.file for photo in photos] == [
            f"{station}/{camera}/IMG_{n:04d}.JPG" for n in range(1, len(photos) + 1)
        ]
        moments = [photo.captured_at for photo in photos]
        assert all(a < b for a, b in itertools.pairwise(moments))


def test_two_cameras_see_opposite_flanks_within_seconds():
    plan = plan_survey(SurveyPlan(photos=200, paired_fraction=1.0, empty_fraction=0.0))
    events = defaultdict(list)
    for photo in plan:
        events[photo.event].append(photo)
    pairs = [photos for photos in events.values() if len({photo.camera for photo in photos}) == 2]
    assert len(pairs) > 40
    for photos in pairs:
        assert len({(photo.camera, photo.flank) for photo in photos}) == 2
        assert len({photo.flank for photo in photos}) == 2
        assert len({photo.individual for photo in photos}) == len({photo.station for photo in photos}) == 1
        moments = [photo.captured_at for photo in photos]
        assert (max(moments) - min(moments)).total_seconds() < 30


def test_bursts_have_one_to_three_frames():
    plan = plan_survey(SurveyPlan(photos=150, empty_fraction=0))
    sizes = Counter(Counter((photo.event, photo.camera) for photo in plan).values())
    assert set(sizes) == {1, 2, 3}


@pytest.mark.parametrize(
    "wrong", [{"photos": -1}, {"stations": 0}, {"empty_fraction": 1.5}, {"quality": 0}, {"width": 10}, {"days": 0}]
)
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError):
        replace(SurveyPlan(), **wrong)
