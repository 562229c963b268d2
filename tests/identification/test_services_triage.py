"""Boxes of other species take no part, and come back exactly as they were."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from identification.errors import Incomparable, SpotIDError, UndoRefused
from identification.models import (
    AuditEntry,
    Candidate,
    Detection,
    Embedding,
    Individual,
    LocalFeatureSet,
    MatchEdge,
    Role,
    Survey,
    Triage,
    TriageRun,
    Work,
)
from identification.selectors.models import encodable
from identification.selectors.triage import below_threshold, counts_below, done_lately, unmatched
from identification.services import stages
from identification.services.annotation import detection_annotate
from identification.services.catalogue import population_update
from identification.services.individuals import individual_declare
from identification.services.queue import work_requeue
from identification.services.triage import detections_triage, triage_below, triage_undo
from identification.services.triage_names import triage_names_apply
from identification.services.work import work_claim
from tests.identification import factories as make

pytestmark = pytest.mark.django_db

World = tuple[Survey, list[list[Detection]]]


@pytest.fixture
def world() -> World:
    return make.make_reviewable_survey(individuals=2, photos=3)


def _put_aside(*boxes: Detection, **options: Any) -> AuditEntry:
    return detections_triage(acting_user=None, detections=boxes, triage=Triage.OTHER, **options).entries[0]


def _state(survey: Survey) -> dict[int, tuple[Any, ...]]:
    rows = Detection.objects.filter(image__survey=survey)
    return {row[0]: row for row in rows.values_list("pk", "triage", "triage_by_person", "individual", "crop", "usable")}


def test_nothing_chosen_changes_nothing(world: World) -> None:
    done = detections_triage(acting_user=None, detections=[], triage=Triage.OTHER)
    assert (done.entries, done.changed) == ((), 0) and not AuditEntry.objects.exists()


def test_what_is_put_aside_takes_no_part_and_keeps_its_data(world: World) -> None:
    survey, animals = world
    gone, stays = animals[0][0], animals[0][1]
    LocalFeatureSet.objects.create(detection=gone, version="v", count=3, data=b"abc")
    user = make.make_member(survey, Role.CURATOR)
    done = detections_triage(acting_user=user, detections=[gone], triage=Triage.OTHER)
    assert done.changed == 1
    gone.refresh_from_db()
    assert gone.triage_by_person and gone.crop and gone.local_features.count() == 1
    assert gone not in Detection.objects.comparable() and gone not in encodable()
    assert not Candidate.objects.filter(anchor=gone).exists() and not Candidate.objects.filter(detection=gone).exists()
    assert Candidate.objects.filter(anchor=stays).exists()
    # An anchor lost a candidate: there is room for another.
    assert Survey.objects.get(pk=survey.pk).matching_state == "stale"
    entry = AuditEntry.objects.get(action="detection.triage")
    assert (entry.acting_user, entry.survey, entry.after["boxes"]) == (user, survey, [gone.pk])


def test_taking_back_restores_exactly_and_once(world: World) -> None:
    survey, animals = world
    wanted, undecided = animals[0][0], animals[1][0]
    detections_triage(acting_user=None, detections=[wanted], triage=Triage.WANTED)
    before = _state(survey)
    entry = _put_aside(wanted, undecided)
    assert _state(survey) != before
    assert triage_undo(acting_user=None, entry=entry).changed == 2
    assert _state(survey) == before
    with pytest.raises(UndoRefused):
        triage_undo(acting_user=None, entry=entry)
    with pytest.raises(UndoRefused):
        triage_undo(acting_user=None, entry=AuditEntry.objects.get(action="detection.triage_undo"))


def test_what_was_said_since_is_left_when_something_is_taken_back(world: World) -> None:
    _, animals = world
    entry = _put_aside(*animals[0])
    detections_triage(acting_user=None, detections=[animals[0][1]], triage=Triage.WANTED)
    done = triage_undo(acting_user=None, entry=entry)
    assert (done.changed, done.left) == (2, 1)
    animals[0][1].refresh_from_db()
    assert animals[0][1].triage == Triage.WANTED


def test_what_was_matched_since_is_not_put_aside_by_taking_back(world: World) -> None:
    _, animals = world
    _put_aside(animals[0][0], animals[1][0])
    back = detections_triage(acting_user=None, detections=[animals[0][0], animals[1][0]], triage=Triage.UNDECIDED)
    make.match(None, Detection.objects.get(pk=animals[0][0].pk), animals[0][1])
    done = triage_undo(acting_user=None, entry=back.entries[0])
    assert (done.changed, done.left) == (1, 1)
    assert list(Detection.objects.filter(triage=Triage.OTHER)) == [animals[1][0]]


def test_a_mark_counts_also_where_a_box_was_read_before_it(world: World) -> None:
    _, animals = world
    read_before = animals[0][0]
    _put_aside(read_before)
    assert read_before.triage == Triage.UNDECIDED
    with pytest.raises(Incomparable):
        make.match(None, read_before, animals[0][1])


def test_surveys_are_held_before_their_candidates_go(world: World) -> None:
    """Who stores candidates holds the survey first: the other way round the two would wait for each other for ever."""
    _, animals = world
    for change in (
        lambda: _put_aside(animals[0][0]),
        lambda: detection_annotate(acting_user=None, detections=[animals[1][0]], usable=False),
        lambda: detection_annotate(acting_user=None, detections=[animals[1][1]], flank="left"),
    ):
        with CaptureQueriesContext(connection) as queries:
            change()
        said = [query["sql"] for query in queries]
        held = next(i for i, sql in enumerate(said) if 'FROM "identification_survey"' in sql and "NO KEY" in sql)
        gone = [i for i, sql in enumerate(said) if sql.startswith('DELETE FROM "identification_candidate"')]
        boxes = [i for i, sql in enumerate(said) if 'FROM "identification_detection"' in sql and "FOR " in sql]
        assert gone and all(held < i for i in gone)
        assert boxes and all(i < held for i in boxes)


def test_what_is_in_a_confirmed_match_is_refused_all_or_nothing(world: World) -> None:
    survey, animals = world
    make.match(None, animals[0][0], animals[0][1])
    before = _state(survey)
    with pytest.raises(SpotIDError, match="confirmed matches"):
        _put_aside(animals[0][0], animals[1][0])
    assert _state(survey) == before
    individual_declare(acting_user=None, detection=animals[1][2])
    with pytest.raises(SpotIDError, match="confirmed matches"):
        _put_aside(animals[1][2])


def test_with_a_yes_a_matched_box_is_left_out_and_its_decisions_stand(world: World) -> None:
    survey, animals = world
    make.match(None, animals[0][0], animals[0][1])
    edges = list(MatchEdge.objects.values_list("a", "b", "verdict"))
    before = _state(survey)
    entry = _put_aside(animals[0][0], with_matched=True)
    assert list(MatchEdge.objects.values_list("a", "b", "verdict")) == edges
    assert Individual.objects.filter(retired=False).count() == 1
    triage_undo(acting_user=None, entry=entry)
    assert _state(survey) == before


def test_what_is_put_aside_cannot_be_matched_or_declared(world: World) -> None:
    _, animals = world
    _put_aside(animals[0][0])
    animals[0][0].refresh_from_db()
    with pytest.raises(Incomparable):
        make.match(None, animals[0][0], animals[0][1])
    with pytest.raises(SpotIDError):
        individual_declare(acting_user=None, detection=animals[0][0])


def test_only_animals_and_known_answers(world: World) -> None:
    survey, animals = world
    person = make.make_detection(make.make_image(survey, has_person=True), category="person")
    with pytest.raises(SpotIDError, match="Only animals"):
        _put_aside(person)
    with pytest.raises(SpotIDError, match="no answer"):
        detections_triage(acting_user=None, detections=animals[0], triage="maybe")


def test_restoring_catches_up_on_what_was_not_encoded(world: World, tiny_model) -> None:
    survey, animals = world
    whole, bare = animals[0][0], animals[0][1]
    for box in Detection.objects.exclude(pk=bare.pk):
        Embedding.objects.create(detection=box, model=tiny_model, vector=[1.0] + [0.0] * 15)
        LocalFeatureSet.objects.create(detection=box, version="v", count=1, data=b"a")
    entry = _put_aside(whole, bare)
    Survey.objects.filter(pk=survey.pk).update(matching_state="done")
    triage_undo(acting_user=None, entry=entry)
    assert Work.objects.get(pk=whole.image_id).state == "done"
    assert Work.objects.get(pk=bare.image_id).state == "pending"
    assert Survey.objects.get(pk=survey.pk).matching_state == "stale"


def test_a_box_put_aside_is_not_encoded_again_and_keeps_what_it_has(world: World, tiny_model) -> None:
    _, animals = world
    aside, taking_part = animals[0][:2]
    for box in (aside, taking_part):
        LocalFeatureSet.objects.create(detection=box, version="old", count=1, data=b"a")
    _put_aside(aside)
    for box in (aside, taking_part):
        work_requeue(images=[box.image])
        claim = work_claim(image_id=box.image_id)
        assert claim is not None
        context = stages.PhotoContext(box.image, [Detection.objects.get(pk=box.pk)])
        stages.embed(claim, context)
        stages.features(claim, context)
    assert not aside.embeddings.exists() and aside.local_features.get().version == "old"
    assert taking_part.embeddings.exists() and taking_part.local_features.get().version != "old"


def _score(animals: list[list[Detection]], *scores: float) -> None:
    for box, score in zip([box for animal in animals for box in animal], scores, strict=False):
        Detection.objects.filter(pk=box.pk).update(triage_score=score)


def test_a_threshold_puts_aside_exactly_what_was_looked_at(world: World) -> None:
    survey, animals = world
    _score(animals, 0.05, 0.1, 0.19, 0.2, 0.9)
    TriageRun.objects.create(survey=survey, version=3, requested=1, served=1, learned=True)
    make.match(None, animals[0][0], animals[1][2])
    counts, scored = counts_below(survey)
    assert scored == 4 and (counts[5], counts[10], counts[11], counts[20], counts[21], counts[100]) == (
        0,
        0,
        1,
        2,
        3,
        4,
    )
    assert [box.pk for box in below_threshold(survey, 0.2)] == [animals[0][1].pk, animals[0][2].pk]
    for version, expected, words in ((2, 2, "computed anew"), (3, 1, "in the meantime")):
        with pytest.raises(SpotIDError, match=words):
            triage_below(acting_user=None, survey=survey, threshold=0.2, version=version, expected=expected)
    assert not Detection.objects.filter(triage=Triage.OTHER).exists()
    done = triage_below(acting_user=None, survey=survey, threshold=0.2, version=3, expected=2)
    assert done.changed == 2
    assert set(Detection.objects.filter(triage=Triage.OTHER)) == set(animals[0][1:])


@pytest.mark.parametrize("percent", range(0, 101, 7))
def test_counts_and_the_bulk_action_agree_at_every_step(world: World, percent: int) -> None:
    survey, animals = world
    _score(animals, 0.07, 0.28, 0.29, 0.56, 0.57, 1.0)
    assert counts_below(survey)[0][percent] == below_threshold(survey, percent / 100).count()


def test_an_import_that_says_another_species_puts_aside_what_nobody_spoke_for(world: World) -> None:
    survey, animals = world
    named, ours, said, matched, common = (*animals[0], *animals[1][:2])
    make.match(None, matched, animals[1][2])
    for box, name in (
        (named, "Axis axis"),
        (ours, "panthera pardus fusca"),
        (said, "Axis axis"),
        (matched, "Axis axis"),
    ):
        Detection.objects.filter(pk=box.pk).update(species=name)
    Detection.objects.filter(pk=common.pk).update(species="spotted deer")
    detections_triage(acting_user=None, detections=[said], triage=Triage.UNDECIDED)
    assert triage_names_apply(survey=survey) == 0  # the population has no species yet
    population_update(acting_user=None, population=survey.population, species="Panthera pardus")
    assert list(Detection.objects.filter(triage=Triage.OTHER)) == [named]
    assert not Detection.objects.get(pk=named.pk).triage_by_person
    population_update(acting_user=None, population=survey.population, species="Axis axis")
    assert list(Detection.objects.filter(triage=Triage.OTHER)) == [ours]


def test_a_name_that_is_corrected_brings_a_box_back_and_a_persons_word_stands(world: World) -> None:
    survey, animals = world
    population_update(acting_user=None, population=survey.population, species="Panthera pardus")
    first, second = animals[0][:2]
    detection_annotate(acting_user=None, detections=[first, second], species="Sus scrofa")
    assert set(Detection.objects.filter(triage=Triage.OTHER)) == {first, second}
    _put_aside(second)
    detection_annotate(acting_user=None, detections=[first, second], species="")
    assert list(Detection.objects.filter(triage=Triage.OTHER)) == [second]


def test_reviewers_see_their_own_to_take_back_and_curators_all(world: World) -> None:
    survey, animals = world
    reviewer, curator = make.make_member(survey, Role.REVIEWER), make.make_member(survey, Role.CURATOR)
    for user, box in ((reviewer, animals[0][0]), (curator, animals[0][1])):
        detections_triage(acting_user=user, detections=[box], triage=Triage.OTHER)
    assert [done.may_undo for done in done_lately(user=reviewer, survey=survey)] == [False, True]
    assert all(done.may_undo for done in done_lately(user=curator, survey=survey))
    triage_undo(acting_user=curator, entry=done_lately(user=curator, survey=survey)[0].entry)
    assert len(done_lately(user=curator, survey=survey)) == 1


def test_matched_boxes_are_those_with_a_match_or_an_individual(world: World) -> None:
    survey, animals = world
    make.match(None, animals[0][0], animals[0][1])
    make.match(None, animals[1][0], animals[1][1], "no_match")
    free = set(unmatched(Detection.objects.filter(image__survey=survey)))
    assert free == {animals[0][2], *animals[1]}
