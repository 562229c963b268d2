"""The settings, for a worker that takes its time, so that it can be seen and killed at what it does.

TEST_SECONDS: for each photo that is read; one named `hang` never comes. TEST_TOLD: a file that names each. TEST_STEP:
an import has small steps, and it and an export take so many seconds after each; a file of that name and `.pid` holds
the process.
"""

import os
import time
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from spotid_site.settings import *  # noqa: F403
from spotid_site.settings import INSTALLED_APPS as _INSTALLED


class Slow(AppConfig):
    name, label, path = "tests.identification.slow_settings", "slow", str(Path(__file__).parent)

    def ready(self) -> None:
        if "TEST_SECONDS" in os.environ:
            _read_slowly(Path(os.environ["TEST_TOLD"]), float(os.environ["TEST_SECONDS"]))
        if "TEST_STEP" in os.environ:
            _step_slowly(Path(os.environ["TEST_TOLD"]), float(os.environ["TEST_STEP"]))


def _read_slowly(told: Path, seconds: float) -> None:
    from identification.inference import photos

    read = photos.read

    def slowly(found: Any, *args: Any, **kwargs: Any) -> Any:
        with told.open("a") as out:
            out.write(f"{found.path.stem}\n")
        time.sleep(3600 if found.path.stem == "hang" else seconds)
        return read(found, *args, **kwargs)

    photos.read = slowly


def _step_slowly(told: Path, seconds: float) -> None:
    from identification.services import imports_boxes, imports_photos, imports_write
    from identification.services.export_queue import ExportClaim
    from identification.services.imports_writing import Writing

    imports_photos._STEP = imports_boxes._STEP = imports_write.CHUNK = 2

    def slow(function: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            pid = told.with_suffix(f".{os.getpid()}")
            pid.write_text(str(os.getpid()))
            pid.replace(told.with_suffix(".pid"))  # Whole or not there for whoever waits for it.
            time.sleep(seconds)
            return function(*args, **kwargs)

        return run

    Writing.progress = slow(Writing.progress)  # type: ignore[method-assign]
    ExportClaim.progress = slow(ExportClaim.progress)  # type: ignore[method-assign]


INSTALLED_APPS = [*_INSTALLED, "tests.identification.slow_settings.Slow"]
