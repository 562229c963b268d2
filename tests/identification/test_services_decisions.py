"""Decisions, what follows from them, and taking them back."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identification.errors import Contradiction, Incomparable, SpotIDError, StaleEdge, UndoRefused
from identification.models import AuditEntry, Decision, Detection, Flank, Individual, MatchEdge, Verdict
from identification.selectors.graph import component_of, population_graph
from identification.services.decisions import decision_record, decision_undo, decision_undo_last
from identification.services.individuals import individual_declare, individual_rename, individual_undeclare
from tests.identification.factories import make_detection, make_image, make_population, make_survey, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def photos() -> list[Detection]:
    survey = make_survey()
    return [make_detection(make_image(survey, files=False), files=False) for _ in range(6)]


@pytest.fixture
def reviewer():
    return make_user("reviewer")


def match(reviewer, a: Detection, b: Detection, verdict: str = Verdict.MATCH, **values) -> Decision:
    return decision_record(acting_user=reviewer, first=a, second=b, verdict=verdict, anchor=a, **values)


def individuals_of(photos: list[Detection]) -> list[int | None]:
    numbers = dict(Detection.objects.values_list("pk", "individual__number"))
    return [numbers[photo.pk] for photo in photos]


def test_a_match_makes_an_individual_of_both(photos, reviewer) -> None:
    match(reviewer, photos[1], photos[0])
    assert individuals_of(photos) == [1, 1, None, None, None, None]
    edge = MatchEdge.objects.get()
    assert (edge.a_id, edge.b_id, edge.verdict, edge.version) == (photos[0].pk, photos[1].pk, "match", 1)


@pytest.mark.parametrize("verdict", [Verdict.NO_MATCH, Verdict.UNSURE, Verdict.INCOMPARABLE])
def test_other_verdicts_join_nothing(photos, reviewer, verdict) -> None:
    match(reviewer, photos[0], photos[1], verdict)
    assert set(individuals_of(photos)) == {None}


def test_matching_two_individuals_keeps_the_older_code_and_points_to_it(photos, reviewer) -> None:
    a, b, c, d, *_ = photos
    match(reviewer, a, b)
    match(reviewer, c, d)
    match(reviewer, b, c)
    assert individuals_of(photos)[:4] == [1, 1, 1, 1]
    second = Individual.objects.get(number=2)
    assert second.retired
    assert second.merged_into.number == 1


def test_undoing_a_merge_restores_both_individuals_exactly(photos, reviewer) -> None:
    a, b, c, d, *_ = photos
    match(reviewer, a, b)
    match(reviewer, c, d)
    before = individuals_of(photos)
    wrong = match(reviewer, b, c)
    decision_undo(acting_user=reviewer, decision=wrong)
    assert individuals_of(photos) == before
    assert not Individual.objects.get(number=2).retired


def test_undo_of_the_only_match_leaves_nobody(photos, reviewer) -> None:
    decision = match(reviewer, photos[0], photos[1])
    decision_undo(acting_user=reviewer, decision=decision)
    assert set(individuals_of(photos)) == {None}
    assert Individual.objects.get().retired
    match(reviewer, photos[0], photos[1])
    assert individuals_of(photos)[:2] == [1, 1]


def test_the_larger_part_keeps_the_code_when_an_individual_falls_apart(photos, reviewer) -> None:
    a, b, c, d, *_ = photos
    wrong = match(reviewer, a, b)
    match(reviewer, b, c)
    match(reviewer, c, d)
    decision_undo(acting_user=reviewer, decision=wrong)
    assert individuals_of(photos)[:4] == [None, 1, 1, 1]


def test_a_redundant_match_keeps_the_group_together(photos, reviewer) -> None:
    a, b, c, *_ = photos
    first = match(reviewer, a, b)
    match(reviewer, b, c)
    match(reviewer, a, c)
    decision_undo(acting_user=reviewer, decision=first)
    assert individuals_of(photos)[:3] == [1, 1, 1]


def test_numbers_are_never_used_twice(photos, reviewer) -> None:
    decision = match(reviewer, photos[0], photos[1])
    decision_undo(acting_user=reviewer, decision=decision)
    match(reviewer, photos[2], photos[3])
    assert individuals_of(photos)[2] == 2


def test_a_match_against_an_earlier_refusal_is_refused_and_changes_nothing(photos, reviewer) -> None:
    a, b, c, *_ = photos
    match(reviewer, a, b)
    match(reviewer, a, c, Verdict.NO_MATCH)
    with pytest.raises(Contradiction) as caught:
        match(reviewer, b, c)
    assert caught.value.pairs == [(a.pk, c.pk)]
    assert individuals_of(photos)[:3] == [1, 1, None]
    assert not MatchEdge.objects.filter(a=b, b=c).exclude(verdict="").exists()


def test_a_confirmed_contradiction_is_recorded_but_merges_nothing(photos, reviewer) -> None:
    a, b, c, *_ = photos
    match(reviewer, a, b)
    match(reviewer, a, c, Verdict.NO_MATCH)
    decision = match(reviewer, b, c, confirm_contradiction=True)
    assert individuals_of(photos)[:3] == [1, 1, None]
    assert population_graph(a.image.survey.population).contradictions() == [(a.pk, c.pk)]
    decision_undo(acting_user=reviewer, decision=decision)
    assert population_graph(a.image.survey.population).contradictions() == []


def test_refusing_a_pair_that_other_matches_connect_is_a_contradiction(photos, reviewer) -> None:
    a, b, c, *_ = photos
    match(reviewer, a, b)
    match(reviewer, b, c)
    with pytest.raises(Contradiction):
        match(reviewer, a, c, Verdict.NO_MATCH)


def test_changing_ones_mind_on_the_only_link_is_no_contradiction(photos, reviewer) -> None:
    match(reviewer, photos[0], photos[1])
    match(reviewer, photos[0], photos[1], Verdict.NO_MATCH)
    assert set(individuals_of(photos)) == {None}


def test_two_boxes_of_one_photo_cannot_match_directly_or_through_others(photos, reviewer) -> None:
    a, b, *_ = photos
    twin = make_detection(a.image, box=(10.0, 10.0, 60.0, 60.0), files=False)
    with pytest.raises(Incomparable):
        match(reviewer, a, twin)
    match(reviewer, a, b)
    with pytest.raises(Contradiction):
        match(reviewer, b, twin)


def test_the_database_itself_refuses_two_boxes_of_one_photo(photos) -> None:
    twin = make_detection(photos[0].image, box=(10.0, 10.0, 60.0, 60.0), files=False)
    with pytest.raises(IntegrityError), transaction.atomic():
        MatchEdge.objects.create(a=photos[0], b=twin, verdict=Verdict.MATCH)


def test_a_left_flank_cannot_match_a_right_one(photos, reviewer) -> None:
    for photo, flank in zip(photos[:2], (Flank.LEFT, Flank.RIGHT), strict=True):
        photo.flank, photo.flank_by_person = flank, True
        photo.save()
    with pytest.raises(Incomparable):
        match(reviewer, photos[0], photos[1])


def test_photos_of_two_populations_cannot_match(photos, reviewer) -> None:
    other = make_detection(make_image(make_survey(make_population()), files=False), files=False)
    with pytest.raises(Incomparable):
        match(reviewer, photos[0], other)


def test_an_unknown_verdict_is_refused(photos, reviewer) -> None:
    with pytest.raises(SpotIDError):
        match(reviewer, photos[0], photos[1], "perhaps")


def test_a_decision_on_a_stale_view_is_refused_with_the_present_state(photos, reviewer) -> None:
    match(reviewer, photos[0], photos[1], Verdict.NO_MATCH, expected_version=0)
    with pytest.raises(StaleEdge) as caught:
        match(reviewer, photos[0], photos[1], expected_version=0)
    assert (caught.value.verdict, caught.value.version) == ("no_match", 1)


def test_undo_is_for_ones_own_decisions_and_only_once(photos, reviewer) -> None:
    decision = match(reviewer, photos[0], photos[1])
    with pytest.raises(UndoRefused):
        decision_undo(acting_user=make_user(), decision=decision)
    decision_undo(acting_user=make_user(), decision=decision, any_user=True)
    with pytest.raises(UndoRefused):
        decision_undo(acting_user=reviewer, decision=decision)


def test_undo_last_goes_back_step_by_step(photos, reviewer) -> None:
    survey = photos[0].image.survey
    match(reviewer, photos[0], photos[1])
    match(reviewer, photos[2], photos[3], Verdict.UNSURE)
    assert decision_undo_last(acting_user=reviewer, survey=survey)[0].verdict == "unsure"
    assert decision_undo_last(acting_user=reviewer, survey=survey)[0].verdict == "match"
    with pytest.raises(UndoRefused):
        decision_undo_last(acting_user=reviewer, survey=survey)


def test_the_log_cannot_be_changed_or_deleted(photos, reviewer) -> None:
    decision = match(reviewer, photos[0], photos[1])
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.filter(pk=decision.pk).update(verdict="no_match")
    with pytest.raises(IntegrityError), transaction.atomic():
        decision.delete()
    individual_rename(acting_user=reviewer, individual=Individual.objects.get(), name="Asha")
    with pytest.raises(IntegrityError), transaction.atomic():
        AuditEntry.objects.all().delete()


def test_an_animal_seen_once_can_be_declared_and_taken_back(photos, reviewer) -> None:
    individual = individual_declare(acting_user=reviewer, detection=photos[0])
    assert individuals_of(photos)[0] == 1
    individual_undeclare(acting_user=reviewer, individual=individual)
    assert individuals_of(photos)[0] is None


def test_a_declared_animal_survives_the_undo_of_its_match(photos, reviewer) -> None:
    individual_declare(acting_user=reviewer, detection=photos[3])
    decision = match(reviewer, photos[0], photos[3])
    assert individuals_of(photos)[:4] == [1, None, None, 1]
    decision_undo(acting_user=reviewer, decision=decision)
    assert individuals_of(photos)[:4] == [None, None, None, 1]


def test_a_name_is_cleaned_audited_and_bounded(photos, reviewer) -> None:
    match(reviewer, photos[0], photos[1])
    individual = Individual.objects.get()
    individual_rename(acting_user=reviewer, individual=individual, name="  Ash\u202ea \n ")
    individual.refresh_from_db()
    assert individual.name == "Asha"
    assert AuditEntry.objects.get(action="individual.rename").after == {"name": "Asha"}
    with pytest.raises(SpotIDError):
        individual_rename(acting_user=reviewer, individual=individual, name="x" * 121)


def test_what_falls_off_an_individual_into_a_contradiction_is_not_that_individual_s_any_more(photos, reviewer) -> None:
    first = match(reviewer, photos[0], photos[2])
    match(reviewer, photos[3], photos[4])
    match(reviewer, photos[2], photos[3], "no_match")
    match(reviewer, photos[0], photos[1])
    match(reviewer, photos[2], photos[4], confirm_contradiction=True)
    assert individuals_of(photos) == [1, 1, 1, 2, 2, None], "a contradiction merges nothing"
    decision_undo(acting_user=reviewer, decision=first)
    assert individuals_of(photos) == [1, 1, None, 2, 2, None]


steps = st.lists(
    st.tuples(st.sampled_from(["match", "no_match", "unsure", "undo"]), st.integers(0, 5), st.integers(0, 5)),
    max_size=12,
)


@given(steps)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_decisions_and_undos_leave_the_components_of_those_that_remain(photos, reviewer, steps) -> None:
    """Oracle: the same components as folding only the decisions that were not undone, in a graph made from nothing."""
    with transaction.atomic():
        standing: list[tuple[Decision, frozenset[int], str]] = []
        for verdict, i, j in steps:
            if verdict == "undo":
                if standing:
                    decision, _, _ = standing.pop(i % len(standing))
                    decision_undo(acting_user=reviewer, decision=decision)
            elif i != j:
                decision = match(reviewer, photos[i], photos[j], verdict, confirm_contradiction=True)
                standing.append((decision, frozenset({photos[i].pk, photos[j].pk}), verdict))
        last = {pair: verdict for _, pair, verdict in standing}
        matches = [tuple(pair) for pair, verdict in last.items() if verdict == "match"]
        for photo in photos:
            assert component_of([photo.pk]) == frozenset(walk(photo.pk, matches))
        refused = [pair for pair, verdict in last.items() if verdict == "no_match"]
        groups: dict[int, set[int]] = {}
        for pk, number in Detection.objects.filter(individual__isnull=False).values_list("pk", "individual_id"):
            groups.setdefault(number, set()).add(pk)
        for photo in photos:
            component = walk(photo.pk, matches)
            if len(component) > 1 and not any(pair <= component for pair in refused):
                assert component in groups.values()
        transaction.set_rollback(True)


def walk(start: int, matches: list) -> set[int]:
    seen = {start}
    while more := {x for pair in matches for x in pair if set(pair) & seen} - seen:
        seen |= more
    return seen


@pytest.mark.django_db(transaction=True)
def test_of_two_reviewers_at_the_same_instant_one_wins_and_the_other_is_told() -> None:
    survey = make_survey()
    a, b = (make_detection(make_image(survey, files=False), files=False) for _ in range(2))
    users = [make_user(), make_user()]
    barrier, outcomes = threading.Barrier(2), []

    def decide(user, verdict: str) -> None:
        barrier.wait()
        try:
            match(user, a, b, verdict, expected_version=0)
            outcomes.append("written")
        except StaleEdge:
            outcomes.append("told")
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=pair) for pair in zip(users, ("match", "no_match"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["told", "written"]
    assert Decision.objects.count() == 1
