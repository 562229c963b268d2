"""Photos and EXIF blocks made by hand, byte by byte where it matters."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tag = tuple[int, int, int, bytes]
"""(tag, type code, count, value bytes)."""


def build_tiff(main: Sequence[Tag], exif: Sequence[Tag] = (), gps: Sequence[Tag] = (), order: str = "<") -> bytes:
    """A TIFF structure after TIFF 6.0, section 2: header, three directories, then the values that do not fit."""
    directories = [list(main), list(exif), list(gps)]
    for pointer, directory in ((0x8769, directories[1]), (0x8825, directories[2])):
        if directory:
            directories[0].append((pointer, 4, 1, b"POINTER"))
    starts, position = [], 8
    for directory in directories:
        starts.append(position)
        position += 2 + 12 * len(directory) + 4 if directory else 0
    heap, body = b"", b""
    targets = {0x8769: starts[1], 0x8825: starts[2]}
    for directory in directories:
        if not directory:
            continue
        body += struct.pack(order + "H", len(directory))
        for tag, kind, count, value in sorted(directory):
            if value == b"POINTER":
                value = struct.pack(order + "I", targets[tag])
            if len(value) <= 4:
                field = value.ljust(4, b"\x00")
            else:
                field = struct.pack(order + "I", position + len(heap))
                heap += value
            body += struct.pack(order + "HHI", tag, kind, count) + field
        body += b"\x00" * 4
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    return head + body + heap


def gradient(width: int = 96, height: int = 64) -> np.ndarray:
    """RGB uint8 in which every corner has another colour, so that turning it is seen."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, 255 - (x + y) / 2], axis=2).astype(np.uint8)


def encode(pixels: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """A JPEG with this EXIF block as its first segment."""
    segment = b"Exif\x00\x00" + block
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def text(tag: int, value: str | bytes) -> Tag:
    raw = (value if isinstance(value, bytes) else value.encode()) + b"\x00"
    return (tag, 2, len(raw), raw)


def rationals(tag: int, *pairs: tuple[int, int]) -> Tag:
    return (tag, 5, len(pairs), b"".join(struct.pack("<II", *pair) for pair in pairs))


class Maker:
    """The builders, and files of their bytes."""

    tiff = staticmethod(build_tiff)
    gradient = staticmethod(gradient)
    encode = staticmethod(encode)
    with_exif = staticmethod(with_exif)
    text = staticmethod(text)
    rationals = staticmethod(rationals)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def photo(self, main: Sequence[Tag] = (), exif: Sequence[Tag] = (), gps: Sequence[Tag] = ()) -> Path:
        """A JPEG with these tags."""
        return self.file("photo.jpg", with_exif(encode(gradient()), build_tiff(main, exif, gps)))


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)
