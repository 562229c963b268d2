"""How the API behaves: problems, keys, tags, cursors, throttles, and what is done."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from identification.api import account
from identification.models import (
    ApiToken,
    Decision,
    ExportRun,
    Individual,
    Membership,
    Opinion,
    RequestKey,
    Role,
    Survey,
)
from identification.services.decisions import decision_record
from tests.identification import factories as make
from tests.identification.api_client import address, pair, problem, send, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    cache.clear()


# Refusals


def test_whatever_is_refused_is_a_problem() -> None:
    survey = make.make_survey()
    client = make.client_of(survey, Role.CURATOR)
    photos = address("photos", survey.pk)
    problem(client.get(photos, {"limit": "many"}), 400)
    problem(client.get(photos, {"cursor": "nonsense"}), 400)
    problem(Client().get(photos), 401)
    problem(client.post(photos), 405)
    problem(client.get(photos, headers={"Accept": "text/csv"}), 406)
    problem(client.generic("POST", address("clocks", survey.pk), "x", "text/plain"), 415)
    problem(client.generic("POST", address("clocks", survey.pk), "{", "application/json"), 400)
    problem(client.generic("POST", address("clocks", survey.pk), "[" * 100_000, "application/json"), 400)
    problem(client.get("/api/v1/nothing/"), 404)
    problem(client.get("/api/v1/surveys"), 404)


def test_a_wrong_field_is_named() -> None:
    survey = make.make_survey()
    client = make.client_of(survey, Role.CURATOR)
    said = problem(send(client, "patch", address("survey", survey.pk), {"completeness_goal": 2}), 400)
    assert list(said["errors"]) == ["completeness_goal"]


def test_a_body_that_is_too_long_is_refused(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    survey = make.make_survey()
    client = make.client_of(survey, Role.CURATOR)
    problem(send(client, "patch", address("survey", survey.pk), {"completeness_goal": 0.9, "x": "y" * 200}), 413)


def test_a_form_of_another_site_is_refused_in_a_session_but_not_with_a_token() -> None:
    survey = make.make_survey()
    user = make.make_member(survey, Role.CURATOR)
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    problem(send(client, "patch", address("survey", survey.pk), {"completeness_goal": 0.9}), 403)
    _, text = ApiToken.objects.create(user=user, name="a script")
    token = {"Authorization": f"Token {text}"}
    assert (
        send(
            Client(enforce_csrf_checks=True), "patch", address("survey", survey.pk), {"completeness_goal": 0.9}, **token
        ).status_code
        == 200
    )
    problem(Client().get(address("account"), headers={"Authorization": "Token spotid_wrong"}), 401)


def test_a_token_makes_no_other() -> None:
    user = make.make_user()
    _, text = ApiToken.objects.create(user=user, name="a script")
    body = {"name": "another", "days": 30}
    problem(send(Client(), "post", address("tokens"), body, Authorization=f"Token {text}"), 403)
    assert ApiToken.objects.count() == 1


def test_a_revoked_token_is_refused() -> None:
    user = make.make_user()
    token, text = ApiToken.objects.create(user=user, name="a script")
    signs = {"Authorization": f"Token {text}"}
    assert Client().get(address("account"), headers=signs).json()["username"] == user.username
    assert Client().delete(address("token", token.token_key), headers=signs).status_code == 204
    problem(Client().get(address("account"), headers=signs), 401)


def test_asking_too_often_is_refused_for_a_while(settings: Any) -> None:
    settings.SPOTID_API_PER_MINUTE = 2
    settings.SPOTID_API_ANONYMOUS_PER_MINUTE = 1
    client, other = signed_in(make.make_user()), signed_in(make.make_user())
    answers = [client.get(address("account")) for _ in range(4)]
    # A minute may begin in between, once.
    refused = [one for one in answers if one.status_code == 429]
    assert refused
    problem(refused[0], 429)
    assert 1 <= int(refused[0]["Retry-After"]) <= 60
    assert other.get(address("account")).status_code == 200
    wrong = {"Authorization": "Token spotid_wrong"}
    assert 429 in {Client().get(address("account"), headers=wrong).status_code for _ in range(3)}


# Keys, versions and tags


def test_a_decision_under_one_key_is_recorded_once() -> None:
    survey, animals = make.make_reviewable_survey()
    client = make.client_of(survey, Role.REVIEWER)
    key, where = str(uuid4()), address("decisions", survey.pk)
    first = send(client, "post", where, pair(survey, animals), **{"Idempotency-Key": key})
    again = send(client, "post", where, pair(survey, animals), **{"Idempotency-Key": key})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert str(Decision.objects.get().key) == key
    said = problem(send(client, "post", where, pair(survey, animals, "no_match"), **{"Idempotency-Key": key}), 422)
    assert said["code"] == "key_taken"


def test_somebody_elses_key_is_not_answered() -> None:
    survey, animals = make.make_reviewable_survey()
    key, where = {"Idempotency-Key": str(uuid4())}, address("decisions", survey.pk)
    assert send(make.client_of(survey, Role.REVIEWER), "post", where, pair(survey, animals), **key).status_code == 201
    problem(send(make.client_of(survey, Role.REVIEWER), "post", where, pair(survey, animals), **key), 422)


def test_other_requests_are_done_once_under_their_key(settings: Any) -> None:
    survey = make.make_survey()
    client = make.client_of(survey, Role.CURATOR)
    where, key = address("survey-exports", survey.pk), {"Idempotency-Key": "export of Monday"}
    first = send(client, "post", where, {"formats": ["csv"]}, **key)
    again = send(client, "post", where, {"formats": ["csv"]}, **key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    assert ExportRun.objects.count() == 1
    assert problem(send(client, "post", where, {"formats": ["folders"]}, **key), 422)["code"] == "key_taken"
    assert send(client, "post", where, {"formats": ["folders"]}).status_code == 202


def test_what_was_refused_under_a_key_may_be_tried_again() -> None:
    survey = make.make_survey()
    client = make.client_of(survey, Role.CURATOR)
    where, key = address("survey-exports", survey.pk), {"Idempotency-Key": "k"}
    problem(send(client, "post", where, {"formats": []}, **key), 400)
    assert not RequestKey.objects.exists()
    assert send(client, "post", where, {"formats": ["csv"]}, **key).status_code == 202


def test_an_answer_is_not_given_again_to_somebody_whose_rights_changed() -> None:
    survey = make.make_survey()
    user = make.make_member(survey, Role.CURATOR)
    client, key = signed_in(user), {"Idempotency-Key": "k"}
    where = address("survey-exports", survey.pk)
    assert send(client, "post", where, {"formats": ["csv"]}, **key).status_code == 202
    Membership.objects.filter(user=user).delete()
    problem(send(client, "post", where, {"formats": ["csv"]}, **key), 403)
    problem(send(client, "post", where, {"formats": ["csv"]}), 404)


def test_a_key_is_forgotten_after_a_day() -> None:
    survey = make.make_survey()
    client = make.client_of(survey, Role.CURATOR)
    where, key = address("survey-exports", survey.pk), {"Idempotency-Key": "k"}
    send(client, "post", where, {"formats": ["csv"]}, **key)
    RequestKey.objects.update(created_at=timezone.now() - timedelta(days=1, minutes=1))
    assert "Idempotent-Replayed" not in send(client, "post", where, {"formats": ["folders"]}, **key)
    assert ExportRun.objects.count() == 2


def test_a_pair_that_moved_on_answers_with_its_present_state() -> None:
    survey, animals = make.make_reviewable_survey()
    make.match(make.make_member(survey), animals[0][0], animals[0][1])
    client = make.client_of(survey, Role.REVIEWER)
    said = problem(send(client, "post", address("decisions", survey.pk), pair(survey, animals, "no_match")), 409)
    assert (said["code"], said["verdict"], said["version"]) == ("stale", "match", 1)
    # She was told, so she is not asked for a blind opinion.
    assert Opinion.objects.filter(kind="seen").exists() or not Survey.objects.get(pk=survey.pk).second_review_share


def test_a_contradiction_is_named_and_can_be_confirmed() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=3)
    one, two, three = animals[0]
    user = make.make_member(survey)
    make.match(user, one, two)
    make.match(user, two, three)
    client, where = signed_in(user), address("decisions", survey.pk)
    body = {"anchor": one.pk, "candidate": three.pk, "verdict": "no_match", "version": 0}
    said = problem(send(client, "post", where, body), 409)
    assert (said["code"], said["pairs"]) == ("contradiction", [[one.pk, three.pk]])
    assert send(client, "post", where, body | {"confirm": True}).status_code == 201


def test_one_bad_row_does_not_stop_the_others() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    client = make.client_of(survey, Role.REVIEWER)
    foreign = make.make_sighting(make.make_survey())
    good = [pair(survey, animals), {**pair(survey, animals[1:]), "key": "mine"}]
    rows = [good[0], {**good[0], "candidate": foreign.pk}, {**good[0], "version": 9}, good[1]]
    where = address("decisions-bulk", survey.pk)
    answers = send(client, "post", where, {"decisions": rows}).json()
    assert [one["status"] for one in answers] == [201, 404, 409, 201]
    assert Decision.objects.count() == 2
    again = send(client, "post", where, {"decisions": [good[1]]}).json()
    assert again[0]["decision"] == answers[3]["decision"] is not None


def test_a_tag_saves_reading_again_and_guards_changes() -> None:
    survey, animals = make.make_reviewable_survey()
    user = make.make_member(survey, Role.CURATOR)
    make.match(user, animals[0][0], animals[0][1])
    client, where = signed_in(user), address("individual", Individual.objects.get().pk)
    first = client.get(where)
    assert client.get(where, headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert send(client, "patch", where, {"name": "Luna"}, **{"If-Match": first["ETag"]}).status_code == 200
    problem(send(client, "patch", where, {"name": "Nala"}, **{"If-Match": first["ETag"]}), 412)
    assert client.get(where, headers={"If-None-Match": first["ETag"]}).json()["name"] == "Luna"


# Lists


def test_pages_bring_every_photo_once_in_each_order() -> None:
    survey = make.make_survey()
    ids = {make.make_image(survey, captured_at=None if n % 3 else f"2026-01-0{1 + n} 10:00Z").pk for n in range(7)}
    client = make.client_of(survey, Role.CURATOR)
    for order in ("id", "-id", "captured_at", "-captured_at"):
        where: str | None = address("photos", survey.pk) + f"?limit=3&order={order}"
        seen: list[int] = []
        while where:
            page = client.get(where).json()
            seen += [row["id"] for row in page["results"]]
            where = page["next"]
        assert len(seen) == 7, order
        assert set(seen) == ids, order


def test_nobody_orders_or_filters_by_what_is_not_shown() -> None:
    survey = make.make_survey()
    make.make_image(survey, has_person=True)
    client = make.client_of(survey, Role.VIEWER)
    where = address("photos", survey.pk)
    for query in ({"order": "gps_latitude"}, {"order": "station__latitude"}, {"show": "people"}):
        problem(client.get(where, query), 400)
    assert client.get(where).json()["results"] == []
    assert client.get(address("survey", survey.pk)).json()["people"] is None


def test_an_unexpected_error_is_a_problem_and_says_nothing(monkeypatch: Any) -> None:
    def broken(*_: Any) -> bool:
        raise RuntimeError("a secret")

    monkeypatch.setattr(account.permissions, "is_administrator", broken)
    client = signed_in(make.make_user())
    client.raise_request_exception = False
    response = client.get(address("account"))
    assert "secret" not in json.dumps(problem(response, 500))


def test_a_database_that_is_away_is_told_as_such(monkeypatch: Any) -> None:
    def away(*_: Any) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(account.permissions, "is_administrator", away)
    response = signed_in(make.make_user()).get(address("account"))
    problem(response, 503)
    assert response["Retry-After"] == "10"


def test_the_schema_is_for_those_who_are_signed_in() -> None:
    problem(Client().get(address("schema")), 401)
    assert signed_in(make.make_user()).get(address("schema")).status_code == 200
    assert Client().get(address("docs"))["Location"].startswith(reverse("login"))
    assert Client().get(address("health")).status_code == 200


def test_pictures_come_with_a_token_to_those_who_may_see_them() -> None:
    survey, animals = make.make_reviewable_survey()
    media = address("media", "crop", animals[0][0].pk)
    for user, status in ((make.make_member(survey, Role.VIEWER), 200), (make.make_user(), 404)):
        _, text = ApiToken.objects.create(user=user, name="a script")
        response = Client().get(media, headers={"Authorization": f"Token {text}", "Accept": "image/png"})
        assert response.status_code == status
        if status == 200:
            assert b"".join(response).startswith(b"\xff\xd8\xff")
    problem(Client().get(media), 401)


def test_pairs_confirmed_at_a_glance_are_taken_back_together() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    client = make.client_of(survey, Role.REVIEWER)
    rows = [{"anchor": a.pk, "candidate": b.pk, "version": 0, "shown": 0.97} for a, b in animals]
    key = {"Idempotency-Key": "this glance"}
    done = send(client, "post", address("certain-confirm", survey.pk), {"pairs": rows}, **key).json()
    assert len(done["recorded"]) == 2
    assert done == send(client, "post", address("certain-confirm", survey.pk), {"pairs": rows}, **key).json()
    undone = send(client, "post", address("decisions-undo", survey.pk), {"of": "this glance"}).json()
    assert undone["count"] == 2
    assert client.get(address("decisions", survey.pk)).json() == []


def test_what_is_told_of_own_decisions_does_not_tell_checks_from_decisions() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    Survey.objects.filter(pk=survey.pk).update(second_review_share=1.0)
    one, two = animals[0]
    decision_record(acting_user=make.make_member(survey), first=one, second=two, verdict="match", anchor=one)
    user = make.make_member(survey, Role.REVIEWER)
    client = signed_in(user)
    decided = {}
    for _ in range(10):
        questions = send(client, "post", address("questions", survey.pk), {}).json()["questions"]
        if not questions:
            break
        for row in questions:
            body = {name: row[name] for name in ("anchor", "candidate", "check", "version")} | {"verdict": "no_match"}
            answer = send(client, "post", address("decisions", survey.pk), body)
            if answer.status_code == 201:
                decided[answer.json()["key"]] = answer.json()
    assert Opinion.objects.filter(user=user).exists()
    assert Decision.objects.filter(acting_user=user).exists()
    listed = client.get(address("decisions", survey.pk)).json()
    assert {row["key"] for row in listed} == set(decided)
    assert {row["decision"] for row in listed} == {None}
    assert len({frozenset(row) for row in listed}) == 1


def test_long_lists_ask_as_little_as_short_ones(django_assert_max_num_queries: Any) -> None:
    survey, animals = make.make_reviewable_survey(individuals=4, photos=4)
    user = make.make_member(survey, Role.CURATOR)
    for one, two, *_ in animals:
        make.match(user, one, two)
    client = signed_in(user)
    for where in (address("photos", survey.pk), address("species", survey.pk), address("individuals")):
        client.get(where)
        with django_assert_max_num_queries(30) as few:
            assert len(client.get(where, {"limit": 1}).json()["results"]) == 1
        with django_assert_max_num_queries(len(few)):
            assert len(client.get(where).json()["results"]) >= 4


def test_a_reviewer_proposes_a_merge_that_a_curator_does() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    for one, two in animals:
        make.match(make.make_member(survey), one, two)
    first, second = Individual.objects.order_by("pk")
    boxes = {"other": second.pk, "boxes": [animals[0][0].pk, animals[1][0].pk]}
    where, waits = address("merge", first.pk), {}
    for role in (Role.REVIEWER, Role.CURATOR):
        client = make.client_of(survey, role)
        preview = send(client, "post", address("merge-preview", first.pk), boxes).json()
        assert preview["refused"] == ""
        assert problem(send(client, "post", where, boxes | {"state": "of another time"}), 422)
        waits[role] = send(client, "post", where, boxes | {"state": preview["state"]}).json()["waits"]
        assert Individual.objects.filter(retired=False).count() == (2 if role == Role.REVIEWER else 1)
    assert waits == {Role.REVIEWER: True, Role.CURATOR: False}


def test_photos_split_off_and_come_back() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=3)
    one, two, three = animals[0]
    user = make.make_member(survey, Role.CURATOR)
    make.match(user, one, two)
    make.match(user, two, three)
    client, animal = signed_in(user), Individual.objects.get()
    preview = send(client, "post", address("split-preview", animal.pk), {"boxes": [three.pk]}).json()
    assert sorted(part["photos"] for part in preview["parts"]) == [1, 2]
    body = {"boxes": [three.pk], "state": preview["state"]}
    done = send(client, "post", address("split", animal.pk), body).json()
    three.refresh_from_db()
    assert three.individual_id != animal.pk
    assert send(client, "post", address("undo-together", done["decisions"][0])).status_code == 200
    three.refresh_from_db()
    assert three.individual_id == animal.pk
