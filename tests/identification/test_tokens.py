"""Tokens of programs: made once, hashed, revoked, expired; and that the API's settings let nobody else in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.urls import path, reverse
from django.utils import timezone
from rest_framework.decorators import api_view
from rest_framework.response import Response

from identification.errors import SpotIDError
from identification.models import ApiToken, AuditEntry
from identification.services.tokens import MOST, token_make, token_revoke
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


@api_view(["GET", "POST"])
def who(request: Any) -> Response:
    return Response({"who": request.user.username})


urlpatterns = [path("who/", who), path("login/", who, name="login"), path("account/", who, name="account")]


def ask(text: str = "", **headers: str) -> Any:
    """What a view with nothing but the project's settings answers to a program."""
    if text:
        headers["Authorization"] = f"Token {text}"
    with override_settings(ROOT_URLCONF=__name__):
        return Client(headers=headers).get("/who/")


def test_a_token_is_its_account_and_only_a_hash_is_kept() -> None:
    user = make.make_user("ana")
    token, text = token_make(acting_user=user, name="nightly export", days=30)
    answer = ask(text)
    assert (answer.status_code, answer.json()) == (200, {"who": "ana"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM identification_apitoken t")
        kept = cursor.fetchone()[0]
    assert text not in kept and text.startswith(token.token_key) and len(text) > 60
    assert text not in str(list(AuditEntry.objects.values()))
    assert token.expiry - timezone.now() < timedelta(days=30)


@pytest.mark.parametrize("text", ["", "spotid_0123456789", "x", "spotid_" + "0" * 64])
def test_without_a_right_one_the_answer_is_401(text: str) -> None:
    token_make(acting_user=make.make_user("ana"), name="a", days=30)
    answer = ask(text)
    assert answer.status_code == 401 and answer["WWW-Authenticate"] == "Token"


def test_a_wrong_one_beside_the_right_first_characters_is_refused() -> None:
    _, text = token_make(acting_user=make.make_user("ana"), name="a", days=30)
    assert ask(text[:-1] + ("0" if text[-1] != "0" else "1")).status_code == 401


def test_revoked_expired_and_closed_are_refused_at_once() -> None:
    user = make.make_user("ana")
    (first, one), (second, two), (_, three) = (token_make(acting_user=user, name=n, days=30) for n in "abc")
    token_revoke(acting_user=user, token=first)
    ApiToken.objects.filter(pk=second.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert [ask(text).status_code for text in (one, two, three)] == [401, 401, 200]
    user.is_active = False
    user.save()
    assert ask(three).status_code == 401


def test_when_it_was_used_is_written_to_the_minute_and_not_at_every_request(django_assert_num_queries) -> None:
    token, text = token_make(acting_user=make.make_user("ana"), name="a", days=30)
    ask(text)
    token.refresh_from_db()
    used = token.last_used_at
    assert abs(timezone.now() - used) < timedelta(minutes=1)
    ask(text)
    token.refresh_from_db()
    assert token.last_used_at == used
    ApiToken.objects.update(last_used_at=used - timedelta(minutes=2))
    ask(text)
    token.refresh_from_db()
    assert token.last_used_at > used - timedelta(minutes=1)


@pytest.mark.parametrize(("name", "days"), [("", 30), (" ", 30), ("x" * 81, 30), ("a", 0), ("a", 10_000)])
def test_a_token_has_a_name_and_an_end(name: str, days: int) -> None:
    with pytest.raises(SpotIDError):
        token_make(acting_user=make.make_user("ana"), name=name, days=days)
    assert not ApiToken.objects.exists()


def test_there_is_a_most() -> None:
    user = make.make_user("ana")
    for number in range(MOST):
        token_make(acting_user=user, name=str(number), days=30)
    with pytest.raises(SpotIDError, match="20"):
        token_make(acting_user=user, name="one more", days=30)


class TestPage:
    @pytest.fixture
    def client(self) -> Client:
        make.make_user("ana")
        client = Client()
        client.post(reverse("login"), {"username": "ana", "password": make.PASSWORD})
        return client

    def make_one(self, client: Client) -> Any:
        """The form asks for the password first, and then goes on with what was sent."""
        asked = client.post(reverse("token-make"), {"name": "nightly", "days": "30"})
        assert asked.url.startswith(reverse("account_reauthenticate")) and not ApiToken.objects.exists()
        return client.post(asked.url, {"password": make.PASSWORD})

    def test_it_is_shown_once(self, client) -> None:
        made = self.make_one(client)
        text = made.context["made_text"]
        assert text in made.content.decode() and "no-store" in made["Cache-Control"]
        assert ask(text).json() == {"who": "ana"}
        later = client.get(reverse("account")).content.decode()
        assert text not in later and ApiToken.objects.get().token_key in later

    def test_a_wrong_password_makes_none(self, client) -> None:
        asked = client.post(reverse("token-make"), {"name": "nightly", "days": "30"})
        client.post(asked.url, {"password": "guess"})
        assert not ApiToken.objects.exists()

    def test_one_revokes_ones_own_and_nobody_elses(self, client) -> None:
        text = self.make_one(client).context["made_text"]
        other, _ = token_make(acting_user=make.make_user("ben"), name="a", days=30)
        own = ApiToken.objects.get(user__username="ana")
        assert client.post(reverse("token-revoke", args=[other.token_key])).status_code == 404
        assert client.post(reverse("token-revoke", args=[own.token_key])).status_code == 302
        assert ask(text).status_code == 401
        assert list(ApiToken.objects.all()) == [other]
        told = AuditEntry.objects.filter(action__startswith="token", acting_user__username="ana").order_by("pk")
        key = {"user": "ana", "name": "nightly", "key": own.token_key}
        assert [
            (row.action, {k: v for k, v in (row.after or row.before).items() if k != "expires"}) for row in told
        ] == [
            ("token.make", key),
            ("token.revoke", key),
        ]


def test_administrators_see_all_and_revoke_them_and_others_none() -> None:
    token, text = token_make(acting_user=make.make_user("ana"), name="nightly", days=30)
    client, address = Client(), reverse("admin:identification_apitoken_changelist")
    client.force_login(make.make_user("clerk", is_staff=True))
    assert client.get(address).status_code == 403
    client.force_login(make.make_user("boss", superuser=True))
    assert "nightly" in client.get(address).content.decode()
    assert client.get(reverse("admin:identification_apitoken_add")).status_code == 403
    client.post(address, {"action": "delete_selected", "_selected_action": [token.pk], "post": "yes"})
    assert ask(text).status_code == 401
    assert AuditEntry.objects.get(action="token.revoke").acting_user.username == "boss"
