"""What people say of one detection: flank, species, usability, box. Singly and in bulk, audited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import Candidate, Category, Detection, DetectionSource, Flank, Image, Survey, User
from .audit import audit_record
from .flanks import candidates_narrow, flanks_follow
from .matching import matching_hold, matching_invalidate
from .proposals import proposals_follow
from .queue import work_requeue
from .triage import triage_hold
from .triage_names import triage_names_follow

ANNOTATABLE = ("flank", "species", "usable", "unusable_reason", "category")


@transaction.atomic
def detection_annotate(
    *, acting_user: User | None, detections: Iterable[Detection], flank_said: bool = True, **changes: Any
) -> int:
    """Set flank, species, usability or category of detections; returns how many changed.

    A flank that is said stays whatever is estimated, also that it cannot be told; flank_said=False takes a person's
    word back, and the estimate holds again. Raises SpotIDError for a value or field that cannot be set.
    """
    unknown = set(changes) - set(ANNOTATABLE)
    if unknown:
        raise SpotIDError(gettext("%(unknown)s cannot be annotated.") % {"unknown": ", ".join(sorted(unknown))})
    if "flank" in changes and changes["flank"] not in Flank.values:
        raise SpotIDError(
            gettext("%(flank)s is no flank; use one of %(values)s.")
            % {"flank": repr(changes["flank"]), "values": ", ".join(Flank.values)}
        )
    if "category" in changes and changes["category"] not in Category.values:
        raise SpotIDError(gettext("%(category)s is no category.") % {"category": repr(changes["category"])})
    changed, loosened = [], []
    called: dict[int, str] = {}
    ids = [detection.pk for detection in detections]
    if {"flank", "species"} & changes.keys():
        # Both may change other boxes as well, and who does that takes what it holds in this order.
        triage_hold(Survey.objects.filter(images__detections__in=ids).distinct())
    rows = Detection.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=ids)
    for detection in rows.select_related("image__survey").order_by("pk"):
        before = {name: getattr(detection, name) for name in changes}
        if "species" in changes and before["species"] != changes["species"]:
            called[detection.pk] = before["species"]
        if before == changes and not ("flank" in changes and detection.flank_by_person != flank_said):
            continue
        for name, value in changes.items():
            setattr(detection, name, value)
        if "flank" in changes:
            detection.flank_by_person = flank_said
        detection.save(update_fields=[*changes, "flank_by_person"])
        audit_record(
            acting_user=acting_user,
            action="detection.annotate",
            target=detection,
            survey=detection.image.survey,
            before=before,
            after=changes,
        )
        changed.append(detection)
        if _is_looser(before, changes):
            loosened.append(detection)
    if "flank" in changes and changed:
        # Before candidates go: those that the new flank rules out speak against estimates of others.
        flanks_follow(detections=changed)
    matching_hold(populations={detection.image.survey.population_id for detection in changed})
    for detection in changed:
        _narrow(detection)
    for image in {detection.image for detection in changed if "category" in changes}:
        image_people_refresh(image=image)
    for survey in {detection.image.survey for detection in loosened}:
        matching_invalidate(survey=survey)
    if {"usable", "category"} & changes.keys():
        proposals_follow(detections=changed)
    if called:
        triage_names_follow(before=called, acting_user=acting_user)
    return len(changed)


def _narrow(detection: Detection) -> None:
    """Drop the candidates that what was said rules out; the others stay as they were ranked."""
    own = Candidate.objects.filter(Q(anchor=detection) | Q(detection=detection))
    if not detection.usable or detection.category != Category.ANIMAL:
        own.delete()
        return
    candidates_narrow(detection=detection)


def _is_looser(before: dict[str, Any], changes: dict[str, Any]) -> bool:
    """Whether pairs may be compared now that could not be before."""
    return (
        ("flank" in changes and before["flank"] not in (Flank.UNKNOWN, changes["flank"]))
        or (changes.get("usable") is True and not before["usable"])
        or ("category" in changes and before["category"] != Category.ANIMAL)
    )


@transaction.atomic
def detection_draw(*, acting_user: User | None, image: Image, box: tuple[float, float, float, float]) -> Detection:
    """Add a box that a person drew, in pixels of the upright image; the photo is processed again with it.

    Raises SpotIDError when the box has too little area inside the image.
    """
    values = _box_inside(image, box)
    detection, _ = Detection.objects.get_or_create(
        image=image, engine="person", **values, defaults={"source": DetectionSource.DRAWN, "confidence": 1.0}
    )
    audit_record(
        acting_user=acting_user, action="detection.draw", target=detection, survey=image.survey, after=dict(values)
    )
    work_requeue(images=[image])
    return detection


@transaction.atomic
def detection_redraw(
    *, acting_user: User | None, detection: Detection, box: tuple[float, float, float, float]
) -> Detection:
    """Correct the box of a detection. It stays the same animal: decisions stand, crop and features are made anew."""
    detection = Detection.objects.select_for_update(of=("self",)).select_related("image__survey").get(pk=detection.pk)
    image = detection.image
    values = _box_inside(image, box)
    before = {
        "x1": detection.x1,
        "y1": detection.y1,
        "x2": detection.x2,
        "y2": detection.y2,
        "engine": detection.engine,
    }
    for name, value in values.items():
        setattr(detection, name, value)
    detection.engine, detection.source, detection.confidence = "person", DetectionSource.DRAWN, 1.0
    emptied = ("crop", "mask", "cutout", "edges", "segmenter")
    for name in emptied:
        setattr(detection, name, "")
    detection.save(update_fields=[*values, "engine", "source", "confidence", *emptied])
    detection.embeddings.all().delete()
    detection.encoding_failures.all().delete()
    detection.local_features.all().delete()
    audit_record(
        acting_user=acting_user,
        action="detection.redraw",
        target=detection,
        survey=image.survey,
        before=before,
        after=dict(values),
    )
    work_requeue(images=[image])
    return detection


def _box_inside(image: Image, box: tuple[float, float, float, float]) -> dict[str, float]:
    x1, y1, x2, y2 = box
    left, right = max(0.0, min(x1, x2)), min(float(image.width), max(x1, x2))
    top, bottom = max(0.0, min(y1, y2)), min(float(image.height), max(y1, y2))
    if right - left < 8 or bottom - top < 8:
        raise SpotIDError(gettext("The box must be at least 8 pixels wide and high inside the photo."))
    return {"x1": left, "y1": top, "x2": right, "y2": bottom}


def image_people_refresh(*, image: Image) -> None:
    """Keep the photo out of view exactly while a person is detected on it."""
    has_person = image.detections.filter(category=Category.PERSON).exists()
    if has_person != image.has_person:
        image.has_person = has_person
        image.save(update_fields=["has_person"])
