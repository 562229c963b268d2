"""Cells that no spreadsheet takes for a formula, and back. Pure functions."""

from __future__ import annotations

import re
import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
# What a spreadsheet takes for the start of a formula (OWASP: CSV injection), the full-width forms included.
_FORMULA = re.compile(r"^'*[=+\-@\t\r\n＝＋－＠]")


def neutralise(cell: str) -> str:
    """A text that no spreadsheet runs: what begins like a formula gets a leading apostrophe. `restore` takes it off."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """The inverse of `neutralise`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def visible(text: str) -> str:
    """One line of text: control and direction characters, which could hide what stands there, as `\\uNNNN`."""
    return "".join(
        (f"\\u{ord(c):04x}" if c <= "\uffff" else f"\\U{ord(c):08x}") if unicodedata.category(c) in HIDDEN else c
        for c in text
    )
