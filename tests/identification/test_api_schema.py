"""The schema of the API, and that nothing answers outside it: schemathesis asks what nobody would.

It takes about a minute; SPOTID_SCHEMATHESIS_SECONDS gives it longer.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from identification.models import ApiToken
from spotid_site.wsgi import application
from tests.identification.test_api_matrix import _ids as ids_of
from tests.identification.test_api_matrix import everything as api_everything
from tests.identification.test_views_matrix import world as page_world

world, everything = page_world, api_everything
SECONDS = float(os.environ.get("SPOTID_SCHEMATHESIS_SECONDS", "60"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What parts of addresses name, in the world of the matrix.
_NAMED = {
    "survey_id": "survey",
    "population_id": "population",
    "image_id": "image",
    "detection_id": "detection",
    "individual_id": "individual",
    "decision_id": "decision",
    "station_id": "station",
    "membership_id": "membership",
    "model_id": "model",
    "file_id": "file",
    "request_id": "received",
}


def test_the_schema_is_valid_and_says_everything(tmp_path: Path) -> None:
    file = tmp_path / "schema.yml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))
    assert file.read_text(encoding="utf-8").count("operationId:") > 120


def _named(path: str, parameters: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    """The parts of an address with ids of things that are there."""
    runs = {"import": "import", "export": "export", "training": "training"}
    found = {name: ids[_NAMED[name]] for name in parameters if name in _NAMED}
    if "run_id" in parameters:
        found["run_id"] = next(ids[thing] for word, thing in runs.items() if word in path)
    return parameters | found


def _filled(body: Any, ids: dict[str, int]) -> Any:
    """A body that names things that are there where it names any."""
    one, two = ids["detection"], ids["candidate"]
    known = {
        **{"anchor": one, "candidate": two, "boxes": [one], "pair": [one, two], "station": ids["station"]},
        **{"population": ids["population"], "individual": ids["individual"], "entry": ids["triage"]},
        **{"id": ids["link"], "group": ids["link"], "decision": ids["decision"], "version": 0},
    }
    if isinstance(body, dict):
        return {name: known[name] if name in known else _filled(value, ids) for name, value in body.items()}
    return [_filled(value, ids) for value in body] if isinstance(body, list) else body


def _rounds(until: float) -> Iterator[tuple[int, GenerationMode]]:
    number = 0
    while time.monotonic() < until:
        yield number, GenerationMode.NEGATIVE if number % 3 == 2 else GenerationMode.POSITIVE
        number += 1


def _tried(operation: Any, mode: GenerationMode, number: int, ask: Any, until: float) -> None:
    @seed(number)
    @settings(
        max_examples=3,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.sampled_from([True, True, True, False]))
    def tried(case: Any, known: bool) -> None:
        if time.monotonic() < until:
            ask(case, known)

    tried()


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests go on in the transaction of the test, and do not close its connection."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.django_db
@pytest.mark.usefixtures("one_connection")
@pytest.mark.filterwarnings("ignore")
def test_nothing_answers_outside_the_schema(everything: dict[str, Any]) -> None:
    """As an administrator and as a curator, with ids that are there and ids of nothing."""
    ids = ids_of(everything)
    signs = {
        who: {"Authorization": f"Token {ApiToken.objects.create(user=everything['accounts'][who], name=who)[1]}"}
        for who in ("administrator", "curator")
    }
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", application, headers=signs["curator"])
    until, counted = time.monotonic() + SECONDS, Counter[int]()

    def ask(case: Any, known: bool) -> None:
        if known:
            case.path_parameters = _named(case.path, case.path_parameters or {}, ids)
            case.body = _filled(case.body, ids) if number % 3 == 0 else case.body
        point = transaction.savepoint()
        response = case.call(headers=signs["administrator" if number % 2 else "curator"])
        counted[response.status_code] += 1
        assert not connection.needs_rollback, case.formatted_path
        transaction.savepoint_rollback(point)
        # Else thousands of them pile up, each with its lock.
        transaction.savepoint_commit(point)
        case.validate_response(response, checks=CHECKS)

    for number, mode in _rounds(until):
        for found in schema.get_all_operations():
            try:
                _tried(found.ok(), mode, number, ask, until)
            except Unsatisfiable:
                continue
    assert counted[200] + counted[201] > 20, counted
    assert sum(counted.values()) > 100, counted
