"""What imports store is known to those who translate it. No database."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from identification.sentences_imports import FILLED, STORED

ROOT = Path(__file__).resolve().parents[2] / "identification"
FILES = [*(ROOT / "imports").glob("*.py"), *(ROOT / "services").glob("import*.py")]
# What people never read: a page says it otherwise.
UNSEEN = {"The import was taken over."}


def _literals() -> Iterator[tuple[str, bool]]:
    """Texts of the code without docstrings, and whether they are whole: not part of a text with places, nor of
    `gettext`."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        left_out: set[int] = set()
        parts: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                left_out.add(id(node.value))
            name = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.JoinedStr) or name in ("gettext", "gettext_noop", "ngettext"):
                parts |= {id(inner) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
                yield node.value, id(node) not in parts


def test_every_sentence_that_is_stored_is_known_and_none_is_left_over() -> None:
    said = {text for text, whole in _literals() if whole}
    assert set(STORED) - said == set()
    sentences = {text for text in said if text.endswith(".") and " " in text and text[0].isupper()}
    assert sentences - set(STORED) - UNSEEN == set()


def test_every_sentence_with_places_is_made_of_what_the_code_says() -> None:
    said = "\n".join(text for text, _ in _literals()).casefold()
    for template in FILLED:
        parts = [part.strip(" .,:") for part in re.split(r"%\(\w+\)s", template)]
        assert [part for part in parts if part.casefold() not in said] == [], template
