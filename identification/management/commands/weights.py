from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ._progress import progress_bar


class Command(BaseCommand):
    help = "Weights of detector, segmenter, learned matchers: list, fetch, or register your own file by its SHA-256."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["list", "fetch", "register"])
        parser.add_argument(
            "name", nargs="?", help="of the weights to fetch (all that are used if left out), or the file to register"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['what']}")(options["name"])

    def _list(self, name: str | None) -> None:
        from ...inference.weights import KNOWN, installed

        folder = Path(settings.SPOTID_WEIGHTS_DIR)
        for source in KNOWN.values():
            there = installed(source, folder)
            self.stdout.write(f"{source.name}: {source.filename}, {source.licence}")
            self.stdout.write(f"  {there.explanation if there else f'not in {folder}; from {source.url}'}")

    def _fetch(self, name: str | None) -> None:
        from ...inference.weights import KNOWN, WeightsError, fetch, used

        if name is not None and name not in KNOWN:
            raise CommandError(f"{name!r} is unknown; there are {', '.join(KNOWN)}.")
        failures = []
        for source in used(settings.SPOTID_LEARNED_MATCHER) if name is None else [KNOWN[name]]:
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
        folder = Path(settings.SPOTID_WEIGHTS_DIR)
        # A plain name is most likely what was put into the folder of weights.
        path = Path(name) if Path(name).is_file() or Path(name).name != name else folder / name
        try:
            registered = register_local(path.absolute(), folder)
        except WeightsError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(registered.explanation)
