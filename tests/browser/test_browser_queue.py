"""A short review by keyboard: near-certain pairs at a glance, taken back as one, then question by question."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from identification.models import Candidate, Decision, Detection, Individual, Survey
from tests.browser.conftest import NARROW
from tests.browser.test_browser_reviewer import Animals, answer_everything, pair_of, press
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)

PICTURES = os.environ.get("SPOTID_PICTURES", "")


@pytest.fixture
def certain(survey: tuple[Survey, Animals]) -> tuple[Survey, Animals]:
    """Two of three animals are near-certain, and one near-certain pair is wrong."""
    place, animals = survey
    for animal in animals[:2]:
        Candidate.objects.filter(anchor__in=animal, detection__in=animal).update(probability=0.98)
    Candidate.objects.filter(anchor=animals[2][0], detection=animals[0][0]).update(probability=0.96)
    return place, animals


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.value || ''")


def groups() -> set[frozenset[int]]:
    standing = Individual.objects.filter(retired=False)
    return {frozenset(one.detections.values_list("pk", flat=True)) for one in standing}


def test_a_whole_review_by_keyboard_with_the_glance(new_page, certain: tuple[Survey, Animals]) -> None:
    place, animals = certain
    truth = {detection.pk: index for index, animal in enumerate(animals) for detection in animal}
    page = new_page(make.make_member(place))
    page.goto(f"/surveys/{place.pk}/review/")
    picture(page, "question")
    press(page, "g")
    expect(page.get_by_role("heading", name="Near-certain pairs")).to_be_visible()
    shown = page.locator("input[name=pair]")
    expect(shown).to_have_count(5)
    assert page.locator("input[name=pair]:checked").count() == 0, "nothing is ticked beforehand"
    page.keyboard.press("a")
    expect(page.get_by_text("5 of 5 ticked")).to_be_visible()
    for _ in range(5):  # to the odd one, and untick it
        page.keyboard.press("ArrowRight")
        left, right = (int(pk) for pk in focused(page).split(":")[:2])
        if truth[left] != truth[right]:
            page.keyboard.press("Space")
    expect(page.get_by_text("4 of 5 ticked")).to_be_visible()
    picture(page, "certain")
    press(page, "m")
    expect(page.get_by_text("4 matches recorded")).to_be_visible()
    own = {frozenset(detection.pk for detection in animal) for animal in animals}
    assert groups() < own and Decision.objects.count() == 4

    press(page, "z")
    expect(page.get_by_text("4 matches that you confirmed together")).to_be_visible()
    assert groups() == set()
    page.keyboard.press("a")
    page.locator("input[name=pair]").last.focus()
    page.keyboard.press("Space")
    press(page, "m")
    press(page, "q")
    left, right = pair_of(page)
    assert truth[left] != truth[right], "what stayed unticked is asked by itself"
    picture(page, "question-after")
    answer_everything(page, truth)
    expect(page.get_by_role("heading", name="Everything is settled")).to_be_visible()
    picture(page, "end")
    assert groups() == own


def test_the_goal_and_what_is_found_stand_on_the_survey_page(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = new_page(make.make_member(place, "curator"))
    page.goto(f"/surveys/{place.pk}/")
    expect(page.get_by_text("Too early to say")).to_be_visible()
    page.fill("#goal", "95")
    with page.expect_navigation():
        page.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_text("finished when 95 % of the true matches are found")).to_be_visible()
    assert Survey.objects.get(pk=place.pk).completeness_goal == 0.95
    picture(page, "survey")


def test_the_order_is_chosen_by_keyboard_and_remembered(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = new_page(make.make_member(place))
    page.goto(f"/surveys/{place.pk}/review/")
    order = page.get_by_role("group", name="Order of review")
    chosen = order.locator("[aria-pressed=true]")
    page.keyboard.press("o")
    expect(chosen).to_contain_text("Queue")
    expect(chosen).to_be_focused()
    page.keyboard.press("Tab")
    picture(page, "order-focus")
    press(page, "Enter")
    expect(page.locator(".order > summary")).to_contain_text("By photo")
    expect(page.get_by_role("heading", name="Candidate 1 of")).to_be_visible()
    picture(page, "by-photo")
    page.goto(f"/surveys/{place.pk}/review/?mode=queue")
    page.keyboard.press("o")
    expect(chosen).to_contain_text("By photo")
    order.get_by_role("button", name="Queue").focus()
    press(page, "Space")
    expect(page.get_by_role("heading", name="The same one?")).to_be_visible()
    assert Decision.objects.count() == 0


def test_on_a_narrow_screen_nothing_is_cut_off(new_page, certain: tuple[Survey, Animals]) -> None:
    place, animals = certain
    make.match(None, animals[2][0], animals[2][1])
    page = new_page(make.make_member(place), viewport=NARROW)
    address = f"review/?anchor={animals[2][2].pk}"
    for path, name in (
        ("review/", "question-narrow"),
        ("review/certain/", "certain-narrow"),
        (address, "photo-narrow"),
    ):
        page.goto(f"/surveys/{place.pk}/{path}")
        picture(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
    known = page.get_by_text("already in the catalogue (")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    picture(page, "photo-narrow-below")
    page.wait_for_load_state("networkidle")  # what is said of the photo may be renewed by now
    expect(known).to_be_visible()
    found = known.bounding_box()
    assert found and found["x"] >= 0 and found["x"] + found["width"] <= NARROW["width"]


def test_without_a_script_pairs_are_ticked_and_confirmed(new_page, certain: tuple[Survey, Animals]) -> None:
    place, _ = certain
    page = new_page(make.make_member(place), java_script_enabled=False)
    page.goto(f"/surveys/{place.pk}/review/certain/")
    box = page.locator("input[name=pair]").first
    pair = [int(pk) for pk in (box.get_attribute("value") or "").split(":")[:2]]
    box.check()
    page.get_by_role("button", name="Confirm the ticked").click()
    expect(page.get_by_text("1 match recorded")).to_be_visible()
    assert {Decision.objects.get().edge.a_id, Decision.objects.get().edge.b_id} == set(pair)
    assert Detection.objects.filter(pk__in=pair, individual__isnull=False).count() == 2
