"""A Camera Trap Data Package, Camtrap DP 1.0.2 (https://camtrap-dp.tdwg.org): the package and its deployments.

Beside its three tables it holds two of ours, which the standard allows: `individuals` and `photos`, so that an import
finds every photo by its SHA-256 and every animal by its name. They are described in docs/ecologist.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..matching.operation import moment_text
from .camtrapdp_rows import (
    MEDIA_COLUMNS,
    OBSERVATION_COLUMNS,
    Deployment,
    Known,
    media_path_of,
    media_row,
    moment,
    observation_rows,
)
from .folders import photo_names
from .histories import NO_STATION, NO_TIME
from .identifiers import identifiers
from .options import ExportOptions, Files
from .output import NOT_LOOKED_AT, Cell, LeftOut, Output
from .places import ANYWHERE_METRES, Place, generalised
from .snapshot import ExportPhoto, SurveySnapshot
from .surroundings import ExportStation, Operation

FOLDER = "camtrapdp"
VERSION = "1.0.2"
_STANDARD = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
UNPLACED = "no coordinates: given as 0, 0 with an uncertainty of half the Earth"
DEPLOYMENT_COLUMNS = (
    "deploymentID", "locationID", "locationName", "latitude", "longitude", "coordinateUncertainty", "deploymentStart",
    "deploymentEnd", "setupBy", "cameraID", "cameraModel", "cameraDelay", "cameraHeight", "cameraDepth", "cameraTilt",
    "cameraHeading", "detectionDistance", "timestampIssues", "baitUse", "featureType", "habitat", "deploymentGroups",
    "deploymentTags", "deploymentComments",
)  # fmt: skip
_INDIVIDUALS: tuple[tuple[str, str], ...] = (
    ("individualID", "string"),
    ("individualName", "string"),
    ("scientificName", "string"),
    ("sex", "string"),
    ("lifeStage", "string"),
    ("declared", "boolean"),
)
_PHOTOS: tuple[tuple[str, str], ...] = (
    ("mediaID", "string"),
    ("survey", "string"),
    ("relativePath", "string"),
    ("station", "string"),
    ("camera", "string"),
    ("sha256", "string"),
    ("width", "integer"),
    ("height", "integer"),
    ("fileSHA256", "string"),
)


def camtrapdp_write(snapshot: SurveySnapshot, out: Output, options: ExportOptions) -> dict[str, Any]:
    """Write camtrapdp/: datapackage.json, deployments, media and observations, and our two tables."""
    deployments, left_out = deployments_of(snapshot, options)
    of_photo, missing = _assigned(snapshot, deployments)
    left_out += missing
    photos = [photo for photo in snapshot.photos_read if photo.id in of_photo]
    known = Known.of(snapshot)
    paths = _files(snapshot, out, options, photos, of_photo, known)
    out.table(f"{FOLDER}/deployments.csv", DEPLOYMENT_COLUMNS, (_deployment_row(row) for row in deployments))
    media = (media_row(photo, of_photo[photo.id], paths[photo.id]) for photo in photos)
    out.table(f"{FOLDER}/media.csv", MEDIA_COLUMNS, media)
    observations = [row for photo in photos for row in observation_rows(photo, of_photo[photo.id], known)]
    out.table(f"{FOLDER}/observations.csv", OBSERVATION_COLUMNS, observations)
    individuals = snapshot.individuals
    out.table(
        f"{FOLDER}/individuals.csv",
        [name for name, _ in _INDIVIDUALS],
        (
            (row.code, row.name, known.species_of(row.id), row.sex, row.age_class, "true" if row.declared else "false")
            for row in individuals
        ),
    )
    located = ((photo, out.files.get(f"{FOLDER}/{paths[photo.id][0]}", "")) for photo in photos)
    columns = [name for name, _ in _PHOTOS]
    out.table(f"{FOLDER}/photos.csv", columns, (_photo_row(snapshot, photo, there) for photo, there in located))
    names = sorted({str(row[OBSERVATION_COLUMNS.index("scientificName")]) for row in observations} - {"None", ""})
    out.json(f"{FOLDER}/datapackage.json", datapackage(snapshot, options, deployments, names))
    out.left_out(f"{FOLDER}/left_out.csv", left_out)
    return {
        "version": VERSION,
        "deployments": len(deployments),
        "media": len(photos),
        "observations": len(observations),
        "individuals": len(individuals),
        "operation_from": sorted({row.operation.source for row in deployments}),
        "left_out": len(left_out),
    }


def deployments_of(snapshot: SurveySnapshot, options: ExportOptions) -> tuple[list[Deployment], list[LeftOut]]:
    """One per camera and time that it stood, with what may be said of its place."""
    stations = {row.id: row for row in snapshot.stations}
    operations = [row for row in snapshot.operations if _overlaps(row, options)]
    names = {at: f"{stations[row.station_id].code}-{row.camera or 'station'}" for at, row in enumerate(operations)}
    ids: dict[int, str] = {}
    for survey in snapshot.surveys:
        own = [(at, names[at]) for at, row in enumerate(operations) if row.survey_id == survey.id]
        ids |= {at: f"s{survey.id}-{found}" for at, found in identifiers(own, "deployment").items()}
    found = [
        Deployment(ids[at], row, stations[row.station_id], place_of(stations[row.station_id], options))
        for at, row in enumerate(operations)
    ]
    unknown = {row.station.id: row.station for row in found if row.place.uncertainty == ANYWHERE_METRES}
    said = [LeftOut(row.code, snapshot.survey_of(row.survey_id).name, UNPLACED) for row in unknown.values()]
    return found, said


def place_of(station: ExportStation, options: ExportOptions) -> Place:
    """Exact with places, else the cell of the grid. Camtrap DP asks for coordinates of every deployment: where nobody
    knows them they are 0, 0 with an uncertainty that holds the whole Earth, which is true and cannot be mistaken."""
    if station.latitude is None or station.longitude is None:
        return Place(0, 0, ANYWHERE_METRES)
    if options.with_places:
        return Place(station.latitude, station.longitude)
    return generalised(station.latitude, station.longitude, station.grid)


def _overlaps(row: Operation, options: ExportOptions) -> bool:
    return not (
        (options.first is not None and row.last < options.first)
        or (options.last is not None and row.first > options.last)
    )


def _assigned(
    snapshot: SurveySnapshot, deployments: Sequence[Deployment]
) -> tuple[dict[int, Deployment], list[LeftOut]]:
    """The deployment of each photo: of its camera or its whole station, the one it fell into or lies nearest to."""
    of: dict[tuple[int, str], list[Deployment]] = defaultdict(list)
    for row in deployments:
        of[row.operation.station_id, row.operation.camera].append(row)
    found: dict[int, Deployment] = {}
    out = []
    for photo in snapshot.photos_read:
        survey = snapshot.survey_of(photo.survey_id).name
        if photo.captured_at is None or photo.day is None:
            out.append(LeftOut(photo.relative_path, survey, NO_TIME))
        elif photo.station_id is None:
            out.append(LeftOut(photo.relative_path, survey, NO_STATION))
        else:
            mine = of.get((photo.station_id, photo.camera)) or of.get((photo.station_id, "")) or []
            if not mine:
                out.append(LeftOut(photo.relative_path, survey, "no camera is known to have stood there then"))
                continue
            day = photo.day
            found[photo.id] = min(mine, key=lambda row: (row.operation.away(day), row.operation.first))
            if found[photo.id].operation.away(day) or photo.clock_suspect:
                found[photo.id].issues.append(photo.id)
    return found, out


def _files(
    snapshot: SurveySnapshot,
    out: Output,
    options: ExportOptions,
    photos: Sequence[ExportPhoto],
    of_photo: dict[int, Deployment],
    known: Known,
) -> dict[int, tuple[str, str]]:
    """By photo its path in the package and a comment. Files that were asked for are put there; photos that show people,
    or that nothing has looked at yet, stay behind in any case."""
    wanted = [
        photo
        for photo in photos
        if not photo.may_show_people
        and (options.files == Files.ALL or (options.files == Files.IDENTIFIED and photo.id in known.identified))
    ]
    out.stage_all(wanted)
    there = {photo.id for photo in wanted if out.staged[photo.id].file is not None}
    by_deployment: dict[str, list[ExportPhoto]] = defaultdict(list)
    for photo in photos:
        by_deployment[of_photo[photo.id].id].append(photo)
    paths: dict[int, tuple[str, str]] = {}
    for deployment, own in by_deployment.items():
        names = photo_names(
            (p.id, p.name, "", f"{p.sha256}-{p.survey_id}", out.staged[p.id].suffix if p.id in there else None)
            for p in own
        )
        for photo in own:
            path = media_path_of(deployment, names[photo.id])
            if photo.id in there:
                out.photo(photo, f"{FOLDER}/{path}")
                paths[photo.id] = path, out.staged[photo.id].note
            else:
                paths[photo.id] = path, f"the file is not in this package: {_why_not(photo)}"
    return paths


def _why_not(photo: ExportPhoto) -> str:
    if photo.has_person:
        return "it shows people"
    return "not asked for, or not to be had" if photo.looked_at else NOT_LOOKED_AT


def _deployment_row(row: Deployment) -> list[Cell]:
    values: dict[str, Cell] = {
        "deploymentID": row.id,
        "locationID": f"s{row.station.survey_id}-{row.station.code}",
        "locationName": row.station.code,
        "latitude": row.place.latitude,
        "longitude": row.place.longitude,
        "coordinateUncertainty": row.place.uncertainty,
        "deploymentStart": moment(row.operation.begin),
        "deploymentEnd": moment(row.operation.end),
        "cameraID": row.operation.camera,
        "timestampIssues": "true" if row.issues else "false",
        "deploymentTags": f"operation:{row.operation.source}",
        "deploymentComments": _comment(row),
    }
    return [values.get(column) for column in DEPLOYMENT_COLUMNS]


def _comment(row: Deployment) -> str:
    record = row.operation.record
    problems = record.problems if record is not None else ()
    parts = [f"not working from {moment_text(since)} to {moment_text(until)}" for since, until in problems]
    if row.issues:
        parts.append(f"{len(row.issues)} photos with a doubtful time, or outside of these days")
    return "; ".join(parts)


def _photo_row(snapshot: SurveySnapshot, photo: ExportPhoto, in_package: str) -> list[Cell]:
    """The hash is that of the original; that of the file in this package differs where places were taken out of it."""
    survey = snapshot.survey_of(photo.survey_id).name
    where = (photo.relative_path, photo.station, photo.camera)
    return [f"m{photo.id}", survey, *where, photo.sha256, photo.width, photo.height, in_package]


@dataclass(frozen=True)
class _Extent:
    """South, west, north and east in degrees, and the days from first to last."""

    box: tuple[float, float, float, float]
    days: tuple[str, str]


def _extent(snapshot: SurveySnapshot, deployments: Sequence[Deployment]) -> _Extent:
    known = [row.place for row in deployments if row.place.uncertainty != ANYWHERE_METRES]
    south = min((place.latitude for place in known), default=-90.0)
    north = max((place.latitude for place in known), default=90.0)
    west = min((place.longitude for place in known), default=-180.0)
    east = max((place.longitude for place in known), default=180.0)
    days = [day for row in deployments for day in (row.operation.first, row.operation.last)]
    first, last = (min(days).isoformat(), max(days).isoformat()) if days else ("1970-01-01", "1970-01-01")
    return _Extent((south, west, north, east), (first, last))


def datapackage(
    snapshot: SurveySnapshot, options: ExportOptions, deployments: Sequence[Deployment], scientific: Iterable[str]
) -> dict[str, Any]:
    """The descriptor. Its time of creation is that of the latest data in it: equal data give equal bytes."""
    extent = _extent(snapshot, deployments)
    south, west, north, east = extent.box
    title = ", ".join(survey.name for survey in snapshot.surveys)
    about: dict[str, Any] = {
        "resources": [
            *(_standard(name) for name in ("deployments", "media", "observations")),
            _own("individuals", _INDIVIDUALS, "Individuals of the catalogue; not part of Camtrap DP."),
            _own("photos", _PHOTOS, "Where each photo was read, and its hash; not part of Camtrap DP."),
        ],
        "profile": f"{_STANDARD}/camtrap-dp-profile.json",
        "name": _slug(snapshot),
        "created": moment(snapshot.data_until) or "1970-01-01T00:00:00Z",
        "title": title,
        "contributors": [{"title": snapshot.population, "role": "contributor"}],
        "version": VERSION,
        "sources": [{"title": "SpotID"}],
        "project": {
            "title": snapshot.population,
            "samplingDesign": "targeted",
            "captureMethod": ["activityDetection"],
            "individualAnimals": True,
            "observationLevel": ["media"],
        },
        "spatial": {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        },
        "temporal": {"start": extent.days[0], "end": extent.days[1]},
        "taxonomic": [{"scientificName": name} for name in scientific],
    }
    if not options.with_places:
        about["coordinatePrecision"] = max(survey.place_grid for survey in snapshot.surveys)
    return about


def _standard(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "path": f"{name}.csv",
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": f"{_STANDARD}/{name}-table-schema.json",
    }


def _own(name: str, fields: Sequence[tuple[str, str]], description: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "path": f"{name}.csv",
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": {"fields": [{"name": field, "type": kind} for field, kind in fields]},
    }


def _slug(snapshot: SurveySnapshot) -> str:
    name = snapshot.surveys[0].name if len(snapshot.surveys) == 1 else snapshot.population
    return identifiers([(0, name)], "spotid")[0].lower()
