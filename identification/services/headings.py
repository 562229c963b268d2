"""The heading model's word on detections that were cropped before there was one. Loads it: for commands and tasks."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from ..inference import headings
from ..models import Detection, Survey
from .media import media_path

Progress = Callable[[int, int, str], None]


def headings_fill(*, survey: Survey, progress: Progress | None = None) -> int:
    """Ask the model about every comparable crop of the survey that the present one has not seen; returns how many.

    A crop that cannot be read is left out.
    """
    rows = Detection.objects.comparable().filter(image__survey=survey).exclude(crop="").order_by("pk")
    stale = [row for row in rows.only("pk", "crop", "mask", "quality") if not headings.heading_is_current(row.quality)]
    made = 0
    for done, row in enumerate(stale):
        if progress is not None:
            progress(done, len(stale), "")
        found = headings.heading_made(media_path(row.crop), media_path(row.mask) if row.mask else None)
        if found is None:
            continue
        with transaction.atomic():
            # The crop may have been made anew meanwhile: then it has the model's word already.
            fresh = Detection.objects.select_for_update().filter(pk=row.pk, crop=row.crop).first()
            if fresh is None or headings.heading_is_current(fresh.quality):
                continue
            fresh.quality = {**fresh.quality, headings.KEY: found}
            fresh.save(update_fields=["quality"])
            made += 1
    if progress is not None:
        progress(len(stale), len(stale), "")
    return made
