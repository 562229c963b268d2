from __future__ import annotations

import signal
import tomllib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...models import EmbeddingModel, Population, TrainingRun
from ...selectors.lookup import population_by_name
from ...selectors.models import model_by_name
from ._progress import progress_bar


class Command(BaseCommand):
    help = (
        "Train an embedding network on the confirmed individuals of a population, measure it against the model in use "
        "on individuals that were held back, and register it as a candidate with its report. Nothing is activated. "
        "Ctrl-C leaves a run that --resume goes on with."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--population", metavar="NAME")
        parser.add_argument("--from", dest="start", metavar="MODEL", help="a trained model to begin from")
        parser.add_argument("--config", type=Path, metavar="FILE", help="a train.toml; what it leaves out has defaults")
        parser.add_argument("--epochs", type=int, help="instead of the file's")
        parser.add_argument("--device", help="auto, cpu or cuda, instead of the file's")
        parser.add_argument("--queue", action="store_true", help="leave the work to the training worker")
        parser.add_argument(
            "--resume",
            nargs="?",
            type=int,
            const=0,
            metavar="NUMBER",
            help="go on with a cancelled or failed training, the last one if no number is given",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = self._resumed(options) if options["resume"] is not None else self._requested(options)
            if options["queue"]:
                self.stdout.write(f"Training {run.pk} is on the training worker's queue.")
                return
            self._work(run)
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        self._tell(TrainingRun.objects.select_related("candidate", "population").get(pk=run.pk))

    def _resumed(self, options: dict[str, Any]) -> TrainingRun:
        from ...services.training import training_resume

        runs = TrainingRun.objects.filter(state__in=[TrainingRun.State.CANCELLED, TrainingRun.State.FAILED])
        if options["resume"]:
            runs = TrainingRun.objects.filter(pk=options["resume"])
        if options["population"]:
            runs = runs.filter(population=population_by_name(options["population"]))
        run = runs.first()
        if run is None:
            raise CommandError("There is no such training to go on with.")
        return training_resume(run=run, acting_user=None, enqueue=options["queue"])

    def _requested(self, options: dict[str, Any]) -> TrainingRun:
        from ...inference.training import training_settings
        from ...services.training import training_request

        population = self._population(options["population"])
        start = model_by_name(options["start"]) if options["start"] else None
        config = training_settings(self._settings(options))
        self._say_plan(population, start, config)
        return training_request(
            population=population, start_model=start, config=config, acting_user=None, enqueue=options["queue"]
        )

    def _population(self, name: str | None) -> Population:
        if name:
            return population_by_name(name)
        there = list(Population.objects.all()[:2])
        if len(there) != 1:
            raise CommandError("Name the population to train on: --population NAME")
        return there[0]

    def _settings(self, options: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if options["config"]:
            try:
                values = tomllib.loads(options["config"].read_text(encoding="utf-8"))
            except OSError as error:
                raise CommandError(f"{options['config']} cannot be read: {error.strerror or error}") from None
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise CommandError(f"{options['config']} is no TOML: {error}") from None
        return values | {name: options[name] for name in ("epochs", "device") if options[name] is not None}

    def _say_plan(self, population: Population, start: EmbeddingModel | None, config: dict[str, Any]) -> None:
        from ...services.training import training_plan

        plan = training_plan(population=population, start_model=start, config=config)
        photos = plan.photos
        self.stdout.write(
            f"{population}: {len(photos.rows)} photos of {photos.individuals} individuals, {photos.repeated} of them "
            "with at least two photos of one flank."
        )
        for warning in plan.warnings:
            self.stdout.write(f"  Note: {warning}")

    def _work(self, run: TrainingRun) -> None:
        from ...services.training import training_claim, training_stop
        from ...services.training_run import training_run
        from ...services.work import LeaseLost

        claim = training_claim(run_id=run.pk)
        if claim is None:
            raise CommandError(f"Training {run.pk} was taken by the training worker in the meantime; it goes on there.")
        asked: list[int] = []

        def ask(signum: int, frame: Any) -> None:
            if asked:
                raise KeyboardInterrupt
            asked.append(signum)
            self.stderr.write("Stopping after this step; once more ends it at once.")

        before = {name: signal.signal(name, ask) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            with progress_bar("‰") as progress:
                training_run(run_id=run.pk, claim=claim, interrupted=lambda: bool(asked), progress=progress)
        except KeyboardInterrupt:
            try:
                training_stop(claim=claim, cancelled=True)
            except LeaseLost:
                self.stderr.write("The training was taken over in the meantime.")
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _tell(self, run: TrainingRun) -> None:
        if run.state == TrainingRun.State.CANCELLED:
            self.stdout.write(f"Training {run.pk} is stopped. It goes on with: retrain --resume {run.pk}")
            return
        if run.state in TrainingRun.OPEN:
            raise CommandError(
                f"Training {run.pk} is not through: {run.error or 'the training worker has taken it over.'} It goes on "
                "in the training worker, while that runs. The admin shows how it stands and can cancel it."
            )
        if run.state != TrainingRun.State.DONE or run.candidate is None:
            raise CommandError(f"Training {run.pk}: {run.get_state_display().lower()}. {run.error}")
        from django.conf import settings

        outcome = run.outcome
        for name, found in outcome["comparisons"].items():
            self.stdout.write(f"DT5AP {_figure(found['new'])}, {name}: {_figure(found['old'])}. {found['sentence']}")
        self.stdout.write(f"Advice: {outcome['advice']}.")
        for sentence in outcome["sentences"]:
            self.stdout.write(f"  {sentence}")
        self.stdout.write(f"Candidate: {run.candidate.name} (not active)")
        self.stdout.write(f"Report: {Path(settings.SPOTID_HOME) / outcome['report']}")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
