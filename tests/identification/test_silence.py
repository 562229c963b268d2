"""A task may take as long as it needs, but not say nothing: through a real qcluster with a short limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from django.db import connection
from django_q.models import OrmQ

from identification.models import ExportRun, Image, IngestReport, IngestRequest, Role, Survey, TriageRun, Work
from identification.services import silence
from identification.services.export_queue import ExportClaim, export_claim, export_create, export_expire, export_held
from identification.services.matching import MatchingClaim, matching_claim, matching_expire, matching_held
from identification.services.queue import queue_unlock
from identification.services.receiving import folder_request
from identification.services.triage_queue import triage_claim, triage_held, triage_request, triage_waiting
from tests.identification import factories as make
from tests.identification.worker_process import running_worker, wait_until

LIMIT, PHOTOS = 6, 24
transactional = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(tmp_path: Path, tiny_model, settings) -> Path:
    settings.MEDIA_ROOT = Path(settings.SPOTID_HOME) / "media"
    place = tmp_path / "card"
    place.mkdir()
    for number in range(PHOTOS):
        (place / f"p{number:02}.jpg").write_bytes(make.jpeg(make.frame_pixels(number)))
    settings.SPOTID_INGEST_ROOTS = [str(place)]
    return place


def request_of(folder: Path) -> IngestRequest:
    survey = make.make_survey(crops_only=True)
    return folder_request(survey=survey, acting_user=make.make_member(survey, Role.CURATOR), folder=str(folder))


def slow_worker(tmp_path: Path, seconds: float) -> AbstractContextManager[object]:
    return running_worker(
        tmp_path / "worker.log",
        DJANGO_SETTINGS_MODULE="tests.identification.slow_settings",
        SPOTID_TASK_TIMEOUT=str(LIMIT),
        SPOTID_TRAINING="0",
        TEST_SECONDS=str(seconds),
        TEST_TOLD=str(tmp_path / "told"),
    )


def now() -> IngestRequest:
    return IngestRequest.objects.get()


def read(tmp_path: Path) -> list[str]:
    told = tmp_path / "told"
    return told.read_text().split() if told.exists() else []


@pytest.mark.cluster
@transactional
@pytest.mark.skipif(os.name == "nt", reason="the worker's queue needs POSIX")
def test_an_ingest_that_gets_on_takes_longer_than_the_limit_and_reads_each_photo_once(folder, tmp_path) -> None:
    request_of(folder)
    with slow_worker(tmp_path, seconds=2.5 * LIMIT / PHOTOS):
        wait_until(lambda: now().state == "done", lambda: (now().__dict__, (tmp_path / "worker.log").read_text()))
    done = now()
    assert done.finished_at is not None and (done.finished_at - done.created_at).total_seconds() > 2 * LIMIT
    assert (done.attempts, done.error, done.report.new) == (1, "", PHOTOS)  # type: ignore[union-attr]
    assert sorted(read(tmp_path)) == [f"p{number:02}" for number in range(PHOTOS)]
    assert Image.objects.count() == Work.objects.count() == PHOTOS and IngestReport.objects.count() == 1


@pytest.mark.cluster
@transactional
@pytest.mark.skipif(os.name == "nt", reason="the worker's queue needs POSIX")
def test_an_ingest_that_hangs_is_ended_tried_three_times_and_set_aside_in_words(folder, tmp_path) -> None:
    (folder / "hang.jpg").write_bytes(make.jpeg(make.frame_pixels(90)))
    request_of(folder)
    with slow_worker(tmp_path, seconds=0):
        wait_until(lambda: now().state == "failed", lambda: (now().__dict__, (tmp_path / "worker.log").read_text()))
        # The worker that takes its place goes on with what else there is.
        other = make.make_survey(name="After")
        triage_request(survey=other)
        wait_until(
            lambda: TriageRun.objects.get(survey=other).served == 1, lambda: (tmp_path / "worker.log").read_text()
        )
    assert (now().attempts, now().error) == (3, f"Nothing was heard of it for {LIMIT} seconds, so it was ended.")
    assert read(tmp_path) == ["hang"] * 3
    assert (tmp_path / "worker.log").read_text().count("the task ingest_request said nothing") == 3
    assert not Image.objects.exists()


def lease_of(row: ExportRun | Survey | TriageRun) -> object:
    row.refresh_from_db()
    return row.matching_lease_until if isinstance(row, Survey) else row.lease_until


Kept = tuple[ExportRun | Survey | TriageRun, AbstractContextManager[None]]


@pytest.fixture(params=["export", "matching", "triage"])
def kept(request, settings) -> Iterator[Kept]:
    """A row that is claimed, and what keeps it; looked after every half second."""
    settings.SPOTID_LEASE_SECONDS = 3
    survey = make.make_survey()
    if request.param == "matching":
        Survey.objects.update(matching_state="stale")
        claim = matching_claim(survey_id=survey.pk)
        assert isinstance(claim, MatchingClaim)
        yield survey, matching_held(claim)
    elif request.param == "triage":
        run = triage_request(survey=survey)
        asked = triage_claim(survey_id=survey.pk)
        assert asked is not None
        yield run, triage_held(asked)
    else:
        export = export_create(
            acting_user=None, population=survey.population, survey=survey, surveys=[survey], options={}, enqueue=False
        )
        taken = export_claim(run_id=export.pk)
        assert isinstance(taken, ExportClaim)
        yield export, export_held(taken)


@transactional
def test_a_claim_is_kept_where_there_is_nothing_to_say_and_not_afterwards(kept: Kept) -> None:
    row, holding = kept
    first = lease_of(row)
    with holding:
        wait_until(lambda: lease_of(row) > first, lambda: "nobody kept the claim")  # type: ignore[operator]
        assert (matching_expire(dead_workers=[]), export_expire(), triage_waiting()) == (0, 0, [])
    last = lease_of(row)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1)")
    assert lease_of(row) == last


@transactional
def test_a_claim_that_was_lost_is_not_taken_back(settings) -> None:
    settings.SPOTID_LEASE_SECONDS = 3
    survey = make.make_survey()
    Survey.objects.update(matching_state="stale")
    claim = matching_claim(survey_id=survey.pk)
    assert claim is not None
    Survey.objects.update(matching_token=claim.token + 1, matching_lease_until=None)
    silence.lease_keep("identification_survey", survey.pk, claim.token, 60, prefix="matching_")
    assert lease_of(survey) is None
    silence.lease_keep("identification_survey", survey.pk, claim.token + 1, 60, prefix="matching_")
    assert lease_of(survey) is not None


@pytest.mark.django_db
def test_what_a_cluster_had_when_it_went_can_be_fetched_again_at_once(settings) -> None:
    from datetime import timedelta

    from django.utils import timezone

    later = timezone.now() + timedelta(days=100)
    OrmQ.objects.create(key=settings.Q_CLUSTER["name"], payload="x", lock=later)
    other = OrmQ.objects.create(key="spotid-training", payload="x", lock=later)
    assert queue_unlock() == 1
    assert list(OrmQ.objects.filter(lock__gt=timezone.now())) == [other]
