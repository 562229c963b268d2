"""The stages of one photo. Each can be repeated: what is there is kept, what is missing is made.

Files are written and renamed before the row that names them, and every row is written under the claim's fence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from ..inference import engines, photos
from ..inference.coats import CoatPixels, EncodingError, load_coat
from ..inference.headings import heading_left
from ..matching.flanks import Sighting, estimates
from ..models import (
    AuditEntry,
    Category,
    Detection,
    DetectionSource,
    Embedding,
    EmbeddingModel,
    EncodingFailure,
    Image,
    LocalFeatureSet,
    MatchEdge,
    Triage,
)
from .activation import active_model, models_hold
from .annotation import image_people_refresh
from .backgrounds import background_for
from .imported import PEOPLE, found_imported, names_decide, people_add, species_apply, spoken_of
from .media import detection_file, image_file, media_path, screen_copies
from .work import Claim, work_fence

Pixels = NDArray[np.uint8]
PREVIEW_LONGEST = 1600
THUMBNAIL_LONGEST = 360
_SWITCHES_BORNE = 5


@dataclass
class PhotoContext:
    """What the stages of one photo share in memory."""

    image: Image
    detections: list[Detection] = field(default_factory=list)

    @cached_property
    def source(self) -> Path:
        return photos.openable_path(self.image.source_path)

    @cached_property
    def pixels(self) -> Pixels:
        """RGB uint8 H×W×3, upright, decoded once."""
        return photos.decode(self.source).pixels


def rejection(error: Exception) -> tuple[str, str] | None:
    """Code and reason when the error is a judgement on the photo, which another attempt cannot change."""
    return (error.code, error.reason) if isinstance(error, photos.Unreadable) else None


def decode(claim: Claim, context: PhotoContext) -> None:
    """Read the photo, and keep a preview and a thumbnail without metadata."""
    image = context.image
    photos.check_unchanged(context.source, image.size_bytes, image.mtime_ns, image.sha256)
    pixels = context.pixels
    preview = image_file(image.survey_id, image.pk, "preview.jpg")
    thumbnail = image_file(image.survey_id, image.pk, "thumbnail.jpg")
    photos.save_preview(media_path(preview), pixels, PREVIEW_LONGEST)
    photos.save_preview(media_path(thumbnail), pixels, THUMBNAIL_LONGEST)
    screen_copies(preview, most=480)
    values: dict[str, Any] = {
        "preview": preview,
        "thumbnail": thumbnail,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "infrared": photos.is_infrared(pixels),
    }
    with transaction.atomic():
        work_fence(claim=claim)
        Image.objects.filter(pk=image.pk).update(**values)
    for name, value in values.items():
        setattr(image, name, value)


def detect(claim: Claim, context: PhotoContext) -> None:
    """Find animals, people and vehicles; what an import found stands for a detector."""
    image = context.image
    found = _look(image, context.pixels)
    with transaction.atomic():
        work_fence(claim=claim)
        _replace_boxes(image, found)
        people_add(image=image, width=context.pixels.shape[1], height=context.pixels.shape[0])
        Image.objects.filter(pk=image.pk).update(detector=found.engine, detector_note=found.note)
        image_people_refresh(image=image)
        species_apply(images=[image.pk])
        names_decide(image=image)
    image.refresh_from_db(fields=["detector", "detector_note", "has_person"])
    context.detections = list(image.detections.filter(category=Category.ANIMAL))


def _look(image: Image, pixels: Pixels) -> engines.Found:
    if image.survey.crops_only:
        return engines.finished_crop(pixels)
    found = found_imported(image, pixels.shape[1], pixels.shape[0])
    if found is not None:
        return found
    background = None if engines.detector_weights() else background_for(image, pixels)
    return engines.detect(pixels, background)


def _replace_boxes(image: Image, found: engines.Found) -> None:
    """Write the boxes found now. Older machine boxes go, unless a person has said something of them: those stay."""
    there = list(image.detections.exclude(engine=PEOPLE))
    if found.source == DetectionSource.IMPORTED:
        spoken = set(spoken_of(image.detections.all()).values_list("pk", flat=True))
        keep = [detection for detection in there if detection.pk in spoken]
    else:
        keep = [detection for detection in there if _has_said(detection)]
    wanted = [box for box in found.boxes if not _is_said_better(image, found, box, keep)]
    corners = {(box.x1, box.y1, box.x2, box.y2) for box in wanted}
    for detection in there:
        if detection not in keep and not (detection.engine == found.engine and _corners(detection) in corners):
            detection.delete()
    for box in wanted:
        row, made = Detection.objects.get_or_create(
            image=image,
            engine=found.engine,
            x1=box.x1,
            y1=box.y1,
            x2=box.x2,
            y2=box.y2,
            defaults={
                "category": box.category,
                "confidence": box.confidence,
                "source": found.source,
                "species": box.species,
            },
        )
        if box.species and not made and not row.species:
            Detection.objects.filter(pk=row.pk).update(species=box.species)


def _is_said_better(image: Image, found: engines.Found, box: engines.FoundBox, keep: list[Detection]) -> bool:
    """Whether a person's box stands for what the machine found: over the same place, or corrected from it."""
    drawn = any(detection.source == DetectionSource.DRAWN for detection in keep)
    if drawn and found.source in (DetectionSource.WHOLE_FRAME, DetectionSource.CROP):
        return True
    others = [kept for kept in keep if _corners(kept) != (box.x1, box.y1, box.x2, box.y2)]
    if any(engines.overlap(_corners(kept), box) > 0.5 for kept in others):
        return True
    corrected = AuditEntry.objects.filter(
        action="detection.redraw", object_type="detection", object_id__in=[detection.pk for detection in keep]
    ).values_list("before", flat=True)
    former = [tuple(before[name] for name in ("x1", "y1", "x2", "y2")) for before in corrected]
    return any(engines.overlap(one, box) > 0.9 for one in former)


def _corners(detection: Detection) -> engines.Corners:
    return detection.x1, detection.y1, detection.x2, detection.y2


def _has_said(detection: Detection) -> bool:
    """Whether a person's word hangs on the box."""
    return (
        detection.source in (DetectionSource.DRAWN, DetectionSource.IMPORTED)
        or detection.individual_id is not None
        or detection.flank_by_person
        or bool(detection.species)
        or bool(detection.triage)
        or not detection.usable
        or MatchEdge.objects.filter(a=detection).exists()
        or MatchEdge.objects.filter(b=detection).exists()
    )


def isolate(claim: Claim, context: PhotoContext) -> None:
    """Crop, remove the background and draw the edge map of every animal."""
    image = context.image
    background = None
    for detection in context.detections:
        if detection.edges and media_path(detection.edges).is_file():
            continue
        if background is None and not image.survey.crops_only and not engines.segmenter_weights():
            background = background_for(image, context.pixels)
        given = photos.openable_path(image.edges_path) if image.edges_path else None
        box = (detection.x1, detection.y1, detection.x2, detection.y2)
        coat = engines.isolate(context.pixels, box, background, given_edges=given)
        names = {
            kind: detection_file(image.survey_id, image.pk, detection.pk, f"{kind}.{suffix}")
            for kind, suffix in (("crop", "jpg"), ("mask", "png"), ("cutout", "jpg"), ("edges", "png"))
        }
        for kind, name in names.items():
            photos.save(media_path(name), getattr(coat, kind))
        screen_copies(names["crop"], most=1600)
        values: dict[str, Any] = {**names, "segmenter": coat.segmenter, "quality": coat.quality}
        estimate = estimates([Sighting(detection.pk, model=heading_left(coat.quality))], [])[detection.pk]
        values |= {"left_probability": estimate.left, "flank_evidence": estimate.evidence}
        with transaction.atomic():
            work_fence(claim=claim)
            Detection.objects.filter(pk=detection.pk).update(**values)
        for name, value in values.items():
            setattr(detection, name, value)


def embed(claim: Claim, context: PhotoContext) -> None:
    """Encode every crop under the active model. Where another takes over meanwhile, under that one, too."""
    wanted = _taking_part(context)
    for _ in range(_SWITCHES_BORNE):
        active = active_model()
        if active is None:
            return
        have = set(Embedding.objects.filter(detection__in=wanted, model=active).values_list("detection_id", flat=True))
        missing = [detection for detection in wanted if detection.pk not in have]
        if not missing:
            return
        coats = [
            load_coat(media_path(detection.crop), media_path(detection.edges), media_path(detection.mask))
            for detection in missing
        ]
        vectors = _encode(active, coats)
        with transaction.atomic():
            work_fence(claim=claim)
            models_hold()
            Embedding.objects.bulk_create(
                [
                    Embedding(detection=detection, model=active, vector=vector.tolist())
                    for detection, vector in zip(missing, vectors, strict=True)
                    if not isinstance(vector, str)
                ],
                ignore_conflicts=True,
            )
            EncodingFailure.objects.bulk_create(
                [
                    EncodingFailure(detection=detection, model=active, reason=vector[:2000])
                    for detection, vector in zip(missing, vectors, strict=True)
                    if isinstance(vector, str)
                ],
                ignore_conflicts=True,
            )
            if active_model() == active:
                return
    raise RuntimeError("The model was switched again and again while this photo was encoded.")


def _taking_part(context: PhotoContext) -> list[Detection]:
    """Without boxes of another species: those keep what was made of them and are encoded when they are restored."""
    return [detection for detection in context.detections if detection.triage != Triage.OTHER]


def _encode(model: EmbeddingModel, coats: Sequence[CoatPixels]) -> list[Any]:
    """A vector for each coat, or the reason why there is none: a coat without any spot or edge is no failed photo."""
    try:
        return list(engines.encode(model, coats))
    except EncodingError as error:
        if len(coats) == 1:
            return [str(error)]
    return [found for coat in coats for found in _encode(model, [coat])]


def features(claim: Claim, context: PhotoContext) -> None:
    """Extract the local features of every crop inside its mask."""
    version = engines.local_version()
    wanted = _taking_part(context)
    have = set(
        LocalFeatureSet.objects.filter(detection__in=wanted, version=version).values_list("detection_id", flat=True)
    )
    made = []
    for detection in wanted:
        if detection.pk in have:
            continue
        crop = photos.load(media_path(detection.crop))
        mask = photos.load_gray(media_path(detection.mask))
        count, data = engines.extract(crop, mask)
        made.append(LocalFeatureSet(detection=detection, version=version, count=count, data=data))
    with transaction.atomic():
        work_fence(claim=claim)
        LocalFeatureSet.objects.bulk_create(made, ignore_conflicts=True)
        LocalFeatureSet.objects.filter(detection__in=wanted).exclude(version=version).delete()
