"""Where an animal was seen, for those who may know places."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from ..models import Individual, Station, Survey, User
from ..permissions import Action, detections_for, surveys_for
from ..presenting import cell_middle, grid_cell


@dataclass(frozen=True)
class StationSeen:
    """A station with its place (degrees, WGS 84), and how often the animal was there (0: never)."""

    survey: Survey
    code: str
    latitude: float
    longitude: float
    visits: int
    photos: int


@dataclass(frozen=True)
class Captures:
    """Every placed station of the surveys whose places the account may know and in which the animal was seen.

    left_out: photos of the animal elsewhere: without a place, or of surveys whose places are not the account's to know.
    """

    stations: list[StationSeen]
    surveys: list[Survey]
    left_out: int


def surveys_placed(*, user: User, individual: Individual) -> list[Survey]:
    """Surveys in which the animal was seen and whose exact places the account may know."""
    seen = detections_for(user).filter(individual=individual).values("image__survey")
    return list(surveys_for(user, Action.SEE_PLACES).filter(pk__in=seen).order_by("name"))


def captures_read(*, user: User, individual: Individual) -> Captures:
    """Three queries. Call it where the look is written to the audit log."""
    surveys = surveys_placed(user=user, individual=individual)
    return _read(user, individual, surveys)


def captures_coarse(*, user: User, individual: Individual) -> Captures:
    """The same for everybody who sees the animal: cells of each survey's grid, called by what they span, in which the
    stations and visits of a cell are counted together. The place of a cell is its middle."""
    seen = detections_for(user).filter(individual=individual).values("image__survey")
    exact = _read(user, individual, list(surveys_for(user).filter(pk__in=seen).order_by("name")))
    cells: dict[tuple[int, str], StationSeen] = {}
    for row in exact.stations:
        grid = row.survey.place_grid
        name = grid_cell(row.latitude, row.longitude, grid)
        before = cells.get((row.survey.pk, name))
        visits, photos = (before.visits, before.photos) if before else (0, 0)
        middle = cell_middle(row.latitude, row.longitude, grid)
        cells[row.survey.pk, name] = StationSeen(row.survey, name, *middle, visits + row.visits, photos + row.photos)
    stations = sorted(cells.values(), key=lambda row: (row.survey.name, row.latitude, row.longitude))
    return Captures(stations, exact.surveys, exact.left_out)


def _read(user: User, individual: Individual, surveys: list[Survey]) -> Captures:
    own = detections_for(user).filter(individual=individual)
    counted = {
        row["image__station"]: row
        for row in own.filter(image__station__isnull=False)
        .values("image__station")
        .annotate(visits=Count("image__event", distinct=True), photos=Count("image", distinct=True))
        .order_by()
    }
    names = {survey.pk: survey for survey in surveys}
    nowhere = {"visits": 0, "photos": 0}
    stations = []
    for row in Station.objects.filter(survey__in=surveys, latitude__isnull=False).order_by("survey__name", "code"):
        if row.latitude is None or row.longitude is None:
            continue
        seen = counted.get(row.pk, nowhere)
        visits = max(seen["visits"], 1 if seen["photos"] else 0)
        stations.append(
            StationSeen(names[row.survey_id], row.code, row.latitude, row.longitude, visits, seen["photos"])
        )
    photos = own.values("image").distinct().count()
    return Captures(stations, surveys, photos - sum(row.photos for row in stations))
