"""Queries that are built once and asked often.

Building a query of four tables takes Django several times as long as sending it and reading its rows, and a page of a
review asks some twenty, always the same ones with other numbers. A `Prepared` query is built once for each connection,
as a QuerySet with `Given` in place of what changes, and from then on only sent. Its rows are those that the QuerySet
would give: instances with their related ones, or tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connections
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import Expression, Field, ForeignKey, IntegerField, Lookup, QuerySet
from django.db.models.query import ModelIterable, ValuesListIterable, get_related_populators
from django.db.transaction import TransactionManagementError

# Asked so often on a connection, a query is prepared there; so many are kept.
_OFTEN, _MOST = 5, 300

Row = TypeVar("Row")


class Given(Expression):
    """A value that is given when the query is asked, by its name."""

    def __init__(self, name: str) -> None:
        super().__init__(output_field=IntegerField())
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:  # type: ignore[override]
        return "%s", (self,)


@Field.register_lookup
@ForeignKey.register_lookup
class AnyOf(Lookup):  # type: ignore[type-arg]
    """`any_of`: as `in` with a list, but in the same words whatever its length: `column = ANY(array)`."""

    lookup_name = "any_of"

    def get_prep_lookup(self) -> Any:
        if not isinstance(self.rhs, Given):
            raise ValueError("any_of is for prepared queries alone.")
        return self.rhs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:  # type: ignore[override]
        column, params = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*params, self.rhs)


class Prepared(Generic[Row]):
    """A query of the default database. build: makes the QuerySet; called once for each connection."""

    def __init__(self, build: Callable[[], QuerySet[Any, Row]]) -> None:
        self._build = build

    def __call__(self, **values: Any) -> list[Row]:
        """The rows. values: of every `Given`, as the database takes them (ids, texts, times, lists for `any_of`)."""
        connection = connections[DEFAULT_DB_ALIAS]
        kept: dict[Prepared[Any], _Built] = connection.__dict__.setdefault("spotid_prepared", {})
        built = kept.get(self)
        if built is None:
            built = kept[self] = _Built(self._build())
        if built.locks and connection.get_autocommit():
            raise TransactionManagementError("A lock outside of a transaction holds nothing.")
        return built.rows(
            _asked(built.sql, [values[one.name] if isinstance(one, Given) else one for one in built.params])
        )

    def exists(self, **values: Any) -> bool:
        """Whether there is a row: of a query that asks for one at most."""
        return bool(self(**values))


class Written:
    """The same for a query that is written in SQL, with a place `%(name)s` for each value. Its rows are tuples."""

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def __call__(self, **values: Any) -> list[tuple[Any, ...]]:
        return _asked(self.sql, values)


def _asked(sql: str, values: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What the database answers. Asked often on a connection, it keeps the query parsed and planned: planning some of
    them takes longer than reading their rows.

    Raises NotSupportedError, once, where a table was altered under a plan that is kept.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    # As Django's own cursors begin; the first query of a request may be this one.
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    session: Any = connection.connection
    raw: Any = ServerBindingCursor
    before, session.prepared_max = session.prepare_threshold, _MOST
    # Only now: what Django asks itself is not prepared, and would be counted all the same, with all its values.
    # Where queries are recorded, as tests and DEBUG do, it is not: psycopg forgets the text of what was prepared.
    session.prepare_threshold = None if connection.queries_logged else _OFTEN
    try:
        with connection._prepare_cursor(raw(session)) as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())
    except NotSupportedError:
        # A table was altered under a plan that is kept; with a transaction that fails, plans are dropped anyway.
        if not connection.in_atomic_block:
            connection.close()
        raise
    finally:
        session.prepare_threshold = before


class _Built:
    """A QuerySet that was compiled, and what Django makes its rows with."""

    def __init__(self, queryset: QuerySet[Any, Any]) -> None:
        self.locks = queryset.query.select_for_update
        self._iterable: Any = queryset._iterable_class  # type: ignore[attr-defined]
        self._compiler: Any = queryset.query.get_compiler(using=queryset.db)
        self.sql, self.params = self._compiler.as_sql()
        compiler = self._compiler
        self._converters = compiler.get_converters([column[0] for column in compiler.select[: compiler.col_count]])
        if issubclass(self._iterable, ModelIterable):
            if compiler.annotation_col_map:
                raise NotImplementedError("Rows with annotations are not prepared.")
            first, last = compiler.klass_info["select_fields"][0], compiler.klass_info["select_fields"][-1]
            self._model, self._own = compiler.klass_info["model"], slice(first, last + 1)
            self._names = [column[0].target.attname for column in compiler.select[self._own]]
            populators: Any = get_related_populators
            self._related = populators(compiler.klass_info, compiler.select, queryset.db)
        elif self._iterable is not ValuesListIterable:
            raise NotImplementedError(f"{self._iterable.__name__} is not prepared.")

    def rows(self, found: Iterable[tuple[Any, ...]]) -> list[Any]:
        """As ModelIterable and ValuesListIterable of django.db.models.query make them."""
        rows: Any = self._compiler.apply_converters(found, self._converters) if self._converters else found
        if self._iterable is ValuesListIterable:
            return [tuple(row) for row in rows]
        made = []
        for row in rows:
            one = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._own])
            for related in self._related:
                related.populate(row, one)
            made.append(one)
        return made
