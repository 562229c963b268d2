from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count

from ...errors import SpotIDError
from ...models import Detection, Flank
from ...selectors.lookup import survey_by_name
from ._progress import progress_bar


class Command(BaseCommand):
    help = (
        "Estimate which flank each coat of a survey shows, from the body's axis, the walking direction in bursts, and "
        "verified matches. What a person said stays. Photos processed by an earlier version are looked at now; "
        "otherwise estimates come by themselves, with matching."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--survey", required=True, metavar="NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        from ...services.flanks import flanks_estimate
        from ...services.headings import headings_fill

        try:
            survey = survey_by_name(options["survey"])
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        with progress_bar() as progress:
            made = headings_fill(survey=survey, progress=progress)
        changed = flanks_estimate(survey=survey)
        rows = Detection.objects.comparable().filter(image__survey=survey)
        said = rows.filter(flank_by_person=True).count()
        sure = dict(rows.filter(flank_by_person=False).values_list("flank").annotate(Count("pk")).order_by())
        open_ = rows.filter(flank_by_person=False, flank=Flank.UNKNOWN)
        guessed = open_.filter(left_probability__isnull=False).count()
        self.stdout.write(
            f"{rows.count()} coats, {made} looked at now, {changed} flanks changed. {said} said by a person; estimated "
            f"with certainty {sure.get('left', 0)} left, {sure.get('right', 0)} right; {guessed} estimated without "
            f"certainty, {open_.count() - guessed} without an estimate."
        )
