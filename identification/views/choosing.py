"""Select boxes over what may be many: the first of them, and a search among all where these are not all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from .access import number

MOST_OPTIONS = 100


@dataclass(frozen=True)
class Chooser:
    """One select box. options: ids with their words, what is chosen among them; all: how many there are.

    chosen: its row, None where none is chosen or it is not there. search: what the options were narrowed down by.
    """

    name: str
    options: list[tuple[int, str]]
    all: int
    chosen: Any = None
    search: str = ""

    @property
    def many(self) -> bool:
        return self.all > MOST_OPTIONS


def chooser(
    request: HttpRequest, name: str, rows: QuerySet[Any], *, words: Callable[[Any], str] = str, among: Sequence[str]
) -> Chooser:
    """Of rows in their order. among: the fields that a search looks into; the address says it as `<name>_q`."""
    wanted, search = number(request.GET.get(name)), request.GET.get(f"{name}_q", "").strip()[:120]
    found = rows
    for word in search.split():
        found = found.filter(Q(*(Q(**{f"{field}__icontains": word}) for field in among), _connector=Q.OR))
    shown = list(found[:MOST_OPTIONS])
    chosen = next((row for row in shown if row.pk == wanted), None)
    if chosen is None and wanted is not None and (chosen := rows.filter(pk=wanted).first()) is not None:
        shown = [chosen, *shown]
    everything = rows.count() if search or len(shown) >= MOST_OPTIONS else len(shown)
    return Chooser(name, [(row.pk, words(row)) for row in shown], everything, chosen, search)


def chooser_of_list(request: HttpRequest, name: str, options: list[tuple[int, str]]) -> Chooser:
    """The same of what is at hand already, in its order: labels that the database does not know."""
    wanted, search = number(request.GET.get(name)), request.GET.get(f"{name}_q", "").strip()[:120]
    asked = search.casefold().split()
    found = [option for option in options if all(word in option[1].casefold() for word in asked)][:MOST_OPTIONS]
    missing = [option for option in options if option[0] == wanted and option not in found]
    return Chooser(name, [*missing, *found], len(options), search=search)
