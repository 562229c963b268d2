"""Exports that were asked for: at once or by a worker, killed and begun again, fetched by those who may, forgotten."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from identification.errors import SpotIDError
from identification.exports import ExportOptions, Files, Format, requests
from identification.exports.requests import (
    export_fetch,
    export_request,
    export_run,
    exports_for,
    exports_shown,
    is_small,
)
from identification.models import AuditEntry, ExportRun, Role
from identification.services import export_queue
from identification.services.export_queue import (
    export_claim,
    export_expire,
    export_fail,
    export_finish,
    exports_folder,
    exports_forget,
    exports_waiting,
)
from identification.services.work import LeaseLost
from identification.tasks import write_export
from tests.identification import factories as make
from tests.identification.export_season import make_season

pytestmark = pytest.mark.django_db
TABLE = ExportOptions(formats=(Format.CSV, Format.ENCOUNTERS))


@pytest.fixture
def season(tmp_path, settings):
    settings.SPOTID_HOME = tmp_path / "home"
    folder = tmp_path / "originals"
    folder.mkdir()
    return make_season(folder)


@pytest.fixture
def curator(season):
    return make.make_member(season.survey, Role.CURATOR, user=make.make_user("curator"))


@pytest.fixture
def queued(monkeypatch):
    """What was put on the queue, instead of a cluster."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("django_q.tasks.async_task", lambda *arguments, **options: asked.append(arguments))
    return asked


def ask(season, user, options=TABLE, **more):
    return export_request(
        acting_user=user, population=season.survey.population, survey=season.survey, options=options, **more
    )


def test_a_small_export_is_there_at_once_with_its_checksum(season, curator, queued):
    run = ask(season, curator)
    assert (run.state, run.formats, run.error) == ("done", ["csv", "encounters"], "")
    file = export_fetch(acting_user=curator, run=run)
    data = file.read_bytes()
    assert hashlib.sha256(data).hexdigest() == run.sha256 and len(data) == run.size
    with zipfile.ZipFile(file) as archive:
        assert "leopard_matches.csv" in archive.namelist() and "encounters/encounters_left.inp" in archive.namelist()
    assert queued == []
    actions = list(AuditEntry.objects.order_by("pk").filter(survey=season.survey).values_list("action", flat=True))
    assert actions[-3:] == ["survey.export_request", "survey.export", "export.download"]
    assert file.name.startswith(f"run-{run.pk}-") and len(file.name) > 40
    assert [path.name for path in exports_folder().iterdir()] == [file.name]


def test_a_large_one_waits_for_a_worker(season, curator, queued, monkeypatch, django_capture_on_commit_callbacks):
    monkeypatch.setattr(requests, "AT_ONCE_PHOTOS", 3)
    with django_capture_on_commit_callbacks(execute=True):
        run = ask(season, curator)
    assert run.open and queued == [("identification.tasks.write_export", run.pk)]
    with pytest.raises(SpotIDError, match="not finished"):
        export_fetch(acting_user=curator, run=run)
    assert exports_waiting() == [run.pk]
    assert write_export(run.pk) is True
    run.refresh_from_db()
    assert run.state == "done" and run.counts["individuals"] == 5
    assert write_export(run.pk) is False


def test_asking_twice_for_the_same_while_it_is_under_way_asks_once(season, curator, queued):
    first = ask(season, curator, at_once=False)
    assert ask(season, curator, at_once=False) == first
    assert ask(season, curator, ExportOptions(formats=(Format.CSV,)), at_once=False) != first
    export_run(run_id=first.pk)
    assert ask(season, curator, at_once=False) != first


def test_what_is_small_depends_on_photos_and_on_files(season, monkeypatch):
    surveys = [season.survey]
    folders = ExportOptions()
    everything = ExportOptions(formats=(Format.CAMTRAPDP,), files=Files.ALL)
    monkeypatch.setattr(requests, "AT_ONCE_FILES", 13)
    assert is_small(surveys, folders) and is_small(surveys, everything)
    monkeypatch.setattr(requests, "AT_ONCE_FILES", 12)
    assert not is_small(surveys, folders) and not is_small(surveys, everything) and is_small(surveys, TABLE)


def test_a_killed_export_begins_again_and_leaves_one_file(season, curator, queued, monkeypatch):
    """The worker dies between writing the file and saying so; the next attempt publishes, the stray goes."""

    def die(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(requests, "export_finish", die)
    with pytest.raises(KeyboardInterrupt):
        ask(season, curator)
    run = ExportRun.objects.get()
    assert run.state == "running" and run.attempts == 1
    assert list(exports_folder().glob("run-*")) == []
    monkeypatch.undo()
    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    assert export_run(run_id=run.pk) is False
    ExportRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert export_expire() == 1
    assert exports_waiting() == [run.pk] and export_run(run_id=run.pk) is True
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("done", 2)
    assert len(list(exports_folder().glob("run-*"))) == 1


def test_after_the_last_attempt_it_says_that_the_worker_died(season, curator, settings):
    run = export_queue.export_create(
        acting_user=curator, population=season.survey.population, survey=season.survey, surveys=[season.survey],
        options=TABLE.as_json(), enqueue=False,
    )  # fmt: skip
    for _ in range(settings.SPOTID_MAX_ATTEMPTS):
        assert export_claim(run_id=run.pk) is not None
        ExportRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        export_expire()
    run.refresh_from_db()
    assert run.state == "failed" and "died 3 times" in run.error
    assert export_claim(run_id=run.pk) is None


def test_a_worker_that_was_overtaken_publishes_nothing(season, curator):
    run = export_queue.export_create(
        acting_user=curator, population=season.survey.population, survey=season.survey, surveys=[season.survey],
        options=TABLE.as_json(), enqueue=False,
    )  # fmt: skip
    first = export_claim(run_id=run.pk)
    ExportRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert export_claim(run_id=run.pk) is not None
    with pytest.raises(LeaseLost):
        export_finish(claim=first, file="late.zip", size=1, sha256="0" * 64, counts={})
    with pytest.raises(LeaseLost):
        export_fail(claim=first, reason="late", final=True)
    with pytest.raises(LeaseLost):
        first.progress(1, 1)
    run.refresh_from_db()
    assert run.state == "running" and run.file == ""


def test_an_unexpected_failure_is_tried_again_and_a_refusal_is_final(season, curator, queued, monkeypatch):
    monkeypatch.setattr(requests, "export_write", lambda **_: (_ for _ in ()).throw(RuntimeError("boom")))
    run = ask(season, curator, at_once=False)
    for expected in ("pending", "pending", "failed"):
        export_run(run_id=run.pk)
        run.refresh_from_db()
        assert (run.state, run.error) == (expected, "RuntimeError: boom")
    monkeypatch.undo()
    season.survey.stations.update(latitude=None, longitude=None)
    boss = make.make_user("boss", superuser=True)
    with override("es"), pytest.raises(SpotIDError):
        ask(season, boss, ExportOptions(formats=(Format.SECR,), with_places=True))
    # What is stored is English, whoever asked.
    assert "exact coordinates" in ExportRun.objects.latest("pk").error


def test_rights_are_asked_for_when_it_is_asked_for_written_and_fetched(season, curator, queued):
    places = ExportOptions(formats=(Format.CSV,), with_places=True)
    with pytest.raises(PermissionDenied):
        ask(season, curator, places)
    with pytest.raises(PermissionDenied):
        ask(season, make.make_member(season.survey, Role.REVIEWER))
    assert not ExportRun.objects.exists()
    granted = make.make_member(season.survey, Role.CURATOR, places=True)
    done, waiting = ask(season, granted, places), ask(season, granted, places, at_once=False)
    granted.memberships.update(may_see_places=False)
    with pytest.raises(PermissionDenied):
        export_fetch(acting_user=granted, run=done)
    export_run(run_id=waiting.pk)
    waiting.refresh_from_db()
    assert waiting.state == "failed" and "may not export" in waiting.error and waiting.file == ""


def test_exports_are_their_makers_and_the_administrators(season, curator, queued):
    run = ask(season, curator)
    other = make.make_member(season.survey, Role.CURATOR)
    boss = make.make_user("boss", superuser=True)
    assert list(exports_for(curator)) == list(exports_for(boss)) == [run] and not exports_for(other).exists()
    assert list(exports_shown(user=curator, population=season.survey.population, survey=season.survey)) == [run]
    assert not exports_shown(user=curator, population=season.survey.population, survey=None).exists()
    curator.memberships.all().delete()
    assert not exports_for(curator).exists()


def test_a_population_is_exported_by_the_surveys_that_are_ones_own(season, curator, queued):
    hidden = make.make_survey(season.survey.population, "Hidden 2025")
    run = export_request(acting_user=curator, population=season.survey.population, survey=None, options=TABLE)
    assert run.survey_ids == [season.survey.pk]
    with zipfile.ZipFile(export_fetch(acting_user=curator, run=run)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert [row["survey"] for row in manifest["surveys"]] == ["Valley 2024"]
    boss = make.make_user("boss", superuser=True)
    both = export_request(acting_user=boss, population=season.survey.population, survey=None, options=TABLE)
    assert both.survey_ids == sorted([season.survey.pk, hidden.pk])
    with pytest.raises(PermissionDenied):
        export_fetch(acting_user=curator, run=both)


def test_a_file_is_kept_for_a_while_and_then_forgotten(season, curator, queued, settings):
    settings.SPOTID_EXPORT_HOURS = 2
    run = ask(season, curator)
    assert timedelta(hours=1.9) < run.expires_at - timezone.now() <= timedelta(hours=2)
    stray, young = (exports_folder() / f"run-99-{name}.zip" for name in ("old", "young"))
    for path in (stray, young):
        path.write_bytes(b"x")
    os.utime(stray, (1, 1))
    left = exports_folder() / "work-of-the-killed"
    left.mkdir()
    os.utime(left, (1, 1))
    assert exports_forget() == 2 and not stray.exists() and not left.exists() and young.exists()
    ExportRun.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    run.refresh_from_db()
    with pytest.raises(SpotIDError, match="not kept"):
        export_fetch(acting_user=curator, run=run)
    assert exports_forget() == 1
    run.refresh_from_db()
    assert run.file == "" and not list(exports_folder().glob(f"run-{run.pk}-*"))
    with pytest.raises(SpotIDError, match="not kept"):
        export_fetch(acting_user=curator, run=run)


def test_an_export_of_a_survey_that_was_deleted_opens_no_file(season, curator, queued):
    run = ask(season, curator)
    ExportRun.objects.filter(pk=run.pk).update(survey_ids=[season.survey.pk, 10**9])
    run.refresh_from_db()
    with pytest.raises(PermissionDenied):
        export_fetch(acting_user=curator, run=run)


@pytest.fixture
def client(curator):
    browser = Client()
    browser.force_login(curator)
    return browser


def test_the_page_asks_and_the_file_comes_at_once(season, client, queued):
    page = client.get(reverse("survey-exports", args=[season.survey.pk])).content.decode()
    assert "Camtrap DP" in page and 'value="secr"' in page and "You may not export places here." in page
    response = client.post(
        reverse("survey-exports-ask", args=[season.survey.pk]), {"formats": ["csv", "camtrapr"], "files": "none"}
    )
    assert (
        response["Content-Type"] == "application/zip"
        and 'filename="spotid_Valley_2024.zip"' in response.headers["Content-Disposition"]
    )
    with zipfile.ZipFile(io.BytesIO(b"".join(response))) as archive:
        assert "camtrapr/record_table.csv" in archive.namelist()


def test_what_cannot_be_asked_keeps_what_was_filled_in(season, client, queued):
    form = {"formats": ["secr", "csv"], "occasion_days": "5", "first": "2024-03-01", "files": "none"}
    response = client.post(reverse("survey-exports-ask", args=[season.survey.pk]), form)
    assert response.status_code == 422 and not ExportRun.objects.exists()
    page = response.content.decode()
    assert "exact places" in page and 'value="5"' in page and 'value="2024-03-01"' in page


def test_a_large_export_is_followed_on_the_page_and_fetched_from_it(season, client, queued, monkeypatch):
    monkeypatch.setattr(requests, "AT_ONCE_PHOTOS", 3)
    page = reverse("survey-exports", args=[season.survey.pk])
    response = client.post(reverse("survey-exports-ask", args=[season.survey.pk]), {"formats": "csv", "files": "none"})
    assert (response.status_code, response.headers["Location"]) == (302, page)
    run = ExportRun.objects.get()
    state = reverse("export-state", args=[run.pk])
    assert f'hx-get="{state}"' in client.get(page).content.decode()
    fetch = reverse("export-download", args=[run.pk])
    assert client.post(fetch).status_code == 302
    export_run(run_id=run.pk)
    shown = client.get(state).content.decode()
    assert "hx-get" not in shown and fetch in shown and run.state != "done"
    response = client.post(fetch)
    assert hashlib.sha256(b"".join(response)).hexdigest() == ExportRun.objects.get().sha256
    assert client.get(fetch).status_code == 405


def test_the_button_of_the_survey_leaves_a_large_export_to_a_worker(season, client, queued, monkeypatch):
    button = reverse("survey-export", args=[season.survey.pk])
    response = client.post(button)
    assert response["Content-Type"] == "application/zip" and b"".join(response).startswith(b"PK")
    monkeypatch.setattr(requests, "AT_ONCE_FILES", 3)
    response = client.post(button)
    assert response.headers["Location"] == reverse("survey-exports", args=[season.survey.pk])
    assert ExportRun.objects.get().formats == ["folders"]


def test_the_reason_of_a_failure_names_no_folder_of_the_server(season, curator, queued, monkeypatch, settings):
    def full(folder, *_rest, **_options):
        raise SpotIDError(f"The export could not be written to {folder}: No space left on device.")

    monkeypatch.setattr(requests, "pack", full)
    run = ask(season, curator, at_once=False)
    export_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "failed" and "No space left" in run.error and str(settings.SPOTID_HOME) not in run.error
