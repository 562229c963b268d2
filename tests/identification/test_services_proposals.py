"""Proposals of time and place: made, confirmed, dismissed and taken back, and nothing before a person says so."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection

from identification.errors import SpotIDError, UndoRefused
from identification.exports.snapshot import survey_snapshot
from identification.models import (
    AuditEntry,
    Decision,
    Detection,
    DetectionSource,
    Image,
    Individual,
    LinkProposal,
    MatchEdge,
    Survey,
    Triage,
    Verdict,
)
from identification.selectors.graph import component_of
from identification.selectors.proposals import proposals_open
from identification.services.decisions import decision_undo
from identification.services.proposals import (
    proposal_confirm,
    proposal_dismiss,
    proposal_reopen,
    proposals_confirm,
    proposals_dismiss,
    proposals_refresh,
    proposals_undo_last,
)
from tests.identification import factories as make
from tests.identification.factories import START, match

pytestmark = pytest.mark.django_db

State = LinkProposal.State


def photo(survey: Survey, second: float, camera: str = "A", place: str = "ST01", **values) -> Detection:
    """A photo with one animal, `second` seconds after START."""
    box = {
        name: values.pop(name) for name in ("flank", "usable", "source", "triage", "flank_by_person") if name in values
    }
    at = START + timedelta(seconds=second)
    station = make.make_station(survey, place)
    image = make.make_image(survey, station=station, camera=camera, captured_at=at, files=False, **values)
    return make.make_detection(image, files=False, **{"flank": "unknown", **box})


@pytest.fixture
def survey() -> Survey:
    return make.make_survey()


@pytest.fixture
def reviewer():
    return make.make_user("reviewer")


def groups(survey: Survey, state: str = State.OPEN) -> list[tuple[str, list[int]]]:
    rows = LinkProposal.objects.filter(survey=survey, state=state).order_by("started_at", "pk")
    return [(row.kind, sorted(row.detections.values_list("pk", flat=True))) for row in rows]


def visit(survey: Survey, start: float = 0, place: str = "ST01") -> list[Detection]:
    """Two photos of camera A and two of camera B that an animal triggered."""
    cameras = ((0, "A"), (2, "A"), (3, "B"), (5, "B"))
    return [photo(survey, start + second, camera, place) for second, camera in cameras]


def test_a_survey_without_photos_has_nothing_to_propose(survey) -> None:
    outcome = proposals_refresh(survey=survey)
    assert (outcome.made, outcome.gone, outcome.open) == (0, 0, 0)


def test_refreshing_again_changes_nothing(survey) -> None:
    ids = [row.pk for row in visit(survey)]
    burst = [photo(survey, 600).pk, photo(survey, 650).pk]
    assert proposals_refresh(survey=survey).made == 2
    before = list(LinkProposal.objects.values_list("pk", "key", "started_at", "seconds"))
    outcome = proposals_refresh(survey=survey)
    assert (outcome.made, outcome.gone, outcome.open) == (0, 0, 2)
    assert list(LinkProposal.objects.values_list("pk", "key", "started_at", "seconds")) == before
    assert groups(survey) == [("paired_cameras", ids), ("same_event", burst)]
    assert [row.seconds for row in LinkProposal.objects.all()] == [5, 50]


def test_nothing_joins_counts_or_is_exported_before_a_person_confirms(survey) -> None:
    rows = visit(survey)
    proposals_refresh(survey=survey)
    assert not MatchEdge.objects.exists() and not Decision.objects.exists() and not Individual.objects.exists()
    assert survey_snapshot(survey).sightings == ()
    assert component_of([rows[0].pk]) == {rows[0].pk}
    proposal_confirm(acting_user=None, proposal=LinkProposal.objects.get())
    assert len(survey_snapshot(survey).sightings) == 4 and Individual.objects.count() == 1


def test_what_takes_part(survey) -> None:
    """Without time, station or animal, as another species, unreadable, or as a whole frame that nobody looked into."""
    lone = photo(survey, 0)
    for values in (
        {"captured_at": None},
        {"usable": False},
        {"triage": Triage.OTHER},
        {"source": DetectionSource.WHOLE_FRAME},
    ):
        at = {"captured_at": START + timedelta(seconds=5)} | {k: v for k, v in values.items() if k == "captured_at"}
        image = make.make_image(survey, station=lone.image.station, files=False, **at)
        make.make_detection(image, files=False, **{k: v for k, v in values.items() if k != "captured_at"})
    loose = make.make_image(survey, captured_at=START + timedelta(seconds=6), files=False)
    make.make_detection(loose, files=False)
    proposals_refresh(survey=survey)
    assert groups(survey) == []


def test_a_person_or_another_species_in_view_changes_nothing_and_a_second_animal_does(survey) -> None:
    first, second = photo(survey, 0), photo(survey, 10)
    place = {"files": False, "box": (0, 0, 50, 50)}
    make.make_detection(second.image, category="person", **place)
    deer = make.make_detection(second.image, triage=Triage.OTHER, **{**place, "box": (60, 0, 90, 50)})
    proposals_refresh(survey=survey)
    assert groups(survey) == [("same_event", [first.pk, second.pk])]
    Detection.objects.filter(pk=deer.pk).update(triage="", usable=False)
    proposals_refresh(survey=survey)
    assert groups(survey) == [], "an animal that cannot be read is an animal all the same"


def test_a_photo_that_nothing_has_looked_at_ends_a_burst(survey) -> None:
    photo(survey, 0)
    photo(survey, 20)
    waiting = photo(survey, 10)
    Image.objects.filter(pk=waiting.image_id).update(detector="")
    proposals_refresh(survey=survey)
    assert groups(survey) == []


def test_finished_crops_whose_names_give_place_and_time_take_part() -> None:
    survey = make.make_survey(crops_only=True)
    rows = [photo(survey, second, source=DetectionSource.CROP) for second in (0, 10, 20, 20, 30, 40)]
    proposals_refresh(survey=survey)
    ids = [row.pk for row in rows]
    assert groups(survey) == [("same_event", ids[:2]), ("same_event", ids[4:])], (
        "two crops of one second may be one photo"
    )


def test_a_group_that_changed_is_replaced_and_a_moved_one_follows(survey) -> None:
    first, second = photo(survey, 0), photo(survey, 10)
    proposals_refresh(survey=survey)
    third = photo(survey, 20)
    outcome = proposals_refresh(survey=survey)
    assert (outcome.made, outcome.gone) == (1, 1)
    assert groups(survey) == [("same_event", [first.pk, second.pk, third.pk])]
    key = LinkProposal.objects.get().key
    Image.objects.filter(survey=survey).update(captured_at=START + timedelta(days=1))
    proposals_refresh(survey=survey)
    moved = LinkProposal.objects.get()
    assert (moved.key, moved.started_at, moved.seconds) == (key, START + timedelta(days=1), 0)


def test_refreshing_some_stations_leaves_the_others_alone(survey) -> None:
    here = [photo(survey, 0), photo(survey, 5)]
    there = [photo(survey, 0, place="ST02"), photo(survey, 5, place="ST02")]
    proposals_refresh(survey=survey)
    Detection.objects.filter(pk__in=[here[0].pk, there[0].pk]).update(usable=False)
    proposals_refresh(survey=survey, stations={here[0].image.station_id})
    assert groups(survey) == [("same_event", [row.pk for row in there])]


def test_confirming_joins_by_neighbours_with_its_own_provenance(survey, reviewer) -> None:
    a1, a2, b1, b2 = visit(survey)
    proposals_refresh(survey=survey)
    decisions = proposal_confirm(acting_user=reviewer, proposal=LinkProposal.objects.get())
    edges = {(e.a_id, e.b_id): e.provenance for e in MatchEdge.objects.all()}
    assert edges == {(a1.pk, a2.pk): "same_event", (b1.pk, b2.pk): "same_event", (a2.pk, b1.pk): "paired_cameras"}
    assert len({d.batch for d in decisions}) == 1 and {d.acting_user for d in decisions} == {reviewer}
    proposal = LinkProposal.objects.get()
    assert (proposal.state, proposal.decided_by) == (State.CONFIRMED, reviewer)
    entry = AuditEntry.objects.get(action="proposal.confirm")
    assert entry.acting_user == reviewer and entry.after["matches"] == 3
    assert proposals_open(survey) == []


def test_what_follows_already_is_not_written_again(survey, reviewer) -> None:
    a1, a2, b1, b2 = visit(survey)
    match(None, a1, a2)
    match(None, a1, b2)
    proposals_refresh(survey=survey)
    assert len(proposals_open(survey)) == 1
    decisions = proposal_confirm(acting_user=reviewer, proposal=LinkProposal.objects.get())
    assert [(d.edge.a_id, d.edge.b_id) for d in decisions] == [(a2.pk, b1.pk)]


def test_a_group_that_is_joined_already_asks_nothing(survey) -> None:
    first, second = photo(survey, 0), photo(survey, 5)
    proposals_refresh(survey=survey)
    decision = match(None, first, second)
    assert proposals_open(survey) == []
    decision_undo(acting_user=None, decision=decision)
    assert len(proposals_open(survey)) == 1


def test_facing_cameras_join_a_left_and_a_right_flank_that_people_named(survey, reviewer) -> None:
    photo(survey, 0, flank="left", flank_by_person=True)
    photo(survey, 3, "B", flank="right", flank_by_person=True)
    photo(survey, 500, flank="left", flank_by_person=True)
    photo(survey, 510, flank="right", flank_by_person=True)
    proposals_refresh(survey=survey)
    answered = proposals_confirm(acting_user=reviewer, chosen=[(row, None) for row in LinkProposal.objects.all()])
    assert (len(answered.done), answered.matches, answered.refused) == (2, 2, [])


def test_photos_can_be_left_out_and_bursts_among_them_are_proposed(
    survey, reviewer, django_capture_on_commit_callbacks
) -> None:
    a1, a2, b1, b2 = visit(survey)
    proposals_refresh(survey=survey)
    with django_capture_on_commit_callbacks(execute=True):
        proposal_confirm(acting_user=reviewer, proposal=LinkProposal.objects.get(), detections=[a1.pk, a2.pk])
    assert {(e.a_id, e.b_id) for e in MatchEdge.objects.all()} == {(a1.pk, a2.pk)}
    assert groups(survey) == [("same_event", [b1.pk, b2.pk])]
    assert proposals_refresh(survey=survey).made == 0


def test_too_few_or_foreign_photos_are_refused(survey, reviewer) -> None:
    a1, *_ = visit(survey)
    other = photo(survey, 5000)
    proposals_refresh(survey=survey)
    proposal = LinkProposal.objects.get()
    for chosen in ([], [a1.pk], [a1.pk, other.pk], [a1.pk, 10**9]):
        with pytest.raises(SpotIDError):
            proposal_confirm(acting_user=reviewer, proposal=proposal, detections=chosen)
    Detection.objects.filter(pk=a1.pk).update(usable=False)
    with pytest.raises(SpotIDError, match="set aside"):
        proposal_confirm(acting_user=reviewer, proposal=proposal)
    assert not MatchEdge.objects.exists() and not AuditEntry.objects.exists()


def test_a_dismissed_group_is_never_made_again_and_a_visit_falls_into_its_bursts(
    survey, reviewer, django_capture_on_commit_callbacks
) -> None:
    a1, a2, b1, b2 = visit(survey)
    proposals_refresh(survey=survey)
    with django_capture_on_commit_callbacks(execute=True):
        proposal_dismiss(acting_user=reviewer, proposal=LinkProposal.objects.get())
    assert groups(survey) == [("same_event", [a1.pk, a2.pk]), ("same_event", [b1.pk, b2.pk])]
    with django_capture_on_commit_callbacks(execute=True):
        answered = proposals_dismiss(acting_user=reviewer, proposals=LinkProposal.objects.filter(state=State.OPEN))
    assert len(answered.done) == 2
    assert proposals_refresh(survey=survey) == type(proposals_refresh(survey=survey))(0, 0, 0)
    assert not Decision.objects.exists(), "that it cannot be told refuses nothing"
    assert AuditEntry.objects.filter(action="proposal.dismiss").count() == 3


def test_taking_an_answer_back_restores_graph_individuals_and_proposals_exactly(
    survey, reviewer, django_capture_on_commit_callbacks
) -> None:
    a1, a2, _, b2 = visit(survey)
    match(None, a1, b2)
    proposals_refresh(survey=survey)
    proposal = LinkProposal.objects.get()

    def state() -> tuple:
        return (
            dict(Detection.objects.values_list("pk", "individual__number")),
            sorted(MatchEdge.objects.exclude(verdict="").values_list("a_id", "b_id", "verdict")),
            groups(survey),
        )

    before = state()
    with django_capture_on_commit_callbacks(execute=True):
        proposal_confirm(acting_user=reviewer, proposal=proposal, detections=[a1.pk, a2.pk])
    assert state() != before
    with django_capture_on_commit_callbacks(execute=True):
        assert proposal_reopen(acting_user=reviewer, proposal=proposal) == 1
    assert state() == before
    with pytest.raises(UndoRefused):
        proposal_reopen(acting_user=reviewer, proposal=proposal)


def test_decisions_of_others_stay_when_an_answer_is_taken_back(survey, reviewer) -> None:
    first, second, third = photo(survey, 0), photo(survey, 5), photo(survey, 10)
    proposals_refresh(survey=survey)
    proposal = LinkProposal.objects.get()
    made = proposal_confirm(acting_user=reviewer, proposal=proposal)
    decision_undo(acting_user=reviewer, decision=made[0])
    match(None, first, third)
    assert proposal_reopen(acting_user=reviewer, proposal=proposal) == 1
    assert [(e.a_id, e.b_id) for e in MatchEdge.objects.exclude(verdict="")] == [(first.pk, third.pk)]
    assert second.pk not in component_of([first.pk])


def test_an_answer_is_its_persons_or_a_curators_to_take_back(survey, reviewer) -> None:
    visit(survey)
    proposals_refresh(survey=survey)
    proposal = LinkProposal.objects.get()
    proposal_confirm(acting_user=reviewer, proposal=proposal)
    curator = make.make_user("curator")
    with pytest.raises(UndoRefused, match="somebody else"):
        proposal_reopen(acting_user=curator, proposal=proposal)
    assert proposal_reopen(acting_user=curator, proposal=proposal, any_user=True) == 3


def test_a_contradiction_stops_its_own_group_and_no_other(survey, reviewer) -> None:
    """a1, a2, a3 in a burst; a2 and a3 were refused. Nothing of that group is written, not even a1 with a2."""
    burst = [photo(survey, second) for second in (0, 5, 10)]
    match(None, burst[1], burst[2], Verdict.NO_MATCH)
    other = [photo(survey, second) for second in (1000, 1005)]
    proposals_refresh(survey=survey)
    rows = list(LinkProposal.objects.order_by("started_at"))
    answered = proposals_confirm(acting_user=reviewer, chosen=[(row, None) for row in rows])
    assert [row.pk for row in answered.done] == [rows[1].pk]
    assert [row.pk for row, _ in answered.refused] == [rows[0].pk]
    assert {(e.a_id, e.b_id) for e in MatchEdge.objects.filter(verdict="match")} == {(other[0].pk, other[1].pk)}
    assert LinkProposal.objects.get(pk=rows[0].pk).state == State.OPEN
    answered = proposals_confirm(acting_user=reviewer, chosen=[(rows[0], [burst[0].pk, burst[1].pk])])
    assert answered.matches == 1


def test_what_was_answered_or_changed_meanwhile_is_refused(survey, reviewer) -> None:
    visit(survey)
    proposals_refresh(survey=survey)
    proposal = LinkProposal.objects.get()
    proposal_confirm(acting_user=reviewer, proposal=proposal)
    with pytest.raises(SpotIDError, match="answered meanwhile"):
        proposal_dismiss(acting_user=reviewer, proposal=proposal)
    proposal_reopen(acting_user=reviewer, proposal=proposal)
    LinkProposal.objects.get().delete()
    answered = proposals_dismiss(acting_user=reviewer, proposals=[proposal])
    assert answered.done == [] and "no longer" in str(answered.refused[0][1])


def test_the_last_glance_is_taken_back_as_a_whole(survey, reviewer) -> None:
    for start in (0, 1000, 2000):
        visit(survey, start)
    proposals_refresh(survey=survey)
    first, *rest = LinkProposal.objects.order_by("started_at")
    proposals_confirm(acting_user=reviewer, chosen=[(first, None)])
    proposals_confirm(acting_user=reviewer, chosen=[(row, None) for row in rest])
    assert proposals_undo_last(acting_user=reviewer, survey=survey) == (2, 6)
    assert LinkProposal.objects.get(state=State.CONFIRMED) == first
    assert proposals_undo_last(acting_user=reviewer, survey=survey) == (1, 3)
    with pytest.raises(UndoRefused):
        proposals_undo_last(acting_user=reviewer, survey=survey)
    assert not MatchEdge.objects.exclude(verdict="").exists() and not Individual.objects.filter(retired=False).exists()


@pytest.mark.django_db(transaction=True)
def test_two_people_who_confirm_at_once_write_one_set_of_decisions() -> None:
    survey = make.make_survey()
    visit(survey)
    proposals_refresh(survey=survey)
    proposal = LinkProposal.objects.get()
    people = [make.make_user(name) for name in ("anna", "ben")]
    outcomes: list[str] = []
    ready = threading.Barrier(2)

    def confirm(person) -> None:
        try:
            ready.wait(timeout=30)
            proposal_confirm(acting_user=person, proposal=proposal)
            outcomes.append("done")
        except SpotIDError:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=confirm, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["done", "refused"]
    assert Decision.objects.count() == 3
