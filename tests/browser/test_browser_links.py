"""Groups of one visit, by keyboard alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from identification.models import Decision, LinkProposal, MatchEdge, Role, Survey
from identification.services.proposals import proposals_refresh
from tests.identification import factories as make
from tests.identification.factories import START

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def visits() -> Survey:
    """Three visits: a burst of three photos, two cameras, a burst of two."""
    survey = make.make_survey(name="Valley 2024", matching_state="done")
    station = make.make_station(survey, "ST01")
    for visit, cameras in enumerate(("AAA", "AB", "BB")):
        for number, camera in enumerate(cameras):
            at = START + timedelta(hours=visit, seconds=3 * number)
            image = make.make_image(survey, station=station, camera=camera, captured_at=at)
            make.make_detection(image, coat=visit, flank="unknown")
    proposals_refresh(survey=survey)
    return survey


def press(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def test_groups_are_confirmed_left_apart_and_taken_back_by_keyboard(new_page, visits: Survey) -> None:
    reviewer = make.make_member(visits, Role.REVIEWER)
    page = new_page(reviewer)
    # The first page of a test session imports and compiles everything.
    page.goto(f"/surveys/{visits.pk}/links/", timeout=60_000)
    groups = page.locator("[data-group]")
    expect(groups).to_have_count(3)
    expect(groups.first).to_have_attribute("aria-current", "true")
    first, second, _ = LinkProposal.objects.order_by("started_at")
    ids = sorted(first.detections.values_list("pk", flat=True))

    page.keyboard.press("l")
    page.keyboard.press("l")
    page.keyboard.press("x")
    press(page, "m")
    expect(page.get_by_text("1 group confirmed, 1 match recorded.")).to_be_visible()
    assert [(e.a_id, e.b_id) for e in MatchEdge.objects.all()] == [tuple(ids[:2])]
    assert Decision.objects.get().acting_user == reviewer

    expect(groups).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("k")
    press(page, "n")
    second.refresh_from_db()
    assert second.state == "dismissed"

    press(page, "z")
    expect(page.get_by_text("1 group open again")).to_be_visible()
    page.keyboard.press("a")
    press(page, "Shift+M")
    expect(page.get_by_text("Every group is answered")).to_be_visible()
    assert MatchEdge.objects.filter(verdict="match").count() == 3
    assert MatchEdge.objects.filter(provenance="paired_cameras").count() == 1
