"""Putting a model to use while another serves, and going back: what is encoded, when the switch comes, what stays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from identification.errors import SpotIDError
from identification.inference import engines
from identification.inference.coats import EncodingError
from identification.models import (
    AuditEntry,
    Decision,
    Detection,
    Embedding,
    EmbeddingModel,
    EncodingFailure,
    Individual,
    MatchEdge,
    ModelActivation,
    Survey,
    Verdict,
)
from identification.services import activation as service
from identification.services.activation import activation_cancel, activation_expire, model_activate, model_rollback
from identification.services.activation_run import activation_run
from identification.services.annotation import detection_redraw
from identification.services.media import media_path
from identification.services.models import model_retire
from tests.identification.factories import (
    make_detection,
    make_image,
    make_reviewable_survey,
    make_sighting,
    make_survey,
    make_user,
    match,
)

pytestmark = pytest.mark.django_db


def make_model(settings, name: str, seed: int, dimension: int = 8, state: str = "candidate") -> EmbeddingModel:
    from modelzoo.network import EmbeddingConfig, initial_weights, save_weights

    config = EmbeddingConfig(backbone="test_efficientnet", width=96, height=48, dimension=dimension)
    path = Path(settings.SPOTID_WEIGHTS_DIR) / f"{name}.safetensors"
    return EmbeddingModel.objects.create(
        name=name,
        architecture=config.backbone,
        config=config.to_dict(),
        dimension=dimension,
        weights_file=path.name,
        checksum=save_weights(path, initial_weights(config, seed), {}),
        trained=True,
        state=state,
    )


@pytest.fixture
def old(tiny_model) -> EmbeddingModel:
    return tiny_model


@pytest.fixture
def new(old, offline) -> EmbeddingModel:
    return make_model(offline, "new", 2)


@pytest.fixture
def coats(old) -> list[Detection]:
    """Five coats, all of them encoded under the old model."""
    survey = make_survey(matching_state="done")
    detections = [make_sighting(survey, coat=number) for number in range(5)]
    for detection in detections:
        give_vector(detection, old)
    return detections


def give_vector(detection: Detection, model: EmbeddingModel) -> None:
    vector = np.random.default_rng(detection.pk).normal(size=model.dimension)
    Embedding.objects.create(detection=detection, model=model, vector=(vector / np.linalg.norm(vector)).tolist())


def activate(model: EmbeddingModel, **options) -> ModelActivation:
    activation = model_activate(model=model, acting_user=None)
    activation_run(activation_id=activation.pk, seconds=None, **options)
    activation.refresh_from_db()
    return activation


def serving() -> str:
    return EmbeddingModel.objects.get(state="active").name


def encoded_under(model: EmbeddingModel) -> set[int]:
    return set(Embedding.objects.filter(model=model).values_list("detection_id", flat=True))


@pytest.fixture
def meanwhile(monkeypatch):
    """Calls something with the model before each batch is encoded."""

    def install(change) -> None:
        real = engines.encode

        def encode(model, batch):
            change(model, batch)
            return real(model, batch)

        monkeypatch.setattr(engines, "encode", encode)

    return install


def test_a_model_is_active_at_once_where_there_is_no_photo(new) -> None:
    assert activate(new).state == "done"
    assert serving() == "new"


def test_every_coat_is_encoded_while_the_old_model_serves_and_then_the_new_one_does(coats, old, new, meanwhile) -> None:
    seen = []
    meanwhile(lambda model, batch: seen.append((model.name, len(batch), serving())))
    steps: list[tuple[int, int, str]] = []
    activation = activate(new, progress=lambda *step: steps.append(step))
    assert (activation.state, activation.done, activation.total) == ("done", 5, 5)
    assert seen == [("new", 5, "tiny")]
    assert steps[0] == (0, 5, "") and steps[-1] == (5, 5, "")
    assert serving() == "new" and activation.previous == old
    old.refresh_from_db()
    assert old.state == "retired"
    assert encoded_under(new) == encoded_under(old) == {coat.pk for coat in coats}
    norms = [np.linalg.norm(v) for v in Embedding.objects.filter(model=new).values_list("vector", flat=True)]
    assert norms == pytest.approx([1.0] * 5, abs=1e-5)


def test_a_coat_without_crop_and_people_are_left_out(coats, new) -> None:
    survey = coats[0].image.survey
    make_detection(make_image(survey), files=False)
    make_detection(make_image(survey), category="person")
    assert activate(new).total == 5
    assert encoded_under(new) == {coat.pk for coat in coats}


def test_the_switch_spares_what_people_said_and_makes_candidates_out_of_date(old, new) -> None:
    survey, animals = make_reviewable_survey(individuals=3, photos=3)
    user = make_user()
    match(user, animals[0][0], animals[0][1])
    match(user, animals[0][0], animals[1][0], Verdict.NO_MATCH)
    match(user, animals[2][0], animals[2][1])
    for group in animals:
        for detection in group:
            give_vector(detection, old)

    def said() -> list[list[dict]]:
        rows = (Decision, MatchEdge, Individual, Detection)
        return [list(model.objects.order_by("pk").values()) for model in rows]

    before = said()
    activate(new)
    assert said() == before
    survey.refresh_from_db()
    assert survey.matching_state == "stale"
    Survey.objects.update(matching_state="done")
    model_rollback(acting_user=None)
    assert said() == before
    survey.refresh_from_db()
    assert survey.matching_state == "stale" and serving() == "tiny"


def test_one_activation_at_a_time(coats, new, offline) -> None:
    model_activate(model=new, acting_user=None)
    with pytest.raises(SpotIDError, match="being activated"):
        model_activate(model=make_model(offline, "third", 3), acting_user=None)


def test_the_active_model_is_not_activated_again(coats, old) -> None:
    with pytest.raises(SpotIDError, match="active already"):
        model_activate(model=old, acting_user=None)


def test_what_the_active_model_lacks_is_filled_in(coats, old) -> None:
    Embedding.objects.filter(detection=coats[0]).delete()
    activation = activate(old)
    assert (activation.state, activation.filling) == ("done", True)
    assert encoded_under(old) == {coat.pk for coat in coats}
    with pytest.raises(SpotIDError, match="nothing to go back to"):
        model_rollback(acting_user=None)


def test_only_administrators_change_models(coats, new) -> None:
    curator = make_user()
    with pytest.raises(SpotIDError, match="administrators"):
        model_activate(model=new, acting_user=curator)
    with pytest.raises(SpotIDError, match="administrators"):
        model_rollback(acting_user=curator)
    administrator = make_user(superuser=True)
    activation = model_activate(model=new, acting_user=administrator)
    with pytest.raises(SpotIDError, match="administrators"):
        activation_cancel(activation=activation, acting_user=curator)
    entry = AuditEntry.objects.get(action="model.activate")
    assert entry.acting_user == administrator and entry.object_id == new.pk


def test_changed_weights_are_refused_and_the_old_model_goes_on(coats, new, offline) -> None:
    path = Path(offline.SPOTID_WEIGHTS_DIR) / new.weights_file
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(SpotIDError, match="SHA-256"):
        model_activate(model=new, acting_user=None)
    path.write_bytes(good)
    activation = model_activate(model=new, acting_user=None)
    path.write_bytes(good[:100])
    activation_run(activation_id=activation.pk)
    activation.refresh_from_db()
    assert activation.state == "failed" and "SHA-256" in activation.error
    assert serving() == "tiny"
    path.unlink()
    with pytest.raises(SpotIDError, match="not in the weights folder"):
        model_activate(model=new, acting_user=None)


def test_a_full_disk_is_told_before_anything_is_encoded(coats, new, monkeypatch) -> None:
    monkeypatch.setattr(service.shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000_000))
    with pytest.raises(SpotIDError, match="Make room"):
        model_activate(model=new, acting_user=None)
    assert not ModelActivation.objects.exists()


def test_a_coat_that_cannot_be_encoded_is_written_down_and_holds_nothing_up(coats, new, monkeypatch) -> None:
    real = engines.encode
    bad = media_path(coats[1].crop)
    from identification.inference.coats import load_coat

    pixels = load_coat(bad).crop

    def encode(model, batch):
        if any(np.array_equal(coat.crop, pixels) for coat in batch):
            raise EncodingError("photo 1 of this call gives no valid vector")
        return real(model, batch)

    monkeypatch.setattr(engines, "encode", encode)
    media_path(coats[2].crop).unlink()
    activation = activate(new)
    assert (activation.state, serving()) == ("done", "new")
    assert encoded_under(new) == {coats[0].pk, coats[3].pk, coats[4].pk}
    reasons = dict(EncodingFailure.objects.values_list("detection_id", "reason"))
    assert "no valid vector" in reasons[coats[1].pk] and "cannot be read" in reasons[coats[2].pk]


def test_a_model_under_which_most_coats_fail_does_not_take_over(coats, new) -> None:
    for coat in coats[:4]:
        media_path(coat.crop).unlink()
    activation = activate(new)
    assert (activation.state, serving()) == ("failed", "tiny")
    assert "4 of 5 coats cannot be encoded" in activation.error
    EmbeddingModel.objects.get(name="tiny")
    again = model_activate(model=new, acting_user=None)
    assert not EncodingFailure.objects.exists() and again.done == 1


class Killed(BaseException):
    """Nothing catches it: the process is gone."""


def test_a_killed_worker_s_work_is_gone_on_with(coats, new, meanwhile, monkeypatch) -> None:
    monkeypatch.setattr("identification.services.activation_run.BATCH", 2)
    done = []

    def die_at_the_second(model, batch) -> None:
        if len(done) == 1:
            done.append(0)
            raise Killed
        done.append(len(batch))

    meanwhile(die_at_the_second)
    activation = model_activate(model=new, acting_user=None)
    with pytest.raises(Killed):
        activation_run(activation_id=activation.pk)
    activation.refresh_from_db()
    assert (activation.state, activation.done, serving()) == ("running", 2, "tiny")
    assert not activation_run(activation_id=activation.pk), "its lease has not run out"
    host = activation.worker.rpartition(":")[0]
    ModelActivation.objects.update(worker=f"{host}:4194305")
    assert activation_expire() == 1
    assert activation_run(activation_id=activation.pk)
    activation.refresh_from_db()
    assert (activation.state, activation.done, serving()) == ("done", 5, "new")
    assert sum(done) == 5, "nothing was encoded twice"


def test_a_coat_that_kills_its_worker_is_left_out_in_the_end(coats, new, monkeypatch) -> None:
    real = engines.encode
    from identification.inference.coats import load_coat

    deadly = load_coat(media_path(coats[2].crop)).crop

    def encode(model, batch):
        if any(np.array_equal(coat.crop, deadly) for coat in batch):
            raise Killed
        return real(model, batch)

    monkeypatch.setattr(engines, "encode", encode)
    activation = model_activate(model=new, acting_user=None)
    host = service.this_worker().rpartition(":")[0]
    deaths = 0
    while ModelActivation.objects.filter(state__in=("pending", "running")).exists():
        try:
            activation_run(activation_id=activation.pk)
        except Killed:
            deaths += 1
            assert deaths < 8
            ModelActivation.objects.update(worker=f"{host}:4194305")
            activation_expire()
    activation.refresh_from_db()
    assert (activation.state, serving()) == ("done", "new")
    assert encoded_under(new) == {coat.pk for coat in coats if coat != coats[2]}
    assert EncodingFailure.objects.get().detection == coats[2]


def test_an_activation_that_always_dies_is_given_up(coats, new, meanwhile) -> None:
    def out_of_memory(model, batch) -> None:
        raise MemoryError("no memory left")

    meanwhile(out_of_memory)
    activation = model_activate(model=new, acting_user=None)
    while activation_run(activation_id=activation.pk):
        pass
    activation.refresh_from_db()
    assert (activation.state, serving()) == ("failed", "tiny")
    assert "MemoryError" in activation.error and activation.attempts == 3


def test_a_worker_that_was_overtaken_stores_nothing(coats, new, meanwhile) -> None:
    meanwhile(lambda model, batch: ModelActivation.objects.update(token=10**9))
    activate(new)
    assert not encoded_under(new) and serving() == "tiny"


def test_a_cancelled_activation_ends_and_keeps_what_is_encoded(coats, old, new, meanwhile, monkeypatch) -> None:
    monkeypatch.setattr("identification.services.activation_run.BATCH", 2)
    batches = []

    def cancel_at_the_second(model, batch) -> None:
        batches.append(len(batch))
        if len(batches) == 2:
            activation_cancel(activation=ModelActivation.objects.get(), acting_user=None)

    meanwhile(cancel_at_the_second)
    activation = activate(new)
    assert (activation.state, serving(), len(encoded_under(new))) == ("cancelled", "tiny", 2)
    with pytest.raises(SpotIDError, match="over"):
        activation_cancel(activation=activation, acting_user=None)
    assert activate(new).state == "done"
    assert sum(batches) == 2 + 2 + 3


def test_a_long_activation_gives_way_to_photos_and_goes_on(coats, new, monkeypatch) -> None:
    monkeypatch.setattr("identification.services.activation_run.BATCH", 2)
    activation = model_activate(model=new, acting_user=None)
    ticks = iter(range(1000))
    monkeypatch.setattr("identification.services.activation_run.time.monotonic", lambda: float(next(ticks)))
    states = []
    while activation_run(activation_id=activation.pk, seconds=1.5):
        activation.refresh_from_db()
        states.append((activation.state, activation.done, activation.attempts))
    assert states == [("pending", 2, 0), ("pending", 4, 0), ("pending", 5, 0), ("done", 5, 1)]


def test_a_photo_that_comes_in_meanwhile_is_encoded_before_the_switch(coats, old, new, meanwhile) -> None:
    late: list[Detection] = []

    def bring_one(model, batch) -> None:
        if not late:
            late.append(make_sighting(coats[0].image.survey, coat=9))

    meanwhile(bring_one)
    assert activate(new).total == 6
    assert late[0].pk in encoded_under(new)


def test_a_box_that_is_redrawn_while_it_is_encoded_keeps_no_vector_of_its_old_crop(coats, new, meanwhile) -> None:
    def redraw(model, batch) -> None:
        if len(batch) == 5:
            detection_redraw(acting_user=None, detection=coats[0], box=(10, 10, 200, 150))

    meanwhile(redraw)
    activate(new)
    assert serving() == "new"
    assert encoded_under(new) == {coat.pk for coat in coats[1:]}, "its photo is processed again, under the new model"


def test_retiring_is_for_models_that_do_not_serve(coats, old, new) -> None:
    with pytest.raises(SpotIDError, match="is active"):
        model_retire(model=old, acting_user=None)
    activation = model_activate(model=new, acting_user=None)
    with pytest.raises(SpotIDError, match="being activated"):
        model_retire(model=new, acting_user=None)
    activation_cancel(activation=activation, acting_user=None)
    assert model_retire(model=new, acting_user=None).state == "retired"
    assert activate(new).state == "done"
