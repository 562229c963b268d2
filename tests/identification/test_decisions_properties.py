"""Whatever is decided and taken back, in any order: the database holds what folding the remaining decisions gives."""

from __future__ import annotations

import itertools

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identification.errors import SpotIDError
from identification.matching.graph import SignedGraph
from identification.models import Decision, Detection, Individual, MatchEdge, Role, Survey, User
from identification.selectors.graph import population_graph
from identification.selectors.review_queue import review_of
from identification.services.decisions import decision_record, decision_undo
from tests.identification import factories as make

PHOTOS = 5
couples = st.sampled_from(list(itertools.combinations(range(PHOTOS), 2)))
steps = st.lists(st.tuples(couples, st.sampled_from(["match", "match", "no_match", "unsure", "undo"])), max_size=10)


@pytest.fixture
def survey_of_five(db) -> tuple[User, Survey, list[Detection]]:  # type: ignore[no-untyped-def]
    """Five photos, each a candidate of every other."""
    survey = make.make_survey(matching_state="done")
    photos = [make.make_sighting(survey, files=False) for _ in range(PHOTOS)]
    for anchor in photos:
        for rank, other in enumerate((photo for photo in photos if photo != anchor), 1):
            make.make_candidate(anchor, other, rank=rank, probability=0.5)
    return make.make_member(survey, Role.CURATOR), survey, photos


@given(steps=steps, data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_sequence_of_decisions_and_undos_gives_what_the_remaining_ones_give(
    survey_of_five: tuple[User, Survey, list[Detection]], steps: list, data: st.DataObject
) -> None:  # type: ignore[type-arg]
    user, survey, photos = survey_of_five
    point = transaction.savepoint()
    try:
        standing: list[Decision] = []
        for (a, b), verdict in steps:
            if verdict == "undo":
                if standing:
                    struck = data.draw(st.sampled_from(standing))
                    standing.remove(struck)
                    decision_undo(acting_user=user, decision=struck)
                continue
            # Contradictions are confirmed: also a contradictory graph has to come back exactly.
            standing.append(
                decision_record(
                    acting_user=user,
                    first=photos[a],
                    second=photos[b],
                    verdict=verdict,
                    anchor=photos[a],
                    confirm_contradiction=True,
                )
            )
            _check_queue(user, survey)
        _check(survey, photos, standing)
        _check_queue(user, survey)
    finally:
        transaction.savepoint_rollback(point)


def _check(survey: Survey, photos: list[Detection], standing: list[Decision]) -> None:
    """Against an oracle that knows only the decisions that were not taken back, in their order."""
    left = {(decision.edge.a_id, decision.edge.b_id): decision.verdict for decision in standing}
    oracle = SignedGraph.of(
        [pair for pair, verdict in left.items() if verdict == "match"],
        [pair for pair, verdict in left.items() if verdict == "no_match"],
    )
    ids = [photo.pk for photo in photos]
    graph = population_graph(survey.population)
    assert graph.components(ids) == oracle.components(ids)
    assert graph.contradictions() == oracle.contradictions()
    rows = MatchEdge.objects.exclude(verdict="").values_list("a_id", "b_id", "verdict")
    assert {(a, b): verdict for a, b, verdict in rows} == left
    for group in oracle.components(ids):
        named = set(Detection.objects.filter(pk__in=group).values_list("individual_id", flat=True))
        if oracle.contradictions() and any(set(pair) <= group for pair in oracle.contradictions()):
            continue  # it keeps what it had: nothing is merged silently
        assert len(named) == 1
        assert (None in named) == (len(group) == 1)
    standing_for = Individual.objects.filter(retired=False, detections__in=ids).distinct()
    assert all(individual.founder_id in ids for individual in standing_for)


def _check_queue(user: User, survey: Survey) -> None:
    """The queue that is kept in memory asks exactly what one built anew would ask."""
    from identification.selectors import review_queue

    with review_of(user=user, survey=survey) as review:
        kept = [(q.pair, q.probability, q.settles, q.unsure) for q in review.queue.questions()]
        shown, decisions = dict(review.shown), review.decisions
    review_queue._kept.clear()
    with review_of(user=user, survey=survey) as review:
        anew = [(q.pair, q.probability, q.settles, q.unsure) for q in review.queue.questions()]
        assert (dict(review.shown), review.decisions) == (shown, decisions)
    assert sorted(map(str, kept)) == sorted(map(str, anew))


def test_what_is_refused_by_the_service_changes_nothing(survey_of_five: tuple[User, Survey, list[Detection]]) -> None:
    user, survey, photos = survey_of_five
    decision_record(acting_user=user, first=photos[0], second=photos[1], verdict="match", anchor=photos[0])
    decision_record(acting_user=user, first=photos[1], second=photos[2], verdict="no_match", anchor=photos[1])
    before = population_graph(survey.population)
    with pytest.raises(SpotIDError):
        decision_record(acting_user=user, first=photos[0], second=photos[2], verdict="match", anchor=photos[0])
    assert population_graph(survey.population) == before
    assert Decision.objects.count() == 2
