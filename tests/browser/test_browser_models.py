"""An administrator puts a model to use and goes back, in a real browser, on a wide and on a narrow screen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from identification.models import EmbeddingModel, ModelActivation
from identification.services.activation_run import activation_run
from identification.tasks import fetch_model
from tests.browser.conftest import NARROW, WIDE
from tests.identification import factories as make
from tests.identification.conftest import offline, tiny_model  # noqa: F401 (fixtures)
from tests.identification.test_services_activation import give_vector, make_model, serving

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = "/admin/identification/embeddingmodel/"
FIGURES = {
    "on": "held-out individuals of Valley leopards",
    "figures": {
        name: {
            "tables": {
                "other_events": {
                    "normalised": {
                        "known": True,
                        "queries": 40,
                        "photos": 44,
                        "individuals": 11,
                        "figures": {
                            "dt5ap": {"value": value, "low": value - 0.05, "high": value + 0.05},
                            "t1": {"value": value + 0.1, "low": value, "high": value + 0.2},
                            "map": {"value": value, "low": None, "high": None},
                            "auroc": {"value": None},
                        },
                    }
                }
            }
        }
        for name, value in (("new", 0.62), ("old", 0.55), ("untrained network", 0.31))
    },
    "advice": "activate",
}


@pytest.fixture
def candidate(tiny_model, offline, monkeypatch) -> EmbeddingModel:  # noqa: F811
    """A measured model, and three coats that only the active one has encoded. Nobody listens to the queue."""
    monkeypatch.setattr("django_q.tasks.async_task", lambda *args, **options: "")
    new = make_model(offline, "valley-leopards-training-1", 2)
    EmbeddingModel.objects.filter(pk=new.pk).update(
        evaluation=FIGURES,
        licence="as the institution decides that took the photos",
        parent=tiny_model,
        card={"training_data": "310 photos of 24 individuals of Valley leopards", "source": "training 1"},
    )
    survey = make.make_survey(matching_state="done")
    for number in range(3):
        give_vector(make.make_sighting(survey, coat=number), tiny_model)
    return new


def fits(page: Page) -> None:
    """Nothing makes the whole page scroll sideways."""
    page.wait_for_function("document.readyState === 'complete'")  # a link may just have been followed
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"


def shot(page: Page, name: str) -> None:
    folder = os.environ.get("SPOTID_TEST_SHOTS")
    if folder:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_model_is_put_to_use_and_gone_back_from(new_page, candidate, viewport) -> None:
    width = str(viewport["width"])
    page = new_page(make.make_user("boss", superuser=True), viewport=viewport)
    page.goto(MODELS)
    fits(page)
    shot(page, f"models-list-{width}")
    page.goto(f"{MODELS}{candidate.pk}/change/")
    expect(page.get_by_text("310 photos of 24 individuals")).to_be_visible()
    expect(page.get_by_role("row", name="new 0.62")).to_be_visible()
    fits(page)
    shot(page, f"model-{width}")
    page.get_by_role("link", name="Activate …").click()
    expect(page.get_by_text("3 coats are encoded in the background")).to_be_visible()
    fits(page)
    shot(page, f"model-activate-{width}")
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_text("0 of 3 coats encoded")).to_be_visible()
    fits(page)
    shot(page, f"activation-{width}")
    assert serving() == "tiny"
    activation_run(activation_id=ModelActivation.objects.get().pk)
    expect(page.get_by_text("3 of 3 coats encoded")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("button", name="Cancel the activation")).to_have_count(0)
    assert serving() == candidate.name
    page.goto(f"{MODELS}{candidate.pk}/change/")
    page.get_by_role("link", name="Roll back to tiny …").click()
    fits(page)
    shot(page, f"model-rollback-{width}")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("tiny serves again")).to_be_visible()
    assert serving() == "tiny"


def test_a_file_that_is_no_model_is_refused_on_the_form(new_page, candidate, tmp_path) -> None:
    bad = tmp_path / "model.safetensors"
    bad.write_bytes(b"\x80\x04" + bytes(range(100)))
    page = new_page(make.make_user("boss", superuser=True))
    page.goto(f"{MODELS}add/")
    page.locator("input[type=file][name=file]").set_input_files(bad)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("is a pickle")).to_be_visible()
    fits(page)
    shot(page, "model-import-1440")
    narrow = new_page(make.make_user("chief", superuser=True), viewport=NARROW)
    narrow.goto(f"{MODELS}add/")
    fits(narrow)
    shot(narrow, "model-import-390")


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_published_network_is_asked_for_and_what_came_of_it_is_said(new_page, offline, monkeypatch, viewport) -> None:  # noqa: F811
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("django_q.tasks.async_task", lambda *arguments, **options: asked.append(arguments))
    administrator = make.make_user("boss", superuser=True)
    page = new_page(administrator, viewport=viewport)
    page.goto("/admin/identification/embeddingmodel/fetch/")
    page.get_by_role("button", name="Fetch resnet18.a1_in1k").click()
    expect(page.get_by_text("A worker fetches it")).to_be_visible()
    assert asked == [("identification.tasks.fetch_model", "resnet18.a1_in1k", administrator.pk)]
    assert not fetch_model("resnet18.a1_in1k", administrator.pk)
    page.reload()
    expect(page.get_by_text("Not to be had.")).to_be_visible()
    fits(page)
    shot(page, f"fetch-{viewport['width']}")
