from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...models import Survey, TriageRun
from ...selectors.lookup import survey_by_name
from ...selectors.triage import below_threshold, done_lately_by_software, species_counts
from ._progress import progress_bar


class Command(BaseCommand):
    help = (
        "Compute which boxes of a survey show its population's species, from what people marked and confirmed. With "
        "--threshold, say how many are below it; with --apply, put those aside as another species (--undo takes the "
        "last such step back)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--survey", required=True, metavar="NAME")
        parser.add_argument("--threshold", type=float, metavar="X", help="a probability between 0 and 1")
        parser.add_argument("--apply", action="store_true", help="put aside what is below the threshold")
        parser.add_argument("--undo", action="store_true", help="take the last --apply or name of a species back")

    def handle(self, *args: Any, **options: Any) -> None:
        threshold = options["threshold"]
        if options["apply"] and threshold is None:
            raise CommandError("--apply needs a --threshold.")
        if threshold is not None and not 0 <= threshold <= 1:
            raise CommandError("The threshold is a probability between 0 and 1.")
        try:
            survey = survey_by_name(options["survey"])
            if options["undo"]:
                self._undo(survey)
                return
            run = self._score(survey)
            if threshold is not None:
                self._below(survey, run, threshold, apply=options["apply"])
        except SpotIDError as error:
            raise CommandError(str(error)) from None

    def _score(self, survey: Survey) -> TriageRun:
        from ...services.triage_run import triage_scores_refresh

        with progress_bar("box") as progress:
            run = triage_scores_refresh(survey=survey, progress=progress)
        if run is None:
            raise CommandError("A worker computes the scores of this survey just now. Try again in a moment.")
        if run.error:
            raise CommandError(f"The scores could not be computed: {run.error}")
        counts = species_counts(survey)
        self.stdout.write(", ".join(f"{count} {name}" for name, count in counts.items()))
        if run.learned:
            self.stdout.write(
                f"Learned from {run.wanted} boxes of the species and {run.other} of others; marks left out are in the "
                f"right order in {run.report['auroc']:.0%} of pairs."
            )
        else:
            self.stdout.write(
                f"{run.wanted} boxes of the species are known and {run.other} of others: there is an order to look at "
                "boxes in, and no probability. Mark at least two of each."
            )
        return run

    def _below(self, survey: Survey, run: TriageRun, threshold: float, *, apply: bool) -> None:
        from ...services.triage import triage_below

        if not run.learned:
            raise CommandError("There are no probabilities to set a threshold to.")
        number = below_threshold(survey, threshold).count()
        self.stdout.write(f"{number} undecided boxes are below {threshold:g}.")
        if apply and number:
            done = triage_below(
                acting_user=None,
                survey=survey,
                threshold=threshold,
                version=run.version,
                expected=number,
                by_person=False,
            )
            self.stdout.write(f"{done.changed} put aside as another species.")

    def _undo(self, survey: Survey) -> None:
        from ...services.triage import triage_undo

        last = done_lately_by_software(survey)
        if last is None:
            raise CommandError("Nothing that software put aside in this survey is left to be taken back.")
        done = triage_undo(acting_user=None, entry=last)
        self.stdout.write(f"{done.changed} boxes are as before; {done.left} changed since and stayed.")
