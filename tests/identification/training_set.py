"""A population with confirmed individuals, small enough to be learned in seconds."""

from __future__ import annotations

import functools
from typing import Any

from identification.models import Detection, Flank, Population, Survey
from identification.services.events import events_rebuild
from tests.identification import factories
from tests.identification.factories import make_population, make_sighting, make_station, make_survey, match

# A network of some thousand weights on thumbnails: the real code in seconds.
TINY = {
    "backbone": "test_efficientnet",
    "width": 64,
    "height": 32,
    "dimension": 16,
    "epochs": 2,
    "batch_size": 8,
    "patience": 0,
    "precision": "float32",
    "checkpoint_steps": 1,
    "cache_mb": 64,
}


def make_confirmed(
    *,
    individuals: int = 8,
    photos: int = 3,
    population: Population | None = None,
    flanks: tuple[str, ...] = (Flank.RIGHT,),
    name: str = "",
) -> tuple[Survey, list[list[Detection]]]:
    """A survey whose animals people have confirmed; the flanks take turns from animal to animal."""
    survey = make_survey(population or make_population(), name=name, matching_state="done")
    station = make_station(survey, "ST01")
    animals = []
    for coat in range(individuals):
        own = [make_sighting(survey, coat=coat, station=station) for _ in range(photos)]
        Detection.objects.filter(pk__in=[one.pk for one in own]).update(flank=flanks[coat % len(flanks)])
        for other in own[1:]:
            own[0].refresh_from_db()
            other.refresh_from_db()
            match(None, own[0], other)
        animals.append(own)
    events_rebuild(survey=survey)
    return survey, animals


_crops = functools.cache(factories.crop_files)
_frame = functools.cache(factories.frame_pixels)


def few_pictures(monkeypatch: Any) -> None:
    """Draw each animal in three views only, and one frame for all: drawing takes longer than learning."""
    monkeypatch.setattr(factories, "crop_files", lambda coat, view: _crops(coat, view % 3))
    monkeypatch.setattr(factories, "frame_pixels", lambda number: _frame(0))
