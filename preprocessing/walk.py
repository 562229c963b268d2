"""Walking a photo folder as it is on real disks: hidden files, raw twins, links, devices, unreadable folders, odd
names."""

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from preprocessing.sniff import RAW_SUFFIXES

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".tif", ".tiff"}
    | {".webp", ".heic", ".heif", ".hif", ".avif", ".gif", ".bmp"}
)
VIDEO_SUFFIXES = frozenset(
    [".avi", ".mp4", ".m4v", ".mov", ".mpg", ".mpeg", ".mts", ".m2ts", ".mkv", ".wmv", ".asf", ".3gp", ".webm", ".flv"]
)
_ARCHIVES = frozenset([".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"])
_UNSUPPORTED = frozenset([".svg", ".pdf", ".eps", ".ps", ".psd", ".fits", ".fit", ".jp2", ".jxl", ".ico", ".xcf"])
_STILL_COPYING = frozenset([".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp"])
_SYSTEM_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "lost+found"}
    | {"system volume information", "__macosx", "found.000"}
)
_CHUNK = 1024 * 1024
_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo file. `relative_path` is below the root, with /, escaped by `escape_path`; `size` in bytes."""

    path: Path
    relative_path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file or folder that is not ingested; `code` for programs, `reason` a sentence for people.

    Codes: `system_file`, `symlink`, `special_file`, `unreadable_folder`, `unreadable`, `empty`, `still_changing`,
    `video`, `raw`, `raw_pair` (the JPEG beside it is taken), `archive`, `unsupported`, `not_photo`.
    """

    relative_path: str
    code: str
    reason: str


class FileChanged(Exception):
    """A file's size or time changed between finding it and reading it to its end."""


def escape_path(name: str) -> str:
    """A path as text that every database and CSV can hold, reversible by `unescape_path`.

    Bytes that are not UTF-8 (which Python carries as lone surrogates) become `\\xNN`, other lone surrogates (Windows)
    `\\uNNNN`, and a backslash in a name is doubled. Everything else, also line breaks and direction marks, stays:
    showing text safely is the task of whoever shows it.
    """
    if name.isascii():
        return name.replace("\\", "\\\\")
    return "".join(_escape_character(character) for character in name)


def unescape_path(escaped: str) -> str:
    """The path as Python's file functions take it: the inverse of `escape_path`."""

    def restore(match: re.Match[str]) -> str:
        code = match[1]
        if code == "\\":
            return "\\"
        number = int(code[1:], 16)
        return chr(0xDC00 + number) if code[0] == "x" else chr(number)

    return _ESCAPED.sub(restore, escaped)


def walk_photos(root: Path, settle_seconds: float = 0) -> Iterator[FoundPhoto | SkippedFile]:
    """Everything below a folder in a fixed order (by name, folder by folder), each file once.

    Links are not followed (the root itself may be one). Files changed less than `settle_seconds` ago are skipped as
    `still_changing`. Nothing is opened. A folder that cannot be read is reported and the walk goes on.
    Raises NotADirectoryError or FileNotFoundError when the root is no folder.
    """
    if not root.is_dir():
        raise (
            NotADirectoryError(f"{root} is not a folder")
            if root.exists()
            else FileNotFoundError(f"{root} is not there")
        )
    pending = [(root, "")]
    while pending:
        folder, prefix = pending.pop()
        entries = _entries(folder)
        if isinstance(entries, OSError):
            yield SkippedFile(prefix.rstrip("/"), "unreadable_folder", f"The folder cannot be read: {_why(entries)}.")
            continue
        stems = {Path(entry.name).stem.casefold() for entry in entries if _suffix(entry.name) in PHOTO_SUFFIXES}
        below: list[tuple[Path, str]] = []
        for entry in entries:
            relative = prefix + escape_path(entry.name)
            found = _classify(entry, relative, stems, settle_seconds)
            if found is None:
                below.append((Path(entry.path), relative + "/"))
            else:
                yield found
        pending.extend(reversed(below))


def refused_by_name(relative_path: str) -> SkippedFile | None:
    """Why a file of this path would be skipped whatever it holds; None when only the file itself can tell."""
    parts = relative_path.split("/")
    if any(part.startswith(".") or part.casefold() in _SYSTEM_NAMES for part in parts):
        return SkippedFile(relative_path, "system_file", "Made by the operating system or hidden; not a photo.")
    return _by_suffix(parts[-1], relative_path, set())


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, read in pieces. Raises OSError."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def stable_hash(path: Path, found: FoundPhoto, progress: Callable[[int, int, str], None] | None = None) -> str:
    """SHA-256 of a file that stayed as it was found, from the first byte to the last.

    Raises FileChanged when its size or time differ before or after reading, FileNotFoundError when it is gone, OSError.
    """
    expected = (found.size, found.mtime_ns)
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | _flag("O_BINARY") | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK"))
    with os.fdopen(descriptor, "rb") as handle:
        _require_same(os.fstat(handle.fileno()), expected, path)
        done = 0
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if done > found.size:
                raise FileChanged(f"{path.name} grew while it was read")
            if progress is not None:
                progress(done, found.size, found.relative_path)
        _require_same(os.fstat(handle.fileno()), expected, path)
    _require_same(path.lstat(), expected, path)
    return digest.hexdigest()


def _require_same(status: os.stat_result, expected: tuple[int, int], path: Path) -> None:
    if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != expected:
        raise FileChanged(f"{path.name} changed while it was read")


def _entries(folder: Path) -> list[os.DirEntry[str]] | OSError:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        return error


def _classify(
    entry: os.DirEntry[str], relative: str, stems: set[str], settle_seconds: float
) -> FoundPhoto | SkippedFile | None:
    """The entry as photo or as skipped; None for a folder to walk into."""
    if entry.name.startswith(".") or entry.name.casefold() in _SYSTEM_NAMES:
        return SkippedFile(relative, "system_file", "Made by the operating system or hidden; not a photo.")
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        return SkippedFile(relative, "unreadable", f"The file cannot be examined: {_why(error)}.")
    if stat.S_ISLNK(status.st_mode):
        return SkippedFile(relative, "symlink", "A link; links are not followed. Ingest the folder that it points to.")
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        return SkippedFile(relative, "special_file", "A device, pipe or socket; not a file.")
    refused = _by_suffix(entry.name, relative, stems)
    if refused is not None:
        return refused
    if status.st_size == 0:
        return SkippedFile(
            relative, "empty", "The file has no content (zero bytes). Copy it again from the memory card."
        )
    if settle_seconds > 0 and abs(time.time() - status.st_mtime) < settle_seconds:
        return SkippedFile(
            relative, "still_changing", "The file is still being written; ingest the folder again later."
        )
    return FoundPhoto(Path(entry.path), relative, status.st_size, status.st_mtime_ns)


def _by_suffix(name: str, relative: str, stems: set[str]) -> SkippedFile | None:
    suffix = _suffix(name)
    if suffix in PHOTO_SUFFIXES:
        return None
    if suffix in RAW_SUFFIXES:
        if Path(name).stem.casefold() in stems:
            return SkippedFile(relative, "raw_pair", "Camera raw; the photo of the same name beside it is taken.")
        return SkippedFile(relative, "raw", "Camera raw is not supported; export it as JPEG and ingest that.")
    if suffix in VIDEO_SUFFIXES:
        return SkippedFile(relative, "video", "A video; only photos are read.")
    if suffix in _ARCHIVES:
        return SkippedFile(relative, "archive", "An archive; unpack it and ingest the folder.")
    if suffix in _UNSUPPORTED:
        return SkippedFile(
            relative, "unsupported", f"{suffix[1:].upper()} files are not supported; save as JPEG or PNG."
        )
    if suffix in _STILL_COPYING:
        return SkippedFile(relative, "still_changing", "A copy that is not finished; ingest the folder again later.")
    return SkippedFile(relative, "not_photo", "Not a photo.")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (faster than Path, for millions of names)


def _escape_character(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else character


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _flag(name: str) -> int:
    """A flag of os.open where the platform has it."""
    return getattr(os, name, 0)
