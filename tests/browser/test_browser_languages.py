"""Reading the pages in another language."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NARROW
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_language_is_chosen_by_keyboard_at_the_foot_of_a_page_and_stays(new_page) -> None:
    survey, _ = make.make_reviewable_survey(individuals=1, photos=2)
    page = new_page(make.make_member(survey), viewport=NARROW)
    page.goto(f"/surveys/{survey.pk}/")
    expect(page.locator("html")).to_have_attribute("lang", "en-gb")
    page.get_by_role("button", name="Español").focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url.endswith(f"/surveys/{survey.pk}/")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    # The catalogue is there before the scripts of the page.
    assert page.evaluate("typeof window.django.gettext") == "function"
    assert page.evaluate("import('/static/spotid/js/text.js').then(text => text.gettext === window.django.gettext)")
    page.goto("/individuals/")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    with page.expect_navigation():
        page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en-gb")
    assert page.evaluate("typeof window.django") == "undefined"


def test_somebody_who_is_not_signed_in_chooses_too(new_page) -> None:
    page = new_page()
    page.goto("/login/?next=/individuals/")
    with page.expect_navigation():
        page.get_by_role("button", name="Español").click()
    expect(page.locator("html")).to_have_attribute("lang", "es")
    assert page.url.endswith("/login/?next=/individuals/"), "where one was going is not forgotten"
