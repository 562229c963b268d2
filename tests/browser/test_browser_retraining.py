"""From a sorted archive to a new network in use and back, in the browser, through a real qcluster."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
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
from identification.services.ingest import survey_ingest
from identification.services.labels import labels_import
from identification.services.queue import work_enqueue
from tests.identification import factories as make
from tests.identification.training_set import TINY
from tests.identification.worker_process import running_worker, wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.name == "nt", reason="the worker is ended by a POSIX signal"),
]
ANIMALS, PHOTOS = 8, 3
PATIENCE = 180_000


@pytest.fixture
def home(settings, tmp_path: Path, media_root: Path) -> Path:
    settings.SPOTID_HOME = tmp_path / "home"
    settings.SPOTID_WEIGHTS_DIR = settings.SPOTID_HOME / "weights"
    settings.MEDIA_ROOT = settings.SPOTID_HOME / "media"
    settings.SPOTID_OFFLINE = True
    return Path(settings.SPOTID_HOME)


@pytest.fixture
def old_model(home: Path, db: None) -> EmbeddingModel:
    """The network in use: untrained, and small enough to encode in milliseconds."""
    from modelzoo.network import EmbeddingConfig, initial_weights, save_weights

    config = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=24)
    checksum = save_weights(home / "weights" / "old.safetensors", initial_weights(config, 1), {})
    return EmbeddingModel.objects.create(
        name="old", architecture=config.backbone, config=config.to_dict(), dimension=config.dimension,
        weights_file="old.safetensors", checksum=checksum, state="active",
    )  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path, old_model: EmbeddingModel) -> Survey:
    """What an institution has sorted by hand: a folder per animal and flank, of finished crops."""
    root = tmp_path / "archive"
    for animal in range(ANIMALS):
        folder = root / f"Asha{animal}_{'left' if animal % 2 else 'right'}"
        folder.mkdir(parents=True)
        for view in range(PHOTOS):
            pixels, _ = make.coat_pixels(animal, view)
            Pillow.fromarray(pixels).save(folder / f"{view}.jpg", quality=90)
    return survey_ingest(root=root, survey_name="Archive", crops_only=True).survey


def what_people_said() -> list[Any]:
    return [list(rows.objects.order_by("pk").values()) for rows in (Decision, MatchEdge, Individual)]


def similarities_are_of(model: EmbeddingModel) -> bool:
    """Whether every candidate's similarity is the cosine of the two vectors under the model."""
    vectors = {
        pk: np.asarray(vector, np.float64)
        for pk, vector in Embedding.objects.filter(model=model).values_list("detection", "vector")
    }
    rows = list(Candidate.objects.values_list("anchor", "detection", "similarity"))
    return bool(rows) and all(
        similarity is not None and abs(similarity - vectors[a] @ vectors[b]) < 1e-4
        for a, b, similarity in rows
        if a in vectors and b in vectors
    )


def test_retrain_activate_and_roll_back(new_page, archive, old_model, tmp_path) -> None:
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
        work_enqueue(survey=archive)
        until(lambda: not Work.objects.exclude(state="done").exists() and matched())
        labels_import(survey=archive, truth="folders", acting_user=boss)
        until(matched)
        assert Individual.objects.filter(retired=False).count() == ANIMALS and similarities_are_of(old_model)
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
        assert Embedding.objects.filter(model=new).count() == ANIMALS * PHOTOS
        assert similarities_are_of(new) and not similarities_are_of(old_model)

        page.goto("/admin/identification/embeddingmodel/")
        page.get_by_role("link", name="Roll back").click()
        page.get_by_role("button", name="Roll back").click()
        expect(page.get_by_text("old serves again")).to_be_visible()
        assert EmbeddingModel.objects.get(state="active") == old_model
        until(matched)
        assert similarities_are_of(old_model) and what_people_said() == said
