"""What an export says of surveys, read in one snapshot of the database."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection, transaction
from django.utils import translation

from ..models import Detection, Image, Population, Survey
from ..naming import names_hidden_by
from ..presenting import GRID_DEGREES
from ..selectors.calibration import active_calibration
from ..selectors.shots import CLOCK_SUSPECT, clocks_set
from . import identities
from .options import ExportOptions, Format
from .surroundings import ExportBox, ExportStation, Operation, boxes_read, operations_read, stations_read


@dataclass(frozen=True)
class ExportPhoto:
    """One photo file. `captured_at` is in the survey's time zone; sizes are pixels of the upright original.

    clock_suspect: its camera's clock was probably not set, and nobody has set it right. event: id, begin and end of the
    encounter event, where it belongs to one. printed: heights of the strips at its top and bottom that this export
    covers, in fractions of its own.
    """

    id: int
    survey_id: int
    relative_path: str
    source_path: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    station_id: int | None
    station: str
    camera: str
    captured_at: datetime | None
    preview: str
    has_person: bool
    looked_at: bool
    clock_suspect: bool
    event: tuple[int, datetime, datetime] | None
    printed: tuple[float, float] = (0.0, 0.0)

    @property
    def name(self) -> str:
        return self.relative_path.rsplit("/", 1)[-1]

    @property
    def may_show_people(self) -> bool:
        """Whether a person is on it, or nothing has looked at it yet, so that nobody knows."""
        return self.has_person or not self.looked_at

    @property
    def day(self) -> date | None:
        """The day on the survey's clocks."""
        return self.captured_at.date() if self.captured_at else None


@dataclass(frozen=True)
class ExportIndividual:
    """An individual with at least one exported photo. flanks: of it that the whole catalogue knows, left and right."""

    id: int
    number: int
    code: str
    name: str
    sex: str
    age_class: str
    declared: bool
    flanks: frozenset[str]


@dataclass(frozen=True)
class Sighting:
    """One box of one individual on one photo: a CSV row. `conflict`: decisions on its group contradict each other."""

    detection_id: int
    photo: ExportPhoto
    individual: ExportIndividual
    box: tuple[float, float, float, float]
    flank: str
    species: str
    decided_by: str
    conflict: bool


@dataclass(frozen=True)
class ExportSurvey:
    """A survey that is exported, with what its files are called."""

    id: int
    name: str
    time_zone: str
    independence_minutes: int
    photos: int
    place_grid: float = GRID_DEGREES

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)


@dataclass(frozen=True)
class SurveySnapshot:
    """Surveys of one population as they were at one moment, in a fixed order.

    photos_read: every photo, with `boxes` on them, where a format asks for more than sightings; else none.
    """

    population_id: int
    population: str
    species: str
    surveys: tuple[ExportSurvey, ...]
    sightings: tuple[Sighting, ...]
    stations: tuple[ExportStation, ...] = ()
    operations: tuple[Operation, ...] = ()
    photos_read: tuple[ExportPhoto, ...] = ()
    boxes: tuple[ExportBox, ...] = ()
    calibration: str = ""
    model: str = ""
    data_until: datetime | None = None

    @property
    def individuals(self) -> tuple[ExportIndividual, ...]:
        return tuple({sighting.individual.id: sighting.individual for sighting in self.sightings}.values())

    @property
    def photos(self) -> tuple[ExportPhoto, ...]:
        """The photos with a sighting."""
        return tuple({sighting.photo.id: sighting.photo for sighting in self.sightings}.values())

    def survey_of(self, survey_id: int) -> ExportSurvey:
        return next(survey for survey in self.surveys if survey.id == survey_id)


def survey_snapshot(survey: Survey, options: ExportOptions | None = None) -> SurveySnapshot:
    """The snapshot of one survey."""
    return snapshot_read(survey.population, [survey], options or ExportOptions())


def snapshot_read(population: Population, surveys: Sequence[Survey], options: ExportOptions) -> SurveySnapshot:
    """Read an export in one REPEATABLE READ transaction, so that decisions made meanwhile show wholly or not.

    Inside a transaction of the caller's, that transaction's isolation holds instead.
    """
    ids = [survey.pk for survey in surveys]
    if connection.in_atomic_block:
        return _read(population.pk, ids, options)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _read(population.pk, ids, options)


_MORE_THAN_SIGHTINGS = frozenset({Format.CAMTRAPDP, Format.SECR, Format.CAMTRAPR, Format.ENCOUNTERS, Format.WILDBOOK})


def _read(population_id: int, survey_ids: list[int], options: ExportOptions) -> SurveySnapshot:
    """Without places, names that tell them are neutral where a survey hides them, whoever asked."""
    hiding = Survey.objects.filter(pk__in=[] if options.with_places else survey_ids, hide_stations=True)
    hidden = frozenset(hiding.values_list("pk", flat=True))
    # Neutral names are words: in a file they are the same whoever reads the pages in which language.
    with names_hidden_by(lambda: hidden), translation.override(None):
        return _read_named(population_id, survey_ids, options)


def _read_named(population_id: int, survey_ids: list[int], options: ExportOptions) -> SurveySnapshot:
    population = Population.objects.get(pk=population_id)
    found = list(Survey.objects.filter(pk__in=survey_ids, population=population).order_by("name", "pk"))
    surveys = tuple(
        ExportSurvey(row.pk, row.name, row.time_zone, row.independence_minutes, row.images.count(), row.place_grid)
        for row in found
    )
    zones = {survey.id: survey.zone for survey in surveys}
    printed = {} if options.with_places else {row.pk: (row.print_top, row.print_bottom) for row in found}
    clocks = _Clocks(zones, frozenset(one for row in found for one in clocks_set(row)), printed)
    rows = list(
        Detection.objects.comparable()
        .filter(image__survey__in=zones)
        .filter(individual__isnull=False, individual__retired=False)
        .select_related("image__station", "image__event", "individual__population")
        .order_by(
            "individual__number", "image__survey__name", "image__relative_path", "image__sha256",
            "x1", "y1", "x2", "y2", "pk",
        )
    )  # fmt: skip
    if any(row.image.nameless for row in rows):
        # The order of what is hidden would tell of it.
        rows.sort(key=lambda row: (row.individual.number if row.individual else 0, row.image.survey_id, row.image_id))
    singles = identities.undeclared_singles({row.individual_id for row in rows if row.individual_id})
    photos: dict[int, ExportPhoto] = {}
    sightings = _sightings(population, [row for row in rows if row.individual_id not in singles], clocks, photos)
    sightings = tuple(row for row in sightings if options.within(row.photo.day))
    more = bool(_MORE_THAN_SIGHTINGS & set(options.formats))
    every = Format.CAMTRAPDP in options.formats
    calibration = active_calibration(population)
    return SurveySnapshot(
        population_id=population.pk,
        population=population.name,
        species=population.species,
        surveys=surveys,
        sightings=sightings,
        stations=stations_read(list(zones)) if more else (),
        operations=operations_read(surveys) if more else (),
        photos_read=_every_photo(clocks, photos, options) if every else (),
        boxes=boxes_read(list(zones)) if every else (),
        calibration=calibration.version if calibration else "",
        model=_model_in_use(),
        data_until=_data_until(list(zones)) if every else None,
    )


def _sightings(
    population: Population,
    rows: list[Detection],
    clocks: _Clocks,
    photos: dict[int, ExportPhoto],
) -> tuple[Sighting, ...]:
    deciders = identities.deciders([row.pk for row in rows])
    conflicts = identities.in_conflict(population, rows)
    flanks = identities.flanks_known({row.individual_id for row in rows if row.individual_id})
    individuals: dict[int, ExportIndividual] = {}
    sightings = []
    for row in rows:
        found = row.individual
        assert found is not None
        if row.image_id not in photos:
            photos[row.image_id] = photo_of(row.image, clocks)
        if found.pk not in individuals:
            individuals[found.pk] = ExportIndividual(
                found.pk, found.number, found.code, found.name, found.sex, found.age_class, found.declared,
                flanks.get(found.pk, frozenset()),
            )  # fmt: skip
        sightings.append(
            Sighting(
                detection_id=row.pk,
                photo=photos[row.image_id],
                individual=individuals[found.pk],
                box=(row.x1, row.y1, row.x2, row.y2),
                flank=row.flank,
                species=row.species or population.species,
                decided_by="; ".join(sorted(deciders.get(row.pk, ()))),
                conflict=row.pk in conflicts,
            )
        )
    return tuple(sightings)


@dataclass(frozen=True)
class _Clocks:
    """Time zones by survey, (station, camera) of the clocks of which a person said how they go, and by survey how high
    the strips are that cameras print and this export covers."""

    zones: dict[int, zoneinfo.ZoneInfo]
    said: frozenset[tuple[int, str]]
    printed: dict[int, tuple[float, float]]


def photo_of(image: Image, clocks: _Clocks) -> ExportPhoto:
    """As whoever asked for the export may know it: names that tell a place are neutral where they are hidden."""
    event, zone = image.event, clocks.zones[image.survey_id]
    said = (image.station_id, image.camera) in clocks.said
    return ExportPhoto(
        id=image.pk,
        survey_id=image.survey_id,
        relative_path=image.shown_path,
        source_path=image.source_path,
        sha256=image.sha256,
        size_bytes=image.size_bytes,
        width=image.width,
        height=image.height,
        station_id=image.station_id,
        station=image.station_label,
        camera=image.camera,
        captured_at=image.captured_at.astimezone(zone) if image.captured_at else None,
        preview=image.preview,
        has_person=image.has_person,
        looked_at=bool(image.detector),
        clock_suspect=CLOCK_SUSPECT in image.flags and not said,
        event=(event.pk, event.started_at.astimezone(zone), event.ended_at.astimezone(zone)) if event else None,
        printed=clocks.printed.get(image.survey_id, (0.0, 0.0)),
    )


def _every_photo(clocks: _Clocks, known: dict[int, ExportPhoto], options: ExportOptions) -> tuple[ExportPhoto, ...]:
    rows = Image.objects.filter(survey__in=clocks.zones).select_related("station", "event").defer("exif")
    ordered: Iterable[Image] = rows.order_by("survey__name", "relative_path", "sha256", "pk").iterator(chunk_size=2000)
    photos = (known.get(row.pk) or photo_of(row, clocks) for row in ordered)
    return tuple(photo for photo in photos if options.within(photo.day))


def _model_in_use() -> str:
    """Name and beginning of the checksum of the weights that encode, "" where none do."""
    from ..services.activation import active_model

    model = active_model()
    return f"{model.name} ({model.checksum[:12]})" if model else ""


def _data_until(surveys: list[int]) -> datetime | None:
    """When the latest photo or box of these surveys was recorded: a time of the data, not of the export."""
    times = [
        Image.objects.filter(survey__in=surveys).order_by("-created_at").values_list("created_at", flat=True).first(),
        Detection.objects.filter(image__survey__in=surveys)
        .order_by("-created_at")
        .values_list("created_at", flat=True)
        .first(),
    ]
    return max((time for time in times if time is not None), default=None)
