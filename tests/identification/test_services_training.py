"""What can be trained on, and the state of a training: asked for, claimed, cancelled, resumed, taken over."""

from __future__ import annotations

import os

import numpy as np
import pytest
from django.db import connection
from django_q.models import OrmQ

from identification.checks import TRAINING_CLUSTER
from identification.errors import SpotIDError
from identification.models import AuditEntry, Detection, EmbeddingModel, Individual, TrainingRun
from identification.selectors.training import network_settings, startable_models, training_age, training_progress
from identification.selectors.training_set import training_set
from identification.services import training as state
from identification.services.reconcile import reconcile
from identification.services.work import LeaseLost
from tests.identification import factories
from tests.identification.factories import make_detection, make_population, make_user, match
from tests.identification.training_set import TINY, make_confirmed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick_pictures(monkeypatch):
    """One picture for all: what is on it plays no part here."""
    crops, frame = factories.crop_files(0, 0), factories.frame_pixels(0)
    jpeg = factories.jpeg(np.zeros((8, 8, 3), "u1"))
    monkeypatch.setattr(factories, "crop_files", lambda coat, view: crops)
    monkeypatch.setattr(factories, "frame_pixels", lambda number: frame)
    monkeypatch.setattr(factories, "jpeg", lambda pixels: jpeg)


@pytest.fixture
def population(offline):
    return make_confirmed()[0].population


def request(population, **values):
    chosen = {"start_model": None, "config": TINY, "acting_user": None, "enqueue": False, **values}
    return state.training_request(population=population, **chosen)


def model(**values) -> EmbeddingModel:
    config = {
        "backbone": "resnet18", "in_channels": 4, "width": 64, "height": 32, "dimension": 16,
        "mean": [0.1, 0.2, 0.3, 0.4], "std": [0.5, 0.6, 0.7, 0.8], "pipeline": "crop_rgb_edges",
    }  # fmt: skip
    row = {
        "name": "m", "architecture": "resnet18", "dimension": 16, "weights_file": "w", "checksum": "a" * 64,
        "trained": True, "config": config,
    }  # fmt: skip
    return EmbeddingModel.objects.create(**{**row, **values})


class TestTheTrainingSet:
    def test_without_decisions_there_is_nothing_to_learn_from(self) -> None:
        photos = training_set(make_population())
        assert (photos.rows, photos.individuals, photos.repeated) == ((), 0, 0)
        said = " ".join(photos.refusals())
        assert "8 individuals" in said and "there are 0" in said and "24 usable photos" in said

    def test_each_flank_of_an_animal_is_an_identity_of_its_own(self) -> None:
        survey, animals = make_confirmed(individuals=2, photos=3)
        left, unknown, right = animals[0]
        Detection.objects.filter(pk=left.pk).update(flank="left")
        Detection.objects.filter(pk=unknown.pk).update(flank="unknown")
        rows = {row.detection: row for row in training_set(survey.population).rows}
        assert len(rows) == 6
        assert len({rows[one.pk].individual for one in animals[0]}) == 1
        assert len({rows[one.pk].identity for one in animals[0]}) == 3
        assert len({rows[one.pk].identity for one in animals[1]}) == 1
        assert rows[right.pk].event is not None and rows[right.pk].crop

    def test_what_is_not_confirmed_or_not_usable_is_left_out(self) -> None:
        survey, animals = make_confirmed(individuals=2, photos=3)
        stranger = make_detection(animals[0][0].image, coat=9, box=(0.0, 0.0, 30.0, 30.0))
        Detection.objects.filter(pk=animals[0][1].pk).update(usable=False)
        Detection.objects.filter(pk=animals[1][1].pk).update(crop="")
        photos = training_set(survey.population)
        assert {row.detection for row in photos.rows} == {
            one.pk for number in (0, 1) for index, one in enumerate(animals[number]) if index != 1
        }
        assert stranger.pk not in {row.detection for row in photos.rows}
        assert photos.unusable == 2

    def test_an_animal_whose_decisions_contradict_each_other_is_left_out(self) -> None:
        survey, animals = make_confirmed(individuals=3, photos=3)
        match(None, animals[0][1], animals[0][2], "no_match", confirm=True)
        photos = training_set(survey.population)
        assert {row.detection for row in photos.rows} == {one.pk for own in animals[1:] for one in own}
        assert photos.contradictory == 1
        assert any("contradict" in sentence for sentence in photos.warnings())

    def test_two_boxes_of_one_photo_are_never_one_animal(self) -> None:
        survey, animals = make_confirmed(individuals=2, photos=2)
        beside = make_detection(animals[0][0].image, coat=0, box=(0.0, 0.0, 90.0, 60.0))
        Detection.objects.filter(pk=beside.pk).update(individual=Individual.objects.get(detections=animals[0][0]))
        connection.check_constraints()
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO identification_matchedge (a_id, b_id, verdict, provenance, version, updated_at) "
                "VALUES (%s, %s, 'match', 'imported', 1, now())",
                sorted([animals[0][1].pk, beside.pk]),
            )
        photos = training_set(survey.population)
        assert {row.detection for row in photos.rows} == {one.pk for one in animals[1]}

    def test_other_populations_play_no_part(self) -> None:
        survey, _ = make_confirmed(individuals=2)
        make_confirmed(individuals=2)
        assert len(training_set(survey.population).rows) == 6

    def test_unknown_and_one_sided_flanks_are_warned_of(self) -> None:
        survey, _ = make_confirmed(individuals=4, photos=2)
        said = " ".join(training_set(survey.population).warnings())
        assert "Every photo shows the right flank" in said and "4 individuals" in said
        survey, animals = make_confirmed(individuals=4, photos=2, flanks=("left", "right"))
        said = " ".join(training_set(survey.population).warnings())
        assert "4 of 4 individuals are known from one side only" in said
        Detection.objects.filter(pk=animals[0][0].pk).update(flank="unknown")
        assert "The flank of 1 photo of 8 is unknown" in " ".join(training_set(survey.population).warnings())

    def test_photos_without_an_event_are_warned_of(self) -> None:
        survey, animals = make_confirmed(individuals=2, photos=2)
        animals[0][0].image.event = None
        animals[0][0].image.save()
        assert any("1 photo belong" in sentence for sentence in training_set(survey.population).warnings())


class TestAsking:
    def test_too_little_is_refused_with_the_numbers(self, offline) -> None:
        survey, _ = make_confirmed(individuals=3, photos=2)
        with pytest.raises(SpotIDError, match=r"8 individuals.*there are 3.*24 usable photos.*there are 6"):
            request(survey.population)
        assert not TrainingRun.objects.exists()

    def test_nothing_to_learn_from_is_said_once(self) -> None:
        plan = state.training_plan(population=make_population(), start_model=None, config={})
        assert len(plan.refusals) == 2 and plan.warnings == ()

    def test_a_full_disk_is_refused_with_the_numbers(self, population, monkeypatch) -> None:
        monkeypatch.setattr(state.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10_000_000})())
        with pytest.raises(SpotIDError, match=r"needs about \d\.\d GB .* has 0\.0 GB left"):
            request(population)

    def test_a_second_one_is_refused_while_one_is_open(self, population) -> None:
        first = request(population)
        with pytest.raises(SpotIDError, match=f"going on already .number {first.pk}"):
            request(population)
        state.training_cancel(run=first, acting_user=None)
        assert request(population).pk != first.pk

    def test_only_administrators_may(self, population) -> None:
        with pytest.raises(SpotIDError, match="administrators"):
            request(population, acting_user=make_user())
        boss = make_user(superuser=True)
        run = request(population, acting_user=boss)
        assert run.requested_by == boss
        assert AuditEntry.objects.get(action="training.request").acting_user == boss
        for act in (state.training_cancel, state.training_resume):
            with pytest.raises(SpotIDError, match="administrators"):
                act(run=run, acting_user=make_user())

    def test_warnings_are_kept_and_the_folder_is_its_own(self, population) -> None:
        run = request(population)
        assert any("right flank" in sentence for sentence in run.warnings)
        assert any("About 2 individuals would be measured on; at least 6" in sentence for sentence in run.warnings)
        assert run.folder == f"training/{run.pk}"

    def test_it_is_queued_on_its_own_queue_once(self, population, django_capture_on_commit_callbacks) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            run = request(population, enqueue=True)
        (entry,) = OrmQ.objects.all()
        assert (entry.key, entry.task["args"], entry.task["cluster"]) == (TRAINING_CLUSTER, (run.pk,), TRAINING_CLUSTER)
        with django_capture_on_commit_callbacks(execute=True):
            state.training_enqueue(run_id=run.pk)
        assert OrmQ.objects.count() == 1

    def test_what_a_network_decides_is_taken_from_the_one_it_begins_from(self, population) -> None:
        start = model()
        run = request(population, start_model=start, config={**TINY, "backbone": "else", "dimension": 99})
        assert (run.config["backbone"], run.config["dimension"]) == ("resnet18", 16)
        assert (run.config["rgb_mean"], run.config["edge_std"]) == ([0.1, 0.2, 0.3], [0.8])
        assert run.config["epochs"] == 2
        assert "Taken over from m: backbone resnet18, dimension 16" in run.warnings[-1]

    def test_a_published_network_can_be_begun_from_at_any_size(self, population) -> None:
        assert startable_models() == []
        model(name="random", trained=False)
        published = model(name="published", trained=False, card={"training_data": "ImageNet-1k"})
        trained = model(name="trained", checksum="c" * 64)
        model(name="vlad", config={"kind": "rootsift-vlad"})
        assert startable_models() == [trained, published]
        run = request(population, start_model=published, config={**TINY, "width": 128})
        assert (run.config["backbone"], run.config["width"], run.config["dimension"]) == ("resnet18", 128, 16)
        assert not any("random numbers" in sentence for sentence in run.warnings)

    def test_what_is_no_network_cannot_be_begun_from(self, population) -> None:
        with pytest.raises(SpotIDError, match="no network"):
            request(population, start_model=model(config={"kind": "rootsift-vlad"}))
        assert network_settings(model(name="edges", config={
            "backbone": "x", "in_channels": 1, "width": 1, "height": 1, "dimension": 1, "mean": [0.4], "std": [0.2],
            "pipeline": "edges",
        })) == {
            "backbone": "x", "width": 1, "height": 1, "dimension": 1, "pipeline": "edges",
            "edge_mean": [0.4], "edge_std": [0.2],
        }  # fmt: skip


class TestClaims:
    def test_it_is_claimed_once_and_the_attempt_counts_at_once(self, population) -> None:
        run = request(population)
        claim = state.training_claim(run_id=run.pk)
        assert claim is not None and state.training_claim(run_id=run.pk) is None
        run.refresh_from_db()
        assert (run.state, run.attempts) == ("running", 1) and run.lease_until and run.started_at

    def test_a_late_write_is_refused(self, population) -> None:
        run = request(population)
        old = state.training_claim(run_id=run.pk)
        TrainingRun.objects.update(lease_until="2000-01-01T00:00Z")
        new = state.training_claim(run_id=run.pk)
        assert new is not None and old is not None
        for late in (
            lambda: state.training_renew(claim=old, progress=0.5),
            lambda: state.training_stop(claim=old, cancelled=True),
            lambda: state.training_fail(claim=old, reason="late", final=True),
        ):
            with pytest.raises(LeaseLost):
                late()
        state.training_renew(claim=new, progress=0.5, stage="Epoch 1")
        run.refresh_from_db()
        assert (run.progress, run.stage, run.state) == (0.5, "Epoch 1", "running")

    def test_a_finished_epoch_clears_the_count_of_attempts(self, population) -> None:
        run = request(population)
        claim = state.training_claim(run_id=run.pk)
        TrainingRun.objects.update(attempts=3)
        state.training_renew(claim=claim, epoch=1)
        assert TrainingRun.objects.get().attempts == 1
        TrainingRun.objects.update(attempts=3)
        state.training_renew(claim=claim, epoch=1)
        assert TrainingRun.objects.get().attempts == 3

    def test_a_dead_process_is_found_and_the_run_waits_again(
        self, population, django_capture_on_commit_callbacks
    ) -> None:
        run = request(population)
        state.training_claim(run_id=run.pk)
        host = TrainingRun.objects.get().worker.rpartition(":")[0]
        TrainingRun.objects.update(worker=f"{host}:{_dead_process()}")
        with django_capture_on_commit_callbacks(execute=True):
            assert reconcile().trainings == 1
        run.refresh_from_db()
        assert (run.state, run.attempts, run.worker) == ("pending", 1, "")
        # What was decided asks for a calibration besides, on the other queue.
        waiting = OrmQ.objects.filter(key=TRAINING_CLUSTER)
        assert waiting.count() == 1
        with django_capture_on_commit_callbacks(execute=True):
            assert reconcile().trainings == 0
        assert waiting.count() == 1

    def test_one_that_dies_again_and_again_is_given_up_and_can_be_resumed(self, population) -> None:
        run = request(population)
        for _ in range(3):
            assert state.training_claim(run_id=run.pk) is not None
            TrainingRun.objects.update(lease_until="2000-01-01T00:00Z")
            assert state.training_expire() == 1
        run.refresh_from_db()
        assert run.state == "failed" and "died 3 times" in run.error
        assert state.training_claim(run_id=run.pk) is None
        run = state.training_resume(run=run, acting_user=None, enqueue=False)
        assert (run.state, run.attempts, run.error) == ("pending", 0, "")
        assert state.training_claim(run_id=run.pk) is not None

    def test_photos_on_the_main_queue_do_not_hide_a_training_that_waits(
        self, population, django_capture_on_commit_callbacks
    ) -> None:
        from django_q.tasks import async_task

        request(population)
        async_task("identification.tasks.process_batch", [1], group="process")
        with django_capture_on_commit_callbacks(execute=True):
            reconcile()
        assert set(OrmQ.objects.values_list("key", flat=True)) == {"spotid", TRAINING_CLUSTER}


class TestCancelling:
    def test_one_that_waits_ends_at_once(self, population) -> None:
        run = state.training_cancel(run=request(population), acting_user=make_user(superuser=True))
        assert run.state == "cancelled"
        assert AuditEntry.objects.filter(action="training.cancel", object_id=run.pk).exists()
        with pytest.raises(SpotIDError, match="over: cancelled"):
            state.training_cancel(run=run, acting_user=None)

    def test_one_that_runs_hears_it_at_its_next_word(self, population) -> None:
        run = request(population)
        claim = state.training_claim(run_id=run.pk)
        assert state.training_renew(claim=claim, stage="Epoch 1") is False
        state.training_cancel(run=run, acting_user=None)
        assert state.training_renew(claim=claim, stage="Epoch 2") is True
        assert TrainingRun.objects.get().stage == "Stopping"
        state.training_stop(claim=claim, cancelled=True)
        run.refresh_from_db()
        assert (run.state, run.attempts, run.cancel_requested) == ("cancelled", 0, False)
        assert run.finished_at and training_age(run) == (run.finished_at - run.started_at).total_seconds()
        assert state.training_resume(run=run, acting_user=None, enqueue=False).finished_at is None

    def test_one_whose_process_died_while_it_was_to_stop_is_cancelled(self, population) -> None:
        run = request(population)
        state.training_claim(run_id=run.pk)
        state.training_cancel(run=run, acting_user=None)
        TrainingRun.objects.update(lease_until="2000-01-01T00:00Z")
        state.training_expire()
        run.refresh_from_db()
        assert run.state == "cancelled" and run.finished_at

    def test_it_is_not_resumed_on_a_full_disk(self, population, monkeypatch) -> None:
        run = state.training_cancel(run=request(population), acting_user=None)
        assert run.finished_at
        monkeypatch.setattr(state.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10_000_000})())
        with pytest.raises(SpotIDError, match="GB left"):
            state.training_resume(run=run, acting_user=None)
        assert TrainingRun.objects.get().state == "cancelled"

    def test_only_what_is_over_can_be_resumed_and_not_beside_another(self, population) -> None:
        run = request(population)
        with pytest.raises(SpotIDError, match="this one is waiting"):
            state.training_resume(run=run, acting_user=None)
        state.training_cancel(run=run, acting_user=None)
        request(population)
        with pytest.raises(SpotIDError, match="Another training"):
            state.training_resume(run=run, acting_user=None)


def test_the_time_left_is_told_from_the_last_epochs(population) -> None:
    run = request(population)
    run.state, run.epoch, run.epochs = "running", 3, 10
    run.history = [{"epoch": 0, "seconds": 0.0}, {"epoch": 1, "seconds": 10.0}, {"epoch": 2, "seconds": 20.0}]
    assert training_progress(run)["seconds_left"] == 120
    run.progress = 0.9
    assert training_progress(run)["seconds_left"] is None, "epochs are over; how long measuring takes is not known"
    run.progress = 0.2
    run.history = []
    assert training_progress(run)["seconds_left"] is None


def _dead_process() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
