"""Tables that are too large for memory: read from the disk row by row, each time anew. Pure reading.

What they say is what `tables.table_of` would say of them.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .reading import UnusableFile
from .tables import Headed, Row, divider_of, heading_of, known_encoding, rows_of

MOST_BYTES = 4 << 30
# Of a line, in characters: one that never ends is no table's.
MOST_LINE = 16 << 20
_PIECE = 1 << 20
_HEAD = 1 << 18


class Sheet(Headed):
    """A table with a heading. Raises UnusableFile for what is too large, no text, or has no heading; while it is read,
    for what cannot be read further."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.stat().st_size > MOST_BYTES:
            raise UnusableFile("too_large", f"A table may have at most {MOST_BYTES >> 20} MB.")
        self._codec, self._errors, self.encoding = _encoding(path)
        with self._open() as handle:
            self.divider = divider_of(_beginning(handle))
        first = next(self._rows(), None)
        if first is None:
            raise UnusableFile("empty", "The table is empty.")
        self.heading = heading_of(first)

    def __iter__(self) -> Iterator[Row]:
        rows = self._rows()
        next(rows)
        return rows

    def _rows(self) -> Iterator[Row]:
        with self._open() as handle:
            yield from rows_of(_lines(handle), self.divider)

    def _open(self) -> IO[str]:
        return self._path.open(encoding=self._codec, errors=self._errors, newline="")


class Glance(Headed):
    """The heading of a table, from its first bytes alone. Raises UnusableFile where there is none, OSError."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as handle:
            data = handle.read(_HEAD)
        text, self.encoding = _decoded(data)
        text = text.replace("\x00", "")
        self.divider = divider_of(text)
        first = next(rows_of(io.StringIO(text, newline=""), self.divider), None)
        if first is None:
            raise UnusableFile("empty", "The table is empty.")
        self.heading = heading_of(first)


def _decoded(data: bytes) -> tuple[str, str]:
    """The beginning of a file, which may end within a character, and its encoding."""
    known = known_encoding(data)
    codec, name = known or ("utf-8", "UTF-8")
    try:
        return codecs.getincrementaldecoder(codec)().decode(data), name
    except UnicodeDecodeError:
        if known or b"\x00" in data:
            raise UnusableFile("not_text", "The file is no text.") from None
    return data.decode("cp1252", errors="replace"), "Windows-1252"


def _encoding(path: Path) -> tuple[str, str, str]:
    """Codec, what to do with what does not fit it, and its name for people, as `tables.decoded` tells them."""
    with path.open("rb") as handle:
        known = known_encoding(handle.read(_PIECE))
    if known is not None:
        if not _fits(path, known[0]):
            raise UnusableFile("not_text", "The text breaks off or is damaged: its encoding does not fit.")
        return known[0], "strict", known[1]
    if _fits(path, "utf-8"):
        return "utf-8", "strict", "UTF-8"
    with path.open("rb") as handle:
        while piece := handle.read(_PIECE):
            if b"\x00" in piece:
                raise UnusableFile("not_text", "The file is no text.")
    return "cp1252", "replace", "Windows-1252"


def _fits(path: Path, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        with path.open("rb") as handle:
            while piece := handle.read(_PIECE):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _beginning(handle: IO[str]) -> str:
    """Text from the first line on that says something; no more than a piece of it."""
    text = ""
    while not text and (piece := handle.read(_PIECE)):
        text = piece.replace("\x00", "").lstrip("\r\n")
    return text


def _lines(handle: IO[str]) -> Iterator[str]:
    while line := handle.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise csv.Error("a line is too long")
        yield line.replace("\x00", "")
