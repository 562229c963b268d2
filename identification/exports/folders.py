"""Names of folders, files and cells that are safe on every system, and the same at every export. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from ..spreadsheets import neutralise, visible

K = TypeVar("K", bound=Hashable)

NOUN = "leopard"
CSV_NAME = "leopard_matches.csv"
MANIFEST_NAME = "manifest.json"

_LONGEST_FOLDER = 80
_LONGEST_FILE = 120
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*]')
# Names that Windows keeps for devices, whatever suffix follows (Microsoft: "Naming Files, Paths, and Namespaces").
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_OURS = frozenset({CSV_NAME, MANIFEST_NAME})


def csv_line(cells: Sequence[str | int | float | None]) -> str:
    """One line of RFC 4180, every text neutralised; semicolons are quoted too, for spreadsheets that split there.

    Numbers stay numbers, negative ones too; None is an empty cell.
    """
    return ",".join(_cell(cell) for cell in cells) + "\n"


def _cell(cell: str | int | float | None) -> str:
    if isinstance(cell, str):
        return _quoted(neutralise(visible(cell)))
    return "" if cell is None else repr(cell)


def _quoted(cell: str) -> str:
    if any(c in cell for c in ',;"') or cell != cell.strip():
        return '"' + cell.replace('"', '""') + '"'
    return cell


def safe_name(text: str, *, longest: int = _LONGEST_FOLDER, fallback: str = "unnamed") -> str:
    """One path component: NFC, nothing that a file system refuses or that leads elsewhere, at most `longest` bytes."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if c in "\t\n\r" else c for c in text if c in "\t\n\r\u200c\u200d" or c.isprintable())
    text = _NOT_IN_NAMES.sub("_", text)
    text = " ".join(text.split()).strip(". ")
    text = text.encode("utf-8", "ignore")[:longest].decode("utf-8", "ignore").rstrip(". ")
    if text.startswith("~"):
        text = "_" + text[1:]
    if _RESERVED.match(text):
        text = "_" + text
    return text or fallback


def safe_file_name(text: str, *, suffix: str | None = None, extra: str = "") -> str:
    """A safe file name that keeps its suffix (or takes another), `extra` put before it."""
    text = text.replace("\\", "_").rstrip(". ")
    path = PurePosixPath(text)
    ending = safe_name((path.suffix if suffix is None else suffix).lstrip("."), longest=12, fallback="")
    stem = path.stem if path.suffix else text
    room = _LONGEST_FILE - len(extra.encode()) - len(ending.encode()) - 1
    name = safe_name(stem, longest=room, fallback="photo") + extra
    return f"{name}.{ending}" if ending else name


def collision_key(name: str) -> str:
    """Equal for names that some file system takes for the same one (case, composed or decomposed letters)."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())


def keep_apart(proposals: Mapping[K, Sequence[str]], taken: Iterable[str] = ()) -> dict[K, str]:
    """A name for each key such that no two collide, whatever the order of the keys.

    `proposals` are a key's names from the plainest to one that is unique. All that collide at one step go on to the
    next. Raises ValueError when the last names collide.
    """
    used = {collision_key(name) for name in taken}
    chosen: dict[K, str] = {}
    open_keys = list(proposals)
    step = 0
    while open_keys:
        wanted = {key: proposals[key][min(step, len(proposals[key]) - 1)] for key in open_keys}
        counts = Counter(collision_key(name) for name in wanted.values())
        settled = {key: name for key, name in wanted.items() if counts[collision_key(name)] == 1}
        settled = {key: name for key, name in settled.items() if collision_key(name) not in used}
        if not settled and step >= max(len(proposals[key]) for key in open_keys):
            raise ValueError("names that cannot be kept apart")
        chosen |= settled
        used |= {collision_key(name) for name in settled.values()}
        open_keys = [key for key in open_keys if key not in settled]
        step += 1
    return chosen


def folder_names(individuals: Iterable[tuple[int, int, str, str]]) -> dict[int, str]:
    """(id, number, name, code) of each individual → its folder: its own name, or `leopard_<number>` without one.

    An individual without a name always has the folder of its number; named ones that collide get their code.
    """
    rows = list(individuals)
    chosen: dict[int, str] = {pk: f"{NOUN}_{number}" for pk, number, name, _ in rows if not name}
    named: dict[int, Sequence[str]] = {
        pk: [
            safe_name(name, fallback=f"{NOUN}_{number}"),
            f"{safe_name(name, longest=_LONGEST_FOLDER - 20, fallback=NOUN)} {safe_name(code)}",
            f"{NOUN}_{number} {safe_name(code)} {pk}",
        ]
        for pk, number, name, code in rows
        if name
    }
    return chosen | keep_apart(named, [*chosen.values(), *_OURS])


def photo_names(photos: Iterable[tuple[int, str, str, str, str | None]]) -> dict[int, str]:
    """(id, original name, "station_camera", SHA-256, other suffix) of the photos of one folder → file names."""
    proposals: dict[int, Sequence[str]] = {}
    for pk, name, place, sha256, suffix in photos:
        where = f"_{safe_name(place, longest=50, fallback='')}" if place.strip("_") else ""
        proposals[pk] = [
            safe_file_name(name, suffix=suffix, extra=extra)
            for extra in ("", where, f"{where}_{sha256[:8]}", f"_{sha256}")
        ]
    return keep_apart(proposals)
