"""Who may open what: a rule for every address. An address without a rule fails, so does a rule without an address.

Rules of the API: one for each method, with `_api` instead of `_rule`; their names begin with the namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from identification.exports import ExportOptions, Format
from identification.exports.requests import export_request
from identification.models import Decision, Detection, Individual, MatchEdge, Role, Survey, Triage, Verdict
from identification.services.decisions import decision_record
from identification.services.triage import detections_triage
from tests.identification import factories as make

WHO = ("anonymous", "outsider", "viewer", "reviewer", "curator", "administrator")
Expected = dict[str, int]

LOGIN = 302  # to the sign-in page
# What those who are not signed in are answered with something else than the way to the sign-in page.
OPEN = {
    *("health", "login", "account_login", "account_inactive", "text-catalogue"),
    *("socialaccount_login_cancelled", "openid_connect_login", "openid_connect_callback"),
}
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


def _api(viewer: int, reviewer: int, curator: int, administrator: int | None = None) -> Expected:
    """Of programs: who is not signed in is answered 401, not led to a page."""
    return _rule(viewer, reviewer, curator, administrator) | {"anonymous": 401}


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
    *(Rule(name, _EVERYBODY | dict.fromkeys(WHO[1:], 302)) for name in ("login", "account_login")),
    Rule("logout", dict.fromkeys(WHO, 302), method="post"),
    Rule("account_inactive", _EVERYBODY),
    # A second factor is asked only of somebody whose password was right a moment ago.
    Rule("mfa_authenticate", dict.fromkeys(WHO, 302)),
    Rule("socialaccount_login_cancelled", _EVERYBODY),
    # No provider is configured.
    Rule("openid_connect_login", dict.fromkeys(WHO, 404), "=sso"),
    Rule("openid_connect_callback", dict.fromkeys(WHO, 404), "=sso"),
    *(Rule(name, _SIGNED_IN) for name in ("account", "mfa_index", "account_reauthenticate")),
    # Who has no second factor is asked for the password; so is whoever would set one up.
    *(Rule(name, dict.fromkeys(WHO, 302)) for name in ("mfa_reauthenticate", "mfa_activate_totp")),
    Rule("mfa_deactivate_totp", dict.fromkeys(WHO, 404) | {"anonymous": LOGIN}),
    Rule("mfa_view_recovery_codes", dict.fromkeys(WHO, 404) | {"anonymous": LOGIN}),
    Rule("mfa_generate_recovery_codes", dict.fromkeys(WHO, 302)),
    Rule("token-make", dict.fromkeys(WHO, 302), method="post", form={"name": "a script", "days": "30"}),
    Rule("token-revoke", dict.fromkeys(WHO, 404) | {"anonymous": LOGIN}, "=spotid_00000000", "post"),
    Rule("audit", _rule(403, 403, 200) | {"outsider": 403}),
    Rule("audit-table", _rule(403, 403, 200) | {"outsider": 403}, method="post"),
    Rule("survey-members", _rule(403, 403, 200), "survey"),
    Rule("survey-members", _rule(403, 403, 302), "survey", "post", {"username": "outsider", "role": "viewer"}),
    Rule("member-change", _rule(404, 404, 302), "membership", "post", {"role": "reviewer"}),
    Rule("member-change", _rule(404, 404, 302), "membership", "post", {"what": "remove"}, "remove"),
    Rule("member-change", _rule(404, 404, 403, 302), "above", "post", {"role": "viewer"}, "above one's own role"),
    Rule("set_language", dict.fromkeys(WHO, 302), method="post", form={"language": "es"}),
    Rule("text-catalogue", _EVERYBODY, form={"language": "es"}),
    Rule("password_change", _SIGNED_IN),
    Rule("password_change_done", _SIGNED_IN),
    Rule("survey-list", _SIGNED_IN),
    Rule("survey-detail", _MEMBERS, "survey"),
    Rule("survey-progress", _MEMBERS, "survey"),
    Rule("survey-figures", _MEMBERS, "survey"),
    Rule("survey-stations", _MEMBERS, "survey"),
    # How coarse they are for others: for administrators of the survey.
    Rule("survey-places", _rule(403, 403, 403, 302), "survey", "post", {"grid": "0.1"}),
    # Exact places: nobody in this matrix was granted them but the administrator.
    Rule("survey-stations", _rule(403, 403, 403, 200), "survey", "post"),
    Rule("survey-skipped", _rule(403, 403, 200), "survey"),
    Rule("survey-ingest", _rule(403, 403, 200), "survey"),
    Rule("ingest-state", _rule(403, 403, 200), "survey"),
    # Empty requests of those who may are refused in words.
    Rule("ingest-announce", _rule(403, 403, 400), "survey", "post"),
    Rule("ingest-piece", _rule(403, 403, 400), "survey", "post"),
    Rule("ingest-finish", _rule(403, 403, 302), "survey", "post"),
    Rule("ingest-discard", _rule(403, 403, 302), "survey", "post"),
    Rule("ingest-retry", _rule(403, 403, 302), "survey", "post"),
    Rule("ingest-folder", _rule(403, 403, 403, 302), "survey", "post"),
    Rule("survey-station-table", _rule(403, 403, 403, 302), "survey", "post"),
    Rule("survey-imports", _rule(403, 403, 200), "survey"),
    Rule("imports-state", _rule(403, 403, 200), "survey"),
    Rule("imports-request", _rule(403, 403, 302), "survey", "post"),
    Rule("imports-confirm", _rule(403, 403, 302), "survey", "post"),
    Rule("imports-discard", _rule(403, 403, 302), "survey", "post"),
    Rule("imports-report", _rule(403, 403, 404), "survey"),
    Rule("survey-retry", _rule(403, 403, 302), "survey", "post"),
    Rule("survey-match", _rule(403, 403, 302), "survey", "post"),
    Rule("survey-export", _rule(403, 403, 200), "survey", "post"),
    Rule("survey-export", _rule(403, 403, 403, 200), "survey", "post", {"with_places": "on"}, "with places"),
    Rule("survey-exports", _rule(403, 403, 200), "survey"),
    # Of nothing chosen the page says so; places again only for those who were granted them.
    Rule("survey-exports-ask", _rule(403, 403, 422), "survey", "post"),
    Rule("survey-exports-ask", _rule(403, 403, 200), "survey", "post", {"formats": "csv"}, "table"),
    Rule(
        "survey-exports-ask",
        _rule(403, 403, 403, 200),
        "survey",
        "post",
        {"formats": "csv", "with_places": "on"},
        "with places",
    ),
    Rule("population-exports", _rule(403, 403, 200), "population"),
    Rule("population-exports-ask", _rule(403, 403, 200), "population", "post", {"formats": "csv"}),
    Rule(
        "population-exports-ask",
        _rule(403, 403, 403, 200),
        "population",
        "post",
        {"formats": "csv", "with_places": "on"},
        "with places",
    ),
    # An export is its maker's, the curator's here, and the administrator's.
    Rule("export-state", _rule(404, 404, 200), "export"),
    Rule("export-download", _rule(404, 404, 200), "export", "post"),
    Rule("survey-links", _rule(403, 200, 200), "survey"),
    Rule("survey-links-confirm", _rule(403, 302, 302), "survey", "post"),
    Rule("survey-links-dismiss", _rule(403, 302, 302), "survey", "post"),
    Rule("survey-links-undo", _rule(403, 302, 302), "survey", "post"),
    Rule("survey-clocks", _rule(403, 403, 302), "survey", "post"),
    Rule("photo-list", _MEMBERS, "survey"),
    Rule("photo-detail", _MEMBERS, "image"),
    Rule("photo-detail", _rule(404, 200, 200), "person", label="of a person"),
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
    Rule("review-ahead", _rule(403, 200, 200), "survey"),
    Rule("review-decisions", _rule(403, 200, 200), "survey"),
    Rule("review-decide", _rule(403, 302, 302), "survey", "post"),
    Rule("review-undo", _rule(403, 302, 302), "survey", "post"),
    Rule("review-spots", _rule(403, 200, 200), "survey", form={"anchor": "detection", "candidate": "candidate"}),
    Rule("review-pass", _rule(403, 302, 302), "survey", "post", {"anchor": "detection"}),
    Rule("review-return", _rule(403, 302, 302), "survey", "post"),
    Rule("review-again", _rule(403, 200, 200), "survey"),
    Rule("review-again-answer", _rule(403, 302, 302), "survey", "post"),
    Rule("review-certain", _rule(403, 200, 200), "survey"),
    Rule("review-confirm", _rule(403, 302, 302), "survey", "post"),
    Rule("review-later", _rule(403, 302, 302), "survey", "post"),
    Rule("review-empty", _rule(403, 302, 302), "survey", "post", {"box": "detection"}),
    Rule("review-hold", _rule(403, 200, 200), "survey", "post"),
    Rule("review-mode", _rule(403, 302, 302), "survey", "post", {"mode": "photo"}),
    Rule("review-modes", _rule(403, 200, 200), "survey"),
    Rule("review-beside", _rule(403, 200, 200), "survey", form={"anchor": "detection", "candidate": "candidate"}),
    Rule("review-alone", _rule(403, 200, 200), "survey"),
    Rule("review-none", _rule(403, 302, 302), "survey", "post", {"anchor": "detection"}),
    Rule("agreement", _rule(403, 200, 200), "survey"),
    Rule("agreement-shares", _rule(403, 403, 302), "survey", "post", {"second": "10", "known": "5"}),
    Rule("adjudication", _rule(403, 403, 200), "survey"),
    Rule("adjudicate", _rule(403, 403, 302), "survey", "post"),
    Rule("survey-goal", _rule(403, 403, 302), "survey", "post", {"goal": "95"}),
    Rule("individual-list", _SIGNED_IN),
    Rule("individual-detail", _MEMBERS, "individual"),
    Rule("individual-rename", _rule(403, 403, 302), "individual", "post", {"name": "Luna"}),
    Rule("individual-undeclare", _rule(403, 403, 302), "individual", "post"),
    Rule("individual-describe", _rule(403, 403, 302), "individual", "post", {"sex": "female"}),
    # Exact places again.
    Rule("individual-map", _rule(403, 403, 403, 200), "individual", "post"),
    Rule("individual-map", _MEMBERS, "individual", label="in cells"),
    # Without a photo ticked, a split only says so.
    Rule("individual-split", _rule(403, 403, 302), "individual", "post"),
    # A reviewer proposes.
    Rule("individual-merge", _rule(403, 200, 200), "individual"),
    Rule("individual-merge", _rule(403, 200, 200), "individual", "post"),
    Rule("batch-undo", _rule(403, 403, 302), "decision", "post"),
    Rule("conflict-list", _rule(403, 200, 200) | {"outsider": 403}),
    Rule("join-list", _rule(403, 403, 200) | {"outsider": 403}),
    Rule("join-settle", _rule(404, 404, 302), "join", "post", {"verdict": "match"}),
    Rule("conflict-settle", _rule(403, 403, 302) | {"outsider": 403}, method="post"),
    # The decision of this matrix is the curator's: a reviewer takes back only her own.
    Rule("decision-undo", _rule(403, 403, 200), "decision"),
    Rule("decision-undo", _rule(403, 403, 302), "decision", "post"),
    *(Rule("media", _MEMBERS, f"{kind}:image", label=kind) for kind in ("thumbnail", "preview")),
    *(Rule("media", _MEMBERS, f"{kind}:detection", label=kind) for kind in ("crop", "mask", "cutout", "edges")),
    *(Rule("media-screen", _MEMBERS, f"{kind}:detection:240", label=kind) for kind in ("crop", "cutout")),
    Rule("media-screen", _MEMBERS, "preview:image:480", label="preview"),
    Rule("media-screen", _rule(404, 200, 200), "preview:person:240", label="of a person"),
    Rule("media-screen", _rule(404, 404, 200), "crop:person_box:240", label="crop of a person"),
    Rule("media", _rule(404, 404, 200), "original:image", label="original"),
    Rule("media", _rule(404, 200, 200), "preview:person", label="of a person"),
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
    edge = MatchEdge.objects.create(a=animals[0][1], b=animals[1][1])
    proposed = {"acting_user": make.make_member(survey), "verdict": Decision.PROPOSED}
    join = Decision.objects.create(edge=edge, anchor=animals[0][1], **proposed)
    member = make.make_member(survey, Role.VIEWER)
    above = make.make_member(survey, Role.ADMINISTRATOR)
    export = export_request(
        acting_user=curator,
        population=survey.population,
        survey=survey,
        options=ExportOptions(formats=(Format.CSV,)),
    )
    return {
        "survey": survey,
        "population": survey.population,
        "export": export,
        "membership": member.memberships.get(),
        "above": above.memberships.get(),
        "image": image,
        "person": person,
        "person_box": box,
        "detection": animals[1][0],
        "candidate": first,
        "individual": Individual.objects.get(),
        "decision": decision,
        "join": join,
        "triage": detections_triage(acting_user=curator, detections=[animals[1][1]], triage=Triage.WANTED).entries[0],
        "accounts": {
            "outsider": make.make_user("outsider"),
            "viewer": make.make_member(survey, Role.VIEWER),
            "reviewer": make.make_member(survey, Role.REVIEWER),
            "curator": curator,
            "administrator": make.make_user("boss", superuser=True),
        },
    }


def _args(rule: Rule, ids: dict[str, int]) -> list[Any]:
    """Parts of the address: names of the world stand for ids, all else (a leading = is cut off) for itself."""
    return [ids.get(part, part.removeprefix("=")) for part in rule.args.split(":") if part]


def _request(client: Client, world: dict[str, Any], rule: Rule) -> Any:
    args = _args(rule, {name: found.pk for name, found in world.items() if hasattr(found, "pk")})
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
        assert sent == {f"{'post' if name == 'set_language' else 'get'} {name}" for name in OPEN | {"set_language"}}


def addresses(patterns: Iterable[Any], space: str = "") -> Iterator[tuple[str, str]]:
    """Name and method of every address: the method of views of the API alone, which name theirs; "" of pages.

    Included patterns and namespaces are walked, so that nothing is forgotten because it stands in another file.
    """
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from addresses(pattern.url_patterns, inner)
            continue
        named = getattr(pattern.callback, "actions", None) or {}
        view = getattr(pattern.callback, "cls", None)
        if not named and view is not None:
            named = {name for name in view.http_method_names if hasattr(view, name)} - {"options", "head"}
        for method in named or [""]:
            yield f"{space}{pattern.name}", method


def test_every_address_has_a_rule() -> None:
    """Of pages a rule for each name. The admin: test_admin_rights.py; the API: test_api_matrix.py."""
    found = [one for one in addresses(get_resolver().url_patterns) if not one[0].startswith(("admin:", "api-"))]
    # Without a name: what stands in place of the admin's own sign-in and change of password (test_sign_in.py).
    unnamed = [one for one in found if one[0] == "None"]
    assert len(unnamed) == 2
    found = [one for one in found if one not in unnamed]
    assert len(found) == len(set(found)), "every address needs a name of its own"
    of_api = {name for name, method in found if method}
    assert {(rule.name, rule.method if rule.name in of_api else "") for rule in RULES} == set(found)


@pytest.mark.django_db
def test_only_the_health_and_sign_in_pages_and_words_of_scripts_are_open(world: dict[str, Any]) -> None:
    opened = {rule.name for rule in RULES if rule.expected["anonymous"] not in (LOGIN, 401)}
    assert opened == OPEN


@pytest.mark.django_db
def test_an_id_of_nothing_and_of_a_foreign_survey_are_the_same_answer(world: dict[str, Any]) -> None:
    """A curator of one survey asks for another one's things: as if they did not exist, whatever the role at home."""
    client = Client()
    client.force_login(make.make_member(make.make_survey(), Role.ADMINISTRATOR, places=True))
    for rule in RULES:
        if not rule.args or rule.args.startswith("="):
            continue
        foreign = _request(client, world, rule)
        absent, huge = (
            getattr(client, rule.method)(reverse(rule.name, args=_args(rule, dict.fromkeys(world, number))), {})
            for number in (10**12, 10**30)
        )
        assert (foreign.status_code, absent.status_code, huge.status_code) == (404, 404, 404), rule
        assert _TOKEN.sub(b"", foreign.content) == _TOKEN.sub(b"", absent.content), rule


@pytest.mark.django_db
def test_a_membership_withdrawn_in_mid_session_ends_at_once(world: dict[str, Any]) -> None:
    client = Client()
    client.force_login(world["accounts"]["curator"])
    reads = [rule for rule in RULES if rule.args and rule.method == "get" and rule.expected["curator"] == 200]
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
        if rule.method != "post" or rule.name in {
            "survey-stations",
            "decision-undo",
            "survey-species-below",
            "individual-merge",
            "individual-map",
            "survey-members",
        }:
            continue
        args = _args(rule, {name: found.pk for name, found in world.items() if hasattr(found, "pk")})
        assert client.get(reverse(rule.name, args=args)).status_code == 405, rule
    assert Decision.objects.count() == 2
    assert not Detection.objects.filter(flank="left").exists()
    assert Survey.objects.get(pk=world["survey"].pk).matching_state == "done"
