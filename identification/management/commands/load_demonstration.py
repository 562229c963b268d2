from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ...models import Survey
from ._progress import progress_bar

NAME = "Demonstration"
_POPULATION = "Demonstration leopards"
_TIME_ZONE = "Asia/Kolkata"


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
        if options["if_empty"] and Survey.objects.exclude(name=NAME).exists():
            self.stdout.write("There is a survey already; the demonstration is not loaded.")
            return
        if options["if_empty"] and Survey.objects.filter(name=NAME, images__isnull=False).exists():
            self.stdout.write("The demonstration survey is there.")
            return
        from ...inference.demonstration import render_survey
        from ...services.ingest import survey_ingest
        from ...services.surveys import population_describe, survey_get_or_create

        # The survey is there from the start, so that a page which is opened meanwhile is not empty.
        survey = survey_get_or_create(name=NAME, population=_POPULATION, time_zone=_TIME_ZONE)
        population_describe(population=survey.population, species="Panthera pardus", code_prefix="DL")
        root = Path(settings.SPOTID_HOME) / "demonstration" / "photos"
        self.stdout.write(f"Rendering {options['photos']} photos of a made-up survey …")
        with progress_bar() as progress:
            render_survey(
                root,
                photos=options["photos"],
                individuals=options["individuals"],
                stations=options["stations"],
                seed=options["seed"],
                progress=progress,
            )
        with progress_bar() as progress:
            result = survey_ingest(
                root=root,
                survey_name=NAME,
                population_name=_POPULATION,
                time_zone=_TIME_ZONE,
                progress=progress,
            )
        self.stdout.write(f"{result.new} photos ingested; they are processed in the background.")
