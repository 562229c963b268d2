"""What people say in the admin goes through the services, is audited, and is asked again where it merges."""

import itertools
import re

import pytest
from django.urls import reverse
from django.utils.translation import override

from identification.admin.pairs import MatchEdgeForm
from identification.admin.work import STATE_LABELS
from identification.errors import StaleEdge
from identification.models import AuditEntry, Decision, Detection, Individual, MatchEdge, Work
from identification.services.decisions import decision_record, decision_undo
from identification.services.individuals import individual_declare
from tests.identification import factories
from tests.identification.admin_client import act, errors, form, sightings
from tests.identification.factories import make_candidate, make_sighting, make_survey, make_user
from tests.identification.pseudo import speak_in_brackets

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick_pictures(monkeypatch):
    crops, frame = factories.crop_files(0, 0), factories.frame_pixels(0)
    monkeypatch.setattr(factories, "crop_files", lambda coat, view: crops)
    monkeypatch.setattr(factories, "frame_pixels", lambda number: frame)


@pytest.fixture
def administrator(client):
    user = make_user("boss", superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def survey(administrator):
    return make_survey(name="Valley 2024")


class TestAnnotation:
    def test_flank_of_many_is_set_by_a_person_and_audited(self, client, administrator, survey):
        rows = sightings(survey, 3)
        act(client, "detection", "flank_left", rows)
        assert set(Detection.objects.values_list("flank", "flank_by_person")) == {("left", True)}
        entries = AuditEntry.objects.filter(action="detection.annotate")
        assert {entry.acting_user for entry in entries} == {administrator}
        assert sorted(entry.object_id for entry in entries) == [row.pk for row in rows]

    def test_annotating_many_asks_what_to_say_first(self, client, survey):
        rows = sightings(survey, 2)
        page = act(client, "detection", "annotate", rows)
        assert "Annotate 2 boxes" in page.content.decode()
        assert not AuditEntry.objects.filter(action="detection.annotate").exists()
        nothing = act(client, "detection", "annotate", rows, confirmed="yes")
        assert "at least one thing" in nothing.content.decode()
        act(
            client, "detection", "annotate", rows, confirmed="yes", species="Panthera pardus", usable="no",
            unusable_reason="only the tail",
        )  # fmt: skip
        assert set(Detection.objects.values_list("species", "usable", "unusable_reason", "flank")) == {
            ("Panthera pardus", False, "only the tail", "right")
        }

    def test_one_box_is_annotated_in_its_form(self, client, administrator, survey):
        (row,) = sightings(survey, 1)
        assert form(client, "detection", row, flank="left", species="Panthera onca").status_code == 302
        row.refresh_from_db()
        assert (row.flank, row.flank_by_person, row.species) == ("left", True, "Panthera onca")
        entry = AuditEntry.objects.get(action="detection.annotate")
        assert entry.after == {"flank": "left", "species": "Panthera onca"}

    def test_a_form_that_changes_nothing_writes_nothing(self, client, survey):
        row = factories.make_detection(factories.make_image(survey), box=(10 / 3, 20 / 3, 400 / 3, 500 / 3))
        assert form(client, "detection", row).status_code == 302
        assert not AuditEntry.objects.exists()

    def test_a_corrected_box_is_processed_again_and_audited(self, client, administrator, survey):
        (row,) = sightings(survey, 1)
        assert form(client, "detection", row, x1=10, y1=20, x2=300, y2=200).status_code == 302
        row.refresh_from_db()
        assert (row.x1, row.y1, row.x2, row.y2, row.source) == (10, 20, 300, 200, "drawn")
        assert AuditEntry.objects.get(action="detection.redraw").acting_user == administrator
        assert Work.objects.get(image=row.image).state == "pending"

    def test_a_box_without_area_is_refused_in_the_form(self, client, survey):
        (row,) = sightings(survey, 1)
        response = form(client, "detection", row, x2=row.x1 + 1)
        assert "at least 8 pixels" in str(errors(response))
        assert not AuditEntry.objects.exists()

    def test_a_box_is_added_to_a_photo(self, client, administrator, survey):
        (row,) = sightings(survey, 1)
        assert form(client, "image", row.image, new_box="5, 5, 60, 60").status_code == 302
        assert row.image.detections.filter(source="drawn", x1=5).count() == 1
        assert AuditEntry.objects.get(action="detection.draw").acting_user == administrator
        assert "Four numbers" in str(errors(form(client, "image", row.image, new_box="5, 5")))


class TestIndividuals:
    def test_chosen_photos_become_one_animal_after_a_confirmation(self, client, administrator, survey):
        rows = sightings(survey, 3)
        page = act(client, "detection", "same_animal", rows)
        assert "2 pairs will be decided" in page.content.decode()
        assert not Decision.objects.exists() and not Individual.objects.exists()
        act(client, "detection", "same_animal", rows, confirmed="yes")
        assert set(Decision.objects.values_list("acting_user", "verdict")) == {(administrator.pk, "match")}
        assert Individual.objects.get().detections.count() == 3
        assert all(decision.anchor_id for decision in Decision.objects.all())

    def test_a_merge_is_announced_with_names(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        for row in (first, second):
            individual_declare(acting_user=administrator, detection=row)
        page = act(client, "detection", "same_animal", [first, second]).content.decode()
        assert "merges individuals: L-0002 will be part of L-0001" in page

    def test_a_contradiction_is_shown_and_needs_its_own_yes(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        decision_record(acting_user=administrator, first=first, second=second, verdict="no_match")
        third = make_sighting(survey)
        decision_record(acting_user=administrator, first=first, second=third, verdict="match")
        page = act(client, "detection", "same_animal", [second, third]).content.decode()
        assert "different animals" in page and "confirm_contradiction" in page
        act(client, "detection", "same_animal", [second, third], confirmed="yes")
        assert Decision.objects.filter(verdict="match").count() == 1
        act(client, "detection", "same_animal", [second, third], confirmed="yes", confirm_contradiction="on")
        assert Decision.objects.filter(verdict="match").count() == 2

    def test_two_animals_of_one_photo_cannot_be_one(self, client, survey):
        (row,) = sightings(survey, 1)
        beside = factories.make_detection(row.image, box=(5, 5, 90, 90))
        page = act(client, "detection", "same_animal", [row, beside]).content.decode()
        assert "two animals on one photo" in page
        assert not Decision.objects.exists()

    def test_all_pairs_of_different_animals_are_refused(self, client, survey):
        rows = sightings(survey, 3)
        act(client, "detection", "different_animals", rows, confirmed="yes")
        assert list(MatchEdge.objects.values_list("verdict", flat=True)) == ["no_match"] * 3

    def test_declaring_and_taking_it_back_are_audited(self, client, administrator, survey):
        rows = sightings(survey, 2)
        act(client, "detection", "declare", rows)
        assert Individual.objects.filter(declared=True, retired=False).count() == 2
        act(client, "detection", "undeclare", rows)
        assert Individual.objects.filter(retired=False).count() == 0
        assert set(AuditEntry.objects.values_list("action", "acting_user")) == {
            ("individual.declare", administrator.pk), ("individual.undeclare", administrator.pk),
        }  # fmt: skip

    def test_a_photo_is_moved_to_another_individual_by_decisions(self, client, administrator, survey):
        first, second, third = sightings(survey, 3)
        decision_record(acting_user=make_user("x"), first=first, second=second, verdict="match")
        target = individual_declare(acting_user=administrator, detection=third)
        assert form(client, "detection", second, individual=target.pk).status_code == 302
        second.refresh_from_db()
        first.refresh_from_db()
        assert second.individual == target and first.individual is None
        assert MatchEdge.objects.get(a=first, b=second).verdict == ""
        assert MatchEdge.objects.get(a=second, b=third).verdict == "match"

    def test_a_photo_is_taken_out_of_its_individual(self, client, administrator, survey):
        rows = sightings(survey, 3)
        act(client, "detection", "same_animal", rows, confirmed="yes")
        assert form(client, "detection", rows[2], individual="").status_code == 302
        assert [Detection.objects.get(pk=row.pk).individual_id is None for row in rows] == [False, False, True]
        act(client, "detection", "detach", rows[:1])
        assert Individual.objects.filter(retired=False).count() == 1
        act(client, "detection", "detach", rows[:1], confirmed="yes")
        assert Individual.objects.filter(retired=False).count() == 0

    def test_a_move_that_contradicts_is_refused_in_the_form_and_can_be_confirmed(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        target = individual_declare(acting_user=administrator, detection=first)
        decision_record(acting_user=administrator, first=first, second=second, verdict="no_match")
        third = make_sighting(survey)
        decision_record(acting_user=administrator, first=second, second=third, verdict="match")
        make_candidate(third, first)
        response = form(client, "detection", third, individual=target.pk)
        assert response.status_code == 302, "the match with the refused one is taken back, so nothing contradicts"
        response = form(client, "detection", second, individual=target.pk, confirm_contradiction="on")
        assert response.status_code == 302

    def test_rename_notes_and_declaration_in_the_form(self, client, administrator, survey):
        rows = sightings(survey, 2)
        act(client, "detection", "same_animal", rows, confirmed="yes")
        individual = Individual.objects.get()
        said = {"name": "Asha", "sex": "male", "notes": "limps", "declared": "on"}
        assert form(client, "individual", individual, **said).status_code == 302
        individual.refresh_from_db()
        assert (individual.name, individual.notes, individual.declared) == ("Asha", "limps", True)
        assert (individual.sex, individual.age_class) == ("male", "")
        done = set(AuditEntry.objects.values_list("action", flat=True))
        assert done == {"individual.rename", "individual.describe", "individual.note", "individual.declare"}
        form(client, "individual", individual, declared=None)
        individual.refresh_from_db()
        assert individual.declared is False

    def test_individuals_are_merged_after_a_confirmation_and_can_be_split_again(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        chosen = [individual_declare(acting_user=administrator, detection=row) for row in (first, second)]
        page = act(client, "individual", "merge", chosen).content.decode()
        assert "will be part of" in page and not Decision.objects.exists()
        act(client, "individual", "merge", chosen, confirmed="yes")
        assert Individual.objects.filter(retired=False).count() == 1
        act(client, "decision", "take_back", Decision.objects.all())
        assert Individual.objects.filter(retired=False).count() == 2


class TestPairs:
    def test_candidates_are_decided_in_bulk(self, client, administrator, survey):
        first, second, third = sightings(survey, 3)
        rows = [make_candidate(first, second), make_candidate(first, third, rank=2)]
        act(client, "candidate", "no_match", rows)
        assert (
            list(Decision.objects.values_list("verdict", "acting_user", "anchor"))
            == [("no_match", administrator.pk, first.pk)] * 2
        )
        act(client, "candidate", "match", rows[:1])
        assert Individual.objects.get().detections.count() == 2

    def test_a_match_that_merges_individuals_asks_first(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        for row in (first, second):
            individual_declare(acting_user=administrator, detection=row)
        rows = [make_candidate(first, second)]
        assert "This merges individuals" in act(client, "candidate", "match", rows).content.decode()
        assert not Decision.objects.exists()
        act(client, "candidate", "match", rows, confirmed="yes")
        assert Individual.objects.filter(retired=False).count() == 1

    def test_a_verdict_is_changed_and_taken_back_in_the_form(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        edge = decision_record(acting_user=make_user("x"), first=first, second=second, verdict="unsure").edge
        assert form(client, "matchedge", edge, verdict="match", note="the tail").status_code == 302
        edge.refresh_from_db()
        assert (edge.verdict, Decision.objects.latest("id").note) == ("match", "the tail")
        assert form(client, "matchedge", edge, verdict="").status_code == 302
        edge.refresh_from_db()
        assert edge.verdict == "unsure"

    def test_a_verdict_on_a_pair_that_was_decided_meanwhile_is_refused(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        edge = decision_record(acting_user=administrator, first=first, second=second, verdict="unsure").edge
        response = form(client, "matchedge", edge, verdict="match", version_seen=0)
        assert "in the meantime" in str(errors(response))

    def test_a_contradicting_verdict_is_refused_until_it_is_confirmed(self, client, administrator, survey):
        first, second, third = sightings(survey, 3)
        for a, b in ((first, second), (second, third)):
            decision_record(acting_user=administrator, first=a, second=b, verdict="match")
        edge = MatchEdge.objects.create(a=first, b=third)
        response = form(client, "matchedge", edge, verdict="no_match")
        assert "Earlier matches connect" in str(errors(response))
        assert form(client, "matchedge", edge, verdict="no_match", confirm_contradiction="on").status_code == 302
        assert MatchEdge.objects.get(pk=edge.pk).verdict == "no_match"

    def test_a_pair_is_added(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        address = reverse("admin:identification_matchedge_add")
        response = client.post(address, {"a": second.pk, "b": first.pk, "verdict": "match", "note": ""})
        assert response.status_code == 302
        edge = MatchEdge.objects.get()
        assert (edge.a, edge.b, edge.verdict) == (first, second, "match")

    def test_standing_decisions_are_taken_back_in_bulk(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        edge = decision_record(acting_user=make_user("x"), first=first, second=second, verdict="match").edge
        act(client, "matchedge", "take_back", [edge])
        edge.refresh_from_db()
        assert edge.verdict == "" and not Individual.objects.filter(retired=False).exists()

    def test_an_undo_in_the_form_spares_a_newer_decision(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        edge = decision_record(acting_user=administrator, first=first, second=second, verdict="match").edge
        decision_record(acting_user=make_user("x"), first=first, second=second, verdict="no_match")
        response = form(client, "matchedge", edge, verdict="", version_seen=edge.version)
        assert "in the meantime" in str(errors(response))
        assert MatchEdge.objects.get().verdict == "no_match"

    @pytest.mark.parametrize("action", ["take_back", "match", "unsure"])
    def test_actions_on_a_list_that_is_out_of_date_are_refused(self, action, client, administrator, survey):
        first, second, third = sightings(survey, 3)
        edges = [
            decision_record(acting_user=administrator, first=first, second=other, verdict="unsure").edge
            for other in (second, third)
        ]
        seen = versions(client, "matchedge")
        decision_record(acting_user=make_user("x"), first=first, second=third, verdict="no_match")
        before = Decision.objects.count()
        page = act(client, "matchedge", action, edges, version_seen=seen, confirmed="yes", confirm_contradiction="on")
        assert "decided in the meantime: Not a match" in page.content.decode()
        assert Decision.objects.count() == before, "all or nothing"
        act(client, "matchedge", "take_back", edges, version_seen=versions(client, "matchedge"))
        assert Decision.objects.count() == before + 2

    def test_a_colleagues_undo_is_not_followed_by_another(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        edge = decision_record(acting_user=administrator, first=first, second=second, verdict="unsure").edge
        decision = decision_record(acting_user=administrator, first=first, second=second, verdict="match")
        seen = versions(client, "matchedge")
        decision_undo(acting_user=administrator, decision=decision)
        page = act(client, "matchedge", "take_back", [edge], version_seen=seen)
        assert "in the meantime: Unsure" in page.content.decode()

    def test_candidates_seen_undecided_are_not_decided_over_a_colleague(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        rows = [make_candidate(first, second), make_candidate(second, first)]
        seen = versions(client, "candidate")
        assert seen == [f"{first.pk}-{second.pk}-0"] * 2
        act(client, "candidate", "unsure", rows, version_seen=seen)
        assert set(Decision.objects.values_list("verdict", flat=True)) == {"unsure"}, "one pair seen from either end"
        page = act(client, "candidate", "no_match", rows, version_seen=seen)
        assert "in the meantime: Unsure" in page.content.decode()
        assert MatchEdge.objects.get().verdict == "unsure"

    def test_the_page_in_between_keeps_what_was_seen(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        for row in (first, second):
            individual_declare(acting_user=administrator, detection=row)
        rows = [make_candidate(first, second)]
        seen = versions(client, "candidate")
        page = act(client, "candidate", "match", rows, version_seen=seen)
        assert SEEN.findall(page.content.decode()) == seen

    @pytest.mark.parametrize("add", [False, True])
    def test_a_form_that_somebody_overtook_comes_back_with_what_was_typed(
        self, add, client, administrator, survey, monkeypatch
    ):
        first, second = sightings(survey, 2)
        overtaken(monkeypatch, lambda call: call > 1)
        if add:
            said = {"a": first.pk, "b": second.pk, "verdict": "match", "note": "the left ear"}
            response = client.post(reverse("admin:identification_matchedge_add"), said)
        else:
            response = form(
                client, "matchedge", MatchEdge.objects.create(a=first, b=second), verdict="match", note="the left ear"
            )
        assert response.status_code == 200
        assert "somebody was quicker" in str(errors(response))
        assert "the left ear" in response.content.decode()
        assert not Decision.objects.exists()

    def test_a_form_that_is_overtaken_twice_says_so(self, client, administrator, survey, monkeypatch):
        first, second = sightings(survey, 2)
        overtaken(monkeypatch, lambda call: call % 2 == 0)
        edge = MatchEdge.objects.create(a=first, b=second)
        response = form(client, "matchedge", edge, verdict="match")
        assert response.status_code == 302
        assert "somebody was quicker" in client.get(response["Location"]).content.decode()
        assert not Decision.objects.exists()


SEEN = re.compile(r'name="version_seen" value="([^"]*)"')


def versions(client, model):
    """What the list says of the state of its pairs, as a browser would send it along."""
    return SEEN.findall(client.get(reverse(f"admin:identification_{model}_changelist")).content.decode())


def overtaken(monkeypatch, when):
    """Let the service refuse those calls of the form of a pair; the first is its rehearsal, the second the write."""
    calls = itertools.count(1)
    real = MatchEdgeForm.apply

    def apply(self, acting_user):
        if when(next(calls)):
            raise StaleEdge("somebody was quicker", verdict="", version=1)
        real(self, acting_user)

    monkeypatch.setattr(MatchEdgeForm, "apply", apply)


def test_labels_keep_their_colours_in_another_language(monkeypatch: pytest.MonkeyPatch) -> None:
    speak_in_brackets(monkeypatch, "es")
    assert "Done" in STATE_LABELS and STATE_LABELS["Done"] == "success" and "⟦Done⟧" not in STATE_LABELS
    with override("es"):
        assert "⟦Done⟧" in STATE_LABELS and STATE_LABELS["⟦Done⟧"] == "success" and "–" not in STATE_LABELS
