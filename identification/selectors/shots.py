"""Photos as the rules of time and place see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q

from ..matching.events import Shot
from ..models import CameraClock, Category, Detection, DetectionSource, Image, Survey, Triage

CLOCK_SUSPECT = "clock_suspect"


def clocks_set(survey: Survey) -> set[tuple[int, str]]:
    """(station, camera) of the clocks of which a person said how they go."""
    return set(CameraClock.objects.filter(station__survey=survey, by_person=True).values_list("station_id", "camera"))


def shots_of(survey: Survey, stations: Collection[int] | None = None) -> list[Shot]:
    """The survey's photos with an animal, or that nothing has looked at, whose station and time are known.

    Boxes that stand for the whole frame because no detector was there do not count as one animal: nobody counted. Two
    finished crops of one camera and one second may be of one photo, so they count as two animals in view.
    """
    animals = Detection.objects.filter(image=OuterRef("pk"), category=Category.ANIMAL)
    photos = Image.objects.filter(survey=survey, station__isnull=False, captured_at__isnull=False)
    if stations is not None:
        photos = photos.filter(station__in=stations)
    photos = photos.filter(Q(detector="") | Exists(animals))
    boxes: dict[int, list[tuple[int, bool, bool, str]]] = defaultdict(list)
    rows = Detection.objects.filter(image__in=photos, category=Category.ANIMAL).exclude(triage=Triage.OTHER)
    for image, pk, usable, source, flank in rows.values_list("image_id", "pk", "usable", "source", "flank"):
        boxes[image].append((pk, usable, source == DetectionSource.WHOLE_FRAME, flank))
    said = clocks_set(survey)
    shots = []
    columns = "pk", "station_id", "camera", "captured_at", "detector", "flags"
    for pk, station, camera, at, detector, flags in photos.values_list(*columns):
        there = boxes[pk]
        known = bool(detector) and not any(whole for _, _, whole, _ in there)
        lone = there[0] if known and len(there) == 1 and there[0][1] else None
        shots.append(
            Shot(
                image=pk,
                station=station,
                camera=camera,
                at=at,
                in_view=len(there) if known else None,
                detection=lone[0] if lone else None,
                flank=lone[3] if lone else "unknown",
                clock_known=CLOCK_SUSPECT not in flags or (station, camera) in said,
            )
        )
    return _crops_told_apart(shots) if survey.crops_only else shots


def _crops_told_apart(shots: list[Shot]) -> list[Shot]:
    """Crops of one camera and one second as one photo with several animals."""
    together: dict[tuple[int, str, object], list[Shot]] = defaultdict(list)
    for shot in shots:
        together[(shot.station, shot.camera, shot.at)].append(shot)
    return [
        same[0]
        if len(same) == 1
        else Shot(same[0].image, same[0].station, same[0].camera, same[0].at, in_view=len(same))
        for same in together.values()
    ]
