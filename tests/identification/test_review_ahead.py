"""The review as a session in one page: questions ahead, answers as JSON, what was decided and what undoing it does."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.models import (
    Candidate,
    Decision,
    Detection,
    MatchEdge,
    ReviewLease,
    ReviewPosition,
    Role,
    Survey,
    User,
)
from identification.selectors.review_ahead import Waiting, questions_ahead
from identification.selectors.session_decisions import own_decisions
from identification.services.confirming import Ticked, decisions_confirm
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db

Animals = list[list[Detection]]
JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def place() -> tuple[Survey, Animals]:
    return make.make_reviewable_survey(individuals=4, photos=3)


@pytest.fixture
def reviewer(place) -> User:  # type: ignore[no-untyped-def]
    return make.make_member(place[0], Role.REVIEWER)


@pytest.fixture
def client(reviewer: User) -> Client:
    client = Client()
    client.force_login(reviewer)
    return client


def ahead(client: Client, survey: Survey, **query: str) -> dict[str, Any]:
    answer = client.get(reverse("review-ahead", args=[survey.pk]), query, **JSON)
    assert answer.status_code == 200
    return answer.json()


def shown(client: Client, survey: Survey) -> tuple[Detection, Detection]:
    page = client.get(reverse("review", args=[survey.pk])).context["page"]
    return page.left.detection, page.right.detection


def send(client: Client, survey: Survey, a: Detection, b: Detection, verdict: str, **form: str):  # type: ignore[no-untyped-def]
    data = {
        "anchor": str(a.pk),
        "candidate": str(b.pk),
        "version": "0",
        "verdict": verdict,
        "key": str(uuid4()),
        **form,
    }
    return client.post(reverse("review-decide", args=[survey.pk]), data, **JSON)


def named(*pair: Detection) -> str:
    return "-".join(str(detection.pk) for detection in pair)


def pairs(answer: dict[str, Any]) -> list[frozenset[int]]:
    return [frozenset(map(int, row["pair"].split("-"))) for row in answer["order"]]


# ---- questions ahead ----
def test_the_next_questions_come_as_parts_of_the_page(client, place) -> None:
    survey, _ = place
    a, b = shown(client, survey)
    answer = ahead(client, survey, showing=named(a, b))
    assert answer["shown"] is True and not answer["over"] and answer["undo"] is None
    assert len(answer["order"]) == 6
    assert frozenset((a.pk, b.pk)) not in pairs(answer)
    for row in answer["order"]:
        assert f'data-question="{row["pair"]}"' in row["html"] and f'data-token="{row["token"]}"' in row["html"]
        assert "<html" not in row["html"] and "csrfmiddlewaretoken" in row["html"]
        assert f"?pair={row['pair']}" in row["html"], "forms lead back to the question, not to this address"
        assert "review/ahead" not in row["html"]
    assert "answers so far" in answer["state"]


def test_what_the_browser_has_is_not_sent_again(client, place) -> None:
    survey, _ = place
    first = ahead(client, survey)
    have = ",".join(row["token"] for row in first["order"])
    again = ahead(client, survey, have=have)
    known, new = again["order"][: len(first["order"])], again["order"][len(first["order"]) :]
    assert [row["token"] for row in known] == [row["token"] for row in first["order"]]
    assert all("html" not in row for row in known) and all("html" in row for row in new)
    a, b = (Detection.objects.get(pk=pk) for pk in first["order"][0]["pair"].split("-"))
    match(make.make_member(survey), a, b)
    changed = ahead(client, survey, have=have)
    assert frozenset((a.pk, b.pk)) not in pairs(changed)
    joined = [row for row in changed["order"] if {a.pk, b.pk} & set(map(int, row["pair"].split("-")))]
    assert all("html" in row for row in joined), "the group is another one now"


def test_questions_at_the_front_share_no_group(client, place) -> None:
    survey, _ = place
    a, b = shown(client, survey)
    answer = ahead(client, survey, showing=named(a, b))
    seen: set[int] = set(answer["groups"])
    for row in answer["order"][:3]:
        assert seen.isdisjoint(row["groups"])
        seen |= set(row["groups"])


def test_what_waits_in_the_browser_is_not_asked_and_what_a_match_changes_neither(place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    match_waits = questions_ahead(user=reviewer, survey=survey, waiting=[Waiting((a.pk, b.pk), "match")])
    touched = {pk for one in match_waits.questions for pk in one.pick.pair}
    assert touched.isdisjoint({a.pk, b.pk}) and match_waits.questions
    refusal_waits = questions_ahead(user=reviewer, survey=survey, waiting=[Waiting((a.pk, b.pk), "no_match")])
    asked = {frozenset(one.pick.pair) for one in refusal_waits.questions}
    assert frozenset((a.pk, b.pk)) not in asked
    assert any(pair & {a.pk, b.pk} for pair in asked)


def test_two_reviewers_never_have_the_same_question(client, place) -> None:
    survey, _ = place
    other = make.client_of(survey, Role.REVIEWER)
    mine, theirs = shown(client, survey), shown(other, survey)
    assert set(mine) != set(theirs)
    one = ahead(client, survey, showing=named(*mine))
    two = ahead(other, survey, showing=named(*theirs))
    everything = [frozenset(d.pk for d in mine), frozenset(d.pk for d in theirs), *pairs(one), *pairs(two)]
    assert len(everything) == len(set(everything))
    assert set(ahead(client, survey, showing=named(*mine))["order"][0]) and pairs(one)


def test_a_question_that_was_put_off_is_free_for_others(client, place) -> None:
    survey, _ = place
    mine = shown(client, survey)
    answer = client.post(reverse("review-later", args=[survey.pk]), {"pair": named(*mine)}, **JSON).json()
    assert answer["said"] == "later" and frozenset(d.pk for d in mine) not in pairs(answer["next"])
    assert ReviewPosition.objects.get().put_off == [sorted(d.pk for d in mine)]
    assert not ReviewLease.objects.filter(a=min(d.pk for d in mine), b=max(d.pk for d in mine)).exists()


def test_when_others_have_all_that_is_left_the_page_says_so(client) -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    first, second = make.client_of(survey), make.client_of(survey)
    assert set(shown(first, survey)) == set(animals[0])
    text = second.get(reverse("review", args=[survey.pk])).content.decode()
    assert "What is left, others look at now" in text and "1 of them with other reviewers" in text
    assert ahead(second, survey)["over"] is True


def test_the_number_of_queries_does_not_grow_with_what_is_asked(client, place) -> None:
    survey, animals = place
    counts = []
    for _ in range(2):
        ahead(client, survey)
        with CaptureQueriesContext(connection) as queries:
            answer = ahead(client, survey)
        counts.append((len(queries), len(answer["order"])))
        Candidate.objects.exclude(anchor=animals[0][0], detection=animals[0][1]).delete()
    assert (counts[0][1], counts[1][1]) == (6, 1)
    assert counts[0][0] == counts[1][0] < 60


def test_nonsense_in_the_address_is_nothing(client, place) -> None:
    survey, _ = place
    for query in ({"showing": "x"}, {"waiting": "1-2:'--,9" * 50}, {"have": "zz," * 999}, {"showing": "9" * 40 + "-1"}):
        assert ahead(client, survey, **query)["order"]


# ---- answers ----
def test_a_decision_is_answered_with_what_comes_next(client, place) -> None:
    survey, _ = place
    a, b = shown(client, survey)
    before = ahead(client, survey, showing=named(a, b))
    now = before["order"][0]["pair"]
    key = str(uuid4())
    response = send(client, survey, a, b, "match", key=key, showing=now, have=before["order"][1]["token"])
    answer = response.json()
    assert answer["said"] == "recorded" and Decision.objects.get(pk=answer["decision"]).key.hex == key.replace("-", "")
    assert answer["next"]["shown"] is True
    assert frozenset(map(int, now.split("-"))) not in pairs(answer["next"])
    assert frozenset((a.pk, b.pk)) not in pairs(answer["next"])
    assert "undo" not in answer["next"], "it is this decision; what would follow is asked when it is wanted"
    undo = ahead(client, survey)["undo"]
    assert undo["decision"] == answer["decision"] and undo["asks"] is False
    assert response["Cache-Control"] == "no-store, private" or "no-store" in response["Cache-Control"]


def test_sent_twice_it_is_recorded_once_and_answered_alike(client, place) -> None:
    survey, _ = place
    a, b = shown(client, survey)
    key = str(uuid4())
    answers = [send(client, survey, a, b, "match", key=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["decision"] == answers[1].json()["decision"]
    assert Decision.objects.count() == 1
    other = send(client, survey, a, b, "unsure", key=key)
    assert other.status_code == 422 and other.json()["said"] == "refused"
    assert Decision.objects.count() == 1


def test_what_somebody_else_decided_meanwhile_is_shown_with_name_and_question(client, place) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    match(make.make_member(survey, user=make.make_user("ben")), a, b, "no_match")
    response = send(client, survey, a, b, "match")
    answer = response.json()
    assert response.status_code == 409 and answer["said"] == "stale" and answer["by"] == "ben" and not answer["same"]
    assert "ben decided this pair meanwhile" in answer["html"] and 'name="version" value="1"' in answer["html"]
    assert send(client, survey, a, b, "no_match").json()["same"] is True
    assert Decision.objects.count() == 1


def test_a_contradiction_is_shown_and_recorded_only_when_meant(client, place) -> None:
    survey, animals = place
    a, b, c = animals[0]
    match(None, a, b)
    match(None, b, c, "no_match")
    response = send(client, survey, a, c, "match")
    assert response.status_code == 409 and response.json()["said"] == "contradiction"
    assert 'name="confirm" value="on"' in response.json()["html"]
    assert Decision.objects.count() == 2
    assert send(client, survey, a, c, "match", confirm="on").json()["said"] == "recorded"


def test_why_nothing_was_recorded_is_told_apart(client, place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    assert send(client, survey, a, b, "nonsense").status_code == 400
    assert send(client, survey, a, a, "match").json()["said"] == "refused"
    foreign = make.make_sighting(make.make_survey())
    assert send(client, survey, a, foreign, "match").json() == {"said": "gone"}
    other = send(client, survey, a, b, "match", by="999999")
    assert (other.status_code, other.json()) == (403, {"said": "other"})
    reviewer.memberships.update(role=Role.VIEWER)
    refused = send(client, survey, a, b, "match", by=str(reviewer.pk))
    assert (refused.status_code, refused.json()) == (403, {"said": "forbidden"})
    client.logout()
    assert send(client, survey, a, b, "match").status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(reviewer)
    assert "json" not in send(strict, survey, a, b, "match")["Content-Type"]
    assert not Decision.objects.exists()


# ---- taking back ----
def test_undo_says_before_what_it_splits(client, place, reviewer) -> None:
    survey, animals = place
    five = [*animals[0], *animals[1][:2]]
    for first, second in ((0, 1), (1, 2), (3, 4)):
        match(None, five[first], five[second])
    match(reviewer, five[0], five[3])
    five[0].refresh_from_db()
    (own,) = own_decisions(user=reviewer, survey=survey)
    assert own.words == f"Splits {five[0].individual} into 3 + 2 photos." and own.asks
    undo = ahead(client, survey)["undo"]
    assert undo["words"] == own.words and undo["asks"] is True
    answer = client.post(reverse("review-undo", args=[survey.pk]), {"decision": undo["decision"]}, **JSON).json()
    assert answer["said"] == "undone" and "come apart into 3 + 2" in answer["words"]
    assert answer["next"]["first"] is True
    assert pairs(answer["next"])[0] == {five[0].pk, five[3].pk}


def test_an_undo_that_comes_twice_takes_back_once(client, place, reviewer) -> None:
    survey, animals = place
    a, b, _ = animals[0]
    match(reviewer, a, b)
    match(reviewer, animals[1][0], animals[1][1])
    key = str(uuid4())
    for _ in range(2):
        answer = client.post(reverse("review-undo", args=[survey.pk]), {"key": key}, **JSON)
        assert answer.json()["said"] == "undone"
    assert MatchEdge.objects.filter(verdict="match").count() == 1
    taken = client.post(reverse("review-undo", args=[survey.pk]), {"of": str(uuid4())}, **JSON)
    assert taken.status_code == 422


def test_what_follows_from_taking_back_is_told_for_each_kind(place, reviewer) -> None:
    survey, animals = place
    a, b, c = animals[0]
    d, e, _ = animals[1]
    match(reviewer, d, e)
    assert own_decisions(user=reviewer, survey=survey)[0].words == "The two photos stand alone again."
    match(reviewer, a, b, "unsure")
    match(reviewer, a, b, "no_match")
    own = own_decisions(user=reviewer, survey=survey)[0]
    assert own.words == "An earlier answer on the pair stands again: Unsure." and not own.asks
    match(None, a, c)
    match(reviewer, d, a, "no_match")
    assert own_decisions(user=reviewer, survey=survey)[0].words == "The pair is open again."
    match(None, d, animals[1][2])
    match(None, e, animals[1][2])
    closed = next(own for own in own_decisions(user=reviewer, survey=survey) if own.decision.verdict == "match")
    assert closed.words == "Other matches still join the two photos."


def test_what_was_confirmed_in_a_glance_is_one_line(client, place, reviewer) -> None:
    survey, animals = place
    ticked = [Ticked(animals[0][0], other, 0, 0.9) for other in animals[0][1:]]
    decisions_confirm(acting_user=reviewer, survey=survey, ticked=ticked)
    (own,) = own_decisions(user=reviewer, survey=survey)
    assert own.together == 2 and own.asks
    assert own.words.startswith("Takes back all 2 matches")
    text = client.get(reverse("review-decisions", args=[survey.pk])).content.decode()
    assert "2 matches at a glance" in text
    client.post(reverse("review-undo", args=[survey.pk]), {"decision": own.decision.pk})
    assert not MatchEdge.objects.exclude(verdict="").exists()


def test_the_list_of_decisions_takes_any_of_them_back(client, place, reviewer) -> None:
    survey, animals = place
    first = match(reviewer, animals[0][0], animals[0][1])
    match(reviewer, animals[1][0], animals[1][1], "unsure")
    match(make.make_member(survey), animals[2][0], animals[2][1])
    response = client.get(reverse("review-decisions", args=[survey.pk]))
    assert [own.decision.verdict for own in response.context["decisions"]] == ["unsure", "match"]
    part = client.get(reverse("review-decisions", args=[survey.pk]), {"part": "1"}).content.decode()
    assert "<html" not in part and part.count("<li>") == 2
    back = client.post(reverse("review-undo", args=[survey.pk]), {"decision": first.pk}, follow=True)
    assert "Taken back: Match" in back.content.decode()
    assert [own.decision.verdict for own in own_decisions(user=reviewer, survey=survey)] == ["unsure"]


def test_the_list_costs_as_many_queries_for_many_decisions_as_for_one(place, reviewer) -> None:
    survey, animals = place
    match(reviewer, animals[0][0], animals[0][1])
    with CaptureQueriesContext(connection) as few:
        own_decisions(user=reviewer, survey=survey)
    for animal in animals:
        for other in animal[1:]:
            match(reviewer, animal[0], other)
    with CaptureQueriesContext(connection) as many:
        assert len(own_decisions(user=reviewer, survey=survey)) == 9
    # One more where an animal would come apart: which of its photos may be counted.
    assert len(many) == len(few) + 1


def test_photos_of_a_survey_that_is_not_hers_are_not_counted_by_number(place, reviewer) -> None:
    survey, animals = place
    hidden = make.make_sighting(make.make_survey(survey.population))
    match(None, animals[0][1], hidden)
    match(reviewer, animals[0][0], animals[0][1])
    words = own_decisions(user=reviewer, survey=survey)[0].words
    assert re.fullmatch(r"Splits \S+ into 1 \+ 1 photos, and 1 of surveys that you do not see\.", words)


def test_what_would_follow_from_undo_is_said_where_it_is_wanted_alone(client, place) -> None:
    survey, animals = place
    page = client.get(reverse("review", args=[survey.pk]))
    assert page.context["undo"] is None and b'data-keys="z Backspace" disabled' in page.content
    a, b, _ = animals[0]
    send(client, survey, a, b, "match", key=str(uuid4()))
    page = client.get(reverse("review", args=[survey.pk]))
    assert page.context["undo"] == {"rough": True} and b'data-keys="z Backspace" disabled' not in page.content
    with CaptureQueriesContext(connection) as whole:
        assert ahead(client, survey)["undo"]["verdict"] == "Match"
    with CaptureQueriesContext(connection) as less:
        assert "undo" not in ahead(client, survey, undo="0")
    assert len(less) < len(whole)
