"""Identifiers that secr can read: no spaces, tabs, commas or underscores, and nothing that R takes for something else.

secr, "Data input for secr" (Efford): identifiers are alphanumeric without spaces, tabs or commas, detectors without
underscores. `#` begins a comment, `/` covariates, quotes a text, and NA is missing (utils::read.table).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeVar

from .folders import keep_apart

K = TypeVar("K", int, str)

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9.-]+")
# Read as a missing value, or (of animals) as an occasion without captures.
_MEANS_SOMETHING = frozenset({"na", "nan", "none", "null", "inf", "-inf"})
_LONGEST = 40


def identifier(text: str, fallback: str) -> str:
    """Letters without accents, digits, points and hyphens; the fallback where nothing of that is left."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = _NOT_ALLOWED.sub("-", plain).strip("-.")[:_LONGEST].strip("-.")
    if not plain or plain.lower() in _MEANS_SOMETHING:
        return f"{fallback}-{plain}" if plain else fallback
    return plain


def identifiers(rows: Iterable[tuple[K, str]], kind: str) -> dict[K, str]:
    """(key, name) → an identifier of its own for each key. Of names that come out alike all get a number behind them,
    by the order of their names, so that the same names always give the same identifiers.
    """
    ordered = sorted(rows, key=lambda row: (row[1], row[0]))
    proposals: dict[K, Sequence[str]] = {}
    for place, (key, name) in enumerate(ordered, 1):
        plain = identifier(name, kind)
        proposals[key] = [plain, f"{plain}-{place}", f"{plain}-{kind}{place}", f"{kind}{place}.{place}"]
    return keep_apart(proposals)
