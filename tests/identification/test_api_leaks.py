"""What the API must not give away."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from identification.models import (
    AuditEntry,
    Decision,
    Opinion,
    Role,
    Survey,
    Verdict,
)
from identification.services.decisions import decision_record
from tests.identification import factories as make
from tests.identification.api_client import address, problem, send, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    cache.clear()


def test_foreign_candidates_are_masked() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    elsewhere = make.make_sighting(make.make_survey(survey.population), coat=0)
    make.make_candidate(animals[0][0], elsewhere, rank=9, probability=0.4)
    client = make.client_of(survey, Role.REVIEWER)
    response = client.get(address("candidates", animals[0][0].pk))
    row = next(row for row in response.json() if row["rank"] == 9)
    assert (row["box"], row["version"]) == (None, None)
    assert f'"id":{elsewhere.pk},' not in response.content.decode()
    body = {"anchor": animals[0][0].pk, "candidate": elsewhere.pk, "verdict": "match", "version": 0}
    problem(send(client, "post", address("decisions", survey.pk), body), 404)


def test_places_are_cells_unless_they_are_granted_and_looking_is_recorded() -> None:
    survey = make.make_survey()
    make.make_station(survey, "PLACE", latitude=27.51234, longitude=84.31234)
    client = make.client_of(survey, Role.CURATOR)
    told = client.get(address("stations", survey.pk)).content.decode()
    assert "27.5123" not in told
    problem(client.post(address("places", survey.pk)), 403)
    granted = make.client_of(survey, Role.CURATOR, places=True)
    assert granted.post(address("places", survey.pk)).json()[0]["latitude"] == 27.51234
    assert AuditEntry.objects.filter(action="stations.reveal").count() == 1


def test_a_withdrawn_membership_ends_at_once_whatever_is_known() -> None:
    survey, animals = make.make_reviewable_survey()
    user = make.make_member(survey, Role.CURATOR)
    client = signed_in(user)
    places = [address("survey", survey.pk), address("photos", survey.pk), address("box", animals[0][0].pk)]
    tags = {where: client.get(where)["ETag"] for where in places}
    user.memberships.all().delete()
    for where, tag in tags.items():
        problem(client.get(where, headers={"If-None-Match": tag}), 404)


def test_a_tag_of_one_account_tells_another_nothing() -> None:
    survey = make.make_survey()
    where = address("survey", survey.pk)
    first, second = (make.client_of(survey, Role.VIEWER) for _ in range(2))
    tag = first.get(where)["ETag"]
    assert second.get(where, headers={"If-None-Match": tag}).status_code == 200


def test_staff_is_not_an_administrator() -> None:
    clerk = signed_in(make.make_user("clerk", is_staff=True))
    problem(clerk.get(address("survey", make.make_survey().pk)), 404)
    problem(clerk.get(address("models")), 403)
    assert clerk.get(address("surveys")).json() == {"results": [], "next": None}


def test_a_check_looks_like_any_other_question_and_decides_nothing() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=3)
    Survey.objects.filter(pk=survey.pk).update(second_review_share=1.0)
    survey.refresh_from_db()
    first = make.make_member(survey, Role.REVIEWER)
    one, two = animals[0][:2]
    decision_record(acting_user=first, first=one, second=two, verdict=Verdict.MATCH, anchor=one, shown=0.9)
    client, found = make.client_of(survey, Role.REVIEWER), None
    for _ in range(20):
        questions = send(client, "post", address("questions", survey.pk), {}).json()["questions"]
        assert len({frozenset(row) for row in questions}) <= 1
        asked = {(row["anchor"], row["candidate"]): row for row in questions}
        found = next((row for pair, row in asked.items() if set(pair) == {one.pk, two.pk}), None)
        if found or not questions:
            break
        row = questions[0]
        body = {name: row[name] for name in ("anchor", "candidate", "check", "version")} | {"verdict": "no_match"}
        assert send(client, "post", address("decisions", survey.pk), body).status_code == 201
    assert found is not None
    assert found["version"] == 0
    body = {name: found[name] for name in ("anchor", "candidate", "check", "version")} | {"verdict": "no_match"}
    before = Decision.objects.count()
    assert send(client, "post", address("decisions", survey.pk), body).status_code == 201
    assert Decision.objects.count() == before
    assert Opinion.objects.get(kind="second").verdict == "no_match"
