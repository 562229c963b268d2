"""Beside the pictures: parts of a review, candidates refused at once, other frames, pictures set aside, boxes drawn."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from identification.models import (
    Decision,
    Detection,
    MatchEdge,
    ProcessingState,
    ReviewPosition,
    Role,
    Station,
    Survey,
    Work,
)
from identification.services.events import events_rebuild
from identification.services.proposals import proposals_refresh
from tests.browser.conftest import NARROW, WIDE
from tests.browser.test_browser_every_page import _axe as violations
from tests.browser.test_browser_every_page import axe  # noqa: F401 (a fixture)
from tests.browser.test_browser_reviewer import Animals, pair_of, press
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)

PICTURES = os.environ.get("SPOTID_PICTURES", "")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_load_state("networkidle")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.wait_for_timeout(250)  # colours change slowly
            page.screenshot(path=Path(PICTURES) / f"{name}-{scheme}.png")
        page.emulate_media(color_scheme="light")


def opened(page: Page, place: Survey, query: str = "") -> Page:
    page.goto(f"/surveys/{place.pk}/review/{query}")
    page.wait_for_load_state("networkidle")
    return page


@pytest.fixture
def visit(survey: tuple[Survey, Animals]) -> tuple[Survey, Animals, list[Detection]]:
    """The first photo with two further frames of its visit, sharper each, matched with it; stations have places."""
    place, animals = survey
    first = animals[0][0]
    for index, station in enumerate(Station.objects.filter(survey=place).order_by("code")):
        Station.objects.filter(pk=station.pk).update(latitude=27.0 + 0.1 * index, longitude=84.0)
    Detection.objects.filter(pk=first.pk).update(quality={"sharpness": 10.0})
    frames = [first]
    for index in (1, 2):
        image = make.make_image(
            place,
            station=first.image.station,
            camera=first.image.camera,
            captured_at=first.image.captured_at + timedelta(seconds=2 * index),
        )
        frames.append(make.make_detection(image, quality={"sharpness": 10.0 * (index + 1)}))
        make.match(None, first, frames[-1])
    events_rebuild(survey=place)
    proposals_refresh(survey=place)
    return place, animals, frames


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_review_bar_stays_in_one_row_with_its_menu(new_page, survey: tuple[Survey, Animals], viewport) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place), viewport=viewport), place)
    wide = viewport is WIDE
    summary = page.locator(".order > summary")
    if wide:
        tops = page.eval_on_selector_all(
            ".review-bar > *", "all => all.filter(e => e.offsetHeight).map(e => e.offsetTop + e.offsetHeight / 2)"
        )
        assert max(tops) - min(tops) < 12, "one row"
        page.keyboard.press("o")
    else:
        summary.click()
    expect(page.get_by_role("button", name="By photo")).to_be_visible()
    picture(page, f"menu-{viewport['width']}")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    body = page.locator(".order .menu-body").bounding_box()
    assert body and body["x"] >= 0 and body["x"] + body["width"] <= viewport["width"]
    pair = pair_of(page)
    page.keyboard.press("m")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="By photo")).to_be_hidden()
    assert pair_of(page) == pair and not Decision.objects.exists(), "no key goes through an open menu"


def test_a_station_is_chosen_and_left_by_keyboard(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    user = make.make_member(place)
    page = opened(new_page(user), place)
    page.keyboard.press("o")
    page.get_by_role("link", name="A part of the survey").focus()
    press(page, "Enter")
    expect(page.get_by_role("heading", name="What to review")).to_be_visible()
    picture(page, "choose-1440")
    page.get_by_label("Station", exact=True).select_option(index=1)
    page.get_by_role("button", name="Review this station").focus()
    press(page, "Enter")
    station = Station.objects.filter(survey=place).order_by("code")[1]
    expect(page.locator(".order > summary")).to_contain_text(f"station {station.code}")
    assert f"mode=station&station={station.pk}" in page.url
    there = set(Detection.objects.filter(image__station=station).values_list("pk", flat=True))
    animals = {d.pk: {x.pk for x in own} for own in survey[1] for d in own}
    for _ in range(3):
        pair = pair_of(page)
        assert there & set(pair) or any(there & animals[pk] for pk in pair)
        press(page, "m" if animals[pair[0]] == animals[pair[1]] else "n")
        if page.locator("form.verdicts").count() == 0:
            break
    kept = ReviewPosition.objects.get(user=user, survey=place)
    assert (kept.mode, kept.focus) == ("station", {"station": station.pk})
    if page.locator("form.verdicts").count():
        opened(page, place, "?mode=date&from=1999-01-01&to=1999-01-01")
    expect(page.get_by_role("heading", name="Nothing is left to ask")).to_be_visible()
    picture(page, "part-end-1440")
    press(page, "q")
    kept.refresh_from_db()
    assert kept.mode == "queue" and "mode=" not in page.url


def test_only_mine_by_keyboard(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    user = make.make_member(place)
    make.match(user, animals[1][0], animals[1][1])
    page = opened(new_page(user), place)
    page.keyboard.press("o")
    expect(page.get_by_role("button", name="Queue")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    press(page, "Enter")
    expect(page.locator(".order > summary")).to_contain_text("only mine")
    assert {animals[1][0].pk, animals[1][1].pk} & set(pair_of(page))


@pytest.fixture
def many() -> tuple[Survey, Detection, list[Detection]]:
    """A photo with eight candidates."""
    place = make.make_survey(matching_state="done", name="Valley 2025")
    anchor = make.make_sighting(place)
    others = [make.make_sighting(place, coat=index) for index in range(8)]
    for rank, other in enumerate(others, 1):
        make.make_candidate(anchor, other, rank=rank, probability=0.9 - 0.05 * rank)
    return place, anchor, others


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_candidates_are_looked_at_five_at_a_time_and_refused_at_once(new_page, many, viewport) -> None:
    place, anchor, others = many
    page = opened(new_page(make.make_member(place), viewport=viewport), place, f"?anchor={anchor.pk}")
    page.keyboard.press("3")
    page.wait_for_url("**offer=*")
    assert pair_of(page) == (anchor.pk, others[2].pk)
    picture(page, f"candidates-{viewport['width']}")
    page.keyboard.press("6")
    expect(page.get_by_role("heading", name="Candidate 6 of 8")).to_be_visible()
    page.keyboard.press("`")
    expect(page.get_by_role("heading", name="Candidate 6 of 8")).to_be_hidden()
    press(page, "N")
    expect(page.get_by_text("5 candidates are refused")).to_be_visible()
    assert set(MatchEdge.objects.values_list("verdict", flat=True)) == {"no_match"} and MatchEdge.objects.count() == 5
    picture(page, f"none-of-these-{viewport['width']}")
    page.get_by_role("link", name="Look at more candidates").focus()
    press(page, "Enter")
    assert pair_of(page) == (anchor.pk, others[5].pk)
    press(page, "z")
    if page.get_by_role("button", name="Take it back").count() and not Decision.objects.filter(undoes__isnull=False):
        press(page, "Enter")
    expect(page.locator("[data-notice]")).to_contain_text("5 refusals")
    assert not MatchEdge.objects.exclude(verdict="").exists() and pair_of(page)[0] == anchor.pk


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_sharper_frame_is_compared_instead(new_page, visit, viewport, axe: str) -> None:  # noqa: F811
    place, animals, frames = visit
    other = animals[1][0]
    user = make.make_member(place, Role.CURATOR, places=True)
    page = opened(new_page(user, viewport=viewport), place, f"?pair={frames[0].pk}-{other.pk}")
    shown = pair_of(page)
    assert shown == (frames[0].pk, other.pk)
    panel = page.locator("details.beside-panel")
    expect(panel).not_to_have_attribute("open", "")
    page.keyboard.press("h")
    expect(page.get_by_text("between the stations")).to_be_visible()
    expect(page.locator(".frames").first.locator("li")).to_have_count(3)
    expect(page.get_by_text("sharpest")).to_be_visible()
    picture(page, f"beside-{viewport['width']}")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert violations(page, axe) == []
    page.keyboard.press("j")
    page.wait_for_url("**frame=1*")
    expect(page.get_by_text("between the stations")).to_be_visible()  # stays open for the next pair
    assert pair_of(page) == (frames[1].pk, other.pk)
    press(page, "n")
    edge = MatchEdge.objects.get(verdict="no_match")
    assert {edge.a_id, edge.b_id} == {frames[1].pk, other.pk}
    page.wait_for_load_state("networkidle")
    expect(page.locator("[data-beside-part]")).to_be_visible()
    page.keyboard.press("h")
    page.reload()
    expect(page.locator("[data-beside-part]")).to_have_count(0)


# Milliseconds: machines that test are busy.
SLOW = 20_000


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_picture_is_set_aside_with_its_reason_and_restored(
    new_page, survey: tuple[Survey, Animals], viewport
) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place), viewport=viewport), place)
    pk = pair_of(page)[1]
    page.keyboard.press("Q")
    menu = page.locator(".pane").nth(1).locator(".unusable .menu-body")
    expect(menu).to_be_visible()
    picture(page, f"unusable-{viewport['width']}")
    box = menu.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= viewport["width"]
    page.keyboard.press("1")
    expect(page.get_by_text("is set aside as not usable: blurred")).to_be_visible(timeout=SLOW)
    aside = Detection.objects.get(pk=pk)
    assert (aside.usable, aside.unusable_reason) == (False, "blurred") and pk not in pair_of(page)
    assert not Decision.objects.exists()
    page.get_by_role("link", name="Restore it").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Usable after all")).to_be_visible(timeout=SLOW)
    page.wait_for_load_state("load")
    page.get_by_role("button", name="Usable after all").press("Enter")
    expect(page.get_by_text("is usable again")).to_be_visible(timeout=SLOW)
    assert Detection.objects.get(pk=pk).usable
    page.keyboard.press("q")
    expect(page.locator(".box-card .menu-body")).to_be_visible()
    picture(page, f"photo-unusable-{viewport['width']}")
    page.keyboard.press("7")
    page.keyboard.type("only the tail")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is set aside as not usable: only the tail")).to_be_visible(timeout=SLOW)
    assert Detection.objects.get(pk=pk).unusable_reason == "only the tail"


def test_a_box_is_drawn_from_the_question_and_leads_back_when_the_photo_is_through(
    new_page, survey: tuple[Survey, Animals]
) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place, Role.CURATOR)), place)
    left, right = pair_of(page)
    press(page, "t")
    expect(page.get_by_role("button", name="Draw on the photo")).to_have_attribute("aria-pressed", "true")
    picture(page, "draw-1440")
    photo = page.locator("[data-photo]").bounding_box()
    assert photo is not None
    page.mouse.move(photo["x"] + 40, photo["y"] + 40)
    page.mouse.down()
    page.mouse.move(photo["x"] + 240, photo["y"] + 200, steps=5)
    page.mouse.up()
    press(page, "Enter")
    expect(page.get_by_text("You go back to the question when it is through")).to_be_visible()
    picture(page, "draw-wait-1440")
    drawn = Detection.objects.get(pk=left)
    assert drawn.source == "drawn" and drawn.crop == ""
    # What a worker does: the crop is there, the photo is through.
    for kind, name, data in make.crop_files(3, left):
        setattr(drawn, kind, make.store(make.detection_file(place.pk, drawn.image_id, left, name), data))
    drawn.save()
    Work.objects.filter(image=drawn.image_id).update(state=ProcessingState.DONE)
    page.wait_for_url("**/review/**")
    assert set(pair_of(page)) == {left, right}
    expect(page.locator("[data-stage=anchor] .layer img")).to_be_visible()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_new_pages_fit_their_screens(new_page, visit, viewport, axe: str) -> None:  # noqa: F811
    place, animals, frames = visit
    user = make.make_member(place, Role.CURATOR)
    make.match(user, animals[1][0], animals[2][0], "unsure")
    page = new_page(user, viewport=viewport, reduced_motion="reduce")
    for path, name in (
        ("review/modes/", "choose"),
        ("review/alone/", "alone"),
        (f"review/beside/?anchor={frames[0].pk}&candidate={animals[1][0].pk}", "beside-page"),
        ("review/?mode=date&from=1999-01-01", "part"),
        ("stations/", "stations"),
        ("photos/?show=unusable&from=2024-03-01", "photos-unusable"),
    ):
        page.goto(f"/surveys/{place.pk}/{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
        picture(page, f"{name}-{viewport['width']}")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert violations(page, axe) == [], path
