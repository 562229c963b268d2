"""Encounter events: photos of one station within the survey's independence interval."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby

from django.db import transaction

from ..models import EncounterEvent, Image, Survey


@transaction.atomic
def events_rebuild(*, survey: Survey) -> int:
    """Group the survey's photos into events anew; returns how many there are.

    A photo that comes more than the interval after the one before it at the same station begins a new event (camtrapR's
    independence rule with deltaTimeComparedTo = "lastRecord").
    """
    Survey.objects.select_for_update().get(pk=survey.pk)
    gap = timedelta(minutes=survey.independence_minutes)
    rows = (
        Image.objects.filter(survey=survey, station__isnull=False, captured_at__isnull=False)
        .order_by("station_id", "captured_at", "pk")
        .only("pk", "station_id", "captured_at", "event_id")
    )
    old = set(EncounterEvent.objects.filter(survey=survey).values_list("pk", flat=True))
    kept: set[int] = set()
    changed: list[Image] = []
    for station_id, images in groupby(rows, key=lambda image: image.station_id):
        for group in _split(list(images), gap):
            times = [image.captured_at for image in group if image.captured_at is not None]
            event, _ = EncounterEvent.objects.update_or_create(
                survey=survey, station_id=station_id, started_at=times[0], defaults={"ended_at": times[-1]}
            )
            kept.add(event.pk)
            for image in group:
                if image.event_id != event.pk:
                    image.event_id = event.pk
                    changed.append(image)
    Image.objects.bulk_update(changed, ["event"], batch_size=500)
    EncounterEvent.objects.filter(pk__in=old - kept).delete()
    return len(kept)


def _split(images: list[Image], gap: timedelta) -> list[list[Image]]:
    groups: list[list[Image]] = []
    for image in images:
        if groups and image.captured_at and image.captured_at - groups[-1][-1].captured_at <= gap:  # type: ignore[operator]
            groups[-1].append(image)
        else:
            groups.append([image])
    return groups
