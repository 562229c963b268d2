"""The coats of a population as matching compares them: stored features, vectors, and where each lay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from django.db.models import QuerySet

from ..inference import engines, photos
from ..inference.coat_store import CoatStore
from ..inference.comparison import CoatSet, Framed, calibration_of
from ..matching.candidates import Side
from ..models import Detection, Embedding, EmbeddingModel, LocalFeatureSet, Population
from ..selectors.nearest import nearest_detections
from .activation import active_model
from .media import media_path

logger = logging.getLogger(__name__)

_BATCH = 50


def load_coats(
    population: Population, only_images: set[int] | None = None, *, scenery: bool = True
) -> tuple[list[Side], CoatSet]:
    """The population's comparable detections (of some images), in id order, with their stored features.

    Features are read when they are looked at. scenery: whether what one camera sees in the same place at different
    events is left out of comparisons.
    """
    detections = Detection.objects.comparable().filter(image__survey__population=population).order_by("pk")
    if only_images is not None:
        detections = detections.filter(image__in=only_images)
    sides = [
        Side(pk, image, flank, survey)
        for pk, image, flank, survey in detections.values_list("pk", "image_id", "flank", "image__survey_id")
    ]
    store = _store([side.detection for side in sides])
    # All vectors are of one model, whichever serves by the time that they are read; matching asks again at the end.
    model = active_model()
    vectors = None
    if model is not None and sides:
        position = {side.detection: index for index, side in enumerate(sides)}
        vectors = np.zeros((len(sides), model.dimension), np.float32)
        for detection_id, vector in (
            Embedding.objects.filter(detection__in=detections, model=model)
            .values_list("detection_id", "vector")
            .iterator(chunk_size=200)
        ):
            vectors[position[detection_id]] = np.asarray(vector, np.float32)
    framed = _framed(detections) if scenery else None
    if model is None:
        return sides, CoatSet(store, None, trained=False, framed=framed)
    known: dict[str, Any] = {"trained": model.trained, "model": model.pk, "checksum": model.checksum}
    own = calibration_of(model.name, model.checksum, model.evaluation)
    return sides, CoatSet(store, vectors, framed=framed, calibration=own, **known)


def _store(detections: list[int]) -> CoatStore:
    version = engines.local_version()

    def fetch(positions: Sequence[int]) -> list[bytes | None]:
        wanted = [detections[position] for position in positions]
        rows = LocalFeatureSet.objects.filter(detection__in=wanted, version=version)
        found = {pk: bytes(data) for pk, data in rows.values_list("detection_id", "data")}
        return [found.get(pk) for pk in wanted]

    return CoatStore(len(detections), fetch)


def _framed(detections: QuerySet[Detection]) -> list[Framed | None]:
    """Camera, event and box of each detection, None where station or event are unknown."""
    rows = detections.values_list(
        "image__station_id", "image__camera", "image__width", "image__height", "image__event_id", "x1", "y1", "x2", "y2"
    )
    return [
        Framed(camera=(station, camera, width, height), event=event, box=(x1, y1, x2, y2))
        if station and event
        else None
        for station, camera, width, height, event, x1, y1, x2, y2 in rows
    ]


def nearest_coats(
    population: Population, sides: Sequence[Side], anchors: Sequence[int], coats: CoatSet, count: int
) -> dict[int, list[int]]:
    """Positions of the coats nearest to each anchor (a position) by vectors, as the database finds them.

    By the model that serves, where it is trained, and by the aggregated local features, taking turns: so that a survey
    is matched well before anything was trained, and by what a trained network adds to that.
    """
    position = {side.detection: index for index, side in enumerate(sides)}
    wanted = [sides[anchor].detection for anchor in anchors]
    lists = [
        nearest_detections(model=model, population=population, anchors=wanted, count=count)
        for model in _proposing(coats)
    ]
    near: dict[int, list[int]] = {}
    for anchor, detection in zip(anchors, wanted, strict=True):
        found = [each.get(detection, []) for each in lists]
        turns = [each[rank] for rank in range(count) for each in found if rank < len(each)]
        near[anchor] = [position[pk] for pk in dict.fromkeys(turns) if pk in position][:count]
    return near


def _proposing(coats: CoatSet) -> list[EmbeddingModel]:
    """The models whose vectors propose candidates."""
    active = active_model() if coats.trained else None
    aggregated = engines.aggregated_model()
    both = [model for model in (active, aggregated) if model is not None]
    return list({model.pk: model for model in both}.values())


def coats_complete(
    *, population: Population, vectors_from: int, progress: Callable[[int, int], None] | None = None
) -> int:
    """Make what the population's comparable coats lack of local features and of their aggregated vectors.

    Coats lack them after an update that stores features in another form, and after another model took over. Vectors
    are made where there are more than `vectors_from` coats: fewer are all verified. Returns of how many coats local
    features were made, in place of those of another form; one whose files are gone is told in the log.
    """
    detections = Detection.objects.comparable().filter(image__survey__population=population).exclude(crop="")
    version = engines.local_version()
    lacking = detections.exclude(pk__in=LocalFeatureSet.objects.filter(version=version).values("detection"))
    done = _features_complete(list(lacking.order_by("pk").values_list("pk", "crop", "mask")), version, progress)
    aggregated = engines.aggregated_ensure() if detections.count() > vectors_from else None
    if aggregated is not None:
        without = detections.exclude(pk__in=Embedding.objects.filter(model=aggregated).values("detection"))
        _vectors_complete(list(without.order_by("pk").values_list("pk", flat=True)), aggregated, version, progress)
    return done


def _features_complete(
    rows: list[tuple[int, str, str]], version: str, progress: Callable[[int, int], None] | None
) -> int:
    done = 0
    for start in range(0, len(rows), _BATCH):
        made = []
        for pk, crop, mask in rows[start : start + _BATCH]:
            read = photos.load_masked(media_path(crop), media_path(mask) if mask else None)
            if read is None:
                logger.warning("no local features of box %s: its crop cannot be read", pk)
                continue
            count, data = engines.extract(*read)
            made.append(LocalFeatureSet(detection_id=pk, version=version, count=count, data=data))
        done += len(LocalFeatureSet.objects.bulk_create(made, ignore_conflicts=True))
        former = LocalFeatureSet.objects.filter(detection__in=[row.detection_id for row in made])
        former.exclude(version=version).delete()
        if progress is not None:
            progress(start, len(rows))
    return done


def _vectors_complete(
    detections: list[int], model: EmbeddingModel, version: str, progress: Callable[[int, int], None] | None
) -> None:
    for start in range(0, len(detections), _BATCH):
        chosen = detections[start : start + _BATCH]
        rows = LocalFeatureSet.objects.filter(detection__in=chosen, version=version).values_list("detection_id", "data")
        vectors = [(pk, engines.aggregate(model, bytes(data))) for pk, data in rows]
        Embedding.objects.bulk_create(
            [
                Embedding(detection_id=pk, model=model, vector=found.tolist())
                for pk, found in vectors
                if found is not None
            ],
            ignore_conflicts=True,
        )
        if progress is not None:
            progress(start, len(detections))
