from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...exports import ExportOptions, ExportResult, Files, Format, export_write
from ...exports.folders import visible
from ...exports.options import day_of, formats_of
from ...models import Population, Survey
from ...selectors.lookup import population_by_name, survey_by_name
from ._progress import progress_bar

_SHOWN = 100


class Command(BaseCommand):
    help = (
        "Write a survey, or all surveys of a population, in the formats asked for: a folder per individual and "
        "leopard_matches.csv, or files for other tools. An earlier export in the folder is replaced."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("name", nargs="?", metavar="SURVEY", help="the survey's name")
        what.add_argument("--survey", metavar="NAME", help="the same")
        what.add_argument("--population", metavar="NAME", help="all surveys of this population")
        parser.add_argument("--out", required=True, type=Path, metavar="DIR")
        parser.add_argument(
            "--formats",
            default=str(Format.FOLDERS),
            metavar="LIST",
            help=f"separated by commas: {', '.join(Format)} (default: folders)",
        )
        parser.add_argument(
            "--occasion-days", type=int, default=1, metavar="N", help="length of a sampling occasion (default: 1)"
        )
        parser.add_argument("--from", dest="first", metavar="DAY", help="first day, as 2026-03-01")
        parser.add_argument("--to", dest="last", metavar="DAY", help="last day, itself included")
        parser.add_argument(
            "--files",
            choices=list(Files),
            default=str(Files.IDENTIFIED),
            help="photo files beside camtrapdp and wildbook: none, those of identified animals (default), or all",
        )
        parser.add_argument(
            "--with-places",
            action="store_true",
            help="exact coordinates, GPS and other metadata in photos, original paths; secr needs it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            population, surveys = _what(options)
            asked = ExportOptions(
                formats=formats_of(options["formats"].split(",")),
                with_places=options["with_places"],
                occasion_days=options["occasion_days"],
                first=day_of(options["first"]),
                last=day_of(options["last"]),
                files=Files(options["files"]),
            )
            with progress_bar() as progress:
                result = export_write(
                    population=population, surveys=surveys, out=options["out"], options=asked, progress=progress
                )
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        name = surveys[0].name if len(surveys) == 1 else population.name
        self._tell(name, options["out"], asked, result)

    def _tell(self, name: str, folder: Path, asked: ExportOptions, result: ExportResult) -> None:
        out = self.stdout
        photos = f" with {result.photos} photos" if Format.FOLDERS in asked.formats else ""
        out.write(f"{name}: {result.individuals} individuals{photos} in {folder}.")
        if not result.individuals:
            out.write("Nothing is decided yet: tables of animals have their header only.")
        for format_name, about in result.about.items():
            counts = ", ".join(f"{key} {value}" for key, value in about.items() if isinstance(value, int | str))
            out.write(f"  {format_name}: {counts}")
        for photo in result.missing[:_SHOWN]:
            out.write(f"  {visible(photo.relative_path)}: {photo.reason}")
        if len(result.missing) > _SHOWN:
            out.write(f"  and {len(result.missing) - _SHOWN} more; manifest.json lists all.")


def _what(options: dict[str, Any]) -> tuple[Population, list[Survey]]:
    if options["population"]:
        population = population_by_name(options["population"])
        surveys = list(population.surveys.order_by("name"))
        if not surveys:
            raise SpotIDError(f"{population.name} has no survey yet.")
        return population, surveys
    survey = survey_by_name(options["name"] or options["survey"])
    return survey.population, [survey]
