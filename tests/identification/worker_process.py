"""Other processes of SpotID on the test's database and home."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection


def worker_environment(**more: str) -> dict[str, str]:
    """What such a process needs to see the test's database and home. Its media are below the home."""
    database = connection.settings_dict
    login = f"{database['USER']}:{database['PASSWORD']}@" if database["PASSWORD"] else f"{database['USER']}@"
    return {
        **os.environ,
        "DATABASE_URL": f"postgres://{login}{database['HOST']}:{database['PORT']}/{database['NAME']}",
        "DJANGO_SETTINGS_MODULE": "spotid_site.settings",
        "SPOTID_SECRET_KEY": settings.SECRET_KEY,
        "SPOTID_HOME": str(settings.SPOTID_HOME),
        "SPOTID_OFFLINE": "1",
        "SPOTID_PARENT_PID": "",
        "SPOTID_WORKERS": "1",
        **more,
    }


@contextmanager
def running_worker(log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`run_worker`, looking around every second. Whatever happens, nothing of it is left."""
    command = [sys.executable, "manage.py", "run_worker", "--beat", "2", "--reconcile", "1", "--grace", "20"]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=worker_environment(**environment), stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], Any], what: Callable[[], Any], seconds: float = 180) -> None:
    """Wait until a condition holds; an AssertionError with `what` stands for the reason when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.1)
