"""What waits for a curator, by keyboard; photos of people; how places are kept. At both widths, light and dark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from identification.models import Detection, Image, Role, Survey
from identification.services.decisions import decision_record
from identification.services.individuals import individual_rename
from tests.browser.conftest import NARROW, WIDE
from tests.browser.test_browser_every_page import _axe as violations
from tests.browser.test_browser_every_page import axe  # noqa: F401 (a fixture)
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)
# Where pictures of the pages go, to be looked at; nowhere unless it is named.
SHOTS = os.environ.get("SPOTID_SHOTS", "")


@pytest.fixture
def named(survey) -> tuple[Survey, list[list[Detection]]]:  # type: ignore[no-untyped-def]
    """Three animals with names."""
    found, animals = survey
    for photos, name in zip(animals, ("Tara", "Sholay", "Nila"), strict=True):
        make.match(None, *photos[:2])
        make.match(None, *photos[1:])
        photos[0].refresh_from_db()
        individual_rename(acting_user=None, individual=photos[0].individual, name=name)
    return found, animals


def look_at(page: Page, axe: str, name: str) -> None:  # noqa: F811
    """It fits, and axe finds nothing serious."""
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, viewport)
            if SHOTS:
                page.screenshot(path=Path(SHOTS) / f"{name}-{viewport['width']}-{scheme}.png", full_page=True)
            assert violations(page, axe) == [], (name, viewport, scheme)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def test_a_curator_settles_what_waits_by_keyboard_and_takes_it_back(new_page, named, axe: str) -> None:  # noqa: F811
    survey, (tara, sholay, nila) = named
    reviewer = make.make_member(survey, user=make.make_user("rhea"))
    for photos in (sholay, nila):
        decision_record(acting_user=reviewer, first=tara[0], second=photos[0], verdict="match", anchor=tara[0])
    page = new_page(make.make_member(survey, Role.CURATOR, user=make.make_user("cleo")))
    page.goto(reverse("survey-list"))
    page.get_by_role("link", name="2 wait").click()
    look_at(page, axe, "joins")
    expect(page.locator("[data-conflict]")).to_have_count(2)
    with page.expect_navigation():
        page.keyboard.press("n")
    expect(page.get_by_text("Refused.")).to_be_visible()
    with page.expect_navigation():
        page.keyboard.press("z")
    expect(page.locator("[data-conflict]")).to_have_count(2)
    with page.expect_navigation():
        page.keyboard.press("m")
    expect(page.get_by_text("Joined.")).to_be_visible()
    tara[0].refresh_from_db()
    sholay[0].refresh_from_db()
    assert tara[0].individual_id == sholay[0].individual_id
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("n")
    expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()
    look_at(page, axe, "joins-none")


def test_a_reviewer_is_told_that_her_match_waits_and_goes_on(new_page, named, axe: str) -> None:  # noqa: F811
    survey, (tara, sholay, _) = named
    page = new_page(make.make_member(survey, user=make.make_user("rhea")))
    page.goto(f"{reverse('review', args=[survey.pk])}?pair={tara[0].pk}-{sholay[0].pk}&on=1")
    page.keyboard.press("m")
    expect(page.get_by_text("waits for a curator")).to_be_visible()
    page.goto(reverse("review-decisions", args=[survey.pk]))
    expect(page.get_by_text("Match, waits for a curator", exact=True)).to_be_visible()
    look_at(page, axe, "decisions")
    page.goto(
        reverse("individual-detail", args=[tara[0].individual_id or Detection.objects.get(pk=tara[0].pk).individual_id])
    )
    expect(page.get_by_role("link", name="Propose a merge")).to_be_visible()
    look_at(page, axe, "propose")


def test_a_photo_of_people_is_blurred_and_places_are_kept(new_page, named, axe: str) -> None:  # noqa: F811
    survey, (tara, *_) = named
    image = tara[0].image
    Image.objects.filter(pk=image.pk).update(has_person=True)
    make.make_detection(image, category="person", box=(40.0, 60.0, 160.0, 330.0), files=False)
    page = new_page(make.make_member(survey, user=make.make_user("rhea")))
    page.goto(reverse("photo-detail", args=[image.pk]))
    expect(page.get_by_text("shown blurred")).to_be_visible()
    look_at(page, axe, "blurred")
    boss = new_page(make.make_member(survey, Role.ADMINISTRATOR, user=make.make_user("ada"), places=True))
    boss.goto(reverse("survey-stations", args=[survey.pk]))
    boss.get_by_label("Width of a cell").select_option("0.5")
    boss.get_by_label("Hide the names").check()
    boss.get_by_role("button", name="Save").click()
    expect(boss.get_by_text("It holds from now on")).to_be_visible()
    look_at(boss, axe, "places")
    page.goto(reverse("photo-list", args=[survey.pk]))
    expect(page.get_by_text("Station 0").or_(page.get_by_text("Station ")).first).to_be_visible()
    assert "IMG_" not in page.content()
    look_at(page, axe, "hidden")
