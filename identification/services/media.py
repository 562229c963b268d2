"""Files below the media folder. Names come from row ids only, never from what a photo was called."""

from __future__ import annotations

import logging
import math
import shutil
from hashlib import sha256
from pathlib import Path

from django.conf import settings

from ..models import Category, Detection, Image
from ..presenting import SCREEN_SIZES

logger = logging.getLogger(__name__)


def image_file(survey_id: int, image_id: int, kind: str) -> str:
    """Relative name of a derivative of a photo, spread over folders of at most 1 000 photos."""
    return f"surveys/{survey_id}/{image_id // 1000}/{image_id}-{kind}"


def detection_file(survey_id: int, image_id: int, detection_id: int, kind: str) -> str:
    return f"surveys/{survey_id}/{image_id // 1000}/{image_id}-{detection_id}-{kind}"


def media_path(name: str) -> Path:
    """Absolute path of a stored name. Raises ValueError for a name that leads out of the media folder."""
    root = Path(settings.MEDIA_ROOT).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError("outside the media folder")
    return path


def media_forget_survey(survey_id: int) -> None:
    shutil.rmtree(media_path(f"surveys/{survey_id}"), ignore_errors=True)


def blurred_copy(image: Image) -> str:
    """Relative name of a photo of people on which nobody can be told, made now unless it is there.

    Its name holds where the people are, so that another box makes another picture. Raises OSError when it cannot be
    made: then nothing is shown.
    """
    from ..inference import photos

    boxes = image.detections.filter(category=Category.PERSON).order_by("pk").values_list("x1", "y1", "x2", "y2")
    wide, tall = max(1, image.width), max(1, image.height)
    people = [(x1 / wide, y1 / tall, x2 / wide, y2 / tall) for x1, y1, x2, y2 in boxes]
    source = media_path(image.preview)
    what = sha256(repr((people, source.stat().st_mtime_ns)).encode()).hexdigest()[:12]
    made = f"{image.preview.rpartition('.')[0]}-blurred-{what}.jpg"
    if not media_path(made).is_file():
        photos.save_blurred(media_path(made), source, people)
    return made


def covered_copy(shown: Image | Detection, name: str) -> str:
    """Relative name of a stored picture of a photo or a box on which the strips that the camera prints are covered,
    made now unless it is there; the picture itself where no strip touches it.

    Asks for the survey of the photo. Raises OSError when the copy cannot be made: then nothing is shown.
    """
    from ..inference import photos

    image = shown if isinstance(shown, Image) else shown.image
    within = (0.0, 1.0)
    if isinstance(shown, Detection) and image.height:
        # A crop holds the whole pixels that its box touches.
        within = (max(0, math.floor(shown.y1)) / image.height, min(image.height, math.ceil(shown.y2)) / image.height)
    bands = photos.printed_bands(image.survey.print_top, image.survey.print_bottom, within)
    if not bands:
        return name
    source = media_path(name)
    what = sha256(repr((bands, source.stat().st_mtime_ns)).encode()).hexdigest()[:12]
    stem, _, suffix = name.rpartition(".")
    made = f"{stem}-covered-{what}.{suffix}"
    if not media_path(made).is_file():
        photos.save_covered(media_path(made), source, bands)
    return made


def screen_file(name: str, longest: int) -> str:
    """Relative name of a stored picture's copy for screens, beside it."""
    return f"{name.rpartition('.')[0]}-{longest}.webp"


def screen_copy(name: str, longest: int) -> str:
    """Relative name of a stored picture's copy for screens, made now unless it is there and of the present picture.

    Where it cannot be made, on a full disk for one, the picture itself answers. Raises OSError when that is not there
    and ValueError for a name that leads out of the media folder.
    """
    from ..inference import photos  # engines stay unloaded, and so does their door until a copy is asked for

    source, made = media_path(name), screen_file(name, longest)
    if photos.is_screen_copy(media_path(made), source):
        return made
    try:
        photos.save_screen_copy(media_path(made), source, longest)
    except OSError as error:
        if not source.is_file():
            raise
        logger.warning("No smaller copy of %s: %s. The picture itself is shown.", name, error)
        return name
    return made


def screen_copies(name: str, most: int) -> None:
    """Make the copies of a stored picture up to that size, so that no reader of a list waits for one."""
    for longest in SCREEN_SIZES:
        if longest <= most:
            screen_copy(name, longest)
