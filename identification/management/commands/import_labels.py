from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...models import User
from ...selectors.lookup import survey_by_name
from ._progress import progress_bar

_TOLD = 200


class Command(BaseCommand):
    help = (
        "Make confirmed matches of a sorted archive: photos of one folder (or of one individual in a table) show one "
        "animal, which is named after it. `Asha_left` and `Asha_right` set the flank. What people have decided stands."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--survey", required=True, metavar="NAME")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "--truth", metavar="folders|CSV", help="folders, or a table: photo, individual and, if there, flank"
        )
        what.add_argument("--undo", action="store_true", help="take back all that was imported into the survey")
        parser.add_argument(
            "--join-flanks", action="store_true", help="a name with _left and the same with _right are one animal"
        )
        parser.add_argument("--user", metavar="NAME", help="in whose name; a curator of the survey")

    def handle(self, *args: Any, **options: Any) -> None:
        from ...services.labels import labels_import, labels_undo

        try:
            survey = survey_by_name(options["survey"])
            user = _user(options["user"])
            with progress_bar("animal") as progress:
                if options["undo"]:
                    report = labels_undo(survey=survey, acting_user=user, progress=progress)
                else:
                    report = labels_import(
                        survey=survey,
                        truth=options["truth"],
                        acting_user=user,
                        join_flanks=options["join_flanks"],
                        progress=progress,
                    )
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        if options["undo"]:
            self.stdout.write(
                f"Taken back: {report.matches} matches, {report.named} names, {report.declared} declarations and "
                f"{report.flanks} flanks of {report.animals} animals."
            )
            return
        self.stdout.write(
            f"{report.photos} photos of {report.animals} animals: {report.matches} matches made, {report.named} named, "
            f"{report.declared} declared by a single photo, {report.flanks} flanks set."
        )
        for line in report.told[:_TOLD]:
            self.stdout.write(f"  {line}")
        if len(report.told) > _TOLD:
            self.stdout.write(f"  and {len(report.told) - _TOLD} more.")


def _user(name: str | None) -> User | None:
    if name is None:
        return None
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise SpotIDError(f"There is no active account {name!r}.")
    return user
