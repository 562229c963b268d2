"""A blind second review from end to end, by keyboard: asked, answered, taken back, disagreed about, and settled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from identification.models import Adjudication, Decision, MatchEdge, Opinion, ReviewLease, Role, Survey
from tests.browser.conftest import NARROW, WIDE
from tests.browser.test_browser_every_page import _axe as violations
from tests.browser.test_browser_every_page import axe  # noqa: F401 (a fixture)
from tests.browser.test_browser_models import fits
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db(transaction=True)
PICTURES = os.environ.get("SPOTID_PICTURES", "")


class Place:
    """Two animals, all decided by Ann; Ben is to judge every pair again, and Cleo settles."""

    def __init__(self) -> None:
        self.survey, self.animals = make.make_reviewable_survey(individuals=2, photos=2, name="Valley 2024")
        self.ann, self.ben, self.cleo = (make.make_user(name) for name in ("ann", "ben", "cleo"))
        for user, role in ((self.ann, Role.REVIEWER), (self.ben, Role.REVIEWER), (self.cleo, Role.CURATOR)):
            make.make_member(self.survey, role, user=user)
        (a, b), (c, d) = self.animals
        for one, other, verdict in ((a, b, "match"), (c, d, "match"), (a, c, "no_match")):
            match(self.ann, one, other, verdict)
        Survey.objects.filter(pk=self.survey.pk).update(second_review_share=1.0)
        self.truth = {box.pk: index for index, animal in enumerate(self.animals) for box in animal}

    def path(self, rest: str) -> str:
        return f"/surveys/{self.survey.pk}/{rest}/"


@pytest.fixture
def place() -> Place:
    return Place()


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def look_at(page: Page, axe: str, name: str) -> None:  # noqa: F811
    """At both widths, light and dark: it fits, and axe finds nothing serious."""
    for viewport, width in ((WIDE, "wide"), (NARROW, "narrow")):
        page.set_viewport_size(viewport)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            fits(page)
            assert violations(page, axe) == []
            picture(page, f"{name}-{width}-{scheme}")
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")


def pair_of(page: Page) -> tuple[int, int]:
    form = page.locator("form.verdicts")
    a, b = (int(form.locator(f"[name={name}]").get_attribute("value") or 0) for name in ("anchor", "candidate"))
    return a, b


def press(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def answers(page: Page, number: int) -> None:
    """Wait until so many opinions stand."""
    for _ in range(200):
        if Opinion.objects.filter(withdraws__isnull=True, withdrawn_by__isnull=True).count() == number:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the answer did not arrive")


def ready(page: Page) -> None:
    """A pair that has stood there long enough to be seen."""
    expect(page.locator("form.verdicts")).to_have_count(1)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(400)


def test_a_blind_review_its_undo_and_its_settlement_by_keyboard(new_page, place, axe: str) -> None:  # noqa: F811
    ben = new_page(place.ben)
    ben.goto(place.path("review"))
    ready(ben)
    assert "ann" not in ben.inner_text("main").split() and "L-0001" not in ben.inner_text("main")
    first = pair_of(ben)
    same = place.truth[first[0]] == place.truth[first[1]]
    ben.keyboard.press("n" if same else "m")  # wrong, so that she differs
    answers(ben, 1)
    expect(ben.locator("[data-outbox=undo] button")).to_be_enabled()
    ready(ben)
    ben.keyboard.press("z")
    answers(ben, 0)
    ready(ben)
    assert set(pair_of(ben)) == set(first), "what was taken back is asked again"
    for done in range(1, 4):
        ready(ben)
        a, b = pair_of(ben)
        right = "m" if place.truth[a] == place.truth[b] else "n"
        wrong = "n" if right == "m" else "m"
        ben.keyboard.press(wrong if {a, b} == set(first) else right)
        answers(ben, done)
    expect(ben.get_by_role("heading", name="Everything is settled")).to_be_visible()
    assert Decision.objects.count() == 3, "nothing that she said decides"

    cleo = new_page(place.cleo)
    cleo.goto(place.path("agreement"))
    expect(cleo.get_by_role("cell", name="67 %")).to_be_visible()
    look_at(cleo, axe, "agreement")
    cleo.get_by_role("link", name="Settle disagreements (1)").focus()
    press(cleo, "Enter")
    expect(cleo.get_by_role("row", name="ben")).to_contain_text("without knowing of it")
    look_at(cleo, axe, "adjudication")
    press(cleo, "m" if same else "n")
    expect(cleo.get_by_role("heading", name="Nothing to settle")).to_be_visible()
    look_at(cleo, axe, "adjudication-empty")
    edge = MatchEdge.objects.get(a=min(first), b=max(first))
    assert (edge.verdict, edge.version) == ("match" if same else "no_match", 2)
    assert Adjudication.objects.get().decision.acting_user == place.cleo
    press(cleo, "q")
    expect(cleo.get_by_role("row", name="ben ").last).to_contain_text("1 of 2" if same else "1 of 1")

    own = new_page(place.ann, viewport=NARROW)
    own.goto(place.path("agreement"))
    expect(own.get_by_role("rowheader", name="You and all others")).to_be_visible()
    assert "ben" not in own.inner_text("main").split()
    assert violations(own, axe) == []
    picture(own, "agreement-own-narrow")


def test_a_curator_sets_the_shares(new_page, place) -> None:
    page = new_page(place.cleo)
    page.goto(place.path("agreement"))
    page.get_by_label("Known pairs are").fill("5")
    press(page, "Enter")
    expect(
        page.get_by_text("100 % of the decided pairs get a second review, 5 % of questions are known.")
    ).to_be_visible()
    assert Survey.objects.get(pk=place.survey.pk).known_pairs_share == 0.05


def test_two_reviewers_get_two_questions_and_leaving_gives_one_back(new_page) -> None:
    survey, _ = make.make_reviewable_survey(individuals=3, photos=3)
    pages = [new_page(make.make_member(survey)) for _ in range(2)]
    asked = []
    for page in pages:
        page.goto(f"/surveys/{survey.pk}/review/")
        ready(page)
        asked.append(set(pair_of(page)))
    assert asked[0] != asked[1]
    first = ReviewLease.objects.filter(a=min(asked[0]), b=max(asked[0]))
    assert first.exists()
    pages[0].goto("/individuals/")
    for _ in range(100):
        if not first.exists():
            break
        pages[0].wait_for_timeout(100)
    assert not first.exists(), "a question that was left is anybody's"
