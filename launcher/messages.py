"""What the launcher tells a person, and the two ways in which it gives up."""

import contextlib
import sys


class LauncherError(Exception):
    """Something a person has to mend. The text is shown as it is, without a traceback; exit status 1."""


class Stopped(Exception):
    """A signal asked the launcher to stop. `signal_number` is the one that came."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number


def say(text: str = "") -> None:
    """Print one line at once. A terminal or pipe that has gone away must not keep the launcher from tidying up."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def complain(text: str) -> None:
    """Print to standard error, as `say` does."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
