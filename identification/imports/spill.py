"""Rows of a large table on the disk instead of in memory: in their order, and together by what they speak of.

A private SQLite file of the standard library, deleted with its object. What is put in is text, numbers and lists of
these; it comes back equal, lists for tuples.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

# Pages of the file that SQLite keeps in memory, in KB.
_CACHE = 16_000
# Rows that are written at once.
_PIECE = 1000

Said = tuple[int, Any]


class Spill:
    """folder: where the file lies; None for the system's own folder of temporary files."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = tempfile.mkdtemp(prefix="spotid-import-", dir=folder)
        self.rows = sqlite3.connect(Path(self._folder) / "rows", isolation_level=None, check_same_thread=False)
        self._close = weakref.finalize(self, _remove, self.rows, self._folder)
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            f"cache_size = -{_CACHE}",
        ):
            self.rows.execute(f"PRAGMA {pragma}")
        self.rows.execute("BEGIN")
        self._made = 0

    def close(self) -> None:
        self._close()

    def groups(self) -> Groups:
        self._made += 1
        return Groups(self, self._made)

    def names(self) -> Names:
        self._made += 1
        return Names(self, self._made)

    def listing(self) -> Listing:
        self._made += 1
        return Listing(self, self._made)


class Listing:
    """Values in the order in which they were put in. May be read any number of times."""

    def __init__(self, spill: Spill, number: int) -> None:
        # Which is there as long as anything of it is.
        self._spill, self._rows = spill, spill.rows
        self._table = f"listing{number}"
        self._rows.execute(f"CREATE TABLE {self._table} (id INTEGER PRIMARY KEY, said TEXT NOT NULL)")
        self._length = 0
        self._waiting: list[tuple[str]] = []

    def __len__(self) -> int:
        return self._length

    def append(self, said: Any) -> None:
        self._length += 1
        self._waiting.append((json.dumps(said),))
        if len(self._waiting) >= _PIECE:
            self._write()

    def _write(self) -> None:
        self._rows.executemany(f"INSERT INTO {self._table} (said) VALUES (?)", self._waiting)
        self._waiting.clear()

    def __iter__(self) -> Iterator[Any]:
        self._write()
        for (said,) in self._rows.execute(f"SELECT said FROM {self._table} ORDER BY id"):
            yield json.loads(said)


class Names:
    """A set of names."""

    def __init__(self, spill: Spill, number: int) -> None:
        self._spill, self._rows = spill, spill.rows
        self.table = f"names{number}"
        self._rows.execute(f"CREATE TABLE {self.table} (name TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, name: str) -> bool:
        """Returns whether it is a new one."""
        return self._rows.execute(f"INSERT OR IGNORE INTO {self.table} VALUES (?)", (name,)).rowcount == 1


class Groups:
    """What is said under each of many names, line by line. Lines of one name may be far apart."""

    def __init__(self, spill: Spill, number: int) -> None:
        self._spill, self._rows = spill, spill.rows
        self._name, self._said = f"name{number}", f"said{number}"
        self._rows.execute(f"CREATE TABLE {self._name} (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
        self._rows.execute(
            f"CREATE TABLE {self._said} (name INTEGER NOT NULL, line INTEGER NOT NULL, said TEXT NOT NULL)"
        )
        self._waiting: list[tuple[str, int, str]] = []
        self._indexed = False

    def __len__(self) -> int:
        """How many names there are."""
        self._write()
        found: int = self._rows.execute(f"SELECT count(*) FROM {self._name}").fetchone()[0]
        return found

    def add(self, name: str, line: int, said: Any) -> None:
        self._waiting.append((name, line, json.dumps(said)))
        if len(self._waiting) >= _PIECE:
            self._write()

    def _write(self) -> None:
        names = dict.fromkeys(name for name, _, _ in self._waiting)
        self._rows.executemany(f"INSERT OR IGNORE INTO {self._name} (name) VALUES (?)", ((name,) for name in names))
        self._rows.executemany(
            f"INSERT INTO {self._said} SELECT id, ?2, ?3 FROM {self._name} WHERE name = ?1", self._waiting
        )
        self._waiting.clear()

    def of(self, name: str) -> list[Said]:
        """What is said under a name, in the order in which it was put in."""
        self._index()
        rows = self._rows.execute(
            f"SELECT s.line, s.said FROM {self._name} n JOIN {self._said} s ON s.name = n.id WHERE n.name = ? "
            "ORDER BY s.rowid",
            (name,),
        )
        return [(line, json.loads(said)) for line, said in rows]

    def __iter__(self) -> Iterator[tuple[str, list[Said]]]:
        """Names in the order in which they were first met, each with what is said under it."""
        self._index()
        rows = self._rows.execute(
            f"SELECT n.id, n.name, s.line, s.said FROM {self._name} n CROSS JOIN {self._said} s ON s.name = n.id "
            "ORDER BY n.id, s.rowid"
        )
        for _, own in groupby(rows, key=lambda row: row[0]):
            lines = list(own)
            yield lines[0][1], [(line, json.loads(said)) for _, _, line, said in lines]

    def without(self, others: Names) -> Iterator[str]:
        """Names that are not among others, in alphabetical order."""
        self._write()
        rows = self._rows.execute(
            f"SELECT name FROM {self._name} WHERE name NOT IN (SELECT name FROM {others.table}) ORDER BY name"
        )
        yield from (name for (name,) in rows)

    def _index(self) -> None:
        self._write()
        if not self._indexed:
            self._rows.execute(f"CREATE INDEX by_{self._said} ON {self._said} (name)")
            self._indexed = True


def _remove(rows: sqlite3.Connection, folder: str) -> None:
    rows.close()
    shutil.rmtree(folder, ignore_errors=True)
