"""A session in the order by photo: the next candidate or photo at once, answers kept while the line is down."""

from __future__ import annotations

import re
import statistics
import sys
import time

import pytest
from playwright.sync_api import Page, Route, expect

from identification.models import Decision, Detection, Individual, MatchEdge, ReviewPosition, Survey, User
from tests.browser.test_browser_every_page import _axe as violations
from tests.browser.test_browser_every_page import axe  # noqa: F401 (a fixture)
from tests.browser.test_browser_queue import picture
from tests.browser.test_browser_reviewer import Animals, answer_everything, pair_of
from tests.browser.test_browser_session import LOST, OFFLINE, READY, WAITS, answer, recorded, saved
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)

NOTICE = "[data-notice]"
DIALOG = "dialog[open]"


@pytest.fixture
def many() -> tuple[Survey, list[Detection]]:
    """Four photos, each with six candidates that no other photo has."""
    place = make.make_survey(matching_state="done", name="Valley 2025")
    anchors = [make.make_sighting(place) for _ in range(4)]
    for number, anchor in enumerate(anchors):
        for rank in range(1, 7):
            other = make.make_sighting(place, coat=number)
            make.make_candidate(anchor, other, rank=rank, probability=0.9 - 0.05 * rank)
    return place, anchors


def by_photo(place: Survey, user: User | None = None) -> User:
    member = make.make_member(place, user=user) if user else make.make_member(place)
    ReviewPosition.objects.update_or_create(user=member, survey=place, defaults={"mode": "photo"})
    return member


def opened(page: Page, place: Survey, query: str = "") -> Page:
    """The review with the next pairs loaded, on a page that is marked."""
    with page.expect_response("**/review/ahead/**"):
        page.goto(f"/surveys/{place.pk}/review/{query}")
    page.wait_for_load_state("networkidle")
    page.evaluate("window.samePage = true")
    return page


def stays(page: Page) -> bool:
    return page.evaluate("window.samePage === true")


def slowly(route: Route) -> None:
    time.sleep(1.0)
    route.continue_()


def test_a_whole_session_by_photo_and_keyboard_in_one_page(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    truth = {detection.pk: index for index, animal in enumerate(animals) for detection in animal}
    page = opened(new_page(by_photo(place)), place)
    photo, candidate = pair_of(page)
    assert truth[photo] == truth[candidate]
    picture(page, "photo-session")
    answer(page, "m")
    saved(page)
    assert stays(page), "no page was loaded"
    assert Decision.objects.get().key is not None and Decision.objects.get().anchor_id == photo
    expect(page.locator("[data-spoken]")).to_have_text(re.compile(r"Match\. Next pair: \d+ %, .*"))
    assert "anchor={}&offer={}".format(*pair_of(page)) in page.url
    if pair_of(page)[0] == photo:
        # What was said of the photo is true of its next candidate, too.
        name = str(Individual.objects.get(retired=False))
        expect(page.locator("[data-photo-part=who]")).to_have_text(name)
        expect(page.locator("[data-photo-part=known]")).to_contain_text("follows, not asked")
    now = pair_of(page)
    page.reload()
    assert pair_of(page) == now, "a reload stays at the pair"
    answer_everything(page, truth)
    expect(page.get_by_role("heading", name="Everything is settled")).to_be_visible()
    groups = {frozenset(i.detections.values_list("pk", flat=True)) for i in Individual.objects.filter(retired=False)}
    assert groups == {frozenset(detection.pk for detection in animal) for animal in animals}


def test_the_next_candidate_and_the_next_photo_are_painted_soon_after_the_key(new_page, many) -> None:
    """Prints what was measured, and holds only what no busy machine can spoil: no answer is waited for."""
    place, anchors = many
    page = opened(new_page(by_photo(place)), place)
    for name in ("decide", "none", "pass"):
        page.route(f"**/review/{name}/", slowly)
    shown = [pair_of(page)]
    for key in ("n", "m", "u", "N", "n", "ArrowRight"):
        answer(page, key)
        page.wait_for_function("() => 'ready' in document.querySelector('[data-question]').dataset")
        shown.append(pair_of(page))
    took = page.evaluate("performance.getEntriesByName('spotid-next-pair').map((one) => one.duration)")
    sys.stdout.write(f"by photo, key to painted pair, ms: median {statistics.median(took):.0f}, most {max(took):.0f}\n")
    assert [anchors.index(Detection.objects.get(pk=photo)) for photo, _ in shown] == [0, 0, 0, 0, 1, 1, 2]
    assert len(took) == 6 and statistics.median(took) < 1000, "an answer takes a second, the next pair does not"
    for name in ("decide", "none", "pass"):
        page.unroute(f"**/review/{name}/")
    saved(page)
    verdicts = [verdict for _, verdict in recorded()]
    assert verdicts == ["no_match", "match", "unsure", "no_match", "no_match", "no_match"] and stays(page)
    assert Decision.objects.filter(batch__isnull=False).count() == 2, "two were left to be none of them"
    assert anchors[1] in ReviewPosition.objects.get().passed.all()


def test_a_candidate_is_looked_at_by_number_without_a_page(new_page, many) -> None:
    place, anchors = many
    page = opened(new_page(by_photo(place)), place)
    first = pair_of(page)
    page.keyboard.press("3")
    expect(page.get_by_role("heading", name="Candidate 3 of 5")).to_be_visible()
    expect(page.locator("[data-look][aria-current]")).to_have_attribute("data-keys", "3")
    answer(page, "n")
    saved(page)
    assert pair_of(page) == first, "then the best one that is open"
    expect(page.get_by_role("heading", name="Candidate 1 of 5")).to_be_visible()
    keys = page.locator("[data-look]").evaluate_all("(links) => links.map((link) => link.dataset.keys)")
    assert keys == ["1", "2", "4", "5"], "numbers stay"
    page.keyboard.press("4")
    expect(page.get_by_role("heading", name="Candidate 4 of 5")).to_be_visible()
    assert stays(page) and pair_of(page)[0] == anchors[0].pk and Decision.objects.count() == 1


def test_offline_during_five_answers_by_photo(new_page, watch, many) -> None:
    watch.expected.add(OFFLINE)
    place, anchors = many
    page = opened(new_page(by_photo(place)), place)
    page.context.set_offline(True)
    said = [(set(answer(page, key)), verdict) for key, verdict in (("n", "no_match"), ("m", "match"), ("u", "unsure"))]
    expect(page.locator(WAITS)).to_have_text("3 decisions wait for the connection.")
    picture(page, "photo-session-offline")
    answer(page, "ArrowRight")  # the next photo
    assert pair_of(page)[0] == anchors[1].pk
    said += [(set(answer(page, key)), verdict) for key, verdict in (("n", "no_match"), ("x", "incomparable"))]
    assert not Decision.objects.exists(), "nothing has arrived"
    page.context.set_offline(False)
    saved(page)
    assert recorded() == said and stays(page)
    expect(page.locator(WAITS)).to_be_empty()
    assert list(ReviewPosition.objects.get().passed.all()) == [anchors[0]]
    assert pair_of(page)[0] == anchors[1].pk


def test_five_more_candidates_come_in_place_and_back(new_page, watch, many) -> None:
    watch.expected.add(OFFLINE)
    place, _ = many
    page = opened(new_page(by_photo(place)), place)
    first = pair_of(page)
    page.keyboard.press("6")
    expect(page.get_by_role("heading", name="Candidate 6 of 6")).to_be_visible()
    expect(page.locator("[data-look]")).to_have_count(1)
    assert stays(page) and pair_of(page)[0] == first[0] and "more=1" in page.url
    page.wait_for_function(READY)
    picture(page, "photo-session-more")
    page.keyboard.press("`")
    expect(page.get_by_role("heading", name="Candidate 1 of 5")).to_be_visible()
    expect(page.locator("[data-look]")).to_have_count(5)
    assert stays(page) and pair_of(page) == first
    page.context.set_offline(True)
    page.wait_for_function(READY)
    page.keyboard.press("6")
    expect(page.locator(NOTICE)).to_contain_text("This needs the connection")
    assert pair_of(page) == first and stays(page)
    page.context.set_offline(False)
    page.keyboard.press("6")
    expect(page.get_by_role("heading", name="Candidate 6 of 6")).to_be_visible()
    last = answer(page, "n")
    saved(page)
    assert last[0] == first[0] and recorded() == [(set(last), "no_match")] and stays(page)
    assert pair_of(page)[0] != first[0], "the next photo follows; this one is there again when its turn comes"


def test_more_candidates_from_what_none_of_these_said_come_in_place(new_page, many) -> None:
    place, anchors = many
    page = opened(new_page(by_photo(place)), place)
    answer(page, "N")
    saved(page)
    assert pair_of(page)[0] == anchors[1].pk
    page.get_by_role("link", name="Look at more candidates").click()
    expect(page.get_by_role("heading", name="Candidate 6 of 6")).to_be_visible()
    assert stays(page) and pair_of(page)[0] == anchors[0].pk


def test_two_reviewers_by_photo_at_once(new_page, many) -> None:
    place, anchors = many
    first, second = (opened(new_page(by_photo(place)), place) for _ in range(2))
    asked: list[list[tuple[int, int]]] = [[], []]
    for _ in range(6):
        for page, own in zip((first, second), asked, strict=True):
            own.append(answer(page, "n"))
            saved(page)
    assert set(asked[0]).isdisjoint(asked[1]) and len(set(asked[0] + asked[1])) == 12
    assert {pair[0] for pair in asked[0]} == {anchors[0].pk, anchors[1].pk}
    assert {pair[0] for pair in asked[1]} == {anchors[2].pk, anchors[3].pk}
    assert Decision.objects.count() == 12 and stays(first) and stays(second)


def test_where_all_is_with_others_the_page_says_so_and_goes_on_when_they_leave(new_page, many) -> None:
    place, anchors = many
    ReviewPosition.objects.all().delete()
    first = opened(new_page(by_photo(place)), place)
    member = by_photo(place)
    for anchor in anchors[3:]:
        ReviewPosition.objects.get(user=member).passed.add(anchor)
    second = new_page(member)
    second.goto(f"/surveys/{place.pk}/review/?anchor={anchors[0].pk}")
    expect(second.locator(".messages")).to_contain_text("Other reviewers look at the candidates of that photo now")
    assert pair_of(second)[0] == anchors[2].pk, "of which the other has one pair at hand"
    expect(second.locator("[data-look]")).to_have_count(4)
    expect(second.get_by_text("1 with another reviewer")).to_be_visible()
    picture(second, "photo-session-shared")
    with second.expect_response("**/review/ahead/**"):
        second.goto(f"/surveys/{place.pk}/review/")
    second.wait_for_load_state("networkidle")
    second.wait_for_timeout(400)
    second.keyboard.press("N")
    expect(second.get_by_role("heading", name="What is left, others look at now")).to_be_visible()
    picture(second, "photo-elsewhere")
    first.goto("/")
    first.wait_for_load_state("networkidle")
    second.keyboard.press("Enter")
    expect(second.locator("form.verdicts")).to_be_visible()
    assert pair_of(second)[0] == anchors[2].pk, "of the photo that she is at, the pair that the other had"


def test_none_of_these_and_its_undo(new_page, many) -> None:
    place, anchors = many
    page = opened(new_page(by_photo(place)), place)
    first = pair_of(page)
    answer(page, "N")
    saved(page)
    assert pair_of(page)[0] == anchors[1].pk and stays(page)
    expect(page.locator(NOTICE)).to_contain_text("5 candidates are refused")
    expect(page.get_by_role("link", name="Look at more candidates")).to_be_visible()
    rows = Decision.objects.all()
    assert {row.verdict for row in rows} == {"no_match"} and len(rows) == 5 and len({row.batch for row in rows}) == 1
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(page.locator(DIALOG)).to_contain_text("Take “5 refusals” back?")
    page.keyboard.press("Enter")
    expect(page.locator(NOTICE)).to_contain_text("5 refusals that you gave together")
    page.wait_for_function(READY)
    assert pair_of(page) == first and not MatchEdge.objects.exclude(verdict="").exists()
    expect(page.locator("[data-look]")).to_have_count(5)


def test_none_of_these_is_taken_back_before_it_is_sent(new_page, watch, many) -> None:
    watch.expected.add(OFFLINE)
    place, anchors = many
    page = opened(new_page(by_photo(place)), place)
    page.context.set_offline(True)
    first = pair_of(page)
    answer(page, "N")
    assert pair_of(page)[0] == anchors[1].pk
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text("Taken back before it was saved: None of these.")
    assert pair_of(page) == first
    second = answer(page, "n")
    assert second == first and pair_of(page)[0] == anchors[0].pk, "its other candidates are there again"
    page.context.set_offline(False)
    saved(page)
    assert recorded() == [(set(first), "no_match")]


def test_what_was_lost_on_its_way_back_is_recorded_once(new_page, watch, many) -> None:
    watch.expected.add(LOST)
    place, anchors = many
    page = opened(new_page(by_photo(place)), place)

    def lost(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/review/none/", lost, times=1)
    page.route("**/review/pass/", lost, times=1)
    answer(page, "N")
    answer(page, "ArrowRight")
    saved(page)
    assert Decision.objects.count() == 5 and MatchEdge.objects.filter(version=1).count() == 5
    assert pair_of(page)[0] == anchors[2].pk
    assert list(ReviewPosition.objects.get().passed.all()) == [anchors[1]]


def test_dialogs_by_photo_interrupt_and_have_no_barriers(new_page, watch, survey, axe: str) -> None:  # noqa: F811
    watch.allowed.add(409)
    place, animals = survey
    other, (a, b, c) = make.make_member(place), animals[0]
    page = opened(new_page(by_photo(place)), place, f"?anchor={a.pk}&offer={c.pk}")
    make.match(other, a, b)
    make.match(other, b, c, "no_match")
    page.wait_for_timeout(300)
    page.keyboard.press("m")
    dialog = page.locator(DIALOG)
    expect(dialog.get_by_role("heading", name="contradicts earlier decisions")).to_be_visible()
    assert violations(page, axe) == []
    picture(page, "photo-session-contradiction")
    with page.expect_response("**/review/ahead/**"):
        dialog.get_by_role("button", name="Step back").click()
    expect(page.locator(NOTICE)).to_contain_text("follows from what was decided meanwhile")
    page.wait_for_function(READY)
    page.wait_for_timeout(1000)  # a pair that changed by itself is not decided about at once
    left, right = pair_of(page)
    make.match(other, Detection.objects.get(pk=left), Detection.objects.get(pk=right), "unsure")
    page.wait_for_timeout(300)
    page.keyboard.press("n")
    expect(dialog.get_by_role("heading", name="decided this pair meanwhile")).to_be_visible()
    assert violations(page, axe) == []
    dialog.get_by_role("button", name="as well").click()
    saved(page)
    assert MatchEdge.objects.get(a=min(left, right), b=max(left, right)).verdict == "no_match"


@pytest.mark.parametrize("order", ["photo", "queue"])
def test_the_list_of_decisions_and_the_undo_have_no_barriers(new_page, survey, order: str, axe: str) -> None:  # noqa: F811
    place, animals = survey
    user = by_photo(place)
    ReviewPosition.objects.update(mode=order)
    a, b, c = animals[0]
    for one, two in ((a, b), (b, c), (animals[1][0], animals[1][1])):
        make.match(user, one, two)
    make.match(user, a, animals[1][0])
    page = opened(new_page(user), place)
    page.keyboard.press("d")
    expect(page.locator("[data-decided-list] li")).to_have_count(4)
    assert violations(page, axe) == []
    picture(page, f"decisions-{order}")
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    expect(page.locator(DIALOG)).to_contain_text("into 3 + 2 photos")
    assert violations(page, axe) == []
    page.keyboard.press("z")
    expect(page.locator(NOTICE)).to_contain_text("has come apart into 3 + 2 photos")
    page.wait_for_function(READY)
    assert set(pair_of(page)) == {a.pk, animals[1][0].pk}, "the pair is shown again"
    assert stays(page)
