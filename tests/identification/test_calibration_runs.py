"""Calibrations that are asked for: done once, by a worker, with a reason where they fail, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from identification.errors import SpotIDError
from identification.models import AuditEntry, CalibrationRun, Decision, PairCalibration, Survey, Verdict
from identification.services import calibration as service
from identification.services.calibration_due import calibrations_request_due
from identification.services.calibration_queue import (
    CalibrationClaim,
    calibration_claim,
    calibration_expire,
    calibration_request,
)
from identification.services.calibration_run import calibration_run
from identification.services.decisions import decision_record, decision_undo
from identification.services.reconcile import reconcile
from identification.services.work import LeaseLost
from tests.identification.factories import make_survey, make_user
from tests.identification.test_calibration_fit import decide, probabilities, survey
from tests.identification.worker_process import running_worker, wait_until, worker_environment

__all__ = ["survey"]

pytestmark = pytest.mark.django_db


def ask(survey: Survey, kind: str = "fit", user=None) -> CalibrationRun:
    return calibration_request(population=survey.population, acting_user=user, kind=kind)


def now(run: CalibrationRun) -> CalibrationRun:
    return CalibrationRun.objects.get(pk=run.pk)


def lease_runs_out(run: CalibrationRun) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE identification_calibrationrun SET lease_until = clock_timestamp() - interval '1 s', "
            "worker = 'elsewhere:1' WHERE id = %s",
            [run.pk],
        )


def test_without_decisions_a_run_is_done_and_says_that_there_are_too_few(survey) -> None:
    run = ask(survey)
    assert calibration_run(run_id=run.pk) and now(run).state == "done"
    assert "Too few decisions to calibrate" in now(run).sentence and now(run).calibration is None
    assert not PairCalibration.objects.exists()


def test_a_request_wakes_a_worker_on_commit_and_a_second_one_adds_nothing(
    survey, monkeypatch, django_capture_on_commit_callbacks
) -> None:
    tasks: list[tuple] = []
    monkeypatch.setattr("django_q.tasks.async_task", lambda *arguments, **options: tasks.append(arguments))
    with django_capture_on_commit_callbacks(execute=True):
        run = ask(survey)
        assert tasks == [], "not before the commit"
        assert ask(survey) == run
    assert tasks == [("identification.tasks.calibrate_population", run.pk)]
    assert AuditEntry.objects.filter(action="calibration.request").count() == 1
    other = make_survey()
    assert ask(other).population == other.population, "populations do not wait for each other"


def test_a_run_fits_once_however_often_it_is_called(survey) -> None:
    decide(survey)
    user = make_user(superuser=True)
    run = ask(survey, user=user)
    assert calibration_run(run_id=run.pk)
    made = PairCalibration.objects.get()
    found = now(run)
    assert (found.state, found.calibration, found.error) == ("done", made, "") and made.fitted_by == user
    assert "in use" in found.sentence and found.lease_until is None and found.finished_at is not None
    assert not calibration_run(run_id=run.pk) and PairCalibration.objects.count() == 1


def test_while_people_review_a_fit_is_asked_for_whenever_decisions_have_grown_by_a_tenth(survey) -> None:
    pairs = [(own[0], other) for own in survey.animals for other in own[1:]]

    def decided(number: int) -> None:
        for _ in range(number):
            first, second = pairs.pop(0)
            decision_record(acting_user=None, first=first, second=second, verdict=Verdict.MATCH, anchor=first)
            pairs.append((first, second))

    assert calibrations_request_due() == 0
    decided(11)
    assert calibrations_request_due() == 0
    decided(1)
    Survey.objects.update(matching_state=Survey.Matching.STALE)
    assert calibrations_request_due() == 0, "its candidates are not of today"
    Survey.objects.update(matching_state=Survey.Matching.DONE)
    assert calibrations_request_due() == 1
    run = CalibrationRun.objects.get()
    assert run.requested_by is None and run.population == survey.population
    decided(12)
    assert calibrations_request_due() == 0, "one is waiting"
    assert calibration_run(run_id=run.pk) and "Too few decisions" in now(run).sentence
    assert calibrations_request_due() == 1, "these 12 were decided after it was asked for"
    calibration_run(run_id=CalibrationRun.objects.get(state="pending").pk)
    decided(176)
    assert calibrations_request_due() == 1
    calibration_run(run_id=CalibrationRun.objects.get(state="pending").pk)
    decided(19)
    assert calibrations_request_due() == 0, "not a tenth of 200"
    decided(1)
    assert reconcile() and CalibrationRun.objects.filter(state="pending").count() == 1, "workers look for it"
    other = make_survey()
    assert calibrations_request_due() == 0 and not CalibrationRun.objects.filter(population=other.population).exists()


def test_what_people_undo_is_no_growth_and_a_fit_after_matching_counts_as_an_attempt(survey) -> None:
    decide(survey)
    assert service.calibration_after_matching(population=survey.population) is not None
    assert calibrations_request_due() == 0
    for decision in Decision.objects.order_by("pk")[:25]:
        decision_undo(acting_user=None, decision=decision)
    assert calibrations_request_due() == 0


def test_what_people_decide_while_a_fit_goes_on_is_not_in_it_and_counts_as_new(survey, monkeypatch) -> None:
    decide(survey)
    before, fit = Decision.objects.latest("pk"), service.fitted

    def meanwhile(labels, *rest):  # type: ignore[no-untyped-def]
        found = fit(labels, *rest)
        # As many as everything before: enough for the next fit, however much there is.
        for number in range(Decision.objects.count()):
            own = survey.animals[number % len(survey.animals)]
            decision_record(acting_user=None, first=own[0], second=own[1], verdict=Verdict.MATCH, anchor=own[0])
        return found

    monkeypatch.setattr(service, "fitted", meanwhile)
    run = ask(survey)
    assert calibration_run(run_id=run.pk)
    made, last = PairCalibration.objects.get(), Decision.objects.latest("pk")
    assert made.decided_until is not None
    assert before.created_at <= made.decided_until < last.created_at <= made.created_at
    assert calibrations_request_due() == 1, "what was decided meanwhile is new"
    PairCalibration.objects.update(decided_until=None)
    CalibrationRun.objects.filter(state="pending").delete()
    assert calibrations_request_due() == 0, "one from before the moment was kept counts from when it was stored"


def test_going_back_is_refused_at_once_where_nothing_is_before_it_and_while_a_fit_goes_on(survey) -> None:
    with pytest.raises(SpotIDError, match="nothing to go back to"):
        ask(survey, "rollback")
    decide(survey)
    shipped = probabilities(survey)
    calibration_run(run_id=ask(survey).pk)
    assert probabilities(survey) != shipped
    PairCalibration.objects.update(version="of earlier decisions")
    fit = ask(survey)
    with pytest.raises(SpotIDError, match="is being calibrated"):
        ask(survey, "rollback")
    calibration_run(run_id=fit.pk)
    for _ in range(2):
        run = ask(survey, "rollback")
        assert calibration_run(run_id=run.pk) and "is in use" in now(run).sentence
    assert now(run).sentence == "The calibration that ships is in use." and now(run).calibration is None


def test_only_administrators_ask_and_who_is_none_any_more_gets_the_reason(survey) -> None:
    with pytest.raises(SpotIDError, match="for administrators"):
        ask(survey, user=make_user(is_staff=True))
    user = make_user(superuser=True)
    run = ask(survey, user=user)
    user.is_superuser = False
    user.save(update_fields=["is_superuser"])
    calibration_run(run_id=run.pk)
    assert now(run).state == "failed" and "for administrators" in now(run).error, "another attempt changes nothing"


def test_a_failure_is_tried_again_until_the_attempts_are_used_up(survey, monkeypatch) -> None:
    run = ask(survey)

    def breaks(*arguments, **options):
        raise ValueError("this is no evidence of a candidate")

    monkeypatch.setattr(service, "labelled_candidates", breaks)
    for attempt in range(1, settings.SPOTID_MAX_ATTEMPTS + 1):
        assert calibration_run(run_id=run.pk)
        last = attempt == settings.SPOTID_MAX_ATTEMPTS
        assert now(run).state == ("failed" if last else "pending") and "no evidence" in now(run).error
    assert not calibration_run(run_id=run.pk)
    monkeypatch.undo()
    again = ask(survey)
    assert again != run and calibration_run(run_id=again.pk) and now(again).state == "done"


def test_the_loss_of_the_database_is_raised_and_the_run_stays_claimed(survey, monkeypatch) -> None:
    run = ask(survey)

    def lost(*arguments, **options):
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(service, "labelled_candidates", lost)
    with pytest.raises(OperationalError):
        calibration_run(run_id=run.pk)
    assert now(run).state == "running"


def test_a_run_whose_worker_died_is_taken_up_and_the_late_one_stores_nothing(survey) -> None:
    decide(survey)
    run = ask(survey)
    late = calibration_claim(run_id=run.pk)
    assert late is not None and calibration_claim(run_id=run.pk) is None, "taken"
    assert calibration_expire() == 0, "its worker is this process, and its lease has not run out"
    lease_runs_out(run)
    OrmQ.objects.all().delete()
    reconcile()
    assert now(run).state == "pending" and now(run).worker == ""
    with pytest.raises(LeaseLost):
        service.calibration_fit(population=survey.population, acting_user=None, claim=late)
    assert not PairCalibration.objects.exists(), "a late write is refused"
    assert calibration_run(run_id=run.pk) and PairCalibration.objects.count() == 1
    with pytest.raises(LeaseLost):
        service.calibration_rollback(population=survey.population, acting_user=None, claim=late)
    assert PairCalibration.objects.filter(active=True).count() == 1


def test_a_run_on_which_workers_die_is_given_up_with_the_reason(survey) -> None:
    run = ask(survey)
    for _ in range(settings.SPOTID_MAX_ATTEMPTS):
        assert isinstance(calibration_claim(run_id=run.pk), CalibrationClaim)
        lease_runs_out(run)
        assert calibration_expire() == 1
    assert now(run).state == "failed" and "The worker died 3 times" in now(run).error


def test_the_page_says_how_far_it_is_and_what_came_of_it(survey) -> None:
    browser = Client()
    browser.force_login(make_user("boss", superuser=True, is_staff=True))
    name = "admin:identification_paircalibration"
    live = reverse(f"{name}_live", args=[survey.population.pk])
    assert browser.get(live).status_code == 404, "nobody has asked"
    decide(survey)
    page = browser.post(reverse(f"{name}_fit", args=[survey.population.pk]), follow=True).content.decode()
    assert "Waiting" in page and f'hx-get="{live}"' in page and "asked for by boss" in page
    assert f"Calibrate {survey.population}" not in page, "not a second time"
    response = browser.get(live)
    assert 'data-open="yes"' in response.content.decode() and "no-store" in response["Cache-Control"]
    run = CalibrationRun.objects.get()
    calibration_run(run_id=run.pk)
    assert browser.get(live)["HX-Refresh"] == "true", "it stands: the whole page is wanted"
    page = browser.get(reverse(f"{name}_changelist")).content.decode()
    assert f'hx-get="{live}"' not in page and now(run).sentence.split(":")[0] in page
    CalibrationRun.objects.update(state="failed", error="The worker died 3 times while it calibrated.")
    assert "The worker died 3 times" in browser.get(reverse(f"{name}_changelist")).content.decode()
    staff = Client()
    staff.force_login(make_user(is_staff=True))
    assert staff.get(live).status_code == 403


_HUNG = """
import sys, time, django
django.setup()
from identification.services import calibration
calibration.fitted = lambda *arguments: (print("fitting", flush=True), time.sleep(600))
from identification.tasks import calibrate_population
calibrate_population(int(sys.argv[1]))
"""


@pytest.mark.cluster
@pytest.mark.skipif(os.name == "nt", reason="kills processes by POSIX signals")
@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_while_it_fits_loses_nothing(survey, tiny_model, tmp_path: Path) -> None:
    decide(survey)
    run = ask(survey)
    command = [sys.executable, "-c", _HUNG, str(run.pk)]
    process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=worker_environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"fitting\n"
    assert now(run).state == "running" and now(run).attempts == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    OrmQ.objects.all().delete()
    with running_worker(tmp_path / "worker.log", SPOTID_RUNTIME="torch", SPOTID_TRAINING="0"):
        wait_until(lambda: now(run).state == "done", lambda: CalibrationRun.objects.values())
    assert now(run).attempts == 2 and PairCalibration.objects.get().active
