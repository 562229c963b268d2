"""From labels to a new network in use and back, on the demonstration, in the browser, through a real qcluster."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from playwright.sync_api import expect

from identification.models import (
    Candidate,
    Decision,
    Embedding,
    EmbeddingModel,
    Individual,
    MatchEdge,
    ModelActivation,
    Survey,
    TrainingRun,
    Work,
)
from identification.selectors.models import without_vector
from identification.services.labels import labels_import
from tests.identification import factories as make
from tests.identification.training_set import TINY
from tests.identification.worker_process import running_worker, wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.name == "nt", reason="the worker is ended by a POSIX signal"),
]
ANIMALS, PHOTOS = 8, 72
PATIENCE = 180_000


@pytest.fixture
def home(settings, tmp_path: Path, media_root: Path) -> Path:
    settings.SPOTID_HOME = tmp_path / "home"
    settings.SPOTID_WEIGHTS_DIR = settings.SPOTID_HOME / "weights"
    settings.MEDIA_ROOT = settings.SPOTID_HOME / "media"
    settings.SPOTID_OFFLINE = True
    return Path(settings.SPOTID_HOME)


@pytest.fixture
def demonstration(home: Path, db: None) -> Survey:
    """The demonstration survey, smaller than `up` loads it: whole frames of day and night, among them empty ones."""
    call_command("load_demonstration", photos=PHOTOS, individuals=ANIMALS, stations=3, stdout=io.StringIO())
    return Survey.objects.get()


def what_people_said() -> list[Any]:
    return [list(rows.objects.order_by("pk").values()) for rows in (Decision, MatchEdge, Individual)]


def similarities_are_of(model: EmbeddingModel) -> bool:
    """Whether every candidate's similarity is the cosine of the two vectors under the model, and unknown without."""
    vectors = {
        pk: np.asarray(vector, np.float64)
        for pk, vector in Embedding.objects.filter(model=model).values_list("detection", "vector")
    }
    rows = list(Candidate.objects.values_list("anchor", "detection", "similarity"))
    known = [row for row in rows if row[0] in vectors and row[1] in vectors]
    unknown = [row for row in rows if row not in known]
    return (
        len(known) > len(unknown)
        and all(row[2] is not None and abs(row[2] - vectors[row[0]] @ vectors[row[1]]) < 1e-4 for row in known)
        and all(row[2] is None for row in unknown)
    )


def test_retrain_activate_and_roll_back_on_the_demonstration(new_page, demonstration, home, tmp_path) -> None:
    log = tmp_path / "worker.log"

    def until(condition: Any) -> None:
        def why() -> tuple[Any, ...]:
            rows = (TrainingRun, ModelActivation, Survey)
            return (*(list(one.objects.values()) for one in rows), log.read_text()[-3000:])

        wait_until(condition, why)

    def matched() -> bool:
        return Survey.objects.get().matching_state == "done"

    boss = make.make_user("boss", superuser=True)
    page = new_page(boss)
    page.set_default_timeout(PATIENCE)
    with running_worker(log):
        until(lambda: not Work.objects.exclude(state="done").exists() and matched())
        old_model = EmbeddingModel.objects.get(state="active")
        assert old_model.name == "rootsift-vlad-2"
        # The truth names animal and flank of every photo that shows one.
        labels_import(survey=demonstration, truth=str(home / "demonstration" / "truth.csv"), acting_user=boss)
        until(matched)
        assert Individual.objects.filter(retired=False).count() >= 6 and similarities_are_of(old_model)
        said = what_people_said()

        page.goto("/admin/identification/trainingrun/")
        page.get_by_role("link", name="Retrain", exact=True).click()
        expect(page.get_by_text("Know before you start")).to_be_visible()
        page.get_by_label("train.toml").fill("".join(f"{name} = {json.dumps(value)}\n" for name, value in TINY.items()))
        page.get_by_role("button", name="Start training").click()
        expect(page.get_by_role("button", name="Cancel the training")).to_be_visible()
        # The page gets there by itself.
        expect(page.get_by_text("Advice:")).to_be_visible(timeout=PATIENCE)
        assert page.locator("svg.spotid-curve polyline").count() == 2
        new = TrainingRun.objects.get().candidate
        assert new is not None and new.state == "candidate"
        report = page.request.get(page.get_by_role("link", name="Open the report").get_attribute("href") or "")
        assert report.ok and "untrained" in report.text() and "sandbox" in report.headers["content-security-policy"]
        assert similarities_are_of(old_model) and what_people_said() == said

        page.get_by_role("link", name="The candidate").click()
        page.get_by_role("link", name="Activate").click()
        page.get_by_role("button", name="Activate").click()
        until(lambda: EmbeddingModel.objects.get(state="active") == new and matched())
        assert not without_vector(new).exists() and Embedding.objects.filter(model=new).count() > PHOTOS / 3
        assert similarities_are_of(new) and not similarities_are_of(old_model)

        page.wait_for_timeout(3000)  # the page of the activation goes on by itself once that is over
        page.wait_for_load_state("networkidle")
        page.goto("/admin/identification/embeddingmodel/")
        page.get_by_role("link", name="Roll back").click()
        page.get_by_role("button", name="Roll back").click()
        expect(page.get_by_text("rootsift-vlad-2 serves again")).to_be_visible()
        assert EmbeddingModel.objects.get(state="active") == old_model
        until(matched)
        assert similarities_are_of(old_model) and what_people_said() == said
