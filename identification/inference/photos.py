"""Reading photo files: the door through which `preprocessing` is reached for ingest. No engine is loaded here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from preprocessing.metadata import PhotoMetadata
    from preprocessing.walk import FoundPhoto, SkippedFile

# The end of a whole JPEG or PNG file. Where it is missing, only decoding tells whether the photo is.
_ENDINGS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}
_TAIL = 4096


class Unreadable(Exception):
    """A file that ingest leaves out, with a code for programs and a reason for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class ReadPhoto:
    """What ingest keeps of a file."""

    sha256: str
    metadata: PhotoMetadata
    captured_at: datetime | None
    captured_source: str
    captured_raw: str
    station: str
    camera: str
    format: str


def storable_path(path: Path) -> str:
    """A path as PostgreSQL text, reversible by `openable_path`: names that are not UTF-8 are escaped."""
    from preprocessing.walk import escape_path

    return escape_path(str(path))


def openable_path(stored: str) -> Path:
    """Where the photo of a stored path lies. Originals in the home's own folder are found there after it was moved, or
    restored elsewhere."""
    from preprocessing.walk import unescape_path

    path = Path(unescape_path(stored))
    own = kept_part(path)
    moved = None if own is None else Path(settings.SPOTID_UPLOAD_DIR) / own
    return moved if moved is not None and moved != path and not path.exists() and moved.exists() else path


def kept_part(path: Path) -> Path | None:
    """The part of a path below the home's folder of originals, wherever that lay when it was stored; None elsewhere.

    It is survey, request (or "imports") and file.
    """
    name = Path(settings.SPOTID_UPLOAD_DIR).name
    for place in [place for place, part in enumerate(path.parts) if part == name]:
        own = path.parts[place + 1 :]
        if len(own) >= 3 and own[0].isdigit() and (own[1].isdigit() or own[1] == "imports") and ".." not in own:
            return Path(*own)
    return None


def walk(root: Path) -> Iterator[FoundPhoto | SkippedFile]:
    from preprocessing.walk import walk_photos

    return walk_photos(root)


def found_at(path: Path, relative_path: str) -> FoundPhoto:
    """A file as walking a folder would find it. Raises OSError."""
    from preprocessing.walk import FoundPhoto, escape_path

    facts = path.stat()
    return FoundPhoto(path, escape_path(relative_path), facts.st_size, facts.st_mtime_ns)


def is_photo(found: FoundPhoto | SkippedFile) -> bool:
    from preprocessing.walk import FoundPhoto

    return isinstance(found, FoundPhoto)


def refused_by_name(relative_path: str) -> tuple[str, str] | None:
    """(code, reason) of a file that would be skipped whatever it holds; None when only the file can tell."""
    from preprocessing import walk

    refused = walk.refused_by_name(relative_path)
    return (refused.code, refused.reason) if refused else None


def compile_pattern(text: str) -> re.Pattern[str] | None:
    """The station pattern, None when empty. Raises ValueError with a sentence for people."""
    from preprocessing.naming import compile_station_pattern

    return compile_station_pattern(text) if text else None


def placement(relative_path: str, pattern: re.Pattern[str] | None) -> tuple[str, str]:
    """Station and camera by the path below the ingested root, "" where nothing tells."""
    from preprocessing.naming import placement_from_path

    found = placement_from_path(relative_path, pattern)
    return found.station[:200], found.camera[:64]


def content_hash(found: FoundPhoto) -> str:
    """SHA-256 of the file. Raises Unreadable when it changes or vanishes while it is read."""
    from preprocessing.walk import FileChanged, stable_hash

    try:
        return stable_hash(found.path, found)
    except FileChanged:
        raise Unreadable(
            "changed", "The file changed while it was read; ingest the folder again when copying is over."
        ) from None
    except FileNotFoundError:
        raise Unreadable("missing", "The file vanished while the folder was read.") from None
    except OSError as error:
        raise Unreadable("unreadable", f"The file cannot be read: {error.strerror or error}.") from None


def read(found: FoundPhoto, sha256: str, *, pattern: re.Pattern[str] | None, places: bool) -> ReadPhoto:
    """Header, EXIF, capture time and placement. `places`: whether folders name stations.

    Raises Unreadable for a file that is no usable photo; a file whose end is missing is decoded to find out.
    """
    from preprocessing.imageio import ImageRejected, decode_image
    from preprocessing.metadata import read_metadata
    from preprocessing.naming import captured_at_from_name, placement_from_path

    try:
        metadata = read_metadata(found.path)
        if not _ends_well(found.path):
            decode_image(found.path)
    except ImageRejected as error:
        raise Unreadable(error.code, error.message) from None
    except OSError as error:
        raise Unreadable("unreadable", f"The file cannot be read: {error.strerror or error}.") from None
    captured, source, raw = metadata.captured_at, "exif", metadata.captured_raw
    name = found.relative_path.rsplit("/", 1)[-1]
    if captured is None:
        captured = captured_at_from_name(name)
        source, raw = ("name", name[:64]) if captured else ("unknown", metadata.captured_raw)
    placement = placement_from_path(found.relative_path if places else name, pattern)
    return ReadPhoto(
        sha256=sha256,
        metadata=metadata,
        captured_at=captured,
        captured_source=source,
        captured_raw=raw[:64],
        station=placement.station[:200],
        camera=placement.camera[:64],
        format=found.path.suffix.lower().lstrip(".")[:16],
    )


def _ends_well(path: Path) -> bool:
    with path.open("rb") as handle:
        ending = _ENDINGS.get(handle.read(2))
        if ending is None:
            return False
        handle.seek(0, 2)
        handle.seek(max(0, handle.tell() - _TAIL))
        return ending in handle.read()


def decode(path: Path) -> Any:
    """The photo as `DecodedImage`. Raises Unreadable."""
    from preprocessing.imageio import ImageRejected, decode_image

    try:
        return decode_image(path)
    except ImageRejected as error:
        raise Unreadable(error.code, error.message) from None


def decode_small(path: Path, width: int) -> Any | None:
    """The photo about `width` pixels wide, None when it cannot be read."""
    from preprocessing.imageio import make_preview

    try:
        pixels = decode(path).pixels
    except Unreadable:
        return None
    longest = round(width * max(1.0, pixels.shape[0] / pixels.shape[1]))
    return make_preview(pixels, longest)


def check_unchanged(path: Path, size: int, mtime_ns: int, sha256: str) -> None:
    """Raise Unreadable when the file is gone or is another one than was ingested."""
    from preprocessing.walk import sha256_file

    try:
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (size, mtime_ns) or sha256_file(path) == sha256:
            return
    except FileNotFoundError:
        raise Unreadable("missing", "The file is no longer where it was ingested; ingest the folder again.") from None
    except OSError as error:
        raise Unreadable("unreadable", f"The file cannot be read: {error.strerror or error}.") from None
    raise Unreadable("changed", "The file is another one than was ingested; ingest the folder again.")


def save_preview(path: Path, pixels: Any, longest: int) -> None:
    from preprocessing.imageio import make_preview, save_jpeg

    save_jpeg(path, make_preview(pixels, longest), quality=85)


def is_screen_copy(path: Path, source: Path) -> bool:
    """Whether the smaller copy is there and of the picture as it is now. Raises OSError when that is not there."""
    from preprocessing.screens import is_copy_of

    return is_copy_of(path, source)


def save_screen_copy(path: Path, source: Path, longest: int) -> None:
    """Write a smaller copy of a stored picture, for pages alone. Raises OSError."""
    from preprocessing.screens import save_screen_copy

    save_screen_copy(path, source, longest)


def save_blurred(path: Path, source: Path, people: Sequence[tuple[float, float, float, float]]) -> None:
    """Write a stored picture with nobody to be told on it. people: boxes in fractions. Raises OSError."""
    from preprocessing.blurring import save_blurred

    save_blurred(path, source, people)


def printed_bands(
    top: float, bottom: float, within: tuple[float, float] = (0.0, 1.0)
) -> tuple[tuple[float, float], ...]:
    """What the strips at a photo's top and bottom are of a part of it, in fractions of the part's height."""
    from preprocessing.covering import printed_bands

    return printed_bands(top, bottom, within)


def covered(source: Path, bands: Sequence[tuple[float, float]]) -> bytes:
    """A stored picture with these bands (fractions of its height) painted over. Raises OSError."""
    from preprocessing.covering import covered

    return covered(source, bands)


def save_covered(path: Path, source: Path, bands: Sequence[tuple[float, float]]) -> None:
    """Write `covered` to `path`, atomically. Raises OSError."""
    from preprocessing.covering import save_covered

    save_covered(path, source, bands)


def save(path: Path, pixels: Any) -> None:
    """Write an array by the suffix of the name: colour as JPEG, grey as PNG."""
    from preprocessing.imageio import save_jpeg, save_png_gray

    if path.suffix == ".png":
        save_png_gray(path, pixels)
    else:
        save_jpeg(path, pixels, quality=92)


def load(path: Path) -> Any:
    """RGB uint8 H×W×3 of a file of ours."""
    import numpy as np
    from PIL import Image

    with Image.open(path, formats=["JPEG", "PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def load_gray(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path, formats=["JPEG", "PNG"]) as image:
        return np.asarray(image.convert("L"))


def load_masked(crop: Path, mask: Path | None) -> tuple[Any, Any | None] | None:
    """A stored crop with its mask (H×W, None where there is none that fits it); None when the crop cannot be read."""
    try:
        pixels = load(crop)
        shown = load_gray(mask) if mask is not None and mask.is_file() else None
    except OSError:
        return None
    return pixels, shown if shown is not None and shown.shape == pixels.shape[:2] else None


def is_infrared(pixels: Any) -> bool:
    from preprocessing.detection.background import is_infrared

    return bool(is_infrared(pixels))
