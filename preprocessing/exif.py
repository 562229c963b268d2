"""A small EXIF reader that stays within bounds whatever the file claims.

Reads the TIFF structure (TIFF 6.0 section 2, EXIF 2.32) of three directories: the main one, the EXIF one and GPS.
Each is visited once and only where a pointer names it, so loops end; entries, value sizes and the sum of all values
are capped.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Reader = Callable[[int, int], bytes]
"""(offset, size) -> at most that many bytes; fewer at the end of the file."""

Number = int | float | None

EXIF_POINTER = 0x8769
GPS_POINTER = 0x8825
ORIENTATION = 0x0112
MAKER_NOTE = 0x927C

_TYPE_SIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_TYPE_FORMAT = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_MAX_ENTRIES = 512
_MAX_VALUE_BYTES = 64 * 1024
_MAX_TOTAL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag as stored: type code, bytes (cut at the cap), and whether they were cut."""

    kind: int
    raw: bytes
    order: str
    cut: bool = False

    def text(self) -> str:
        """The value as text: up to the first NUL, UTF-8 if it is valid UTF-8, else Latin-1; no control characters."""
        return decode_text(self.raw)

    def numbers(self) -> list[Number]:
        """The value as numbers; a rational with denominator 0 and a float that is not finite are None."""
        if self.kind in (5, 10):
            pairs = struct.iter_unpack(self.order + ("II" if self.kind == 5 else "ii"), _whole(self.raw, 8))
            return [above / below if below else None for above, below in pairs]
        code = _TYPE_FORMAT.get(self.kind)
        if code is None:
            return []
        size = struct.calcsize(code)
        values = [value for (value,) in struct.iter_unpack(self.order + code, _whole(self.raw, size))]
        return [value if _finite(value) else None for value in values]

    def integer(self) -> int | None:
        """The first number when it is an integer."""
        values = self.numbers()[:1]
        return values[0] if values and isinstance(values[0], int) else None


@dataclass(frozen=True, slots=True)
class ExifData:
    """The three directories, tag -> entry. `bounded` says that something was left out because a cap was reached."""

    main: Mapping[int, Entry] = field(default_factory=dict)
    exif: Mapping[int, Entry] = field(default_factory=dict)
    gps: Mapping[int, Entry] = field(default_factory=dict)
    bounded: bool = False
    damaged: bool = False

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8; 1 when absent or nonsense."""
        entry = self.main.get(ORIENTATION)
        value = entry.integer() if entry else None
        return value if value is not None and 1 <= value <= 8 else 1


def read_exif(data: bytes) -> ExifData:
    """Reads an EXIF block, with or without its `Exif\\0\\0` prefix; never raises, empty when there is nothing to
    read."""
    if data.startswith(b"Exif\x00"):
        data = data[6:]
    return read_tiff(lambda offset, size: data[offset : offset + size])


def read_tiff(read: Reader) -> ExifData:
    """The same through a reader, for TIFF files, whose tags lie scattered over the file."""
    return _Walk(read).run()


def directory_bytes(read: Reader) -> int:
    """How many bytes the entries of the first directory claim together; what a reader that trusts them would load."""
    walk = _Walk(read)
    if not walk.open():
        return 0
    total = 0
    for _tag, kind, count, _position in walk.entries(walk.first, limit=65535):
        total += _TYPE_SIZE.get(kind, 0) * count
    return total


class _Walk:
    def __init__(self, read: Reader) -> None:
        self.read = read
        self.order = "<"
        self.first = 0
        self.total = 0
        self.bounded = False
        self.damaged = False
        self.visited: set[int] = set()

    def open(self) -> bool:
        head = self.read(0, 8)
        if len(head) < 8 or head[:2] not in (b"II", b"MM"):
            return False
        self.order = "<" if head[:2] == b"II" else ">"
        magic, self.first = struct.unpack(self.order + "HI", head[2:8])
        return magic == 42

    def run(self) -> ExifData:
        if not self.open():
            return ExifData(damaged=bool(self.read(0, 1)))
        main = self.directory(self.first)
        exif = self.pointed(main, EXIF_POINTER)
        gps = self.pointed(main, GPS_POINTER)
        return ExifData(main, exif, gps, self.bounded, self.damaged)

    def pointed(self, main: Mapping[int, Entry], tag: int) -> dict[int, Entry]:
        entry = main.get(tag)
        offset = entry.integer() if entry else None
        return self.directory(offset) if offset else {}

    def directory(self, offset: int) -> dict[int, Entry]:
        if offset in self.visited:
            self.damaged = True
            return {}
        self.visited.add(offset)
        found: dict[int, Entry] = {}
        for tag, kind, count, position in self.entries(offset, limit=_MAX_ENTRIES):
            width = _TYPE_SIZE.get(kind)
            if width is None or tag in found:
                self.damaged = True
                continue
            size = width * count
            keep = min(size, _MAX_VALUE_BYTES)
            if self.total + keep > _MAX_TOTAL_BYTES:
                self.bounded = True
                continue
            start = position + 8 if size <= 4 else struct.unpack(self.order + "I", self.read(position + 8, 4))[0]
            raw = self.read(start, keep)
            self.total += len(raw)
            self.bounded |= keep < size
            self.damaged |= len(raw) < keep
            found[tag] = Entry(kind, raw, self.order, len(raw) < size)
        return found

    def entries(self, offset: int, limit: int) -> list[tuple[int, int, int, int]]:
        """(tag, type, count, position) of the complete entries of a directory, at most `limit`."""
        head = self.read(offset, 2)
        if len(head) < 2:
            self.damaged = True
            return []
        count = struct.unpack(self.order + "H", head)[0]
        self.bounded |= count > limit
        block = self.read(offset + 2, 12 * min(count, limit))
        self.damaged |= len(block) < 12 * min(count, limit)
        entries = struct.iter_unpack(self.order + "HHI4x", _whole(block, 12))
        return [(tag, kind, number, offset + 2 + 12 * index) for index, (tag, kind, number) in enumerate(entries)]


def decode_text(raw: bytes) -> str:
    """Bytes of an EXIF text up to the first NUL, as UTF-8 where valid and Latin-1 otherwise, control characters
    removed."""
    raw = raw.split(b"\x00", 1)[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return clean_text(text)


def clean_text(text: str) -> str:
    """Text that a database and JSON can hold: no control characters but line breaks and tabs, no lone surrogates."""
    return "".join(c for c in text if (c.isprintable() or c in "\n\t ") and not "\ud800" <= c <= "\udfff").strip()


def _whole(raw: bytes, size: int) -> bytes:
    return raw[: len(raw) // size * size]


def _finite(value: float) -> bool:
    return value == value and value not in (float("inf"), float("-inf"))
