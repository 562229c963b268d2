"""What a photo says about itself, in values that a database and JSON can hold. Bad EXIF never stops a photo.

Tags after EXIF 2.32. The time in Reconyx HyperFire maker notes after the layout published by ExifTool (Reconyx.pm);
read so on the photos of seven such cameras that carry both, it equals DateTimeOriginal to the second.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from PIL import ExifTags

from preprocessing.exif import EXIF_POINTER, GPS_POINTER, MAKER_NOTE, Entry, ExifData, clean_text
from preprocessing.imageio import DEFAULT_LIMITS, ImageLimits, open_image

JsonValue = str | int | float | list[int | float | None]

_MAKE, _MODEL, _MODIFIED = 0x010F, 0x0110, 0x0132
_ORIGINAL, _DIGITIZED = 0x9003, 0x9004
_OFFSET, _OFFSET_ORIGINAL = 0x9010, 0x9011
_USER_COMMENT = 0x9286
_GPS_LATITUDE_REF, _GPS_LATITUDE, _GPS_LONGITUDE_REF, _GPS_LONGITUDE = 1, 2, 3, 4
_WINDOWS_TEXT = range(0x9C9B, 0x9CA0)
# Blocks of other formats: XMP and IPTC (which may hold a position), thumbnails, colour tables, maker notes.
_LEFT_OUT = frozenset({EXIF_POINTER, GPS_POINTER, MAKER_NOTE, 0xA005, 0x02BC, 0x83BB, 0x8649, 0x8773, 0xC4A5, 0xEA1C})
_MAX_TEXT = 2000
_MAX_NUMBERS = 64
_HYPERFIRE_VERSIONS = (0xF101, 0xF102)
_OLDEST_PLAUSIBLE = datetime(2000, 1, 2)
"""Camera clocks that lost power restart in 1970, 1980 or on 2000-01-01."""
_TIME = re.compile(r"(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})[ T]+(\d{1,2}):(\d{1,2}):(\d{1,2})")
_UTC_OFFSET = re.compile(r"Z|[+-](?:0\d|1[0-4]):[0-5]\d")


@dataclass(frozen=True, slots=True)
class PhotoMetadata:
    """Header and EXIF of one photo; `width` and `height` of the upright image.

    `captured_at` is the camera's clock without zone, `captured_raw` the text it was read from, `offset` the EXIF zone
    (`+05:30`) when stated. `exif` is JSON-safe and holds no position: `gps` alone does (latitude, longitude in
    degrees). Flags: `no_time`, `bad_time` (present but no date), `clock_suspect` (before 2000-01-02 or in the
    future), `time_from_maker_note`, `time_from_modified` (only the time of last change was there), `gps_ignored`
    (0,0, out of range or unreadable), `exif_bounded` (caps reached), `exif_damaged`, `rotated`, `first_frame`.
    """

    width: int
    height: int
    captured_at: datetime | None
    captured_raw: str
    offset: str | None
    make: str
    model: str
    gps: tuple[float, float] | None
    exif: dict[str, JsonValue]
    flags: tuple[str, ...]


def read_metadata(path: Path, limits: ImageLimits = DEFAULT_LIMITS, now: datetime | None = None) -> PhotoMetadata:
    """Reads header and EXIF without decoding the picture; `now` (local, naive) is what counts as the future.

    Raises ImageRejected where the header cannot be read, as `imageio.decode_image` does; bad EXIF only leaves flags.
    """
    with open_image(path, limits) as opened:
        width, height = opened.upright_size
        data = opened.exif
        flags = ["rotated"] if data.orientation != 1 else []
        if opened.has_more_frames:
            flags.append("first_frame")
    captured_at, raw, time_flags = _captured(data, now or datetime.now())
    gps, gps_flags = _position(data.gps)
    flags += [*time_flags, *gps_flags]
    flags += ["exif_bounded"] if data.bounded else []
    flags += ["exif_damaged"] if data.damaged else []
    return PhotoMetadata(
        width=width,
        height=height,
        captured_at=captured_at,
        captured_raw=raw,
        offset=_offset(data),
        make=_text(data.main, _MAKE),
        model=_text(data.main, _MODEL),
        gps=gps,
        exif=_as_json(data),
        flags=tuple(flags),
    )


def _captured(data: ExifData, now: datetime) -> tuple[datetime | None, str, list[str]]:
    """The best time there is, the text it came from, and flags."""
    first_raw = ""
    for directory, tag, flag in (
        (data.exif, _ORIGINAL, None),
        (data.main, _ORIGINAL, None),
        (data.exif, MAKER_NOTE, "time_from_maker_note"),
        (data.exif, _DIGITIZED, None),
        (data.main, _MODIFIED, "time_from_modified"),
    ):
        entry = directory.get(tag)
        raw = "" if entry is None else _hyperfire_time(entry) if tag == MAKER_NOTE else entry.text()[:64]
        first_raw = first_raw or raw
        captured = parse_exif_time(raw)
        if captured is not None:
            suspect = captured < _OLDEST_PLAUSIBLE or captured > now + timedelta(days=1)
            return captured, raw, [*([flag] if flag else []), *(["clock_suspect"] if suspect else [])]
    return None, first_raw, ["bad_time" if first_raw.strip(" :") else "no_time"]


def parse_exif_time(text: str) -> datetime | None:
    """`2019:03:01 19:49:36` (also with - / . between the date's parts), or None when that is no date."""
    match = _TIME.match(text.strip())
    if match is None:
        return None
    try:
        return datetime(*(int(part) for part in match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None


def _hyperfire_time(entry: Entry) -> str:
    """The time inside a Reconyx HyperFire maker note as EXIF text, "" for other maker notes."""
    if len(entry.raw) < 34:
        return ""
    for order in (entry.order, "<", ">"):
        words = struct.unpack(order + "17H", entry.raw[:34])
        if words[0] in _HYPERFIRE_VERSIONS:
            second, minute, hour, month, day, year = words[11:17]
            return f"{year:04d}:{month:02d}:{day:02d} {hour:02d}:{minute:02d}:{second:02d}"
    return ""


def _offset(data: ExifData) -> str | None:
    for tag in (_OFFSET_ORIGINAL, _OFFSET):
        text = _text(data.exif, tag)
        if _UTC_OFFSET.fullmatch(text):
            return "+00:00" if text == "Z" else text
    return None


def _position(gps: Mapping[int, Entry]) -> tuple[tuple[float, float] | None, list[str]]:
    if _GPS_LATITUDE not in gps and _GPS_LONGITUDE not in gps:
        return None, []
    latitude = _degrees(gps.get(_GPS_LATITUDE), _text(gps, _GPS_LATITUDE_REF), "NS")
    longitude = _degrees(gps.get(_GPS_LONGITUDE), _text(gps, _GPS_LONGITUDE_REF), "EW")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None, ["gps_ignored"]
    if latitude == 0 and longitude == 0:
        return None, ["gps_ignored"]
    return (latitude, longitude), []


def _degrees(entry: Entry | None, reference: str, signs: str) -> float | None:
    """Degrees, minutes, seconds and a letter as a signed number; None when a part is missing or not a number."""
    letter = reference[:1].upper()
    numbers = entry.numbers()[:3] if entry else []
    if not numbers or letter not in tuple(signs) or any(number is None or number < 0 for number in numbers):
        return None
    degrees = sum(float(number or 0) / 60**power for power, number in enumerate(numbers))
    return round(-degrees if letter == signs[1] else degrees, 7)


def _text(directory: Mapping[int, Entry], tag: int) -> str:
    entry = directory.get(tag)
    return entry.text()[:_MAX_TEXT] if entry is not None and entry.kind in (1, 2, 7, 129) else ""


def _as_json(data: ExifData) -> dict[str, JsonValue]:
    """All known tags of the main and the EXIF directory under their names; a rational without value is left out."""
    found: dict[str, JsonValue] = {}
    for directory in (data.main, data.exif):
        for tag, entry in directory.items():
            name = ExifTags.TAGS.get(tag)
            if name is None or tag in _LEFT_OUT:
                continue
            value = _json_value(tag, entry)
            if value not in (None, "", []):
                found[str(name)] = value  # type: ignore[assignment]
    return found


def _json_value(tag: int, entry: Entry) -> JsonValue | None:
    if tag in _WINDOWS_TEXT:
        return clean_text(entry.raw.decode("utf-16-le", "ignore").split("\x00", 1)[0])[:_MAX_TEXT]
    if tag == _USER_COMMENT:
        return _user_comment(entry)[:_MAX_TEXT]
    if entry.kind in (2, 7, 129):
        return entry.text()[:_MAX_TEXT]
    numbers = entry.numbers()
    if not numbers or len(numbers) > _MAX_NUMBERS:
        return None
    return numbers[0] if len(numbers) == 1 else numbers


def _user_comment(entry: Entry) -> str:
    """A comment begins with eight bytes that name its character code (EXIF 2.32, tag 0x9286)."""
    code, body = entry.raw[:8], entry.raw[8:]
    if code == b"UNICODE\x00":
        encoding = "utf-16-le" if entry.order == "<" else "utf-16-be"
        return clean_text(body.decode(encoding, "ignore").split("\x00", 1)[0])
    named = code.rstrip(b"\x00") in (b"ASCII", b"JIS", b"")
    return Entry(entry.kind, body if named else entry.raw, entry.order).text()
