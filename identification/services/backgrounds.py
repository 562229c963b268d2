"""Station backgrounds: what a camera sees when nothing stands in front of it, from the survey's own frames."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from ..inference import backgrounds, photos
from ..models import Image, StationBackgroundRecord
from .media import media_path

SAMPLE = 25
FEWEST = 3
# A background is made anew when this many times more frames are there than when it was made.
_GROWTH = 2


def background_for(image: Image, pixels: Any) -> Any | None:
    """The background of the photo's camera in the photo's light, or None with too few frames of it.

    Made once, by whichever worker needs it first; the others wait for it.
    """
    if image.station_id is None:
        return None
    mode = "infrared" if image.infrared else "day"
    key = f"{image.station_id}/{image.camera}/{image.width}x{image.height}/{mode}"[:200]
    frames = Image.objects.filter(
        survey=image.survey, station=image.station_id, camera=image.camera, width=image.width, height=image.height
    )
    available = frames.count()
    if available < FEWEST:
        return None
    record = StationBackgroundRecord.objects.filter(survey=image.survey, key=key).first()
    if record is None or available >= _GROWTH * record.available:
        record = _make(image, key, mode, available)
    if record.frames < FEWEST:
        return None
    return backgrounds.load(media_path(record.file))


def _make(image: Image, key: str, mode: str, available: int) -> StationBackgroundRecord:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [key, image.survey_id])
        record = StationBackgroundRecord.objects.filter(survey=image.survey, key=key).first()
        if record is not None and available < _GROWTH * record.available:
            return record
        stack = _frames(image, mode)
        name = f"surveys/{image.survey_id}/backgrounds/{image.station_id}-{image.pk}-{mode}.npz"
        if len(stack) >= FEWEST:
            backgrounds.build(stack, mode, media_path(name))
        record, _ = StationBackgroundRecord.objects.update_or_create(
            survey=image.survey, key=key, defaults={"frames": len(stack), "available": available, "file": name}
        )
        return record


def _frames(image: Image, mode: str) -> list[Any]:
    """Up to SAMPLE small frames of the camera in this light, spread evenly over time."""
    rows = list(
        Image.objects.filter(
            survey=image.survey, station=image.station_id, camera=image.camera, width=image.width, height=image.height
        )
        .order_by("captured_at", "pk")
        .values_list("source_path", flat=True)
    )
    step = max(1, len(rows) // (2 * SAMPLE))
    stack: list[Any] = []
    for path in rows[::step]:
        frame = photos.decode_small(photos.openable_path(path), backgrounds.WIDTH)
        if frame is not None and photos.is_infrared(frame) == (mode == "infrared"):
            stack.append(frame)
        if len(stack) == SAMPLE:
            break
    return stack
