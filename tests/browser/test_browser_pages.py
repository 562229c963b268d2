"""Looking closely, drawing, live progress, and every page on large and small screens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from identification.models import Detection, Individual, ProcessingState, Role, Survey, Work
from tests.browser.conftest import NARROW
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)

Animals = list[list[Detection]]


def scale(page: Page, side: str) -> float:
    return float(
        page.evaluate(
            f"new DOMMatrix(getComputedStyle(document.querySelector('[data-stage={side}] .layer')).transform).a"
        )
    )


@pytest.fixture
def review(new_page, survey: tuple[Survey, Animals]) -> Page:
    page: Page = new_page(make.make_member(survey[0]))
    page.goto(f"/surveys/{survey[0].pk}/review/")
    return page


def test_photos_are_zoomed_by_keys_wheel_and_double_click(review: Page) -> None:
    page = review
    assert (scale(page, "anchor"), scale(page, "candidate")) == (1, 1)
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert scale(page, "anchor") == scale(page, "candidate") == pytest.approx(1.96)
    page.keyboard.press("-")
    assert scale(page, "anchor") == pytest.approx(1.4)
    page.keyboard.press("0")
    assert scale(page, "anchor") == 1
    page.hover("[data-stage=candidate]")
    page.mouse.wheel(0, -600)
    page.wait_for_function("document.querySelector('[data-stage=candidate]').classList.contains('zoomed')")
    assert scale(page, "candidate") > 1.5 and scale(page, "anchor") == 1
    page.dblclick("[data-stage=candidate]")
    assert scale(page, "candidate") == 1


def test_both_photos_move_together_when_asked(review: Page) -> None:
    page = review
    page.keyboard.press("s")
    page.dblclick("[data-stage=anchor]", position={"x": 100, "y": 80})
    assert scale(page, "anchor") == scale(page, "candidate") == pytest.approx(2.5)
    box = page.locator("[data-stage=anchor]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 160, steps=4)
    page.mouse.up()
    layers = page.eval_on_selector_all(".layer:not(.over)", "found => found.map(layer => layer.style.transform)")
    assert layers[0] == layers[1] != ""


def test_a_zoomed_photo_never_leaves_its_frame(review: Page) -> None:
    page = review
    page.dblclick("[data-stage=anchor]", position={"x": 5, "y": 5})
    box = page.locator("[data-stage=anchor]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 400, steps=5)
    page.mouse.up()
    layer = page.locator("[data-stage=anchor] .layer:not(.over)").bounding_box()
    assert layer is not None
    assert layer["x"] <= box["x"] + 1 and layer["y"] <= box["y"] + 1


def test_two_fingers_zoom(new_page, survey: tuple[Survey, Animals]) -> None:
    page = new_page(make.make_member(survey[0]), viewport=NARROW, has_touch=True)
    page.goto(f"/surveys/{survey[0].pk}/review/")
    box = page.locator("[data-stage=anchor]").bounding_box()
    session = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, apart: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 20)
    for apart in (30, 45, 60):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    assert scale(page, "anchor") > 2


def test_keys_show_photo_coat_edges_and_the_whole_and_the_choice_stays(review: Page) -> None:
    page = review
    picture = page.locator("[data-stage=anchor] img")
    for key, kind in (("b", "cutout"), ("e", "edges"), ("w", "preview"), ("c", "crop")):
        page.keyboard.press(key)
        assert f"/media/{kind}/" in (picture.get_attribute("src") or "")
    page.keyboard.press("e")
    before = page.locator("[data-stage=candidate]").get_attribute("data-name") or ""
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-stage=candidate]")).not_to_have_attribute("data-name", before)
    expect(page.locator("[data-stage=candidate] .layer img")).to_have_attribute("src", re.compile("/media/edges/"))
    page.keyboard.press("w")
    expect(page.locator("[data-stage=anchor] svg rect")).to_be_visible()


def test_the_help_opens_by_its_key_and_holds_back_decisions(review: Page) -> None:
    page = review
    page.keyboard.press("?")
    expect(page.get_by_text("Everything by keyboard")).to_be_visible()
    before = page.url
    page.keyboard.press("m")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Everything by keyboard")).to_be_hidden()
    assert page.url == before


def test_keys_name_flanks_and_declare_an_animal(review: Page, survey: tuple[Survey, Animals]) -> None:
    page = review
    # As a detector leaves them. With one flank known, naming the other side takes the pair out of the questions.
    Detection.objects.update(flank="unknown")
    anchor = int(page.locator("form.verdicts [name=anchor]").get_attribute("value") or 0)
    candidate = int(page.locator("form.verdicts [name=candidate]").get_attribute("value") or 0)
    for key in ("l", "L", "i"):
        with page.expect_navigation():
            page.keyboard.press(key)
    assert set(Detection.objects.filter(pk__in=[anchor, candidate]).values_list("flank", flat=True)) == {"left"}
    assert Individual.objects.get().founder_id == anchor


def test_caps_lock_changes_no_key(review: Page) -> None:
    """With Caps Lock a browser says "E" without the shift key, and on many systems "e" with it."""
    press_locked = """([key, shiftKey]) => document.body.dispatchEvent(
        new KeyboardEvent("keydown", { key, shiftKey, modifierCapsLock: true, bubbles: true, cancelable: true }))"""
    review.evaluate(press_locked, ["E", False])
    expect(review.locator("[data-stage=anchor] img")).to_have_attribute("src", re.compile("/media/edges/"))
    review.evaluate(press_locked, ["q", True])
    expect(review.locator("details[data-menu][open] summary")).to_have_attribute("data-keys", "Q")


def test_typing_in_a_field_is_no_command(new_page, survey: tuple[Survey, Animals]) -> None:
    page = new_page(make.make_member(survey[0]))
    page.goto(f"/photos/{survey[1][0][0].image_id}/")
    page.goto("/individuals/")
    page.fill("#q", "")
    page.type("#q", "mnuz")
    assert page.input_value("#q") == "mnuz"


def test_a_box_is_drawn_with_the_mouse(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    page = new_page(make.make_member(place, Role.CURATOR))
    image = animals[0][0].image
    page.goto(f"/photos/{image.pk}/")
    page.keyboard.press("d")
    box = page.locator("[data-photo]").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    drawn = Detection.objects.get(source="drawn")
    assert (drawn.x1, drawn.y1, drawn.x2, drawn.y2) == pytest.approx(
        (image.width * 0.25, image.height * 0.25, image.width * 0.75, image.height * 0.5), abs=3
    )


def test_the_dashboard_moves_while_work_goes_on(new_page) -> None:
    place = make.make_survey()
    images = [make.make_image(place, state=ProcessingState.PENDING) for _ in range(4)]
    page = new_page(make.make_member(place, Role.VIEWER))
    page.goto(f"/surveys/{place.pk}/")
    expect(page.locator("#progress")).to_contain_text("0 of 4")
    Work.objects.filter(image__in=images[:3]).update(state=ProcessingState.DONE)
    expect(page.locator("#progress")).to_contain_text("3 of 4")
    expect(page.locator("#stages tbody tr").nth(4).locator("td")).to_have_text(["1", "0", "0", "3"])
    Work.objects.update(state=ProcessingState.DONE)
    Survey.objects.update(matching_state="done")
    expect(page.locator("#progress:not([hx-get])")).to_be_visible()


def test_a_list_is_filtered_and_turned_in_place_and_going_back_works(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = new_page(make.make_member(place, Role.VIEWER))
    page.goto(f"/surveys/{place.pk}/photos/")
    page.evaluate("window.here = true")
    page.get_by_label("Station").select_option(label="ST01")
    expect(page.locator(".thumb")).to_have_count(5)
    assert f"station={place.stations.get(code='ST01').pk}" in page.url
    page.get_by_role("link", name="Empty").click()
    expect(page.get_by_role("heading", name="No such photo")).to_be_visible()
    assert page.evaluate("window.here"), "the page itself stays"
    page.go_back()
    expect(page.locator(".thumb")).to_have_count(5)
    assert not page.evaluate("window.here"), "nothing was kept in the browser: the server is asked again"


def test_the_catalogue_is_searched_while_typing(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    user = make.make_member(place, Role.VIEWER)
    for animal in animals[:2]:
        make.match(None, animal[0], animal[1])
    Individual.objects.filter(detections=animals[0][0]).update(name="Luna")
    page = new_page(user)
    page.goto("/individuals/")
    expect(page.locator(".animal")).to_have_count(2)
    page.locator("#q").press_sequentially("lun")
    expect(page.locator(".animal")).to_have_count(1)
    expect(page.locator("#q")).to_be_focused()


def test_every_page_explains_its_keys(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = new_page(make.make_member(place, Role.CURATOR))
    for address in ("", "ingest/", "figures/", "stations/", "links/", "agreement/", "review/certain/", "review/again/"):
        page.goto(f"/surveys/{place.pk}/{address}")
        page.keyboard.press("?")
        expect(page.get_by_text("Everything by keyboard")).to_be_visible()
        page.keyboard.press("Escape")
    page.goto(f"/surveys/{place.pk}/species/")
    page.keyboard.press("?")
    expect(page.locator("#keys dd").filter(has_text="Choose all on this page, or none")).to_be_visible()
    expect(page.locator("#keys dt").get_by_text("A", exact=True)).to_have_count(1)


def test_a_zoomed_photo_is_the_stored_one(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = new_page(make.make_member(place))
    page.goto(f"/surveys/{place.pk}/review/")
    picture = page.locator("[data-stage=anchor] .layer img").first
    before = picture.get_attribute("src") or ""
    assert before.endswith("/1600/")
    page.dblclick("[data-stage=anchor]")
    expect(picture).to_have_attribute("src", before.removesuffix("1600/"))
