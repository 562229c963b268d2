"""Merging and splitting by chosen photos, and taking it back exactly."""

from __future__ import annotations

import itertools

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identification.errors import Contradiction, Incomparable, SpotIDError, StaleEdge, UndoRefused
from identification.models import Decision, Detection, Flank, Individual, MatchEdge, Verdict
from identification.selectors.graph import contradictions_among
from identification.services.curation import (
    batch_undo,
    conflict_settle,
    individual_split,
    individuals_merge,
    merge_preview,
    split_preview,
)
from identification.services.decisions import decision_undo_last
from tests.identification.factories import make_candidate, make_detection, make_image, make_survey, make_user, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def photos() -> list[Detection]:
    survey = make_survey()
    return [make_detection(make_image(survey, files=False), files=False) for _ in range(6)]


@pytest.fixture
def curator():
    return make_user("curator")


def numbers(photos: list[Detection]) -> list[int | None]:
    found = dict(Detection.objects.values_list("pk", "individual__number"))
    return [found[photo.pk] for photo in photos]


def state() -> tuple[dict, dict]:  # type: ignore[type-arg]
    """What stands: verdict and provenance of every pair, and the individual of every photo."""
    edges = MatchEdge.objects.exclude(verdict="").values_list("a_id", "b_id", "verdict", "provenance")
    return {row[:2]: row[2:] for row in edges}, dict(Detection.objects.values_list("pk", "individual"))


def chain(*photos: Detection) -> None:
    for first, second in itertools.pairwise(photos):
        match(None, first, second)


def test_nothing_chosen_is_refused(photos, curator) -> None:
    for change in (individuals_merge, individual_split):
        with pytest.raises(SpotIDError, match="Tick"):
            change(acting_user=curator, detections=[])


def test_a_split_refuses_what_crosses_and_is_taken_back_exactly(photos, curator) -> None:
    a, b, c, d, e, _ = photos
    chain(a, b, c, d, e)
    match(None, b, d)
    before = state()
    done = individual_split(acting_user=curator, detections=[d, e])
    assert {(row.edge.a_id, row.edge.b_id) for row in done.refusals} == {(c.pk, d.pk), (b.pk, d.pk)}
    assert numbers(photos) == [1, 1, 1, 2, 2, None]
    assert {row.batch for row in done.decisions} == {done.batch} and done.matches == []
    assert all(row.acting_user == curator for row in done.decisions)
    assert batch_undo(acting_user=curator, decisions=done.decisions) == 2
    assert state() == before
    assert Individual.objects.get(number=2).retired, "its code is spent, and points to what it is part of"


def test_the_larger_part_keeps_the_code(photos, curator) -> None:
    a, b, c, d, e, _ = photos
    chain(a, b, c, d, e)
    individual_split(acting_user=curator, detections=[a, b])
    assert numbers(photos)[:5] == [2, 2, 1, 1, 1]


def test_a_side_that_hung_together_through_the_other_falls_apart_unless_it_is_kept(photos, curator) -> None:
    a, b, c, d, *_ = photos
    chain(a, b, c)
    chain(b, d)
    before = state()
    preview = split_preview(detections=[b])
    assert (preview.sizes, preview.refusals, preview.matches) == ("1 + 1 + 1 + 1", 3, 0)
    kept = split_preview(detections=[b], keep_together=True)
    assert (kept.sizes, kept.refusals, kept.matches) == ("3 + 1", 3, 2)
    assert state() == before, "a preview changes nothing"
    done = individual_split(acting_user=curator, detections=[b], keep_together=True)
    assert numbers(photos)[:4] == [1, None, 1, 1]
    batch_undo(acting_user=curator, decisions=done.decisions)
    assert state() == before


def test_the_preview_says_who_keeps_the_code_and_who_gets_a_new_one(photos) -> None:
    chain(*photos[:5])
    preview = split_preview(detections=photos[3:5])
    assert preview.sizes == "3 + 2"
    assert [(part.individual.code, part.new) for part in preview.parts] == [("L-0001", False), ("L-0002", True)]
    assert [part.individual.code for part in preview.before] == ["L-0001"]
    assert Individual.objects.count() == 1


def test_a_split_gives_a_code_back_that_an_earlier_merge_had_retired(photos, curator) -> None:
    a, b, c, d, *_ = photos
    chain(a, b)
    chain(c, d)
    chain(b, c)
    preview = split_preview(detections=[c, d])
    assert [(part.individual.code, part.new) for part in preview.parts] == [("L-0001", False), ("L-0002", False)]
    individual_split(acting_user=curator, detections=[c, d])
    assert numbers(photos)[:4] == [1, 1, 2, 2]


def test_everything_cannot_be_split_off(photos, curator) -> None:
    chain(*photos[:3])
    with pytest.raises(SpotIDError, match="leave at least one"):
        individual_split(acting_user=curator, detections=photos[:3])


def test_a_merge_says_no_more_than_it_needs_and_is_taken_back_exactly(photos, curator) -> None:
    a, b, c, d, *_ = photos
    chain(a, b)
    chain(c, d)
    make_candidate(b, d, probability=0.9)
    make_candidate(a, c, probability=0.4)
    before = state()
    preview = merge_preview(detections=[a, b, c, d])
    assert (preview.sizes, preview.matches, [i.code for i in preview.retired]) == ("4", 1, ["L-0002"])
    assert [part.individual.code for part in preview.parts] == ["L-0001"]
    assert state() == before
    done = individuals_merge(acting_user=curator, detections=[a, b, c, d])
    (said,) = done.matches
    assert (said.edge.a_id, said.edge.b_id, said.anchor) == (b.pk, d.pk, None), "the pair that looks most alike"
    assert numbers(photos)[:4] == [1, 1, 1, 1]
    batch_undo(acting_user=curator, decisions=done.decisions)
    assert state() == before


def test_a_merge_joins_flank_with_flank_in_whatever_order_photos_came(photos, curator) -> None:
    a, _b, c, d, *_ = photos
    Detection.objects.filter(pk__in=[a.pk, d.pk]).update(flank=Flank.LEFT)
    for row in photos:
        row.refresh_from_db()
    with pytest.raises(Incomparable, match="left flank"):
        individuals_merge(acting_user=curator, detections=[a, c])
    individuals_merge(acting_user=curator, detections=[a, d])
    assert numbers(photos)[:4] == [1, None, None, 1]


def test_two_animals_of_one_photo_are_not_merged(curator) -> None:
    image = make_image(make_survey(), files=False)
    pair = [make_detection(image, files=False, box=(x, 10, x + 50, 60)) for x in (10, 100)]
    with pytest.raises(Incomparable, match="two animals on one photo"):
        individuals_merge(acting_user=curator, detections=pair)


def test_a_merge_against_an_earlier_refusal_is_refused_and_names_it(photos, curator) -> None:
    a, b, c, d, *_ = photos
    chain(a, b)
    chain(c, d)
    match(None, a, d, Verdict.NO_MATCH)
    preview = merge_preview(detections=[b, c])
    assert "different animals" in preview.refused and preview.pairs == ((a.pk, d.pk),)
    before = state()
    with pytest.raises(Contradiction):
        individuals_merge(acting_user=curator, detections=[b, c])
    assert state() == before


def test_what_was_merged_is_one_animal_already(photos, curator) -> None:
    chain(*photos[:3])
    with pytest.raises(SpotIDError, match="one animal already"):
        individuals_merge(acting_user=curator, detections=[photos[0], photos[2]])


def test_the_undo_of_the_review_does_not_reach_a_split(photos, curator) -> None:
    chain(*photos[:3])
    individual_split(acting_user=curator, detections=photos[:1])
    with pytest.raises(UndoRefused):
        decision_undo_last(acting_user=curator, survey=photos[0].image.survey)


def test_somebody_elses_step_is_taken_back_by_those_who_may_only(photos, curator) -> None:
    chain(*photos[:3])
    done = individual_split(acting_user=curator, detections=photos[:1])
    other = make_user("other")
    with pytest.raises(UndoRefused):
        batch_undo(acting_user=other, decisions=done.decisions)
    assert batch_undo(acting_user=other, decisions=done.decisions, any_user=True) == 1
    assert batch_undo(acting_user=other, decisions=done.decisions, any_user=True) == 0, "only once"


def test_a_conflict_is_settled_either_way_at_the_version_that_was_shown(photos, curator) -> None:
    a, b, c, *_ = photos
    chain(a, b, c)
    match(None, a, c, Verdict.NO_MATCH, confirm=True)
    before = state()
    with pytest.raises(StaleEdge):
        conflict_settle(acting_user=curator, pairs={(b.pk, c.pk): 7}, verdict=Verdict.NO_MATCH)
    assert state() == before
    parted = conflict_settle(acting_user=curator, pairs={(b.pk, c.pk): 1}, verdict=Verdict.NO_MATCH)
    assert numbers(photos)[:3] == [1, 1, None]
    batch_undo(acting_user=curator, decisions=parted.decisions)
    assert state()[0] == before[0] and contradictions_among([a.pk, b.pk, c.pk])
    conflict_settle(acting_user=curator, pairs={(a.pk, c.pk): 1}, verdict=Verdict.MATCH)
    assert numbers(photos)[:3] == [1, 1, 1] and not contradictions_among([a.pk, b.pk, c.pk])


couples = st.sampled_from(list(itertools.combinations(range(6), 2)))
says = st.lists(st.tuples(couples, st.sampled_from(["match", "match", "match", "no_match"])), max_size=9)


@given(says=says, chosen=st.sets(st.integers(0, 5), min_size=1, max_size=5), keep=st.booleans(), split=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_was_split_or_merged_is_taken_back_exactly(photos, curator, says, chosen, keep, split) -> None:
    point = transaction.savepoint()
    try:
        for (a, b), verdict in says:
            match(None, photos[a], photos[b], verdict, confirm=True)
        before, rows = state(), [photos[index] for index in sorted(chosen)]
        sound = not contradictions_among([photo.pk for photo in photos])
        try:
            if split:
                done = individual_split(acting_user=curator, detections=rows, keep_together=keep)
            else:
                done = individuals_merge(acting_user=curator, detections=rows)
        except SpotIDError:
            assert state() == before, "all of it or nothing"
            return
        if split and sound:
            owners = state()[1]
            inside = {owners[row.pk] for row in rows} - {None}
            assert not inside & {owners[row.pk] for row in photos if row not in rows}, "the sides share no animal"
        batch_undo(acting_user=curator, decisions=done.decisions)
        after = state()
        assert after[0] == before[0]
        # A contradictory group keeps the assignments it had last, whatever they were (decision 5).
        assert after[1] == before[1] or not sound
        assert Decision.objects.count() == len(says) + 2 * len(done.decisions), "nothing leaves the log"
    finally:
        transaction.savepoint_rollback(point)
