"""Facts in words."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from identification.models import Survey
from identification.presenting import (
    catalogue_words,
    completeness_words,
    day_span,
    flag_words,
    grid_cell,
    local_time,
    percent,
    probability_words,
    span_words,
)
from identification.templatetags.spotid import at


def test_times_of_no_one_survey_are_utc_and_say_so() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert at(noon, Survey(time_zone="Asia/Kolkata")) == "1 Mar 2026, 17:30:00"
    assert at(noon, None) == "1 Mar 2026, 12:00:00 UTC" and at(None, None) == ""


def test_an_unknown_probability_is_said_to_be_unknown() -> None:
    assert (probability_words(None), percent(None)) == ("not known", "–")
    assert (probability_words(math.nan), percent(math.nan)) == ("not known", "–")


@pytest.mark.parametrize(
    ("fraction", "number", "words"),
    [
        (0.0, "0 %", "almost surely two animals"),
        (0.004, "<1 %", "almost surely two animals"),
        (0.1, "10 %", "probably two animals"),
        (0.3, "30 %", "rather two animals"),
        (0.5, "50 %", "could be either"),
        (0.7, "70 %", "rather the same animal"),
        (0.8, "80 %", "probably the same animal"),
        (0.951, "95 %", "almost surely the same animal"),
        (0.999, ">99 %", "almost surely the same animal"),
        (1.0, "100 %", "almost surely the same animal"),
    ],
)
def test_a_probability_is_a_number_and_words_that_agree(fraction: float, number: str, words: str) -> None:
    assert (percent(fraction), probability_words(fraction)) == (number, words)


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (None, ""),
        (math.nan, ""),
        (0.0, "Almost surely not in the catalogue yet (0 %)"),
        (0.12, "Probably not in the catalogue yet (12 %)"),
        (0.25, "Rather not in the catalogue yet (25 %)"),
        (0.5, "Could be new or in the catalogue (50 %)"),
        (0.61, "Rather already in the catalogue (61 %)"),
        (0.93, "Probably already in the catalogue (93 %)"),
        (0.999, "Almost surely already in the catalogue (>99 %)"),
    ],
)
def test_whether_an_animal_is_known_is_said_in_words_and_number(probability: float | None, words: str) -> None:
    assert catalogue_words(probability) == words


def test_where_no_animal_is_in_the_catalogue_none_is_said_to_be() -> None:
    found = [catalogue_words(probability, catalogued=False) for probability in (0.97, 0.85, 0.61, 0.5, 0.2, 0.07, 0.0)]
    assert not any("catalogue" in words for words in found) and len(set(found)) == 7
    assert found[0] == "Almost surely on another photo, too (97 %)" and catalogue_words(None, catalogued=False) == ""


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(), "0 seconds"),
        (timedelta(seconds=-1), "1 second"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=3, minutes=12), "3 h 12 min"),
        (timedelta(hours=23), "23 hours"),
        (timedelta(days=1, hours=5), "1 day"),
        (timedelta(days=59), "59 days"),
        (timedelta(days=100), "3 months"),
        (timedelta(days=1000), "3 years"),
    ],
)
def test_a_span_of_time_is_told_in_its_large_units(span: timedelta, words: str) -> None:
    assert span_words(span) == words


def test_times_are_those_of_the_camera() -> None:
    moment = datetime(2024, 3, 1, 20, 0, tzinfo=UTC)
    assert local_time(moment, "Asia/Kolkata") == "2 Mar 2024, 01:30:00"
    assert local_time(None, "UTC") == "time unknown"
    assert day_span(moment, moment + timedelta(hours=3), "Asia/Kolkata") == "2 Mar 2024"
    assert day_span(moment, moment + timedelta(hours=3), "UTC") == "1 Mar 2024"
    assert day_span(moment, moment + timedelta(days=1), "UTC") == "1 Mar 2024 – 2 Mar 2024"
    assert day_span(None, None, "UTC") == ""


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        ((27.51, 84.39), "27.5–27.6° N, 84.3–84.4° E"),
        ((-0.01, -84.31), "0.0–0.1° S, 84.3–84.4° W"),
        ((0.0, 0.0), "0.0–0.1° N, 0.0–0.1° E"),
        ((0.3, -0.3), "0.3–0.4° N, 0.2–0.3° W"),
    ],
)
def test_a_place_is_told_as_a_cell_of_a_fixed_grid(place: tuple[float, float], cell: str) -> None:
    assert grid_cell(*place) == cell


def test_every_flag_that_reading_a_photo_can_set_has_words() -> None:
    known = [
        "no_time",
        "bad_time",
        "clock_suspect",
        "time_from_maker_note",
        "time_from_modified",
        "gps_ignored",
        "exif_bounded",
        "exif_damaged",
        "rotated",
        "first_frame",
        "clock_change_gap",
        "clock_change_twice",
    ]
    words = [flag_words(flag) for flag in known]
    assert len(set(words)) == len(known)
    assert not [flag for flag, said in zip(known, words, strict=True) if said == flag.replace("_", " ")]
    assert flag_words("") == "" and flag_words("never_heard_of") == "never heard of"


def test_completeness_says_how_much_is_found_and_what_is_left() -> None:
    say = completeness_words
    assert say(0.93, 0.88, 0.96, 0.99, 40, 60, False) == (
        "About 93 % of the true matches are found (88–96 %); about 40 questions to reach 99 %."
    )
    assert say(0.993, 0.985, 0.998, 0.99, 0, 60, False).endswith("; the goal of 99 % is reached.")
    assert "not expected from the candidates that are stored" in say(0.9, 0.8, 0.95, 0.99, None, 60, False)
    assert "2000 questions or more" in say(0.5, 0.4, 0.6, 0.995, 2000, 60, False)
    assert say(0.9, 0.1, 1.0, 0.99, 5, 1, True).startswith("Too early to say") and "1 answer so far" in say(
        0.9, 0.1, 1.0, 0.99, 5, 1, True
    )
    assert say(1.0, 1.0, 1.0, 0.99, 0, 6, False).startswith("Every question is answered")
