"""Pages, and lists of the API, after years of surveys: a page at a time, and as many queries for any size."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.exports.options import ExportOptions, Format
from identification.models import (
    ApiToken,
    Detection,
    ExportRun,
    ImportIssue,
    ImportRun,
    Individual,
    Membership,
    Role,
    Survey,
)
from identification.selectors.joins import GALLERY, joins_listed, joins_shown
from identification.services.decisions import decision_record
from identification.services.events import events_rebuild
from identification.services.individuals import individual_rename
from tests.identification import factories as make
from tests.identification.api_client import address, signed_in
from tests.identification.factories import START, client_of, match

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_api_limit")]


def asked(client: Client, where: str, query: dict[str, Any] | None = None) -> tuple[Any, int]:
    """The answer, and how many queries it took; the first one of a browser is not counted."""
    client.get(where, query)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(where, query)
    assert response.status_code == 200
    return response, len(queries)


def walked(client: Client, where: str, limit: int) -> list[Any]:
    """All rows of a list of the API, page by page, none longer than asked for."""
    rows, following = [], f"{where}?limit={limit}"
    while following:
        page = client.get(following).json()
        assert len(page["results"]) <= limit
        rows += page["results"]
        following = page["next"]
    return rows


def same_queries(small: Callable[[], int], grow: Callable[[], None], large: Callable[[], int]) -> None:
    """As many queries for many rows as for few."""
    before = small()
    grow()
    assert large() == before


# ---- people ----
def test_members_come_in_pages_and_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identification.views.members.PER_PAGE", 3)
    survey = make.make_survey()
    curator = make.make_member(survey, Role.CURATOR, user=make.make_user("aa"))
    head = make.make_user("zz")
    Membership.objects.create(user=head, population=survey.population, role=Role.CURATOR)
    make.make_member(survey, user=make.make_user("bb"))
    client, where = signed_in(curator), reverse("survey-members", args=[survey.pk])

    def queries() -> int:
        # The last page: on it are members of the survey, and of all surveys.
        return asked(client, where, {"page": 99})[1]

    def grow() -> None:
        for number in range(8):
            make.make_member(survey, user=make.make_user(f"member{number}", last_name="Thapa" if number == 6 else ""))

    same_queries(queries, grow, queries)
    page = client.get(where)
    assert [row.membership.user.username for row in page.context["members"]] == ["aa", "bb", "member0"]
    assert page.context["page"].paginator.count == 11 and "Page 1 of 4" in page.content.decode()
    last = client.get(where, {"page": 4}).context["members"]
    assert [row.membership.user for row in last][-1] == head, "those of the population come last"
    found = client.get(where, {"q": "thapa"})
    assert [row.membership.user.username for row in found.context["members"]] == ["member6"]
    assert "No member answers to that." in client.get(where, {"q": "nobody"}).content.decode()
    rows = walked(client, address("survey-members", survey.pk), 4)
    assert len(rows) == len({row["member"]["id"] for row in rows}) == 11
    named = client.get(address("survey-members", survey.pk), {"q": "ember6"}).json()["results"]
    assert [row["member"]["user"]["username"] for row in named] == ["member6"]
    assert len(walked(signed_in(head), address("population-members", survey.population_id), 1)) == 1


def test_an_account_shows_its_tokens_and_memberships_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKENS_SHOWN", "MEMBERSHIPS_SHOWN"):
        monkeypatch.setattr(f"identification.views.account.{name}", 2)
    user = make.make_user("asha")
    client = signed_in(user)

    def more(number: int) -> None:
        for index in range(number):
            ApiToken.objects.create(user=user, name=f"script {index}")
            make.make_member(make.make_survey(), user=user)

    def queries() -> int:
        return asked(client, reverse("account"))[1]

    more(2)
    same_queries(queries, lambda: more(3), queries)
    page = client.get(reverse("account"), {"tokens": 2, "memberships": 3})
    assert page.context["tokens"].paginator.count == page.context["memberships"].paginator.count == 5
    assert (len(page.context["tokens"]), len(page.context["memberships"])) == (2, 1)
    text = page.content.decode()
    assert "?memberships=3&amp;tokens=1#tokens" in text and "?tokens=2&amp;memberships=2#memberships" in text
    refused = client.post(reverse("token-make"), {"name": "x", "days": "30"})
    assert refused.status_code == 302, "the password is asked for first"
    assert f'href="{reverse("account")}?' in text, "the page is also the answer to the form that makes a token"
    assert len({row["key"] for row in walked(client, address("tokens"), 2)}) == 5
    boss = signed_in(make.make_user("boss", superuser=True))
    assert len(walked(boss, address("account-tokens", user.pk), 2)) == 5


# ---- one animal ----
def seen(survey: Survey, number: int, *, start: int = 0) -> list[Detection]:
    """Photos of one animal, a visit each."""
    station = make.make_station(survey, "ST01")
    rows = []
    for index in range(start, start + number):
        at = START + timedelta(hours=7 * index)
        image = make.make_image(survey, station=station, captured_at=at, files=False)
        rows.append(make.make_detection(image, files=False))
    return rows


def animal(survey: Survey, number: int) -> Individual:
    rows = seen(survey, number)
    for row in rows[1:]:
        match(None, rows[0], row)
    events_rebuild(survey=survey)
    return Individual.objects.latest("pk")


def test_visits_matches_and_history_of_an_animal_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("VISITS_SHOWN", 3), ("MATCHES_SHOWN", 2), ("HISTORY_SHOWN", 4)):
        monkeypatch.setattr(f"identification.selectors.individual_page.{name}", most)
    survey = make.make_survey()
    few, many = animal(survey, 5), animal(survey, 14)
    client = client_of(survey)
    where = [reverse("individual-detail", args=[one.pk]) for one in (few, many)]
    assert asked(client, where[0])[1] == asked(client, where[1])[1]
    query = {"visits": "2", "matches": "3", "log": "2"}
    page = client.get(where[1], query).context["page"]
    assert (len(page.visits), len(page.matches), len(page.history)) == (3, 2, 4)
    pages = page.visits_page, page.matches_page, page.history_page
    assert [one.paginator.count for one in pages] == [14, 13, 13]
    assert sum(mark.visits for mark in page.marks) == 14
    text = client.get(where[1], query).content.decode()
    assert "matches=3&amp;log=2&amp;visits=3#visits" in text and '<details id="visits" open>' in text
    names = ("visits", "matches", "history")
    rows = {name: walked(client, address(f"individual-{name}", many.pk), 4) for name in names}
    assert [len(rows[name]) for name in names] == [14, 13, 13]
    assert [row["first"] for row in rows["visits"]] == sorted(row["first"] for row in rows["visits"])
    assert len({row["decision"] for row in rows["history"]}) == 13
    shown = client.get(where[1], {"log": 4}).context["page"].history
    assert [line.decision for line in shown] == [rows["history"][-1]["decision"]], "pages and API tell one history"


def test_animals_to_merge_with_are_searched_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identification.views.curation.ANIMALS_PER_PAGE", 2)
    survey = make.make_survey()
    one = animal(survey, 2)
    for number in range(5):
        individual_rename(acting_user=None, individual=animal(survey, 2), name=f"Luna {number}")
    client, where = client_of(survey), reverse("individual-merge", args=[one.pk])
    first, last = (client.get(where, {"q": "luna", "page": number}) for number in (1, 3))
    assert "5 animals" in first.content.decode() and "?q=luna&amp;page=2" in first.content.decode()
    assert [row.card.individual.name for row in last.context["animals"]] == ["Luna 4"]
    page = client.get(address("individual-likely", one.pk), {"q": "luna", "limit": 3}).json()
    assert len(page["results"]) == 3
    assert len(client.get(page["next"]).json()["results"]) == 2


def test_photos_to_merge_come_in_pages_and_ticks_are_carried_from_page_to_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identification.views.curation.PHOTOS_PER_SIDE", 3)
    survey = make.make_survey()
    one, other = animal(survey, 7), animal(survey, 4)
    mine, theirs = (list(row.detections.order_by("image__captured_at")) for row in (one, other))
    client, where = client_of(survey), reverse("individual-merge", args=[one.pk])
    page = client.get(where, {"with": other.pk})
    assert [len(side["page"].object_list) for side in page.context["sides"]] == [3, 3]
    assert "7 photos" in page.content.decode() and "Page 1 of 3" in page.content.decode()
    ticked = {"with": other.pk, "box": [mine[0].pk, theirs[1].pk], "mine": 1, "theirs": 1}
    turned = client.post(where, ticked | {"turn_mine": 3})
    assert [row.pk for row in turned.context["sides"][0]["page"]] == [mine[6].pk]
    assert [row.pk for row in turned.context["sides"][1]["page"]] == [row.pk for row in theirs[:3]]
    assert [row.pk for row in turned.context["elsewhere"]] == [mine[0].pk]
    text = turned.content.decode()
    assert "Ticked on other pages" in text
    assert all(f'value="{row.pk}" checked' in text for row in (mine[0], theirs[1]))
    ticked["box"].append(mine[6].pk)
    follows = client.post(where, ticked | {"mine": 3})
    assert {row.pk for row in follows.context["chosen"]} == {mine[0].pk, theirs[1].pk, mine[6].pk}


# ---- joins ----
def test_galleries_of_a_waiting_join_read_what_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    survey = make.make_survey()
    curator, reviewer = make.make_member(survey, Role.CURATOR), make.make_member(survey)

    def proposed(number: int) -> None:
        ends = []
        for name in ("Tara", "Sholay"):
            one = animal(survey, number)
            individual_rename(acting_user=None, individual=one, name=f"{name} {number}")
            ends.append(one.detections.order_by("pk").first())
        decision_record(acting_user=reviewer, first=ends[0], second=ends[1], verdict="match", anchor=ends[0])

    client = signed_in(curator)
    proposed(3)
    _, queries = asked(client, reverse("join-list"))
    proposed(GALLERY + 6)
    page, now = asked(client, reverse("join-list"))
    assert now == queries
    small, large = page.context["joins"]
    assert (len(small.left.others), small.left.more) == (2, 0)
    assert (len(large.left.others), large.left.more) == (GALLERY, 5)
    times = [row.image.captured_at for row in large.left.others]
    assert times == sorted(times, reverse=True) and large.left.detection not in large.left.others
    monkeypatch.setattr("identification.views.joins.JOINS_SHOWN", 1)
    second = client.get(reverse("join-list"), {"page": 2})
    assert [row.decision for row in second.context["joins"]] == [large.decision]
    settled = client.post(reverse("join-settle", args=[large.decision.pk]), {"verdict": "no_match", "page": 2})
    assert "page=2" in settled["Location"]
    assert len(walked(client, address("joins"), 1)) == 1
    assert [row.decision for row in joins_shown(user=curator, ids=joins_listed(curator))] == [small.decision]


# ---- data in and out ----
def test_imports_and_exports_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identification.views.imports.SHOWN", 2)
    monkeypatch.setattr("identification.views.exports.RUNS_PER_PAGE", 2)
    survey = make.make_survey()
    curator = make.make_member(survey, Role.CURATOR)
    client = signed_in(curator)
    options = ExportOptions(formats=(Format.CSV,)).as_json()

    def more(number: int) -> None:
        for index in range(number):
            dry = {"survey": survey, "kind": "megadetector", "state": "done", "requested_by": curator}
            run = ImportRun.objects.create(**dry, dry_run=True, counts={"boxes_new": index + 1})
            ImportIssue.objects.create(run=run, file="a.json", row=index, code="x", words={"text": "no"})
            asked_for = {"population": survey.population, "survey": survey, "survey_ids": [survey.pk]}
            ExportRun.objects.create(**asked_for, options=options, requested_by=curator, state="pending")

    pages = [reverse(f"survey-{name}", args=[survey.pk]) for name in ("imports", "exports")]
    more(2)
    before = [asked(client, where)[1] for where in pages]
    more(3)
    assert [asked(client, where)[1] for where in pages] == before
    for where in pages:
        text = client.get(where, {"page": 2}).content.decode()
        assert "Page 2 of 3" in text
    shown = client.get(pages[0], {"page": 3}).context["shown"]
    assert len(shown) == 1 and len(shown[0].first) == shown[0].issues == 1
    assert len(client.get(pages[1]).context["runs"]) == 2
    assert len(walked(client, address("imports", survey.pk), 2)) == 5
    assert len(walked(client, address("survey-exports", survey.pk), 2)) == 5


# ---- surveys ----
def test_surveys_come_in_pages_and_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identification.views.surveys.SURVEYS_PER_PAGE", 2)
    monkeypatch.setattr("identification.admin.dashboard._SURVEYS", 2)
    boss = make.make_user("boss", superuser=True)
    client = signed_in(boss)

    def more(*names: str) -> None:
        for name in names:
            _, animals = make.make_reviewable_survey(individuals=1, photos=2, name=name)
            match(None, *animals[0])

    def queries(where: str) -> int:
        return asked(client, where)[1]

    more("Valley 2016", "Valley 2017")
    before = [queries(reverse(name)) for name in ("survey-list", "admin:index")]
    more("Ridge 2018", "Valley 2019", "Valley 2020")
    assert [queries(reverse(name)) for name in ("survey-list", "admin:index")] == before
    page = client.get(reverse("survey-list"), {"page": 2})
    assert [card.survey.name for card in page.context["cards"]] == ["Valley 2017", "Valley 2019"]
    assert "5 surveys" in page.content.decode()
    found = client.get(reverse("survey-list"), {"q": "valley 2020"})
    assert [card.survey.name for card in found.context["cards"]] == ["Valley 2020"]
    assert "No survey answers to that" in client.get(reverse("survey-list"), {"q": "lake"}).content.decode()
    assert walked(client, address("surveys"), 2)[0]["name"] == "Ridge 2018"
    assert len(client.get(address("surveys"), {"q": "ridge"}).json()["results"]) == 1
    board = client.get(reverse("admin:index"))
    assert [figure["number"] for figure in board.context["figures"]][:3] == [5, 10, 10]
    assert [card.survey.name for card in board.context["cards"]] == ["Valley 2020", "Valley 2019"]
    assert "3 earlier surveys" in board.content.decode()


def test_select_boxes_show_the_first_and_find_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identification.views.choosing.MOST_OPTIONS", 2)
    boss = make.make_user("boss", superuser=True)
    population = make.make_population("Landscape")
    surveys = [make.make_survey(population, f"Season {year}") for year in range(2016, 2021)]
    survey = surveys[-1]
    for number in range(5):
        make.make_sighting(survey, station=make.make_station(survey, f"ST{number}"), files=False)
    client = signed_in(boss)
    for where in (reverse("individual-list"), reverse("audit")):
        box = client.get(where).context["surveys"]
        assert [words for _, words in box.options] == ["Season 2016", "Season 2017"] and (box.all, box.many) == (
            5,
            True,
        )
        assert "2 of 5: search for the others" in client.get(where).content.decode()
        found = client.get(where, {"survey_q": "2019"}).context["surveys"]
        assert [words for _, words in found.options] == ["Season 2019"]
        chosen = client.get(where, {"survey": survey.pk})
        assert chosen.context["surveys"].options[0] == (survey.pk, "Season 2020"), "what is chosen is always there"
        assert f'<option value="{survey.pk}" selected>' in chosen.content.decode()
    photos = reverse("photo-list", args=[survey.pk])
    assert [words for _, words in client.get(photos).context["stations"].options] == ["ST0", "ST1"]
    assert [words for _, words in client.get(photos, {"station_q": "st4"}).context["stations"].options] == ["ST4"]
    modes = client.get(reverse("review-modes", args=[survey.pk]), {"station_q": "ST3"})
    assert [words for _, words in modes.context["stations"].options] == ["ST3 (1)"]


def test_a_select_box_without_many_has_no_search() -> None:
    survey = make.make_survey()
    make.make_survey(survey.population)
    user = make.make_member(survey, Role.CURATOR)
    make.make_member(Survey.objects.latest("pk"), Role.CURATOR, user=user)
    page = signed_in(user).get(reverse("individual-list"))
    assert not page.context["surveys"].many and "survey_q" not in page.content.decode()
