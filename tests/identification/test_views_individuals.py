"""Individuals, taking decisions back, and contradictions."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import (
    AuditEntry,
    Decision,
    Detection,
    Individual,
    Role,
    Verdict,
)
from identification.permissions import Action, may_for_all
from identification.services.individuals import individual_declare
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


def test_without_individuals_the_list_says_how_they_come_into_being() -> None:
    text = client_of(make.make_survey()).get(reverse("individual-list")).content.decode()
    assert "No individual yet" in text and "answers to the filter" not in text


def test_a_filter_that_nothing_answers_to_is_not_an_empty_catalogue() -> None:
    survey = make.make_survey()
    text = client_of(survey).get(reverse("individual-list") + f"?survey={survey.pk}").content.decode()
    assert "No animal answers to the filter" in text and "No individual yet" not in text


def test_individuals_are_listed_searched_and_narrowed_down() -> None:
    survey, animals = make.make_reviewable_survey(individuals=3, photos=2)
    for animal in animals:
        match(None, *animal)
    luna = Individual.objects.get(number=2)
    Individual.objects.filter(pk=luna.pk).update(name="Luna")
    user = make.make_member(survey, Role.VIEWER)
    other = make.make_survey()
    make.make_member(other, Role.VIEWER, user=user)
    individual_declare(acting_user=None, detection=make.make_sighting(other))
    client = Client()
    client.force_login(user)
    address = reverse("individual-list")

    def found(query: str) -> list[int]:
        return [card.individual.number for card in client.get(address + query).context["cards"]]

    assert sorted(found("")) == [1, 1, 2, 3]
    assert found("?q=lun") == [2]
    assert found(f"?q=L-0003&population={survey.population_id}") == [3]
    assert found(f"?survey={other.pk}") == [1]
    assert found("?q=%27%20or%201%3D1") == []
    card = client.get(address + "?q=Luna").context["cards"][0]
    assert card.photos == 2 and card.best is not None and card.first < card.last


def test_photos_of_a_survey_that_is_not_hers_are_left_out_of_the_individual() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    foreign = make.make_sighting(make.make_survey(survey.population), relative_path="hidden/river.jpg")
    match(None, *animals[0])
    match(None, animals[0][0], foreign)
    client = client_of(survey)
    individual = Individual.objects.get(retired=False)
    response = client.get(reverse("individual-detail", args=[individual.pk]))
    assert response.context["page"].seen.photos == 2
    assert "river" not in response.content.decode()
    assert client.get(reverse("individual-list")).context["cards"][0].photos == 2
    assert not response.context["may_curate"], "a name is for curators of all its surveys"
    assert client.post(reverse("individual-rename", args=[individual.pk]), {"name": "X"}).status_code == 403


def test_who_may_not_see_candidates_sees_no_decisions() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    match(make.make_member(survey, user=make.make_user("quentin")), *animals[0])
    address = reverse("individual-detail", args=[Individual.objects.get().pk])
    assert "quentin" not in client_of(survey, Role.VIEWER).get(address).content.decode()
    assert "quentin" in client_of(survey, Role.REVIEWER).get(address).content.decode()


def test_a_wrong_match_is_taken_back_after_its_consequence_was_shown() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    client = client_of(survey)
    match(None, *animals[0])
    match(None, *animals[1])
    wrong = match(make.make_member(survey), animals[0][1], animals[1][0])
    page = reverse("individual-detail", args=[Individual.objects.get(retired=False).pk])
    address = reverse("decision-undo", args=[wrong.pk])
    assert address in client.get(page).content.decode()
    preview = client.get(f"{address}?next={page}")
    assert "The 4 photos come apart into 2 + 2." in preview.content.decode()
    assert Individual.objects.filter(retired=False).count() == 1, "looking changes nothing"
    response = client.post(address, {"next": page}, follow=True)
    assert "come apart into 2 + 2 photos" in response.content.decode()
    assert Individual.objects.filter(retired=False).count() == 2
    again = client.post(address, {"next": page}, follow=True)
    assert "taken back already" in again.content.decode()


def test_a_reviewer_takes_back_only_her_own() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=3)
    user = make.make_member(survey)
    client = Client()
    client.force_login(user)
    own = match(user, animals[0][0], animals[0][1])
    others = match(make.make_member(survey), animals[0][1], animals[0][2])
    assert client.get(reverse("decision-undo", args=[own.pk])).status_code == 200
    assert client.post(reverse("decision-undo", args=[others.pk])).status_code == 403


def test_a_retired_code_points_to_what_it_became() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    match(None, *animals[0])
    match(None, *animals[1])
    join = match(None, animals[0][0], animals[1][0])
    standing, retired = Individual.objects.order_by("retired")
    client = client_of(survey)
    text = client.get(reverse("individual-detail", args=[retired.pk])).content.decode()
    assert "is retired" in text and reverse("individual-detail", args=[standing.pk]) in text
    assert client.post(reverse("individual-rename", args=[retired.pk]), {"name": "X"}).status_code == 404
    client.post(reverse("decision-undo", args=[join.pk]))
    assert "is retired" not in client.get(reverse("individual-detail", args=[retired.pk])).content.decode()


def test_a_declaration_is_taken_back() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=1)
    individual = individual_declare(acting_user=None, detection=animals[0][0])
    client = client_of(survey)
    assert "Declared by a person" in client.get(reverse("individual-detail", args=[individual.pk])).content.decode()
    text = client.post(reverse("individual-undeclare", args=[individual.pk]), follow=True).content.decode()
    assert "was taken back" in text
    assert Detection.objects.get().individual is None


def test_a_name_is_shown_as_text() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    match(None, *animals[0])
    client = client_of(survey)
    address = reverse("individual-detail", args=[Individual.objects.get().pk])
    client.post(reverse("individual-rename", args=[Individual.objects.get().pk]), {"name": "<script>alert(1)</script>"})
    assert "<script>alert" not in client.get(address).content.decode()
    assert "&lt;script&gt;alert" in client.get(address).content.decode()


def test_without_contradictions_the_page_says_so() -> None:
    assert "No conflicts" in client_of(make.make_survey()).get(reverse("conflict-list")).content.decode()


def test_a_contradiction_is_settled_by_taking_one_decision_back() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=3)
    a, b, c = animals[0]
    match(None, a, b)
    match(None, b, c)
    refusal = match(None, a, c, Verdict.NO_MATCH, confirm=True)
    client = client_of(survey)
    (conflict,) = client.get(reverse("conflict-list")).context["conflicts"]
    assert [pair.decision for pair in conflict.forbidden] == [refusal]
    assert all(pair.may_undo for pair in (*conflict.forbidden, *conflict.path))
    client.post(reverse("decision-undo", args=[refusal.pk]))
    assert client.get(reverse("conflict-list")).context["conflicts"] == []


def test_a_reviewer_takes_back_only_her_own_declaration() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    client = client_of(survey, Role.REVIEWER)
    client.post(reverse("detection-declare", args=[animals[0][0].pk]))
    own = Individual.objects.get()
    others = individual_declare(acting_user=make.make_member(survey), detection=animals[0][1])
    page = client.get(reverse("review", args=[survey.pk]) + f"?anchor={animals[0][0].pk}").content.decode()
    assert reverse("individual-undeclare", args=[own.pk]) in page
    assert client.post(reverse("individual-undeclare", args=[own.pk])).status_code == 302
    assert client.post(reverse("individual-undeclare", args=[others.pk])).status_code == 403
    assert Detection.objects.filter(individual__isnull=False).get() == animals[0][1]


def test_the_preview_says_what_follows_and_no_more() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=3)
    (a, b, c), stranger = animals[0], animals[1][0]
    match(None, a, b)
    doubled = match(None, b, c)
    match(None, a, c)
    refusal = match(None, a, stranger, Verdict.NO_MATCH)
    doubted = match(None, a, stranger, Verdict.UNSURE)
    client = client_of(survey)

    def words(decision: Decision) -> str:
        return client.get(reverse("decision-undo", args=[decision.pk])).content.decode()

    assert "other matches join them" in words(doubled)
    assert "Another decision on the pair stands: Not a match" in words(doubted)
    client.post(reverse("decision-undo", args=[doubted.pk]))
    assert "open again" in words(refusal) and "come apart" not in words(refusal)


def test_an_animal_that_was_merged_away_keeps_its_declaration_from_those_who_may_not_decide() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=1)
    boss = make.make_user(superuser=True)
    declared = [individual_declare(acting_user=boss, detection=row[0]) for row in animals]
    match(boss, animals[0][0], animals[1][0])
    retired = Individual.objects.get(retired=True)
    address = reverse("individual-undeclare", args=[retired.pk])
    assert retired in declared and not retired.detections.exists()
    for role in (Role.VIEWER, Role.REVIEWER):
        assert client_of(survey, role).post(address).status_code == 403
    assert Individual.objects.get(pk=retired.pk).declared
    assert client_of(survey, Role.CURATOR).post(address).status_code == 302
    assert not Individual.objects.get(pk=retired.pk).declared


def test_an_action_on_no_survey_at_all_is_refused() -> None:
    assert not may_for_all(make.make_user(), Action.SEE, [])
    assert not may_for_all(make.make_user(superuser=True), Action.CURATE, [])


def test_the_history_speaks_in_words_and_says_whose_clock_it_follows() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=1, time_zone="Asia/Kolkata")
    individual = individual_declare(acting_user=None, detection=animals[0][0])
    for action in ("individual.note", "individual.succeed", "individual.looked_up"):
        AuditEntry.objects.create(
            action=action, object_type="individual", object_id=individual.pk, survey=survey, before={}, after={}
        )
    text = client_of(survey).get(reverse("individual-detail", args=[individual.pk])).content.decode()
    assert "individual.note" not in text and "changed the notes" in text and "let it take over" in text
    assert "looked up" in text and "looked_up" not in text
    said = AuditEntry.objects.first()
    assert said is not None and f"{said.created_at:%H:%M} UTC" in text


def test_a_decision_that_stands_in_place_of_an_earlier_one_is_not_called_earlier() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    former = match(None, *animals[0], Verdict.UNSURE)
    match(None, *animals[0], Verdict.NO_MATCH)
    client = client_of(survey)
    address = reverse("decision-undo", args=[former.pk])
    assert "earlier decision" not in client.get(address).content.decode()
    text = client.post(address, follow=True).content.decode()
    assert "Another decision on the pair stands: Not a match." in text and "stands again" not in text
