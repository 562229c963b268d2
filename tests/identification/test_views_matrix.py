"""Who may open what: a rule for every address. An address without a rule fails, so does a rule without an address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, reverse

from identification import urls
from identification.models import Decision, Detection, Individual, Role, Survey, Triage, Verdict
from identification.services.decisions import decision_record
from identification.services.triage import detections_triage
from tests.identification import factories as make

WHO = ("anonymous", "outsider", "viewer", "reviewer", "curator", "administrator")
Expected = dict[str, int]

LOGIN = 302  # to the sign-in page
_TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]+"')
_EVERYBODY = dict.fromkeys(WHO, 200)


def _rule(viewer: int, reviewer: int, curator: int, administrator: int | None = None) -> Expected:
    """Anonymous are sent to sign in, outsiders see nothing; the roles as given."""
    last = curator if administrator is None else administrator
    return {
        "anonymous": LOGIN,
        "outsider": 404,
        "viewer": viewer,
        "reviewer": reviewer,
        "curator": curator,
        "administrator": last,
    }


_MEMBERS = _rule(200, 200, 200)
_SIGNED_IN = _MEMBERS | {"outsider": 200}


@dataclass(frozen=True)
class Rule:
    """method and form of a request to a named address, and the status for each account."""

    name: str
    expected: Expected
    args: str = ""
    method: str = "get"
    form: dict[str, str] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.name}{' ' + self.label if self.label else ''}"


RULES = [
    Rule("health", _EVERYBODY),
    Rule("login", _EVERYBODY | dict.fromkeys(WHO[1:], 302)),
    Rule("logout", dict.fromkeys(WHO, 302), method="post"),
    Rule("password_change", _SIGNED_IN),
    Rule("password_change_done", _SIGNED_IN),
    Rule("survey-list", _SIGNED_IN),
    Rule("survey-detail", _MEMBERS, "survey"),
    Rule("survey-progress", _MEMBERS, "survey"),
    Rule("survey-stations", _MEMBERS, "survey"),
    # Exact places: nobody in this matrix was granted them but the administrator.
    Rule("survey-stations", _rule(403, 403, 403, 200), "survey", "post"),
    Rule("survey-skipped", _rule(403, 403, 200), "survey"),
    Rule("survey-retry", _rule(403, 403, 302), "survey", "post"),
    Rule("survey-match", _rule(403, 403, 302), "survey", "post"),
    Rule("survey-export", _rule(403, 403, 200), "survey", "post"),
    Rule("survey-export", _rule(403, 403, 403, 200), "survey", "post", {"with_places": "on"}, "with places"),
    Rule("survey-links", _rule(403, 200, 200), "survey"),
    Rule("survey-links-confirm", _rule(403, 302, 302), "survey", "post"),
    Rule("survey-links-dismiss", _rule(403, 302, 302), "survey", "post"),
    Rule("survey-links-undo", _rule(403, 302, 302), "survey", "post"),
    Rule("survey-clocks", _rule(403, 403, 302), "survey", "post"),
    Rule("photo-list", _MEMBERS, "survey"),
    Rule("photo-detail", _MEMBERS, "image"),
    Rule("photo-detail", _rule(404, 404, 200), "person", label="of a person"),
    Rule("photo-retry", _rule(403, 403, 302), "image", "post"),
    Rule("photo-draw", _rule(403, 403, 302), "image", "post"),
    Rule("detection-redraw", _rule(403, 403, 302), "detection", "post"),
    Rule("detection-annotate", _rule(403, 302, 302), "detection", "post", {"flank": "left"}),
    Rule("detection-declare", _rule(403, 302, 302), "detection", "post"),
    Rule("survey-species", _rule(403, 200, 200), "survey"),
    Rule("survey-species-mark", _rule(403, 302, 302), "survey", "post", {"box": "detection", "triage": "wanted"}),
    # To overrule confirmed matches is for curators.
    Rule(
        "survey-species-mark",
        _rule(403, 403, 302),
        "survey",
        "post",
        {"box": "detection", "triage": "other", "with_matched": "on"},
        "matched",
    ),
    Rule("survey-species-below", _rule(403, 403, 200), "survey"),
    Rule("survey-species-below", _rule(403, 403, 302), "survey", "post"),
    # The triage of this matrix is the curator's: a reviewer takes back only her own.
    Rule("survey-species-undo", _rule(403, 403, 302), "survey", "post", {"entry": "triage"}),
    Rule("survey-species-score", _rule(403, 403, 302), "survey", "post"),
    Rule("review", _rule(403, 200, 200), "survey"),
    Rule("review-decide", _rule(403, 302, 302), "survey", "post"),
    Rule("review-undo", _rule(403, 302, 302), "survey", "post"),
    Rule("review-pass", _rule(403, 302, 302), "survey", "post", {"anchor": "detection"}),
    Rule("review-return", _rule(403, 302, 302), "survey", "post"),
    Rule("review-certain", _rule(403, 200, 200), "survey"),
    Rule("review-confirm", _rule(403, 302, 302), "survey", "post"),
    Rule("review-later", _rule(403, 302, 302), "survey", "post"),
    Rule("survey-goal", _rule(403, 403, 302), "survey", "post", {"goal": "95"}),
    Rule("individual-list", _SIGNED_IN),
    Rule("individual-detail", _MEMBERS, "individual"),
    Rule("individual-rename", _rule(403, 403, 302), "individual", "post", {"name": "Luna"}),
    Rule("individual-undeclare", _rule(403, 403, 302), "individual", "post"),
    Rule("conflict-list", _rule(403, 200, 200) | {"outsider": 403}),
    # The decision of this matrix is the curator's: a reviewer takes back only her own.
    Rule("decision-undo", _rule(403, 403, 200), "decision"),
    Rule("decision-undo", _rule(403, 403, 302), "decision", "post"),
    *(Rule("media", _MEMBERS, f"{kind}:image", label=kind) for kind in ("thumbnail", "preview")),
    *(Rule("media", _MEMBERS, f"{kind}:detection", label=kind) for kind in ("crop", "mask", "cutout", "edges")),
    Rule("media", _rule(404, 404, 200), "original:image", label="original"),
    Rule("media", _rule(404, 404, 200), "preview:person", label="of a person"),
    Rule("media", _rule(404, 404, 200), "crop:person_box", label="crop of a person"),
]


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Any]:
    """One survey with everything that an address can name."""
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    first = animals[0][0]
    station = make.make_station(survey, "PLACE", latitude=27.51234, longitude=84.31234)
    image = make.make_image(survey, station=station, original=tmp_path)
    person = make.make_image(survey, has_person=True)
    box = make.make_detection(person, category="person")
    curator = make.make_member(survey, Role.CURATOR)
    decision = decision_record(
        acting_user=curator, first=first, second=animals[0][1], verdict=Verdict.MATCH, anchor=first
    )
    return {
        "survey": survey,
        "image": image,
        "person": person,
        "person_box": box,
        "detection": animals[1][0],
        "individual": Individual.objects.get(),
        "decision": decision,
        "triage": detections_triage(acting_user=curator, detections=[animals[1][1]], triage=Triage.WANTED).entries[0],
        "accounts": {
            "outsider": make.make_user("outsider"),
            "viewer": make.make_member(survey, Role.VIEWER),
            "reviewer": make.make_member(survey, Role.REVIEWER),
            "curator": curator,
            "administrator": make.make_user("boss", superuser=True),
        },
    }


def _request(client: Client, world: dict[str, Any], rule: Rule) -> Any:
    kind, _, name = rule.args.rpartition(":")
    args = [*([kind] if kind else []), *([world[name].pk] if name else [])]
    form = {key: str(world[value].pk) if value in world else value for key, value in rule.form.items()}
    return _read(getattr(client, rule.method)(reverse(rule.name, args=args), form))


def _read(response: Any) -> Any:
    """Take a streamed file to its end, so that it is closed."""
    if response.streaming:
        b"".join(response)
    return response


@contextmanager
def _rolled_back() -> Iterator[None]:
    """What a request changes is gone before the next one."""
    point = transaction.savepoint()
    yield
    transaction.savepoint_rollback(point)


@pytest.mark.django_db
@pytest.mark.parametrize("who", WHO)
def test_every_account_gets_what_the_rules_say(who: str, world: dict[str, Any]) -> None:
    answers, locations = {}, {}
    for rule in RULES:
        client = Client()
        if who != "anonymous":
            client.force_login(world["accounts"][who])
        with _rolled_back():
            response = _request(client, world, rule)
        answers[str(rule)] = response.status_code
        locations[str(rule)] = response.headers.get("Location", "")
    assert answers == {str(rule): rule.expected[who] for rule in RULES}
    if who == "anonymous":
        sent = {name for name, where in locations.items() if not where.startswith(reverse("login"))}
        assert sent == {"get health", "get login"}


def test_every_address_has_a_rule() -> None:
    named = {pattern.name for pattern in urls.urlpatterns if isinstance(pattern, URLPattern)}
    assert len(named) == len(urls.urlpatterns), "every address needs a name of its own"
    assert {rule.name for rule in RULES} == named


@pytest.mark.django_db
def test_only_the_health_and_sign_in_pages_are_open(world: dict[str, Any]) -> None:
    opened = {rule.name for rule in RULES if rule.expected["anonymous"] != LOGIN}
    assert opened == {"health", "login"}


@pytest.mark.django_db
def test_an_id_of_nothing_and_of_a_foreign_survey_are_the_same_answer(world: dict[str, Any]) -> None:
    """A curator of one survey asks for another one's things: as if they did not exist, whatever the role at home."""
    client = Client()
    client.force_login(make.make_member(make.make_survey(), Role.ADMINISTRATOR, places=True))
    for rule in RULES:
        if not rule.args:
            continue
        foreign = _request(client, world, rule)
        kind, _, _name = rule.args.rpartition(":")
        args = [kind] if kind else []
        absent = getattr(client, rule.method)(reverse(rule.name, args=[*args, 10**12]), {})
        huge = getattr(client, rule.method)(reverse(rule.name, args=[*args, 10**30]), {})
        assert (foreign.status_code, absent.status_code, huge.status_code) == (404, 404, 404), rule
        assert _TOKEN.sub(b"", foreign.content) == _TOKEN.sub(b"", absent.content), rule


@pytest.mark.django_db
def test_a_membership_withdrawn_in_mid_session_ends_at_once(world: dict[str, Any]) -> None:
    client = Client()
    client.force_login(world["accounts"]["curator"])
    reads = [rule for rule in RULES if rule.args and rule.method == "get"]
    tags = {}
    for rule in reads:
        response = _request(client, world, rule)
        assert response.status_code == 200, rule
        tags[str(rule)] = response.headers.get("ETag", "")
    world["accounts"]["curator"].memberships.all().delete()
    for rule in reads:
        client.defaults["HTTP_IF_NONE_MATCH"] = tags[str(rule)]
        assert _request(client, world, rule).status_code == 404, rule


@pytest.mark.django_db
def test_staff_is_not_an_administrator(world: dict[str, Any]) -> None:
    client = Client()
    client.force_login(make.make_user("clerk", is_staff=True))
    assert client.get(reverse("survey-detail", args=[world["survey"].pk])).status_code == 404
    assert b"No survey is open to you yet" in client.get(reverse("survey-list")).content


@pytest.mark.django_db
def test_a_get_changes_nothing_that_a_form_changes(world: dict[str, Any]) -> None:
    client = Client()
    client.force_login(world["accounts"]["administrator"])
    for rule in RULES:
        if rule.method != "post" or rule.name in {"survey-stations", "decision-undo", "survey-species-below"}:
            continue
        args = [world[rule.args].pk] if rule.args else []
        assert client.get(reverse(rule.name, args=args)).status_code == 405, rule
    assert Decision.objects.count() == 1
    assert not Detection.objects.filter(flank="left").exists()
    assert Survey.objects.get(pk=world["survey"].pk).matching_state == "done"
