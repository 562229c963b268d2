"""The pages of signing in, accounts, members and the audit log, for tests.browser.pages."""

from __future__ import annotations

from collections.abc import Callable

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.urls import reverse
from playwright.sync_api import Page, expect

from identification.models import Membership, Role, Survey, User
from identification.services.places import stations_reveal
from identification.services.tokens import token_make
from tests.identification import factories as make

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
# Addresses of signing in without a page of their own.
NO_PAGES = {
    "account_login": "the address of login once more, by allauth's name",
    "mfa_index": "the address of account once more, by allauth's name",
    "openid_connect_login": "sends to the provider",
    "openid_connect_callback": "sends on to a page",
    "audit-table": "a file",
    "member-change": "a form that comes back to its page",
    "token-revoke": "a form that comes back to its page",
}


def make_guarded() -> User:
    """An account with a second factor."""
    user = make.make_user("guarded")
    TOTP.activate(user, SECRET)
    RecoveryCodes.activate(user)
    return user


def make_members(survey: Survey) -> None:
    """Members of all kinds, a token, and something in the audit log."""
    curator = User.objects.get(username="curator")
    make.make_member(survey, Role.ADMINISTRATOR, user=make.make_user("asha", first_name="Asha", last_name="Rai"))
    long = make.make_user("a.very.long.user.name.of.an.institution@department.example.org")
    make.make_member(survey, Role.REVIEWER, user=long)
    Membership.objects.create(user=make.make_user("ben"), population=survey.population, role=Role.VIEWER)
    token_make(acting_user=curator, name="nightly export of the institute", days=90)
    stations_reveal(acting_user=curator, survey=survey)


def focused(page: Page) -> None:
    """Wait for the field that a page gives the focus by itself: it comes with a first frame, maybe after the load."""
    expect(page.locator("input:focus")).to_be_visible()


def typing(name: str, password: str) -> Callable[[Page], None]:
    """By keyboard: the user name has the focus."""

    def do(page: Page) -> None:
        focused(page)
        page.keyboard.type(name)
        page.keyboard.press("Tab")
        page.keyboard.type(password)
        with page.expect_navigation():
            page.keyboard.press("Enter")

    return do


def proving(page: Page) -> None:
    """Type the password once more."""
    focused(page)
    page.keyboard.type(make.PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def _make_token(page: Page) -> None:
    page.fill("#token-name", "a script")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    if page.locator("#id_password").count():
        proving(page)


def visits(visit: Callable[..., object], survey: Survey) -> list[object]:
    """visit: the class of tests.browser.pages."""
    return [
        visit("account_inactive", reverse("account_inactive"), who=""),
        visit("socialaccount_login_cancelled", reverse("socialaccount_login_cancelled"), who=""),
        visit("mfa_authenticate", reverse("login"), typing("guarded", make.PASSWORD), who="half in"),
        visit("account", reverse("account")),
        visit("account", reverse("account"), who="nobody", label="of nobody"),
        visit("account", reverse("account"), who="guarded", label="guarded"),
        visit("account_reauthenticate", reverse("account_reauthenticate")),
        visit("token-make", reverse("account"), _make_token),
        visit("mfa_activate_totp", reverse("mfa_activate_totp")),
        visit("mfa_reauthenticate", reverse("mfa_reauthenticate"), who="guarded"),
        visit("mfa_view_recovery_codes", reverse("mfa_view_recovery_codes"), proving, who="guarded"),
        visit("mfa_generate_recovery_codes", reverse("mfa_generate_recovery_codes"), who="guarded"),
        visit("mfa_deactivate_totp", reverse("mfa_deactivate_totp"), who="guarded"),
        visit("survey-members", reverse("survey-members", args=[survey.pk])),
        visit("survey-members", reverse("survey-members", args=[survey.pk]), who="boss", label="of an administrator"),
        visit("audit", reverse("audit"), who="boss"),
        visit("audit", reverse("audit"), label="of a curator"),
        visit("audit", f"{reverse('audit')}?who=nobody-at-all", who="boss", label="nothing found"),
    ]
