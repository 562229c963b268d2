"""A real qcluster under its watchdog, killed in mid-photo: every photo is processed exactly once afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.db import connection
from PIL import Image as Pillow

from identification.models import Candidate, Detection, Embedding, LocalFeatureSet, Survey, Work
from identification.services.ingest import survey_ingest

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.name == "nt", reason="kills processes by POSIX signals"),
]
PHOTOS = 10


@pytest.fixture
def survey(tmp_path: Path, tiny_model, settings) -> Survey:
    rng = np.random.default_rng(5)
    for number in range(PHOTOS):
        path = tmp_path / "photos" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Pillow.fromarray(rng.integers(0, 255, (500, 700, 3), np.uint8)).save(path)
    return survey_ingest(root=tmp_path / "photos", survey_name="Killed", crops_only=True).survey


@pytest.fixture
def environment(tmp_path: Path, tiny_model, settings) -> dict[str, str]:
    """What a worker needs to see the test's database and home."""
    database = connection.settings_dict
    login = f"{database['USER']}:{database['PASSWORD']}@" if database["PASSWORD"] else f"{database['USER']}@"
    home = Path(settings.SPOTID_HOME)
    # The worker finds its media below its home; the test's own media folder is elsewhere.
    settings.MEDIA_ROOT = home / "media"
    return {
        **os.environ,
        "DATABASE_URL": f"postgres://{login}{database['HOST']}:{database['PORT']}/{database['NAME']}",
        "SPOTID_SECRET_KEY": django_settings.SECRET_KEY,
        "SPOTID_HOME": str(home),
        "SPOTID_OFFLINE": "1",
        "SPOTID_WORKERS": "1",
        "SPOTID_LEASE_SECONDS": "20",
        "SPOTID_BATCH_SIZE": "4",
        "SPOTID_PARENT_PID": "",
    }


@pytest.fixture
def start(environment, tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts `run_worker`; whatever happens, nothing of it is left."""
    started: list[subprocess.Popen] = []
    log = (tmp_path / "worker.log").open("wb")

    def run(*options: str) -> subprocess.Popen:
        command = [
            sys.executable,
            "manage.py",
            "run_worker",
            "--beat",
            "1",
            "--reconcile",
            "1",
            "--grace",
            "8",
            *options,
        ]
        process = subprocess.Popen(command, cwd=django_settings.BASE_DIR, env=environment, stdout=log, stderr=log)
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
    log.close()


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, (list(Work.objects.values()), list(Survey.objects.values("matching_state")))
        time.sleep(0.1)


def pid_of_a_busy_worker(stage: str) -> int | None:
    """A worker at a photo that none died on yet: after three deaths a photo is rightly set aside."""
    busy = Work.objects.filter(state="running", stage=stage, attempts=1)
    holder = busy.values_list("worker", flat=True).first()
    return int(holder.rpartition(":")[2]) if holder else None


def descendants(pid: int) -> list[int]:
    """Process ids below one, by /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found, level = [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def through() -> bool:
    return (
        set(Work.objects.values_list("state", flat=True)) == {"done"} and Survey.objects.get().matching_state == "done"
    )


def test_photos_whose_worker_is_killed_are_processed_exactly_once(survey, start) -> None:
    start()
    killed = set()
    for stage in ("isolate", "features", "isolate"):
        pid = None

        def found(wanted: str = stage) -> bool:
            nonlocal pid
            pid = pid_of_a_busy_worker(wanted)
            return pid is not None or through()

        wait_until(found)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    assert killed, "no worker was ever seen at work"
    wait_until(through)
    assert Work.objects.filter(state="done").count() == PHOTOS
    assert Work.objects.filter(attempts__gt=1).exists()
    assert Detection.objects.count() == Embedding.objects.count() == LocalFeatureSet.objects.count() == PHOTOS
    assert Detection.objects.values("image").distinct().count() == PHOTOS
    assert Candidate.objects.exists()


def test_a_hung_cluster_is_killed_and_started_again(survey, start) -> None:
    """SIGSTOP stands in for the hang that the death of the process holding the queue's lock causes: nobody answers."""
    process = start("--stale", "30")
    wait_until(lambda: Work.objects.filter(state="running").exists() or through())
    frozen = descendants(process.pid)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    wait_until(through)
    assert Work.objects.filter(state="done").count() == PHOTOS
    assert not set(frozen) & set(descendants(process.pid))


def test_stopping_lets_the_photo_at_hand_finish_and_leaves_no_process(survey, start) -> None:
    process = start()
    wait_until(lambda: Work.objects.filter(state="done").exists())
    family = descendants(process.pid)
    process.terminate()
    assert process.wait(30) == 0
    alive = [pid for pid in family if Path(f"/proc/{pid}/stat").exists()]
    assert alive == []
    assert not Work.objects.filter(state="running").exists()
    assert set(Work.objects.values_list("attempts", flat=True)) <= {0, 1}
