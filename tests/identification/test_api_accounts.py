"""Accounts and tokens of others through the API, and what a token may not say of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import AuditEntry, User
from identification.models.access import ApiToken
from tests.identification import factories as make
from tests.identification.api_client import address, problem, send, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_api_limit")]


def confirmed(user: User) -> Client:
    """A browser in which the password was given a moment ago."""
    client = Client()
    client.post(reverse("login"), {"username": user.username, "password": make.PASSWORD})
    assert client.post(reverse("account_reauthenticate"), {"password": make.PASSWORD}).status_code == 302
    return client


def test_an_account_is_made_named_and_switched_off(boss: User) -> None:
    client = signed_in(boss)
    said = {"username": "field team", "first_name": "Asha", "email": "asha@example.org"}
    problem(send(client, "post", address("accounts"), said), 400)
    made = send(client, "post", address("accounts"), said | {"username": "asha"}).json()
    assert (made["active"], made["administrator"], made["has_password"], made["memberships"]) == (
        True,
        False,
        False,
        [],
    )
    problem(send(client, "post", address("accounts"), {"username": "asha"}), 400)
    where = address("one-account", made["id"])
    tag = client.get(where)["ETag"]
    assert send(client, "patch", where, {"last_name": "Rao"}, **{"If-Match": tag}).json()["last_name"] == "Rao"
    problem(send(client, "patch", where, {"active": False}, **{"If-Match": tag}), 412)
    user = User.objects.get(username="asha")
    text = ApiToken.objects.create(user=user, name="hers")[1]
    own = {"Authorization": f"Token {text}"}
    assert Client().get(address("account"), headers=own).json()["first_name"] == "Asha"
    assert send(client, "patch", where, {"active": False}).json()["active"] is False
    problem(Client().get(address("account"), headers=own), 401)
    assert [
        row["username"] for row in client.get(address("accounts"), {"q": "ASH", "active": "false"}).json()["results"]
    ] == ["asha"]
    actions = AuditEntry.objects.filter(object_id=user.pk, object_type="user").values_list("action", flat=True)
    assert sorted(actions) == ["user.create", "user.update", "user.update"]


def test_nobody_changes_their_own_rights_and_a_token_makes_no_administrator(boss: User) -> None:
    text = ApiToken.objects.create(user=boss, name="a script")[1]
    clerk = make.make_user("clerk")
    where = address("one-account", clerk.pk)
    body = {"administrator": True}
    token = {"Authorization": f"Token {text}"}
    problem(send(Client(), "patch", where, body, **token), 403)
    assert send(Client(), "patch", where, {"first_name": "Kim"}, **token).status_code == 200
    client = confirmed(boss)
    problem(send(client, "patch", address("one-account", boss.pk), {"active": False}), 422)
    problem(send(client, "patch", address("one-account", boss.pk), {"administrator": False}), 422)
    assert not User.objects.get(pk=clerk.pk).is_superuser
    assert send(client, "patch", where, body).json()["administrator"] is True
    assert User.objects.get(pk=clerk.pk).is_superuser


def test_administrators_revoke_anybodys_token_and_others_only_their_own(boss: User) -> None:
    clerk = make.make_user("clerk")
    token = ApiToken.objects.create(user=clerk, name="an old script")[0]
    problem(signed_in(make.make_user("other")).delete(address("token", token.token_key)), 404)
    client = signed_in(boss)
    (row,) = client.get(address("account-tokens", clerk.pk)).json()["results"]
    assert (row["name"], row["key"]) == ("an old script", token.token_key)
    assert client.delete(address("token", row["key"])).status_code == 204
    assert not ApiToken.objects.exists()


def test_the_list_of_accounts_asks_the_same_whatever_their_number(
    boss: User, django_assert_max_num_queries: Any
) -> None:
    survey = make.make_survey()
    client = signed_in(boss)
    for _ in range(12):
        make.make_member(survey, "viewer")
    with django_assert_max_num_queries(12):
        rows = client.get(address("accounts")).json()["results"]
    assert len(rows) == 13
    assert rows[-1]["memberships"][0]["survey"]["id"] == survey.pk


def test_words_come_in_the_language_that_is_asked_for(boss: User) -> None:
    client = signed_in(boss)
    said = {
        language: client.get(address("survey", 10**9), headers={"Accept-Language": language}).json()["detail"]
        for language in ("en", "es")
    }
    assert said["en"] == "There is nothing here that you may see."
    assert said["es"] != said["en"]
