"""Whatever a page can do, a program can do: a table from every page, and every method of it, to what the API has.

The pages are read off the URL configuration and off the rules of test_views_matrix.py, the admin's off its registry; a
new one without a line here fails. What belongs to browsers alone says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.urls import get_resolver

from identification.api import urls
from tests.identification.api_pages import ACTIONS, ADMIN, ADMIN_OF_ALL, ADMIN_ROWS, PAGES, Browser
from tests.identification.test_api_matrix import METHODS
from tests.identification.test_views_matrix import RULES, addresses

_STANDARD = {"changelist", "add", "change", "delete", "history"}
OPERATIONS = {
    f"{method} {pattern.name.removeprefix('api-')}"
    for pattern in urls.urlpatterns
    for method in METHODS
    if hasattr(pattern.callback.cls, method)
}


@dataclass(frozen=True)
class AdminAddresses:
    """Those that the admin makes for every registered row, and those that somebody wrote."""

    rows: set[str]
    own: set[str]
    of_all: set[str]


def _admin() -> AdminAddresses:
    names = {name.removeprefix("admin:") for name, _ in addresses(get_resolver().url_patterns) if ":" in name}
    rows, made = set(), set()
    for model in admin.site._registry:
        base = f"{model._meta.app_label}_{model._meta.model_name}"
        rows.add(base)
        made |= {f"{base}_{kind}" for kind in _STANDARD}
    own = {name for name in names - made if name.rsplit("_", 1)[0] in rows or name.startswith(tuple(rows))}
    return AdminAddresses(rows, own, names - made - own - {"None"})


def _named(entry: Any) -> Iterator[str]:
    yield from () if isinstance(entry, Browser) else entry


def test_every_page_and_method_has_a_line() -> None:
    """The rules of the pages hold every address (test_every_address_has_a_rule)."""
    assert {f"{rule.method} {rule.name}" for rule in RULES} == set(PAGES)


def test_every_page_of_the_admin_has_a_line() -> None:
    found = _admin()
    assert found.rows == set(ADMIN_ROWS)
    assert found.own == set(ADMIN)
    assert found.of_all == set(ADMIN_OF_ALL)


def test_every_bulk_action_of_the_admin_has_a_line() -> None:
    found = set()
    for model, room in admin.site._registry.items():
        names = [*(room.actions or ()), *getattr(room, "actions_list", ()), *getattr(room, "actions_detail", ())]
        found |= {f"{model._meta.model_name} {name}" for name in names}
    assert found == set(ACTIONS)


def test_what_the_lines_name_is_there() -> None:
    tables: list[dict[str, Any]] = [PAGES, ADMIN_ROWS, ADMIN, ADMIN_OF_ALL, ACTIONS]
    named = {(page, one) for table in tables for page, entry in table.items() for one in _named(entry)}
    assert {(page, one) for page, one in named if one not in OPERATIONS} == set()
    assert all(entry.why if isinstance(entry, Browser) else entry for table in tables for entry in table.values())


def test_a_form_that_writes_is_an_operation_that_writes() -> None:
    """A page that changes something is not covered by reading alone, but where only the way of looking is written."""
    reading = {
        page
        for page, entry in PAGES.items()
        if page.startswith("post ") and not isinstance(entry, Browser) and all(one.startswith("get ") for one in entry)
    }
    assert reading == {"post audit-table"}


def test_every_operation_is_some_page_or_says_what_for() -> None:
    """The other way round: an operation that no page leads to is named, so that the table does not go stale."""
    tables: list[dict[str, Any]] = [PAGES, ADMIN_ROWS, ADMIN, ADMIN_OF_ALL, ACTIONS]
    used = {one for table in tables for entry in table.values() for one in _named(entry)}
    assert OPERATIONS - used - _OF_PROGRAMS == set()
    assert _OF_PROGRAMS & used == set()


# What programs are told apart that a page says beside other things, or that catches what is not there.
_OF_PROGRAMS = {
    *(f"{method} not-there" for method in METHODS),
    *("get schema", "get docs"),
    "post decisions-bulk",
}
