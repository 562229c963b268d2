from __future__ import annotations

import json
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...selectors.lookup import survey_by_name
from ._progress import progress_bar

ROWS = ("embedding", "local", "combined", "untrained")
VARIANTS = (
    ("all", "as_seen", "All photos, as seen"),
    ("other_events", "as_seen", "Other events only, as seen"),
    ("all", "normalised", "All photos, headings normalised"),
    ("other_events", "normalised", "Other events only, headings normalised"),
)
FIGURES = {
    "t1": "T1RMD",
    "t5": "T5RMD",
    "dt5ap": "DT5AP",
    "map": "mAP",
    "ccdr": "CCDR",
    "auroc": "AUROC known/new",
    "false_new": "false new at 1 %",
}


class Command(BaseCommand):
    help = (
        "Rank every photo of a survey against all others and hold the ranking against a truth: by embedding, by local "
        "features and by both. Decisions, events, times and folder names play no part in the ranking. Singletons are "
        "no queries; a photo without detection is a miss. TkRMD: share of queries with a match among the first k. "
        "DTkAP: mean precision at ranks 1…min(matches, 5). Then the same with 95 % intervals over individuals, also "
        "with the photos of a query's own event left out and with headings normalised: near-duplicates and the way "
        "an animal walks give it away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--survey", required=True, metavar="NAME")
        parser.add_argument(
            "--truth", required=True, metavar="folders|CSV", help="folders, or a table: photo, individual"
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
        parser.add_argument(
            "--report",
            type=Path,
            metavar="FILE.html",
            help="write a page with tables, curves, the hardest pairs as pictures, a map and the shortcut tests; it "
            "shows photos and their names, so keep it in SpotID's home",
        )
        parser.add_argument(
            "--baseline",
            action=BooleanOptionalAction,
            help="rank by an untrained network, too (by default where the active model is a trained network)",
        )
        parser.add_argument(
            "--headings",
            action=BooleanOptionalAction,
            default=True,
            help="compare mirrored coats, too, where animals may face different ways; takes about as long again",
        )
        parser.add_argument("--seed", type=int, default=0, help="of the intervals (default 0)")
        parser.add_argument(
            "--resamples", type=int, default=2000, help="draws of the individuals for the intervals (default 2000)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from ...inference.evaluating import Options
        from ...services.evaluation import survey_evaluate

        for kind, what in (("json", "figures"), ("report", "report")):
            if options[kind] and not options[kind].absolute().parent.is_dir():
                raise CommandError(f"There is no folder {options[kind].absolute().parent} to write the {what} to.")
        if options["resamples"] < 0 or options["seed"] < 0:
            raise CommandError("--resamples and --seed are not negative.")
        chosen = Options(
            headings=options["headings"],
            baseline=options["baseline"],
            shortcuts=options["report"] is not None,
            seed=options["seed"],
            resamples=options["resamples"],
        )
        try:
            survey = survey_by_name(options["survey"])
            with progress_bar() as progress:
                result = survey_evaluate(
                    survey=survey,
                    truth=options["truth"],
                    options=chosen,
                    report_file=options["report"],
                    progress=progress,
                )
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        self._tell(result)
        if options["json"]:
            options["json"].write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        if options["report"]:
            self.stdout.write(f"Report: {options['report']}")

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
        for name in ROWS:
            row = result[name]
            if row is None:
                if name == "embedding":
                    out.write(f"{name:<10} no active model")
                continue
            ranks = " ".join(_number(value) for value in row["tkrmd"])
            seconds = "" if row["seconds_per_query"] is None else f"{row['seconds_per_query']:>9.4f}"
            out.write(f"{name:<10} {ranks} {_number(row['dt5ap'])} {seconds}")
        seconds = result["extraction_seconds_per_photo"]
        if seconds is not None:
            out.write(f"Extraction took {seconds:.2f} s per photo.")
        for events, heading, title in VARIANTS:
            self._tell_variant(result["evaluation"], events, heading, title)
        for sentence in (result["shortcuts"] or {}).get("sentences", ()):
            out.write(sentence)

    def _tell_variant(self, evaluation: dict[str, Any], events: str, heading: str, title: str) -> None:
        """One table: figures with their intervals, a row for each ranking."""
        out = self.stdout
        tables = {name: evaluation[name]["tables"][events][heading] for name in ROWS if name in evaluation}
        known = {name: table for name, table in tables.items() if table["known"]}
        out.write("")
        if not known:
            out.write(f"{title}: unknown. {next(iter(tables.values()))['reason']}")
            return
        first = next(iter(known.values()))
        said = f"{first['queries']} queries, {first['individuals']} individuals. {first['reason']}"
        out.write(f"{title}: {said.strip()}")
        out.write(f"{'':<10}" + "".join(f" {label:>18}" for label in FIGURES.values()))
        for name, table in tables.items():
            if not table["known"]:
                out.write(f"{name:<10} unknown. {table['reason']}")
                continue
            out.write(f"{name:<10}" + "".join(f" {_interval(table['figures'].get(key)):>18}" for key in FIGURES))
        chance = first["chance"]
        out.write(f"{'chance':<10}" + "".join(f" {_number(chance.get(key)).strip():>18}" for key in FIGURES))


def _number(value: float | None) -> str:
    return f"{value:7.3f}" if value is not None else f"{'–':>7}"


def _interval(figure: dict[str, float | None] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{figure['value']:.2f}"
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"
