"""The pictures of the documentation, taken from a running server with the demonstration survey.

    SPOTID_PASSWORD=… python tests/browser/screenshots.py --url http://127.0.0.1:8000 --user admin --decide 40

`--decide` first answers that many questions of the review page, as its probability suggests, so that there are
individuals to be seen. Only the demonstration may be photographed: no real photo belongs into the documentation.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

OUT = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def sign_in(browser: Browser, url: str, user: str, password: str, viewport: dict[str, int]) -> Page:
    page = browser.new_context(base_url=url, viewport=viewport, device_scale_factor=1).new_page()  # type: ignore[arg-type]
    page.goto("/login/")
    page.fill("#id_username", user)
    page.fill("#id_password", password)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    if page.locator("#id_password").count():
        raise SystemExit("User name and password do not belong together.")
    return page


def decide(page: Page, survey: str, questions: int) -> None:
    """Answer as the shown probability suggests; doubtful ones are left unsure."""
    page.goto(f"{survey}review/")
    for _ in range(questions):
        number = page.locator(".odds .number")
        if number.count() == 0:
            return
        shown = float(number.inner_text().strip(" <>%") or 0)
        with page.expect_navigation():
            page.keyboard.press("m" if shown > 85 else "n" if shown < 20 else "u")
        if "contradicts" in page.inner_text("h1"):
            page.go_back()
            with page.expect_navigation():
                page.keyboard.press("u")


def shoot(page: Page, path: str, name: str, out: Path) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")
    target = out / f"{name}.jpg"
    page.screenshot(path=target, type="jpeg", quality=85)


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--survey", type=int, default=1)
    parser.add_argument("--decide", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    password = os.environ["SPOTID_PASSWORD"]
    survey = f"/surveys/{arguments.survey}/"
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        chromium = shutil.which("chromium")
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        page = sign_in(browser, arguments.url, arguments.user, password, WIDE)
        shoot(page, f"{survey}review/", "review", arguments.out)
        decide(page, survey, arguments.decide)
        page.goto(f"/individuals/?survey={arguments.survey}")
        counts = page.locator(".animal").evaluate_all(
            "all => all.map(a => parseInt(a.innerText.match(/(\\d+) photo/)[1]))"
        )
        animal = page.locator(".animal").nth(counts.index(max(counts))).get_attribute("href") if counts else None
        shoot(page, f"/individuals/?survey={arguments.survey}", "individuals", arguments.out)
        if animal:
            shoot(page, animal, "individual", arguments.out)
        for path, name in ((survey, "dashboard"), (f"{survey}photos/?show=animals", "photos")):
            shoot(page, path, name, arguments.out)
        shoot(page, "/admin/identification/detection/", "admin", arguments.out)
        narrow = sign_in(browser, arguments.url, arguments.user, password, NARROW)
        shoot(narrow, f"{survey}review/", "review-phone", arguments.out)
        browser.close()


if __name__ == "__main__":
    main()
