"""Whether names of stations and files may be told to whoever reads now.

Where a survey hides its stations, names that tell a place are neutral on every page, in messages and in tables, for
those who may not see places. Who reads is set around a request; nothing is hidden from the software itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

_hidden: ContextVar[Callable[[], Collection[int]] | None] = ContextVar("names_hidden", default=None)


@contextmanager
def names_hidden_by(surveys: Callable[[], Collection[int]]) -> Iterator[None]:
    """Inside, the names of these surveys (ids) are hidden. Asked for once, when the first name is read."""
    read: list[Collection[int]] = []

    def once() -> Collection[int]:
        if not read:
            # While the answer is being read, nothing that is told by it may ask again.
            read.append(())
            read[0] = surveys()
        return read[0]

    before = _hidden.set(once)
    try:
        yield
    finally:
        _hidden.reset(before)


def names_hidden(survey_id: int) -> bool:
    hidden = _hidden.get()
    return hidden is not None and survey_id in hidden()


class Labelled(Protocol):
    """What is called something for whoever reads."""

    @property
    def label(self) -> str: ...


L = TypeVar("L", bound=Labelled)


def by_label(stations: Iterable[L]) -> list[L]:
    """Stations in the order of what they are called for whoever reads: that of hidden codes would tell of them."""
    return sorted(stations, key=lambda station: station.label)
