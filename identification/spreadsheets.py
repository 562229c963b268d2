"""Cells that no spreadsheet takes for a formula, and back. Pure functions."""

from __future__ import annotations

import re

# What a spreadsheet takes for the start of a formula (OWASP: CSV injection), the full-width forms included.
_FORMULA = re.compile(r"^'*[=+\-@\t\r\n＝＋－＠]")


def neutralise(cell: str) -> str:
    """A text that no spreadsheet runs: what begins like a formula gets a leading apostrophe. `restore` takes it off."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """The inverse of `neutralise`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
