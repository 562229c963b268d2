"""Rows of media and observations of Camtrap DP 1.0.2. Pure functions.

An observation is one box of one photo. Photos without a box are `blank` once something has looked at them, before that
`unclassified`. An identity is given only where a person confirmed it and nothing contradicts it.
"""

from __future__ import annotations

import mimetypes
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from ..models import Triage
from ..models.image import Unusable
from .output import Cell
from .places import Place
from .snapshot import ExportPhoto, Sighting, SurveySnapshot
from .surroundings import ExportBox, ExportStation, Operation

MEDIA_COLUMNS = (
    "mediaID", "deploymentID", "captureMethod", "timestamp", "filePath", "filePublic", "fileName", "fileMediatype",
    "exifData", "favorite", "mediaComments",
)  # fmt: skip
OBSERVATION_COLUMNS = (
    "observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationLevel",
    "observationType", "cameraSetupType", "scientificName", "count", "lifeStage", "sex", "behavior", "individualID",
    "individualPositionRadius", "individualPositionAngle", "individualSpeed", "bboxX", "bboxY", "bboxWidth",
    "bboxHeight", "classificationMethod", "classifiedBy", "classificationTimestamp", "classificationProbability",
    "observationTags", "observationComments",
)  # fmt: skip
_TYPES = {"animal": "animal", "person": "human", "vehicle": "vehicle"}


@dataclass
class Deployment:
    """A camera for the time that it stood. issues: photos whose time is doubtful or outside of it."""

    id: str
    operation: Operation
    station: ExportStation
    place: Place
    issues: list[int] = field(default_factory=list)


@dataclass
class Known:
    """What is on each photo. identified: photos of an animal that a person knows."""

    boxes: dict[int, list[ExportBox]]
    sightings: dict[int, Sighting]
    identified: frozenset[int]
    species: str

    @classmethod
    def of(cls, snapshot: SurveySnapshot) -> Known:
        boxes: dict[int, list[ExportBox]] = defaultdict(list)
        for box in snapshot.boxes:
            boxes[box.photo_id].append(box)
        sightings = {row.detection_id: row for row in snapshot.sightings}
        return cls(boxes, sightings, frozenset(row.photo.id for row in snapshot.sightings), snapshot.species)

    @cached_property
    def _named(self) -> dict[int, Counter[str]]:
        named: dict[int, Counter[str]] = defaultdict(Counter)
        for row in self.sightings.values():
            named[row.individual.id][row.species] += 1
        return named

    def species_of(self, individual: int) -> str:
        """The species that most photos of an animal are called by; of as many the first by name."""
        names = self._named.get(individual, Counter())
        return min(names, key=lambda name: (-names[name], name), default=self.species)


def moment(at: datetime | None) -> str:
    """A time as Camtrap DP writes it, with its zone: 2024-03-01T06:00:00+0545, Z for UTC; "" for None."""
    if at is None:
        return ""
    text = at.strftime("%Y-%m-%dT%H:%M:%S%z")
    return text.removesuffix("+0000") + "Z" if at.utcoffset() == UTC.utcoffset(None) else text


def media_path_of(deployment: str, name: str) -> str:
    """A path within the package: Camtrap DP wants none with two points on end."""
    while ".." in name:
        name = name.replace("..", ".")
    return f"media/{deployment}/{name}"


def media_row(photo: ExportPhoto, deployment: Deployment, path: tuple[str, str]) -> list[Cell]:
    kind = mimetypes.guess_type(path[0])[0] or ""
    values: dict[str, Cell] = {
        "mediaID": f"m{photo.id}",
        "deploymentID": deployment.id,
        "captureMethod": "activityDetection",
        "timestamp": moment(photo.captured_at),
        "filePath": path[0],
        "filePublic": "false",
        "fileName": photo.name,
        "fileMediatype": kind if kind.startswith("image/") else "image/jpeg",
        "mediaComments": path[1],
    }
    return [values.get(column) for column in MEDIA_COLUMNS]


def observation_rows(photo: ExportPhoto, deployment: Deployment, known: Known) -> Iterator[list[Cell]]:
    """The observations of one photo: its boxes, or that there is none."""
    boxes = known.boxes.get(photo.id, [])
    shown = [box for box in boxes if box.usable or box.reason != Unusable.NOTHING]
    common = _common(photo, deployment)
    for box in shown:
        yield _cells(common | _of_box(photo, box, known))
    if not shown:
        by_person = bool(boxes)
        looked_at = photo.looked_at or by_person
        yield _cells(
            common
            | {
                "observationID": f"p{photo.id}",
                "observationType": "blank" if looked_at else "unclassified",
                "classificationMethod": ("human" if by_person else "machine") if looked_at else None,
            }
        )


def _common(photo: ExportPhoto, deployment: Deployment) -> dict[str, Cell]:
    event = photo.event
    return {
        "deploymentID": deployment.id,
        "mediaID": f"m{photo.id}",
        "eventID": f"e{event[0]}" if event else None,
        "eventStart": moment(event[1] if event else photo.captured_at),
        "eventEnd": moment(event[2] if event else photo.captured_at),
        "observationLevel": "media",
    }


def _of_box(photo: ExportPhoto, box: ExportBox, known: Known) -> dict[str, Cell]:
    sighting = known.sightings.get(box.id)
    by_person = box.drawn or box.triage_by_person or box.flank_by_person or sighting is not None
    values: dict[str, Cell] = {
        "observationID": f"o{box.id}",
        "observationType": _TYPES[box.category],
        "scientificName": _species(box, sighting, known) if box.category == "animal" else None,
        "count": 1,
        **_fractions(photo, box),
        "classificationMethod": "human" if by_person else "machine",
        "classifiedBy": (sighting.decided_by if sighting else "") if by_person else box.engine,
        "classificationProbability": None if by_person else box.confidence,
        "observationTags": " | ".join(f"{key}:{said}" for key, said in _tags(box, sighting)),
    }
    if sighting is not None and not sighting.conflict:
        values |= {
            "individualID": sighting.individual.code,
            "sex": sighting.individual.sex,
            "lifeStage": sighting.individual.age_class,
        }
    return values


def _species(box: ExportBox, sighting: Sighting | None, known: Known) -> str:
    if sighting is not None:
        return sighting.species
    return box.species or (known.species if box.triage == Triage.WANTED else "")


def _fractions(photo: ExportPhoto, box: ExportBox) -> dict[str, Cell]:
    """The box as shares of the picture's width and height, from the upper left corner."""
    x1, y1, x2, y2 = box.box
    left, top = min(x1 / photo.width, 1.0), min(y1 / photo.height, 1.0)
    wide, high = (x2 - x1) / photo.width, (y2 - y1) / photo.height
    return {
        "bboxX": left,
        "bboxY": top,
        "bboxWidth": max(min(wide, 1.0 - left), 1e-9),
        "bboxHeight": max(min(high, 1.0 - top), 1e-9),
    }


def _tags(box: ExportBox, sighting: Sighting | None) -> Iterator[tuple[str, str]]:
    """What an import needs to make the same of it again, as pairs of key and value."""
    if box.category == "animal":
        yield "flank", box.flank
        yield "flankBy", "person" if box.flank_by_person else "estimate"
        if box.triage:
            yield "triage", box.triage
    if not box.usable:
        yield "usable", "no"
        yield "reason", " ".join(box.reason.replace("|", "/").split())
    if sighting is not None and sighting.conflict:
        yield "conflict", sighting.individual.code


def _cells(values: dict[str, Cell]) -> list[Cell]:
    return [values.get(column) for column in OBSERVATION_COLUMNS]
