"""A population's rows in tables of one transaction alone, on which the dry run of an import works.

Temporary tables bear the names of the real ones, and PostgreSQL looks among them first: whatever is read, held and
written in the transaction afterwards means the copies. So a dry run does what the run does, row by row, and nobody
waits for it. What is not copied is not written by imports; a transaction that is a dry run's alone is read-only for all
but the copies, so that the database refuses what would be forgotten here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Model

from .. import models
from ..models import LinkProposal, Population, ReviewPosition

_SURVEYS = "survey_id IN (SELECT id FROM identification_survey WHERE population_id = %(population)s)"
_NONE = "false"
# Parents before what hangs on them: a condition reads what has been copied already.
_COPIED: tuple[tuple[type[Model], str], ...] = (
    (Population, "true"),
    (models.Survey, "true"),
    (models.Station, _SURVEYS),
    (models.CameraClock, "station_id IN (SELECT id FROM identification_station)"),
    (models.CameraOperation, "station_id IN (SELECT id FROM identification_station)"),
    (models.EncounterEvent, _SURVEYS),
    (models.Image, _SURVEYS),
    (models.Work, "image_id IN (SELECT id FROM identification_image)"),
    (models.Detection, "image_id IN (SELECT id FROM identification_image)"),
    (models.Individual, "population_id = %(population)s"),
    (models.MatchEdge, "a_id IN (SELECT id FROM identification_detection)"),
    (models.Decision, "edge_id IN (SELECT id FROM identification_matchedge)"),
    (models.Candidate, "anchor_id IN (SELECT id FROM identification_detection)"),
    (models.TriageRun, _SURVEYS),
    (models.AuditEntry, _SURVEYS),
    (LinkProposal, _SURVEYS),
    (LinkProposal.detections.through, "linkproposal_id IN (SELECT id FROM identification_linkproposal)"),
    (LinkProposal.left_out.through, "linkproposal_id IN (SELECT id FROM identification_linkproposal)"),
    (ReviewPosition, _SURVEYS),
    (ReviewPosition.passed.through, "reviewposition_id IN (SELECT id FROM identification_reviewposition)"),
    (models.Remark, _SURVEYS),
    (models.IngestReport, _NONE),
    (models.SkippedPhoto, _NONE),
)
COPIED = frozenset(model._meta.db_table for model, _ in _COPIED)
# Ids of the copies' new rows lie far above those of rows that others make meanwhile.
_FAR = 10**12

_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FILTER (WHERE attgenerated = ''),
    max(attname) FILTER (WHERE attidentity <> '')
FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
_TRIGGERS = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"


@contextmanager
def population_copied(population: Population, tell: Callable[[], None]) -> Iterator[None]:
    """One transaction on copies of what belongs to a population; nothing of it stays. tell: called between tables.

    Inside a transaction of the caller's nothing of it stays either; that transaction's isolation holds then, and it is
    not read-only.
    """
    own = not connection.in_atomic_block
    with transaction.atomic():
        if own:
            _execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for model, condition in _COPIED:
            _copy(model._meta.db_table, condition, population.pk)
            tell()
        if own:
            _execute("SET TRANSACTION READ ONLY")
        yield
        transaction.set_rollback(True)


def _copy(table: str, condition: str, population_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = %s::regclass", [table])
        real = f"{cursor.fetchone()[0]}.{table}"
        cursor.execute(_COLUMNS, [real])
        columns, identity = cursor.fetchone()
        cursor.execute(_TRIGGERS, [real])
        triggers = [row[0] for row in cursor.fetchall()]
        cursor.execute(f"CREATE TEMPORARY TABLE {table} (LIKE {real} INCLUDING ALL) ON COMMIT DROP")
        cursor.execute(
            f"INSERT INTO pg_temp.{table} ({columns}) SELECT {columns} FROM {real} WHERE {condition}",
            {"population": population_id},
        )
        if identity:
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [f"pg_temp.{table}", identity, _FAR])
        for definition in triggers:
            cursor.execute(re.sub(r" ON \S+ ", f" ON pg_temp.{table} ", definition, count=1))
        cursor.execute(f"ANALYZE pg_temp.{table}")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
