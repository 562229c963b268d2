"""What was found of every compared pair of a matching run, by anchor, in about a hundred bytes each.

A run over ten thousand photos compares half a million pairs. As objects these take a kilobyte each; here the numbers
of a pair are one row of a table, and whatever asks for a pair gets an equal object back.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .comparison import PairScore

if TYPE_CHECKING:
    from modelzoo.calibration import Evidence


class ComparedPairs:
    """Pairs by anchor, each anchor's in the order in which they were added. Anchors and others are positions (≥ 0).

    Reading gives exactly what was added: numbers in full precision, None where there was none.
    """

    def __init__(self) -> None:
        from modelzoo.calibration import Evidence

        self._evidence = Evidence
        self._columns = [*_columns(PairScore, "pair"), *_columns(Evidence, "evidence")]
        self._dtype = np.dtype([(name, kind) for name, kind, _ in self._columns])
        self._texts: list[str] = []
        self._of: dict[int, tuple[NDArray[np.int32], NDArray[Any]]] = {}

    def __iter__(self) -> Iterator[int]:
        """Anchors in the order in which they were added."""
        return iter(self._of)

    def __contains__(self, anchor: object) -> bool:
        return anchor in self._of

    def __len__(self) -> int:
        """How many pairs there are."""
        return sum(len(others) for others, _ in self._of.values())

    def add(self, anchor: int, others: Sequence[int], found: Sequence[PairScore]) -> None:
        """All of one anchor. Each of `found` has evidence."""
        rows = np.array([self._packed(result) for result in found], self._dtype)
        self._of[anchor] = np.array(others, np.int32), rows

    def find(self, anchor: int, other: int) -> PairScore | None:
        """What was found of a pair from the anchor's side; None where it was not compared."""
        if anchor not in self._of:
            return None
        places = np.flatnonzero(self._of[anchor][0] == other)
        return self.result(anchor, int(places[0])) if len(places) else None

    def others(self, anchor: int) -> list[int]:
        return self._of[anchor][0].tolist()

    def weights(self, anchor: int) -> list[float]:
        """Of the geometric verification, 0 where nothing was verified."""
        found: list[float] = np.nan_to_num(self._of[anchor][1]["evidence.weight"], nan=0.0).tolist()
        return found

    def result(self, anchor: int, place: int) -> PairScore:
        """The place-th pair of an anchor."""
        return self._unpacked(self._of[anchor][1][place])

    def results(self, anchor: int) -> list[PairScore]:
        return [self._unpacked(row) for row in self._of[anchor][1]]

    def _packed(self, result: PairScore) -> tuple[Any, ...]:
        said: Evidence | None = result.evidence
        assert said is not None
        values = []
        for name, _, kind in self._columns:
            owner, _, attribute = name.partition(".")
            value = getattr(result if owner == "pair" else said, attribute)
            if kind is str:
                if value not in self._texts:
                    self._texts.append(value)
                value = self._texts.index(value)
            values.append(np.nan if value is None else value)
        return tuple(values)

    def _unpacked(self, row: Any) -> PairScore:
        values: dict[str, dict[str, Any]] = {"pair": {}, "evidence": {}}
        for (name, _, kind), value in zip(self._columns, row.item(), strict=True):
            owner, _, attribute = name.partition(".")
            if kind is str:
                value = self._texts[value]
            elif kind is None and value != value:
                value = None
            values[owner][attribute] = value
        return PairScore(**values["pair"], evidence=self._evidence(**values["evidence"]))


_KINDS = {int: "i4", float: "f8", bool: "?", str: "i4"}


def _columns(owner: type, prefix: str) -> list[tuple[str, str, type | None]]:
    """Name, type in the table and in Python of each number of a dataclass; None for a number that may be missing.

    Raises TypeError for a field that does not fit a table: whoever adds one sees it at once.
    """
    hints = typing.get_type_hints(owner, localns={"Evidence": object})
    found: list[tuple[str, str, type | None]] = []
    for field in fields(owner):
        kind = hints[field.name]
        optional = isinstance(kind, types.UnionType) and set(kind.__args__) == {float, type(None)}
        if kind in _KINDS:
            found.append((f"{prefix}.{field.name}", _KINDS[kind], kind))
        elif optional:
            found.append((f"{prefix}.{field.name}", "f8", None))
        elif field.name != "evidence":
            raise TypeError(f"{owner.__name__}.{field.name} does not fit a table")
    return found
