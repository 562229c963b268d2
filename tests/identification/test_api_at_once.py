"""One key from two sides at the same moment."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from identification.api import transfers
from identification.models import ExportRun, RequestKey, Role
from tests.identification import factories as make


@pytest.mark.django_db(transaction=True)
def test_two_requests_under_one_key_at_once_are_done_once(monkeypatch: Any) -> None:
    survey = make.make_survey()
    user = make.make_member(survey, Role.CURATOR)
    begun, go_on, answers = threading.Event(), threading.Event(), {}
    request = transfers.export_request

    def slow(**named: Any) -> ExportRun:
        begun.set()
        assert go_on.wait(20)
        return request(**named)

    monkeypatch.setattr(transfers, "export_request", slow)

    def ask(name: str) -> None:
        client = Client()
        client.force_login(user)
        where = reverse("api-survey-exports", args=[survey.pk])
        body = json.dumps({"formats": ["csv"]})
        answers[name] = client.post(where, body, "application/json", headers={"Idempotency-Key": "Monday"})
        connection.close()

    first, second = (threading.Thread(target=ask, args=(name,)) for name in ("first", "second"))
    first.start()
    assert begun.wait(20)
    begun.clear()
    second.start()
    # The second waits for the first one's transaction, and never begins the work.
    assert not begun.wait(1)
    go_on.set()
    first.join(20)
    second.join(20)
    assert [answers[name].status_code for name in ("first", "second")] == [202, 202]
    assert answers["first"].json() == answers["second"].json()
    assert ExportRun.objects.count() == RequestKey.objects.count() == 1
