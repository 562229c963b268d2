from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...models import ProcessingState, Survey, Work
from ...selectors.lookup import survey_by_name
from ._progress import progress_bar

_NO_WORKER_SECONDS = 60


class Command(BaseCommand):
    help = "Process waiting photos: find animals, isolate and encode coats, match. Without options, wakes the workers."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--survey", metavar="NAME", help="all surveys if left out")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="wait until the workers are through")
        how.add_argument("--inline", action="store_true", help="do the work in this process, without workers")
        parser.add_argument("--retry-failed", action="store_true", help="also photos that failed or were set aside")

    def handle(self, *args: Any, **options: Any) -> None:
        from ...inference.engines import ensure_model
        from ...services.queue import work_enqueue, work_requeue

        try:
            survey = survey_by_name(options["survey"]) if options["survey"] else None
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        ensure_model()
        if options["retry_failed"]:
            failed = _works(survey).filter(state__in=[ProcessingState.FAILED, ProcessingState.SET_ASIDE])
            work_requeue(images=[work.image for work in failed.select_related("image__survey")])
        if options["inline"]:
            self._inline(survey)
        else:
            queued = work_enqueue(survey=survey, stale_only=True)
            waiting = _works(survey).filter(state__in=_OPEN).count()
            self.stdout.write(f"{waiting} photos wait for the workers" + (f", {queued} queued now." if queued else "."))
            if options["wait"]:
                self._wait(survey)
        if options["inline"] or options["wait"]:
            self._tell(survey)

    def _inline(self, survey: Survey | None) -> None:
        from ...services.matching import matching_ready
        from ...services.matching_run import survey_match
        from ...services.processing import WorkPaused, survey_process_inline

        try:
            with progress_bar() as progress:
                survey_process_inline(survey=survey, progress=progress)
        except WorkPaused:
            raise CommandError("The disk is full. Make room and run the command again: nothing is lost.") from None
        surveys = [survey] if survey else list(Survey.objects.all())
        for one in surveys:
            if matching_ready(survey=one):
                with progress_bar("anchor") as progress:
                    survey_match(survey_id=one.pk, progress=progress)

    def _wait(self, survey: Survey | None) -> None:
        from ...selectors.heartbeat import heartbeat_age
        from ...services.reconcile import reconcile

        began = time.monotonic()
        total = _works(survey).filter(state__in=_OPEN).count()
        with progress_bar() as progress:
            while True:
                left = _works(survey).filter(state__in=_OPEN).count()
                progress(total - left, total, "")
                # A survey without photos stays to be matched until it has some.
                surveys = Survey.objects.filter(images__isnull=False)
                surveys = surveys.filter(pk=survey.pk) if survey else surveys
                matching = surveys.filter(matching_state__in=[Survey.Matching.STALE, Survey.Matching.RUNNING]).exists()
                if not left and not matching:
                    return
                age = heartbeat_age()
                waited = time.monotonic() - began
                if waited > _NO_WORKER_SECONDS and (age is None or age > _NO_WORKER_SECONDS):
                    raise CommandError("No worker answers. Start one (`python3 spotid.py up`), or use --inline.")
                reconcile()
                time.sleep(2)

    def _tell(self, survey: Survey | None) -> None:
        works = _works(survey)
        counts = {state: works.filter(state=state).count() for state in ProcessingState.values}
        self.stdout.write(
            f"{counts['done']} photos through, {counts['failed']} failed, {counts['set_aside']} set aside, "
            f"{counts['pending'] + counts['running']} waiting."
        )
        bad = works.filter(state__in=[ProcessingState.FAILED, ProcessingState.SET_ASIDE])
        for work in bad.select_related("image").order_by("image__relative_path")[:200]:
            self.stdout.write(
                f"  {work.image.relative_path}: {work.get_stage_display()}: {work.reason} [{work.reason_code}]"
            )


_OPEN = (ProcessingState.PENDING, ProcessingState.RUNNING)


def _works(survey: Survey | None) -> Any:
    return Work.objects.filter(image__survey=survey) if survey else Work.objects.all()
