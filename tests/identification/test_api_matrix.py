"""Who may do what through the API: a rule for every address and method. Without one it fails, and the reverse."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from identification.api import urls
from identification.models import EmbeddingModel, ImportRun, LinkProposal, Role, TrainingRun
from identification.services import receiving
from tests.identification import factories as make
from tests.identification.test_views_matrix import WHO, Expected
from tests.identification.test_views_matrix import world as page_world

METHODS = ("get", "post", "put", "patch", "delete")
# For people, and what catches every other address.
_PAGES = {"api-docs", "api-schema", "api-not-there"}
world = page_world


def _rule(viewer: int, reviewer: int, curator: int, administrator: int | None = None) -> Expected:
    last = curator if administrator is None else administrator
    roles = {"viewer": viewer, "reviewer": reviewer, "curator": curator, "administrator": last}
    return {"anonymous": 401, "outsider": 404, **roles}


_MEMBERS = _rule(200, 200, 200)
_SIGNED_IN = _MEMBERS | {"outsider": 200}
_BOSS = _rule(403, 403, 403, 200) | {"outsider": 403}


def _boss(status: int) -> Expected:
    return _BOSS | {"administrator": status}


@dataclass(frozen=True)
class Rule:
    """args and strings of the body that begin with @ are ids of things of the world."""

    name: str
    expected: Expected
    args: str = ""
    method: str = "get"
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.name} {self.label}".strip()


_PAIR = {"anchor": "@detection", "candidate": "@candidate", "verdict": "unsure", "version": 0}

RULES = [
    Rule("api-health", dict.fromkeys(WHO, 200)),
    Rule("api-account", _SIGNED_IN),
    Rule("api-tokens", _SIGNED_IN),
    # Tokens are made by people who have just given their password.
    Rule("api-tokens", dict.fromkeys(WHO, 403) | {"anonymous": 401}, "", "post", {"name": "a script", "days": 30}),
    Rule("api-token", dict.fromkeys(WHO, 404) | {"anonymous": 401}, "=spotid_00000000", "delete"),
    Rule("api-accounts", _BOSS),
    Rule("api-accounts", _boss(201), "", "post", {"username": "newcomer"}),
    Rule("api-one-account", _BOSS, "clerk"),
    Rule("api-one-account", _BOSS, "clerk", "patch", {"last_name": "Otherwise"}),
    # Nobody has just given a password.
    Rule("api-one-account", _boss(403), "clerk", "patch", {"administrator": True}, label="made an administrator"),
    Rule("api-account-tokens", _BOSS, "clerk"),
    Rule("api-populations", _SIGNED_IN),
    Rule("api-population", _MEMBERS, "population"),
    Rule("api-population", _rule(403, 403, 403, 200), "population", "patch", {"species": "Panthera pardus"}),
    Rule("api-calibrations", _rule(403, 403, 403, 200), "population"),
    Rule("api-calibrations", _rule(403, 403, 403, 202), "population", "post", {}),
    Rule("api-calibration-standing", _rule(403, 403, 403, 200), "population"),
    Rule("api-calibration", _boss(404), "=999999"),
    Rule("api-population-members", _rule(403, 403, 403, 200), "population"),
    Rule(
        "api-population-members",
        _rule(403, 403, 403, 201),
        "population",
        "post",
        {"username": "outsider", "role": "viewer"},
    ),
    Rule("api-population-exports", _rule(403, 403, 200), "population"),
    Rule("api-population-exports", _rule(403, 403, 202), "population", "post", {"formats": ["csv"]}),
    Rule(
        "api-population-exports",
        _rule(403, 403, 403, 202),
        "population",
        "post",
        {"formats": ["csv"], "with_places": True},
        label="with places",
    ),
    Rule("api-surveys", _SIGNED_IN),
    Rule("api-surveys", _boss(201), "", "post", {"name": "Another season"}),
    Rule("api-survey", _MEMBERS, "survey"),
    Rule("api-survey", _rule(403, 403, 200), "survey", "patch", {"completeness_goal": 0.9}),
    Rule("api-survey", _rule(403, 403, 403, 200), "survey", "patch", {"name": "Called otherwise"}, label="its name"),
    Rule("api-survey", _rule(403, 403, 403, 204), "survey", "delete"),
    Rule("api-survey-settings", _MEMBERS, "survey"),
    Rule("api-progress", _MEMBERS, "survey"),
    Rule("api-matching", _rule(403, 403, 202), "survey", "post"),
    Rule("api-processing", _rule(403, 403, 202), "survey", "post"),
    Rule("api-retries", _rule(403, 403, 202), "survey", "post"),
    Rule("api-skipped", _rule(403, 403, 200), "survey"),
    Rule("api-figures", _MEMBERS, "survey"),
    Rule("api-survey-members", _rule(403, 403, 200), "survey"),
    Rule("api-survey-members", _rule(403, 403, 201), "survey", "post", {"username": "outsider", "role": "viewer"}),
    Rule("api-member", _rule(404, 404, 200), "membership"),
    Rule("api-member", _rule(404, 404, 200), "membership", "patch", {"role": "reviewer", "may_see_places": False}),
    Rule(
        "api-member",
        _rule(404, 404, 403, 200),
        "above",
        "patch",
        {"role": "viewer", "may_see_places": False},
        label="above one's own role",
    ),
    Rule("api-member", _rule(404, 404, 204), "membership", "delete"),
    Rule("api-audit", _rule(403, 403, 200) | {"outsider": 403}),
    Rule("api-stations", _MEMBERS, "survey"),
    # Nobody in this matrix was granted places but the administrator.
    Rule("api-places", _rule(403, 403, 403, 200), "survey", "post"),
    Rule(
        "api-places",
        _rule(403, 403, 403, 200),
        "survey",
        "put",
        {"stations": [{"code": "P1", "latitude": 1, "longitude": 2}]},
    ),
    Rule("api-places-shown", _rule(403, 403, 403, 200), "survey"),
    Rule("api-places-shown", _rule(403, 403, 403, 200), "survey", "patch", {"grid": 0.5}),
    Rule("api-operations", _MEMBERS, "survey"),
    Rule(
        "api-operations",
        _rule(403, 403, 200),
        "survey",
        "put",
        {"operations": [{"station": "PLACE", "set_up": "2026-01-01"}]},
    ),
    Rule("api-station", _MEMBERS, "station"),
    Rule("api-station", _rule(403, 403, 403, 200), "station", "patch", {"code": "Called otherwise"}),
    Rule("api-station-operations", _rule(403, 403, 204), "station", "delete"),
    Rule("api-clocks", _MEMBERS, "survey"),
    Rule("api-clocks", _rule(403, 403, 200), "survey", query={"compare": "true"}, label="compared"),
    Rule(
        "api-clocks",
        _rule(403, 403, 200),
        "survey",
        "post",
        {"station": "@station", "camera": "A", "offset_seconds": 60},
    ),
    Rule("api-photos", _MEMBERS, "survey"),
    # A filter that would tell of people is not there for those who may not see them.
    Rule("api-photos", _rule(400, 400, 200), "survey", query={"show": "people"}, label="of people"),
    Rule("api-photo", _MEMBERS, "image"),
    Rule("api-photo", _rule(404, 200, 200), "person", label="of a person"),
    Rule("api-photo-place", _rule(403, 403, 403, 200), "image", "post"),
    Rule("api-photo-retry", _rule(403, 403, 202), "image", "post"),
    Rule("api-photo-boxes", _MEMBERS, "image"),
    Rule("api-photo-boxes", _rule(403, 403, 201), "image", "post", {"x1": 1, "y1": 1, "x2": 60, "y2": 60}),
    *(Rule("api-media", _MEMBERS, f"{kind}:image", label=kind) for kind in ("thumbnail", "preview")),
    *(Rule("api-media", _MEMBERS, f"{kind}:detection", label=kind) for kind in ("crop", "mask", "cutout", "edges")),
    Rule("api-media", _rule(404, 404, 200), "original:image", label="original"),
    Rule("api-media", _rule(404, 200, 200), "preview:person", label="of a person"),
    Rule("api-media", _rule(404, 404, 200), "crop:person_box", label="crop of a person"),
    Rule("api-media-screen", _MEMBERS, "crop:detection:240"),
    Rule("api-media-screen", _rule(404, 404, 200), "crop:person_box:240", label="of a person"),
    Rule("api-box", _MEMBERS, "detection"),
    Rule("api-box", _rule(404, 404, 200), "person_box", label="of a person"),
    Rule("api-box", _rule(403, 200, 200), "detection", "patch", {"flank": "left"}),
    Rule("api-box", _rule(403, 403, 200), "detection", "patch", {"species": "Panthera pardus"}, label="species"),
    Rule("api-box-redraw", _rule(403, 403, 200), "detection", "post", {"x1": 1, "y1": 1, "x2": 60, "y2": 60}),
    Rule("api-box-declare", _rule(403, 200, 200), "detection", "post"),
    Rule("api-candidates", _rule(403, 200, 200), "detection"),
    Rule("api-species", _rule(403, 200, 200), "survey"),
    Rule("api-species-counts", _rule(403, 200, 200), "survey"),
    Rule("api-species-marks", _rule(403, 200, 200), "survey", "post", {"boxes": ["@detection"], "species": "wanted"}),
    Rule(
        "api-species-marks",
        _rule(403, 403, 200),
        "survey",
        "post",
        {"boxes": ["@detection"], "species": "other", "with_matched": True},
        label="matched",
    ),
    Rule("api-species-below", _rule(403, 403, 200), "survey", query={"below": "10"}),
    Rule("api-species-below", _rule(403, 403, 200), "survey", "post", {"below": 10, "version": 0, "expected": 0}),
    # The triage of this matrix is the curator's: a reviewer takes back only her own.
    Rule("api-species-undo", _rule(403, 403, 200), "survey", "post", {"entry": "@triage"}),
    Rule("api-species-scores", _rule(403, 403, 202), "survey", "post"),
    Rule("api-mode", _rule(403, 200, 200), "survey"),
    Rule("api-mode", _rule(403, 200, 200), "survey", "put", {"mode": "photo"}),
    Rule("api-questions", _rule(403, 200, 200), "survey", "post", {}),
    Rule("api-holds", _rule(403, 200, 200), "survey", "post", {"pairs": [["@detection", "@candidate"]]}),
    Rule("api-later", _rule(403, 204, 204), "survey", "post", {"pair": ["@detection", "@candidate"]}),
    Rule("api-pass", _rule(403, 204, 204), "survey", "post", {"anchor": "@detection"}),
    Rule("api-return", _rule(403, 204, 204), "survey", "post", {}),
    Rule("api-by-photo", _rule(403, 200, 200), "survey", "post", {}),
    Rule("api-put-off", _rule(403, 200, 200), "survey"),
    Rule("api-certain", _rule(403, 200, 200), "survey", "post", {}),
    Rule(
        "api-certain-confirm",
        _rule(403, 200, 200),
        "survey",
        "post",
        {"pairs": [{"anchor": "@detection", "candidate": "@candidate", "version": 0, "shown": 0.97}]},
    ),
    Rule("api-again", _rule(403, 200, 200), "survey"),
    Rule("api-alone", _rule(403, 200, 200), "survey"),
    Rule("api-spots", _rule(403, 200, 200), "survey", query={"anchor": "@detection", "candidate": "@candidate"}),
    Rule("api-beside", _rule(403, 200, 200), "survey", query={"anchor": "@detection", "candidate": "@candidate"}),
    Rule("api-decisions", _rule(403, 200, 200), "survey"),
    Rule("api-decisions", _rule(403, 201, 201), "survey", "post", _PAIR),
    Rule("api-decisions-bulk", _rule(403, 200, 200), "survey", "post", {"decisions": [_PAIR]}),
    Rule(
        "api-decisions-together",
        _rule(403, 200, 200),
        "survey",
        "post",
        {"anchor": "@detection", "candidates": [{"candidate": "@candidate", "version": 0, "shown": 0.5}]},
    ),
    # Nothing of one's own is there to be taken back, but for the curator.
    Rule("api-decisions-undo", _rule(403, 422, 200, 422), "survey", "post", {}),
    Rule("api-decision-undo", _rule(403, 403, 200), "decision"),
    Rule("api-decision-undo", _rule(403, 403, 200), "decision", "post"),
    Rule("api-undo-together", _rule(403, 403, 200), "decision", "post"),
    Rule("api-links", _rule(403, 200, 200), "survey"),
    Rule("api-links-answered", _rule(403, 200, 200), "survey"),
    Rule("api-links-confirm", _rule(403, 200, 200), "survey", "post", {"groups": [{"id": "@link"}]}),
    Rule("api-links-dismiss", _rule(403, 200, 200), "survey", "post", {"groups": ["@link"]}),
    Rule("api-links-undo", _rule(403, 422, 422), "survey", "post", {}),
    Rule("api-agreement", _rule(403, 200, 200), "survey"),
    Rule("api-adjudications", _rule(403, 403, 200), "survey"),
    Rule("api-adjudications", _rule(403, 403, 404), "survey", "post", {"opinion": 1, "verdict": "match"}),
    Rule("api-individuals", _SIGNED_IN),
    Rule("api-retired", _SIGNED_IN, query={"q": "L-0001"}),
    Rule("api-individual", _MEMBERS, "individual"),
    Rule("api-individual", _rule(403, 403, 200), "individual", "patch", {"name": "Luna"}),
    *(Rule(f"api-individual-{name}", _MEMBERS, "individual") for name in ("boxes", "visits", "matches", "history")),
    Rule("api-declare", _rule(403, 403, 200), "individual", "post"),
    Rule("api-undeclare", _rule(403, 403, 200), "individual", "post"),
    Rule("api-individual-places", _MEMBERS, "individual"),
    Rule("api-individual-places", _rule(403, 403, 403, 200), "individual", "post"),
    Rule("api-individual-likely", _rule(403, 200, 200), "individual"),
    Rule("api-split-preview", _rule(403, 403, 200), "individual", "post", {"boxes": ["@candidate"]}),
    Rule("api-split", _rule(403, 403, 422), "individual", "post", {"boxes": ["@candidate"], "state": "another"}),
    # There is no other animal to merge with.
    Rule("api-merge-preview", _rule(403, 404, 404), "individual", "post", {"other": "@individual", "boxes": [1, 2]}),
    Rule(
        "api-merge", _rule(403, 404, 404), "individual", "post", {"other": "@individual", "boxes": [1, 2], "state": "x"}
    ),
    Rule("api-conflicts", _rule(403, 200, 200) | {"outsider": 403}),
    Rule("api-joins", _rule(403, 403, 200) | {"outsider": 403}),
    Rule("api-join-settle", _rule(404, 404, 200), "join", "post", {"verdict": "match"}),
    Rule(
        "api-settle", _rule(403, 403, 404) | {"outsider": 403}, "", "post", {"pairs": [[1, 2, 0]], "verdict": "match"}
    ),
    Rule("api-ingest", _rule(403, 403, 200), "survey"),
    Rule("api-announce", _rule(403, 403, 200), "survey", "post", {"files": [{"path": "a.jpg", "size": 3}]}),
    # What arrives is its sender's alone, the curator's here.
    Rule("api-piece", _rule(403, 403, 200, 404), "survey:file", "put", b"abc", {"offset": "0", "crc32": "891568578"}),
    Rule("api-finish", _rule(403, 403, 202, 422), "survey", "post"),
    Rule("api-discard", _rule(403, 403, 204), "survey", "post"),
    Rule("api-folder", _rule(403, 403, 403, 422), "survey", "post", {"folder": "/nowhere"}),
    Rule("api-ingest-retry", _rule(403, 403, 422), "survey:received", "post"),
    Rule("api-folders", _BOSS),
    Rule("api-imports", _rule(403, 403, 200), "survey"),
    Rule("api-imports", _rule(403, 403, 422), "survey", "post", {"kind": ""}, label="of no file"),
    Rule("api-import-kinds", _SIGNED_IN),
    Rule("api-import", _rule(403, 403, 200), "import"),
    Rule("api-import", _rule(403, 403, 204), "import", "delete"),
    Rule("api-import-confirm", _rule(403, 403, 422), "import", "post"),
    Rule("api-import-issues", _rule(403, 403, 200), "import"),
    Rule("api-survey-exports", _rule(403, 403, 200), "survey"),
    Rule("api-survey-exports", _rule(403, 403, 202), "survey", "post", {"formats": ["csv"]}),
    Rule(
        "api-survey-exports",
        _rule(403, 403, 403, 202),
        "survey",
        "post",
        {"formats": ["csv"], "with_places": True},
        label="with places",
    ),
    # An export is its maker's, the curator's here, and the administrator's.
    Rule("api-export", _rule(404, 404, 200), "export"),
    Rule("api-export-file", _rule(404, 404, 200), "export", "post"),
    Rule("api-models", _BOSS),
    Rule("api-model", _BOSS, "model"),
    Rule("api-model-imports", _boss(400), "", "post", {}, label="of no file"),
    Rule("api-published", _BOSS),
    Rule("api-published", _boss(422), "", "post", {"name": "of nobody"}),
    Rule("api-model-card", _BOSS, "model"),
    # Its weights are not there.
    Rule("api-model-file", _boss(422), "model", "post"),
    Rule("api-model-failures", _BOSS, "model"),
    Rule("api-model-activate", _boss(422), "model", "post"),
    Rule("api-model-retire", _boss(200), "model", "post"),
    Rule("api-rollback", _boss(422), "", "post"),
    Rule("api-activations", _BOSS),
    Rule("api-activation-cancel", _boss(404), "=999999", "post"),
    Rule("api-trainings", _BOSS),
    Rule("api-trainings", _boss(422), "", "post", {"population": "@population"}),
    Rule("api-training-plan", _BOSS, "", "post", {"population": "@population"}),
    Rule("api-training", _BOSS, "training"),
    Rule("api-training-cancel", _boss(422), "training", "post"),
    Rule("api-training-resume", _boss(202), "training", "post"),
]


@pytest.fixture
def everything(world: dict[str, Any], settings: Any, tmp_path: Path, no_api_limit: None) -> dict[str, Any]:
    """The world of the pages, with what only the API names by an id."""
    settings.SPOTID_UPLOAD_DIR, settings.SPOTID_IMPORT_DIR = tmp_path / "photos", tmp_path / "imports"
    survey, curator = world["survey"], world["accounts"]["curator"]
    received = receiving.receiving_open(survey=survey, acting_user=curator)
    (file,) = receiving.files_announce(request=received, files=[receiving.Announced("b.jpg", 3, 0)])
    link = LinkProposal.objects.create(
        survey=survey, kind="same_event", key="k", started_at=world["decision"].created_at, seconds=1
    )
    link.detections.set([world["detection"], world["candidate"]])
    model = EmbeddingModel.objects.create(
        name="a candidate", architecture="x", dimension=4, weights_file="none", checksum="0" * 64
    )
    return world | {
        "station": survey.stations.get(code="PLACE"),
        "received": received,
        "file": file,
        "link": link,
        "import": ImportRun.objects.create(survey=survey, requested_by=curator, kind="stations"),
        "model": model,
        "clerk": make.make_user("clerk"),
        "training": TrainingRun.objects.create(population=survey.population, state="cancelled"),
    }


def _ids(world: dict[str, Any]) -> dict[str, int]:
    return {name: found.pk for name, found in world.items() if hasattr(found, "pk")}


def _filled(body: Any, ids: dict[str, int]) -> Any:
    if isinstance(body, dict):
        return {name: _filled(value, ids) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, ids) for value in body]
    return ids[body[1:]] if isinstance(body, str) and body.startswith("@") else body


def ask(client: Client, rule: Rule, ids: dict[str, int], **headers: str) -> Any:
    args = [ids.get(part, part.removeprefix("=")) for part in rule.args.split(":") if part]
    address, query = reverse(rule.name, args=args), _filled(rule.query, ids)
    if rule.method == "get":
        response = client.get(address, query, headers=headers)
    elif isinstance(rule.body, bytes):
        response = client.put(address, rule.body, "application/octet-stream", query_params=query, headers=headers)
    elif rule.name in {"api-imports", "api-model-imports"}:
        response = client.post(address, rule.body, headers=headers)
    else:
        data = "" if rule.body is None else json.dumps(_filled(rule.body, ids))
        response = client.generic(rule.method.upper(), address, data, "application/json", headers=headers)
    if response.streaming:
        b"".join(response)
    return response


@contextmanager
def _rolled_back() -> Any:
    point = transaction.savepoint()
    yield
    transaction.savepoint_rollback(point)


def test_every_address_and_method_has_a_rule() -> None:
    there = {
        (pattern.name, method)
        for pattern in urls.urlpatterns
        for method in METHODS
        if pattern.name not in _PAGES and hasattr(pattern.callback.cls, method)
    }
    assert {(rule.name, rule.method) for rule in RULES} == there


@pytest.mark.django_db
@pytest.mark.parametrize("who", WHO)
def test_every_account_gets_what_the_rules_say(who: str, everything: dict[str, Any]) -> None:
    strange = {}
    ids = _ids(everything)
    for rule in RULES:
        client = Client()
        if who != "anonymous":
            client.force_login(everything["accounts"][who])
        with _rolled_back():
            response = ask(client, rule, ids)
        if response.status_code != rule.expected[who]:
            strange[str(rule)] = (response.status_code, rule.expected[who], response.content[:300])
        elif response.status_code >= 400 and response["Content-Type"] != "application/problem+json":
            strange[str(rule)] = response["Content-Type"]
    assert not strange, pformat(strange)


@pytest.mark.django_db
def test_an_id_of_nothing_and_of_a_foreign_survey_are_the_same_answer(everything: dict[str, Any]) -> None:
    """A curator of one survey asks for another one's things: as if they did not exist, whatever the role at home."""
    client = Client()
    client.force_login(make.make_member(make.make_survey(), Role.ADMINISTRATOR, places=True))
    ids = _ids(everything)
    for rule in RULES:
        if not rule.args or rule.args.startswith("=") or rule.expected["outsider"] != 404:
            continue
        answers = [ask(client, rule, named) for named in (ids, dict.fromkeys(ids, 10**12), dict.fromkeys(ids, 10**30))]
        assert [one.status_code for one in answers] == [404, 404, 404], rule
        assert len({one.content for one in answers}) == 1, rule
