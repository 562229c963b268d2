"""One training from confirmed individuals to a candidate; interrupted, killed, resumed. No decision changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from identification.models import Decision, EmbeddingModel, Individual, MatchEdge, ModelActivation, TrainingRun
from identification.services.reconcile import reconcile
from identification.services.training import training_cancel, training_request, training_resume
from identification.services.training_run import training_run
from identification.services.work import stopping_announce, stopping_withdraw
from tests.identification.training_set import TINY, few_pictures, make_confirmed
from tests.identification.worker_process import wait_until, worker_environment


def request(population, **config):
    return training_request(
        population=population, start_model=None, config={**TINY, **config}, acting_user=None, enqueue=False
    )


def what_people_said():
    return [list(rows.objects.order_by("pk").values()) for rows in (Decision, MatchEdge, Individual)]


@pytest.fixture
def survey(tiny_model, settings, monkeypatch):
    few_pictures(monkeypatch)
    # Another process finds its media below its home.
    settings.MEDIA_ROOT = Path(settings.SPOTID_HOME) / "media"
    return make_confirmed(flanks=("left", "right"))[0]


@pytest.mark.django_db
def test_a_training_ends_in_a_candidate_with_its_report_and_changes_nothing_else(survey, tiny_model, settings) -> None:
    before = what_people_said()
    run = request(survey.population)
    told = []
    assert training_run(run_id=run.pk, progress=lambda done, total, what: told.append((done, what)))
    run.refresh_from_db()
    assert (run.state, run.error) == ("done", "")
    candidate = run.candidate
    assert (candidate.state, candidate.trained, candidate.dimension) == ("candidate", True, 16)
    assert (Path(settings.SPOTID_WEIGHTS_DIR) / candidate.weights_file).is_file()
    assert EmbeddingModel.objects.get(state="active") == tiny_model and not ModelActivation.objects.exists()
    assert what_people_said() == before

    parts = run.outcome["parts"]
    assert {part: counts["individuals"] for part, counts in parts.items()} == {"train": 4, "validation": 2, "test": 2}
    assert sum(counts["photos"] for counts in parts.values()) == 24
    assert len(run.outcome["comparisons"]) == 2 and any("untrained" in name for name in run.outcome["comparisons"])
    assert any(name.startswith("tiny") for name in run.outcome["comparisons"])
    assert run.outcome["advice"] == "no measurable difference", "two individuals cannot tell"
    assert [row["epoch"] for row in run.history] == [0, 1, 2] and run.progress == 1
    assert told[0][0] <= told[-1][0] and any("Measuring" in what for _, what in told)

    report = Path(settings.SPOTID_HOME) / run.outcome["report"]
    page = report.read_text(encoding="utf-8")
    assert candidate.report == run.outcome["report"] and "<script" not in page and "untrained" in page
    card = json.dumps(candidate.card)
    assert "24 photos" not in card and "12 photos of 4 individuals" in card
    assert not any(place in card + page for place in ("ST01", "/nowhere", "latitude"))


@pytest.mark.django_db
def test_a_second_training_begins_from_the_first_and_learns_from_none_that_was_measured_on(survey) -> None:
    parts, candidate = {}, None
    for seed in (0, 7):
        run = training_request(
            population=survey.population,
            start_model=candidate,
            config={**TINY, "epochs": 1, "seed": seed},
            acting_user=None,
            enqueue=False,
        )
        training_run(run_id=run.pk)
        run.refresh_from_db()
        kept = json.loads((Path(django_settings.SPOTID_HOME) / f"training/{run.pk}/photos.json").read_text())
        parts[seed] = {part: sorted(row["detection"] for row in rows) for part, rows in kept.items()}
        if seed == 0:
            candidate = run.candidate
            make_confirmed(individuals=4, population=survey.population)
    assert set(parts[0]["test"]) <= set(parts[7]["test"]) and set(parts[0]["train"]) <= set(parts[7]["train"])
    assert sum(len(rows) for rows in parts[7].values()) == 36
    assert run.candidate.parent == candidate and run.candidate != candidate
    assert any("where the training began" in name for name in run.outcome["comparisons"])
    assert run.candidate.config == candidate.config


@pytest.mark.django_db
def test_a_cancelled_training_is_resumed_with_the_photos_it_began_with(survey) -> None:
    run = request(survey.population)

    def cancel(done: int, total: int, what: str) -> None:
        if "epoch 1" in what.lower() and not TrainingRun.objects.get().cancel_requested:
            training_cancel(run=run, acting_user=None)

    training_run(run_id=run.pk, progress=cancel)
    run.refresh_from_db()
    assert (run.state, run.attempts, run.candidate) == ("cancelled", 0, None)
    assert not EmbeddingModel.objects.filter(state="candidate").exists()
    make_confirmed(individuals=2, population=survey.population)
    training_resume(run=run, acting_user=None, enqueue=False)
    training_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "done" and sum(part["photos"] for part in run.outcome["parts"].values()) == 24


@pytest.mark.django_db
def test_a_worker_that_is_told_to_stop_gives_the_training_back(survey) -> None:
    run = request(survey.population)
    stopping_announce()
    try:
        training_run(run_id=run.pk)
        run.refresh_from_db()
        assert (run.state, run.attempts, run.worker) == ("pending", 0, "")
    finally:
        stopping_withdraw()


@pytest.mark.django_db
def test_one_that_is_taken_over_while_it_stops_says_nothing(survey) -> None:
    run = request(survey.population)

    def taken_over() -> bool:
        TrainingRun.objects.update(token=0)
        return True

    assert training_run(run_id=run.pk, interrupted=taken_over)
    run.refresh_from_db()
    assert (run.state, run.error) == ("running", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("config", "said"),
    [({"backbone": "no_such_network"}, "no_such_network"), ({"epochs": 0}, "epochs")],
)
def test_settings_that_make_no_network_end_it_with_the_reason(survey, config, said) -> None:
    run = request(survey.population, **config)
    training_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "failed" and said in run.error
    assert not EmbeddingModel.objects.filter(state="candidate").exists()


@pytest.mark.django_db
def test_a_full_disk_ends_it_with_the_reason(survey, monkeypatch) -> None:
    import errno

    from identification.inference import training as learning

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(learning, "write_parts", full)
    run = request(survey.population)
    training_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "failed" and "disk is full" in run.error and run.attempts == 1


class TestTheCommand:
    pytestmark = pytest.mark.django_db

    def test_it_prints_the_comparison_the_advice_and_the_report(self, survey, tmp_path, capsys) -> None:
        config = tmp_path / "train.toml"
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in TINY.items()))
        call_command("retrain", population=survey.population.name, config=config, epochs=1)
        said = capsys.readouterr().out
        run = TrainingRun.objects.get()
        assert run.epochs == 1 and run.state == "done"
        for part in ("24 photos of 8 individuals", "Advice: no measurable difference", "report.html", "(not active)"):
            assert part in said

    def test_a_failure_that_is_tried_again_says_that_the_worker_goes_on(self, survey, tmp_path, monkeypatch) -> None:
        from identification.inference import training as learning

        def fails(*args: object) -> None:
            raise RuntimeError("no luck")

        monkeypatch.setattr(learning, "write_parts", fails)
        with pytest.raises(CommandError, match=r"no luck.*goes on in the training worker"):
            call_command("retrain", population=survey.population.name, epochs=1)
        assert TrainingRun.objects.get().state == "pending"

    def test_what_is_wrong_is_said_before_anything_is_begun(self, survey, tmp_path) -> None:
        for options, message in (
            ({"population": "Nowhere"}, "no population named"),
            ({"population": survey.population.name, "start": "none"}, "no model named"),
            ({"population": survey.population.name, "config": tmp_path / "none.toml"}, "cannot be read"),
            ({"population": survey.population.name, "epochs": 0}, "epochs"),
            ({"resume": 0}, "no such training"),
        ):
            with pytest.raises(CommandError, match=message):
                call_command("retrain", **options)
        assert not TrainingRun.objects.exists()


@pytest.mark.cluster
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(os.name == "nt", reason="kills a process by a POSIX signal")
def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_weights(survey) -> None:
    run = request(survey.population, epochs=5)
    before = what_people_said()
    code = (
        "import time, django; django.setup();"
        "from identification.services import training_run as training; training._TELL_SECONDS = 0;"
        f"training.training_run(run_id={run.pk}, progress=lambda *told: time.sleep(0.2))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=django_settings.BASE_DIR, env=worker_environment())
    try:
        end = time.monotonic() + 300
        while TrainingRun.objects.get().epoch < 3:
            assert time.monotonic() < end and process.poll() is None, TrainingRun.objects.values()
            time.sleep(0.02)
        assert TrainingRun.objects.get().state == "running", "it was too quick to be killed"
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert reconcile().trainings == 1
    run.refresh_from_db()
    assert run.state == "pending"
    assert list((Path(django_settings.SPOTID_HOME) / run.folder / "run").glob("checkpoint*"))
    assert training_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "done"
    whole = request(survey.population, epochs=5)
    training_run(run_id=whole.pk)
    whole.refresh_from_db()
    assert whole.candidate.checksum == run.candidate.checksum
    assert what_people_said() == before


@pytest.mark.cluster
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(os.name == "nt", reason="interrupts a process by a POSIX signal")
def test_the_command_is_left_with_ctrl_c_and_says_how_to_go_on(survey, tmp_path) -> None:
    config = tmp_path / "train.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in {**TINY, "epochs": 5000}.items()))
    command = [sys.executable, "manage.py", "retrain", "--population", survey.population.name, "--config", str(config)]
    process = subprocess.Popen(
        command, cwd=django_settings.BASE_DIR, env=worker_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: TrainingRun.objects.filter(epoch__gte=2).exists(), lambda: process.poll(), seconds=300)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    run = TrainingRun.objects.get()
    assert process.returncode == 0 and f"retrain --resume {run.pk}" in said
    assert (run.state, run.attempts, run.worker) == ("cancelled", 0, "")
    assert (Path(django_settings.SPOTID_HOME) / run.folder / "run" / "checkpoint.pt").is_file()
