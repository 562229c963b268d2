"""A review session in one page: the next pair at once, decisions kept while the line is down, undo, two at once."""

from __future__ import annotations

import re
import statistics
import sys
import time

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Response, Route, expect

from identification.models import Decision, Detection, Individual, MatchEdge, ReviewLease, Survey
from tests.browser.conftest import NARROW
from tests.browser.test_browser_queue import picture
from tests.browser.test_browser_reviewer import Animals, answer_everything, pair_of
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)

WAITS = "[data-waits]"
# What the browser itself says of requests that did not arrive.
OFFLINE, LOST = "net::ERR_INTERNET_DISCONNECTED", "net::ERR_FAILED"
READY = "() => !document.querySelector('[data-question].gone')"


def opened(page: Page, place: Survey) -> Page:
    """The review with the next questions loaded."""
    page.goto(f"/surveys/{place.pk}/review/")
    page.wait_for_function("() => document.querySelectorAll('[data-holds] [data-hold]').length > 0")
    page.wait_for_load_state("networkidle")
    return page


def answer(page: Page, key: str) -> tuple[int, int]:
    """Answer what is shown and wait for the next pair only, not for the server. Returns the pair."""
    page.wait_for_timeout(300)
    pair = pair_of(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "pair => document.querySelector('[data-question]').dataset.question !== pair", arg=f"{pair[0]}-{pair[1]}"
    )
    return pair


def saved(page: Page) -> None:
    """Wait until nothing waits in the browser any more."""
    page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('spotid.outbox.'))")


def recorded() -> list[tuple[set[int], str]]:
    rows = Decision.objects.order_by("id").select_related("edge")
    return [({row.edge.a_id, row.edge.b_id}, row.verdict) for row in rows]


def test_a_whole_session_by_keyboard_in_one_page(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    truth = {detection.pk: index for index, animal in enumerate(animals) for detection in animal}
    page = opened(new_page(make.make_member(place)), place)
    page.evaluate("window.samePage = true")
    picture(page, "session")
    answer(page, "m")
    saved(page)
    assert page.evaluate("window.samePage") is True, "no page was loaded"
    assert Decision.objects.get().key is not None
    spoken = page.locator("[data-spoken]")
    expect(spoken).to_have_text(re.compile(r"Match\. Next pair: \d+ %, .*"))
    assert "pair={}-{}".format(*pair_of(page)) in page.url

    # Every tool works on the pair that came, and starts afresh.
    page.keyboard.press("+")
    expect(page.locator("[data-stage=anchor]")).to_have_class(re.compile("zoomed"))
    page.keyboard.press("e")
    assert "/media/edges/" in (page.locator("[data-stage=anchor] img").first.get_attribute("src") or "")
    page.keyboard.press("v")
    expect(page.locator("[data-flicker]")).to_have_attribute("aria-pressed", "true")
    answer(page, "u")
    expect(page.locator("[data-flicker]")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("[data-stage=anchor]")).not_to_have_class(re.compile("zoomed"))
    assert "/media/edges/" in (page.locator("[data-stage=anchor] img").first.get_attribute("src") or ""), "kept"
    page.keyboard.press("c")
    saved(page)

    now = pair_of(page)
    page.reload()
    assert pair_of(page) == now, "a reload stays at the pair"
    answer_everything(page, truth)
    expect(page.get_by_role("heading", name="Everything is settled")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Everything is settled").or_(page.locator("form.verdicts"))).to_be_visible()


def test_answers_bring_nothing_what_comes_next_is_asked_by_itself_and_undo_still_asks(
    new_page, large: tuple[Survey, Animals]
) -> None:
    place, animals = large
    truth = {detection.pk: index for index, animal in enumerate(animals) for detection in animal}
    page = opened(new_page(make.make_member(place)), place)
    sent: list[tuple[bool, bool]] = []  # whether it said that something is at hand, and whether what comes next came
    fetched: list[int] = []  # how many answers there were when what comes next was asked for

    def heard(response: Response) -> None:
        if response.url.endswith("/decide/"):
            sent.append(("spare=1" in (response.request.post_data or ""), "next" in response.json()))
        elif "/ahead/" in response.url:
            fetched.append(len(sent))

    page.on("response", heard)
    pairs = []
    for _ in range(5):
        pair = pair_of(page)
        pairs.append(answer(page, "m" if truth[pair[0]] == truth[pair[1]] else "n"))
        saved(page)
    assert len(set(map(frozenset, pairs))) == 5 and Decision.objects.count() == 5
    for _ in range(50):  # that an answer has come is told apart from what the page makes of it
        if len(sent) == 5:
            break
        page.wait_for_timeout(100)
    assert {(True, False)} == set(sent) and len(sent) == 5
    assert any(fetched), "the list is filled up again after some"
    page.keyboard.press("z")
    expect(page.locator("[data-notice]").or_(page.get_by_role("dialog"))).to_contain_text(
        re.compile(r"stand alone again|is open again")
    )
    if page.get_by_role("dialog").is_visible():
        page.keyboard.press("z")
    saved(page)
    page.wait_for_function(READY)
    assert set(pair_of(page)) == set(pairs[-1])
    assert Decision.objects.filter(undoes__isnull=False).count() == 1


def test_a_key_before_the_new_pair_could_be_seen_counts_for_nothing_and_says_so(
    new_page, large: tuple[Survey, Animals]
) -> None:
    page = opened(new_page(make.make_member(large[0])), large[0])
    page.wait_for_timeout(300)
    first = pair_of(page)
    page.evaluate(
        "for (const _ of [1, 2]) document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'n', bubbles: true}))"
    )
    expect(page.locator("[data-notice]")).to_contain_text("Not counted: this pair has only just come.")
    assert pair_of(page) != first
    saved(page)
    assert recorded() == [(set(first), "no_match")]
    answer(page, "n")
    expect(page.locator("[data-notice]")).not_to_contain_text("Not counted")
    saved(page)
    assert len(recorded()) == 2


def test_the_next_pair_is_painted_soon_after_the_key(new_page, large: tuple[Survey, Animals]) -> None:
    """Prints what was measured, and holds only what no busy machine can spoil: no page and no answer is waited for."""
    place, _ = large
    page = opened(new_page(make.make_member(place)), place)

    def slow(route: Route) -> None:
        time.sleep(1.0)
        route.continue_()

    page.route("**/decide/", slow)
    for _ in range(5):
        answer(page, "n")
        page.wait_for_function("() => 'ready' in document.querySelector('[data-question]').dataset")
    took = page.evaluate("performance.getEntriesByName('spotid-next-pair').map((one) => one.duration)")
    sys.stdout.write(f"key to painted pair, ms: median {statistics.median(took):.0f}, most {max(took):.0f}\n")
    assert len(took) == 5 and statistics.median(took) < 1000, "an answer takes a second, the next pair does not"
    page.unroute("**/decide/")
    saved(page)
    assert Decision.objects.count() == 5


def test_offline_for_ten_seconds_during_five_decisions(new_page, watch, large: tuple[Survey, Animals]) -> None:
    watch.expected.add(OFFLINE)
    place, _ = large
    page = opened(new_page(make.make_member(place)), place)
    said = [(set(answer(page, "n")), "no_match")]
    saved(page)
    page.context.set_offline(True)
    began = time.monotonic()
    for key, verdict in (("n", "no_match"), ("u", "unsure"), ("m", "match")):
        said.append((set(answer(page, key)), verdict))
    expect(page.locator(WAITS)).to_have_text("3 decisions wait for the connection.")
    picture(page, "session-offline")
    assert recorded() == said[:1], "nothing has arrived"
    said.append((set(answer(page, "n")), "no_match"))
    page.wait_for_timeout(max(0, 10_000 - 1000 * (time.monotonic() - began)))
    page.context.set_offline(False)
    saved(page)
    assert recorded() == said
    expect(page.locator(WAITS)).to_be_empty()


def test_a_failing_server_doubles_and_loses_nothing(new_page, watch, large: tuple[Survey, Animals]) -> None:
    """The first answers are lost after the server has recorded, then it fails; a reload comes in between."""
    watch.allowed.add(503)
    watch.expected.add(LOST)
    place, _ = large
    page = opened(new_page(make.make_member(place)), place)
    faults = ["lost", "503", "lost"]

    def failing(route: Route) -> None:
        fault = faults.pop(0) if faults else ""
        if fault == "lost":
            route.fetch()
            route.abort()
        elif fault:
            route.fulfill(status=503, body="away")
        else:
            route.continue_()

    page.route("**/decide/", failing)
    said = [(set(answer(page, key)), verdict) for key, verdict in (("n", "no_match"), ("m", "match"))]
    page.reload()
    page.wait_for_function(READY)
    assert set(pair_of(page)) not in [pair for pair, _ in said], "what waits is not asked again"
    said += [
        (set(answer(page, key)), verdict) for key, verdict in (("u", "unsure"), ("n", "no_match"), ("n", "no_match"))
    ]
    saved(page)
    assert faults == []
    assert recorded() == said, "five, each once, in order"


def test_undo_of_what_may_have_arrived(new_page, watch, large: tuple[Survey, Animals]) -> None:
    """The answer to a decision was lost: nobody knows whether it is recorded when it is taken back."""
    watch.expected.add(LOST)
    place, _ = large
    page = opened(new_page(make.make_member(place)), place)

    def lost(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/decide/", lost, times=1)
    pair = answer(page, "m")
    expect(page.locator(WAITS)).to_have_text("1 decision waits for the connection.")
    page.keyboard.press("z")
    saved(page)
    expect(page.locator("[data-notice]")).to_contain_text("Taken back: Match.")
    assert [verdict for _, verdict in recorded()] == ["match", ""]
    assert MatchEdge.objects.get().verdict == "" and recorded()[0][0] == set(pair)


def test_a_contradiction_interrupts_and_asks(new_page, watch, survey: tuple[Survey, Animals]) -> None:
    watch.allowed.add(409)
    place, animals = survey
    other, (a, b, c) = make.make_member(place), animals[0]
    page = new_page(make.make_member(place))
    page.goto(f"/surveys/{place.pk}/review/?pair={a.pk}-{c.pk}")
    page.wait_for_function("() => document.querySelectorAll('[data-holds] [data-hold]').length > 0")
    make.match(other, a, b)
    make.match(other, b, c, "no_match")
    dialog = page.get_by_role("dialog")
    page.keyboard.press("m")
    expect(dialog.get_by_role("heading", name="contradicts earlier decisions")).to_be_visible()
    picture(page, "session-contradiction")
    for _ in range(3):
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
    expect(dialog, "it is not dropped without a word").to_be_visible()
    dialog.get_by_role("button", name="Step back").click()
    saved(page)
    page.wait_for_function(READY)
    assert Decision.objects.count() == 2
    assert set(pair_of(page)) != {a.pk, c.pk}, "it follows, so it is not asked again"


def test_the_last_question_that_somebody_else_settles_ends_the_review(new_page) -> None:
    place, [(a, b)] = make.make_reviewable_survey(individuals=1, photos=2, name="Ridge 2024")
    other, page = make.make_member(place), new_page(make.make_member(place))
    page.goto(f"/surveys/{place.pk}/review/")
    assert set(pair_of(page)) == {a.pk, b.pk}
    page.wait_for_load_state("networkidle")
    make.match(other, a, b)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.get_by_role("heading", name="Everything is settled")).to_be_visible(timeout=15_000)


def test_undo_says_what_it_splits_before_and_after(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    user = make.make_member(place)
    a, b, c = animals[0]
    for one, other in ((a, b), (b, c), (animals[1][0], animals[1][1])):
        make.match(user, one, other)
    make.match(user, a, animals[1][0])
    name = str(Individual.objects.get(retired=False))
    page = opened(new_page(user), place)
    page.keyboard.press("z")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Splits {name} into 3 + 2 photos.")
    picture(page, "session-undo")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert Decision.objects.count() == 4
    page.keyboard.press("z")
    expect(dialog).to_be_visible()
    page.keyboard.press("z")
    expect(page.locator("[data-notice]")).to_contain_text("has come apart into 3 + 2 photos")
    page.wait_for_function(READY)
    assert set(pair_of(page)) == {a.pk, animals[1][0].pk}, "the pair is shown again"
    page.wait_for_timeout(300)
    page.keyboard.press("z")  # the next one, as deep as the session
    expect(page.locator("[data-notice]")).to_contain_text("stand alone again")
    assert MatchEdge.objects.filter(verdict="match").count() == 2


def test_the_list_of_decisions_takes_one_back_by_keyboard(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    user = make.make_member(place)
    make.match(user, animals[0][0], animals[0][1])
    make.match(user, animals[1][0], animals[1][1], "no_match")
    page = opened(new_page(user), place)
    page.keyboard.press("d")
    rows = page.locator("[data-decided-list] li")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Not a match")
    expect(rows.first.get_by_role("button")).to_be_focused()
    picture(page, "session-decisions")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("[data-notice]")).to_contain_text("Taken back: Match. The two photos stand alone again.")
    assert not MatchEdge.objects.filter(verdict="match").exists()
    assert MatchEdge.objects.filter(verdict="no_match").exists()


def test_two_reviewers_at_once(new_page, watch, large: tuple[Survey, Animals]) -> None:
    watch.allowed.add(409)
    place, _ = large
    users = [make.make_member(place, user=make.make_user(name)) for name in ("ana", "ben")]
    pages = [opened(new_page(user), place) for user in users]
    seen: list[set[frozenset[int]]] = [set(), set()]
    for _ in range(4):
        for index, page in enumerate(pages):
            seen[index].add(frozenset(answer(page, "n")))
            now = [frozenset(pair_of(one)) for one in pages]
            assert now[0] != now[1], "never the same pair"
    for page in pages:
        saved(page)
    assert not seen[0] & seen[1] and Decision.objects.count() == 8

    # Ben's lease is gone (he was away for long) and somebody decides his pair.
    ReviewLease.objects.update(until=timezone.now())
    left, right = pair_of(pages[1])
    ana, ben = users
    make.match(ana, Detection.objects.get(pk=left), Detection.objects.get(pk=right), "no_match")
    pages[1].wait_for_timeout(300)
    pages[1].keyboard.press("m")
    dialog = pages[1].get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="ana decided this pair meanwhile")).to_be_visible()
    picture(pages[1], "session-stale")
    assert MatchEdge.objects.get(a=min(left, right), b=max(left, right)).verdict == "no_match"
    pages[1].keyboard.press("Escape")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="as well").click()
    saved(pages[1])
    edge = MatchEdge.objects.get(a=min(left, right), b=max(left, right))
    assert (edge.verdict, edge.version) == ("match", 2)
    assert [row.acting_user for row in edge.decisions.order_by("id")] == [ana, ben]


def test_signed_out_in_the_middle_nothing_is_lost(new_page, large: tuple[Survey, Animals]) -> None:
    place, _ = large
    user = make.make_member(place, user=make.make_user("ana"))
    page = opened(new_page(user), place)
    cookies = page.context.cookies()
    page.context.clear_cookies(name="sessionid")
    pair = answer(page, "n")
    expect(page.locator(WAITS)).to_contain_text("You are signed out. 1 decision waits here until you are back.")
    picture(page, "session-signed-out")
    assert not Decision.objects.exists()
    page.context.add_cookies(cookies)
    page.evaluate("dispatchEvent(new Event('focus'))")
    saved(page)
    assert recorded() == [(set(pair), "no_match")]
    expect(page.locator(WAITS)).to_be_empty()


def test_a_right_that_was_withdrawn_is_said_and_nothing_is_dropped(new_page, watch, large) -> None:
    watch.allowed.update({403, 404})
    place, _ = large
    user = make.make_member(place)
    page = opened(new_page(user), place)
    user.memberships.update(role="viewer")
    answer(page, "n")
    expect(page.locator(WAITS)).to_contain_text("You may no longer decide here. 1 decision was not recorded.")
    user.memberships.update(role="reviewer")
    page.reload()
    saved(page)
    assert Decision.objects.count() == 1


def test_on_a_phone_a_session_fits_and_says_what_waits(new_page, watch, large: tuple[Survey, Animals]) -> None:
    watch.expected.add(OFFLINE)
    place, _ = large
    page = opened(new_page(make.make_member(place), viewport=NARROW, has_touch=True), place)
    page.context.set_offline(True)
    page.get_by_role("button", name="Not a match").tap()
    expect(page.locator(WAITS)).to_have_text("1 decision waits for the connection.")
    picture(page, "session-narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.context.set_offline(False)
    saved(page)
    assert Decision.objects.count() == 1


def test_boxes_without_an_animal_are_set_aside_from_the_question_and_wait_without_a_connection(
    new_page, watch, survey
) -> None:
    watch.expected.add(OFFLINE)
    place, _ = survey
    page = opened(new_page(make.make_member(place)), place)
    page.evaluate("window.samePage = true")
    first, _ = answer(page, "k")
    saved(page)
    empty = Detection.objects.filter(usable=False)
    assert [(box.pk, box.unusable_reason) for box in empty] == [(first, "no animal")]
    assert first not in pair_of(page)
    expect(page.locator("[data-notice]")).to_contain_text("is set aside: no animal.")
    page.context.set_offline(True)
    _, second = answer(page, "K")
    assert second not in pair_of(page), "what shows it is not asked meanwhile"
    expect(page.locator(WAITS)).to_have_text("1 step waits for the connection.")
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(page.locator("[data-notice]")).to_contain_text("Taken back before it was saved: No animal.")
    assert pair_of(page)[1] == second
    page.keyboard.press("q")
    third, _ = answer(page, "6")
    page.context.set_offline(False)
    saved(page)
    assert {box.pk for box in empty.all()} == {first, third} and not Decision.objects.exists()
    assert page.evaluate("window.samePage === true"), "no page was loaded"
