"""A language in which every translated sentence stands in brackets, and the words of a page outside of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from django.utils.translation import trans_real

OPEN, CLOSE = "⟦", "⟧"
SPOKEN = ("title", "aria-label", "alt", "placeholder", "data-confirm", "aria-roledescription", "label")
SILENT = ("script", "style", "template", "code", "pre", "kbd")
_WORD = re.compile(r"[^\W\d_]")


class Bracketed(trans_real.DjangoTranslation):
    """Translates nothing and says that it could have."""

    def gettext(self, message: str) -> str:
        return f"{OPEN}{message.rpartition(trans_real.CONTEXT_SEPARATOR)[2]}{CLOSE}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


def speak_in_brackets(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """Take the place of the language's catalogue for the rest of the test."""
    monkeypatch.setitem(trans_real._translations, language, Bracketed(language))


class Outside(HTMLParser):
    """Collects what people read or hear on a page and no bracket holds."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth = 0
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in SILENT
        said = dict(attrs)
        spoken = [said.get(name) or "" for name in SPOKEN]
        if tag == "input" and said.get("type") in {"submit", "button"}:
            spoken.append(said.get("value") or "")
        for text in spoken:
            self.found += outside(text)[0]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent:
            # A bracket may begin before a link in its sentence and end after it.
            found, self._depth = outside(data, self._depth)
            self.found += found


def outside(text: str, depth: int = 0) -> tuple[list[str], int]:
    """The parts with letters that stand in no bracket, and how many brackets are open in the end."""
    parts, part = [], ""
    for letter in text:
        if letter == OPEN:
            depth += 1
        elif letter == CLOSE:
            # Of a time a page may show only the end.
            depth = max(0, depth - 1)
        if letter in OPEN + CLOSE or depth:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [part.strip() for part in [*parts, part] if _WORD.search(part)], depth


def words_outside(page: str) -> Iterator[str]:
    parser = Outside()
    parser.feed(page)
    parser.close()
    yield from dict.fromkeys(parser.found)
