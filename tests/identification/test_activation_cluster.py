"""A model put to use and gone back from through the real queue, its watchdog and its worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from identification.models import Candidate, Decision, Detection, EmbeddingModel, MatchEdge, ModelActivation, Survey
from identification.services.activation import model_activate, model_rollback
from identification.services.decisions import decision_record
from identification.services.ingest import survey_ingest
from tests.identification.factories import coat_pixels
from tests.identification.test_activation_races import _check_similarities
from tests.identification.test_services_activation import encoded_under, make_model, serving
from tests.identification.worker_process import running_worker, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.django_db(transaction=True)]
PHOTOS = 6


@pytest.fixture
def survey(tmp_path: Path, tiny_model, settings) -> Survey:
    settings.MEDIA_ROOT = Path(settings.SPOTID_HOME) / "media"
    for number in range(PHOTOS):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Pillow.fromarray(coat_pixels(number // 2, number)[0]).save(path)
    return survey_ingest(root=tmp_path / "photos", survey_name="Queue", crops_only=True).survey


def matched() -> bool:
    return Survey.objects.get().matching_state == "done"


def state() -> object:
    return (
        list(ModelActivation.objects.values("state", "done", "total", "error", "worker")),
        list(Survey.objects.values("matching_state", "matching_error")),
        list(Detection.objects.values_list("image__work__state", "image__work__reason")),
    )


def test_candidates_follow_the_model_there_and_back_and_decisions_stay(survey, tiny_model, offline, tmp_path) -> None:
    new = make_model(offline, "new", 2)
    with running_worker(tmp_path / "worker.log", SPOTID_RUNTIME="torch", SPOTID_TRAINING="0"):
        wait_until(matched, state)
        _check_similarities(tiny_model)
        first, second = Detection.objects.order_by("pk")[:2]
        decision_record(acting_user=None, first=first, second=second, verdict="match")
        said = (list(Decision.objects.values()), list(MatchEdge.objects.values()))
        model_activate(model=new, acting_user=None)
        wait_until(lambda: serving() == "new" and matched(), state)
        assert encoded_under(new) == set(Detection.objects.values_list("pk", flat=True))
        assert Candidate.objects.count() == PHOTOS * (PHOTOS - 1)
        _check_similarities(new)
        model_rollback(acting_user=None)
        assert serving() == "tiny"
        wait_until(matched, state)
        _check_similarities(EmbeddingModel.objects.get(name="tiny"))
        assert (list(Decision.objects.values()), list(MatchEdge.objects.values())) == said
    assert ModelActivation.objects.filter(state="done").count() == 2
    assert np.isfinite(list(Candidate.objects.values_list("similarity", flat=True))).all()
