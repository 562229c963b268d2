"""Pictures for screens: smaller copies, as WebP, of what is stored. Only pages show them; no engine reads one.

Pillow alone is loaded, because a web server makes a copy that nobody has asked for yet.
"""

import io
import os
from pathlib import Path

from PIL import Image

from preprocessing.files import write_atomically

# Chosen by measurement: `bench screen_sizes`, docs/measured.md.
QUALITY = 80
EFFORT = 4
_LUMA_ONLY = {"L", "1", "I;16"}


def screen_copy(source: Path, longest: int, *, quality: int = QUALITY, effort: int = EFFORT) -> bytes:
    """A stored JPEG or PNG as WebP whose longest side has `longest` pixels, never enlarged, without metadata.

    quality: 0 to 100 as libwebp means it; effort: its method, 0 (quick) to 6. Raises OSError for a file that is not
    there or is no whole picture.
    """
    with Image.open(source, formats=["JPEG", "PNG"]) as image:
        # A JPEG is decoded at the smallest eighth that is still twice as large: the rest is resampled.
        image.draft(None, (2 * longest, 2 * longest))
        try:
            shown = image.convert("L" if image.mode in _LUMA_ONLY else "RGB")
        except SyntaxError as error:  # a broken PNG
            raise OSError(str(error)) from error
    shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", quality=quality, method=effort)
    return buffer.getvalue()


def save_screen_copy(path: Path, source: Path, longest: int) -> None:
    """Write the copy of `source` to `path`, atomically, with the date of `source`, by which it is known to be its copy.

    Raises OSError.
    """
    state = source.stat()
    write_atomically(path, screen_copy(source, longest))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def is_copy_of(path: Path, source: Path) -> bool:
    """Whether `path` is there and was made of `source` as it is now. Raises OSError when `source` is not there."""
    wanted = source.stat().st_mtime_ns
    try:
        return path.stat().st_mtime_ns == wanted
    except FileNotFoundError:
        return False
