"""Prepared queries give what the QuerySets that they are made of give, and keep to the same rights."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import psycopg
import pytest
from django.db import NotSupportedError, connection, transaction
from django.db.models import Count
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from identification.models import Detection, Membership, Population, ReviewPosition, Role, Survey
from identification.permissions import detections_for, detections_given, rights_given, rights_read_once
from identification.prepared import Given, Prepared, Written
from identification.services.individuals import population_lock
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db


def by_ids(rows):  # type: ignore[no-untyped-def]
    related = rows.select_related("image__station", "image__survey", "individual__population").defer("image__exif")
    return related.order_by("-pk")


def test_rows_are_those_of_the_queryset_with_their_related_ones() -> None:
    survey = make.make_survey()
    first, second = (make.make_sighting(survey, files=False) for _ in range(2))
    match(None, first, second)
    alone = make.make_sighting(survey, station=make.make_station(survey, "ST07"), files=False)
    ids = [alone.pk, first.pk, second.pk]
    query = Prepared(lambda: by_ids(Detection.objects.filter(pk__any_of=Given("ids"))))
    plain = list(by_ids(Detection.objects.filter(pk__in=ids)))
    for _ in range(7):  # from the fifth time on PostgreSQL has it prepared
        rows = query(ids=ids)
        assert rows == plain and len(rows) == 3
    with CaptureQueriesContext(connection) as asked:
        for row, same in zip(rows, plain, strict=True):
            assert {**row.__dict__, "_state": None} == {**same.__dict__, "_state": None}
            assert row.image.survey == survey and row.image.station == same.image.station
            assert (row.individual and row.individual.population.code_prefix) == (
                same.individual and same.individual.population.code_prefix
            )
            assert row.image.get_deferred_fields() == {"exif"} and not row._state.adding and row._state.db == "default"
    assert len(asked) == 0
    assert query(ids=[]) == [] and query(ids=[10**12]) == [] and query(ids=[1, 40_000, 3_000_000_000, *ids]) == plain
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%identification_detection%'")
        assert cursor.fetchone()[0] >= 1


def test_tuples_come_with_their_values_converted() -> None:
    position = ReviewPosition.objects.create(
        user=make.make_user("ana"), survey=make.make_survey(), mode="mine", focus={"station": 7}, put_off=[[1, 2]]
    )
    asked = Prepared(
        lambda: ReviewPosition.objects.filter(
            user=Given("user"), updated_at__gt=Given("after"), mode=Given("mode")
        ).values_list("focus", "put_off", "updated_at")
    )
    before = timezone.now() - timedelta(days=1)
    found = asked(user=position.user_id, after=before, mode="mine")
    assert found == [({"station": 7}, [[1, 2]], position.updated_at)]
    assert asked(user=position.user_id, after=timezone.now(), mode="mine") == []
    assert not asked.exists(user=position.user_id, after=before, mode="queue")


def test_what_is_no_plain_row_is_refused_and_a_value_that_is_missing_named() -> None:
    annotated = Prepared(lambda: Population.objects.annotate(n=Count("surveys")).filter(pk=Given("pk")))
    with pytest.raises(NotImplementedError, match="annotations"):
        annotated(pk=1)
    with pytest.raises(NotImplementedError, match="FlatValuesListIterable"):
        Prepared(lambda: Population.objects.filter(pk=Given("pk")).values_list("pk", flat=True))(pk=1)
    with pytest.raises(KeyError, match="population"):
        Prepared(lambda: Survey.objects.filter(population=Given("population")))(pk=1)


def test_prepared_queries_are_counted_and_wrapped_like_any_other() -> None:
    query, seen = Written("SELECT %(number)s::int"), []

    def watched(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        seen.append(sql)
        return execute(sql, params, many, context)

    with CaptureQueriesContext(connection) as asked, connection.execute_wrapper(watched):
        assert query(number=7) == [(7,)]
    assert len(asked) == len(seen) == 1 and asked[0]["sql"].startswith("SELECT ")


def test_a_query_written_in_sql_takes_values_by_name() -> None:
    query = Written("SELECT unnest(%(numbers)s::bigint[]) + %(more)s::int")
    for _ in range(7):
        assert query(numbers=[1, 5_000_000_000], more=2) == [(3,), (5_000_000_002,)]


@pytest.mark.parametrize("role", [*Role, None])
def test_boxes_of_prepared_queries_are_those_that_the_account_may_see(role: Role | None) -> None:
    """Of four surveys, a member of one, of another by its population, of none of the others; people and animals."""
    own, foreign = make.make_survey(name="own"), make.make_survey(name="foreign")
    whole = make.make_survey(name="whole")
    beside = make.make_survey(whole.population, name="beside")
    ids = []
    for survey in (own, foreign, whole, beside):
        ids += [make.make_sighting(survey, files=False).pk for _ in range(2)]
        person = make.make_sighting(survey, files=False)
        Detection.objects.filter(pk=person.pk).update(category="person")
        ids.append(person.pk)
    user = make.make_user("some")
    if role is not None:
        make.make_member(own, role, user=user)
        Membership.objects.create(user=user, population=whole.population, role=Role.VIEWER)
    query = Prepared(lambda: detections_given().filter(pk__any_of=Given("ids")).order_by("pk"))
    plain = list(detections_for(user).order_by("pk"))
    with rights_read_once(user):
        given = rights_given(user)
        assert given is not None
        assert query(ids=ids, **given) == plain == list(detections_for(user).order_by("pk"))
    assert bool(plain) == (role is not None)
    assert rights_given(make.make_user("boss", superuser=True)) is None


@pytest.mark.django_db(transaction=True)
def test_a_session_that_was_lost_between_requests_is_noticed(client) -> None:
    """PostgreSQL was started anew: the next request, whose first query is a prepared one, gets a new session."""
    user = make.make_user("ana", password="correct horse battery staple")
    client.force_login(user)
    client.raise_request_exception = False
    assert client.get(reverse("account")).status_code == 200
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    values = connection.get_connection_params()
    known = {name: values[name] for name in ("host", "port", "dbname", "user", "password") if values.get(name)}
    with psycopg.connect(**known, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
    connection.close_if_unusable_or_obsolete()  # as each request begins
    assert client.get(reverse("account")).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_holds_nothing_is_refused_each_time() -> None:
    survey = make.make_survey()
    for _ in range(2):
        with pytest.raises(TransactionManagementError):
            population_lock(survey.population_id)
        with transaction.atomic():
            assert population_lock(survey.population_id) == survey.population


@pytest.mark.django_db(transaction=True)
def test_what_django_asks_itself_is_neither_kept_nor_in_the_way() -> None:
    query = Written("SELECT %(number)s::int + 30")
    for round_ in range(8):
        query(number=1)
        with connection.cursor() as cursor:
            for n in range(320):
                cursor.execute("SELECT %s", [f"{round_}-{n}"])
    assert connection.connection.prepare_threshold is None

    def kept() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%+ 30'")
            return int(cursor.fetchone()[0])

    assert kept() == 1
    with transaction.atomic(), contextlib.suppress(KeyError), transaction.atomic():
        raise KeyError
    assert kept() == 1 and query(number=2) == [(32,)]


@pytest.mark.django_db(transaction=True)
def test_a_table_that_was_altered_meanwhile_costs_one_answer() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE altered (id bigint, name varchar(10)); INSERT INTO altered VALUES (1, 'x')")
    query = Written("SELECT id, name FROM altered WHERE id = %(id)s")
    try:
        for _ in range(8):
            query(id=1)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE altered ALTER COLUMN name TYPE text")
        with pytest.raises(NotSupportedError):
            query(id=1)
        assert query(id=1) == [(1, "x")]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE altered")


def test_any_of_is_no_word_for_addresses() -> None:
    with pytest.raises(ValueError, match="prepared"):
        Detection.objects.filter(pk__any_of="5")
