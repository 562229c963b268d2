"""Reading a photo whole and upright, and writing derivatives that carry nothing but pixels.

Every file passes one door, `decode_image`: an allow-list of formats, caps on size, full decoding (Pillow's `verify`
passes a truncated JPEG), orientation applied once. What is refused is refused with a code and a sentence saying what
to do.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from preprocessing import sniff
from preprocessing.colour import to_rgb
from preprocessing.exif import ExifData, directory_bytes, read_exif, read_tiff
from preprocessing.files import write_atomically
from preprocessing.jpeg_header import SOI, JpegHeader, has_zero_tail, read_jpeg_header, without_spans
from preprocessing.types import GrayImage, Image

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF", "GIF", "BMP")
_MAX_TIFF_DIRECTORY_BYTES = 64 * 1024 * 1024
_MIN_SCAN_BYTES = 16

_MESSAGES = {
    "missing": "The file is not there any more. Reconnect the disk or share and ingest the folder again.",
    "empty": "The file has no content (zero bytes). Copy it again from the memory card.",
    "unreadable": "The file starts like a photo but its header cannot be read. Copy it again from the memory card.",
    "truncated": "The photo breaks off before its end. Copy it again from the memory card.",
    "not_image": "The file is named like a photo but holds something else (text or a web page). Remove or replace it.",
    "unsupported": "This kind of file is not supported. Save it as JPEG, PNG or TIFF and ingest that.",
    "too_large": "The photo has more pixels than allowed. Save a smaller copy and ingest that.",
    "too_small": "The photo is too small to show an animal. Check whether it is a thumbnail.",
    "bad_aspect": "The photo is a strip, far longer than wide. Check whether it is a panorama or damaged.",
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is accepted. Pixels are counted as width × height; `max_aspect` is long side / short side."""

    max_pixels: int = 80_000_000
    max_file_bytes: int = 1024 * 1024 * 1024
    min_side: int = 32
    max_aspect: float = 20.0


DEFAULT_LIMITS = ImageLimits()


class ImageRejected(Exception):
    """A file that cannot be used: `code` for programs, `message` for people, saying what to do."""

    def __init__(self, code: str, detail: str = "") -> None:
        detail = " ".join(detail.split())[:120]
        self.code = code
        self.message = f"{_MESSAGES[code]} ({detail})" if detail else _MESSAGES[code]
        super().__init__(self.message)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An upright photo: `pixels` RGB uint8 H×W×3, `format` Pillow's name, `flags` what was done on the way.

    Flags: `rotated` (EXIF orientation applied; HEIF turns the picture itself, unflagged), `first_frame` (animation or
    several pages: the first is used), `gray`, `cmyk`, `palette`, `alpha` (transparency laid over black),
    `sixteen_bit` (scaled to 8), `one_bit`, `float`, `lab`.
    """

    pixels: Image
    format: str
    flags: tuple[str, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """A file whose header was read: Pillow's lazy image and the EXIF found, within the limits."""

    image: PillowImage.Image
    exif: ExifData
    jpeg: JpegHeader | None
    source: io.BytesIO | Path

    @property
    def orientation(self) -> int:
        """What still has to be applied to the pixels: Pillow turns TIFF itself while loading."""
        return 1 if self.image.format == "TIFF" else self.exif.orientation

    @property
    def has_more_frames(self) -> bool:
        """Whether it is an animation or has further pages; Pillow has to read on to know, and may stumble there."""
        try:
            return bool(getattr(self.image, "is_animated", False))
        except Exception:
            return False

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) once upright."""
        width, height = self.image.size
        return (height, width) if self.orientation >= 5 else (width, height)


def decode_image(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> DecodedImage:
    """Decodes the photo fully and upright.

    Raises ImageRejected with one of the codes `missing`, `empty`, `unreadable`, `truncated`, `not_image`,
    `unsupported`, `too_large`, `too_small`, `bad_aspect`. The file is only read.
    """
    with open_image(path, limits) as opened:
        flags = ["first_frame"] if opened.has_more_frames else []
        name = opened.image.format or ""
        orientation = opened.orientation
        if opened.exif.orientation != 1:
            flags.append("rotated")
        if isinstance(opened.source, io.BytesIO) and has_zero_tail(opened.source.getbuffer()):
            raise ImageRejected("truncated", "its end is filled with zeros")
        try:
            opened.image.load()
            pixels, colour_flags = to_rgb(opened.image)
        except MemoryError:
            raise ImageRejected("too_large", "not enough memory to decode it") from None
        except Exception as error:  # any decoder may fail in its own way on hostile bytes
            raise ImageRejected("truncated" if _breaks_off(error, opened) else "unreadable", str(error)) from error
    pixels = apply_orientation(pixels, orientation)
    height, width = pixels.shape[:2]
    return DecodedImage(pixels, name, (*flags, *colour_flags), width, height)


@contextmanager
def open_image(path: Path, limits: ImageLimits) -> Iterator[OpenedImage]:
    """Opens a photo lazily after all checks that need no decoding; Pillow's warnings stay inside.

    Raises ImageRejected as `decode_image` does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source, jpeg, exif = _source(path, limits)
        try:
            _register_formats()
            image = PillowImage.open(source, formats=FORMATS)
        except PillowImage.DecompressionBombError:
            raise ImageRejected("too_large") from None
        except UnidentifiedImageError:
            raise ImageRejected("unreadable") from None
        except MemoryError:
            raise ImageRejected("too_large", "not enough memory to open it") from None
        except Exception as error:  # a plugin may fail in its own way on hostile bytes
            raise ImageRejected("unreadable", str(error)) from error
        with image:
            check_size(*image.size, limits)
            if jpeg is None and exif is None:
                exif = read_exif(image.info.get("exif") or b"")
            yield OpenedImage(image, exif or ExifData(), jpeg, source)


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Raises ImageRejected when an image of this size is not accepted."""
    shown = f"{width}×{height}"
    if width * height > limits.max_pixels:
        raise ImageRejected("too_large", f"{shown}, at most {limits.max_pixels / 1e6:.0f} megapixels")
    if min(width, height) < 1:
        raise ImageRejected("unreadable", shown)
    if max(width, height) > limits.max_aspect * min(width, height):
        raise ImageRejected("bad_aspect", f"{shown}, at most {limits.max_aspect:g}:1")
    if min(width, height) < limits.min_side:
        raise ImageRejected("too_small", f"{shown}, at least {limits.min_side} pixels a side")


def apply_orientation(pixels: Image, orientation: int) -> Image:
    """Turns stored pixels upright (EXIF 2.32, tag 0x0112); values outside 2 to 8 change nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def save_jpeg(path: Path, pixels: Image, quality: int = 90) -> None:
    """Writes RGB uint8 H×W×3 as JPEG without any metadata, atomically; 4:4:4 so that coat edges keep their colour."""
    _require(pixels, 3)
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    write_atomically(path, buffer.getvalue())


def save_png_gray(path: Path, gray: GrayImage) -> None:
    """Writes uint8 H×W as PNG without any metadata, atomically."""
    _require(gray, 2)
    buffer = io.BytesIO()
    PillowImage.fromarray(gray).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def make_preview(pixels: Image, longest: int) -> Image:
    """The image reduced so that its longest side has `longest` pixels; never enlarged. RGB uint8 in and out."""
    _require(pixels, 3)
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels.copy()
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _source(path: Path, limits: ImageLimits) -> tuple[io.BytesIO | Path, JpegHeader | None, ExifData | None]:
    """What Pillow shall open, after the bytes were looked at: a JPEG without its EXIF, else the file itself."""
    try:
        if not path.is_file():
            raise ImageRejected("unreadable" if path.exists() else "missing", "not a regular file" * path.exists())
        size = path.stat().st_size
        if size == 0:
            raise ImageRejected("empty")
        if size > limits.max_file_bytes:
            raise ImageRejected("too_large", f"{size / 1e6:.0f} MB")
        with path.open("rb") as handle:
            head = handle.read(sniff.HEAD_BYTES)
    except OSError as error:
        raise ImageRejected("unreadable", error.strerror or str(error)) from error
    problem = sniff.refusal(head, path.suffix)
    if problem is not None:
        raise ImageRejected(*problem)
    if head.startswith(SOI):
        data = path.read_bytes()
        header = read_jpeg_header(data)
        if header.size is not None:
            check_size(*header.size, limits)
        if header.scan_start is None or len(data) - header.scan_start < _MIN_SCAN_BYTES:
            raise ImageRejected("unreadable", "it ends before the picture begins")
        return io.BytesIO(without_spans(data, header.exif_spans)), header, read_exif(header.exif)
    if sniff.is_tiff(head):
        return path, None, _tiff_exif(path)
    if sniff.is_cut_off(head, size, lambda offset: _bytes_at(path, offset, 16)):
        raise ImageRejected("truncated")
    return path, None, None


def _bytes_at(path: Path, offset: int, count: int) -> bytes:
    with path.open("rb") as handle:
        handle.seek(offset)
        return handle.read(count)


def _tiff_exif(path: Path) -> ExifData:
    with path.open("rb") as handle:

        def read(offset: int, size: int) -> bytes:
            handle.seek(offset)
            return handle.read(size)

        if directory_bytes(read) > _MAX_TIFF_DIRECTORY_BYTES:
            raise ImageRejected("unreadable", "its directory claims more data than a photo has")
        exif = read_tiff(read)
    if sniff.DNG_VERSION in exif.main:
        raise ImageRejected("unsupported", "camera raw (DNG)")
    return exif


def _breaks_off(error: Exception, opened: OpenedImage) -> bool:
    """Whether a decoder's complaint means that the file ends too early."""
    if opened.jpeg is not None or isinstance(error, EOFError):
        return True
    said = str(error).lower()
    return any(word in said for word in ("truncated", "end of", "eof", "unexpected end", "not enough", "incomplete"))


@cache
def _register_formats() -> None:
    """Teaches Pillow every format of the list, once, and only when a photo is opened."""
    import pillow_heif

    # Pillow loads most plugins only when nothing else fits, and a list that names one before that is an error.
    PillowImage.init()
    pillow_heif.register_heif_opener()


def _require(pixels: np.ndarray, dimensions: int) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != dimensions or (dimensions == 3 and pixels.shape[2] != 3):
        raise ValueError(f"expected uint8 with {dimensions} dimensions, got {pixels.dtype} {pixels.shape}")
    if 0 in pixels.shape:
        raise ValueError(f"an image without pixels cannot be used: {pixels.shape}")
