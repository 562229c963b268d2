"""The picture tools of the review pages: adjusting, flicker, and what a phone shows of them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from identification.models import Decision, Detection, Survey
from tests.browser.conftest import NARROW
from tests.browser.test_browser_queue import picture
from tests.browser.test_browser_reviewer import Animals, pair_of, press
from tests.identification import factories as make
from tests.identification.test_views_spots import store_features

pytestmark = pytest.mark.django_db(transaction=True)

SLIDERS = {"Brightness": "160", "Contrast": "180", "Rotation": "-20"}


def stage(page: Page, side: str) -> Locator:
    return page.locator(f"[data-stage={side}]")


def opened(page: Page, place: Survey, query: str = "") -> Page:
    page.goto(f"/surveys/{place.pk}/review/{query}")
    page.wait_for_load_state("networkidle")
    return page


def apart(one: bytes, other: bytes) -> float:
    """Mean difference of two screenshots, 0…255: a browser under load does not draw the same bytes twice."""
    first, second = (cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in (one, other))
    assert first is not None and second is not None and first.shape == second.shape
    return float(np.abs(first.astype(float) - second).mean())


def set_slider(tools: Locator, name: str, value: str) -> None:
    tools.get_by_role("slider", name=name).fill(value)


@pytest.mark.parametrize("order", ["queue", "photo"])
def test_tools_change_one_picture_and_reset_brings_it_back(new_page, survey: tuple[Survey, Animals], order) -> None:
    place, animals = survey
    page = new_page(make.make_member(place))
    opened(page, place, f"?anchor={animals[0][0].pk}" if order == "photo" else "")
    tools = page.get_by_role("group", name="is shown").first
    expect(tools).to_be_hidden()
    page.keyboard.press("a")
    expect(tools).to_be_visible()
    picture(page, f"adjust-{order}")
    before, other = stage(page, "anchor").screenshot(), stage(page, "candidate").screenshot()
    for name, value in SLIDERS.items():
        set_slider(tools, name, value)
        changed = stage(page, "anchor").screenshot()
        assert apart(changed, before) > 1, name
        tools.get_by_role("button", name="Reset").click()
        assert apart(stage(page, "anchor").screenshot(), before) < 0.5, f"{name} is reset"
    tools.get_by_role("checkbox", name="Even out light").check()
    assert apart(stage(page, "anchor").screenshot(), before) > 1
    set_slider(tools, "Rotation", "10")
    picture(page, f"adjusted-{order}")
    tools.get_by_role("button", name="Reset").click()
    assert apart(stage(page, "anchor").screenshot(), before) < 0.5
    assert apart(stage(page, "candidate").screenshot(), other) < 0.5, "each photo by itself"
    assert not Decision.objects.exists()


def test_sliders_keep_their_keys_and_leave_the_others(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    pair = pair_of(page)
    page.keyboard.press("a")
    slider = page.locator("#adjust-candidate [data-tool=brightness]")
    expect(slider).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("105")
    expect(slider).to_have_attribute("aria-valuetext", "105 %")
    assert pair_of(page) == pair
    page.keyboard.press("a")
    expect(page.locator("#adjust-candidate")).to_be_hidden()
    expect(page.get_by_role("button", name="Adjust")).to_be_focused()
    press(page, "x")
    assert Decision.objects.get().verdict == "incomparable"


def test_equalising_evens_a_picture_and_keeps_what_is_transparent(new_page, survey: tuple[Survey, Animals]) -> None:
    """A ramp of narrow contrast under a shadow: afterwards both halves are as bright, and every part has contrast."""
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    found = page.evaluate("""async () => {
        const { equalise } = await import(
            document.querySelector("script[type=module]").src.replace("review", "equalise")
        );
        const width = 64, height = 64, data = new Uint8ClampedArray(4 * width * height);
        const level = (x, y) => (x < 32 ? 20 : 200) + 3 * ((x + 5 * y) % 8);
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++)
            data.set([level(x, y), level(x, y), level(x, y), x + y ? 255 : 0], 4 * (y * width + x));
        equalise(data, width, height, { tiles: 4, clip: 40 });
        const part = (from, to) => {
            const found = [];
            for (let y = 16; y < 48; y++) for (let x = from; x < to; x++) found.push(data[4 * (y * width + x)]);
            const mean = found.reduce((a, b) => a + b) / found.length;
            return { mean, spread: Math.max(...found) - Math.min(...found) };
        };
        return { dark: part(0, 16), bright: part(48, 64), clear: [...data.slice(0, 4)] };
    }""")
    assert found["clear"] == [20, 20, 20, 0]
    for part in (found["dark"], found["bright"]):
        # Eight levels, equally often: an equalised tile holds 255/8, 2·255/8, … 255.
        assert part["mean"] == pytest.approx(255 * 4.5 / 8, abs=3)
        assert part["spread"] == pytest.approx(255 * 7 / 8, abs=3)


def test_zooming_together_goes_on_under_rotation(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    page.keyboard.press("a")
    set_slider(page.locator("#adjust-anchor"), "Rotation", "30")
    page.keyboard.press("s")
    page.keyboard.press("+")
    moved = [page.locator(f"[data-stage={side}] .layer").first for side in ("anchor", "candidate")]
    transforms = [layer.evaluate("layer => layer.style.transform") for layer in moved]
    assert transforms[0] == transforms[1] and "scale(1.4)" in transforms[0]
    turned = [layer.locator("img").evaluate("image => getComputedStyle(image).rotate") for layer in moved]
    assert turned == ["30deg", "0deg"]


def names_shown(page: Page, milliseconds: int) -> list[str]:
    """What the flickering stage says that it shows, noted often."""
    shown = []
    for _ in range(milliseconds // 100):
        shown.append(page.locator(".flicker-name").inner_text())
        page.wait_for_timeout(100)
    return shown


def test_flicker_alternates_in_place_until_it_is_ended(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    anchor, candidate = (Detection.objects.get(pk=pk).image.name for pk in pair_of(page))
    alone = stage(page, "anchor").screenshot()
    page.keyboard.press("v")
    button = page.get_by_role("button", name="Flicker")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".flicker-name")).to_have_text(candidate)
    picture(page, "flicker")
    assert set(names_shown(page, 2500)) == {anchor, candidate}
    over = page.locator("[data-stage=anchor] .layer.over img")
    shown = page.locator("[data-stage=candidate] .layer img").get_attribute("src") or ""
    assert (over.get_attribute("src") or "").endswith(shown)
    page.keyboard.press("Escape")
    expect(button).to_have_attribute("aria-pressed", "false")
    assert apart(stage(page, "anchor").screenshot(), alone) < 0.5


def test_flicker_lasts_as_long_as_its_key_is_held(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    page.keyboard.down("v")
    page.keyboard.down("v")  # as a keyboard repeats it
    page.wait_for_timeout(700)
    expect(page.get_by_role("button", name="Flicker")).to_have_attribute("aria-pressed", "true")
    page.keyboard.up("v")
    expect(page.get_by_role("button", name="Flicker")).to_have_attribute("aria-pressed", "false")


def test_with_less_motion_only_the_key_changes_pictures(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place), reduced_motion="reduce"), place)
    _, candidate = (Detection.objects.get(pk=pk).image.name for pk in pair_of(page))
    page.keyboard.press("v")
    assert set(names_shown(page, 1500)) == {candidate}
    page.keyboard.press("v")
    expect(page.locator("[data-stage=anchor] .layer.over")).to_be_hidden()


def test_on_a_phone_the_photos_lie_one_above_the_other(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    page = new_page(make.make_member(place), viewport=NARROW)
    for query, name in (("", "queue"), (f"?anchor={animals[0][0].pk}", "photo")):
        opened(page, place, query)
        picture(page, f"phone-{name}")
        first, second = (stage(page, side).bounding_box() for side in ("anchor", "candidate"))
        verdicts = page.locator(".verdict-bar").bounding_box()
        assert first and second and verdicts
        assert first["y"] + first["height"] <= second["y"] and first["x"] == second["x"]
        assert second["y"] + second["height"] <= verdicts["y"], "both in view at once, above the answers"
        page.get_by_role("button", name="Adjust").click()
        expect(page.locator("#adjust-anchor")).to_be_visible()
        picture(page, f"phone-adjust-{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


@pytest.fixture
def spotted(survey: tuple[Survey, Animals]) -> tuple[Survey, Animals]:
    """The same with stored local features."""
    for index, animal in enumerate(survey[1]):
        for detection in animal:
            store_features(detection, index)
    return survey


def spots_fetched(page: Page) -> dict:
    """Press P for the first time on a page, and what the server answers."""
    with page.expect_response("**/review/spots/**") as answer:
        page.keyboard.press("p")
    return json.loads(answer.value.text())


@pytest.mark.parametrize("order", ["queue", "photo"])
def test_spots_come_as_pairs_then_as_heat_then_go(new_page, spotted: tuple[Survey, Animals], order: str) -> None:
    place, animals = spotted
    page = new_page(make.make_member(place))
    opened(page, place, f"?anchor={animals[0][0].pk}" if order == "photo" else "")
    lines, heat = page.locator(".spot-pairs line"), page.locator(".layer .heat")
    expect(lines).to_have_count(0)
    found = spots_fetched(page)
    assert len(found["pairs"]) > 5
    expect(lines).to_have_count(len(found["pairs"]))
    expect(page.get_by_role("status").filter(has_text=found["words"])).to_be_visible()
    picture(page, f"spots-{order}")
    page.keyboard.press("p")
    expect(lines).to_have_count(0)
    expect(heat).to_have_count(2)
    picture(page, f"heat-{order}")
    page.keyboard.press("p")
    expect(heat).to_have_count(0)
    expect(page.get_by_role("button", name="Spots")).to_have_attribute("aria-pressed", "false")

    page.keyboard.press("p")
    expect(lines).to_have_count(len(found["pairs"]))
    pair = pair_of(page)
    press(page, "m")
    assert pair_of(page) != pair
    page.wait_for_load_state("networkidle")
    expect(lines).to_have_count(0)
    expect(heat).to_have_count(0)


def ends_of(page: Page) -> list[list[float]]:
    """Ends of the lines on the screen, the most distinctive first: x, y in one photo, x, y in the other."""
    return page.evaluate("""() => {
        const field = document.querySelector(".compare").getBoundingClientRect();
        return [...document.querySelectorAll(".spot-pairs line")].reverse().map((line) =>
            ["x1", "y1", "x2", "y2"].map((name) =>
                line[name].baseVal.value + (name[0] === "x" ? field.left : field.top)));
    }""")


def test_lines_end_on_their_spots_through_zoom_and_rotation(new_page, spotted: tuple[Survey, Animals]) -> None:
    """Where the browser itself puts a dot of the picture is the truth: one per spot goes through the same styles."""
    place, _ = spotted
    page = opened(new_page(make.make_member(place)), place)
    found = spots_fetched(page)
    page.keyboard.press("a")
    set_slider(page.locator("#adjust-anchor"), "Rotation", "25")
    page.keyboard.press("+")
    page.wait_for_timeout(200)
    truth = page.evaluate(
        """(pairs) => {
        const layer = document.querySelector("[data-stage=anchor] .layer"), image = layer.querySelector("img");
        const fit = Math.min(layer.clientWidth / image.naturalWidth, layer.clientHeight / image.naturalHeight);
        const [width, height] = [image.naturalWidth * fit, image.naturalHeight * fit];
        const frame = document.createElement("div");
        const corner = [(layer.clientWidth - width) / 2, (layer.clientHeight - height) / 2];
        frame.style.cssText = "position:absolute;inset:0;rotate:" + getComputedStyle(image).rotate;
        layer.append(frame);
        const places = pairs.map(([x, y]) => {
            const dot = document.createElement("i");
            dot.style.cssText = `position:absolute;left:${corner[0] + x * width}px;top:${corner[1] + y * height}px`;
            frame.append(dot);
            const { left, top } = dot.getBoundingClientRect();
            return [left, top];
        });
        frame.remove();
        return places;
    }""",
        found["pairs"],
    )
    drawn = [ends[:2] for ends in ends_of(page)]
    assert len(drawn) == len(truth)
    for line, dot in zip(drawn, truth, strict=True):
        assert line == pytest.approx(dot, abs=1.0)


def test_where_no_spots_are_stored_the_page_says_so(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = opened(new_page(make.make_member(place), viewport=NARROW), place)
    page.get_by_role("button", name="Spots").click()
    expect(page.get_by_text("No spots are stored for these two photos yet.")).to_be_visible()
    expect(page.locator(".spot-pairs")).to_have_count(0)


def test_spots_on_a_phone_join_the_upper_and_the_lower_photo(new_page, spotted: tuple[Survey, Animals]) -> None:
    place, _ = spotted
    page = opened(new_page(make.make_member(place), viewport=NARROW), place)
    page.get_by_role("button", name="Spots").click()
    expect(page.locator(".spot-pairs line").first).to_be_attached()
    picture(page, "phone-spots")
    upper, lower = (stage(page, side).bounding_box() for side in ("anchor", "candidate"))
    assert upper and lower
    for _, y1, _, y2 in ends_of(page):
        assert upper["y"] <= y1 <= upper["y"] + upper["height"] and lower["y"] <= y2 <= lower["y"] + lower["height"]
