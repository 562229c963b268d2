"""The segments of a JPEG file before its first scan, read without decoding and with a bound on everything.

Pillow loads a whole EXIF directory when it opens a JPEG, entry by entry; entries may overlap, so that a file of 10 MB
can ask for hundreds of gigabytes. Therefore EXIF is taken out here and read by `exif.py`, and Pillow gets the file
without. Markers after ITU-T T.81 table B.1.
"""

from dataclasses import dataclass

SOI = b"\xff\xd8"
_SOS, _EOI, _APP1 = 0xDA, 0xD9, 0xE1
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF_PREFIX = b"Exif\x00"
_MAX_SEGMENTS = 4096


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What stands before the scans.

    `size` is (width, height) as stored, None when no frame header was reached. `exif` is the first EXIF segment from
    its TIFF header on. `scan_start` is the offset of the compressed data, None when the file ends before it.
    `exif_spans` are the (start, end) offsets of all EXIF segments.
    """

    size: tuple[int, int] | None
    exif: bytes
    scan_start: int | None
    exif_spans: tuple[tuple[int, int], ...]


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walks the markers of a JPEG (or of its first bytes) up to the first scan; never raises on damaged data."""
    size: tuple[int, int] | None = None
    exif = b""
    spans: list[tuple[int, int]] = []
    position = 2
    for _ in range(_MAX_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            break
        marker = data[position + 1]
        if marker in (0x00, 0xFF):
            position += 1
            continue
        if marker == _EOI:
            break
        if marker in _STANDALONE:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if length < 2 or end > len(data):
            break
        if marker == _SOS:
            return JpegHeader(size, exif, end, tuple(spans))
        payload = data[position + 4 : end]
        if marker in _START_OF_FRAME and size is None and len(payload) >= 5:
            size = (int.from_bytes(payload[3:5], "big"), int.from_bytes(payload[1:3], "big"))
        elif marker == _APP1 and payload.startswith(_EXIF_PREFIX):
            spans.append((position, end))
            exif = exif or payload[6:]
        position = end
    return JpegHeader(size, exif, None, tuple(spans))


def without_spans(data: bytes, spans: tuple[tuple[int, int], ...]) -> bytes:
    """The bytes outside the spans (ascending and disjoint)."""
    if not spans:
        return data
    starts = [0, *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends))


def has_zero_tail(data: bytes | memoryview, at_least: int = 512) -> bool:
    """Whether the end was overwritten by zeros: a copy that broke off into space that had been reserved for it.

    Zeros after a proper end-of-image marker are padding that some cameras write, and fine.
    """
    if len(data) < at_least or any(data[-at_least:]):
        return False
    return not bytes(data).rstrip(b"\x00").endswith(b"\xff\xd9")
