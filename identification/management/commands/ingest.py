from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...services.ingest import IngestResult, survey_ingest
from ._progress import progress_bar

_SHOWN = 200


class Command(BaseCommand):
    help = "Read a folder of photos into a survey. Repeating it adds only what is new; the files are never changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR")
        parser.add_argument("--survey", required=True, metavar="NAME")
        parser.add_argument("--population", default="", metavar="NAME", help="made like the survey's name if left out")
        parser.add_argument(
            "--timezone", default="", metavar="TZ", help="of the camera clocks, e.g. Asia/Kolkata (UTC)"
        )
        parser.add_argument(
            "--station-pattern",
            default="",
            metavar="REGEX",
            help="with groups named station and camera, on the relative path",
        )
        parser.add_argument("--crops", action="store_true", help="the files are finished crops: no detector runs")
        parser.add_argument("--edges", type=Path, metavar="DIR", help="edge maps of the crops, same relative names")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["edges"] and not options["crops"]:
            raise CommandError("--edges goes with --crops.")
        try:
            with progress_bar() as progress:
                result = survey_ingest(
                    root=options["folder"],
                    survey_name=options["survey"],
                    population_name=options["population"],
                    time_zone=options["timezone"],
                    station_pattern=options["station_pattern"],
                    crops_only=options["crops"],
                    edges=options["edges"],
                    progress=progress,
                )
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        self._tell(result)
        if not result.new and not result.known:
            raise CommandError("Nothing could be read: no photo was found in the folder, or none could be opened.")

    def _tell(self, result: IngestResult) -> None:
        out = self.stdout
        out.write(
            f"Survey {result.survey.name}: {result.new} new, {result.known} already known, "
            f"{len(result.skipped)} skipped."
        )
        if result.unknown_time:
            out.write(f"{result.unknown_time} of the new photos say nowhere when they were taken.")
        for path, code, reason in result.skipped[:_SHOWN]:
            out.write(f"  skipped {_printable(path)}: {reason} [{code}]")
        if len(result.skipped) > _SHOWN:
            rest = Counter(code for _, code, _ in result.skipped[_SHOWN:])
            out.write(f"  and {sum(rest.values())} more: " + ", ".join(f"{n} {code}" for code, n in rest.most_common()))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
