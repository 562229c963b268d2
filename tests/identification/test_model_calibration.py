"""A similarity counts for exactly the model that its calibration was fitted with, and for none after going back."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from identification.inference import engines
from identification.inference.comparison import calibration_of
from identification.models import Candidate, Detection, Embedding, EmbeddingModel, LocalFeatureSet
from identification.services.coats import load_coats
from identification.services.matching_run import survey_match
from modelzoo.calibration import Calibration
from tests.identification.factories import make_sighting, make_survey

DEFAULT = Calibration.default()
pytestmark = pytest.mark.django_db


def own(checksum: str, **changes: object) -> dict[str, object]:
    """A calibration under which the cosine says nearly everything."""
    fitted = replace(DEFAULT, fused_intercept=-5.0, fused_weight=1.0, similarity=10.0, embedding=checksum)
    return replace(fitted, version=f"own-{checksum[:6]}", **changes).to_dict()


@pytest.fixture
def survey(tiny_model, media_root):
    """Three coats without spots; under every model the first two have the same vector, the third the opposite one."""
    survey = make_survey()
    for number in range(3):
        detection = make_sighting(survey, coat=number)
        LocalFeatureSet.objects.create(
            detection=detection, version=engines.local_version(), count=0, data=_no_features()
        )
        embed(detection, tiny_model, 1.0 if number < 2 else -1.0)
    return survey


def _no_features() -> bytes:
    from modelzoo.local.features import LocalFeatures, to_bytes

    return to_bytes(LocalFeatures.empty(100, 50))


def embed(detection: Detection, model: EmbeddingModel, side: float) -> None:
    vector = np.zeros(model.dimension)
    vector[0] = side
    Embedding.objects.create(detection=detection, model=model, vector=vector)


def another(model: EmbeddingModel, settings, evaluation: dict[str, object]) -> EmbeddingModel:
    """A second trained model with vectors of its own for every coat."""
    folder = Path(settings.SPOTID_WEIGHTS_DIR)
    shutil.copy(folder / model.weights_file, folder / "other.safetensors")
    made = EmbeddingModel.objects.create(
        name="retrained",
        architecture=model.architecture,
        config=model.config,
        dimension=model.dimension,
        weights_file="other.safetensors",
        checksum="b" * 64,
        trained=True,
        evaluation=evaluation,
        state="candidate",
    )
    for detection in Detection.objects.order_by("pk"):
        embed(detection, made, Embedding.objects.get(detection=detection, model=model).vector[0])
    return made


def serve(model: EmbeddingModel) -> None:
    EmbeddingModel.objects.filter(state="active").update(state="retired")
    EmbeddingModel.objects.filter(pk=model.pk).update(state="active")


def scores(survey) -> tuple[float, float, str]:
    """Of the pair that is alike and of one that is not, after matching anew, and what the candidates say made them."""
    survey.refresh_from_db()
    survey.matching_state = "stale"
    survey.save(update_fields=["matching_state"])
    assert survey_match(survey_id=survey.pk)
    first, second, third = Detection.objects.order_by("pk")
    alike = Candidate.objects.get(anchor=first, detection=second)
    apart = Candidate.objects.get(anchor=first, detection=third)
    assert {c.engine for c in Candidate.objects.all()} == {alike.engine}
    return alike.score, apart.score, alike.engine


def test_the_similarity_counts_under_the_model_that_it_was_fitted_for_and_not_after_going_back(
    survey, tiny_model, settings
) -> None:
    EmbeddingModel.objects.filter(pk=tiny_model.pk).update(trained=True)
    retrained = another(tiny_model, settings, {"calibration": own("b" * 64)})
    before = scores(survey)
    assert before[0] == before[1] == pytest.approx(DEFAULT.intercept) and DEFAULT.version in before[2]
    serve(retrained)
    alike, apart, engine = scores(survey)
    assert (alike, apart) == (pytest.approx(-5.0 + 10.0), pytest.approx(-5.0 - 10.0)) and "own-bbbbbb" in engine
    serve(tiny_model)
    assert scores(survey) == before


def test_a_calibration_of_other_weights_does_not_count(survey, tiny_model, settings) -> None:
    serve(another(tiny_model, settings, {"calibration": own("c" * 64)}))
    alike, apart, engine = scores(survey)
    assert alike == apart and DEFAULT.version in engine


def test_vectors_of_an_untrained_network_do_not_count_whatever_its_evaluation_says(survey, tiny_model) -> None:
    EmbeddingModel.objects.update(evaluation={"calibration": own(tiny_model.checksum)})
    alike, apart, _ = scores(survey)
    assert alike == apart


@pytest.mark.parametrize(
    "damaged",
    [
        "text",
        [1],
        {},
        {"intercept": 1.0},
        own("b" * 64) | {"intercept": "1"},
        own("b" * 64) | {"weight": None},
        own("b" * 64) | {"weight": -1.0},
        own("b" * 64) | {"similarity": True},
        own("b" * 64) | {"fused_intercept": 10**400},
        own("b" * 64) | {"embedding": 7},
        own("b" * 64) | {"version": ["x"]},
    ],
)
def test_a_damaged_calibration_is_left_out_with_a_warning(damaged, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert calibration_of("retrained", "b" * 64, {"calibration": damaged}) == DEFAULT
    assert "retrained" in caplog.text and "damaged" in caplog.text


def test_a_model_without_one_has_the_one_that_ships_in_silence(caplog) -> None:
    for evaluation in ({}, {"calibration": None}, {"advice": "activate"}, []):
        assert calibration_of("any", "b" * 64, evaluation) == DEFAULT
    assert not caplog.records
    good = calibration_of("any", "b" * 64, {"calibration": own("b" * 64)})
    assert good.to_dict() == own("b" * 64)


def test_coats_put_together_for_an_evaluation_keep_the_calibration(survey, tiny_model, settings) -> None:
    serve(another(tiny_model, settings, {"calibration": own("b" * 64)}))
    _, coats = load_coats(survey.population)
    both = coats.followed_by(coats)
    assert both.calibration == coats.calibration != DEFAULT
    assert both.compare(0, 4) == coats.compare(0, 1)
    assert coats.compare(0, 1).local_score == coats.compare(0, 2).local_score == pytest.approx(DEFAULT.intercept)
