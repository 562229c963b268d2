"""Claims, leases and fencing: what holds when workers die, stall or meet."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from identification.models import ProcessingStage, Survey, Work
from identification.selectors.heartbeat import heartbeat_age
from identification.services import work as claims
from identification.services.matching import (
    matching_claim,
    matching_fail,
    matching_fence,
    matching_invalidate,
    matching_ready,
    matching_renew,
    matching_request,
)
from identification.services.queue import work_enqueue, work_requeue
from identification.services.reconcile import reconcile
from identification.services.work import LeaseLost
from tests.identification.factories import make_image, make_survey

pytestmark = pytest.mark.django_db


@pytest.fixture
def image():
    return make_image(make_survey(), state="pending", files=False)


@pytest.fixture(autouse=True)
def fresh_attempts(image) -> None:
    Work.objects.update(attempts=0)


def test_a_claim_counts_the_attempt_before_the_work(image) -> None:
    claim = claims.work_claim(image_id=image.pk)
    work = Work.objects.get()
    assert (work.state, work.attempts, work.token) == ("running", 1, claim.token)


def test_a_photo_is_claimed_once(image) -> None:
    assert claims.work_claim(image_id=image.pk)
    assert claims.work_claim(image_id=image.pk) is None


def test_a_lease_that_ran_out_can_be_taken_and_the_late_writer_is_refused(image) -> None:
    late = claims.work_claim(image_id=image.pk)
    Work.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    second = claims.work_claim(image_id=image.pk)
    assert second.token > late.token
    with pytest.raises(LeaseLost):
        claims.work_enter(claim=late, stage=ProcessingStage.DETECT)
    with pytest.raises(LeaseLost):
        claims.work_finish(claim=late, seconds=1)
    claims.work_finish(claim=second, seconds=1)
    assert Work.objects.get().state == "done"


def test_a_photo_that_kills_its_worker_three_times_is_set_aside_with_its_stage(image) -> None:
    for _ in range(3):
        claim = claims.work_claim(image_id=image.pk)
        claims.work_enter(claim=claim, stage=ProcessingStage.EMBED)
        Work.objects.update(lease_until=timezone.now() - timedelta(seconds=1), worker="elsewhere:1")
        claims.work_expire()
    work = Work.objects.get()
    assert (work.state, work.stage, work.attempts, work.reason_code) == ("set_aside", "embed", 3, "worker_died")
    assert claims.work_claim(image_id=image.pk) is None


def test_the_lease_of_a_process_that_is_gone_ends_at_once(image) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    claims.work_claim(image_id=image.pk)
    assert claims.work_expire() == 0
    Work.objects.update(worker=f"{socket.gethostname()[:80]}:{gone.stdout.strip()}")
    assert claims.work_expire() == 1
    assert Work.objects.get().state == "pending"


def test_a_passing_failure_is_tried_again_and_a_final_one_is_not(image) -> None:
    for attempt in range(1, 4):
        claim = claims.work_claim(image_id=image.pk)
        claims.work_fail(claim=claim, code="OSError", reason="the share was away", final=False)
        assert Work.objects.get().state == ("pending" if attempt < 3 else "failed")
    Work.objects.update(state="pending", attempts=0)
    claims.work_fail(claim=claims.work_claim(image_id=image.pk), code="truncated", reason="cut", final=True)
    assert Work.objects.get().state == "failed"


def test_giving_a_photo_back_does_not_cost_an_attempt(image) -> None:
    claims.work_release(claim=claims.work_claim(image_id=image.pk), code="disk_full", reason="full")
    work = Work.objects.get()
    assert (work.state, work.attempts, work.reason_code) == ("pending", 0, "disk_full")


def test_retry_gives_fresh_attempts_and_fences_a_worker_that_is_at_it(
    image, django_capture_on_commit_callbacks
) -> None:
    claim = claims.work_claim(image_id=image.pk)
    with django_capture_on_commit_callbacks(execute=True):
        assert work_requeue(images=[image]) == 1
    with pytest.raises(LeaseLost):
        claims.work_finish(claim=claim, seconds=1)
    work = Work.objects.get()
    assert (work.state, work.attempts) == ("pending", 0)
    assert OrmQ.objects.count() == 1


def test_enqueueing_nothing_puts_nothing_on_the_queue(image, django_capture_on_commit_callbacks) -> None:
    Work.objects.update(state="done")
    with django_capture_on_commit_callbacks(execute=True):
        assert work_enqueue() == 0
    assert OrmQ.objects.count() == 0


def test_photos_go_on_the_queue_in_batches_of_ids_of_one_survey(
    image, settings, django_capture_on_commit_callbacks
) -> None:
    settings.SPOTID_BATCH_SIZE = 2
    ids = [image.pk, *(make_image(image.survey, state="pending", files=False).pk for _ in range(2))]
    other = make_image(make_survey(), state="pending", files=False)
    with django_capture_on_commit_callbacks(execute=True):
        assert work_enqueue() == 4
    batches = [entry.task["args"] for entry in OrmQ.objects.order_by("pk")]
    assert batches == [(ids[:2],), (ids[2:],), ([other.pk],)]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_queued_when_the_transaction_rolls_back() -> None:
    from django.db import transaction

    image = make_image(make_survey(), state="pending", files=False)
    with pytest.raises(RuntimeError), transaction.atomic():
        work_requeue(images=[image])
        raise RuntimeError
    assert OrmQ.objects.count() == 0


def test_the_reconciler_finds_what_a_lost_queue_forgot(image, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        work_enqueue()
    OrmQ.objects.all().delete()
    with django_capture_on_commit_callbacks(execute=True):
        assert reconcile().queued == 1
    assert OrmQ.objects.count() == 1
    with django_capture_on_commit_callbacks(execute=True):
        assert reconcile().queued == 0


@pytest.mark.parametrize("what", ["a heartbeat", "a task that an old key signed"])
def test_what_is_no_work_does_not_hide_that_the_queue_was_lost(image, what, django_capture_on_commit_callbacks) -> None:
    from django_q.tasks import async_task

    with django_capture_on_commit_callbacks(execute=True):
        work_enqueue()
    if what == "a heartbeat":
        OrmQ.objects.all().delete()
        async_task("identification.tasks.beat", group="beat")
    else:
        OrmQ.objects.update(payload="signed:by-another:key")
    with django_capture_on_commit_callbacks(execute=True):
        assert reconcile().queued == 1


def test_matching_waits_for_the_photos(image, django_capture_on_commit_callbacks) -> None:
    survey = image.survey
    assert not matching_ready(survey=survey)
    assert matching_claim(survey_id=survey.pk) is None
    with pytest.raises(Exception, match="not through yet"):
        matching_request(survey=survey, acting_user=None)
    Work.objects.update(state="failed")
    with django_capture_on_commit_callbacks(execute=True):
        assert reconcile().surveys == 1
    assert matching_claim(survey_id=survey.pk) is not None


def test_a_survey_that_changes_while_it_is_matched_is_matched_again(image) -> None:
    Work.objects.update(state="done")
    claim = matching_claim(survey_id=image.survey_id)
    matching_renew(claim=claim, progress=0.5)
    matching_invalidate(survey=image.survey)
    with pytest.raises(LeaseLost):
        matching_fence(claim=claim)
    assert Survey.objects.get().matching_state == "stale"


def test_matching_that_fails_three_times_says_so(image) -> None:
    Work.objects.update(state="done")
    for _ in range(3):
        matching_fail(claim=matching_claim(survey_id=image.survey_id), reason="no memory")
    survey = Survey.objects.get()
    assert (survey.matching_state, survey.matching_error) == ("failed", "no memory")


def test_heartbeats_are_read_by_the_databases_clock() -> None:
    assert heartbeat_age("nobody") is None
    claims.heartbeat("somebody")
    assert 0 <= heartbeat_age("somebody") < 5


def test_stopping_is_announced_and_withdrawn() -> None:
    assert not claims.stopping_asked()
    claims.stopping_announce()
    assert claims.stopping_asked()
    claims.stopping_withdraw()
    assert not claims.stopping_asked()


def test_this_process_is_not_taken_for_dead() -> None:
    assert claims.dead_workers([claims.this_worker(), "otherhost:1", "nonsense", ""]) == []
    assert claims.this_worker().endswith(f":{os.getpid()}")


def test_a_running_photo_must_have_a_lease(image) -> None:
    from django.db import IntegrityError, transaction

    with pytest.raises(IntegrityError), transaction.atomic():
        Work.objects.update(state="running", lease_until=None)
    assert connection.in_atomic_block
