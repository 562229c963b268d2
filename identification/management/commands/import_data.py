from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...imports.registry import KINDS
from ...models import ImportRun, Survey, User
from ...selectors.imports import counted
from ...selectors.lookup import survey_by_name
from ...spreadsheets import visible
from ._progress import progress_bar

_SHOWN = 200


class Command(BaseCommand):
    help = (
        "Bring along what another tool has made of a survey's photos. A dry run says what would come of it and changes "
        "nothing; --run imports after the dry run. A second import of the same adds nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=[*KINDS, "auto"], help="auto: told by the file itself")
        parser.add_argument("path", type=Path, nargs="?", metavar="PATH", help="a file, a folder, or a zip file of it")
        parser.add_argument("--survey", required=True, metavar="NAME")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--dry-run", action="store_true", help="only say what would come of it (the default)")
        what.add_argument("--run", action="store_true", help="import, after a dry run in which the file could be read")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report, row by row, as JSON")
        parser.add_argument("--threshold", type=float, metavar="P", help="leave out boxes below this confidence (0.2)")
        parser.add_argument("--date-order", choices=["ymd", "dmy", "mdy"], default="", help="where it cannot be told")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the kind's own"
        )
        parser.add_argument("--user", metavar="NAME", help="in whose name; a curator of the survey")
        parser.add_argument(
            "--population", default="", metavar="NAME", help="make the survey in it where there is none of this name"
        )
        parser.add_argument("--time-zone", default="", metavar="ZONE", help="of a survey that is made: Asia/Kolkata")

    def handle(self, *args: Any, **options: Any) -> None:
        reports: dict[str, Any] = {}
        new = bool(options["population"]) and not Survey.objects.filter(name__iexact=options["survey"].strip()).exists()
        try:
            dry = self._once(options, None)
            reports["dry_run"] = _report(dry)
            self._tell(dry)
            if options["run"] and dry.state == ImportRun.State.DONE:
                run = self._once(options, dry)
                reports["run"] = _report(run)
                self._tell(run)
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        finally:
            if options["json"] and reports:
                options["json"].write_text(json.dumps(reports, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        last = list(reports.values())[-1]
        if last["state"] != ImportRun.State.DONE:
            raise CommandError(last["error"] or "The import could not be finished.")
        if not options["run"]:
            made = f"The survey {visible(last['survey'])} was made, for its photos. " if new else ""
            self.stdout.write(f"{made}Nothing {'else ' if new else ''}was changed. Add --run to import.")

    def _once(self, options: dict[str, Any], rehearsal: ImportRun | None) -> ImportRun:
        from ...services.imports import import_begin, kind_by_code, kind_detect
        from ...services.imports_run import import_run

        path: Path | None = options["path"].expanduser().absolute() if options["path"] else None
        if path is not None and not path.exists():
            raise SpotIDError(f"There is no file or folder {path}.")
        if options["kind"] == "auto":
            if path is None:
                raise SpotIDError("Say which file, or which kind.")
            try:
                kind = kind_detect(path)
            except SpotIDError as unknown:
                raise SpotIDError(f"{unknown} In place of auto, write one of: {', '.join(KINDS)}.") from None
        else:
            kind = kind_by_code(options["kind"])
        run = import_begin(
            survey=_survey(options),
            kind=kind,
            path=path,
            options=_chosen(options),
            acting_user=_user(options["user"]),
            dry_run=rehearsal is None,
            rehearsal=rehearsal,
        )
        with progress_bar() as progress:
            import_run(run_id=run.pk, progress=progress)
        run.refresh_from_db()
        return run

    def _tell(self, run: ImportRun) -> None:
        out = self.stdout
        what = "Dry run" if run.dry_run else "Import"
        out.write(f"{what} {run.pk}, {run.kind}, into {run.survey.name}: {run.get_state_display().lower()}.")
        for note in run.notes:
            out.write(f"  {visible(note)}")
        for row in counted(run):
            out.write(f"  {row.number:>8} {row.words}")
        total = run.issues.count() + run.issues_left_out
        for issue in run.issues.order_by("pk")[:_SHOWN]:
            place = f"{issue.file}:{issue.row}" if issue.row else issue.file
            about = f" ({visible(issue.detail)})" if issue.detail else ""
            out.write(f"  {visible(place)}: {visible(issue.words)}{about} [{issue.code}]")
        if total > _SHOWN:
            out.write(f"  and {total - _SHOWN} more; --json FILE writes them all.")


def _survey(options: dict[str, Any]) -> Survey:
    """The survey of the name; made where photos come along, and there is none yet."""
    from ...services.surveys import survey_get_or_create

    if not options["population"]:
        return survey_by_name(options["survey"])
    return survey_get_or_create(
        name=options["survey"],
        population=options["population"],
        time_zone=options["time_zone"],
        acting_user=_user(options["user"]),
    )


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    threshold = options["threshold"]
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise SpotIDError("The threshold has to be from 0 to 1.")
        chosen["threshold"] = threshold
    if options["date_order"]:
        chosen["date_order"] = options["date_order"]
    for text in options["set"]:
        name, divider, value = text.partition("=")
        if not divider:
            raise SpotIDError(f"--set {text}: write NAME=VALUE.")
        chosen[name] = value
    return chosen


def _user(name: str | None) -> User | None:
    if name is None:
        return None
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise SpotIDError(f"There is no active account {name!r}.")
    return user


def _report(run: ImportRun) -> dict[str, Any]:
    issues = run.issues.order_by("pk").values("file", "row", "code", "words", "detail")
    return {
        "id": run.pk,
        "survey": run.survey.name,
        "kind": run.kind,
        "dry_run": run.dry_run,
        "state": run.state,
        "error": run.error,
        "file": run.file_name,
        "sha256": run.sha256,
        "options": run.options,
        "notes": run.notes,
        "counts": run.counts,
        "issues": list(issues),
        "issues_left_out": run.issues_left_out,
    }
