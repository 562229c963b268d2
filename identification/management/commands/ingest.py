from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...imports.reading import Options, UnusableFile
from ...services.imported_before import Beforehand
from ...services.imports import kind_detect
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

        parser.add_argument(
            "--detections", type=Path, metavar="FILE", help="MegaDetector's or SpeciesNet's result: no detector runs"
        )
        parser.add_argument("--threshold", type=float, metavar="P", help="of --detections: leave out boxes below (0.2)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["edges"] and not options["crops"]:
            raise CommandError("--edges goes with --crops.")
        try:
            beforehand = _beforehand(options)
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
                    beforehand=beforehand,
                )
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        self._tell(result)
        if not result.new and not result.known:
            raise CommandError("Nothing could be read: no photo was found in the folder, or none could be opened.")
        if options["detections"]:
            self._import(result.survey.name, options)

    def _import(self, survey: str, options: dict[str, Any]) -> None:
        """What the file says of photos that were there before, or have only their name in common; and the report."""
        self.stdout.write(
            "New photos came with what the file of --detections says of them; now it is read for all others."
        )
        more = [] if options["threshold"] is None else ["--threshold", str(options["threshold"])]
        call_command(
            "import_data", "auto", str(options["detections"]), "--survey", survey, "--run", *more, stdout=self.stdout
        )

    def _tell(self, result: IngestResult) -> None:
        out = self.stdout
        out.write(
            f"Survey {result.survey.name}: {result.new} new, {result.known} already known, "
            f"{len(result.skipped)} skipped."
        )
        if result.unknown_time:
            out.write(f"{result.unknown_time} of the new photos say nowhere when they were taken.")
        if result.layout is not None:
            out.write(
                f"The folders look like {result.layout.text}. To read them so: --station-pattern "
                f"'{result.layout.pattern}', and import_data camtrapr for the rest."
            )
        for path, code, reason in result.skipped[:_SHOWN]:
            out.write(f"  skipped {_printable(path)}: {reason} [{code}]")
        if len(result.skipped) > _SHOWN:
            rest = Counter(code for _, code, _ in result.skipped[_SHOWN:])
            out.write(f"  and {sum(rest.values())} more: " + ", ".join(f"{n} {code}" for code, n in rest.most_common()))


def _beforehand(options: dict[str, Any]) -> Beforehand | None:
    """What the file of --detections says. Raises SpotIDError for a file that is none."""
    path = options["detections"]
    if path is None:
        return None
    path = path.expanduser().absolute()
    if not path.is_file():
        raise SpotIDError(f"There is no file {path}.")
    kind = kind_detect(path)
    if "threshold" not in kind.asks:
        raise SpotIDError(f"{path} holds no detections ({kind.title}).")
    threshold = settings.SPOTID_IMPORT_CONFIDENCE if options["threshold"] is None else options["threshold"]
    if not 0 <= threshold <= 1:
        raise SpotIDError("The threshold has to be from 0 to 1.")
    try:
        return Beforehand(kind.read(path, Options(threshold=threshold)))
    except UnusableFile as refused:
        raise SpotIDError(f"{path}: {refused.words}") from None


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
