"""Signals are only noted by their handlers; the code that waits looks at the note and stops in good order."""

import signal
import time
from types import FrameType

from launcher.messages import Stopped, complain

STEP_SECONDS = 0.05


class Signals:
    """SIGINT, SIGTERM, SIGHUP and SIGBREAK, where they exist.

    `install` sets own handlers even where Python found SIGINT ignored (a process that a script starts in the
    background inherits that). SIGHUP stays ignored under `nohup`. A second signal makes `impatient` true.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.impatient = False

    def install(self) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
                continue
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        else:
            self.impatient = True

    def forget(self) -> None:
        """Go on as if no signal had come."""
        self.received = None
        self.impatient = False

    def check(self) -> None:
        """Raise Stopped when a signal has come."""
        if self.received is not None:
            raise Stopped(self.received)

    def sleep(self, seconds: float) -> None:
        """Sleep, and raise Stopped soon after a signal has come."""
        until = time.monotonic() + seconds
        while True:
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, STEP_SECONDS))

    def waiting_for(self, what: str) -> "Patience":
        return Patience(self, what)


class Patience:
    """Called while something is waited for: says so after some seconds, and raises Stopped after a signal."""

    def __init__(self, signals: Signals, what: str) -> None:
        self._signals = signals
        self._what = what
        self._next = 3.0

    def __call__(self, seconds: float) -> None:
        self._signals.check()
        if seconds >= self._next:
            complain(f"  still waiting for {self._what} ({seconds:.0f} s)")
            self._next = seconds + 15.0
