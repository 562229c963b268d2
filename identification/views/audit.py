"""The record of what was done: for administrators all of it, for curators that of their surveys."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from .. import permissions
from ..naming import names_hidden_by
from ..selectors.audit import (
    NOBODY,
    AuditFilter,
    audit_actions,
    audit_entries,
    audit_surveys,
    audit_table,
    values_words,
    who_words,
)
from ..services.audit import audit_download_record
from .access import account, number
from .choosing import chooser

PER_PAGE = 100


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """What was done, newest first, by who, what, when and where."""
    user = account(request)
    _require_reader(request)
    wanted = _filter(request.GET)
    page = Paginator(audit_entries(user=user, wanted=wanted), PER_PAGE).get_page(request.GET.get("page"))
    rows = [(row, who_words(row), values_words(row, "before"), values_words(row, "after")) for row in page.object_list]
    kept = request.GET.copy()
    kept.pop("page", None)
    context: dict[str, Any] = {
        "rows": rows,
        "page": page,
        "query": kept.urlencode(),
        "wanted": wanted,
        "nobody": NOBODY,
        "actions": audit_actions(user),
        "surveys": chooser(request, "survey", audit_surveys(user), among=("name",)),
        "administrator": permissions.is_administrator(user),
    }
    return render(request, "identification/audit.html", context)


@require_POST
def audit_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The entries that the filter keeps as a table; that somebody took it is an entry itself."""
    user = account(request)
    _require_reader(request)
    wanted = _filter(request.POST)
    audit_download_record(acting_user=user, wanted=_said(request.POST))
    table = audit_table(audit_entries(user=user, wanted=wanted))
    lines = _lines(table, permissions.surveys_nameless(user))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="spotid_audit.csv"'
    return response


def _lines(table: Iterator[list[str]], nameless: Collection[int]) -> Iterator[str]:
    """They are read when the view is over, and with it what hides names from the account."""
    writer = csv.writer(_Echo())
    while True:
        with names_hidden_by(lambda: nameless):
            row = next(table, None)
        if row is None:
            return
        yield writer.writerow(row)


class _Echo:
    """What csv writes to, and which hands the line on."""

    def write(self, line: str) -> str:
        return line


def _require_reader(request: HttpRequest) -> None:
    user = account(request)
    if not permissions.is_administrator(user) and not audit_surveys(user).exists():
        raise PermissionDenied(gettext("The audit log is for administrators, and for curators that of their surveys."))


def _said(form: QueryDict) -> dict[str, str]:
    return {name: str(form[name]) for name in ("who", "action", "survey", "first", "last") if form.get(name)}


def _filter(form: QueryDict) -> AuditFilter:
    return AuditFilter(
        who=form.get("who", "").replace("\x00", "").strip(),
        action=form.get("action", "").replace("\x00", "").strip(),
        survey=number(form.get("survey")),
        first=_day(form.get("first", "")),
        last=_day(form.get("last", "")),
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
