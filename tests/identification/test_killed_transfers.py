"""Workers that are killed in the middle of an import or an export: through a real qcluster and its watchdog, each ends
exactly once, and its report says what was done in all."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from identification.exports import ExportOptions, Format
from identification.exports.requests import export_fetch, export_request
from identification.models import AuditEntry, Decision, Detection, ExportRun, Image, ImportRun, MatchEdge, Role, Survey
from identification.services import imports, imports_run
from identification.services.export_queue import exports_folder
from identification.services.imports_run import import_run
from tests.identification import factories as make
from tests.identification.export_season import make_season
from tests.identification.test_imports_identities import animals, folders
from tests.identification.test_imports_round_trip import bring
from tests.identification.worker_process import running_worker, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.name == "nt", reason="kills processes by POSIX signals"),
]
NAMES = [f"{name}/{number}.jpg" for name in ("Asha", "Bela", "Cora") for number in range(4)]


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tiny_model: Any) -> None:
    settings.MEDIA_ROOT = Path(settings.SPOTID_HOME) / "media"
    settings.SPOTID_IMPORT_DIR = Path(settings.SPOTID_HOME) / "imports"
    settings.SPOTID_UPLOAD_DIR = Path(settings.SPOTID_HOME) / "photos"


def slow_worker(tmp_path: Path, seconds: float) -> AbstractContextManager[object]:
    return running_worker(
        tmp_path / "worker.log",
        DJANGO_SETTINGS_MODULE="tests.identification.slow_settings",
        SPOTID_LEASE_SECONDS="6",
        SPOTID_TRAINING="0",
        TEST_STEP=str(seconds),
        TEST_TOLD=str(tmp_path / "told"),
    )


def kill_when(there: Callable[[], bool], tmp_path: Path) -> int:
    """Kill whoever is at it as soon as something holds; nobody may have been killed for the same before."""
    said = tmp_path / "told.pid"
    wait_until(lambda: said.exists() and there(), lambda: (tmp_path / "worker.log").read_text())
    pid = int(said.read_text())
    os.kill(pid, signal.SIGKILL)
    said.unlink()
    return pid


def request(survey: Survey, path: Path, kind: str, **options: str) -> ImportRun:
    run = imports.import_begin(
        survey=survey,
        kind=imports.kind_by_code(kind),
        path=path,
        options=options,
        acting_user=make.make_member(survey, Role.CURATOR),
        dry_run=False,
    )
    imports.import_enqueue(run_id=run.pk)
    return run


@pytest.mark.cluster
def test_an_import_whose_worker_is_killed_twice_adds_everything_once_and_says_so(tmp_path: Path) -> None:
    survey = make.make_survey()
    root = folders(tmp_path / "sorted", *NAMES)
    expected = bring(survey, root, "labelled", dry_run=True, crops="yes").counts
    assert (expected["photos_new"], expected["animals_matches"], expected["animals_named"]) == (12, 9, 3)
    run = request(survey, root, "labelled", crops="yes")
    with slow_worker(tmp_path, seconds=0.5):
        first = kill_when(lambda: 0 < Image.objects.count() < 12, tmp_path)
        second = kill_when(lambda: 0 < MatchEdge.objects.count() < 9, tmp_path)
        run.refresh_from_db()
        assert run.state == "running" and first != second
        wait_until(
            lambda: ImportRun.objects.get(pk=run.pk).state not in ImportRun.OPEN,
            lambda: (tmp_path / "worker.log").read_text(),
        )
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("done", 3), run.error
    assert sorted(Image.objects.values_list("relative_path", flat=True)) == sorted(NAMES)
    assert Detection.objects.count() == 12 and Detection.objects.values("image").distinct().count() == 12
    assert animals(survey) == {name: {path for path in NAMES if path.startswith(name)} for name in animals(survey)}
    assert MatchEdge.objects.count() == Decision.objects.count() == 9
    # Boxes of finished crops are made by whoever comes first, the import or the processing of the photos.
    said, foretold = ({k: v for k, v in counts.items() if k != "boxes_made"} for counts in (run.counts, expected))
    assert said == foretold
    assert AuditEntry.objects.filter(action="import.run").count() == 1


def test_what_an_attempt_did_that_died_is_in_the_report_of_the_next(tmp_path: Path, monkeypatch: Any) -> None:
    """Each attempt gets two steps further, and the report is that of a run which was through at once."""
    from identification.services import imports_photos, imports_write
    from identification.services.imports_writing import Writing

    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    monkeypatch.setattr(imports_photos, "_STEP", 5)
    monkeypatch.setattr(imports_write, "CHUNK", 5)
    survey = make.make_survey()
    root = folders(tmp_path / "sorted", *NAMES)
    expected = bring(survey, root, "labelled", dry_run=True, crops="yes").counts
    run = request(survey, root, "labelled", crops="yes")
    kept, steps, attempts = Writing.kept, 0, 0

    def dying(self: Writing, **more: int) -> None:
        nonlocal steps
        kept(self, **more)
        steps += 1
        if steps == 2 * attempts:
            raise MemoryError("the process dies")

    monkeypatch.setattr(Writing, "kept", dying)
    while run.state != "done" and attempts < 30:
        steps, attempts = 0, attempts + 1
        ImportRun.objects.filter(pk=run.pk).update(attempts=0)
        assert import_run(run_id=run.pk)
        run.refresh_from_db()
    assert run.state == "done" and attempts > 3
    assert run.counts == expected
    assert Image.objects.count() == 12 and MatchEdge.objects.count() == Decision.objects.count() == 9


def test_an_attempt_that_was_taken_over_changes_nothing_any_more(tmp_path: Path, monkeypatch: Any) -> None:
    from identification.services.imports_writing import Writing

    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    survey = make.make_survey()
    run = request(survey, folders(tmp_path / "sorted", *NAMES), "labelled", crops="yes")
    kept = Writing.kept

    def late(self: Writing, **more: int) -> None:
        if Image.objects.exists():
            ImportRun.objects.filter(pk=run.pk).update(token=10**9)
        kept(self, **more)

    monkeypatch.setattr(Writing, "kept", late)
    assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "running" and not Image.objects.exists() and "photos_new" not in run.counts


@pytest.mark.cluster
def test_an_export_whose_worker_is_killed_twice_is_there_once_and_whole(tmp_path: Path) -> None:
    originals = tmp_path / "originals"
    originals.mkdir()
    season = make_season(originals)
    curator = make.make_member(season.survey, Role.CURATOR)
    options = ExportOptions(formats=(Format.FOLDERS, Format.CSV, Format.CAMTRAPDP))
    population, survey = season.survey.population, season.survey
    run = export_request(acting_user=curator, population=population, survey=survey, options=options, at_once=False)

    def work(pattern: str) -> bool:
        return any(path.stat().st_size for path in exports_folder().glob(pattern) if path.is_file())

    with slow_worker(tmp_path, seconds=0.3):
        kill_when(lambda: work("work-*/**/*"), tmp_path)
        kill_when(lambda: ExportRun.objects.get().attempts == 2 and work("work-*/packed.zip"), tmp_path)
        wait_until(
            lambda: ExportRun.objects.get().state not in ExportRun.OPEN, lambda: (tmp_path / "worker.log").read_text()
        )
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("done", 3), run.error
    assert [path.name for path in exports_folder().glob("run-*.zip")] == [run.file]
    assert AuditEntry.objects.filter(action="survey.export").count() == 1
    file = export_fetch(acting_user=curator, run=run)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == run.sha256 and file.stat().st_size == run.size
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        listed = json.loads(archive.read("manifest.json"))["files"]
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert listed and listed.items() <= found.items()


def test_a_claim_is_renewed_now_and_then_however_often_it_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    """An archive tells before each of its members that nobody knows yet how many there are."""
    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    run = request(make.make_survey(), folders(tmp_path / "sorted", *NAMES[:1]), "labelled")
    ImportRun.objects.filter(pk=run.pk).update(state="running", token=7, lease_until=make.START)
    monkeypatch.setattr(imports_run.time, "monotonic", lambda: 1000.0)
    lease = imports_run._Lease(run.pk, 7, None)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(50):
            lease.tell(0, 0)
        lease.tell(9, 9)
    assert sum("identification_importrun" in query["sql"] for query in queries) == 2
