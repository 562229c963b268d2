"""Going back to the model that served before: at once, step by step, and with what is missing filled in afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from identification.errors import SpotIDError
from identification.models import AuditEntry, Detection, EmbeddingModel, EncodingFailure, Survey
from identification.services.activation import model_activate, model_rollback
from identification.services.activation_run import activation_run
from identification.services.annotation import detection_redraw
from identification.services.models import model_forget_vectors
from tests.identification.factories import make_sighting, make_survey
from tests.identification.test_services_activation import (
    activate,
    encoded_under,
    give_vector,
    make_model,
    serving,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def old(tiny_model) -> EmbeddingModel:
    return tiny_model


@pytest.fixture
def new(old, offline) -> EmbeddingModel:
    return make_model(offline, "new", 2)


@pytest.fixture
def coats(old) -> list[Detection]:
    survey = make_survey(matching_state="done")
    detections = [make_sighting(survey, coat=number) for number in range(3)]
    for detection in detections:
        give_vector(detection, old)
    return detections


def test_going_back_is_immediate_and_fills_what_is_missing_afterwards(coats, old, new) -> None:
    from identification.services.coats import load_coats

    activate(new)
    late = make_sighting(coats[0].image.survey, coat=7)
    give_vector(late, new)
    Survey.objects.update(matching_state="done")
    activation = model_rollback(acting_user=None)
    assert (serving(), activation.state, activation.filling) == ("tiny", "pending", True)
    sides, loaded = load_coats(late.image.survey.population)
    position = {side.detection: index for index, side in enumerate(sides)}
    assert loaded.similarity(position[late.pk], position[coats[0].pk]) is None
    assert loaded.similarity(position[coats[1].pk], position[coats[0].pk]) is not None
    assert loaded.compare(position[late.pk], position[coats[0].pk]).similarity is None
    activation_run(activation_id=activation.pk)
    activation.refresh_from_db()
    assert (activation.state, serving()) == ("done", "tiny")
    assert late.pk in encoded_under(old)
    assert AuditEntry.objects.filter(action="model.rollback", object_id=old.pk).exists()


def test_going_back_goes_back_step_by_step_and_never_forward(coats, new, offline) -> None:
    with pytest.raises(SpotIDError, match="nothing to go back to"):
        model_rollback(acting_user=None)
    activate(new)
    activate(make_model(offline, "third", 3))
    model_rollback(acting_user=None)
    assert serving() == "new"
    model_rollback(acting_user=None)
    assert serving() == "tiny"
    with pytest.raises(SpotIDError, match="nothing to go back to"):
        model_rollback(acting_user=None)


def test_going_back_cancels_what_was_on_its_way(coats, new, offline) -> None:
    activate(new)
    open_one = model_activate(model=make_model(offline, "third", 3), acting_user=None)
    model_rollback(acting_user=None)
    open_one.refresh_from_db()
    assert (open_one.state, serving()) == ("cancelled", "tiny")
    assert not activation_run(activation_id=open_one.pk)


def test_going_back_to_a_model_whose_file_is_gone_is_refused(coats, new, offline) -> None:
    activate(new)
    (Path(offline.SPOTID_WEIGHTS_DIR) / "tiny.safetensors").unlink()
    with pytest.raises(SpotIDError, match="not in the weights folder"):
        model_rollback(acting_user=None)
    assert serving() == "new"


def test_vectors_out_of_use_are_deleted_and_those_in_use_are_not(coats, old, new, offline) -> None:
    third = make_model(offline, "third", 3)
    activate(new)
    activate(third)
    with pytest.raises(SpotIDError, match="is active"):
        model_forget_vectors(model=third, acting_user=None)
    with pytest.raises(SpotIDError, match="served before"):
        model_forget_vectors(model=new, acting_user=None)
    # The test's own transaction has not checked yet that the rows point somewhere.
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert model_forget_vectors(model=old, acting_user=None) == 3
    assert not encoded_under(old) and len(encoded_under(new)) == len(encoded_under(third)) == 3
    assert AuditEntry.objects.get(action="model.forget_vectors").after == {"vectors": 3}
    assert activate(old).state == "done" and len(encoded_under(old)) == 3


def test_a_redrawn_box_is_tried_again_under_a_model_that_could_not_encode_it(coats, old) -> None:
    EncodingFailure.objects.create(detection=coats[0], model=old, reason="It is black.")
    detection_redraw(acting_user=None, detection=coats[0], box=(10, 10, 200, 150))
    assert not EncodingFailure.objects.exists()
