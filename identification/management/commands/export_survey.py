from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...exports import survey_export
from ...exports.folders import visible
from ...selectors.lookup import survey_by_name
from ._progress import progress_bar

_SHOWN = 100


class Command(BaseCommand):
    help = "Write one folder per individual and leopard_matches.csv. An earlier export in the folder is replaced."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--survey", required=True, metavar="NAME")
        parser.add_argument("--out", required=True, type=Path, metavar="DIR")
        parser.add_argument(
            "--with-places",
            action="store_true",
            help="keep GPS and other metadata in photos, name original paths",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            survey = survey_by_name(options["survey"])
            with progress_bar() as progress:
                result = survey_export(
                    survey=survey, out=options["out"], with_places=options["with_places"], progress=progress
                )
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        out = self.stdout
        out.write(f"{survey.name}: {result.individuals} individuals with {result.photos} photos in {options['out']}.")
        if not result.individuals:
            out.write("Nothing is decided yet: leopard_matches.csv has its header only.")
        for photo in result.missing[:_SHOWN]:
            out.write(f"  {visible(photo.relative_path)}: {photo.reason}")
        if len(result.missing) > _SHOWN:
            out.write(f"  and {len(result.missing) - _SHOWN} more; manifest.json lists all.")
