"""The species page in a real browser: a grid that is worked with the keyboard alone, and a threshold that counts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from identification.models import Detection, Role, Survey, Triage, TriageRun
from tests.browser.conftest import NARROW
from tests.browser.test_browser_queue import picture
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def scored() -> tuple[Survey, list[Detection]]:
    """Nine boxes with scores 0.05, 0.15 … 0.85."""
    survey, animals = make.make_reviewable_survey(individuals=3, photos=3, name="Valley 2024")
    boxes = [box for animal in animals for box in animal]
    for index, box in enumerate(boxes):
        Detection.objects.filter(pk=box.pk).update(triage_score=0.05 + index / 10)
    report = {"kind": "learned", "auroc": 0.93}
    TriageRun.objects.create(
        survey=survey, version=1, requested=1, served=1, learned=True, wanted=9, other=7, report=report
    )
    return survey, boxes


def _others() -> set[int]:
    return set(Detection.objects.filter(triage=Triage.OTHER).values_list("pk", flat=True))


def _press(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def test_boxes_are_put_aside_and_restored_by_keyboard(new_page, scored) -> None:
    survey, boxes = scored
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto(f"/surveys/{survey.pk}/")
    page.get_by_role("link", name="Species", exact=True).focus()
    _press(page, "Enter")
    # From box to box, one chosen, then a range with the shift key.
    for key in ("ArrowRight", "x", "ArrowRight", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("[data-chosen]")).to_have_text("3 boxes chosen")
    _press(page, "o")
    assert _others() == {boxes[0].pk, boxes[2].pk, boxes[3].pk}
    assert "3 boxes put aside" in page.inner_text(".messages")
    _press(page, "z")
    assert _others() == set()
    # With nothing chosen, a key is about the box that one is at.
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    _press(page, "o")
    assert _others() == {boxes[1].pk}
    page.get_by_role("link", name="Other species").focus()
    _press(page, "Enter")
    page.keyboard.press("a")
    _press(page, "u")
    assert _others() == set()


def test_the_threshold_counts_while_it_moves_and_asks_before_it_acts(new_page, scored) -> None:
    survey, boxes = scored
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto(f"/surveys/{survey.pk}/species/")
    slide = page.locator("[data-slide]")
    slide.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[data-count-below]")).to_have_text("3")
    expect(page.locator("[data-count-above]")).to_have_text("6")
    expect(page.locator(".pick.low")).to_have_count(3)
    page.locator("h1").click()
    _press(page, "b")
    expect(page.get_by_role("heading", level=1)).to_have_text("Put 3 boxes aside as another species?")
    page.get_by_role("button", name="Put 3 boxes aside").focus()
    _press(page, "Enter")
    assert _others() == {box.pk for box in boxes[:3]}
    page.locator("h1").click()
    _press(page, "z")
    assert _others() == set()


def test_a_range_is_chosen_with_the_shift_key_and_the_mouse(new_page, scored) -> None:
    survey, _ = scored
    page = new_page(make.make_member(survey, Role.REVIEWER))
    page.goto(f"/surveys/{survey.pk}/species/")
    page.locator(".pick label").nth(1).click()
    page.locator(".pick label").nth(4).click(modifiers=["Shift"])
    expect(page.locator("[data-chosen]")).to_have_text("4 boxes chosen")
    assert page.locator("[data-keys=b]").count() == 0  # a threshold is for curators


def test_without_scripts_and_on_a_phone_the_page_works(new_page, scored) -> None:
    survey, boxes = scored
    user = make.make_member(survey, Role.CURATOR)
    page = new_page(user, viewport=NARROW, java_script_enabled=False)
    page.goto(f"/surveys/{survey.pk}/species/?below=20")
    assert page.locator("[data-count-below]").inner_text() == "2"
    page.fill("#below", "40")
    page.get_by_role("button", name="Show this threshold").click()
    assert page.locator("[data-count-below]").inner_text() == "4"
    page.locator(".pick input").first.check()
    page.get_by_role("button", name="Other species").click()
    assert _others() == {boxes[0].pk}
    wide = new_page(user, viewport=NARROW)
    wide.goto(f"/surveys/{survey.pk}/species/")
    assert wide.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_boxes_without_an_animal_are_set_aside_together_by_keyboard(new_page, scored) -> None:
    survey, boxes = scored
    empty = Detection.objects.filter(usable=False, unusable_reason="no animal")
    page = new_page(make.make_member(survey))
    page.goto(f"/surveys/{survey.pk}/species/?order=place")
    expect(page.get_by_role("link", name="Same place again first")).to_have_attribute("aria-current", "true")
    for key in ("ArrowRight", "x", "ArrowRight", "x"):
        page.keyboard.press(key)
    _press(page, "n")
    assert "2 boxes set aside: no animal." in page.inner_text(".messages") and empty.count() == 2
    page.get_by_role("link", name="No animal 2").click()
    expect(page.locator(".pick")).to_have_count(2)
    picture(page, "species-no-animal")
    page.set_viewport_size(NARROW)
    picture(page, "species-no-animal-narrow")
    page.keyboard.press("ArrowRight")
    _press(page, "u")
    assert empty.count() == 1
    _press(page, "z")
    assert empty.count() == 2, "restoring is a step, too"
    _press(page, "z")
    assert empty.count() == 0 and Detection.objects.filter(usable=True).count() == len(boxes)
