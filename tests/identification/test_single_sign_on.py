"""Single sign-on against a provider that really answers: who gets in, as whom, and who does not."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse
from environs import Env

from identification.models import AuditEntry, User
from identification.services.sign_ins import sign_on_disconnect
from spotid_site.sign_in import single_sign_on
from tests.identification import factories as make
from tests.identification.openid_provider import CLIENT, SECRET, Provider, provider_running
from tests.identification.test_sign_in import code_of, is_in, sign_in, with_second_factor

pytestmark = pytest.mark.django_db

START = "/login/sso/start/"
ANA = {"sub": "1001", "email": "ana@example.org", "email_verified": True, "preferred_username": "ana.lopez"}


@pytest.fixture
def provider(settings, monkeypatch) -> Iterator[Provider]:
    with provider_running() as running:
        monkeypatch.setenv("SPOTID_OIDC_SERVER", running.address)
        monkeypatch.setenv("SPOTID_OIDC_NAME", "the institute")
        monkeypatch.setenv("SPOTID_OIDC_CLIENT", CLIENT)
        monkeypatch.setenv("SPOTID_OIDC_SECRET", SECRET)
        settings.SOCIALACCOUNT_PROVIDERS = single_sign_on(Env())
        running.redirects.add("http://testserver/login/sso/callback/")
        running.person = dict(ANA)
        yield running


def go(address: str) -> str:
    """What a browser does at the provider: follow its redirect back; returns the address here."""
    parts = urlsplit(address)
    asking = http.client.HTTPConnection(parts.netloc, timeout=10)
    asking.request("GET", f"{parts.path}?{parts.query}")
    answer = asking.getresponse()
    assert answer.status == 302, answer.status
    back = urlsplit(answer.headers["Location"])
    asking.close()
    return f"{back.path}?{back.query}"


def come(client: Client | None = None, query: str = "") -> Any:
    """The whole way through the provider; the answer of the last page, its client beside it."""
    client = client or Client()
    sent = client.get(START + query)
    assert sent.status_code == 302, sent
    response = client.get(go(sent.url))
    response.client = client
    return response


def test_without_settings_there_is_no_such_door() -> None:
    assert single_sign_on(Env()) == {}
    page = Client().get(reverse("login")).content.decode()
    assert "Sign in with" not in page and START not in page
    assert Client().get(START).status_code == 404


@pytest.mark.parametrize(
    ("server", "client", "secret", "words"),
    [
        ("https://login.example.org", "", "s", "SPOTID_OIDC_CLIENT"),
        ("https://login.example.org", "c", "", "SPOTID_OIDC_SECRET"),
        ("http://login.example.org", "c", "s", "https"),
        ("login.example.org", "c", "s", "https"),
    ],
)
def test_half_a_door_is_refused_at_the_start(monkeypatch, server: str, client: str, secret: str, words: str) -> None:
    for name, value in (("SERVER", server), ("CLIENT", client), ("SECRET", secret)):
        monkeypatch.setenv(f"SPOTID_OIDC_{name}", value)
    with pytest.raises(ImproperlyConfigured, match=words):
        single_sign_on(Env())


def test_a_row_of_the_database_opens_no_door() -> None:
    SocialApp.objects.create(
        provider="openid_connect",
        provider_id="sso",
        name="x",
        client_id="x",
        settings={"server_url": "http://127.0.0.1:9"},
    )
    assert Client().get(START).status_code == 404


def test_the_page_offers_it_and_it_is_asked_with_state_and_proof_of_possession(provider) -> None:
    page = Client().get(reverse("login"), {"next": "/individuals/"}).content.decode()
    assert "Sign in with the institute" in page and f"{START}?next=%2Findividuals%2F" in page
    asked = parse_qs(urlsplit(Client().get(START).url).query)
    assert asked["code_challenge_method"] == ["S256"] and len(asked["state"][0]) >= 8
    assert set(asked["scope"][0].split()) == {"openid", "profile", "email"}


def test_a_verified_address_finds_the_account_and_the_subject_finds_it_ever_after(provider) -> None:
    ana = make.make_user("ana", email="Ana@Example.org")
    came = come(query="?next=/individuals/")
    assert came.url == "/individuals/" and is_in(came.client)
    assert User.objects.count() == 1 and SocialAccount.objects.get().user == ana
    told = list(AuditEntry.objects.order_by("pk").values_list("action", "after"))
    how = {"how": "single sign-on", "address": "127.0.0.1"}
    assert told == [("single_sign_on.connect", {"provider": "sso"}), ("sign_in", how)]
    User.objects.filter(pk=ana.pk).update(email="")
    provider.person = {"sub": "1001"}
    assert is_in(come().client)


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email": "somebody@example.org"},
        {"email": None, "preferred_username": "ana"},
    ],
)
def test_anything_less_finds_nobody(provider, claims: dict[str, Any]) -> None:
    make.make_user("ana", email="ana@example.org")
    provider.person = ANA | claims
    came = come()
    assert came.status_code == 403 and "no account for you" in came.content.decode()
    assert not is_in(came.client) and User.objects.count() == 1 and not SocialAccount.objects.exists()
    assert AuditEntry.objects.get().after["why"] == "single sign-on without an account"


def test_two_accounts_with_one_address_are_not_chosen_between(provider) -> None:
    for name in ("ana", "ana2"):
        make.make_user(name, email="ana@example.org")
    assert come().status_code == 403


def test_administrators_are_not_found_by_a_claim_but_connect_themselves(provider) -> None:
    boss = make.make_user("boss", superuser=True, email="ana@example.org")
    assert come().status_code == 403
    client = sign_in("boss").client
    asked = come(client, "?process=connect")
    assert asked.url.startswith(reverse("account_reauthenticate"))
    done = client.post(asked.url, {"password": make.PASSWORD})
    assert done.url == reverse("account") and SocialAccount.objects.get().user == boss
    assert "Connected with the institute" in client.get(done.url).content.decode()
    assert is_in(come().client)


def test_by_user_name_where_the_administrator_chose_so(provider, settings) -> None:
    settings.SPOTID_OIDC_MATCH = "username"
    make.make_user("ana.lopez")
    assert is_in(come().client)
    provider.person = ANA | {"sub": "7", "preferred_username": "Ana.Lopez"}
    assert come().status_code == 403, "a name is a name letter by letter"


def test_by_nothing_where_the_administrator_chose_so(provider, settings) -> None:
    settings.SPOTID_OIDC_MATCH = "none"
    make.make_user("ana.lopez", email="ana@example.org")
    assert come().status_code == 403


class TestNewAccounts:
    @pytest.fixture(autouse=True)
    def allowed(self, settings) -> None:
        settings.SPOTID_OIDC_NEW_ACCOUNTS = True

    def test_one_is_made_and_sees_nothing_until_somebody_makes_it_a_member(self, provider) -> None:
        survey = make.make_survey()
        came = come()
        user = User.objects.get()
        rights = (user.is_staff, user.is_superuser, user.has_usable_password(), user.memberships.exists())
        assert (user.username, user.email, rights) == ("ana.lopez", "ana@example.org", (False,) * 4)
        assert b"No survey is open to you yet" in came.client.get(reverse("survey-list")).content
        assert came.client.get(reverse("survey-detail", args=[survey.pk])).status_code == 404
        made = AuditEntry.objects.get(action="user.create")
        assert (made.acting_user, made.after["by"]) == (None, "single sign-on")
        page = came.client.get(reverse("account")).content.decode()
        assert "no password" in page and reverse("mfa_activate_totp") not in page
        make.make_member(survey, user=user)
        assert is_in(come().client) and User.objects.count() == 1

    def test_an_address_that_is_not_verified_is_not_taken_over(self, provider) -> None:
        provider.person = ANA | {"email_verified": False}
        come()
        assert User.objects.get().email == ""

    @pytest.mark.parametrize("taken", [{"username": "Ana.Lopez"}, {"username": "x", "email": "ANA@example.org"}])
    def test_nobody_gets_an_account_that_looks_like_somebody_elses(self, provider, taken, settings) -> None:
        settings.SPOTID_OIDC_MATCH = "none"
        make.make_user(taken.pop("username"), **taken)
        assert come().status_code == 403 and User.objects.count() == 1


class TestRefused:
    def test_closed_accounts_stay_closed(self, provider) -> None:
        ana = make.make_user("ana", email="ana@example.org")
        come()
        User.objects.filter(pk=ana.pk).update(is_active=False)
        came = come()
        assert came.url == reverse("account_inactive") and not is_in(came.client)

    def test_the_second_factor_is_asked_all_the_same(self, provider) -> None:
        _, secret, _ = with_second_factor(make.make_user("ana", email="ana@example.org"))
        came = come()
        assert came.url == reverse("mfa_authenticate") and not is_in(came.client)
        came.client.post(came.url, {"code": code_of(secret)})
        assert is_in(came.client)

    def test_an_answer_that_was_not_asked_for_or_comes_twice_signs_nobody_in(self, provider) -> None:
        make.make_user("ana", email="ana@example.org")
        answer = go(Client().get(START).url)
        stranger = Client()
        assert stranger.get(answer).status_code == 401 and not is_in(stranger)
        client = Client()
        answer = go(client.get(START).url)
        client.get(answer)
        client.post(reverse("logout"))
        assert client.get(answer).status_code == 401 and not is_in(client)

    def test_breaking_off_and_a_provider_that_is_down_are_told_calmly(self, provider) -> None:
        provider.person = None
        cancelled = come()
        assert cancelled.url == reverse("socialaccount_login_cancelled")
        assert "nothing happened" in cancelled.client.get(cancelled.url).content.decode()
        provider.person = dict(ANA)
        client = Client()
        back = go(client.get(START).url)
        provider.down = True
        failed = client.get(back)
        assert failed.status_code == 503 and "did not work" in failed.content.decode()
        start = Client().get(START)
        assert start.status_code == 503 and "did not work" in start.content.decode()

    def test_an_ended_connection_is_written_down(self, provider) -> None:
        ana, boss = make.make_user("ana", email="ana@example.org"), make.make_user("boss", superuser=True)
        come()
        assert sign_on_disconnect(acting_user=boss, user=ana) == 1 and not SocialAccount.objects.exists()
        assert AuditEntry.objects.filter(action="single_sign_on.disconnect", acting_user=boss).count() == 1
