"""Which flank is seen, from all that speaks for it, against oracles made by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identification.matching.flanks import (
    CERTAIN,
    CONFIRMED,
    HARDLY_DOUBTED,
    HARDLY_DOUBTED_PROBABILITY,
    MODEL_AT_MOST,
    NOTHING,
    VERIFIED_INLIERS,
    WALKING,
    Estimate,
    Frame,
    SameFlank,
    Sighting,
    estimates,
    model_log_odds,
    same_flank,
    walking,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def frame(pk: int, seconds: float, centre: float, width: float = 100.0) -> Frame:
    return Frame(pk, NOON + timedelta(seconds=seconds), centre, width)


def test_nothing_at_all_gives_nothing() -> None:
    assert estimates([], []) == {}
    assert walking([]) == {}
    assert estimates([Sighting(1)], []) == {1: NOTHING}
    assert NOTHING.flank == "unknown"


def test_the_model_alone_is_passed_on() -> None:
    found = estimates([Sighting(1, model=0.7)], [])[1]
    assert found.left == pytest.approx(0.7) and found.evidence == "model" and found.flank == "unknown"


def test_a_model_that_cannot_tell_still_says_so() -> None:
    assert estimates([Sighting(1, model=0.5)], [])[1] == Estimate(pytest.approx(0.5), "model")


@pytest.mark.parametrize("sure", [0.95, 0.9999, 1.0])
def test_the_model_s_word_counts_no_more_than_it_was_measured_to_be_worth(sure: float) -> None:
    left, right = estimates([Sighting(1, model=sure)], [])[1], estimates([Sighting(1, model=1 - sure)], [])[1]
    assert left.left == pytest.approx(MODEL_AT_MOST) and right.left == pytest.approx(1 - MODEL_AT_MOST)
    assert left.flank == right.flank == "unknown"
    assert model_log_odds(None) == 0


def test_model_and_walking_together_name_no_flank() -> None:
    found = estimates([Sighting(1, model=1.0, walking=odds(WALKING))], [])[1]
    assert found.left == pytest.approx(1 / (1 + math.exp(-odds(MODEL_AT_MOST) - odds(WALKING))))
    assert found.flank == "unknown" and found.evidence == "model, walking"


class TestWalking:
    def test_a_box_that_moves_left_shows_an_animal_that_faces_left(self) -> None:
        found = walking([frame(1, 0, 500), frame(2, 2, 400), frame(3, 4, 320)])
        assert found == {pk: pytest.approx(odds(WALKING)) for pk in (1, 2, 3)}

    def test_to_the_right_is_the_same_the_other_way_round(self) -> None:
        assert walking([frame(1, 0, 400), frame(2, 2, 500)])[1] == pytest.approx(-odds(WALKING))

    def test_the_order_of_the_photos_does_not_matter(self) -> None:
        frames = [frame(1, 0, 500), frame(2, 2, 400), frame(3, 4, 320)]
        assert walking(frames[::-1]) == walking(frames)

    def test_an_animal_that_stands_says_nothing(self) -> None:
        assert walking([frame(1, 0, 500), frame(2, 2, 490)]) == {}

    def test_another_visit_says_nothing(self) -> None:
        assert walking([frame(1, 0, 500), frame(2, 3600, 400)]) == {}

    def test_a_box_somewhere_else_altogether_is_rather_another_animal(self) -> None:
        assert walking([frame(1, 0, 500), frame(2, 2, 50)]) == {}

    def test_an_animal_that_turns_round_is_told_by_the_outer_photos_only(self) -> None:
        found = walking([frame(1, 0, 500), frame(2, 2, 400), frame(3, 4, 500)])
        assert set(found) == {1, 3} and found[1] > 0 > found[3]

    def test_walking_alone_is_never_certain(self) -> None:
        assert estimates([Sighting(1, walking=odds(WALKING))], [])[1] == Estimate(pytest.approx(WALKING), "walking")


class TestMatches:
    def test_a_person_s_word_carries_over_a_confirmed_and_verified_match(self) -> None:
        found = estimates([Sighting(1, said="right"), Sighting(2)], [SameFlank(1, 2, CONFIRMED)])
        assert found[2] == Estimate(pytest.approx(1 - CONFIRMED), "matches")
        assert found[2].flank == "right"

    def test_a_match_that_nobody_confirmed_needs_more(self) -> None:
        link = [SameFlank(1, 2, HARDLY_DOUBTED)]
        assert estimates([Sighting(1, said="left"), Sighting(2)], link)[2].flank == "unknown"
        both = estimates([Sighting(1, said="left"), Sighting(2, model=0.75)], link)[2]
        assert both.flank == "left" and both.evidence == "model, matches"
        assert both.left == pytest.approx(1 / (1 + math.exp(-odds(HARDLY_DOUBTED) - odds(0.75))))

    def test_a_word_fades_from_match_to_match(self) -> None:
        chain = [SameFlank(1, 2, CONFIRMED), SameFlank(2, 3, CONFIRMED)]
        found = estimates([Sighting(1, said="left"), Sighting(2), Sighting(3)], chain)
        # Both links true, or both false.
        assert found[3].left == pytest.approx(CONFIRMED**2 + (1 - CONFIRMED) ** 2)

    def test_two_words_that_contradict_each_other_leave_it_open(self) -> None:
        sightings = [Sighting(1, said="left"), Sighting(2), Sighting(3, said="right")]
        found = estimates(sightings, [SameFlank(1, 2, CONFIRMED), SameFlank(2, 3, CONFIRMED)])
        assert found[2].flank == "unknown"

    def test_a_word_is_no_evidence_for_itself(self) -> None:
        found = estimates([Sighting(1, said="left"), Sighting(2)], [SameFlank(1, 2, CONFIRMED)])
        assert found[1] == NOTHING

    def test_a_word_does_not_pass_through_another_person_s(self) -> None:
        sightings = [Sighting(1, said="left"), Sighting(2, said="right"), Sighting(3)]
        found = estimates(sightings, [SameFlank(1, 2, CONFIRMED), SameFlank(2, 3, CONFIRMED)])
        assert found[3].left == pytest.approx(1 - CONFIRMED)

    def test_that_it_cannot_be_told_is_no_flank_to_carry_over(self) -> None:
        found = estimates([Sighting(1, said="unknown"), Sighting(2)], [SameFlank(1, 2, CONFIRMED)])
        assert found == {1: NOTHING, 2: NOTHING}

    def test_a_match_against_a_certain_model_makes_it_uncertain(self) -> None:
        found = estimates([Sighting(1, said="right"), Sighting(2, model=0.997)], [SameFlank(1, 2, CONFIRMED)])
        assert found[2].flank == "unknown"

    def test_photos_of_one_coat_support_one_another_up_to_a_bound(self) -> None:
        alone = estimates([Sighting(1, model=0.8)], [])[1]
        crowd = [Sighting(pk, model=0.9) for pk in range(2, 40)]
        links = [SameFlank(1, pk, CONFIRMED) for pk in range(2, 40)]
        found = estimates([Sighting(1, model=0.8), *crowd], links)[1]
        assert alone.left is not None and found.left is not None and found.left > alone.left
        assert found.flank == "unknown" and found.evidence == "model, matches"

    def test_a_link_to_a_detection_that_is_not_there_is_left_out(self) -> None:
        assert estimates([Sighting(1)], [SameFlank(1, 2, CONFIRMED), SameFlank(1, 1, CONFIRMED)]) == {1: NOTHING}

    def test_what_a_pair_says(self) -> None:
        few, many = VERIFIED_INLIERS - 1, VERIFIED_INLIERS
        sure = HARDLY_DOUBTED_PROBABILITY
        assert same_flank(confirmed=True, inliers=many, probability=None) == CONFIRMED
        assert same_flank(confirmed=True, inliers=few, probability=1.0) is None
        assert same_flank(confirmed=False, inliers=many, probability=sure) == HARDLY_DOUBTED
        assert same_flank(confirmed=False, inliers=many, probability=sure - 0.01) is None
        assert same_flank(confirmed=False, inliers=many, probability=None) is None


SIGHTING = st.builds(
    lambda said, model, steps: (said, model, steps * odds(WALKING)),
    st.sampled_from(["", "", "left", "right", "unknown"]),
    st.none() | st.floats(0, 1),
    st.sampled_from([-1, 0, 1]),
)
LINKS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([CONFIRMED, HARDLY_DOUBTED])))


@settings(deadline=None)
@given(st.lists(SIGHTING, max_size=6), LINKS)
def test_a_mirrored_survey_gets_mirrored_estimates(facts: list[tuple], links: list[tuple]) -> None:
    turn = {"left": "right", "right": "left"}
    seen = estimates([Sighting(i, *fact) for i, fact in enumerate(facts)], [SameFlank(*link) for link in links])
    mirrored = estimates(
        [
            Sighting(i, turn.get(said, said), None if model is None else 1 - model, -walk)
            for i, (said, model, walk) in enumerate(facts)
        ],
        [SameFlank(*link) for link in links],
    )
    for pk, estimate in seen.items():
        other = mirrored[pk]
        assert estimate.evidence == other.evidence
        assert (estimate.left is None) == (other.left is None)
        if estimate.left is not None and other.left is not None:
            assert 0 < estimate.left < 1 and estimate.left == pytest.approx(1 - other.left, abs=1e-6)
            assert (estimate.flank == "unknown") == (max(estimate.left, 1 - estimate.left) < CERTAIN)
