"""What an export says of a survey, read in one snapshot of the database."""

from __future__ import annotations

import zoneinfo
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Count

from ..matching.graph import LoggedDecision, fold
from ..models import AuditEntry, Decision, Detection, Individual, Provenance, Survey, Verdict
from ..selectors.graph import population_graph


@dataclass(frozen=True)
class ExportPhoto:
    """One photo file. `captured_at` is in the survey's time zone; sizes are pixels of the upright original."""

    id: int
    relative_path: str
    source_path: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    station: str
    camera: str
    captured_at: datetime | None
    preview: str

    @property
    def name(self) -> str:
        return self.relative_path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class ExportIndividual:
    """An individual with at least one exported photo."""

    id: int
    number: int
    code: str
    name: str


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
class SurveySnapshot:
    """A survey's individuals as they were at one moment, in a fixed order."""

    survey_id: int
    survey: str
    population: str
    species: str
    time_zone: str
    photos_in_survey: int
    sightings: tuple[Sighting, ...]

    @property
    def individuals(self) -> tuple[ExportIndividual, ...]:
        return tuple({sighting.individual.id: sighting.individual for sighting in self.sightings}.values())

    @property
    def photos(self) -> tuple[ExportPhoto, ...]:
        return tuple({sighting.photo.id: sighting.photo for sighting in self.sightings}.values())


def survey_snapshot(survey: Survey) -> SurveySnapshot:
    """Read a survey's export in one REPEATABLE READ transaction, so that decisions made meanwhile show wholly or not.

    Inside a transaction of the caller's, that transaction's isolation holds instead.
    """
    if connection.in_atomic_block:
        return _read(survey)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _read(survey)


def _read(survey: Survey) -> SurveySnapshot:
    survey = Survey.objects.select_related("population").get(pk=survey.pk)
    rows = list(
        Detection.objects.comparable()
        .filter(image__survey=survey)
        .filter(individual__isnull=False, individual__retired=False)
        .select_related("image__station", "individual__population")
        .order_by("individual__number", "image__relative_path", "image__sha256", "x1", "y1", "x2", "y2", "pk")
    )
    singles = _undeclared_singles({row.individual_id for row in rows if row.individual_id})
    return SurveySnapshot(
        survey_id=survey.pk,
        survey=survey.name,
        population=survey.population.name,
        species=survey.population.species,
        time_zone=survey.time_zone,
        photos_in_survey=survey.images.count(),
        sightings=_sightings(survey, [row for row in rows if row.individual_id not in singles]),
    )


def _sightings(survey: Survey, rows: list[Detection]) -> tuple[Sighting, ...]:
    deciders = _deciders([row.pk for row in rows])
    conflicts = _conflicts(survey, rows)
    zone = zoneinfo.ZoneInfo(survey.time_zone)
    photos: dict[int, ExportPhoto] = {}
    sightings = []
    for row in rows:
        individual = row.individual
        assert individual is not None
        if row.image_id not in photos:
            photos[row.image_id] = _photo(row, zone)
        sightings.append(
            Sighting(
                detection_id=row.pk,
                photo=photos[row.image_id],
                individual=ExportIndividual(individual.pk, individual.number, individual.code, individual.name),
                box=(row.x1, row.y1, row.x2, row.y2),
                flank=row.flank,
                species=row.species or survey.population.species,
                decided_by="; ".join(sorted(deciders.get(row.pk, ()))),
                conflict=row.pk in conflicts,
            )
        )
    return tuple(sightings)


def _photo(row: Detection, zone: zoneinfo.ZoneInfo) -> ExportPhoto:
    image = row.image
    return ExportPhoto(
        id=image.pk,
        relative_path=image.relative_path,
        source_path=image.source_path,
        sha256=image.sha256,
        size_bytes=image.size_bytes,
        width=image.width,
        height=image.height,
        station=image.station.code if image.station else "",
        camera=image.camera,
        captured_at=image.captured_at.astimezone(zone) if image.captured_at else None,
        preview=image.preview,
    )


def _undeclared_singles(individuals: set[int]) -> set[int]:
    """Individuals of one detection (in all surveys of the population) that no person declared or named."""
    lone = Individual.objects.filter(pk__in=individuals, declared=False, name="").annotate(seen=Count("detections"))
    return set(lone.filter(seen__lt=2).values_list("pk", flat=True))


def _deciders(detections: list[int]) -> dict[int, set[str]]:
    """Who said that a detection belongs where it is: by standing matches, or by declaring the individual."""
    log: dict[tuple[int, int, int], list[tuple[LoggedDecision, str]]] = defaultdict(list)
    wanted = set(detections)
    for ends in ("edge__a__in", "edge__b__in"):
        decisions = Decision.objects.filter(**{ends: wanted}, edge__verdict=Verdict.MATCH).order_by("id")
        for pk, edge, a, b, verdict, undoes, user, provenance in decisions.values_list(
            "id", "edge_id", "edge__a_id", "edge__b_id", "verdict", "undoes_id", "acting_user__username", "provenance"
        ):
            row = (LoggedDecision(id=pk, verdict=verdict, undoes=undoes), _who(user, provenance))
            if row not in log[(edge, a, b)]:
                log[(edge, a, b)].append(row)
    names: dict[int, set[str]] = defaultdict(set)
    for (_, a, b), rows in log.items():
        standing = fold(decision for decision, _ in rows)
        for decision, who in rows:
            if standing is not None and decision.id == standing.id:
                names[a].add(who)
                names[b].add(who)
    for detection, name in _declarers(wanted):
        names[detection].add(name)
    return names


def _who(username: str | None, provenance: str) -> str:
    """The account, or what made the decision where no account did."""
    if username:
        return username
    return "command line" if provenance == Provenance.REVIEWER else Provenance(provenance).label.lower()


def _declarers(detections: set[int]) -> Iterable[tuple[int, str]]:
    founders = dict(
        Individual.objects.filter(founder__in=detections, declared=True, retired=False).values_list("pk", "founder_id")
    )
    entries = AuditEntry.objects.filter(action="individual.declare", object_type="individual", object_id__in=founders)
    last = {
        pk: username or "command line"
        for pk, username in entries.order_by("id").values_list("object_id", "acting_user__username")
    }
    return [(founders[pk], name) for pk, name in last.items()]


def _conflicts(survey: Survey, rows: list[Detection]) -> set[int]:
    """Detections whose group of matches holds a refused pair, or two animals of one photo."""
    graph = population_graph(survey.population)
    torn = {graph.root(a) for a, _ in graph.contradictions()}
    crowd: dict[tuple[int, int], int] = defaultdict(int)
    for pk, image in Detection.objects.filter(image__survey__population=survey.population).values_list(
        "pk", "image_id"
    ):
        crowd[(graph.root(pk), image)] += 1
    torn |= {root for (root, _), number in crowd.items() if number > 1}
    return {row.pk for row in rows if graph.root(row.pk) in torn}
