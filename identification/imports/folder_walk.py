"""Photos below a folder that comes along with an import. Nothing is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Of `preprocessing.walk`, which this room does not know; whether a file is a photo is found out when it is read.
SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".tif", ".tiff"),
        *(".webp", ".heic", ".heif", ".hif", ".avif", ".gif", ".bmp"),
    )
)
UNPACKED = "spotid-import-"


def photos_below(root: Path) -> Iterator[tuple[str, Path]]:
    """Path below the root, with /, and the file, folder by folder in the order of names. Links, hidden files and what
    archives of Apple computers add are left out."""
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        for name in sorted(files):
            path = Path(folder) / name
            if path.suffix.casefold() in SUFFIXES and not name.startswith(".") and not path.is_symlink():
                yield path.relative_to(root).as_posix(), path


def is_photo(path: Path) -> bool:
    return path.suffix.casefold() in SUFFIXES and not path.is_symlink() and path.is_file()


def name_of(root: Path) -> str:
    """The folder's name; "" of one that an archive was unpacked into for the time being."""
    return "" if root.name.startswith(UNPACKED) else root.name
