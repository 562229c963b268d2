"""Switching models while photos are processed and surveys matched: real transactions, with the timings that hurt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction

from identification.inference import engines
from identification.inference.comparison import CoatSet
from identification.models import Candidate, Detection, Embedding, EmbeddingModel, ModelActivation, Survey, Work
from identification.services.activation import (
    activation_claim,
    activation_expire,
    model_activate,
    model_rollback,
    model_switch,
    models_hold,
)
from identification.services.activation_run import activation_run
from identification.services.matching_run import survey_match
from identification.services.processing import image_process
from tests.identification.factories import make_sighting, make_survey
from tests.identification.test_services_activation import encoded_under, give_vector, make_model, serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quiet_queue(monkeypatch) -> None:
    """Nobody listens to the queue here."""
    monkeypatch.setattr("django_q.tasks.async_task", lambda *args, **options: "")


@pytest.fixture
def new(tiny_model, offline) -> EmbeddingModel:
    return make_model(offline, "new", 2)


@pytest.fixture
def survey(tiny_model) -> Survey:
    survey = make_survey(matching_state="stale")
    for number in range(4):
        give_vector(make_sighting(survey, coat=number // 2), tiny_model)
    return survey


class Aside(threading.Thread):
    """A thread with a database connection of its own; `result` raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work, self.value, self.error = work, None, None

    def run(self) -> None:
        try:
            self.value = self.work()
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def result(self) -> Any:
        self.join(120)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.value


def started(work: Callable[[], Any]) -> Aside:
    aside = Aside(work)
    aside.start()
    return aside


def whole_activation(model: EmbeddingModel) -> None:
    activation = model_activate(model=model, acting_user=None)
    activation_run(activation_id=activation.pk, seconds=None)


def waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        return cursor.fetchone()[0] > 0


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_switch_waits_for_who_stores_vectors_and_then_sees_the_photo(survey, tiny_model, new) -> None:
    """A coat that is stored under the old model in the very moment of the switch is not lost between the two."""
    activation = model_activate(model=new, acting_user=None)
    claim = activation_claim(activation_id=activation.pk)
    assert claim is not None
    for detection in Detection.objects.all():
        give_vector(detection, new)
    with transaction.atomic():
        models_hold()
        late = make_sighting(survey, coat=8)
        give_vector(late, tiny_model)
        switching = started(lambda: model_switch(claim=claim))
        wait_until(waiting_for_a_lock)
        assert serving() == "tiny"
    assert switching.result() is False, "the late coat has no vector under the new model"
    assert serving() == "tiny"
    give_vector(late, new)
    assert model_switch(claim=claim) is True
    assert serving() == "new"


def test_a_photo_whose_model_is_switched_under_it_is_encoded_under_the_new_one_too(
    survey, tiny_model, new, monkeypatch, tmp_path
) -> None:
    image = make_sighting(survey, coat=5).image
    Work.objects.filter(pk=image.pk).update(state="pending", attempts=0)
    monkeypatch.setattr("identification.services.processing._STAGES", _only_embedding())
    real, switched = engines.encode, []

    def encode(model, coats):
        vectors = real(model, coats)
        if model == tiny_model and not switched:
            switched.append(True)
            # As if it had been cropped after the activation looked for the last time.
            crops = dict(Detection.objects.filter(image=image).values_list("pk", "crop"))
            Detection.objects.filter(image=image).update(crop="")
            started(lambda: whole_activation(new)).result()
            for pk, crop in crops.items():
                Detection.objects.filter(pk=pk).update(crop=crop)
        return vectors

    monkeypatch.setattr(engines, "encode", encode)
    assert image_process(image_id=image.pk)
    assert serving() == "new" and switched
    assert Work.objects.get(pk=image.pk).state == "done"
    assert image.detections.get().pk in encoded_under(new)


def _only_embedding() -> Any:
    from identification.models import ProcessingStage
    from identification.services import stages

    def find(claim: Any, context: Any) -> None:
        context.detections = list(context.image.detections.all())

    return ((ProcessingStage.DETECT, find), (ProcessingStage.EMBED, stages.embed))


def test_photos_processed_while_models_change_all_have_a_vector_of_the_active_one(
    survey, tiny_model, new, monkeypatch
) -> None:
    """Two threads: one processes photos all the time, the other activates, goes back, and activates again."""
    monkeypatch.setattr("identification.services.processing._STAGES", _only_embedding())
    over = threading.Event()

    def process() -> int:
        count = 0
        while not over.is_set() or count < 6:
            image = make_sighting(survey, coat=count % 5).image
            Work.objects.filter(pk=image.pk).update(state="pending", attempts=0)
            assert image_process(image_id=image.pk)
            count += 1
        return count

    processing = started(process)
    whole_activation(new)
    filling = model_rollback(acting_user=None)
    activation_run(activation_id=filling.pk, seconds=None)
    whole_activation(new)
    over.set()
    assert processing.result() >= 6
    assert serving() == "new"
    assert encoded_under(new) == set(Detection.objects.values_list("pk", flat=True))
    assert set(Work.objects.values_list("state", flat=True)) == {"done"}
    states = set(ModelActivation.objects.values_list("state", flat=True))
    assert states == {"done"}


def _switch_at_the_first_pair(monkeypatch, change: Callable[[], None]) -> list[bool]:
    real, done = CoatSet.compare, []

    def compare(self, i, j):
        if not done:
            done.append(True)
            started(change).result()
        return real(self, i, j)

    monkeypatch.setattr(CoatSet, "compare", compare)
    return done


@pytest.mark.parametrize("back", [False, True])
def test_candidates_of_a_run_that_a_switch_overtook_are_not_stored(survey, new, monkeypatch, back) -> None:
    assert survey_match(survey_id=survey.pk)
    before = list(Candidate.objects.order_by("pk").values())
    assert before
    if back:
        whole_activation(new)
    Survey.objects.update(matching_state="stale", matching_attempts=0)
    change = (lambda: model_rollback(acting_user=None)) if back else (lambda: whole_activation(new))
    done = _switch_at_the_first_pair(monkeypatch, change)
    assert survey_match(survey_id=survey.pk)
    assert done
    assert list(Candidate.objects.order_by("pk").values()) == before
    survey.refresh_from_db()
    assert survey.matching_state == "stale"
    assert survey_match(survey_id=survey.pk)
    survey.refresh_from_db()
    assert survey.matching_state == "done"
    _check_similarities(EmbeddingModel.objects.get(state="active"))


def _check_similarities(model: EmbeddingModel) -> None:
    """Every candidate's similarity is the cosine of two vectors of this one model."""
    vectors = {
        pk: np.asarray(vector, float)
        for pk, vector in Embedding.objects.filter(model=model).values_list("detection_id", "vector")
    }
    candidates = list(Candidate.objects.all())
    assert candidates
    for candidate in candidates:
        expected = vectors[candidate.anchor_id] @ vectors[candidate.detection_id]
        assert candidate.similarity == pytest.approx(expected, abs=1e-5)


def test_two_activations_asked_for_at_once_are_one(survey, new, offline) -> None:
    third = make_model(offline, "third", 3)
    asked = [started(lambda model=model: model_activate(model=model, acting_user=None)) for model in (new, third)]
    outcomes = []
    for one in asked:
        try:
            one.result()
            outcomes.append("open")
        except Exception as error:
            outcomes.append(str(error))
    assert sorted(outcomes)[1] == "open" and "being activated" in sorted(outcomes)[0]
    assert ModelActivation.objects.count() == 1


def test_two_workers_at_one_activation_encode_once(survey, new, monkeypatch) -> None:
    activation = model_activate(model=new, acting_user=None)
    real, counted = engines.encode, []

    def encode(model, coats):
        counted.append(len(coats))
        time.sleep(0.2)
        return real(model, coats)

    monkeypatch.setattr(engines, "encode", encode)
    both = [started(lambda: activation_run(activation_id=activation.pk)) for _ in range(2)]
    assert sorted(one.result() for one in both) == [False, True]
    assert counted == [4] and serving() == "new"


def test_an_index_that_a_backup_holds_up_is_made_later_and_holds_nothing_up(survey, new, monkeypatch) -> None:
    def indexes() -> list[tuple[str, bool]]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "WHERE c.relname = %s",
                [f"embedding_hnsw_model_{new.pk}"],
            )
            return cursor.fetchall()

    ready, over = threading.Event(), threading.Event()

    def backup() -> None:
        with transaction.atomic():
            Embedding.objects.count()
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE identification_embedding IN SHARE UPDATE EXCLUSIVE MODE")
            ready.set()
            over.wait(60)

    holding = started(backup)
    ready.wait(30)
    real = engines.connection.cursor

    class Impatient:
        """The same cursor, which waits a tenth of a second instead of thirty."""

        def __init__(self) -> None:
            self.cursor = real()

        def __enter__(self) -> Any:
            inner = self.cursor.__enter__()
            execute = inner.execute
            inner.execute = lambda said, *more: execute(said.replace("'30s'", "'100ms'"), *more)
            return inner

        def __exit__(self, *error: Any) -> None:
            self.cursor.__exit__(*error)

    with monkeypatch.context() as patched:
        patched.setattr(engines.connection, "cursor", Impatient)
        engines.create_vector_index(new)
    assert not any(valid for _, valid in indexes())
    over.set()
    holding.result()
    whole_activation(new)
    assert indexes() == [(f"embedding_hnsw_model_{new.pk}", True)] and serving() == "new"


@pytest.fixture
def environment(settings, offline) -> dict[str, str]:
    database = connection.settings_dict
    login = f"{database['USER']}:{database['PASSWORD']}@" if database["PASSWORD"] else f"{database['USER']}@"
    home = Path(settings.SPOTID_HOME)
    settings.MEDIA_ROOT = home / "media"
    return {
        **os.environ,
        "DATABASE_URL": f"postgres://{login}{database['HOST']}:{database['PORT']}/{database['NAME']}",
        "SPOTID_SECRET_KEY": django_settings.SECRET_KEY,
        "SPOTID_HOME": str(home),
        "SPOTID_OFFLINE": "1",
    }


@pytest.fixture
def worker(environment, tmp_path) -> Iterator[Callable[[int], subprocess.Popen]]:
    """A process that works on an activation, a coat at a time, slowly."""
    code = (
        "import sys, time, django; django.setup();"
        "from identification.services import activation_run as room;"
        "room.BATCH = 1; real = room.engines.encode;"
        "room.engines.encode = lambda *said: (time.sleep(0.4), real(*said))[1];"
        "room.activation_run(activation_id=int(sys.argv[1]), seconds=None)"
    )
    processes: list[subprocess.Popen] = []

    def start(activation: int) -> subprocess.Popen:
        environment["DJANGO_SETTINGS_MODULE"] = "spotid_site.settings"
        command = [sys.executable, "-c", code, str(activation)]
        processes.append(subprocess.Popen(command, cwd=django_settings.BASE_DIR, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.cluster
@pytest.mark.skipif(os.name == "nt", reason="kills processes by POSIX signals")
def test_a_worker_that_is_killed_while_it_encodes_is_replaced_by_the_next(environment, tiny_model, new, worker) -> None:
    survey = make_survey()
    for number in range(6):
        give_vector(make_sighting(survey, coat=number), tiny_model)
    activation = model_activate(model=new, acting_user=None)
    first = worker(activation.pk)
    wait_until(lambda: 2 <= Embedding.objects.filter(model=new).count() < 6, 240)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    kept = set(Embedding.objects.filter(model=new).values_list("pk", flat=True))
    assert 2 <= len(kept) < 6 and serving() == "tiny"
    assert activation_expire() == 1
    assert worker(activation.pk).wait(240) == 0
    activation.refresh_from_db()
    assert (activation.state, serving()) == ("done", "new")
    assert kept < set(Embedding.objects.filter(model=new).values_list("pk", flat=True))
    assert Embedding.objects.filter(model=new).count() == 6
