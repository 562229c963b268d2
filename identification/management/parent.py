"""Ends a long-running command when the launcher that started it is gone, killed without stopping its children."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

_SECONDS = 2.0


def parent_is_gone() -> bool:
    """Whether SPOTID_PARENT_PID names a process that has ended. Without the variable there is no such parent."""
    text = os.environ.get("SPOTID_PARENT_PID", "")
    if not text.isdigit() or os.name == "nt":
        return False
    # An orphan is adopted by another process; its number may also be taken by a new one, so the parent is asked, too.
    return os.getppid() != int(text)


def watch_parent(stop: Callable[[], None]) -> None:
    """Call `stop` once from a thread when the parent is gone."""

    def watch() -> None:
        while not parent_is_gone():
            time.sleep(_SECONDS)
        stop()

    if os.environ.get("SPOTID_PARENT_PID"):
        threading.Thread(target=watch, name="parent", daemon=True).start()
