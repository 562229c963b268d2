"""Estimates of flanks in the database: what names a flank, what un-names it, and what a person's word is worth."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from identification.inference import headings
from identification.models import Candidate, Detection, Flank, Provenance, Survey, Verdict
from identification.services.annotation import detection_annotate
from identification.services.decisions import decision_record
from identification.services.flanks import flanks_estimate
from identification.services.media import media_path
from tests.identification.factories import (
    START,
    make_candidate,
    make_detection,
    make_image,
    make_population,
    make_station,
    make_survey,
    make_user,
)

pytestmark = pytest.mark.django_db

SURE = {"inliers": 40, "probability": 0.995}


@pytest.fixture
def survey() -> Survey:
    return make_survey()


@pytest.fixture
def reviewer():
    return make_user("reviewer")


def seen(survey: Survey, model: float | None = None, **values) -> Detection:
    values.setdefault("flank", Flank.UNKNOWN)
    quality = {} if model is None else {"heading": {"model": "heading/test", "left": model}}
    return make_detection(make_image(survey, files=False), files=False, quality=quality, **values)


def match(first: Detection, second: Detection, **values) -> None:
    values.setdefault("verdict", Verdict.MATCH)
    decision_record(acting_user=make_user(), first=first, second=second, anchor=first, **values)


def flank_of(detection: Detection) -> tuple[str, bool]:
    return tuple(Detection.objects.values_list("flank", "flank_by_person").get(pk=detection.pk))


def estimate_of(detection: Detection) -> tuple[float | None, str]:
    return tuple(Detection.objects.values_list("left_probability", "flank_evidence").get(pk=detection.pk))


def state_of(survey: Survey) -> str:
    return Survey.objects.values_list("matching_state", flat=True).get(pk=survey.pk)


def matched(survey: Survey) -> None:
    Survey.objects.filter(pk=survey.pk).update(matching_state=Survey.Matching.DONE)


def test_a_survey_without_photos_has_nothing_to_estimate(survey) -> None:
    assert flanks_estimate(survey=survey) == 0


def named(survey: Survey, flank: str = Flank.LEFT) -> Detection:
    return seen(survey, flank=flank, flank_by_person=True)


def left_for_sure(survey: Survey) -> Detection:
    """A photo that faces left for the model, and agrees spot by spot with one whose left flank a person named."""
    photo = seen(survey, 0.95)
    make_candidate(photo, named(survey), rank=1, **SURE)
    return photo


def test_the_model_s_word_is_kept_and_names_no_flank_by_itself(survey) -> None:
    open_, sure, blind = seen(survey, 0.73), seen(survey, 0.001), seen(survey)
    assert flanks_estimate(survey=survey) == 0
    assert estimate_of(open_) == (pytest.approx(0.73), "model") and flank_of(open_) == ("unknown", False)
    assert estimate_of(sure) == (pytest.approx(0.2), "model") and flank_of(sure) == ("unknown", False)
    assert estimate_of(blind) == (None, "")


def test_model_and_match_together_name_a_flank(survey) -> None:
    photo = left_for_sure(survey)
    assert flanks_estimate(survey=survey) == 1
    assert flank_of(photo) == ("left", False)
    assert estimate_of(photo) == (pytest.approx(1 / (1 + (0.2 / 0.8) * (0.02 / 0.98))), "model, matches")
    assert flanks_estimate(survey=survey) == 0


def test_an_estimate_that_is_no_longer_certain_returns_to_unknown_and_the_survey_is_matched_again(survey) -> None:
    photo = seen(survey, 0.6, flank=Flank.LEFT, flank_by_person=False)
    matched(survey)
    assert flanks_estimate(survey=survey) == 1
    assert flank_of(photo) == ("unknown", False)
    assert state_of(survey) == Survey.Matching.STALE


def test_a_flank_that_becomes_known_drops_what_it_rules_out_and_leaves_the_ranking(survey) -> None:
    photo, other, same = left_for_sure(survey), named(survey, Flank.RIGHT), seen(survey)
    for anchor, candidate in ((photo, other), (other, photo), (photo, same)):
        make_candidate(anchor, candidate, rank=2 + (candidate == same), inliers=3, probability=0.2)
    matched(survey)
    flanks_estimate(survey=survey)
    assert flank_of(photo) == ("left", False)
    assert not Candidate.objects.filter(anchor=photo, detection=other).exists()
    assert not Candidate.objects.filter(anchor=other).exists()
    assert Candidate.objects.filter(anchor=photo).count() == 2
    assert state_of(survey) == Survey.Matching.DONE


@pytest.mark.parametrize("word", [Flank.RIGHT, Flank.UNKNOWN])
def test_a_person_s_word_is_never_overwritten(survey, reviewer, word) -> None:
    photo = left_for_sure(survey)
    detection_annotate(acting_user=reviewer, detections=[photo], flank=word)
    assert flanks_estimate(survey=survey) == 0
    assert flank_of(photo) == (word, True)


def test_a_word_that_is_taken_back_lets_the_estimate_hold(survey, reviewer) -> None:
    photo = left_for_sure(survey)
    detection_annotate(acting_user=reviewer, detections=[photo], flank=Flank.UNKNOWN)
    detection_annotate(acting_user=reviewer, detections=[photo], flank=Flank.UNKNOWN, flank_said=False)
    assert flank_of(photo) == ("left", False)


def test_a_named_flank_carries_over_a_confirmed_and_verified_match(survey, reviewer) -> None:
    first, other, later = seen(survey), seen(survey), seen(survey)
    for pair in ((first, other), (other, later)):
        make_candidate(*pair, rank=1, inliers=40, probability=0.7)
        match(*pair)
    detection_annotate(acting_user=reviewer, detections=[first], flank=Flank.RIGHT)
    assert flank_of(other) == ("right", False) and estimate_of(other) == (pytest.approx(0.005), "matches")
    assert flank_of(later)[0] == "unknown" or estimate_of(later)[0] <= 0.01


@pytest.mark.parametrize("provenance", [Provenance.PAIRED_CAMERAS, Provenance.SAME_EVENT, Provenance.IMPORTED])
def test_a_match_by_time_or_place_or_an_archive_says_nothing_of_flanks(survey, reviewer, provenance) -> None:
    first, other = seen(survey), seen(survey)
    make_candidate(first, other, rank=1, inliers=40, probability=0.7)
    match(first, other, provenance=provenance)
    detection_annotate(acting_user=reviewer, detections=[first], flank=Flank.RIGHT)
    assert flank_of(other) == ("unknown", False) and estimate_of(other) == (None, "")


def test_a_match_without_verified_features_says_nothing_of_flanks(survey, reviewer) -> None:
    first, other = seen(survey), seen(survey)
    make_candidate(first, other, rank=1, inliers=2, probability=0.99)
    match(first, other)
    detection_annotate(acting_user=reviewer, detections=[first], flank=Flank.RIGHT)
    assert flank_of(other) == ("unknown", False)


def test_a_pair_that_a_person_refused_says_nothing_however_alike(survey, reviewer) -> None:
    first, other = named(survey), seen(survey, 0.75)
    make_candidate(other, first, rank=1, **SURE)
    flanks_estimate(survey=survey)
    assert flank_of(other) == ("left", False) and estimate_of(other)[1] == "model, matches"
    match(first, other, verdict=Verdict.NO_MATCH)
    flanks_estimate(survey=survey)
    assert flank_of(other) == ("unknown", False) and estimate_of(other) == (pytest.approx(0.75), "model")


def test_a_word_against_an_estimate_is_heard_before_its_candidate_goes(survey, reviewer) -> None:
    sure, other = left_for_sure(survey), seen(survey)
    make_candidate(sure, other, rank=2, inliers=60, probability=0.9)
    match(sure, other)
    flanks_estimate(survey=survey)
    matched(survey)
    detection_annotate(acting_user=reviewer, detections=[other], flank=Flank.RIGHT)
    assert flank_of(sure) == ("unknown", False)
    assert Candidate.objects.filter(anchor=sure, detection=other).exists()
    assert state_of(survey) == Survey.Matching.STALE


def test_a_word_is_heard_in_other_surveys_of_the_population_and_only_there(reviewer) -> None:
    population = make_population()
    here, there = make_survey(population), make_survey(population)
    first, other = seen(here), seen(there)
    make_candidate(other, first, rank=1, inliers=40, probability=0.9)
    match(first, other)
    detection_annotate(acting_user=reviewer, detections=[first], flank=Flank.LEFT)
    assert flank_of(other) == ("left", False)
    assert flanks_estimate(survey=there) == 0 and flank_of(other) == ("left", False)


def walk(survey: Survey, places: list[float], *, camera: str = "A", boxes: int = 1) -> list[Detection]:
    station, found = make_station(survey), []
    for second, place in enumerate(places):
        at = START + timedelta(seconds=2 * second)
        image = make_image(survey, station=station, camera=camera, files=False, captured_at=at)
        for number in range(boxes):
            box = (place, 100.0 + number, place + 200, 200.0)
            found.append(make_detection(image, files=False, box=box, flank=Flank.UNKNOWN))
    return found


def test_walking_is_read_off_a_burst_with_one_animal_in_view(survey) -> None:
    burst, crowd = walk(survey, [400, 300, 150]), walk(survey, [400, 300, 150], boxes=2)
    flanks_estimate(survey=survey)
    assert [estimate_of(photo) for photo in burst] == [(pytest.approx(0.8), "walking")] * 3
    assert {flank_of(photo) for photo in burst} == {("unknown", False)}
    assert {estimate_of(photo) for photo in crowd} == {(None, "")}


def test_walking_and_the_model_add_up(survey) -> None:
    burst = walk(survey, [150, 300])
    Detection.objects.filter(pk=burst[0].pk).update(quality={"heading": {"left": 0.03}})
    flanks_estimate(survey=survey)
    # Odds 4 and 4 for the right one.
    assert estimate_of(burst[0]) == (pytest.approx(1 / 17), "model, walking")
    assert flank_of(burst[0]) == ("unknown", False)


class TestCommand:
    def test_it_looks_at_coats_that_no_model_has_seen_and_says_what_it_did(self, survey) -> None:
        photo = make_detection(make_image(survey), flank=Flank.UNKNOWN)
        out = StringIO()
        call_command("estimate_flanks", survey=survey.name, stdout=out)
        photo.refresh_from_db()
        assert headings.heading_is_current(photo.quality)
        assert photo.left_probability == pytest.approx(min(0.8, max(0.2, photo.quality["heading"]["left"])), abs=0.01)
        assert "1 coats, 1 looked at now" in out.getvalue()
        out = StringIO()
        call_command("estimate_flanks", survey=survey.name, stdout=out)
        assert "1 coats, 0 looked at now, 0 flanks changed" in out.getvalue()

    def test_a_crop_that_is_gone_is_left_out(self, survey) -> None:
        photo = make_detection(make_image(survey), flank=Flank.UNKNOWN)
        media_path(photo.crop).unlink()
        out = StringIO()
        call_command("estimate_flanks", survey=survey.name, stdout=out)
        assert "1 coats, 0 looked at now" in out.getvalue() and "1 without an estimate" in out.getvalue()

    def test_an_unknown_survey_is_named(self) -> None:
        with pytest.raises(CommandError, match="Nowhere"):
            call_command("estimate_flanks", survey="Nowhere")


def test_processing_asks_the_model_and_keeps_its_word(offline, tmp_path) -> None:
    from identification.inference import engines
    from tests.identification.factories import coat_pixels, frame_pixels

    crop, mask = coat_pixels(0, 0)
    stored = headings.heading_stored(crop, mask)
    assert stored is not None and 0 <= stored["left"] <= 1
    coat = engines.isolate(frame_pixels(1), (160.0, 120.0, 480.0, 290.0), None)
    assert headings.heading_left(coat.quality) == headings.heading_stored(coat.crop, coat.mask)["left"]


def test_a_damaged_model_costs_the_estimate_and_not_the_photo(monkeypatch) -> None:
    from modelzoo import heading
    from modelzoo.weights import ChecksumError
    from tests.identification.factories import coat_pixels

    def damaged() -> None:
        raise ChecksumError("another file")

    monkeypatch.setattr(heading, "shipped_heading", damaged)
    assert headings.heading_stored(*coat_pixels(0, 0)) is None
    assert headings.heading_left({}) is None and headings.heading_left({"heading": {"left": "much"}}) is None
