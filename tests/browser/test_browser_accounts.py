"""Signing in with a second factor, by keyboard alone, from setting it up to the day on which the phone is lost."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from identification.models import ApiToken, Role
from tests.browser.conftest import NARROW
from tests.browser.pages_accounts import focused, proving, typing
from tests.identification import factories as make
from tests.identification.test_sign_in import code_of

pytestmark = pytest.mark.django_db(transaction=True)


def enter(page: Page, text: str) -> None:
    """Into the field that has the focus."""
    focused(page)
    page.keyboard.type(text)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def tab_to(page: Page, name: str) -> None:
    """Go by Tab until the link or button of that name has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
        )
        if (focused or "").strip() == name:
            return
    raise AssertionError(f"no way by Tab to {name}")


def follow(page: Page, name: str) -> None:
    tab_to(page, name)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def sign_out(page: Page) -> None:
    follow(page, "Sign out")


def test_a_second_factor_is_set_up_used_and_survives_the_loss_of_the_phone(new_page, survey) -> None:
    make.make_member(survey[0], user=make.make_user("ana"))
    page = new_page(viewport=NARROW)
    page.goto(reverse("login"))
    typing("ana", make.PASSWORD)(page)
    follow(page, "ana")
    follow(page, "Add a second factor")
    expect(page.get_by_role("heading", name="Is it you?")).to_be_visible()
    proving(page)
    secret = page.locator("code").first.inner_text()
    enter(page, "000000")
    expect(page.get_by_role("alert")).to_contain_text("not right")
    assert page.locator("code").first.inner_text() == secret, "a wrong code does not ask for another app"
    enter(page, code_of(secret))
    codes = page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10
    sign_out(page)
    typing("ana", make.PASSWORD)(page)
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    enter(page, code_of(secret))
    expect(page.get_by_role("link", name="ana")).to_be_visible()
    sign_out(page)
    typing("ana", make.PASSWORD)(page)
    enter(page, codes[3])
    follow(page, "ana")
    expect(page.locator("#two-factor")).to_contain_text("9 recovery codes left")


def test_somebody_else_may_sign_in_at_the_second_step(new_page, survey) -> None:
    from tests.browser.pages_accounts import make_guarded

    make_guarded()
    make.make_member(survey[0], user=make.make_user("ben"))
    page = new_page()
    page.goto(reverse("login"))
    typing("guarded", make.PASSWORD)(page)
    follow(page, "Sign in as somebody else")
    typing("ben", make.PASSWORD)(page)
    expect(page.get_by_role("link", name="ben")).to_be_visible()


def test_a_token_is_made_copied_and_revoked(new_page) -> None:
    make.make_user("ana")
    page = new_page()
    page.goto(f"{reverse('login')}?next={reverse('account')}")
    typing("ana", make.PASSWORD)(page)
    page.get_by_label("What for").focus()
    enter(page, "nightly export")
    proving(page)
    text = page.locator(".made pre").inner_text().strip()
    assert re.fullmatch(r"spotid_[0-9a-f]{57,}", text)
    page.goto(reverse("account"))
    assert text not in page.content()
    follow(page, "Revoke nightly export")
    expect(page.locator("#tokens table")).to_have_count(0)
    assert not ApiToken.objects.exists()


def test_a_member_is_added_given_another_role_and_removed(new_page, survey) -> None:
    page = new_page(make.make_member(survey[0], Role.CURATOR), viewport=NARROW)
    ben = make.make_user("ben")
    page.goto(reverse("survey-detail", args=[survey[0].pk]))
    follow(page, "Members")
    page.get_by_label("User name").focus()
    enter(page, "ben")
    expect(page.get_by_role("status")).to_contain_text("ben is a member now")
    page.get_by_label("Role of ben", exact=True).select_option("reviewer")
    follow(page, "Set the role of ben")
    assert ben.memberships.get().role == "reviewer"
    follow(page, "Remove ben")
    expect(page.get_by_role("status")).to_contain_text("no member any more")
    assert not ben.memberships.exists()
