"""Bytes of exported photos and the folder that receives them. Nothing half-written bears the final name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from django.db import DatabaseError, connection

from ..errors import SpotIDError
from ..services.media import media_path
from .folders import MANIFEST_NAME
from .placeless import without_places
from .snapshot import ExportPhoto

FORMAT = "spotid-export"

CLEANED = "metadata that may tell a place was removed"
RENDERED = "preview: this format cannot be cleaned of places without encoding it anew"
PRINTED = "preview: what the camera printed on it is covered"
MISSING = "preview: the original is not where it was read"
CHANGED = "preview: the original is not the file that was read any more"
UNREADABLE = "preview: the original cannot be opened"
NOTHING = "no file: the original cannot be had and no preview is stored"


@dataclass(frozen=True)
class StagedPhoto:
    """A photo's bytes in the staging folder. `suffix` is set where they are a preview; `file` is None without any."""

    file: Path | None
    sha256: str
    note: str
    suffix: str | None = None

    @property
    def whole(self) -> bool:
        """Whether it is the original picture, not a preview of it."""
        return self.suffix is None and self.file is not None


def stage_photo(photo: ExportPhoto, folder: Path, *, with_places: bool) -> StagedPhoto:
    """Write the photo's bytes to `folder`: the original when it is what was ingested, else the stored preview."""
    data, note = _original(photo)
    suffix = None
    if data is not None and not with_places:
        clean = None if any(photo.printed) else without_places(data)
        note = PRINTED if any(photo.printed) else RENDERED if clean is None else CLEANED if clean != data else ""
        data = clean
    if data is None:
        data, suffix = _preview(photo), ".preview.jpg"
    if data is None:
        return StagedPhoto(None, "", NOTHING)
    file = folder / str(photo.id)
    file.write_bytes(data)
    return StagedPhoto(file, hashlib.sha256(data).hexdigest(), note, suffix)


def _original(photo: ExportPhoto) -> tuple[bytes | None, str]:
    from ..inference.photos import openable_path

    path = openable_path(photo.source_path)
    try:
        if not path.is_file():
            return None, MISSING
        if path.stat().st_size != photo.size_bytes:
            return None, CHANGED
        data = path.read_bytes()
    except (OSError, ValueError):
        return None, UNREADABLE
    return (data, "") if hashlib.sha256(data).hexdigest() == photo.sha256 else (None, CHANGED)


def _preview(photo: ExportPhoto) -> bytes | None:
    from ..inference import photos

    if not photo.preview:
        return None
    with suppress(OSError, ValueError):
        bands = photos.printed_bands(*photo.printed)
        return photos.covered(media_path(photo.preview), bands) if bands else media_path(photo.preview).read_bytes()
    return None


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an earlier export; None where the folder was not made by one."""
    with suppress(OSError, ValueError):
        manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
        if isinstance(manifest, dict) and manifest.get("format") == FORMAT and isinstance(manifest.get("files"), dict):
            return manifest
    return None


@contextmanager
def published_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into; renamed to `out` when the block ends, removed when it fails.

    An earlier export in `out` is replaced: its files go, files that it did not make stay. Raises SpotIDError when
    `out` is something else, or another export is writing to it.
    """
    out = Path(os.path.abspath(out.expanduser()))  # noqa: PTH100 (resolve would follow a link that is to be replaced)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        _clear_leftovers(out)
        _check_replaceable(out)
        partial = out.parent / f".{out.name}.partial-{uuid.uuid4().hex[:8]}"
        partial.mkdir()
        try:
            yield partial
            _publish(partial, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _check_replaceable(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise SpotIDError(f"{out} is not a folder. Name a folder that is new, empty, or holds an earlier export.")
    if out.is_dir() and any(out.iterdir()) and read_manifest(out) is None:
        raise SpotIDError(
            f"{out} holds files that are not from an export. "
            "Name a folder that is new, empty, or holds an earlier export."
        )


def _publish(partial: Path, out: Path) -> None:
    if not out.exists():
        partial.rename(out)
        return
    aside = out.parent / f".{out.name}.old-{uuid.uuid4().hex[:8]}"
    out.rename(aside)
    try:
        partial.rename(out)
    except OSError:
        aside.rename(out)
        raise
    _keep_foreign(aside, out)
    shutil.rmtree(aside, ignore_errors=True)


def _keep_foreign(aside: Path, out: Path) -> None:
    """Move what the earlier export had not made to its place in the new one, below `kept-…` where that is taken."""
    manifest = read_manifest(aside) or {"files": {}}
    own = {PurePosixPath(name) for name in (*manifest["files"], MANIFEST_NAME)}
    kept = f"kept-{uuid.uuid4().hex[:8]}"
    for folder, folders, names in os.walk(aside):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in (*names, *links):
            file = Path(folder) / name
            relative = file.relative_to(aside)
            if PurePosixPath(relative.as_posix()) in own:
                continue
            target = out / relative
            if target.exists() or target.is_symlink() or not _may_hold(target.parent, out):
                target = out / kept / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)


def _may_hold(folder: Path, out: Path) -> bool:
    """Whether the folder is there or can be made: no file stands on the way to it."""
    return all(
        parent.is_dir() or not parent.exists() for parent in (folder, *folder.parents) if parent.is_relative_to(out)
    )


def _clear_leftovers(out: Path) -> None:
    """Remove what a killed export left beside `out`, and bring back an earlier one that it had put aside."""
    for aside in out.parent.glob(f".{_literal(out.name)}.old-????????"):
        if not out.exists():
            aside.rename(out)
        elif read_manifest(aside) is not None:
            _keep_foreign(aside, out)
            shutil.rmtree(aside, ignore_errors=True)
    for partial in out.parent.glob(f".{_literal(out.name)}.partial-????????"):
        shutil.rmtree(partial, ignore_errors=True)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a lock on the name of the folder, which the database gives back even when this process is killed."""
    key = int.from_bytes(hashlib.sha256(str(out).encode("utf-8", "surrogateescape")).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        if not cursor.fetchone()[0]:
            raise SpotIDError(f"Another export is writing to {out} now.")
    try:
        yield
    finally:
        # Where the connection is gone, so is the lock.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
