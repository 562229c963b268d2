"""The pictures of the documentation: every page, wide and narrow, light and dark, from a running demonstration.

    SPOTID_PASSWORD=… python tests/browser/screenshots.py --url http://127.0.0.1:8000 --user admin --furnished FILE

`--furnished` names what `tests/browser/furnish.py` has printed: what several people leave behind, and where two of them
meet. `--only` takes pictures of pages with that word in their name, `--stage` those of a review that is further on (see
`tests/browser/furnish_desk.py`). Only the demonstration may be photographed: no real photo belongs into the
documentation.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

# Beside this file, which is run by its path.
from screenshots_desk import (
    LATER,
    Picture,
    files_in_and_out,
    hide,
    it_is_me,
    merging,
    of_errors,
    of_nobody,
    of_others,
    of_pairs,
    of_retired,
    of_strangers,
    then,
)

OUT = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
QUALITY = 62

Step = Callable[[Page], None]
Pages = dict[str, tuple[str, Step | None]]


def sign_in(browser: Browser, url: str, user: str, password: str, *, scripts: bool = True) -> Page:
    page = browser.new_context(
        base_url=url,
        viewport=WIDE,  # type: ignore[arg-type]
        device_scale_factor=1,
        reduced_motion="reduce",
        java_script_enabled=scripts,
    ).new_page()
    page.goto("/login/")
    page.fill("#id_username", user)
    page.fill("#id_password", password)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    if page.locator("#id_password").count():
        raise SystemExit("User name and password do not belong together.")
    return page


def pressing(button: str) -> Step:
    def step(page: Page) -> None:
        with page.expect_navigation():
            page.get_by_role("button", name=button).first.click()

    return step


def ticking(button: str) -> Step:
    def step(page: Page) -> None:
        for box in page.locator("input[name=box]").all()[:2]:
            box.check()
        pressing(button)(page)

    return step


def key(*names: str) -> Step:
    def step(page: Page) -> None:
        page.wait_for_timeout(500)  # for the scripts of a page that has only just come
        for name in names:
            page.keyboard.press(name)

    return step


def asked(name: str, shown: str) -> Step:
    """Press a key of the review and wait for what it asks or says."""

    def step(page: Page) -> None:
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(500)
        page.keyboard.press(name)
        page.locator(shown).wait_for()

    return step


def forget_waiting(page: Page, survey: str) -> None:
    """Drop answers that wait in the browser, as one does that contradicted in the picture before."""
    page.goto(survey)
    page.evaluate("localStorage.clear()")


def says(other: Page, survey: str, first: int, second: int, verdict: str) -> None:
    """Decide a pair that nobody has decided, from another page than the review: its leases would keep her away."""
    other.goto(survey)
    token = other.locator("[name=csrfmiddlewaretoken]").first.get_attribute("value") or ""
    fields = {"anchor": str(first), "candidate": str(second), "version": "0", "verdict": verdict}
    address = re.sub(r"(https?://[^/]+).*", rf"\1{survey}review/decide/", other.url)
    answer = other.request.post(
        address, form={**fields, "csrfmiddlewaretoken": token}, headers={"Referer": other.url}, max_redirects=0
    )
    if answer.status != 302:
        raise RuntimeError(f"{address} answered {answer.status}")


def decided_meanwhile(other: Page, survey: str, pairs: list[list[int]]) -> Step:
    """Somebody else is unsure of the pair on the screen; then it is answered here. A new pair for each width."""
    waiting = list(pairs)

    def step(page: Page) -> None:
        anchor, offer = waiting.pop(0)
        forget_waiting(page, survey)
        page.goto(f"{survey}review/?anchor={anchor}&offer={offer}")
        page.wait_for_load_state("networkidle")
        says(other, survey, anchor, offer, "unsure")
        asked("m", "dialog[data-interrupt][open]")(page)

    return step


def contradicted(other: Page, survey: str, triples: list[list[int]]) -> Step:
    """Somebody else joins one photo of the pair on the screen with a third one, and parts the other one from it."""
    waiting = list(triples)

    def step(page: Page) -> None:
        anchor, between, offer = waiting.pop(0)
        forget_waiting(page, survey)
        page.goto(f"{survey}review/?anchor={anchor}&offer={offer}")
        page.wait_for_load_state("networkidle")
        says(other, survey, anchor, between, "match")
        says(other, survey, between, offer, "no_match")
        asked("m", "dialog[data-interrupt][open]")(page)

    return step


def animals_of(page: Page, survey: int) -> list[str]:
    """Addresses of the survey's animals, the one with most photos first."""
    page.goto(f"/individuals/?survey={survey}")
    found: list[tuple[str, int]] = page.locator(".animal").evaluate_all(
        "all => all.map(a => [a.getAttribute('href'), parseInt(a.innerText.match(/(\\d+) photo/)[1])])"
    )
    return [address for address, _ in sorted(found, key=lambda row: -row[1])]


def pages_of(
    page: Page, survey_id: int, furnished: dict[str, Any], other: Page | None
) -> dict[str, tuple[str, Step | None]]:
    """Name of the picture: address, and what is done there."""
    survey = f"/surveys/{survey_id}/"
    found: Pages = {
        "surveys": ("/", None),
        "dashboard": (survey, None),
        "photos": (f"{survey}photos/?show=animals", None),
        "figures": (f"{survey}figures/", None),
        "add-photos": (f"{survey}ingest/", None),
        "skipped": (f"{survey}skipped/", None),
        "places": (f"{survey}stations/", None),
        "species": (f"{survey}species/", None),
        "species-below": (f"{survey}species/below/?below=30", None),
        "same-visit": (f"{survey}links/", None),
        "review": (f"{survey}review/", None),
        "review-spots": (f"{survey}review/", key("p")),
        "review-edges": (f"{survey}review/", key("c", "e")),
        "review-keys": (f"{survey}review/", key("?")),
        "review-glance": (f"{survey}review/certain/", None),
        "review-parts": (f"{survey}review/modes/", None),
        "review-again": (f"{survey}review/again/", None),
        "review-alone": (f"{survey}review/alone/", None),
        "review-decisions": (f"{survey}review/decisions/", None),
        "review-undo": (f"{survey}review/", then(key("c"), asked("z", "dialog[open]"))),
        "agreement": (f"{survey}agreement/", None),
        "adjudication": (f"{survey}adjudication/", None),
        "individuals": ("/individuals/", None),
        "conflicts": ("/conflicts/", None),
        "members": (f"{survey}members/", None),
        "audit": ("/audit/", None),
        "account": ("/account/", None),
        "second-factor": ("/account/two-factor/", then(it_is_me, hide)),
        "password": ("/password/", None),
        "not-found": ("/nothing/here/", None),
        "admin": ("/admin/identification/detection/", None),
        "admin-dashboard": ("/admin/", None),
    }
    if furnished and other is not None:
        found["review-contradiction"] = f"{survey}review/", contradicted(other, survey, furnished["contradiction"])
        found["review-stale"] = f"{survey}review/", decided_meanwhile(other, survey, furnished["stale"])
    page.goto(f"{survey}photos/?show=animals")
    photo = page.locator(".thumb").first.get_attribute("href")
    if photo:
        found["photo"] = photo, None
    animals = animals_of(page, survey_id)
    if animals:
        found["individual"] = animals[0], None
        found["individual-visits"] = f"{animals[0]}?by=visit", None
        found["individual-map"] = animals[0], pressing("Show the map")
        found["individual-split"] = animals[0], ticking("Split off…")
        found["individual-merge"] = f"{animals[0]}merge/", None
        found["individual-merge-photos"] = f"{animals[0]}merge/", merging(sure=False)
        found["individual-merge-follows"] = f"{animals[0]}merge/", merging(sure=True)
    return found


def shoot(page: Page, name: str, address: str, step: Step | None, out: Path) -> None:
    """Four pictures of one page. Named after it; `-phone` is narrow, `-dark` is dark."""
    for viewport, width in ((WIDE, ""), (NARROW, "-phone")):
        for scheme, shade in (("light", ""), ("dark", "-dark")):
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            if address.startswith("/admin/"):  # its theme remembers a choice of its own
                page.evaluate(f"localStorage.setItem('_x_adminTheme', '\"{scheme}\"')")
            if not shade or step is None:
                page.goto(address)
                page.wait_for_load_state("networkidle")
                if step is not None:
                    step(page)
                    page.wait_for_load_state("networkidle")
            page.wait_for_timeout(150)
            with Image.open(io.BytesIO(page.screenshot())) as picture:
                picture.convert("RGB").save(out / f"{name}{width}{shade}.webp", quality=QUALITY, method=6)


def pictures(browser: Browser, url: str, user: str, survey: int, furnished: dict[str, Any]) -> Iterator[Picture]:
    password = os.environ["SPOTID_PASSWORD"]
    page = sign_in(browser, url, user, password)
    # Without scripts, so that nothing of hers waits in a browser.
    ann = sign_in(browser, url, "ann", password, scripts=False) if furnished else None
    found = pages_of(page, survey, furnished, ann)
    for name, (address, step) in found.items():
        yield page, name, address, step
    yield from files_in_and_out(page, f"/surveys/{survey}/", 1)
    yield from of_pairs(page, f"/surveys/{survey}/", found["individual"][0])
    yield from of_retired(page)
    if furnished:
        yield from of_others(sign_in(browser, url, "vera", password), f"/surveys/{survey}/", found["individual"][0])
        yield from of_nobody(sign_in(browser, url, "nina", password))
        yield from of_errors(page, f"/surveys/{survey}/", furnished.get("errors", {}))
    yield from of_strangers(browser, url, WIDE, furnished.get("second_factor", {}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--survey", type=int, default=1)
    parser.add_argument("--furnished", type=Path, help="what tests/browser/furnish.py has printed")
    parser.add_argument("--only", default="", help="pages with one of these words in their name, parted by commas")
    parser.add_argument("--stage", default="questions", choices=["questions", *LATER])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    later = {name for names in LATER.values() for name in names}
    words = arguments.only.split(",")
    furnished = json.loads(arguments.furnished.read_text()) if arguments.furnished else {}
    with sync_playwright() as started:
        chromium = os.environ.get("SPOTID_CHROMIUM") or shutil.which("chromium")
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        for page, name, address, step in pictures(browser, arguments.url, arguments.user, arguments.survey, furnished):
            due = name in LATER[arguments.stage] if arguments.stage in LATER else name not in later
            if due and any(word in name for word in words):
                try:
                    shoot(page, name, address, step, arguments.out)
                except Exception as error:
                    print(f"{name}: {error}")  # noqa: T201
        browser.close()


if __name__ == "__main__":
    main()
