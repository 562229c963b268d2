"""Pages by cursor: what comes next is asked for by where the last page ended, so that new rows shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils.http import urlencode
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

MOST = 200
USUAL = 50
# Where a time is unknown, it sorts behind all others.
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class PageQuery(serializers.Serializer):
    """What every list takes."""

    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=USUAL, help_text="Rows of one page.")
    cursor = serializers.CharField(max_length=400, required=False, help_text="From `next` of the page before.")


@dataclass(frozen=True)
class Page:
    """The rows of one page, and the cursor of the next one; None at the end."""

    rows: Sequence[Any]
    after: list[Any] | None


def _read(cursor: str, kind: str, length: int) -> list[Any]:
    try:
        said = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        if said[0] != kind or len(said) != length + 1:
            raise ValueError
    except (ValueError, TypeError, KeyError, IndexError, binascii.Error, RecursionError):
        raise ValidationError({"cursor": ["This is no cursor of this list."]}) from None
    return list(said[1:])


def _written(kind: str, values: Iterable[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps([kind, *values]).encode()).decode()


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValidationError({"cursor": ["This is no cursor of this list."]})
    return value


def by_id(rows: QuerySet[Any], query: dict[str, Any], *, newest: bool = False) -> Page:
    """A page in the order of ids."""
    limit = query["limit"]
    if "cursor" in query:
        pk = _whole(_read(query["cursor"], "id", 1)[0])
        rows = rows.filter(pk__lt=pk) if newest else rows.filter(pk__gt=pk)
    found = list(rows.order_by("-pk" if newest else "pk")[: limit + 1])
    return Page(found[:limit], ["id", found[limit - 1].pk] if len(found) > limit else None)


def by_time(rows: QuerySet[Any], query: dict[str, Any], field: str, *, newest: bool = False) -> Page:
    """A page in the order of a time, then of ids. Rows without a time are at the end, or with `newest` the first."""
    limit = query["limit"]
    rows = rows.annotate(_at=Coalesce(F(field), Value(_NEVER)))
    if "cursor" in query:
        at, pk = _read(query["cursor"], "at", 2)
        pk = _whole(pk)
        try:
            moment = datetime.fromisoformat(at)
        except (TypeError, ValueError):
            raise ValidationError({"cursor": ["This is no cursor of this list."]}) from None
        if moment.tzinfo is None:
            raise ValidationError({"cursor": ["This is no cursor of this list."]})
        beyond = (
            Q(_at__lt=moment) | Q(_at=moment, pk__lt=pk) if newest else Q(_at__gt=moment) | Q(_at=moment, pk__gt=pk)
        )
        rows = rows.filter(beyond)
    found = list(rows.order_by(*(("-_at", "-pk") if newest else ("_at", "pk")))[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    return Page(found[:limit], ["at", last._at.isoformat(), last.pk] if last is not None else None)


def by_place(rows: Any, query: dict[str, Any]) -> Page:
    """A page of a list that is in an order of its own (a selector's): its cursor is a place in it."""
    limit, start = query["limit"], 0
    if "cursor" in query:
        start = min(_whole(_read(query["cursor"], "n", 1)[0]), 10_000_000)
    found = list(rows[start : start + limit + 1])
    return Page(found[:limit], ["n", start + limit] if len(found) > limit else None)


def next_address(request: Any, page: Page) -> str | None:
    """The address of the next page, with the filters of this one."""
    if page.after is None:
        return None
    kept = [(name, value) for name, values in request.query_params.lists() for value in values if name != "cursor"]
    return f"{request.path}?{urlencode([*kept, ('cursor', _written(page.after[0], page.after[1:]))])}"
