"""A worker that is killed while it packs an export: nothing is published, and the next attempt begins again."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from identification.exports import ExportOptions, Format
from identification.exports.requests import export_fetch, export_request, export_run
from identification.models import AuditEntry, ExportRun, Role
from identification.services.export_queue import export_expire, exports_folder, exports_waiting
from tests.identification import factories as make
from tests.identification.export_season import make_season
from tests.identification.worker_process import wait_until, worker_environment

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.name == "nt", reason="kills processes by POSIX signals"),
]
# The worker's own code, but for a packer that stops half-way and says so.
_WORKER = """
import sys, time, django
django.setup()
from pathlib import Path
from identification.exports import requests
def half(folder, target, **_):
    target.write_bytes(b"PK half of an archive")
    Path(sys.argv[2]).write_text("half")
    time.sleep(600)
requests.pack = half
requests.export_run(run_id=int(sys.argv[1]))
"""


def test_a_worker_killed_while_it_packs_publishes_nothing_and_the_next_one_begins_again(
    tmp_path: Path, settings, monkeypatch
) -> None:
    settings.SPOTID_HOME = tmp_path / "home"
    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    originals = tmp_path / "originals"
    originals.mkdir()
    season = make_season(originals)
    curator = make.make_member(season.survey, Role.CURATOR)
    run = export_request(
        acting_user=curator,
        population=season.survey.population,
        survey=season.survey,
        options=ExportOptions(formats=tuple(name for name in Format if name != Format.SECR)),
        at_once=False,
    )
    told, log = tmp_path / "told", (tmp_path / "log").open("wb")
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(run.pk), str(told)],
        cwd=django_settings.BASE_DIR,
        env=worker_environment(),
        stdout=log,
        stderr=log,
    )
    try:
        wait_until(told.exists, lambda: (tmp_path / "log").read_text(), 90)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        log.close()
    run.refresh_from_db()
    assert (run.state, run.attempts, run.file) == ("running", 1, "")
    assert [path.name[:5] for path in exports_folder().iterdir()] == ["work-"]
    assert not AuditEntry.objects.filter(action="survey.export").exists()

    # Its lease has not run out: that its process is gone is enough on this host.
    assert export_expire() == 1 and exports_waiting() == [run.pk]
    assert export_run(run_id=run.pk) is True
    done = ExportRun.objects.get()
    file = export_fetch(acting_user=curator, run=done)
    assert (done.state, done.attempts) == ("done", 2)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == done.sha256
