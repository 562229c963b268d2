from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ...models import Survey
from ...services.station_table import StationRow, stations_place
from ._progress import progress_bar

NAME = "Demonstration"
_POPULATION = "Demonstration leopards"
_TIME_ZONE = "Asia/Kolkata"
# Made up as the season is: degrees of the first station, and how far the next ones stand (north, east), two to five
# kilometres from each other.
_FIRST_PLACE = (20.01, 80.004)
_STEPS = ((0.0, 0.0), (0.021, 0.008), (0.008, 0.029), (0.034, 0.037), (-0.008, 0.043), (0.026, 0.064))


class Command(BaseCommand):
    help = "Render the demonstration survey, ingest it and put it on the queue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--if-empty", action="store_true", help="do nothing when there is any survey but an unfinished one"
        )
        parser.add_argument("--photos", type=int, default=120)
        parser.add_argument("--individuals", type=int, default=10)
        parser.add_argument("--stations", type=int, default=6)
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["if_empty"] and Survey.objects.filter(name=NAME, images__isnull=False).exists():
            return
        if options["if_empty"] and Survey.objects.exclude(name=NAME).exists():
            self.stdout.write("There is a survey already; the demonstration is not loaded.")
            return
        from ...inference.demonstration import render_survey
        from ...selectors.coming import drawing_name
        from ...services.ingest import survey_ingest
        from ...services.surveys import population_describe, survey_get_or_create
        from ...services.work import heartbeat

        # The survey is there from the start, so that a page which is opened meanwhile is not empty.
        survey = survey_get_or_create(name=NAME, population=_POPULATION, time_zone=_TIME_ZONE)
        population_describe(population=survey.population, species="Panthera pardus", code_prefix="DL")
        root = Path(settings.SPOTID_HOME) / "demonstration" / "photos"
        self.stdout.write(f"Rendering {options['photos']} photos of a made-up survey …")
        with progress_bar() as progress:
            heartbeat(drawing_name(survey))

            def drawn(done: int, total: int, name: str) -> None:
                heartbeat(drawing_name(survey))
                progress(done, total, name)

            render_survey(
                root,
                photos=options["photos"],
                individuals=options["individuals"],
                stations=options["stations"],
                seed=options["seed"],
                progress=drawn,
            )
        with progress_bar() as progress:
            result = survey_ingest(
                root=root,
                survey_name=NAME,
                population_name=_POPULATION,
                time_zone=_TIME_ZONE,
                progress=progress,
            )
        stations_place(survey=survey, acting_user=None, rows=_places(survey))
        self.stdout.write(f"{result.new} photos ingested; they are processed in the background.")


def _places(survey: Survey) -> list[StationRow]:
    """Where the stations stand, in the order of their codes; after six the pattern goes on in the north."""
    rows = []
    for index, code in enumerate(survey.stations.order_by("code").values_list("code", flat=True)):
        block, place = divmod(index, len(_STEPS))
        north, east = _STEPS[place]
        latitude, longitude = _FIRST_PLACE[0] + 0.06 * block + north, _FIRST_PLACE[1] + east
        rows.append(StationRow(code, round(latitude, 5), round(longitude, 5)))
    return rows
