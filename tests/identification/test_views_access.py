"""Signing in and out, health, and what people see while the database is away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from identification.models import (
    ProcessingState,
)
from identification.selectors import health as health_selector
from spotid_site.sessions import SessionStore
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db


def test_signing_in_leads_to_the_surveys_and_out_again() -> None:
    user = make.make_user("ana")
    client = Client()
    refused = client.post(reverse("login"), {"username": "ana", "password": "guess"})
    assert "do not belong together" in refused.content.decode()
    response = client.post(reverse("login"), {"username": "ana", "password": make.PASSWORD, "next": ""})
    assert response.url == reverse("survey-list")
    assert client.get(reverse("survey-list")).context["user"] == user
    assert client.post(reverse("logout")).url == reverse("login")
    assert client.get(reverse("survey-list")).status_code == 302


def test_signing_in_never_leads_to_another_site() -> None:
    make.make_user("ana")
    form = {"username": "ana", "password": make.PASSWORD, "next": "https://evil.example/"}
    assert Client().post(reverse("login"), form).url == reverse("survey-list")


def test_the_password_can_be_changed() -> None:
    user = make.make_user("ana")
    client = Client()
    client.force_login(user)
    new = "a quite different phrase 7"
    form = {"old_password": make.PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post(reverse("password_change"), form).status_code == 302
    user.refresh_from_db()
    assert user.check_password(new)


def test_health_is_told_past_the_proxy_and_all_else_goes_by_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/health/").status_code == 200
    for address in ("/login/", "/health/x", "/api/v1/health/"):
        assert Client().get(address).status_code == 301


def test_health_tells_whether_a_worker_lives_and_what_waits() -> None:
    empty = Client().get("/health/").json()
    assert empty == {
        "status": "ok",
        "database": "ok",
        "worker": {"state": "never", "seconds_since_heartbeat": None},
        "photos_waiting": 0,
    }
    make.make_image(make.make_survey(), state=ProcessingState.PENDING, files=False)
    beat = make.make_heartbeat(age=timedelta(seconds=5))
    state = Client().get("/health/").json()
    assert (state["worker"]["state"], state["photos_waiting"]) == ("alive", 1)
    beat.delete()
    make.make_heartbeat(age=timedelta(minutes=10))
    assert Client().get("/health/").json()["worker"]["state"] == "silent"


def _away(*args: object, **kwargs: object) -> None:
    raise OperationalError("server closed the connection unexpectedly: host=secret.example")


def test_health_is_503_while_the_database_is_away(monkeypatch) -> None:
    monkeypatch.setattr(health_selector, "heartbeat_age", _away)
    response = Client().get("/health/")
    assert (response.status_code, response.json()["database"]) == (503, "away")
    assert b"secret" not in response.content


def test_a_page_is_503_and_never_half_while_the_database_is_away(monkeypatch) -> None:
    survey = make.make_survey()
    client = client_of(survey)
    client.raise_request_exception = False
    monkeypatch.setattr("identification.views.surveys.survey_cards", _away)
    response = client.get(reverse("survey-list"))
    assert response.status_code == 503
    assert response["Retry-After"] == "10"
    text = response.content.decode()
    assert "The database is away" in text and "secret" not in text


def test_losing_the_database_before_the_view_is_503_too(monkeypatch) -> None:
    client = client_of(make.make_survey())
    client.raise_request_exception = False
    monkeypatch.setattr(SessionStore, "load", _away)
    assert client.get(reverse("survey-list")).status_code == 503


def test_another_fault_is_500_and_says_no_secret(monkeypatch) -> None:
    client = client_of(make.make_survey())
    client.raise_request_exception = False

    def fail(*args: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("identification.views.surveys.survey_cards", fail)
    response = client.get(reverse("survey-list"))
    assert response.status_code == 500
    assert b"hunter2" not in response.content
