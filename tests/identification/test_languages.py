"""Choosing the language of the pages, and the words of scripts in it."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db


def _choose(client: Client, language: str, **form: str) -> str:
    return client.post(reverse("set_language"), {"language": language, **form}).headers["Location"]


def test_a_page_is_english_until_another_language_is_chosen_and_stays_in_it() -> None:
    client = client_of(make.make_survey())
    assert b'<html lang="en-gb">' in client.get("/").content
    assert _choose(client, "es", next="/individuals/") == "/individuals/"
    page = client.get("/individuals/")
    assert b'<html lang="es">' in page.content and page["Content-Language"] == "es"
    assert "Cookie" in page["Vary"], "a cache must not give one reader's language to another"


def test_the_sign_in_page_offers_the_other_language_in_its_own_name() -> None:
    client = Client()
    page = client.get(reverse("login")).content.decode()
    assert '<button class="as-link" name="language" value="es" lang="es">Español</button>' in page
    assert 'name="next" value="/login/"' in page
    _choose(client, "es")
    assert '<html lang="es">' in client.get(reverse("login")).content.decode()


def test_the_browser_may_say_its_language() -> None:
    page = Client(HTTP_ACCEPT_LANGUAGE="es-PE,es;q=0.9,en;q=0.5").get(reverse("login"))
    assert page["Content-Language"] == "es"
    assert Client(HTTP_ACCEPT_LANGUAGE="de,fr;q=0.5").get(reverse("login"))["Content-Language"] == "en-gb"


def test_choosing_a_language_leads_nowhere_else_and_an_unknown_one_changes_nothing() -> None:
    client = Client()
    assert _choose(client, "es", next="https://elsewhere.example/") == "/"
    assert _choose(Client(), "xx", next="/login/") == "/login/"
    assert client.get(reverse("login"))["Content-Language"] == "es"


def test_a_choice_from_the_answer_to_a_form_leads_to_a_page_that_can_be_opened() -> None:
    client = Client()
    page = client.post(reverse("login"), {"username": "nobody", "password": "wrong"}).content.decode()
    assert 'name="next" value="/"' in page.split('class="foot"')[1]


def test_scripts_get_their_words_only_where_they_differ_from_those_in_the_code() -> None:
    client = Client()
    assert "words.js" not in client.get(reverse("login")).content.decode()
    _choose(client, "es")
    address = f"{reverse('text-catalogue')}?language=es"
    assert f'<script src="{address}"></script>' in client.get(reverse("login")).content.decode()
    words = client.get(address)
    assert words["Content-Type"].startswith("text/javascript") and b"gettext" in words.content
    assert "private" in words["Cache-Control"]
    assert client.get(address, HTTP_IF_NONE_MATCH=words["ETag"]).status_code == 304
    assert client.get(f"{reverse('text-catalogue')}?language=xx").status_code == 404
