"""Merging, splitting and settling conflicts, by keyboard alone; and the pages of individuals on a phone."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from identification.models import Detection, Image, Individual, Role, Station, Survey, Verdict
from tests.browser.conftest import NARROW
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db(transaction=True)

# The first page of a test session imports and compiles everything.
FIRST = 60_000


@pytest.fixture
def animals() -> tuple[Survey, list[list[Detection]]]:
    """Two animals of five photos, each joined one after the other."""
    survey, animals = make.make_reviewable_survey(individuals=2, photos=5, name="Valley 2024")
    for rows in animals:
        for first, second in pairwise(rows):
            match(None, first, second)
    return survey, animals


def numbers() -> list[int | None]:
    return list(Detection.objects.order_by("pk").values_list("individual__number", flat=True))


def press(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def test_photos_are_split_off_by_keyboard_and_come_back(new_page, animals) -> None:
    survey, _ = animals
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto(f"/individuals/{Individual.objects.get(number=1).pk}/", timeout=FIRST)
    expect(page.get_by_role("button", name="Split off…")).to_be_disabled()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Space", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    expect(page.get_by_text("2 of 5 ticked")).to_be_visible()
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Split off…")).to_be_disabled()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    press(page, "s")
    expect(page.get_by_text("This will split L-0001 into 3 + 2.")).to_be_visible()
    expect(page.get_by_text("get a new code")).to_be_visible()
    assert numbers() == [1] * 5 + [2] * 5
    press(page, "s")
    assert numbers() == [1, 1, 1, 3, 3] + [2] * 5
    expect(page.get_by_text("Split.")).to_be_visible()
    press(page, "z")
    expect(page.get_by_text("Taken back: 1 decision.")).to_be_visible()
    assert numbers() == [1] * 5 + [2] * 5


def test_two_animals_are_merged_by_keyboard_and_come_apart_again(new_page, animals) -> None:
    survey, _ = animals
    first, second = Individual.objects.order_by("number")
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto(f"/individuals/{first.pk}/", timeout=FIRST)
    press(page, "m")
    expect(page.get_by_role("heading", name="Merge L-0001 with which animal?")).to_be_visible()
    page.keyboard.press("ArrowRight")
    press(page, "Enter")
    expect(page.get_by_text("2 of 10 ticked")).to_be_visible()
    press(page, "m")
    expect(page.get_by_text("This will make 2 animals one of 10 photos: L-0002 is retired")).to_be_visible()
    press(page, "m")
    assert numbers() == [1] * 10
    page.goto(f"/individuals/{second.pk}/")
    expect(page.get_by_role("heading", name="L-0002 is retired")).to_be_visible()
    page.go_back()
    press(page, "z")
    assert numbers() == [1] * 5 + [2] * 5


def test_a_conflict_is_settled_with_one_key_and_taken_back_with_another(new_page, animals) -> None:
    survey, rows = animals
    for own in rows:
        match(None, own[0], own[4], Verdict.NO_MATCH, confirm=True)
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto("/conflicts/", timeout=FIRST)
    conflicts = page.locator("[data-conflict]")
    expect(conflicts).to_have_count(2)
    expect(conflicts.first).to_have_attribute("aria-current", "true")
    page.keyboard.press("j")
    expect(conflicts.nth(1)).to_have_attribute("aria-current", "true")
    press(page, "n")
    expect(conflicts).to_have_count(1)
    assert numbers()[:5] == [1] * 5 and len(set(numbers()[5:])) == 2
    press(page, "z")
    expect(conflicts).to_have_count(2)
    press(page, "m")
    expect(conflicts).to_have_count(1)
    assert numbers()[:5] == [1] * 5


def test_no_page_of_individuals_is_wider_than_a_phone(new_page, animals) -> None:
    survey, rows = animals
    Station.objects.update(latitude=27.5, longitude=84.3)
    Image.objects.filter(pk=rows[0][0].image_id).update(captured_at=make.START - timedelta(days=900))
    Individual.objects.filter(number=1).update(name="A name that goes on for a while, as names given by children do")
    match(None, rows[1][0], rows[1][4], Verdict.NO_MATCH, confirm=True)
    first, second = Individual.objects.order_by("number")
    page = new_page(make.make_member(survey, Role.CURATOR, places=True), viewport=NARROW)
    addresses = [
        "/individuals/",
        f"/individuals/{first.pk}/",
        f"/individuals/{first.pk}/?by=visit",
        f"/individuals/{first.pk}/merge/",
        f"/individuals/{first.pk}/merge/?with={second.pk}",
        "/conflicts/",
    ]
    for address in addresses:
        page.goto(address, timeout=FIRST)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], address
    page.goto(f"/individuals/{first.pk}/")
    with page.expect_navigation():
        page.get_by_role("button", name="Show the map").click()
    expect(page.locator("svg.map circle")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_photos_to_merge_by_are_ticked_on_several_pages_by_keyboard(new_page, animals, monkeypatch) -> None:
    monkeypatch.setattr("identification.views.curation.PHOTOS_PER_SIDE", 2)
    survey, (mine, theirs) = animals
    one, other = Individual.objects.order_by("number")
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto(f"/individuals/{one.pk}/merge/?with={other.pk}", timeout=FIRST)
    side = page.get_by_role("group", name=f"Photos of {one}")
    expect(side).to_contain_text("Page 1 of 3")
    page.keyboard.press("x")
    for row in (mine[0], theirs[0]):
        page.locator(f'input[name=box][value="{row.pk}"]').press("Space")
    for number in (2, 3):
        side.get_by_role("button", name="After").focus()
        press(page, "Enter")
        expect(side).to_contain_text(f"Page {number} of 3")
    expect(page.get_by_role("heading", name="Ticked on other pages 1")).to_be_visible()
    last = page.locator(f'input[name=box][value="{mine[4].pk}"]')
    last.press("Space")
    with page.expect_navigation():
        last.press("Enter")
    expect(page.get_by_role("heading", name=f"Merge {one} and {other}?")).to_be_visible()
    ticked = {int(box.get_attribute("value") or 0) for box in page.locator("input[name=box]").all()}
    assert ticked == {mine[0].pk, mine[4].pk, theirs[0].pk}
