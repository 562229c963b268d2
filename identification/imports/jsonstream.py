"""Large JSON files piece by piece: what lies on top at once, the items of one long list one after the other.

The standard library reads a file whole; half a gigabyte of boxes becomes several gigabytes of Python. Here no more than
one item and a buffer is held. Numbers that are no numbers (`NaN`) are refused, and so are files that nest too deeply.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .reading import UnusableFile
from .tables import decoded

MOST_BYTES = 4 << 30
_MOST_VALUE = 16 << 20
_PIECE = 1 << 16
_SPACE = " \t\r\n"


def top_of(path: Path, *, long: tuple[str, ...]) -> dict[str, Any]:
    """The values on top of a JSON object; of the lists named in `long` only that they are there (an empty list).

    Raises UnusableFile for what is no such JSON.
    """
    with _Source(path) as source:
        return dict(_members(source, long, None))


def items_of(path: Path, name: str) -> Iterator[Any]:
    """The items of one list on top, in their order. Raises UnusableFile, perhaps only after some items."""
    with _Source(path) as source:
        for key, value in _members(source, (name,), name):
            if key == "":
                yield value


def _members(source: _Source, long: tuple[str, ...], wanted: str | None) -> Iterator[tuple[str, Any]]:
    """(key, value) of each member; items of the wanted list come as ("", item)."""
    source.expect("{")
    if source.peek() == "}":
        return
    while True:
        key = source.value()
        if not isinstance(key, str):
            raise source.broken()
        source.expect(":")
        if key in long and source.peek() == "[":
            for item in source.items():
                if key == wanted:
                    yield "", item
            if key != wanted:
                yield key, []
        else:
            yield key, source.value()
        if source.peek() == "}":
            return
        source.expect(",")


class _Source:
    """The text of a file with a place in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size > MOST_BYTES:
            raise UnusableFile("too_large", f"A JSON file may have at most {MOST_BYTES >> 30} GB. Split it.")
        self.decoder = json.JSONDecoder(parse_constant=_no_number)
        self.buffer, self.at, self.over = "", 0, False

    def __enter__(self) -> _Source:
        with self.path.open("rb") as handle:
            start = handle.read(4)
        _, name = decoded(start) if start[:2] in (b"\xff\xfe", b"\xfe\xff") else ("", "UTF-8")
        encoding = "utf-16" if name == "UTF-16" else "utf-8-sig"
        self.handle: IO[str] = self.path.open(encoding=encoding, newline="")
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.close()

    def broken(self) -> UnusableFile:
        return UnusableFile("no_json", "The file is no JSON, or breaks off.")

    def peek(self) -> str:
        """The next character that is no space."""
        while True:
            while self.at < len(self.buffer):
                if self.buffer[self.at] not in _SPACE:
                    return self.buffer[self.at]
                self.at += 1
            if not self._more():
                raise self.broken()

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise self.broken()
        self.at += 1

    def value(self) -> Any:
        """The value that begins here, whole."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.at)
            except RecursionError:
                raise UnusableFile("no_json", "The file nests too deeply.") from None
            except ValueError:
                if len(self.buffer) - self.at > _MOST_VALUE:
                    raise UnusableFile("no_json", "A part of the file is no JSON, or too long.") from None
                if not self._more():
                    raise self.broken() from None
                continue
            # A number that ends with the buffer may go on.
            if end == len(self.buffer) and not isinstance(value, (dict, list, str)) and self._more():
                continue
            self.at = end
            return value

    def items(self) -> Iterator[Any]:
        self.expect("[")
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.peek() == "]":
                self.at += 1
                return
            self.expect(",")

    def _more(self) -> bool:
        """Read on, dropping what is behind; False at the end of the file."""
        if self.over:
            return False
        try:
            # Twice as much each time, so that a long value is not tried anew for every little piece.
            piece = self.handle.read(max(_PIECE, len(self.buffer) - self.at))
        except UnicodeDecodeError:
            raise UnusableFile("no_json", "The file is no UTF-8 text.") from None
        self.over = not piece
        self.buffer = self.buffer[self.at :] + piece
        self.at = 0
        return bool(piece)


def _no_number(text: str) -> Any:
    raise UnusableFile("no_json", f"The file holds {text}, which is no number of JSON.")
