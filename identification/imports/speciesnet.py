"""SpeciesNet's `predictions.json`: boxes, and one species for each photo.

`detections` are the boxes; a record without them, or with a failure of the detector, leaves the photo to the detector
here. `prediction` is a taxonomy string; it counts from a score of 0.5 on, whatever its source (classifier, roll-up,
detector). A photo is empty where no box reaches the threshold, also where the prediction names an animal; and a
prediction `blank` takes no box away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from . import jsonstream
from .boxes import MOST_BOXES, WORDS, box_of, share
from .megadetector import json_glance
from .reading import BoxRecord, Issue, Kind, Options, PhotoRecord, Photos, Reading, UnusableFile
from .taxonomy import taxon_of

LEAST_SPECIES = 0.5
_PREDICTIONS = re.compile(r'"predictions"\s*:\s*\[')
# Written beside the labels by the tool itself.
_CATEGORIES = {"1": "animal", "2": "human", "3": "vehicle"}


def looks_like(path: Path) -> bool:
    """A JSON file with a list `predictions`, at its beginning or end."""
    return bool(_PREDICTIONS.search(json_glance(path)))


def read(path: Path, options: Options) -> Reading:
    top = jsonstream.top_of(path, long=("predictions", "instances"))
    if not isinstance(top.get("predictions"), list):
        what = "instances, which are what SpeciesNet is given" if "instances" in top else "no predictions"
        raise UnusableFile("no_predictions", f"The file holds {what}. Give its output, predictions.json.")

    def photos() -> Iterator[PhotoRecord | Issue]:
        for row, item in enumerate(jsonstream.items_of(path, "predictions"), 1):
            yield from _record(path.name, row, item, options.threshold)

    return Reading(notes=("SpeciesNet predictions.",), photos=Photos(photos))


def _record(file: str, row: int, item: Any, threshold: float) -> Iterator[PhotoRecord | Issue]:
    name = item.get("filepath") if isinstance(item, dict) else None
    if not isinstance(name, str) or not name.strip():
        yield Issue("no_name", "A record names no photo.", file, row)
        return
    failures = item.get("failures")
    failed = [str(one) for one in failures] if isinstance(failures, list) else []
    if failed:
        words = "SpeciesNet reports a failure; what it could say of the photo is used."
        yield Issue("failure", words, file, row, f"{name}: {', '.join(failed)}"[:500])
    found = item.get("detections")
    looked = isinstance(found, list) and "DETECTOR" not in failed
    boxes: list[BoxRecord] = []
    if isinstance(found, list) and looked:
        ordered = sorted(found, key=lambda one: -(share(one.get("conf")) or 0) if isinstance(one, dict) else 0)
        for one in ordered[:MOST_BOXES]:
            box = box_of(one, _CATEGORIES, threshold)
            if isinstance(box, str):
                yield Issue(box, WORDS[box], file, row, name[:500])
            elif box is not None:
                boxes.append(box)
    said = item.get("prediction")
    taxon = taxon_of(said) if isinstance(said, str) else taxon_of("")
    score = share(item.get("prediction_score"))
    certain = score is None or score >= LEAST_SPECIES
    if not looked and not (certain and (taxon.species or taxon.person)):
        if not failed:
            yield Issue(
                "says_nothing", "The record says nothing of the photo that could be used.", file, row, name[:500]
            )
        return
    version = str(item.get("model_version") or "")
    yield PhotoRecord(
        row,
        name,
        md5=str(item["md5"]) if isinstance(item.get("md5"), str) else "",
        looked=looked,
        engine=f"SpeciesNet {version}".strip()[:100],
        boxes=tuple(boxes),
        species=taxon.species if certain else "",
        people=certain and taxon.person,
    )


KIND = Kind(
    "speciesnet",
    "SpeciesNet",
    read,
    looks_like,
    accepts=(".json",),
    asks=("threshold",),
    help=gettext_noop("predictions.json: boxes of animals, people and vehicles, and a species for each photo."),
)
