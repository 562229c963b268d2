"""Undo in the review: the last thing that was said, whatever it was, by keyboard; also while the line is down."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from identification.models import Decision, Detection, MatchEdge, Remark, ReviewPosition, Survey
from tests.browser.conftest import NARROW, WIDE
from tests.browser.test_browser_queue import picture
from tests.browser.test_browser_reviewer import Animals, pair_of
from tests.browser.test_browser_session import LOST, OFFLINE, READY, answer, opened, recorded, saved
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)

NOTICE = "[data-notice]"
# Milliseconds: machines that test are busy.
SLOW = 20_000


def taken_back(page: Page, words: str, pair: tuple[int, int]) -> None:
    """Press Z: it says what is taken back, and its question is there again."""
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text(f"Taken back: {words}", timeout=SLOW)
    page.wait_for_function(READY)
    assert set(pair_of(page)) == set(pair)


@pytest.mark.parametrize("order", ["queue", "photo"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_last_thing_first_whatever_it_was(new_page, survey: tuple[Survey, Animals], order: str, viewport) -> None:
    place, _ = survey
    user = make.make_member(place)
    ReviewPosition.objects.create(user=user, survey=place, mode=order)
    page = opened(new_page(user, viewport=viewport), place)
    first = answer(page, "m")
    saved(page)
    second = answer(page, "k")
    saved(page)
    page.wait_for_load_state("networkidle")
    third = pair_of(page)
    with page.expect_navigation():
        page.keyboard.press("f")
    expect(page.locator("form.chips button[aria-pressed=true]").first).to_have_text("Cannot tell")
    page.wait_for_load_state("networkidle")
    fourth = pair_of(page)
    page.keyboard.press("Q")
    with page.expect_navigation():
        page.keyboard.press("1")
    expect(page.get_by_text("is set aside as not usable: blurred")).to_be_visible(timeout=SLOW)
    page.wait_for_load_state("networkidle")
    taken_back(page, "Not usable: blurred. The photo is asked about again.", fourth)
    taken_back(page, "Flank: unknown. The flank is “Right” again.", third)
    taken_back(page, "No animal. The photo is asked about again.", second)
    taken_back(page, "Match. The two photos stand alone again.", first)
    assert not Detection.objects.filter(usable=False).exists()
    assert set(Detection.objects.filter(remarks__kind="flank").values_list("flank", "flank_by_person")) == {
        ("right", True)
    }
    assert Decision.objects.filter(undoes__isnull=False).count() == 1
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_while_the_line_is_down_the_last_step_goes_first(new_page, watch, survey: tuple[Survey, Animals]) -> None:
    watch.expected.add(OFFLINE)
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    page.context.set_offline(True)
    first = answer(page, "n")
    second = answer(page, "k")
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text("Taken back before it was saved: No animal.")
    assert pair_of(page) == second
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text("Taken back before it was saved: Not a match.")
    assert pair_of(page) == first
    page.context.set_offline(False)
    page.wait_for_timeout(1500)
    assert not Decision.objects.exists() and not Remark.objects.exists()


def test_what_may_have_arrived_is_taken_back_once(new_page, watch, survey: tuple[Survey, Animals]) -> None:
    watch.expected.add(LOST)
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    decided = answer(page, "n")
    saved(page)

    def lost(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/review/empty/", lost, times=1)
    answer(page, "k")
    page.wait_for_timeout(500)
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text("Taken back: No animal.", timeout=SLOW)
    saved(page)
    remark = Remark.objects.get()
    assert remark.undone_at is not None and not Detection.objects.filter(usable=False).exists()
    assert Decision.objects.get().verdict == "no_match", "the answer before stands"
    taken_back(page, "Not a match.", decided)


def test_a_page_that_could_not_ask_what_would_follow_says_so_and_asks_later(
    new_page, watch, survey: tuple[Survey, Animals]
) -> None:
    watch.expected.add(LOST)
    place, animals = survey
    user = make.make_member(place)
    pair = animals[0][:2]
    make.match(user, *pair)
    page = new_page(user)
    page.route("**/review/ahead/**", lambda route: route.abort())
    page.goto(f"/surveys/{place.pk}/review/")
    page.wait_for_timeout(500)
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text("This needs the connection, which is away.", timeout=SLOW)
    assert Decision.objects.count() == 1
    page.unroute("**/review/ahead/**")
    taken_back(page, "Match. The two photos stand alone again.", (pair[0].pk, pair[1].pk))


def test_undo_of_what_is_saved_says_without_a_connection_that_nobody_knows_what_follows(
    new_page, watch, large: tuple[Survey, Animals]
) -> None:
    watch.expected.add(OFFLINE)
    page = opened(new_page(make.make_member(large[0])), large[0])
    first = answer(page, "m")
    saved(page)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(page.get_by_role("dialog")).to_contain_text("What follows from it is not known: the server does not answer.")
    picture(page, "session-undo-offline")
    page.keyboard.press("z")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.context.set_offline(False)
    saved(page)
    assert MatchEdge.objects.get(a=min(first), b=max(first)).verdict != "match"


def test_undo_asked_again_at_once_after_it_was_left_still_takes_back(new_page, survey: tuple[Survey, Animals]) -> None:
    """Keys that come before the browser has told that the dialog was closed."""
    place, animals = survey
    user = make.make_member(place)
    a, b, c = animals[0]
    for one, other in ((a, b), (b, c)):
        make.match(user, one, other)
    page = opened(new_page(user), place)
    page.keyboard.press("z")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.evaluate(
        "for (const key of ['Escape', 'z', 'z'])"
        " document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}))"
    )
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("[data-notice]")).to_contain_text("has come apart into 2 + 1 photos")
    assert MatchEdge.objects.filter(verdict="match").count() == 1


def test_undo_takes_nothing_back_when_something_is_recorded_while_it_asks(
    new_page, large: tuple[Survey, Animals]
) -> None:
    place, _ = large
    page = opened(new_page(make.make_member(place)), place)
    first = answer(page, "n")
    saved(page)
    page.wait_for_load_state("networkidle")
    held: list[Route] = []
    page.route("**/ahead/**", lambda route: held.append(route))
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    second = answer(page, "u")
    saved(page)
    for route in held:
        route.continue_()
    page.unroute("**/ahead/**")
    expect(page.locator(NOTICE)).to_contain_text("Something was recorded meanwhile")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert recorded() == [(set(first), "no_match"), (set(second), "unsure")]
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text("Taken back: Unsure")


def test_undo_of_what_was_not_sent_yet(new_page, watch, large: tuple[Survey, Animals]) -> None:
    watch.expected.add(OFFLINE)
    place, _ = large
    page = opened(new_page(make.make_member(place)), place)
    page.context.set_offline(True)
    first = answer(page, "m")
    second = answer(page, "n")
    shown = pair_of(page)
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(page.locator("[data-notice]")).to_have_text("Taken back before it was saved: Not a match.")
    assert pair_of(page) == second
    answer(page, "u")
    assert pair_of(page) == shown
    page.context.set_offline(False)
    saved(page)
    assert recorded() == [(set(first), "match"), (set(second), "unsure")]
