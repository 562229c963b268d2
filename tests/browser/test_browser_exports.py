"""Taking a survey along in the browser: by keyboard, at both widths, light and dark, and a large one that waits."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from identification.exports import requests
from identification.exports.requests import export_run
from identification.models import ExportRun, Role
from tests.browser.test_browser_every_page import _axe as violations
from tests.browser.test_browser_every_page import axe  # noqa: F401 (a fixture)
from tests.identification import factories as make
from tests.identification.export_season import Season, make_season

pytestmark = pytest.mark.django_db(transaction=True)
WIDTHS = ({"width": 1440, "height": 900}, {"width": 390, "height": 844})


@pytest.fixture
def season(tmp_path: Path, settings) -> Season:  # type: ignore[no-untyped-def]
    settings.SPOTID_HOME = tmp_path / "home"
    folder = tmp_path / "originals"
    folder.mkdir()
    return make_season(folder)


def look_at(page: Page, axe: str, name: str, shots: Path) -> None:  # noqa: F811
    for viewport in WIDTHS:
        for scheme in ("light", "dark"):
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], name
            assert violations(page, axe) == []
            page.screenshot(path=str(shots / f"{name}-{viewport['width']}-{scheme}.png"), full_page=True)


def test_a_table_is_chosen_by_keyboard_and_downloaded(new_page, season, axe, tmp_path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    page = new_page(make.make_member(season.survey, Role.CURATOR, places=True))
    page.goto(f"/surveys/{season.survey.pk}/exports/", timeout=60_000)
    look_at(page, axe, "exports", tmp_path)
    page.locator("#format-folders").focus()
    page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#format-secr")).to_be_checked()
    page.locator("#with_places").check()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export", exact=True).press("Enter")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert "secr/captures_linked.txt" in archive.namelist()
    # The form can be sent again after a download: nothing tells a page that a file came.
    expect(page.get_by_role("button", name="Export", exact=True)).to_be_enabled()


def test_a_large_export_tells_how_far_it_is_and_is_fetched(new_page, season, axe, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    monkeypatch.setattr(requests, "AT_ONCE_PHOTOS", 3)
    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    page = new_page(make.make_member(season.survey, Role.CURATOR))
    page.goto(f"/populations/{season.survey.population_id}/exports/", timeout=60_000)
    with page.expect_navigation():
        page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    look_at(page, axe, "waiting", tmp_path)
    run = ExportRun.objects.get()
    export_run(run_id=run.pk)
    fetch = page.get_by_role("button", name="Download")
    expect(fetch).to_be_visible()
    look_at(page, axe, "done", tmp_path)
    with page.expect_download() as waiting:
        fetch.click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert "leopard_matches.csv" in archive.namelist()
