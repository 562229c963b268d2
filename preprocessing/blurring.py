"""Photos of people for those who may not see whom: so few colours are left that nobody can be told.

Pillow alone is loaded, because a web server makes such a picture when it is first asked for.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from preprocessing.files import write_atomically

# Blocks along the longer side. A head that takes a tenth of the photo is four blocks across.
BLOCKS = 40
LONGEST = 640
# How much wider and taller a person's box is taken to be, for what the detector left outside of it.
ENLARGED = 0.3

Fractions = tuple[float, float, float, float]


def blurred(source: Path, people: Sequence[Fractions]) -> bytes:
    """A stored JPEG or PNG as a JPEG of blocks, each the mean of what it covers; people are of one colour altogether.

    people: their boxes as x1, y1, x2, y2 in fractions of width and height. Without one it is not known where they are:
    the whole picture is of one colour. Raises OSError for a file that is not there or is no whole picture.
    """
    with Image.open(source, formats=["JPEG", "PNG"]) as image:
        try:
            shown = image.convert("RGB")
        except SyntaxError as error:  # a broken PNG
            raise OSError(str(error)) from error
    width, height = shown.size
    longer = max(width, height)
    across, down = (max(1, round(BLOCKS * side / longer)) for side in (width, height))
    blocks = shown.resize((across, down), Image.Resampling.BOX)
    for box in people or [(0.0, 0.0, 1.0, 1.0)]:
        covered = _covered(box, across, down)
        mean = blocks.crop(covered).resize((1, 1), Image.Resampling.BOX)
        blocks.paste(mean.resize((covered[2] - covered[0], covered[3] - covered[1])), covered)
    scale = min(1.0, LONGEST / longer)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    buffer = io.BytesIO()
    blocks.resize(size, Image.Resampling.NEAREST).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _covered(box: Fractions, across: int, down: int) -> tuple[int, int, int, int]:
    """The blocks that an enlarged box touches, at least one."""
    x1, y1, x2, y2 = box
    wide, tall = ENLARGED * abs(x2 - x1) / 2, ENLARGED * abs(y2 - y1) / 2
    left, right = math.floor(max(0.0, x1 - wide) * across), math.ceil(min(1.0, x2 + wide) * across)
    top, bottom = math.floor(max(0.0, y1 - tall) * down), math.ceil(min(1.0, y2 + tall) * down)
    left, top = min(left, across - 1), min(top, down - 1)
    return left, top, max(left + 1, right), max(top + 1, bottom)


def save_blurred(path: Path, source: Path, people: Sequence[Fractions]) -> None:
    """Write it to `path`, atomically. Raises OSError."""
    write_atomically(path, blurred(source, people))
