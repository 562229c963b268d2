"""The audit log: nothing changes it, everything that it promises is in it, and who may read what of it."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from identification.models import AuditEntry, Decision, Role, Survey, User, Verdict
from identification.selectors.audit import AuditFilter, audit_entries, audit_table
from identification.services.audit import audit_record
from identification.services.catalogue import population_update, station_update
from identification.services.curation import conflict_settle, individual_split, individuals_merge
from identification.services.places import stations_reveal
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db


@pytest.fixture
def decided() -> tuple[Survey, list[list[Any]]]:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    match(make.make_member(survey), *animals[0])
    audit_record(acting_user=None, action="survey.update", target=survey, survey=survey)
    return survey, animals


class TestNothingChangesIt:
    @pytest.mark.parametrize("table", ["identification_auditentry", "identification_decision"])
    @pytest.mark.parametrize("sql", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
    def test_not_by_sql(self, decided, table: str, sql: str) -> None:
        connection.check_constraints()  # else PostgreSQL refuses to empty a table for a reason of its own
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL spotid.empty = 'off'")  # what empties the tables of tests
            before = AuditEntry.objects.count(), Decision.objects.count()
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                cursor.execute(sql.format(table))
        assert (AuditEntry.objects.count(), Decision.objects.count()) == before and min(before) > 0

    @pytest.mark.parametrize("model", [AuditEntry, Decision])
    def test_not_through_the_models(self, decided, model: Any) -> None:
        row = model.objects.first()
        for change in (
            row.delete,
            row.save,
            model.objects.all().delete,
            lambda: model.objects.update(acting_user=None),
        ):
            with pytest.raises((DatabaseError, ProtectedError)), transaction.atomic():
                change()
        assert model.objects.filter(pk=row.pk).exists()

    def test_an_account_with_entries_cannot_be_deleted(self, decided) -> None:
        user = make.make_user("ana")
        audit_record(acting_user=user, action="sign_in", target=user)
        with pytest.raises(ProtectedError):
            user.delete()

    @pytest.mark.parametrize("model", ["auditentry", "decision"])
    def test_not_in_the_admin_even_by_administrators(self, decided, model: str) -> None:
        client = Client()
        client.force_login(make.make_user("boss", superuser=True))
        row = {"auditentry": AuditEntry, "decision": Decision}[model].objects.first()
        stem = f"admin:identification_{model}"
        assert client.get(reverse(f"{stem}_change", args=[row.pk])).status_code == 200
        assert (
            client.post(reverse(f"{stem}_change", args=[row.pk]), {"action": "x", "verdict": "match"}).status_code
            == 403
        )
        assert client.get(reverse(f"{stem}_add")).status_code == 403
        assert client.post(reverse(f"{stem}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        client.post(
            reverse(f"{stem}_changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        )
        assert type(row).objects.get(pk=row.pk).created_at == row.created_at


def test_merges_splits_and_settled_conflicts_are_in_it_once_for_each_survey(decided) -> None:
    survey, animals = decided
    curator = make.make_member(survey, Role.CURATOR)
    merged = individuals_merge(acting_user=curator, detections=[animals[0][0], animals[1][0]])
    individual_split(acting_user=curator, detections=[animals[1][0]])
    match(None, *animals[1])
    edge = match(None, animals[1][0], animals[1][1], Verdict.NO_MATCH, confirm=True).edge
    edge.refresh_from_db()
    conflict_settle(acting_user=curator, pairs={(edge.a_id, edge.b_id): edge.version}, verdict=Verdict.MATCH)
    rows = AuditEntry.objects.filter(acting_user=curator).order_by("pk")
    assert [(row.action, row.survey, row.after["matches"], row.after["refusals"]) for row in rows] == [
        ("individuals.merge", survey, 1, 0),
        ("individuals.split", survey, 0, 1),
        ("conflict.settle", survey, 1, 0),
    ]
    assert rows[0].after["batch"] == str(merged.batch)


class TestPage:
    @pytest.fixture
    def world(self) -> dict[str, Any]:
        here, there = make.make_survey(name="Here"), make.make_survey(name="There")
        people = {"curator": make.make_member(here, Role.CURATOR, user=make.make_user("curator"), places=True)}
        people |= {"boss": make.make_user("boss", superuser=True), "ben": make.make_user("ben")}
        station = make.make_station(here, "S1", latitude=27.512345, longitude=84.3)
        station_update(acting_user=people["boss"], station=station, latitude=27.598765)
        stations_reveal(acting_user=people["curator"], survey=here)
        stations_reveal(acting_user=people["boss"], survey=there)
        population_update(acting_user=None, population=here.population, code_prefix="XX")
        Client().post(reverse("login"), {"username": "ben", "password": "guess"})
        return {"here": here, "there": there, **people}

    def shown(self, user: User, **query: Any) -> list[tuple[str, str]]:
        client = Client()
        client.force_login(user)
        response = client.get(reverse("audit"), query)
        assert response.status_code == 200
        return [(who, row.action) for row, who, _, _ in response.context["rows"]]

    def test_administrators_read_all_newest_first_and_curators_their_surveys(self, world) -> None:
        assert self.shown(world["boss"]) == [
            ("", "sign_in.failure"),
            ("command", "population.update"),
            ("boss", "stations.reveal"),
            ("curator", "stations.reveal"),
            ("boss", "station.update"),
        ]
        assert self.shown(world["curator"]) == [("curator", "stations.reveal"), ("boss", "station.update")]

    def test_it_is_found_by_who_what_when_and_where(self, world) -> None:
        boss = world["boss"]
        today = timezone.now().astimezone(UTC).date()
        assert self.shown(boss, who="CURATOR") == [("curator", "stations.reveal")]
        assert self.shown(boss, who="command") == [("command", "population.update")]
        assert self.shown(boss, who="ben") == [("", "sign_in.failure")]
        assert self.shown(boss, action="stations") == [("boss", "stations.reveal"), ("curator", "stations.reveal")]
        assert self.shown(boss, action="station") == [("boss", "station.update")]
        assert self.shown(boss, survey=world["there"].pk) == [("boss", "stations.reveal")]
        assert len(self.shown(boss, first=today, last=today)) == 5
        assert (
            self.shown(boss, last=today - timedelta(days=1)) == [] == self.shown(boss, first=today + timedelta(days=1))
        )
        assert len(self.shown(boss, survey="x", first="yesterday")) == 5, "what cannot be read keeps nothing out"

    def test_a_filter_reaches_no_foreign_survey(self, world) -> None:
        assert self.shown(world["curator"], survey=world["there"].pk) == []
        assert self.shown(world["curator"], who="ben") == []

    def test_others_are_refused(self, world) -> None:
        client = Client()
        client.force_login(make.make_member(world["here"], Role.REVIEWER))
        assert client.get(reverse("audit")).status_code == 403
        assert client.post(reverse("audit-table")).status_code == 403

    def test_a_place_that_was_changed_is_not_told_in_page_or_table(self, world) -> None:
        client = Client()
        client.force_login(make.make_member(world["here"], Role.CURATOR))
        page = client.get(reverse("audit")).content.decode()
        table = b"".join(client.post(reverse("audit-table")).streaming_content).decode()
        for text in (page, table):
            assert "latitude: …" in text and "27.5" not in text

    def test_the_table_holds_the_same_rows_and_is_an_entry_itself(self, world) -> None:
        client = Client()
        client.force_login(world["boss"])
        answer = client.post(reverse("audit-table"), {"action": "stations"})
        rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))
        assert rows[0][:4] == ["when", "who", "action", "survey"]
        assert [row[1:4] for row in rows[1:]] == [
            ["boss", "stations.reveal", "There"],
            ["curator", "stations.reveal", "Here"],
        ]
        assert datetime.fromisoformat(rows[1][0]).tzinfo is not None
        last = AuditEntry.objects.first()
        assert (last.action, last.acting_user, last.after) == ("audit.download", world["boss"], {"action": "stations"})

    def test_no_cell_of_the_table_is_a_formula(self, world) -> None:
        evil = make.make_user("=HYPERLINK(1)")
        audit_record(acting_user=evil, action="survey.update", target=world["here"], after={"name": "\n=1"})
        rows = list(audit_table(audit_entries(user=world["boss"], wanted=AuditFilter(who=evil.username))))
        assert rows[1][1] == "'=HYPERLINK(1)" and not any(cell[:1] in "=+-@\t\r" for cell in filter(None, rows[1]))

    def test_a_deleted_survey_leaves_its_entries_readable(self, world) -> None:
        audit_record(acting_user=None, action="survey.update", target=world["there"], survey=Survey(pk=10**6))
        assert self.shown(world["boss"], action="survey.update") == [("command", "survey.update")]

    def test_queries_do_not_grow_with_the_rows(self, world, django_assert_max_num_queries) -> None:
        for _ in range(40):
            audit_record(acting_user=world["boss"], action="survey.update", target=world["here"], survey=world["here"])
        client = Client()
        client.force_login(world["curator"])
        with django_assert_max_num_queries(12):
            client.get(reverse("audit"))


def test_no_day_that_is_asked_for_is_a_fault_of_the_server(decided) -> None:
    client = Client()
    client.force_login(make.make_user("boss", superuser=True))
    for query in ("last=9999-12-31", "first=0001-01-01"):
        assert client.get(f"{reverse('audit')}?{query}").status_code == 200
    for query in ("who=%00", "action=a%00b"):
        assert client.get(f"{reverse('audit')}?{query}").status_code == 400


def test_the_table_hides_the_names_that_the_page_hides() -> None:
    survey = make.make_survey(hide_stations=True)
    audit_record(
        acting_user=None, action="stations.place", target=survey, survey=survey, after={"stations": ["SECRET-GORGE"]}
    )
    for places in (False, True):
        client = make.client_of(survey, Role.CURATOR, places=places)
        page = client.get(reverse("audit")).content.decode()
        table = b"".join(client.post(reverse("audit-table")).streaming_content).decode()
        assert "stations.place" in table
        assert [("SECRET-GORGE" in said) for said in (page, table)] == [places, places]
