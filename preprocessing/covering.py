"""Strips at the edges of a photo that are painted over: a camera may print there where it stands.

Pillow alone is loaded, because a web server makes such a picture when it is first asked for.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from preprocessing.files import write_atomically

# From and to, in fractions of the height, from the top.
Band = tuple[float, float]
_GREY = 96


def printed_bands(top: float, bottom: float, within: Band = (0.0, 1.0)) -> tuple[Band, ...]:
    """The strips of a photo as bands of a part of it, in fractions of the part's height.

    top, bottom: heights of the strips; within: from where to where the part lies; all in fractions of the photo's
    height. Bands that do not touch the part are left out.
    """
    first, last = within
    height = max(last - first, 1e-9)
    cut = (
        ((max(a, first) - first) / height, (min(b, last) - first) / height) for a, b in ((0.0, top), (1 - bottom, 1))
    )
    return tuple((a, b) for a, b in cut if b > a)


def covered(source: Path, bands: Sequence[Band]) -> bytes:
    """A stored JPEG or PNG, in the same format and size and without metadata, its bands of one grey.

    A row of pixels that a band touches is covered whole. Raises OSError for a file that is not there or is no whole
    picture.
    """
    with Image.open(source, formats=["JPEG", "PNG"]) as image:
        kind = image.format or "JPEG"
        try:
            shown = image.convert("L" if image.mode == "L" else "RGB")
        except SyntaxError as error:  # a broken PNG
            raise OSError(str(error)) from error
    width, height = shown.size
    for first, last in bands:
        # A band that ends between two rows by rounding alone takes no row more.
        top, bottom = math.floor(first * height + 1e-6), min(height, math.ceil(last * height - 1e-6))
        if bottom > top:
            shown.paste(_GREY if shown.mode == "L" else (_GREY,) * 3, (0, top, width, bottom))
    buffer = io.BytesIO()
    shown.save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {}))
    return buffer.getvalue()


def save_covered(path: Path, source: Path, bands: Sequence[Band]) -> None:
    """Write it to `path`, atomically. Raises OSError."""
    write_atomically(path, covered(source, bands))
