"""A NUL character anywhere is a request that is not understood: 400, never an error of the server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings as site
from django.db import DataError, connection, transaction
from django.test import Client, RequestFactory
from django.urls import reverse

from identification.models import User
from identification.views.readable import ReadableText
from tests.identification.test_api_matrix import RULES as API_RULES
from tests.identification.test_api_matrix import _filled, _ids
from tests.identification.test_api_matrix import everything as api_everything
from tests.identification.test_views_matrix import RULES, _args
from tests.identification.test_views_matrix import world as page_world

pytestmark = pytest.mark.django_db
world, everything = page_world, api_everything
NUL = "a\x00b"
# What forms of the pages and queries call text.
FIELDS = (
    *("username", "name", "q", "who", "action", "note", "code", "camera", "station", "role", "reach", "kind", "folder"),
    *("species", "reason", "unusable_reason", "text", "threshold", "date_order", "first", "last", "order", "show"),
    *("population", "survey", "next", "pair", "mode", "view", "language", "provider", "run", "search"),
)


def boss(world: dict[str, Any]) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(world["accounts"]["administrator"])
    return client


def test_no_page_falls_over_a_nul_in_a_field(world: dict[str, Any]) -> None:
    """Every address of the pages, with a NUL in every field that one of them reads."""
    client, answers = boss(world), {}
    ids = {name: found.pk for name, found in world.items() if hasattr(found, "pk")}
    for rule in RULES:
        if rule.name == "logout":
            continue
        point = transaction.savepoint()
        where = reverse(rule.name, args=_args(rule, ids))
        response = getattr(client, rule.method)(where, {**rule.form, **dict.fromkeys(FIELDS, NUL)})
        transaction.savepoint_rollback(point)
        answers[str(rule)] = response.status_code
    assert {rule: status for rule, status in answers.items() if status != 400} == {}


def test_what_is_refused_so_is_told_on_a_page_and_the_next_request_is_answered(world: dict[str, Any]) -> None:
    client = boss(world)
    refused = client.post(reverse("survey-members", args=[world["survey"].pk]), {"username": NUL, "role": "viewer"})
    assert refused.status_code == 400
    assert b"The request was not understood" in refused.content
    assert client.get(reverse("individual-list"), {"q": "L-1"}).status_code == 200
    assert client.get(reverse("admin:identification_user_changelist"), {"q": NUL}).status_code == 400
    assert Client().post(reverse("login"), {"username": NUL, "password": NUL}).status_code == 400


def test_no_operation_falls_over_a_nul_in_a_text(everything: dict[str, Any]) -> None:
    """Each text of a body or query of the matrix, and each value that could be one, with a NUL in it."""
    client, ids, answers = boss(everything), _ids(everything), {}
    tokens = {"api-token"}
    for rule in API_RULES:
        if rule.name in tokens or isinstance(rule.body, bytes) or "imports" in rule.name:
            continue
        args = [ids.get(part, part.removeprefix("=")) for part in rule.args.split(":") if part]
        query = dict.fromkeys((*FIELDS, "cursor"), NUL) | dict.fromkeys(rule.query, NUL)
        data = json.dumps(_spoilt(_filled(rule.body, ids))) if rule.method != "get" else ""
        point = transaction.savepoint()
        response = client.generic(
            rule.method.upper(), reverse(rule.name, args=args), data, "application/json", query_params=query
        )
        if response.streaming:
            b"".join(response)
        transaction.savepoint_rollback(point)
        answers[str(rule)] = response.status_code
    assert {rule: status for rule, status in answers.items() if status >= 500} == {}
    assert sum(status == 400 for status in answers.values()) > 60


def _spoilt(body: Any) -> Any:
    """Every text of a body with a NUL in it."""
    if isinstance(body, dict):
        return {name: _spoilt(value) for name, value in body.items()} | {"name": NUL, "note": NUL, "notes": NUL}
    if isinstance(body, list):
        return [_spoilt(value) for value in body]
    return NUL if isinstance(body, str) else body


@pytest.mark.parametrize("path", ["photos/a\x00.jpg", "a\x00"])
def test_paths_of_files_that_are_announced(world: dict[str, Any], path: str) -> None:
    """What a script of a page sends as JSON."""
    body = json.dumps({"files": [{"path": path, "size": 3}]})
    where = reverse("ingest-announce", args=[world["survey"].pk])
    assert boss(world).post(where, body, "application/json").status_code < 500


def test_a_form_in_place_of_bytes_is_not_understood_either(world: dict[str, Any]) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(world["accounts"]["administrator"])
    token = client.get(reverse("survey-ingest", args=[world["survey"].pk])).context["csrf_token"]
    where = reverse("ingest-announce", args=[world["survey"].pk])
    assert client.post(where, {"files": "a.jpg", "csrfmiddlewaretoken": str(token)}).status_code == 400


def test_what_only_the_database_notices_is_answered_alike_and_nothing_else_is_hidden(rf: RequestFactory) -> None:
    middleware = ReadableText(lambda request: pytest.fail("it is not asked"))
    with pytest.raises(DataError) as refused, transaction.atomic():
        User.objects.filter(username=NUL).first()
    told = middleware.process_exception(rf.get("/"), refused.value)
    assert told is not None
    assert told.status_code == 400
    with pytest.raises(DataError) as other, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert middleware.process_exception(rf.get("/"), other.value) is None


@pytest.fixture(autouse=True)
def _no_limit(no_api_limit: None) -> None:
    assert "identification.views.readable.ReadableText" in site.MIDDLEWARE
