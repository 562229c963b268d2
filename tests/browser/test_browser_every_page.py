"""What holds for every page in a real browser, at both widths, light and dark: weight, access, room for long words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page

from tests.browser.conftest import NARROW, WIDE
from tests.browser.pages import NO_PAGES, Visit, World, addresses, make_world

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
HEAVIEST = 300_000  # bytes of a page without its photos, as the server sends it uncompressed
LONGER = 0.4  # what German adds to English
SERIOUS = {"serious", "critical"}
# Of these a page has as many as its content: they are no part of a page's weight.
PHOTOS = "/media/"

STRETCH = """share => {
  const letters = "äöüßetni";
  const longer = word => word + letters.repeat(9).slice(0, Math.ceil(share * word.length));
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walk.nextNode()) found.push(walk.currentNode);
  for (const text of found) {
    if (text.parentElement.closest("script, style, svg, pre, code, kbd, textarea")) continue;
    text.data = text.data.replace(/\\p{L}+/gu, longer);
  }
}"""
WIDER = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide <= 0) return "";
  const out = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
  return `${wide} px too wide: ` + out.slice(-3).map(e => e.outerHTML.slice(0, 120)).join(" | ");
}"""
BROKEN = "() => [...document.images].filter(i => i.complete && !i.naturalWidth && i.loading !== 'lazy').map(i => i.src)"


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from npm: `npm install axe-core`, or SPOTID_AXE names the file."""
    places = [os.environ.get("SPOTID_AXE") or "", str(ROOT / "node_modules" / "axe-core" / "axe.min.js")]
    for place in filter(None, places):
        if Path(place).is_file():
            return Path(place).read_text(encoding="utf-8")
    if os.environ.get("CI"):
        pytest.fail("axe-core is not there: .ci/run installs it")
    pytest.skip("no axe-core: npm install --no-save axe-core, or SPOTID_AXE=…/axe.min.js")


class Tour:
    """Opens pages as their visitors do and writes down what is wrong with each."""

    def __init__(self, new_page: Any, watch: Any, world: World) -> None:
        self.new_page, self.watch, self.world = new_page, watch, world
        self.watch.allowed |= {403, 404, 409, 422}
        self.tabs: dict[str, tuple[Page, dict[str, int]]] = {}
        self.faults: dict[str, list[str]] = {}

    def open(self, visit: Visit) -> tuple[Page, int]:
        """The page after what is done on it, wide and light, and its weight in bytes without photos."""
        if visit.who not in self.tabs:
            page = self.new_page(self.world.accounts.get(visit.who), viewport=WIDE, reduced_motion="reduce")
            session = page.context.new_cdp_session(page)
            session.send("Network.enable")
            session.send("Network.setCacheDisabled", {"cacheDisabled": True})
            sizes: dict[str, int] = {}
            page.on("requestfinished", lambda request, sizes=sizes: _weigh(request, sizes))
            self.tabs[visit.who] = page, sizes
        page, sizes = self.tabs[visit.who]
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(WIDE)
        sizes.clear()
        answer = page.goto(visit.path)
        assert answer is not None
        if visit.do is None and answer.status != visit.status:
            self.say(visit, f"answers {answer.status}")
        page.wait_for_load_state("networkidle")
        weight = sum(sizes.values())
        if visit.do is not None:
            sizes.clear()
            visit.do(page)
            page.wait_for_load_state("networkidle")
            weight = sum(sizes.values())
        return page, weight

    def say(self, visit: Visit, fault: str) -> None:
        if fault:
            self.faults.setdefault(str(visit), []).append(fault)


def _weigh(request: Any, sizes: dict[str, int]) -> None:
    if PHOTOS not in request.url and request.url.startswith("http"):
        sizes[request.url] = request.sizes()["responseBodySize"]


def _axe(page: Page, source: str, *, only: str = "") -> list[str]:
    """Serious violations that axe finds, each with the element."""
    # Through the protocol: the page's own policy forbids foreign scripts, and shall.
    page.evaluate(f"() => {{ if (!window.axe) {{ {source} }} }}")
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = {"type": "rule", "values": [only]}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{rule['id']}: {node['target'][0]} {node.get('failureSummary', '')[:300]}"
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"][:3]
    ]


def test_every_address_is_visited_or_says_why_not(media_root: Path) -> None:
    world = make_world()
    visited = {visit.name for visit in world.visits}
    assert visited & set(NO_PAGES) == set()
    assert visited | set(NO_PAGES) == addresses()


def _look_at(tour: Tour, visit: Visit, axe: str) -> int:
    """Everything about one page; returns its weight."""
    page, weight = tour.open(visit)
    tour.say(visit, f"weighs {weight} bytes" if weight > HEAVIEST else "")
    for viewport, width in ((WIDE, "wide"), (NARROW, "narrow")):
        page.set_viewport_size(viewport)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            # What is not a colour is the same in the dark.
            for fault in _axe(page, axe, only="color-contrast" if scheme == "dark" else ""):
                tour.say(visit, f"{width}, {scheme}: {fault}")
        tour.say(visit, f"{width}: {wider}" if (wider := page.evaluate(WIDER)) else "")
    for source in page.evaluate(BROKEN):
        tour.say(visit, f"broken picture {source}")
    page.evaluate(STRETCH, LONGER)
    for viewport, width in ((NARROW, "narrow"), (WIDE, "wide")):
        page.set_viewport_size(viewport)
        tour.say(visit, f"longer words, {width}: {wider}" if (wider := page.evaluate(WIDER)) else "")
    return weight


def test_every_page_is_light_sound_accessible_and_has_room(new_page, watch, axe: str) -> None:
    tour = Tour(new_page, watch, make_world())
    weights: dict[str, int] = {}
    for visit in tour.world.visits:
        before = len(watch.faults)
        try:
            weights[str(visit)] = _look_at(tour, visit, axe)
        except Error as error:  # the others are looked at all the same
            tour.say(visit, str(error)[:400])
        for fault in watch.faults[before:]:
            tour.say(visit, fault)
    if os.environ.get("SPOTID_WEIGHTS_OF_PAGES"):
        Path(os.environ["SPOTID_WEIGHTS_OF_PAGES"]).write_text(json.dumps(weights, indent=1) + "\n", encoding="utf-8")
    assert tour.faults == {}, json.dumps(tour.faults, indent=1)
    assert min(weights.values()) > 1000, "what weighs nothing was not weighed"
