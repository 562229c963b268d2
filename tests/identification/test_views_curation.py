"""Merging and splitting on the pages: consequence first, permission everywhere, taken back as one."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.models import Decision, Detection, Individual, Role, Survey, Verdict
from identification.services.decisions import decision_record
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def five() -> tuple[Survey, list[Detection]]:
    """One animal of five photos, joined one after the other."""
    survey, animals = make.make_reviewable_survey(individuals=1, photos=5)
    for first, second in zip(animals[0], animals[0][1:], strict=False):
        match(None, first, second)
    return survey, animals[0]


def split_of(individual: Individual) -> str:
    return reverse("individual-split", args=[individual.pk])


def merge_of(individual: Individual) -> str:
    return reverse("individual-merge", args=[individual.pk])


def numbers() -> list[int | None]:
    return list(Detection.objects.order_by("pk").values_list("individual__number", flat=True))


def test_a_split_says_what_follows_before_it_is_done_and_is_taken_back(five) -> None:
    survey, photos = five
    client, individual = client_of(survey), Individual.objects.get()
    form = {"box": [photos[3].pk, photos[4].pk]}
    preview = client.post(split_of(individual), form | {"do": "preview"})
    text = preview.content.decode()
    assert "This will split L-0001 into 3 + 2." in text
    assert "keep L-0001" in text and "get a new code" in text
    assert Decision.objects.count() == 4 and numbers() == [1] * 5, "looking changes nothing"
    form |= {"do": "split", "state": preview.context["state"]}
    page = client.post(split_of(individual), form, follow=True)
    assert numbers() == [1, 1, 1, 2, 2]
    undo = page.context["done"].decision
    assert reverse("batch-undo", args=[undo.pk]) in page.content.decode()
    again = client.post(reverse("batch-undo", args=[undo.pk]), {"next": page.request["PATH_INFO"]}, follow=True)
    assert "Taken back: 1 decision" in again.content.decode() and again.context["done"] is None
    assert numbers() == [1] * 5
    assert "taken back already" in client.post(reverse("batch-undo", args=[undo.pk]), follow=True).content.decode()


def test_a_step_is_taken_back_whole_from_any_of_its_decisions(five) -> None:
    survey, photos = five
    client, individual = client_of(survey), Individual.objects.get()
    form = {"box": [photos[2].pk]}
    state = client.post(split_of(individual), form | {"do": "preview"}).context["state"]
    client.post(split_of(individual), form | {"do": "keep", "state": state})
    page = client.get(reverse("individual-detail", args=[individual.pk]))
    line = page.context["page"].history[0]
    assert line.what == "split it (3 decisions)"
    address = reverse("decision-undo", args=[line.decision])
    assert address in page.content.decode()
    assert client.get(address).context["together"] == 3
    refusal = Decision.objects.get(edge__b=photos[2], verdict=Verdict.NO_MATCH)
    text = client.get(reverse("decision-undo", args=[refusal.pk])).content.decode()
    assert "stands: Match. It makes one group of 5 photos again." in text
    reviewer = client_of(survey, Role.REVIEWER)
    assert address not in reviewer.get(reverse("individual-detail", args=[individual.pk])).content.decode()
    client.post(reverse("decision-undo", args=[line.decision]))
    other = Decision.objects.filter(note="split", undone_by__isnull=True).first()
    assert client.get(reverse("decision-undo", args=[other.pk])).context["together"] == 2
    client.post(reverse("batch-undo", args=[other.pk]))
    assert numbers() == [1] * 5
    assert client.get(reverse("decision-undo", args=[other.pk])).context["together"] == 0
    lines = client.get(reverse("individual-detail", args=[individual.pk])).context["page"].history
    assert lines[-5].decision is None, "what was taken back is not offered again"


def test_groups_of_one_visit_are_taken_back_on_their_own_page(five) -> None:
    survey, photos = five
    batch, others = uuid4(), [make.make_sighting(survey) for _ in range(2)]
    said = [
        decision_record(
            acting_user=None,
            first=photos[0],
            second=other,
            verdict=Verdict.MATCH,
            provenance="same_event",
            batch=batch,
        )
        for other in others
    ]
    assert client_of(survey).get(reverse("decision-undo", args=[said[0].pk])).context["together"] == 0


def test_a_step_that_reaches_further_than_she_sees_is_not_taken_back_whole(five) -> None:
    survey, photos = five
    hidden = make.make_sighting(make.make_survey(survey.population))
    batch = uuid4()
    own, _ = (
        decision_record(acting_user=None, first=photos[0], second=other, verdict=Verdict.MATCH, batch=batch)
        for other in (photos[2], hidden)
    )
    client = client_of(survey)
    assert client.get(reverse("decision-undo", args=[own.pk])).context["together"] == 0
    assert client.post(reverse("batch-undo", args=[own.pk])).status_code == 404
    assert not Decision.objects.filter(undoes__isnull=False).exists()


def test_a_preview_that_somebody_else_overtook_is_shown_anew(five) -> None:
    survey, photos = five
    client, individual = client_of(survey), Individual.objects.get()
    form = {"box": [photos[3].pk, photos[4].pk]}
    state = client.post(split_of(individual), form | {"do": "preview"}).context["state"]
    match(None, photos[0], photos[4])
    response = client.post(split_of(individual), form | {"do": "split", "state": state})
    assert "in the meantime" in response.content.decode() and response.context["state"] != state
    assert numbers() == [1] * 5


def test_where_a_side_would_fall_apart_both_outcomes_are_offered(five) -> None:
    survey, photos = five
    client, individual = client_of(survey), Individual.objects.get()
    preview = client.post(split_of(individual), {"box": [photos[2].pk], "do": "preview"})
    text = preview.content.decode()
    assert "Split into 2 + 2 + 1" in text and "Split into 4 + 1" in text
    client.post(
        split_of(individual), {"box": [photos[2].pk], "do": "keep", "state": preview.context["state"]}, follow=True
    )
    assert numbers() == [1, 1, None, 1, 1]


@pytest.mark.parametrize("boxes", ["none", "all", "foreign"])
def test_what_cannot_be_split_off_is_said_and_nothing_changes(five, boxes: str) -> None:
    survey, photos = five
    stranger = make.make_sighting(survey)
    chosen = {"none": [], "all": [row.pk for row in photos], "foreign": [stranger.pk]}[boxes]
    individual = Individual.objects.get()
    text = client_of(survey).post(split_of(individual), {"box": chosen, "do": "preview"}, follow=True).content.decode()
    assert ("leave at least one" in text) == (boxes == "all") and ("Tick the photos that" in text) == (boxes != "all")
    assert Decision.objects.count() == 4


@pytest.fixture
def two() -> tuple[Survey, list[list[Detection]]]:
    survey, animals = make.make_reviewable_survey(individuals=3, photos=3)
    for animal in animals[:2]:
        match(None, animal[0], animal[1])
        match(None, animal[1], animal[2])
    return survey, animals


def test_two_animals_are_merged_after_the_consequence_was_shown(two) -> None:
    survey, _animals = two
    client = client_of(survey)
    first, second = Individual.objects.order_by("number")
    choice = client.get(merge_of(first))
    assert [animal.card.individual for animal in choice.context["animals"]] == [second]
    photos = client.get(merge_of(first) + f"?with={second.pk}")
    chosen = photos.context["chosen"]
    assert len(chosen) == 2, "one of each is suggested"
    form = {"with": second.pk, "box": list(chosen)}
    preview = client.post(merge_of(first), form)
    assert "2 animals one of 6 photos: L-0002 is retired" in preview.content.decode()
    assert Individual.objects.filter(retired=True).count() == 0
    page = client.post(merge_of(first), form | {"do": "merge", "state": preview.context["state"]}, follow=True)
    assert numbers()[:6] == [1] * 6 and page.context["individual"] == first
    retired = client.get(reverse("individual-detail", args=[second.pk])).content.decode()
    assert "is retired" in retired and reverse("individual-detail", args=[first.pk]) in retired
    client.post(reverse("batch-undo", args=[page.context["done"].decision.pk]))
    assert numbers()[:6] == [1, 1, 1, 2, 2, 2]


def test_animals_of_different_sex_are_merged_with_a_warning(two) -> None:
    survey, animals = two
    first, second = Individual.objects.order_by("number")
    client, form = client_of(survey), {"with": second.pk, "box": [animals[0][0].pk, animals[1][0].pk]}
    Individual.objects.filter(pk=first.pk).update(sex="female")
    assert "is said to be" not in client.post(merge_of(first), form).content.decode()
    Individual.objects.filter(pk=second.pk).update(sex="male")
    text = client.post(merge_of(first), form).content.decode()
    assert "L-0001 is said to be female, L-0002 male" in text


def test_a_merge_that_an_earlier_refusal_forbids_names_it(two) -> None:
    survey, animals = two
    refusal = match(None, animals[0][2], animals[1][2], Verdict.NO_MATCH)
    first, second = Individual.objects.order_by("number")
    client = client_of(survey)
    assert client.get(merge_of(first)).context["animals"] == [], "who is said to be another is not suggested"
    form = {"with": second.pk, "box": [animals[0][0].pk, animals[1][0].pk]}
    response = client.post(merge_of(first), form)
    text = response.content.decode()
    assert "cannot be merged" in text and reverse("decision-undo", args=[refusal.pk]) in text
    client.post(merge_of(first), form | {"do": "merge", "state": "x"})
    assert numbers()[:6] == [1, 1, 1, 2, 2, 2]


def test_ticked_photos_are_taken_along_to_the_merge(two) -> None:
    survey, animals = two
    first, second = Individual.objects.order_by("number")
    client = client_of(survey)
    response = client.post(split_of(first), {"box": [animals[0][1].pk], "do": "merge"})
    assert response["Location"] == f"{merge_of(first)}?box={animals[0][1].pk}"
    choice = client.get(response["Location"]).content.decode()
    assert f"?with={second.pk}&amp;box={animals[0][1].pk}" in choice
    photos = client.get(f"{response['Location']}&with={second.pk}")
    assert animals[0][1].pk in photos.context["chosen"] and len(photos.context["chosen"]) == 2


def test_animals_of_another_population_and_of_nothing_are_not_there(two) -> None:
    survey, _ = two
    elsewhere = make.make_survey()
    user = make.make_member(survey, Role.CURATOR)
    make.make_member(elsewhere, Role.CURATOR, user=user)
    match(None, make.make_sighting(elsewhere), make.make_sighting(elsewhere))
    client = Client()
    client.force_login(user)
    first = Individual.objects.filter(population=survey.population).order_by("number")[0]
    other = Individual.objects.get(population=elsewhere.population)
    for wanted in (other.pk, first.pk, 10**12):
        assert client.get(merge_of(first) + f"?with={wanted}").status_code == 404


def test_who_does_not_curate_every_survey_of_the_animals_merges_and_splits_nothing(two) -> None:
    survey, animals = two
    hidden = make.make_sighting(make.make_survey(survey.population))
    match(None, animals[1][0], hidden)
    first, second = Individual.objects.order_by("number")
    client = client_of(survey)
    assert client.get(merge_of(first) + f"?with={second.pk}").status_code == 403
    assert client.post(split_of(second), {"box": [animals[1][0].pk]}).status_code == 403
    reviewer = client_of(survey, Role.REVIEWER)
    assert reviewer.get(merge_of(first)).status_code == 200, "she may propose a merge"
    assert reviewer.get(merge_of(first) + f"?with={second.pk}").status_code == 403
    assert reviewer.post(split_of(second), {"box": [animals[1][0].pk]}).status_code == 403
    page = reviewer.get(reverse("individual-detail", args=[first.pk])).content.decode()
    assert split_of(first) not in page and 'name="box"' not in page
    assert numbers()[:6] == [1, 1, 1, 2, 2, 2]


def test_a_group_that_reaches_into_another_survey_by_a_contradiction_is_not_split(two) -> None:
    survey, animals = two
    hidden = make.make_sighting(make.make_survey(survey.population))
    match(None, animals[0][0], hidden, Verdict.NO_MATCH)
    match(None, animals[0][1], hidden, confirm=True)
    first = Individual.objects.get(number=1)
    form = {"box": [animals[0][2].pk], "do": "split", "state": "x"}
    assert client_of(survey).post(split_of(first), form).status_code == 403


def test_a_reviewer_takes_back_no_step_of_a_curator(five) -> None:
    survey, photos = five
    client, individual = client_of(survey), Individual.objects.get()
    state = client.post(split_of(individual), {"box": [photos[0].pk], "do": "preview"}).context["state"]
    client.post(split_of(individual), {"box": [photos[0].pk], "do": "split", "state": state})
    said = Decision.objects.latest("pk")
    reviewer = client_of(survey, Role.REVIEWER)
    page = reviewer.get(reverse("individual-detail", args=[individual.pk]) + f"?done={said.pk}")
    assert page.context["done"] is None
    assert reviewer.post(reverse("batch-undo", args=[said.pk])).status_code == 403
    assert numbers() == [None, 1, 1, 1, 1]


@pytest.mark.parametrize("photos", [3, 9])
def test_the_pages_ask_equally_often_for_many_photos(photos: int, django_assert_max_num_queries) -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=photos)
    for animal in animals:
        for second in animal[1:]:
            match(None, animal[0], second)
    first, second = Individual.objects.order_by("number")
    client = client_of(survey)
    for address, most in ((merge_of(first), 19), (f"{merge_of(first)}?with={second.pk}", 21)):
        with django_assert_max_num_queries(most):
            assert client.get(address).status_code == 200
        with CaptureQueriesContext(connection) as asked:
            client.get(address)
        assert not [one for one in asked if one["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
