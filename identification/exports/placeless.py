"""Photo files without what may tell a place, the pixels untouched.

EXIF keeps an allow-list of tags (time, orientation, camera, exposure): GPS, maker notes and free text go. XMP, IPTC,
comments, previews appended after the picture (CIPA DC-007) and unknown segments go whole. Layouts: ITU-T T.81 annex B
(JPEG), TIFF 6.0 section 2 and EXIF 2.32 (CIPA DC-008), PNG (W3C, third edition), WebP container specification (Google).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_EXIF = b"Exif\x00\x00"
_EXIF_POINTER = 0x8769
_MAX_ENTRIES = 512
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MAIN_TAGS = frozenset({0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x0213})
_EXIF_TAGS = frozenset(
    {
        0x829A,
        0x829D,
        0x8822,
        0x8827,
        0x8830,
        0x8831,
        0x8832,
        0x9000,
        0x9003,
        0x9004,
        0x9010,
        0x9011,
        0x9012,
        0x9101,
        0x9102,
    }
    | set(range(0x9201, 0x920B))
    | {0x9290, 0x9291, 0x9292, 0xA000, 0xA001, 0xA002, 0xA003, 0xA20E, 0xA20F, 0xA210, 0xA217, 0xA300, 0xA301, 0xA401}
    | set(range(0xA402, 0xA40B))
    | {0xA40C, 0xA420}
)
_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_PNG_TELLING = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
_WEBP_TELLING = frozenset({b"EXIF", b"XMP "})


def without_places(data: bytes) -> bytes | None:
    """The file without what may tell a place; the very same bytes when there is nothing of it.

    None for a format that cannot be cleaned without encoding its pixels anew, and for a file that cannot be followed.
    """
    cleaner: Callable[[bytes], bytes] | None = None
    if data.startswith(b"\xff\xd8\xff"):
        cleaner = _clean_jpeg
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        cleaner = _clean_png
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        cleaner = _clean_webp
    if cleaner is None:
        return None
    try:
        return cleaner(data)
    except (_Unfollowable, struct.error, IndexError):
        return None


class _Unfollowable(Exception):
    """The structure of the file cannot be followed to its end."""


def _clean_jpeg(data: bytes) -> bytes:
    out = [data[:2]]
    for marker, segment in _jpeg_segments(data):
        payload = segment[4:]
        if marker == 0xE1 and payload.startswith(_EXIF):
            out.append(_clean_exif_segment(segment))
        elif marker == 0xE0:
            out += [segment] if payload.startswith(b"JFIF\x00") else []
        elif marker == 0xE2:
            out += [segment] if payload.startswith(b"ICC_PROFILE\x00") else []
        elif marker == 0xEE or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            out.append(segment)
    return b"".join(out)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, bytes with marker and length). Compressed data goes with its scan header; all after EOI is left out."""
    position = 2
    while position < len(data):
        if data[position] != 0xFF:
            raise _Unfollowable
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xD9:
            yield marker, data[position : position + 2]
            return
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if end < position + 4 or end > len(data):
            raise _Unfollowable
        if marker == 0xDA:
            found = _IN_SCAN.search(data, end)
            end = found.start() if found else len(data)
        yield marker, data[position:end]
        position = end


def _clean_exif_segment(segment: bytes) -> bytes:
    tiff = segment[4 + len(_EXIF) :]
    try:
        read = _read_exif(tiff)
    except (_Unfollowable, struct.error):
        return b""
    if not read.telling:
        return segment
    body = _EXIF + _write_exif(read)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


@dataclass
class _Exif:
    """Allowed entries (tag, type, count, value) of the main and EXIF directories; `telling`: others were there."""

    order: str
    main: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    exif: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    telling: bool = False


def _read_exif(tiff: bytes) -> _Exif:
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        raise _Unfollowable
    read = _Exif(order)
    pointed = 0
    entries, following = _directory(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0])
    read.telling = bool(following)
    for tag, kind, count, value in entries:
        if tag == _EXIF_POINTER and kind == 4 and count == 1:
            pointed = struct.unpack(order + "I", value)[0]
        elif tag in _MAIN_TAGS:
            read.main.append((tag, kind, count, value))
        else:
            read.telling = True
    if pointed:
        for entry in _directory(tiff, order, pointed)[0]:
            if entry[0] in _EXIF_TAGS:
                read.exif.append(entry)
            else:
                read.telling = True
    return read


def _directory(tiff: bytes, order: str, offset: int) -> tuple[list[tuple[int, int, int, bytes]], int]:
    (number,) = struct.unpack_from(order + "H", tiff, offset)
    if number > _MAX_ENTRIES:
        raise _Unfollowable
    entries = []
    for index in range(number):
        at = offset + 2 + 12 * index
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        length = _SIZES.get(kind, 0) * count
        start = at + 8 if length <= 4 else struct.unpack_from(order + "I", tiff, at + 8)[0]
        value = tiff[start : start + length]
        if not length or len(value) != length:
            continue
        entries.append((tag, kind, count, value))
    end = offset + 2 + 12 * number
    return entries, struct.unpack_from(order + "I", tiff, end)[0] if end + 4 <= len(tiff) else 0


def _write_exif(read: _Exif) -> bytes:
    order = read.order
    header = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    main = sorted([*read.main, (_EXIF_POINTER, 4, 1, b"")] if read.exif else read.main)
    after_main = 8 + _length(main)
    pointer = (_EXIF_POINTER, 4, 1, struct.pack(order + "I", after_main))
    main = [pointer if entry[0] == _EXIF_POINTER else entry for entry in main]
    return header + _pack(main, order, 8) + (_pack(sorted(read.exif), order, after_main) if read.exif else b"")


def _length(entries: list[tuple[int, int, int, bytes]]) -> int:
    return 6 + 12 * len(entries) + sum(len(value) + len(value) % 2 for *_, value in entries if len(value) > 4)


def _pack(entries: list[tuple[int, int, int, bytes]], order: str, offset: int) -> bytes:
    table, values = [struct.pack(order + "H", len(entries))], b""
    start = offset + 6 + 12 * len(entries)
    for tag, kind, count, value in entries:
        table.append(struct.pack(order + "HHI", tag, kind, count))
        if len(value) <= 4:
            table.append(value.ljust(4, b"\x00"))
        else:
            table.append(struct.pack(order + "I", start + len(values)))
            values += value + b"\x00" * (len(value) % 2)
    return b"".join(table) + b"\x00" * 4 + values


def _clean_png(data: bytes) -> bytes:
    out, position = [data[:8]], 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise _Unfollowable
        if kind == b"eXIf":
            out.append(_clean_png_exif(data[position + 8 : end - 4], data[position:end]))
        elif kind not in _PNG_TELLING:
            out.append(data[position:end])
        position = end
        if kind == b"IEND":
            return b"".join(out)
    raise _Unfollowable


def _clean_png_exif(tiff: bytes, chunk: bytes) -> bytes:
    try:
        read = _read_exif(tiff)
    except (_Unfollowable, struct.error):
        return b""
    if not read.telling:
        return chunk
    body = b"eXIf" + _write_exif(read)
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _clean_webp(data: bytes) -> bytes:
    end_of_file = 8 + struct.unpack_from("<I", data, 4)[0]
    chunks, position = [], 12
    while position + 8 <= min(end_of_file, len(data)):
        kind, length = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        end = position + 8 + length + length % 2
        if position + 8 + length > len(data):
            raise _Unfollowable
        chunk = data[position:end]
        if kind == b"VP8X":
            # Flags of the extended header: 0x08 EXIF, 0x04 XMP.
            chunk = chunk[:8] + bytes([chunk[8] & ~0x0C]) + chunk[9:]
        if kind not in _WEBP_TELLING:
            chunks.append(chunk)
        position = end
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
