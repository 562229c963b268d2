"""Pictures of what stands around a review: files in and out, accounts, refusals, and pages with nothing on them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from playwright.sync_api import Browser, Page, Route

Step = Callable[[Page], None]
# Who looks, name of the picture, address, and what is done there.
Picture = tuple[Page, str, str, Step | None]

# Further on in the review (`furnish_desk.review_on`): when it can be said how much is found, and at the goal.
LATER: dict[str, tuple[str, ...]] = {
    "figure": ("surveys", "dashboard-below", "figures", "figures-below", "individuals"),
    "end": ("review-glance-end", "review-end", "dashboard"),
}


def down_to(selector: str) -> Step:
    """Scroll until it stands below the bar."""

    def step(page: Page) -> None:
        page.wait_for_load_state("networkidle")
        page.locator(selector).first.evaluate(
            "it => { it.scrollIntoView({ block: 'start' }); window.scrollBy(0, -72); }"
        )

    return step


def then(*steps: Step) -> Step:
    def step(page: Page) -> None:
        for one in steps:
            one(page)

    return step


def click(selector: str) -> Step:
    return lambda page: page.locator(selector).first.click()


def tick(*selectors: str) -> Step:
    def step(page: Page) -> None:
        for selector in selectors:
            page.locator(selector).check()

    return step


def going(selector: str) -> Step:
    """Press what leads to another page."""

    def step(page: Page) -> None:
        with page.expect_navigation():
            page.locator(selector).first.click()

    return step


def it_is_me(page: Page) -> None:
    """What protects the account asks for the password again."""
    if page.locator("#id_password").count():
        page.fill("#id_password", os.environ["SPOTID_PASSWORD"])
        with page.expect_navigation():
            page.keyboard.press("Enter")


def make_token(page: Page) -> None:
    page.fill("#token-name", "a script in R")
    going("form.token-form button")(page)
    it_is_me(page)
    hide(page)


# What lets somebody in; no picture shows it.
SECRETS = ".made code, .qr, form code.break, .codes"


def hide(page: Page) -> None:
    page.locator(SECRETS).evaluate_all("all => all.forEach(one => { one.style.filter = 'blur(7px)'; })")


def no_token(page: Page) -> None:
    """Send a form as another site would."""
    with page.expect_navigation():
        page.locator("form[action$='/goal/']").evaluate(
            "form => { form.querySelector('[name=csrfmiddlewaretoken]').value = 'none'; form.submit(); }"
        )


def merging(*, sure: bool) -> Step:
    """On the page that merges two animals: choose the first other one, then which photos, then what follows."""

    def step(page: Page) -> None:
        going("a[data-cell]")(page)
        if sure:
            for box in page.locator("input[name=box]").all()[:2]:
                box.check()
            going("button:text('What follows')")(page)

    return step


def ask_for_nothing(page: Page) -> None:
    page.locator("#format-folders").uncheck()
    going("form[data-download] button.primary")(page)


def sign_in_wrongly(page: Page) -> None:
    page.fill("#id_username", "nobody")
    page.fill("#id_password", "a wrong one")
    with page.expect_navigation():
        page.keyboard.press("Enter")


def code_of(secret: str) -> str:
    """The six digits of the moment (RFC 6238, SHA-1, thirty seconds)."""
    key, moment = base64.b32decode(secret + "=" * (-len(secret) % 8)), int(time.time() // 30)
    digest = hmac.new(key, struct.pack(">Q", moment), hashlib.sha1).digest()
    place = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[place : place + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


def files_in_and_out(page: Page, survey: str, population: int) -> Iterator[Picture]:
    form = "form[data-download]"
    several = tick("#format-csv", "#format-secr", "#format-encounters")
    yield page, "dashboard-below", survey, down_to("#figures-more")
    yield (
        page,
        "figures-below",
        f"{survey}figures/",
        down_to("section.card:nth-of-type(3)"),
    )
    yield page, "exports", f"{survey}exports/", None
    yield page, "exports-new", f"{survey}exports/", then(several, down_to(form))
    yield page, "exports-more", f"{survey}exports/", then(several, tick("#with_places"), down_to("#first"))
    yield page, "exports-refused", f"{survey}exports/", ask_for_nothing
    yield page, "exports-population", f"/populations/{population}/exports/", None
    yield page, "imports", f"{survey}imports/", None
    yield page, "imports-options", f"{survey}imports/", then(click("form.import-form summary"), down_to("h2#choose"))
    yield page, "imports-report", f"{survey}imports/", then(click("article details summary"), down_to("h2#came"))
    yield page, "cameras", f"{survey}stations/", down_to("#operation")
    yield page, "clocks", f"{survey}stations/?compare=1", down_to("#clocks")
    yield page, "joins", "/joins/", None
    yield page, "joins-below", "/joins/", down_to(".join-galleries")
    yield page, "api-docs", "/api/v1/docs/", lambda shown: shown.locator(".opblock-tag").first.wait_for()
    yield page, "tokens", "/account/", down_to("#tokens")
    yield page, "token-made", "/account/", make_token
    yield page, "confirm", "/account/confirm/", None
    yield page, "password-changed", "/password/done/", None
    yield page, "places-exact", f"{survey}stations/", going("form:has(button) button:text('Show exact coordinates')")
    yield page, "audit-nothing", "/audit/?who=nobody-at-all", None
    yield page, "individuals-nothing", "/individuals/?q=nobody", None


def beside(page: Page) -> None:
    """What lies beside the pictures, with its photos."""
    page.wait_for_load_state("networkidle")
    if not page.locator("details.beside-panel[open]").count():  # it stays as it was left
        page.keyboard.press("h")
    page.wait_for_timeout(500)
    page.wait_for_load_state("networkidle")
    page.locator("details.beside-panel").first.evaluate("it => it.scrollIntoView({ block: 'center' })")
    page.wait_for_function("[...document.querySelectorAll('.beside-panel img')].every(one => one.complete)")


def nothing_to_check(review: str) -> Step:
    """Second opinions are asked for at the end: without them, the end of the review is there."""

    def step(page: Page) -> None:
        page.locator("input[type=number]").first.fill("0")
        going("form:has(#second) button")(page)
        page.goto(review)

    return step


def of_pairs(page: Page, survey: str, animal: str) -> Iterator[Picture]:
    """What else there is of questions and decisions."""
    page.goto(animal)
    page.evaluate("localStorage.clear()")  # an answer that waits, and the view that was shown last
    back = page.locator("a[href*='/decisions/'][href*='/undo/']")
    if back.count():
        yield page, "decision-undo", back.first.get_attribute("href") or "", None
    page.goto(f"{survey}review/")
    anchor, candidate = (page.locator(f"input[name={name}]").first.get_attribute("value") for name in _ENDS)
    yield page, "review-beside", f"{survey}review/", beside
    yield page, "review-beside-alone", f"{survey}review/beside/?anchor={anchor}&candidate={candidate}", None
    yield page, "review-photo", f"{survey}review/?anchor={anchor}", None
    yield page, "review-glance-end", f"{survey}review/certain/", None
    yield page, "review-end", f"{survey}agreement/", nothing_to_check(f"{survey}review/")
    for name, address in (
        ("empty-survey", ""),
        ("empty-review", "review/"),
        ("empty-photos", "photos/"),
        ("empty-figures", "figures/"),
        ("empty-same-visit", "links/"),
        ("empty-species", "species/"),
        ("empty-exports", "exports/"),
        ("empty-imports", "imports/"),
        ("empty-skipped", "skipped/"),
        ("empty-places", "stations/"),
        ("empty-agreement", "agreement/"),
        ("empty-adjudication", "adjudication/"),
        ("empty-glance", "review/certain/"),
        ("empty-alone", "review/alone/"),
    ):
        yield page, name, f"/surveys/2/{address}", None


_ENDS = ("anchor", "candidate")


def of_retired(page: Page, most: int = 40) -> Iterator[Picture]:
    """An animal that has gone into another one."""
    for number in range(1, most):
        answer = page.goto(f"/individuals/{number}/")
        if answer is not None and answer.ok and not page.locator(".timeline, input[name=box]").count():
            yield page, "individual-retired", f"/individuals/{number}/", None
            return


def of_others(vera: Page, survey: str, animal: str) -> Iterator[Picture]:
    """What somebody sees who may only look."""
    yield vera, "viewer-survey", survey, None
    yield vera, "viewer-individual", animal, None
    yield vera, "viewer-map", animal, going("form[action$='/map/'] button, a[href$='/map/']")
    yield vera, "refused", f"{survey}species/", None


def of_nobody(nina: Page) -> Iterator[Picture]:
    """What somebody sees who is a member of nothing yet."""
    for name, address in (("surveys", "/"), ("individuals", "/individuals/"), ("conflicts", "/conflicts/")):
        yield nina, f"nobody-{name}", address, None
    yield nina, "nobody-account", "/account/", None


def of_errors(page: Page, survey: str, rendered: dict[str, str]) -> Iterator[Picture]:
    """What is said when something goes wrong. rendered: pages that a demonstration cannot be brought to show."""
    yield page, "error-400", "/individuals/?q=%00", None
    yield page, "error-form", survey, no_token
    for name, html in rendered.items():
        page.route(f"**/errors/{name}/", _answering(html))
        yield page, f"error-{name}", f"/errors/{name}/", None


def _answering(html: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8")


def of_strangers(browser: Browser, url: str, viewport: dict[str, int], factor: dict[str, Any]) -> Iterator[Picture]:
    """Signing in: each picture by somebody new."""

    def new() -> Page:
        return browser.new_context(base_url=url, viewport=viewport, reduced_motion="reduce").new_page()  # type: ignore[arg-type]

    yield new(), "sign-in", "/login/", None
    yield new(), "sign-in-refused", "/login/", sign_in_wrongly
    yield new(), "sign-in-closed", "/login/closed/", None
    yield new(), "sign-in-cancelled", "/login/sso/cancelled/", None
    if factor:
        gopal = new()
        gopal.goto("/login/")
        gopal.fill("#id_username", factor["user"])
        gopal.fill("#id_password", os.environ["SPOTID_PASSWORD"])
        with gopal.expect_navigation():
            gopal.keyboard.press("Enter")
        yield gopal, "sign-in-code", "/login/code/", None
        gopal.fill("#id_code", code_of(factor["secret"]))
        with gopal.expect_navigation():
            gopal.keyboard.press("Enter")
        yield gopal, "account-guarded", "/account/", None
        yield gopal, "recovery-codes", "/account/recovery/", then(it_is_me, hide)
        yield gopal, "recovery-codes-new", "/account/recovery/new/", None
        yield gopal, "second-factor-remove", "/account/two-factor/remove/", None
        yield gopal, "confirm-code", "/account/confirm/code/", None
