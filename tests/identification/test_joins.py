"""A reviewer's match of two named animals waits for a curator; everything else of hers takes effect at once."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.urls import reverse

from identification.errors import SpotIDError, UndoRefused
from identification.models import AuditEntry, Decision, Detection, Individual, Role, Survey, User, Verdict
from identification.selectors.joins import joins_count, joins_listed, joins_shown, pairs_waiting
from identification.selectors.opinions import standing_decisions
from identification.selectors.review_leases import leased_elsewhere
from identification.selectors.review_questions import queue_state
from identification.selectors.session_decisions import own_decisions
from identification.services.confirming import Ticked, decisions_confirm
from identification.services.decisions import decision_record, decision_undo, decision_undo_last
from identification.services.individuals import individual_declare, individual_rename
from identification.services.joins import join_settle
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def survey() -> Survey:
    return make.make_survey()


@pytest.fixture
def animals(survey: Survey) -> list[list[Detection]]:
    """Two animals of two photos each, both with a name."""
    found = []
    for coat, name in enumerate(("Tara", "Sholay")):
        photos = [make.make_sighting(survey, coat=coat) for _ in range(2)]
        make.match(None, *photos)
        photos[0].refresh_from_db()
        individual_rename(acting_user=None, individual=photos[0].individual, name=name)
        found.append(photos)
    return found


@pytest.fixture
def reviewer(survey: Survey) -> User:
    return make.make_member(survey)


@pytest.fixture
def curator(survey: Survey) -> User:
    return make.make_member(survey, Role.CURATOR)


def say(user: User | None, a: Detection, b: Detection, verdict: str = Verdict.MATCH, **values) -> Decision:  # type: ignore[no-untyped-def]
    return decision_record(acting_user=user, first=a, second=b, verdict=verdict, anchor=a, **values)


def joined(animals: list[list[Detection]]) -> bool:
    rows = [Detection.objects.get(pk=photos[0].pk).individual_id for photos in animals]
    return rows[0] == rows[1]


def test_a_match_of_two_named_animals_waits_and_joins_nothing(survey, animals, reviewer, curator) -> None:
    said = say(reviewer, animals[0][0], animals[1][0])
    assert said.proposed
    assert said.edge.verdict == ""
    assert not joined(animals)
    assert Individual.objects.filter(retired=True).count() == 0
    assert joins_count(curator) == 1
    assert joins_count(reviewer) == 0
    assert not standing_decisions().filter(pk=said.pk).exists(), "there is nothing yet to give a second opinion of"


@pytest.mark.parametrize("which", [(True, False), (False, True), (False, False)])
def test_where_an_animal_has_no_name_the_match_takes_effect(animals, reviewer, which) -> None:
    for photos, named in zip(animals, which, strict=True):
        if not named:
            photos[0].refresh_from_db()
            individual_rename(acting_user=None, individual=photos[0].individual, name="")
    assert not say(reviewer, animals[0][0], animals[1][0]).proposed
    assert joined(animals)


def test_a_lone_photo_joins_a_named_animal_and_declared_ones_without_names_join(survey, animals, reviewer) -> None:
    lone, other = make.make_sighting(survey), make.make_sighting(survey)
    individual_declare(acting_user=reviewer, detection=other)
    for photo in (lone, other):
        photo.refresh_from_db()
        assert not say(reviewer, photo, animals[0][0]).proposed


@pytest.mark.parametrize("verdict", [Verdict.NO_MATCH, Verdict.UNSURE, Verdict.INCOMPARABLE])
def test_every_other_verdict_takes_effect(animals, reviewer, verdict) -> None:
    said = say(reviewer, animals[0][0], animals[1][0], verdict)
    assert said.edge.verdict == verdict


def test_a_curators_match_joins_at_once(animals, curator) -> None:
    assert not say(curator, animals[0][0], animals[1][0]).proposed
    assert joined(animals)


def test_a_curator_of_one_of_two_surveys_proposes(survey, animals, curator) -> None:
    elsewhere = make.make_survey(survey.population)
    make.make_member(elsewhere, user=curator)
    photo = make.make_sighting(elsewhere)
    individual_declare(acting_user=None, detection=photo)
    photo.refresh_from_db()
    individual_rename(acting_user=None, individual=photo.individual, name="Nila")
    photo.refresh_from_db()
    assert say(curator, animals[0][0], photo).proposed
    assert joins_count(curator) == 0, "it is not his to confirm either"


def test_confirmed_by_a_curator_it_joins_and_leaves_an_audit_row(survey, animals, reviewer, curator) -> None:
    said = say(reviewer, animals[0][0], animals[1][0])
    decision = join_settle(acting_user=curator, proposal=said, verdict=Verdict.MATCH)
    assert joined(animals)
    row = AuditEntry.objects.get(action="join.confirm")
    assert (row.acting_user, row.before["proposed"], row.after) == (curator, said.pk, {"decision": decision.pk})
    assert joins_count(curator) == 0
    with pytest.raises(SpotIDError):
        join_settle(acting_user=curator, proposal=said, verdict=Verdict.MATCH)
    assert [own.decision.pk for own in own_decisions(user=reviewer, survey=survey)] == [], "hers to take back no more"
    decision_undo(acting_user=curator, decision=decision)
    assert not joined(animals)
    assert joins_count(curator) == 1, "it waits again"


def test_refused_by_a_curator_it_forbids(animals, reviewer, curator) -> None:
    said = say(reviewer, animals[0][0], animals[1][0])
    join_settle(acting_user=curator, proposal=said, verdict=Verdict.NO_MATCH)
    said.edge.refresh_from_db()
    assert said.edge.verdict == Verdict.NO_MATCH
    assert joins_count(curator) == 0
    assert AuditEntry.objects.filter(action="join.refuse", acting_user=curator).count() == 1


def test_only_a_curator_settles(survey, animals, reviewer) -> None:
    said = say(reviewer, animals[0][0], animals[1][0])
    for user in (reviewer, make.make_member(survey), make.make_user()):
        with pytest.raises(SpotIDError):
            join_settle(acting_user=user, proposal=said, verdict=Verdict.MATCH)
    assert not joined(animals)


def test_she_sees_it_in_her_list_and_takes_it_back(survey, animals, reviewer, curator) -> None:
    say(reviewer, animals[0][0], animals[1][0])
    (own,) = own_decisions(user=reviewer, survey=survey)
    assert own.decision.get_verdict_display() == "Match, waits for a curator"
    assert not own.asks
    (undone,) = decision_undo_last(acting_user=reviewer, survey=survey)
    assert undone.proposed
    assert joins_count(curator) == 0
    assert own_decisions(user=reviewer, survey=survey) == []


def test_joined_by_another_match_it_waits_no_longer(animals, reviewer, curator) -> None:
    say(reviewer, animals[0][0], animals[1][0])
    say(curator, animals[0][1], animals[1][1])
    assert joins_count(curator) == 0
    assert joins_shown(user=curator, ids=joins_listed(curator)) == []


def test_the_question_is_asked_of_nobody_but_a_curator(survey, animals, reviewer, curator) -> None:
    make.make_candidate(animals[0][1], animals[1][1])
    other = make.make_member(survey)
    assert queue_state(user=reviewer, survey=survey).asked is not None
    said = say(reviewer, animals[0][0], animals[1][0])
    pair = (said.edge.a_id, said.edge.b_id)
    for user in (reviewer, other):
        assert queue_state(user=user, survey=survey).asked is None
        assert pairs_waiting(user=user, population_id=survey.population_id) == [pair]
        assert leased_elsewhere(user=user, survey=survey) == [pair]
    decision_undo(acting_user=reviewer, decision=said)
    assert queue_state(user=other, survey=survey).asked is not None


def test_a_curator_is_asked_the_question_all_the_same(survey, animals, reviewer, curator) -> None:
    make.make_candidate(animals[0][1], animals[1][1])
    say(reviewer, animals[0][0], animals[1][0])
    assert queue_state(user=curator, survey=survey).asked is not None


def test_at_a_glance_those_that_wait_are_recorded_with_the_others(survey, animals, reviewer) -> None:
    lone = make.make_sighting(survey)
    ticked = [Ticked(animals[0][0], animals[1][0], 0, 0.9), Ticked(animals[0][0], lone, 0, 0.9)]
    key = uuid4()
    outcome = decisions_confirm(acting_user=reviewer, survey=survey, ticked=ticked, batch=key)
    assert [row.proposed for row in outcome.recorded] == [True, False]
    again = decisions_confirm(acting_user=reviewer, survey=survey, ticked=ticked, batch=key)
    assert [row.pk for row in again.recorded] == [row.pk for row in outcome.recorded]


def test_the_same_under_the_same_key_is_recorded_once(animals, reviewer) -> None:
    key = uuid4()
    first = say(reviewer, animals[0][0], animals[1][0], key=key)
    assert say(reviewer, animals[0][0], animals[1][0], key=key) == first


def test_taking_back_a_refusal_joins_no_two_named_animals_again(survey, reviewer, curator) -> None:
    photos = [make.make_sighting(survey) for _ in range(2)]
    make.match(None, *photos)
    refused = say(reviewer, *photos, Verdict.NO_MATCH)
    for photo, name in zip(photos, ("Tara", "Sholay"), strict=True):
        photo.refresh_from_db()
        individual_declare(acting_user=None, detection=photo)
        photo.refresh_from_db()
        individual_rename(acting_user=None, individual=photo.individual, name=name)
    with pytest.raises(UndoRefused):
        decision_undo(acting_user=reviewer, decision=refused)
    assert not joined([[photo] for photo in photos])
    decision_undo(acting_user=curator, decision=refused, any_user=True)
    assert joined([[photo] for photo in photos])


# ---- pages ----
def test_the_page_of_a_review_says_that_it_waits(client, survey, animals, reviewer) -> None:
    client.force_login(reviewer)
    form = {"anchor": animals[0][0].pk, "candidate": animals[1][0].pk, "version": 0, "verdict": "match"}
    address = reverse("review-decide", args=[survey.pk])
    assert "waits for a curator" in client.post(address, form, follow=True).content.decode()
    form["version"] = 1
    answer = client.post(address, form, headers={"Accept": "application/json"}).json()
    assert "waits for a curator" in answer["words"]
    end = client.get(reverse("review", args=[survey.pk])).content.decode()
    assert "1 pair of animals with names waits for a curator" in end
    listed = client.get(reverse("review-decisions", args=[survey.pk])).content.decode()
    assert "Match, waits for a curator" in listed


def test_the_curators_page_shows_both_galleries_and_settles_with_one_form(client, animals, reviewer, curator) -> None:
    said = say(reviewer, animals[0][0], animals[1][0])
    client.force_login(curator)
    page = client.get(reverse("join-list"))
    html = page.content.decode()
    for box in (*animals[0], *animals[1]):
        assert f"/{box.pk}/" in html
    assert reverse("join-list") in client.get(reverse("conflict-list")).content.decode(), "it is counted in the bar"
    done = client.post(reverse("join-settle", args=[said.pk]), {"verdict": "match"}, follow=True)
    assert joined(animals)
    assert "Joined" in done.content.decode()
    assert client.post(reverse("join-settle", args=[said.pk]), {"verdict": "match"}).status_code == 404


def test_a_curator_of_another_survey_finds_nothing(client, survey, animals, reviewer) -> None:
    said = say(reviewer, animals[0][0], animals[1][0])
    client.force_login(make.make_member(make.make_survey(survey.population), Role.CURATOR))
    assert client.get(reverse("join-list")).context["joins"] == []
    assert client.post(reverse("join-settle", args=[said.pk]), {"verdict": "match"}).status_code == 404


def test_a_reviewer_proposes_a_merge_even_of_animals_without_names(client, survey, reviewer, curator) -> None:
    photos = [make.make_sighting(survey, coat=n) for n in range(2)]
    for photo in photos:
        individual_declare(acting_user=None, detection=photo)
        photo.refresh_from_db()
    client.force_login(reviewer)
    address = reverse("individual-merge", args=[photos[0].individual_id])
    form = {"with": photos[1].individual_id, "box": [photo.pk for photo in photos]}
    page = client.post(address, form)
    client.post(address, {**form, "do": "merge", "state": page.context["state"]}, follow=True)
    assert [Detection.objects.get(pk=photo.pk).individual_id for photo in photos] == [p.individual_id for p in photos]
    (join,) = joins_shown(user=curator, ids=joins_listed(curator))
    assert join.decision.acting_user == reviewer
    assert AuditEntry.objects.filter(action="individuals.propose").exists()
    join_settle(acting_user=curator, proposal=join.decision, verdict=Verdict.MATCH)
    assert Detection.objects.get(pk=photos[0].pk).individual_id == Detection.objects.get(pk=photos[1].pk).individual_id
