from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ._progress import progress_bar


class Command(BaseCommand):
    help = "Weights of detector and segmenter: list them, fetch them, or register a file of your own by its SHA-256."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["list", "fetch", "register"])
        parser.add_argument(
            "name", nargs="?", help="of the weights to fetch (all if left out), or the file to register"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['what']}")(options["name"])

    def _list(self, name: str | None) -> None:
        from ...inference.weights import KNOWN, installed

        folder = Path(settings.SPOTID_WEIGHTS_DIR)
        for source in KNOWN.values():
            there = installed(source, folder)
            self.stdout.write(f"{source.name}: {source.filename}, {source.licence}")
            self.stdout.write(
                f"  {there.explanation if there else f'not in {folder}; from {source.record_url or source.url}'}"
            )

    def _fetch(self, name: str | None) -> None:
        from ...inference.weights import KNOWN, WeightsError, fetch

        if name is not None and name not in KNOWN:
            raise CommandError(f"{name!r} is unknown; there are {', '.join(KNOWN)}.")
        failures = []
        for source in KNOWN.values() if name is None else [KNOWN[name]]:
            try:
                with progress_bar("B") as progress:
                    fetched = fetch(source, Path(settings.SPOTID_WEIGHTS_DIR), progress=progress, timeout=10)
            except WeightsError as error:
                failures.append(str(error))
            else:
                self.stdout.write(fetched.explanation)
        if failures:
            raise CommandError("\n".join(failures))

    def _register(self, name: str | None) -> None:
        from ...inference.weights import WeightsError, register_local

        if name is None:
            raise CommandError("Name the file to register.")
        try:
            registered = register_local(Path(name).absolute(), Path(settings.SPOTID_WEIGHTS_DIR))
        except WeightsError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(registered.explanation)
