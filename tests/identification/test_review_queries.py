"""How often a page of the review asks the database: as often for a large survey as for a small one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.models import Survey
from identification.selectors import review_questions
from identification.views import review_queue
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db
JSON = {"HTTP_ACCEPT": "application/json"}


def surveys() -> Iterator[Survey]:
    """Of growing size, each with an animal of two photos that is compared with others."""
    for individuals, photos in ((2, 3), (3, 4), (5, 6)):
        survey, animals = make.make_reviewable_survey(individuals=individuals, photos=photos)
        for animal in animals:
            match(None, *animal[:2])
        yield survey


def asked(client: Client, address: str, data: dict[str, Any], **more: str) -> int:
    client.get(address, data, **more)  # the queue is made once
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address, data, **more).status_code == 200
    return len(queries)


@pytest.mark.parametrize("name", ["review", "review-ahead"])
@pytest.mark.parametrize("order", ["queue", "photo"])
def test_a_page_and_what_comes_next_ask_as_often_whatever_the_survey_holds(name: str, order: str) -> None:
    found = []
    for survey in surveys():
        client = make.client_of(survey)
        client.post(reverse("review-mode", args=[survey.pk]), {"mode": order})
        data = {"order": "photo"} if order == "photo" and name == "review-ahead" else {}
        more = JSON if name == "review-ahead" else {}
        found.append(asked(client, reverse(name, args=[survey.pk]), data, **more))
    # Whether the catalogue has any animal is asked where a photo without one is shown.
    assert max(found) - min(found) <= 1 and max(found) <= 40, found


def test_a_question_that_somebody_else_was_quicker_with_is_not_read(monkeypatch) -> None:
    """Of two that are chosen one is read: what is lost between choice and lease costs its lease and the next choice."""
    survey = list(surveys())[-1]
    client = make.client_of(survey)
    address = reverse("review", args=[survey.pk])
    usual = asked(client, address, {})
    page = client.get(address).context["page"]
    first = (page.question.pair.a, page.question.pair.b)
    lease, read = review_queue.questions_lease, []
    of = review_questions.asked_of

    def quicker(*, user, survey, pairs):  # type: ignore[no-untyped-def]
        return [] if first in pairs else lease(user=user, survey=survey, pairs=pairs)

    def counted(user, picks, *more):  # type: ignore[no-untyped-def]
        read.append(list(picks))
        return of(user, picks, *more)

    monkeypatch.setattr(review_queue, "questions_lease", quicker)
    monkeypatch.setattr(review_questions, "asked_of", counted)
    with CaptureQueriesContext(connection) as queries:
        other = client.get(address).context["page"].question.pair
    assert (other.a, other.b) != first and len(read) == 1
    assert len(queries) <= usual + 6
