"""Files below the media folder. Names come from row ids only, never from what a photo was called."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.conf import settings


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
