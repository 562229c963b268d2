"""Saying of stations when their cameras worked."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from django.db import IntegrityError, transaction

from identification.errors import SpotIDError
from identification.matching.operation import Operation, effort
from identification.models import AuditEntry, CameraOperation
from identification.selectors.camera_operation import operations_of, worked_days
from identification.services.camera_operation import operations_forget, operations_set
from tests.identification import factories as make

pytestmark = pytest.mark.django_db

A = Operation(date(2024, 3, 1), date(2024, 3, 9), ((date(2024, 3, 3), date(2024, 3, 4)),), "A")
B = Operation(datetime(2024, 3, 1, 18, 30), datetime(2024, 3, 20, 7), (), "B")
LATER = Operation(date(2024, 4, 1), None, (), "A")


def test_of_a_survey_of_which_nothing_was_said_nothing_is_known() -> None:
    survey = make.make_survey()
    make.make_station(survey)
    assert operations_of(survey) == {} and worked_days(survey) == {}


def test_what_is_said_is_read_back_and_saying_it_again_changes_nothing() -> None:
    survey, user = make.make_survey(), make.make_user()
    station = make.make_station(survey, "ST01")
    rows = [("ST01", A), ("ST01", B), ("ST01", LATER), ("ST02", A)]
    done = operations_set(survey=survey, acting_user=user, rows=rows)
    assert (done.written, done.same, done.removed, done.stations) == (4, 0, 0, ("ST02",))
    assert operations_of(survey)[station.pk] == (A, LATER, B)
    entry = AuditEntry.objects.get(action="stations.operation")
    assert entry.acting_user == user and entry.after["stations"] == ["ST01", "ST02"]
    again = operations_set(survey=survey, acting_user=user, rows=rows)
    assert (again.written, again.same, again.removed, again.stations) == (0, 4, 0, ())
    assert AuditEntry.objects.filter(action="stations.operation").count() == 1


def test_what_is_said_of_a_station_replaces_what_was_known_of_it_alone() -> None:
    survey = make.make_survey()
    operations_set(survey=survey, acting_user=None, rows=[("ST01", A), ("ST01", B), ("ST02", B)])
    done = operations_set(survey=survey, acting_user=None, rows=[("ST01", A)])
    assert (done.written, done.same, done.removed) == (0, 1, 1)
    assert [row.camera for row in CameraOperation.objects.order_by("station__code")] == ["A", "B"]
    assert operations_forget(survey=survey, acting_user=None, station=survey.stations.get(code="ST02")) == 1
    assert operations_forget(survey=survey, acting_user=None, station=survey.stations.get(code="ST02")) == 0


def test_a_day_counts_once_for_two_cameras_and_by_camera_alone() -> None:
    survey = make.make_survey()
    operations_set(survey=survey, acting_user=None, rows=[("ST01", A), ("ST01", LATER)])
    (both,) = worked_days(survey).values()
    assert effort(both) == 6
    station = survey.stations.get().pk
    assert effort(worked_days(survey, until={station: date(2024, 4, 2)})[station]) == 7.5
    assert worked_days(survey, camera="B") == {}
    operations_set(survey=survey, acting_user=None, rows=[("ST01", Operation(A.set_up, A.retrieved))])
    assert effort(worked_days(survey, camera="B")[station]) == 8


def test_what_cannot_be_is_refused_whole() -> None:
    survey = make.make_survey()
    wrong = Operation(date(2024, 3, 9), date(2024, 3, 1))
    with pytest.raises(SpotIDError, match="ST02: the retrieval is not after the set-up"):
        operations_set(survey=survey, acting_user=None, rows=[("ST01", A), ("ST02", wrong)])
    with pytest.raises(SpotIDError, match="set up twice"):
        operations_set(survey=survey, acting_user=None, rows=[("ST01", A), ("ST01", A)])
    assert not survey.stations.exists()


def test_the_database_holds_one_operation_per_camera_and_set_up() -> None:
    survey = make.make_survey()
    station = make.make_station(survey)
    CameraOperation.objects.create(station=station, set_up=date(2024, 3, 1))
    with pytest.raises(IntegrityError), transaction.atomic():
        CameraOperation.objects.create(station=station, set_up=date(2024, 3, 1))
