from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...selectors.lookup import survey_by_name
from ._progress import progress_bar


class Command(BaseCommand):
    help = (
        "Rank every photo of a survey against all others and hold the ranking against a truth: by embedding, by local "
        "features and by both. Decisions, events, times and folder names play no part. Singletons are no queries; a "
        "photo without detection is a miss. TkRMD: share of queries with a match among the first k. DTkAP: mean "
        "precision at ranks 1…min(matches, 5)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--survey", required=True, metavar="NAME")
        parser.add_argument(
            "--truth", required=True, metavar="folders|CSV", help="folders, or a table: photo, individual"
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")

    def handle(self, *args: Any, **options: Any) -> None:
        from ...services.evaluation import survey_evaluate

        if options["json"] and not options["json"].absolute().parent.is_dir():
            raise CommandError(f"There is no folder {options['json'].absolute().parent} to write the figures to.")
        try:
            survey = survey_by_name(options["survey"])
            with progress_bar() as progress:
                result = survey_evaluate(survey=survey, truth=options["truth"], progress=progress)
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        self._tell(result)
        if options["json"]:
            options["json"].write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    def _tell(self, result: dict[str, Any]) -> None:
        out = self.stdout
        out.write(
            f"{result['photos']} photos, {result['identities']} identities, {result['without_detection']} without "
            f"detection, {result['without_label']} without label"
        )
        if result["model"] and not result["model"]["trained"]:
            out.write("The embedding is untrained: its figures are what random weights reach; it does not count.")
        ranks = " ".join(f"{f'T{k}RMD':>7}" for k in range(1, 11))
        out.write(f"{'':<10} {ranks} {'DT5AP':>7} {'s/query':>9}")
        for name in ("embedding", "local", "combined"):
            row = result[name]
            if row is None:
                out.write(f"{name:<10} no active model")
                continue
            ranks = " ".join(_number(value) for value in row["tkrmd"])
            out.write(f"{name:<10} {ranks} {_number(row['dt5ap'])} {row['seconds_per_query']:>9.4f}")
        seconds = result["extraction_seconds_per_photo"]
        if seconds is not None:
            out.write(f"Extraction took {seconds:.2f} s per photo.")


def _number(value: float | None) -> str:
    return f"{value:7.3f}" if value is not None else f"{'–':>7}"
