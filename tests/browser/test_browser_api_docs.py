"""The page of the API: whole without a network, within the policy of the pages, and it asks what is clicked."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from identification.models import Role
from tests.browser.conftest import NewPage
from tests.identification import factories as make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def test_the_page_is_whole_and_asks_in_the_session(new_page: NewPage) -> None:
    survey = make.make_survey(name="Asked from the page")
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto("/api/v1/docs/")
    page.locator("#operations-tag-surveys").click()
    row = page.locator("#operations-surveys-surveys_get")
    expect(row).to_be_visible(timeout=30_000)
    row.locator(".opblock-summary").click()
    row.get_by_role("button", name="Try it out").click()
    row.get_by_role("button", name="Execute").click()
    expect(row.locator(".responses-table.live-responses-table")).to_contain_text("Asked from the page")


def test_a_request_that_changes_carries_what_the_session_needs(new_page: NewPage) -> None:
    survey = make.make_survey(name="Settings from the page")
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto("/api/v1/docs/")
    page.locator("#operations-tag-surveys").click()
    row = page.locator("#operations-surveys-surveys_survey_id_patch")
    row.locator(".opblock-summary").click()
    row.get_by_role("button", name="Try it out").click()
    row.get_by_placeholder("survey_id").fill(str(survey.pk))
    row.locator("textarea").fill('{"completeness_goal": 0.75}')
    row.get_by_role("button", name="Execute").click()
    expect(row.locator(".responses-table.live-responses-table")).to_contain_text("0.75")
    survey.refresh_from_db()
    assert survey.completeness_goal == 0.75


def test_its_colours_are_those_of_the_system(new_page: NewPage) -> None:
    page = new_page(make.make_member(make.make_survey(), Role.CURATOR))
    page.goto("/api/v1/docs/")
    paper = "getComputedStyle(document.body).backgroundColor"
    for scheme, colour in (
        ("light", "rgb(250, 250, 250)"),
        ("dark", "rgb(28, 32, 34)"),
        ("light", "rgb(250, 250, 250)"),
    ):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function(f"() => {paper} === '{colour}'")


def test_whoever_is_not_signed_in_is_sent_to_sign_in(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/api/v1/docs/")
    expect(page).to_have_url(re.compile(r"/login/\?next=/api/v1/docs/"))
