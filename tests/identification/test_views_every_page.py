"""What holds for every page: markup, policy, size, and the number of queries."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.models import (
    Decision,
    Individual,
    ReviewPosition,
    Role,
    Survey,
    Verdict,
)
from identification.services.proposals import proposals_refresh
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


class _Markup(HTMLParser):
    """Collects what a strict content security policy and people with screen readers would stumble over."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.faults += [f"{tag} {name}" for name in found if name == "style" or name.startswith("on")]
        data = found.get("type") == "application/json"
        if tag == "style" or (tag == "script" and not found.get("src") and not data):
            self.faults.append(f"inline {tag}")
        if tag == "img" and "alt" not in found:
            self.faults.append(f"img without alt: {found}")
        for name in ("src", "href", "action"):
            if (found.get(name) or "").startswith(("http:", "https:", "//")):
                self.faults.append(f"{tag} {name} leaves the host")
        if tag == "form" and found.get("method") == "post":
            self.faults.append("token awaited")
        if tag == "input" and found.get("name") == "csrfmiddlewaretoken":
            self.faults.remove("token awaited")


def _addresses() -> tuple[Survey, list[str]]:
    survey, animals = make.make_reviewable_survey(individuals=3, photos=3)
    for animal in animals[:2]:
        match(None, animal[0], animal[1])
    match(None, animals[0][0], animals[1][0], Verdict.NO_MATCH)
    match(None, animals[0][0], animals[1][1], confirm=True)
    decision = Decision.objects.first()
    assert decision is not None
    make.make_ingest_report(survey, skipped=2)
    make.make_image(survey, state="failed", reason="It ends early.")
    for camera in ("A", "B"):
        make.make_sighting(survey, camera=camera, captured_at=make.START)
    proposals_refresh(survey=survey)
    names = [
        "survey-links",
        "survey-detail",
        "survey-exports",
        "survey-figures",
        "survey-ingest",
        "survey-imports",
        "survey-skipped",
        "survey-stations",
        "photo-list",
        "review",
        "review-again",
        "review-certain",
        "survey-species",
        "survey-species-below",
        "agreement",
        "adjudication",
        "survey-members",
    ]
    addresses = [reverse(name, args=[survey.pk]) for name in names]
    addresses.append(reverse("population-exports", args=[survey.population_id]))
    addresses += [reverse(name) for name in ("survey-list", "individual-list", "conflict-list", "join-list")]
    addresses.append(reverse("password_change"))
    addresses += [reverse(name) for name in ("account", "audit")]
    addresses.append(reverse("review", args=[survey.pk]) + f"?anchor={animals[2][0].pk}")
    addresses.append(reverse("review", args=[survey.pk]) + "?mode=photo&on=1")
    addresses.append(reverse("survey-stations", args=[survey.pk]) + "?compare=1")
    addresses.append(reverse("photo-detail", args=[animals[0][0].image_id]))
    addresses += [reverse("individual-detail", args=[item.pk]) for item in Individual.objects.filter(retired=False)]
    addresses.append(reverse("decision-undo", args=[decision.pk]))
    return survey, addresses


def test_every_page_is_sound_small_and_under_a_strict_policy() -> None:
    survey, addresses = _addresses()
    client = client_of(survey, places=True)
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        assert len(response.content) < 100_000, address
        markup = _Markup()
        markup.feed(response.content.decode())
        assert markup.faults == [], address
        assert len(markup.ids) == len(set(markup.ids)), f"{address}: an id twice"
        policy = response["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy


def test_looking_at_a_page_writes_nothing() -> None:
    survey, addresses = _addresses()
    user = make.make_member(survey, Role.CURATOR, places=True)
    client = Client()
    client.force_login(user)
    for mode in ("queue", "photo"):
        ReviewPosition.objects.update_or_create(user=user, survey=survey, defaults={"mode": mode})
        for address in addresses:
            with CaptureQueriesContext(connection) as asked:
                assert client.get(address).status_code == 200
            writing = [one["sql"] for one in asked if re.match(r"\s*(INSERT|UPDATE|DELETE)\b", one["sql"])]
            # That somebody has the question before her is nothing that she said: docs/decisions/0033.
            writing = [sql for sql in writing if "identification_reviewlease" not in sql]
            assert writing == [], f"{address} in the order {mode}"


def test_a_page_with_its_styles_and_scripts_stays_below_300_kb() -> None:
    static = Path(__file__).resolve().parents[2] / "static" / "spotid"
    total = sum(file.stat().st_size for file in static.rglob("*") if file.is_file())
    assert 0 < total < 200_000


@pytest.mark.parametrize(
    ("name", "most"), [("survey-list", 10), ("survey-detail", 45), ("photo-list", 14), ("individual-list", 16)]
)
def test_pages_ask_the_database_equally_often_for_many_rows(
    name: str, most: int, django_assert_max_num_queries
) -> None:
    survey, animals = make.make_reviewable_survey(individuals=4, photos=3)
    for animal in animals:
        match(None, animal[0], animal[1])
    client = client_of(survey)
    address = reverse(name, args=[survey.pk] if name in {"survey-detail", "photo-list"} else [])
    with django_assert_max_num_queries(most):
        assert client.get(address).status_code == 200


def test_the_individual_and_conflict_pages_ask_equally_often_for_many_photos(django_assert_max_num_queries) -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=9)
    for first, second in zip(animals[0], animals[0][1:], strict=False):
        match(None, first, second)
    match(None, animals[0][0], animals[0][8], Verdict.NO_MATCH, confirm=True)
    client = client_of(survey)
    with django_assert_max_num_queries(34):
        client.get(reverse("individual-detail", args=[Individual.objects.get().pk]))
    with django_assert_max_num_queries(30) as asked:
        client.get(reverse("conflict-list"))
    assert len(asked) > 10


def _luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_contrasts_with_what_is_behind_it_in_light_and_dark() -> None:
    css = (Path(__file__).resolve().parents[2] / "static/spotid/css/base.css").read_text()
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css.split("@media")[0]))
    dark = light | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css.split("@media")[1]))
    pairs = [(text, ground) for text in ("ink", "muted") for ground in ("paper", "surface", "sunken")]
    pairs += [
        ("accent", "paper"),
        ("accent", "surface"),
        ("accent-ink", "accent"),
        ("surface", "match"),
        ("paper", "ink"),
    ]
    pairs += [(name, ground) for name in ("match", "refuse", "unsure") for ground in ("surface", f"{name}-soft")]
    pairs += [("ink", f"{name}-soft") for name in ("accent", "refuse", "unsure")]
    for scheme in (light, dark):
        poor = {pair: round(_contrast(*(scheme[name] for name in pair)), 2) for pair in pairs}
        assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}
