"""The record of what was done, as far as an account may read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from datetime import date as Date
from typing import Any

from django.db.models import Q, QuerySet

from ..models import AuditEntry, Survey, User
from ..naming import names_hidden
from ..permissions import Action, is_administrator, surveys_for
from ..spreadsheets import neutralise, visible

COLUMNS = ("when", "who", "action", "survey", "object", "before", "after")
# The record of a change of places says that they changed; where to is for those who may see places.
_SECRET = frozenset({"latitude", "longitude"})
# Names of stations, files and folders, where a survey hides them.
_NAMES = frozenset({"station", "stations", "file", "folder", "path", "source_root", "station_pattern"})
NOBODY = "command"


@dataclass(frozen=True)
class AuditFilter:
    """What to look for. who: a user name, or `command` for the command line; last: the day itself included (UTC)."""

    who: str = ""
    action: str = ""
    survey: int | None = None
    first: Date | None = None
    last: Date | None = None


def audit_surveys(user: User) -> QuerySet[Survey]:
    """The surveys whose record the account may read."""
    return surveys_for(user, Action.MANAGE_MEMBERS).order_by("name")


def audit_readable(user: User) -> QuerySet[AuditEntry]:
    """All entries for administrators; for curators those of their surveys, newest first."""
    rows = AuditEntry.objects.select_related("acting_user", "survey").order_by("-pk")
    return rows if is_administrator(user) else rows.filter(survey__in=audit_surveys(user))


def audit_actions(user: User) -> list[tuple[str, str]]:
    """What was done, of those entries: what to ask for, and how it is shown. First come kinds, `membership.*`."""
    names = sorted(audit_readable(user).order_by().values_list("action", flat=True).distinct())
    kinds = sorted({name.split(".")[0] for name in names if "." in name})
    return [*((kind, f"{kind}.*") for kind in kinds), *((name, name) for name in names if name not in kinds)]


def audit_entries(*, user: User, wanted: AuditFilter) -> QuerySet[AuditEntry]:
    """The readable entries that a filter keeps. An action keeps those below it too: `membership` `membership.set`."""
    rows = audit_readable(user)
    if wanted.who == NOBODY:
        rows = rows.filter(acting_user__isnull=True).exclude(action="sign_in.failure")
    elif wanted.who:
        named = Q(acting_user__username__iexact=wanted.who)
        rows = rows.filter(named | Q(action="sign_in.failure", after__name__iexact=wanted.who))
    if wanted.action:
        rows = rows.filter(Q(action=wanted.action) | Q(action__startswith=f"{wanted.action}."))
    if wanted.survey is not None:
        rows = rows.filter(survey=wanted.survey)
    if wanted.first is not None:
        rows = rows.filter(created_at__gte=datetime.combine(wanted.first, time.min, UTC))
    if wanted.last is not None and wanted.last < Date.max:
        rows = rows.filter(created_at__lt=datetime.combine(wanted.last, time.min, UTC) + timedelta(days=1))
    return rows


def who_words(entry: AuditEntry) -> str:
    """The user name; nothing where somebody could not sign in; `command` for the command line and the software."""
    if entry.acting_user is not None:
        return str(entry.acting_user.username)
    return "" if entry.action == "sign_in.failure" else NOBODY


def values_shown(entry: AuditEntry, when: str) -> dict[str, Any]:
    """What an entry says of `before` or `after`, without places, and without names where they tell them."""
    values: dict[str, Any] = getattr(entry, when)
    secret = _SECRET
    if entry.survey_id is not None and names_hidden(entry.survey_id):
        secret |= _NAMES | ({"code", "new"} if entry.object_type == "station" or "stations" in values else set())
    return {name: "…" if name in secret and value is not None else value for name, value in values.items()}


def values_words(entry: AuditEntry, when: str) -> str:
    """The same in one line."""
    return visible(", ".join(f"{name}: {value}" for name, value in values_shown(entry, when).items()))


def audit_table(entries: QuerySet[AuditEntry]) -> Iterator[list[str]]:
    """Rows of a table of the entries, its heading first; no cell is a formula."""
    yield list(COLUMNS)
    for entry in entries.iterator(chunk_size=2000):
        cells = [
            entry.created_at.astimezone(UTC).isoformat(timespec="seconds"),
            who_words(entry),
            entry.action,
            entry.survey.name if entry.survey else "",
            f"{entry.object_type} {entry.object_id}",
            values_words(entry, "before"),
            values_words(entry, "after"),
        ]
        yield [neutralise(cell) for cell in cells]
