"""Zip files that strangers made, unpacked so that nothing in them can hurt."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..spreadsheets import visible

_PIECE = 1 << 20
# What the standard library raises for archives that are no archives, or not any more.
_DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
    ValueError,
)
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".jar", ".cab", ".iso")
# A picture of one colour packs well; below this size a high ratio does no harm.
_RATIO_FROM = 10 << 20

Refused = tuple[str, str, str]


@dataclass(frozen=True)
class Limits:
    """member, total: bytes that one file, and all together, may have unpacked. members: how many. ratio: unpacked over
    packed size of a large file. free: bytes that the disk must keep."""

    member: int
    total: int
    members: int
    ratio: int
    free: int = 0


def safe_parts(path: str) -> list[str] | None:
    """The parts of a path with / between them; None for one that leaves its folder or cannot be a file's name."""
    if not path or len(path) > 2000 or path.startswith("/") or "\\" in path:
        return None
    parts = path.split("/")
    for part in parts:
        if part in ("", ".", "..") or part != part.strip() or part.endswith(".") or len(os.fsencode(part)) > 200:
            return None
        if any(ord(letter) < 32 or letter in ':*?"<>|\x7f' for letter in part):
            return None
    return parts if len(parts) <= 20 else None


def zip_unpack(
    *, archive: Path, into: Path, name: str, limits: Limits, progress: Callable[[], None] | None = None
) -> list[Refused]:
    """Unpack into a folder; returns (path, code, reason) of what is refused, paths beginning with the archive's name.

    Unpacking again goes on where it was killed. A member is refused for a path that leads out of the folder, for being
    a link, encrypted, an archive itself, or too large; the rest of the archive is unpacked all the same. An archive
    whose contents exceed the limits together, or that is damaged, is given up at that point and named.
    """
    refused: list[Refused] = []
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            if len(members) > limits.members:
                return [(name, "zip_members", f"It holds more than {limits.members} files; nothing is unpacked.")]
            refused += _unpack_members(opened, members, into, name, limits, progress)
    except _DAMAGED as error:
        refused.append((name, "zip_damaged", f"The archive cannot be read: {error}."))
    return refused


def _unpack_members(
    opened: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    into: Path,
    name: str,
    limits: Limits,
    progress: Callable[[], None] | None,
) -> Iterator[Refused]:
    left, seen = limits.total, set[str]()
    for member in members:
        if progress is not None:
            progress()
        shown = visible(f"{name}/{member.filename}")
        problem = _problem(member, limits, seen)
        if problem is not None:
            yield shown, *problem
            continue
        seen.add(member.filename.casefold())
        if member.file_size > min(left, shutil.disk_usage(into).free - limits.free):
            yield shown, "zip_too_large", "Here the archive exceeds what may be unpacked; the rest of it is left out."
            return
        left -= member.file_size
        try:
            _write(opened, member, into.joinpath(*member.filename.split("/")))
        except _DAMAGED as error:
            yield shown, "zip_damaged", f"The file in the archive is damaged: {error}."
        except OSError as error:
            yield shown, "zip_not_written", f"The file could not be written: {error.strerror or error}."


def _problem(member: zipfile.ZipInfo, limits: Limits, seen: set[str]) -> tuple[str, str] | None:
    """(code, reason) of a member that is not unpacked."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if safe_parts(member.filename) is None:
        return "zip_path", "The path in the archive leads out of its folder or is no file's name."
    if kind not in (0, stat.S_IFREG):
        return "zip_special", "A link or device in an archive."
    if member.flag_bits & 1:
        return "zip_encrypted", "The file is encrypted; unpack it yourself and send the photos."
    if member.filename.casefold().endswith(_ARCHIVES):
        return "zip_nested", "An archive in an archive; unpack it yourself and send the photos."
    if member.filename.casefold() in seen:
        return "zip_twice", "The archive holds two files of this name; the first one is taken."
    if member.file_size > limits.member:
        return "zip_too_large", f"Larger than {limits.member >> 20} MB unpacked."
    if member.file_size > _RATIO_FROM and member.file_size > limits.ratio * max(member.compress_size, 1):
        return "zip_bomb", f"It would grow more than {limits.ratio} times when it is unpacked; no photo does."
    return None


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Beside and renamed. Never more bytes than the archive announced."""
    if target.is_file() and target.stat().st_size == member.file_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    try:
        with opened.open(member) as source, beside.open("wb") as out:
            written = 0
            while piece := source.read(_PIECE):
                written += len(piece)
                if written > member.file_size:
                    raise zipfile.BadZipFile("it is longer than it says")
                out.write(piece)
            if written != member.file_size:
                raise zipfile.BadZipFile("it is shorter than it says")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
