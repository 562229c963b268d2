"""Every list and every form of the admin in a real browser: what axe calls serious, at both widths, light and dark."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Error, Page

from tests.browser.conftest import NARROW, WIDE
from tests.browser.test_browser_every_page import _axe, axe  # noqa: F401
from tests.identification import factories as make
from tests.identification.test_admin_pages import REGISTERED, fill

pytestmark = pytest.mark.django_db(transaction=True)

# What is not ours to mend: part of the selector of the element, and why.
THEIRS = {
    ".help-tooltip.search-label-icon": "Django's own script of two lists side by side names an icon in a label",
    "select2-id_": "Django's own fields that search name themselves after their choice, which is empty at first",
}
PAGES = ("fetch", "activate", "retire")  # of one row; not every model has them


def _addresses() -> list[str]:
    """The dashboard, and of every model its list, its form for a new row, and the form and pages of one row."""
    found = [reverse("admin:index")]
    for model in REGISTERED:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"{name}_changelist"))
        if admin.site._registry[model].has_add_permission(_Boss()):
            found.append(reverse(f"{name}_add"))
        row = model._default_manager.order_by("pk").first()
        for page in ("change", *PAGES):
            for args in ([row.pk] if row is not None else [], []):
                try:
                    found.append(reverse(f"{name}_{page}", args=args))
                    break
                except NoReverseMatch:
                    continue
    return found


class _Boss:
    """What the admin asks a request for: who it is."""

    def __init__(self) -> None:
        self.user = make.make_user(superuser=True)
        self.GET: dict[str, str] = {}


def _faults(page: Page, address: str, source: str, scheme: str) -> list[str]:
    answer = page.goto(address)
    if answer is None or answer.status != 200:
        return [f"answers {answer and answer.status}"]
    page.wait_for_load_state("networkidle")
    found = []
    for viewport, width in ((WIDE, "wide"), (NARROW, "narrow")):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        # What is not a colour is the same in the dark.
        faults = _axe(page, source, only="color-contrast" if scheme == "dark" else "")
        found += [f"{width}, {scheme}: {fault}" for fault in faults if not any(part in fault for part in THEIRS)]
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_admin_is_accessible(new_page, axe: str, scheme: str) -> None:  # noqa: F811
    fill(1)
    page: Any = new_page(make.make_user("boss", superuser=True), reduced_motion="reduce")
    page.goto(reverse("admin:index"))
    page.evaluate(f"localStorage.setItem('_x_adminTheme', '\"{scheme}\"')")  # the theme keeps a choice of its own
    found: dict[str, list[str]] = {}
    for address in _addresses():
        try:
            faults = _faults(page, address, axe, scheme)
        except Error as error:  # the others are looked at all the same
            faults = [str(error)[:300]]
        if faults:
            found[address] = faults
    assert found == {}, json.dumps(found, indent=1)
