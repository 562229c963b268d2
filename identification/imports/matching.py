"""Which photo of a survey a record of a file speaks of. Pure functions.

A path says it where it is the photo's own, or ends with it, or is ended by it; where both stand below different roots,
what all paths of the file have in common in front is taken off, and the same of the survey. A name alone says it only
where one photo and one record have it. A photo's content (SHA-256 or MD5, also as the name of the file) always says it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from .reading import Issue, PhotoRecord

NO_PHOTO = "No photo of the survey has this path or name."
SEVERAL = "Several photos of the survey have this name, and nothing says which is meant."
TWICE = "Several records have this name, and nothing says which of them is the photo."
AGAIN = "An earlier record speaks of the same photo."
_MD5 = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Parts = tuple[str, ...]


def parts_of(path: str) -> Parts:
    """A path's parts for comparing: without drive, scheme, root, `.` and empty ones; capitals do not matter."""
    plain = unicodedata.normalize("NFC", path.strip()).replace("\\", "/").casefold()
    plain = re.sub(r"^(?:[a-z][a-z0-9+.-]*://[^/]*|[a-z]:)", "", plain)
    return tuple(part for part in plain.split("/") if part not in ("", "."))


@dataclass
class Names:
    """What the records of a file have in common; filled in a first pass over them. known: names of photos, when only
    those need be counted; a file may have millions of others."""

    known: Container[str] | None = None
    count: Counter[str] = field(default_factory=Counter)
    root: Parts | None = None
    records: int = 0
    hashes: bool = False

    def add(self, record: PhotoRecord) -> None:
        parts = parts_of(record.path)
        self.records += 1
        if parts:
            self._count(parts[-1])
            self.root = parts[:-1] if self.root is None else _common(self.root, parts[:-1])
        for name in {parts_of(other)[-1:] for other in record.also} - {parts[-1:]}:
            for one in name:
                self._count(one)
        self.hashes = self.hashes or bool(record.md5 or _MD5.fullmatch(_stem(parts)))

    def _count(self, name: str) -> None:
        if self.known is None or name in self.known:
            self.count[name] += 1


class PhotoIndex:
    """The photos of a survey: id, path below the ingested root, SHA-256.

    md5s: called once, when a record names one, for photos by MD5.
    """

    def __init__(
        self, photos: Iterable[tuple[int, str, str]], names: Names, md5s: Callable[[], Mapping[str, int]] | None = None
    ) -> None:
        self.names = names
        self._md5s = md5s
        self._by_md5: Mapping[str, int] | None = None
        self._by_path: dict[Parts, int | None] = {}
        self._by_name: dict[str, list[tuple[Parts, int]]] = {}
        self._by_hash: dict[str, int] = {}
        root: Parts | None = None
        for pk, path, sha256 in photos:
            parts = parts_of(path)
            if not parts:
                continue
            # Two that differ by capitals only are nobody's.
            self._by_path[parts] = None if parts in self._by_path else pk
            self._by_name.setdefault(parts[-1], []).append((parts, pk))
            self._by_hash[sha256] = pk
            root = parts[:-1] if root is None else _common(root, parts[:-1])
        self._root = root or ()
        self._taken: dict[int, int] = {}

    def find(self, record: PhotoRecord, file: str) -> int | Issue:
        """The photo's id, or why there is none. Each photo is found once; ask in the order of the records."""
        found = self._find(record)
        for other in record.also:
            if found == NO_PHOTO:
                found = self._find(replace(record, path=other))
        if isinstance(found, str):
            code = {NO_PHOTO: "no_photo", SEVERAL: "several_photos", TWICE: "name_twice"}[found]
            if found == NO_PHOTO and record.absent:
                code, found = "elsewhere", record.absent
            return Issue(code, found, file, record.row, record.path[:500])
        if self._taken.setdefault(found, record.row) != record.row:
            return Issue("photo_again", AGAIN, file, record.row, record.path[:500])
        return found

    @property
    def missed(self) -> int:
        """Photos of the survey that no record spoke of so far."""
        return len(self._by_hash) - len(self._taken)

    def _find(self, record: PhotoRecord) -> int | str:
        by_content = self._content(record)
        if by_content is not None:
            return by_content
        parts = parts_of(record.path)
        if not parts:
            return NO_PHOTO
        exact = self._by_path.get(parts)
        if exact is not None:
            return exact
        same_name = self._by_name.get(parts[-1], [])
        tail = parts[len(self.names.root or ()) :]
        moved = self._by_path.get((*self._root, *tail)) if len(tail) > 1 else None
        if moved is not None:
            return moved
        ends = [pk for own, pk in same_name if min(len(own), len(parts)) > 1 and ends_alike(own, parts)]
        if len(ends) == 1:
            return ends[0]
        if not same_name:
            return NO_PHOTO
        if len(same_name) > 1:
            return SEVERAL
        return same_name[0][1] if self.names.count[parts[-1]] == 1 else TWICE

    def _content(self, record: PhotoRecord) -> int | None:
        stem = _stem(parts_of(record.path))
        for digest in (record.sha256.lower(), stem if _SHA256.fullmatch(stem) else ""):
            if digest in self._by_hash:
                return self._by_hash[digest]
        md5 = record.md5.lower() or (stem if _MD5.fullmatch(stem) else "")
        if not md5 or self._md5s is None:
            return None
        if self._by_md5 is None:
            self._by_md5 = self._md5s()
        return self._by_md5.get(md5)


def _stem(parts: Parts) -> str:
    return parts[-1].rsplit(".", 1)[0] if parts else ""


def _common(one: Parts, other: Parts) -> Parts:
    length = next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[: min(len(one), len(other)) if length is None else length]


def ends_alike(one: Parts, other: Parts) -> bool:
    """Whether one path ends with the other, whole."""
    short, long = sorted((one, other), key=len)
    return long[-len(short) :] == short
