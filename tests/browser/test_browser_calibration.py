"""An administrator has a population calibrated, sees it wait and sees what came of it, wide and narrow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from identification.models import CalibrationRun
from identification.tasks import calibrate_population
from tests.browser.conftest import NARROW, WIDE
from tests.browser.test_browser_models import fits
from tests.identification import factories as make
from tests.identification.test_calibration_fit import decide
from tests.identification.test_calibration_fit import survey as labelled

__all__ = ["labelled"]

pytestmark = pytest.mark.django_db(transaction=True)
PICTURES = os.environ.get("SPOTID_PICTURES", "")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


@pytest.mark.parametrize(("viewport", "name"), [(WIDE, "wide"), (NARROW, "narrow")])
def test_a_calibration_is_asked_for_waited_for_and_told(new_page, labelled, monkeypatch, viewport, name) -> None:
    monkeypatch.setattr("django_q.tasks.async_task", lambda *args, **options: "")
    decide(labelled)
    page = new_page(make.make_user("boss", superuser=True), viewport=viewport)
    page.goto("/admin/identification/paircalibration/")
    page.get_by_role("button", name=f"Calibrate {labelled.population}").focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_text("Waiting: calibration asked for by boss")).to_be_visible()
    expect(page.get_by_role("button", name=f"Calibrate {labelled.population}")).to_have_count(0)
    fits(page)
    picture(page, f"calibration-waiting-{name}")
    assert calibrate_population(CalibrationRun.objects.get().pk)
    expect(page.get_by_text("Fitted to this population and in use").first).to_be_visible()
    expect(page.get_by_role("button", name="Go back to the one before")).to_be_visible()
    fits(page)
    picture(page, f"calibration-done-{name}")
