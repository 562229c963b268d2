"""A training through a real qcluster under its watchdog: beside the photos, killed, stopped, and carried to its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django_q.models import OrmQ

from identification.models import Decision, Individual, MatchEdge, TrainingRun, Work
from identification.services.queue import work_enqueue
from identification.services.training import training_request
from tests.identification.factories import make_image, match
from tests.identification.training_set import TINY, few_pictures, make_confirmed
from tests.identification.worker_process import running_worker, wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.name == "nt", reason="kills processes by POSIX signals"),
]


@pytest.fixture
def confirmed(tiny_model, settings, monkeypatch):
    few_pictures(monkeypatch)
    settings.MEDIA_ROOT = Path(settings.SPOTID_HOME) / "media"
    return make_confirmed()


@pytest.fixture
def survey(confirmed):
    return confirmed[0]


def request(survey, epochs) -> TrainingRun:
    return training_request(
        population=survey.population, start_model=None, config={**TINY, "epochs": epochs}, acting_user=None
    )


def what_people_said() -> list[list[dict[str, object]]]:
    return [list(rows.objects.order_by("pk").values()) for rows in (Decision, MatchEdge, Individual)]


def now() -> TrainingRun:
    return TrainingRun.objects.get()


def test_a_killed_trainer_is_found_and_photos_and_decisions_go_on_beside_it(confirmed, tmp_path) -> None:
    survey, animals = confirmed
    run = request(survey, epochs=30)
    log = tmp_path / "worker.log"
    with running_worker(log, SPOTID_TRAINING_NICE="7"):
        wait_until(lambda: now().epoch >= 2 or now().state == "done", lambda: (now().__dict__, log.read_text()))
        assert now().state == "running", "it was too quick to be watched"
        trainer = int(now().worker.rpartition(":")[2])
        assert os.getpriority(os.PRIO_PROCESS, trainer) == 7
        # A photo whose file is not there fails at once: somebody else than the trainer has looked at it.
        photo = make_image(survey, state="pending", files=False)
        work_enqueue(survey=survey)
        wait_until(lambda: Work.objects.get(image=photo).state == "failed", lambda: log.read_text())
        match(None, animals[0][1], animals[1][1], "no_match")
        said = what_people_said()
        assert now().state == "running"
        os.kill(trainer, signal.SIGKILL)
        wait_until(lambda: now().state == "done", lambda: (now().__dict__, log.read_text()))
    run.refresh_from_db()
    assert run.candidate is not None and run.candidate.state == "candidate"
    assert [row["epoch"] for row in run.history] == list(range(31))
    assert not OrmQ.objects.filter(key="spotid-training").exclude(lock__gt=run.created_at).exists()
    assert what_people_said() == said


def runs(pid: str) -> bool:
    """Whether a process is there and not merely waiting for somebody to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stopping_the_worker_keeps_what_was_learned_and_costs_no_attempt(survey, tmp_path) -> None:
    request(survey, epochs=2000)
    log = tmp_path / "worker.log"
    with running_worker(log) as process:
        wait_until(lambda: now().epoch >= 2, lambda: (now().__dict__, log.read_text()))
        trainer = now().worker
        process.terminate()
        assert process.wait(40) == 0
    run = now()
    assert (run.state, run.attempts, run.worker) == ("pending", 0, "")
    wait_until(lambda: not runs(trainer.rpartition(":")[2]), lambda: log.read_text())
    folder = Path(django_settings.SPOTID_HOME) / run.folder / "run"
    assert (folder / "checkpoint.pt").is_file() and [row["epoch"] for row in run.history][:3] == [0, 1, 2]


def test_switched_off_nobody_here_trains(survey, tmp_path) -> None:
    request(survey, epochs=1)
    log = tmp_path / "worker.log"
    photo = make_image(survey, state="pending", files=False)
    with running_worker(log, SPOTID_TRAINING="0"):
        wait_until(lambda: Work.objects.get(image=photo).state == "failed", lambda: log.read_text())
        assert (now().state, now().attempts) == ("pending", 0)
