"""A curator's day, by keyboard alone: sign in, review everything, undo, look at an animal, export."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from identification.models import Decision, Detection, Individual, ReviewLease, Role, Survey
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)

Animals = list[list[Detection]]


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the link or button of that name has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.innerText || document.activeElement.value || ''")
        if focused.strip().startswith(name):
            return
    raise AssertionError(f"{name!r} cannot be reached with the Tab key")


def pair_of(page: Page) -> tuple[int, int]:
    """Ids of the two detections that the page asks about."""
    form = page.locator("form.verdicts")
    return (
        int(form.locator("[name=anchor]").get_attribute("value") or 0),
        int(form.locator("[name=candidate]").get_attribute("value") or 0),
    )


# A page that sends forms is followed by another page; a session keeps its page, shows the next pair, and saves.
SETTLED = """() => {
    if (!window.before) return document.readyState === "complete";
    const { key, question, notice } = window.before;
    const kept = Object.keys(localStorage).some((name) => name.startsWith("spotid.outbox."));
    const shown = document.querySelector("[data-question]"), said = document.querySelector("[data-notice]");
    if (document.querySelector("dialog[open]")) return true;
    const changed = shown !== question || (said && said.textContent !== notice && !said.textContent.endsWith("…"));
    return changed && !kept && (shown === question || "ready" in shown.dataset) && !shown?.matches(".gone");
}"""


def press(page: Page, key: str) -> None:
    """Press a key that sends something, and wait for the page or the pair that follows, and until all is saved."""
    page.wait_for_timeout(260)  # what was shown for less than this is not decided about
    page.evaluate("""() => { window.before = {
        question: document.querySelector("[data-question]"),
        notice: document.querySelector("[data-notice]")?.textContent,
    }; }""")
    page.keyboard.press(key)
    page.wait_for_function(SETTLED)
    page.wait_for_load_state()


def answer_everything(page: Page, truth: dict[int, int]) -> int:
    """Answer by the truth until nothing is left to ask; returns how many questions that took."""
    for asked in range(60):
        if page.locator("form.verdicts").count() == 0:
            return asked
        anchor, candidate = pair_of(page)
        press(page, "m" if truth[anchor] == truth[candidate] else "n")
    raise AssertionError("the questions do not end")


def test_from_signing_in_to_the_export_by_keyboard(
    new_page, survey: tuple[Survey, Animals], settings, tmp_path: Path
) -> None:
    settings.SPOTID_HOME = tmp_path
    place, animals = survey
    make.make_member(place, Role.CURATOR, user=make.make_user("ana"))
    truth = {detection.pk: index for index, animal in enumerate(animals) for detection in animal}
    page = new_page()

    page.goto("/")
    expect(page.locator("#id_username")).to_be_focused()
    page.keyboard.type("ana")
    page.keyboard.press("Tab")
    page.keyboard.type(make.PASSWORD)
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Surveys", exact=True)).to_be_visible()

    tab_to(page, "Review")
    press(page, "Enter")
    anchor, candidate = pair_of(page)
    press(page, "m" if truth[anchor] != truth[candidate] else "n")  # wrong, and taken back
    press(page, "z")
    assert pair_of(page) == (anchor, candidate)
    expect(page.locator("[data-notice]")).to_contain_text("Taken back")

    asked = answer_everything(page, truth)
    assert asked < 12, "what follows from earlier answers must not be asked"
    expect(page.get_by_role("heading", name="Everything is settled")).to_be_visible()
    groups = {frozenset(i.detections.values_list("pk", flat=True)) for i in Individual.objects.filter(retired=False)}
    assert groups == {frozenset(detection.pk for detection in animal) for animal in animals}

    tab_to(page, "See the individuals")
    press(page, "Enter")
    expect(page.locator(".animal")).to_have_count(3)
    page.goto(f"/surveys/{place.pk}/")
    with page.expect_download() as download:
        tab_to(page, "Download the export")
        page.keyboard.press("Enter")
    archive = zipfile.ZipFile(Path(download.value.path()))
    (table,) = [name for name in archive.namelist() if name.endswith("leopard_matches.csv")]
    rows = list(csv.DictReader(io.StringIO(archive.read(table).decode("utf-8-sig"))))
    assert sorted(row["Leopard ID"] for row in rows) == sorted(["leopard_1", "leopard_2", "leopard_3"] * 3)
    assert {row["decided_by"] for row in rows} == {"ana"}


def test_leaving_and_coming_back_resumes(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    user = make.make_member(place)
    page = new_page(user)
    page.goto(f"/surveys/{place.pk}/review/")
    first = pair_of(page)
    press(page, "ArrowRight")
    second = pair_of(page)
    assert second != first
    press(page, "Space")
    third = pair_of(page)
    assert third not in {first, second}
    elsewhere = new_page(user)
    elsewhere.goto(f"/surveys/{place.pk}/review/")
    assert pair_of(elsewhere) == third
    assert not Decision.objects.exists()


def test_candidates_are_looked_at_by_number(new_page, survey: tuple[Survey, Animals]) -> None:
    place, animals = survey
    page = new_page(make.make_member(place))
    page.goto(f"/surveys/{place.pk}/review/?anchor={animals[0][0].pk}")
    best = pair_of(page)[1]
    press(page, "3")
    assert pair_of(page) == (animals[0][0].pk, animals[1][0].pk)
    press(page, "1")
    assert pair_of(page)[1] == best


def test_the_second_reviewer_learns_that_somebody_was_quicker(new_page, watch, survey: tuple[Survey, Animals]) -> None:
    """By photo, where the second one did nothing for two minutes; in the queue: test_browser_session.py."""
    watch.allowed.add(409)
    place, animals = survey
    address = f"/surveys/{place.pk}/review/?anchor={animals[0][0].pk}"
    second, first = new_page(make.make_member(place)), new_page(make.make_member(place))
    for page in (second, first):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        ReviewLease.objects.update(until=timezone.now() - timedelta(seconds=1))
    press(first, "m")
    press(second, "n")
    expect(second.get_by_role("heading", name="decided this pair meanwhile")).to_be_visible()
    assert Decision.objects.count() == 1
    second.keyboard.press("Enter")
    expect(second.get_by_role("dialog")).to_be_hidden()
    assert second.locator("form.verdicts").count() == 1


def test_a_contradiction_asks_before_it_is_recorded(new_page, watch, survey: tuple[Survey, Animals]) -> None:
    watch.allowed.add(409)
    place, animals = survey
    user = make.make_member(place)
    a, b, c = animals[0]
    page = new_page(user)
    page.goto(f"/surveys/{place.pk}/review/?anchor={a.pk}&offer={c.pk}")
    make.match(user, a, b)
    make.match(user, b, c, "no_match")
    press(page, "m")
    expect(page.get_by_role("heading", name="contradicts earlier decisions")).to_be_visible()
    assert Decision.objects.count() == 2
    tab_to(page, "I am sure")
    page.keyboard.press("Enter")
    page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('spotid.outbox.'))")
    page.goto("/conflicts/")
    expect(page.get_by_text("Yet these matches join them")).to_be_visible()


def test_keys_held_down_decide_once(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = new_page(make.make_member(place))
    page.goto(f"/surveys/{place.pk}/review/")
    page.evaluate(
        "for (let i = 0; i < 5; i++) document.dispatchEvent(new KeyboardEvent('keydown', {key: 'm', bubbles: true}))"
    )
    for _ in range(100):
        if Decision.objects.exists():
            break
        page.wait_for_timeout(100)
    page.wait_for_load_state()
    page.wait_for_timeout(300)
    assert Decision.objects.count() == 1


def test_everything_is_decided_without_a_script_too(new_page, survey: tuple[Survey, Animals]) -> None:
    place, _ = survey
    page = new_page(make.make_member(place), java_script_enabled=False)
    page.goto(f"/surveys/{place.pk}/review/")
    anchor, candidate = pair_of(page)
    page.get_by_role("link", name="Edges").click()
    assert "/media/edges/" in (page.locator("[data-stage=anchor] img").get_attribute("src") or "")
    page.get_by_role("button", name="Match", exact=True).click()
    assert Decision.objects.get().anchor_id == anchor
    page.get_by_role("button", name="Undo").click()
    assert Decision.objects.count() == 2
    assert pair_of(page) == (anchor, candidate)
    page.get_by_role("button", name="Later").click()
    assert pair_of(page) != (anchor, candidate)
