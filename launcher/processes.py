"""Children of the launcher: started in groups of their own, watched, and every one of them stopped at the end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from launcher import leftovers
from launcher.messages import say
from launcher.signals import STEP_SECONDS, Signals

LONGEST_BACK_OFF_SECONDS = 60.0
STEADY_SECONDS = 60.0


def group_options() -> dict[str, Any]:
    """Popen options that keep a terminal's Ctrl-C away from the child: the launcher decides who is told what."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def ask_to_stop(child: "subprocess.Popen[Any]", number: int = signal.SIGTERM) -> None:
    """Tell the child itself, not its group: it knows best in which order its own children should go."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            child.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            child.send_signal(number)


def kill_group(child: "subprocess.Popen[Any]") -> None:
    """End the child and all that it started, as far as the system can tell."""
    below = leftovers.descendants(child.pid) if child.poll() is None else []
    if sys.platform == "win32":
        leftovers.kill_now([child.pid])
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    leftovers.kill_now(below if child.poll() is not None else [child.pid, *below])
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=10)


def wait_or_kill(child: "subprocess.Popen[Any]", grace: float, signals: Signals) -> None:
    """Wait up to `grace` seconds for a child that was asked to stop, less when somebody gets impatient; then kill."""
    until = time.monotonic() + grace
    while child.poll() is None and time.monotonic() < until and not signals.impatient:
        time.sleep(STEP_SECONDS)
    kill_group(child)


def run_to_end(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    folder: Path,
    signals: Signals,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run a child to its end and return its exit status; its lines (both streams) go to `on_line`, one by one.

    Without `on_line` the child writes where the launcher writes. A signal to the launcher stops the child and
    raises Stopped.
    """
    child = subprocess.Popen(
        [str(part) for part in command],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if on_line else None,
        stderr=subprocess.STDOUT if on_line else None,
        text=True,
        encoding="utf-8",
        errors="replace",
        **group_options(),
    )
    reader = threading.Thread(target=_pass_lines, args=(child.stdout, on_line), daemon=True)
    if on_line:
        reader.start()
    try:
        while child.poll() is None:
            signals.check()
            time.sleep(STEP_SECONDS)
    except BaseException:
        ask_to_stop(child)
        wait_or_kill(child, 10.0, signals)
        raise
    if on_line:
        reader.join(timeout=5)
    return exit_status(child.returncode)


def _pass_lines(stream: IO[str] | None, on_line: Callable[[str], None] | None) -> None:
    if stream is not None and on_line is not None:
        with stream:
            for line in stream:
                on_line(line.rstrip("\n"))


def exit_status(code: int) -> int:
    """A process ended by signal n counts as 128 + n, as shells have it."""
    return 128 - code if code < 0 else code


def run_in_front(
    command: Sequence[str | Path], *, environment: Mapping[str, str], folder: Path, signals: Signals
) -> int:
    """Run a child that takes over: our input and output are its own, signals go to it, its exit status is returned.

    At a terminal the child stays in our process group and gets Ctrl-C from the terminal itself, and what that means
    is its affair (a shell goes on). Elsewhere signals are handed on, and a child that has not ended after 30 s is
    killed.
    """
    at_terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    options: dict[str, Any] = {}
    if not at_terminal:
        options = group_options() if sys.platform == "win32" else {"process_group": 0}
    child = subprocess.Popen([str(part) for part in command], env=dict(environment), cwd=folder, **options)
    told_at: float | None = None
    while child.poll() is None:
        if at_terminal and signals.received == signal.SIGINT:
            signals.forget()
        elif signals.received is not None and told_at is None:
            told_at = time.monotonic()
            ask_to_stop(child, signals.received)
        elif told_at is not None and (signals.impatient or time.monotonic() - told_at > 30.0):
            kill_group(child)
        time.sleep(STEP_SECONDS)
    if told_at is not None:
        kill_group(child)
    return exit_status(child.returncode)


@dataclass
class Service:
    """A child that should always run. `grace`: seconds it gets to finish what it is doing when asked to stop."""

    title: str
    key: str
    command: list[str]
    log: Path
    grace: float
    child: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    quick_deaths: int = 0
    started_at: float = 0.0
    start_again_at: float | None = field(default=None)


class Supervisor:
    """Starts services, starts them again when they die, stops them all."""

    def __init__(self, services: list[Service], environment: Mapping[str, str], folder: Path, signals: Signals) -> None:
        self.services = services
        self._environment = dict(environment)
        self._folder = folder
        self._signals = signals

    def start(self, service: Service) -> None:
        mark = f"{self._environment[leftovers.MARK]}-{service.key}"
        with service.log.open("ab") as log:
            service.child = subprocess.Popen(
                service.command,
                env=self._environment | {leftovers.MARK: mark},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **group_options(),
            )
        service.starts += 1
        service.started_at = time.monotonic()
        service.start_again_at = None

    def start_all(self) -> None:
        for service in self.services:
            self.start(service)

    def look_after(self) -> None:
        """Notice services that have died, and start them again, each time a little later when they keep dying."""
        now = time.monotonic()
        for service in self.services:
            if service.child is not None and service.child.poll() is not None:
                self._bury(service, now)
            if service.child is None and service.start_again_at is not None and now >= service.start_again_at:
                self.start(service)
                say(f"The {service.title} was started again.")

    def _bury(self, service: Service, now: float) -> None:
        assert service.child is not None
        status = exit_status(service.child.returncode)
        kill_group(service.child)
        leftovers.kill_marked(f"{self._environment[leftovers.MARK]}-{service.key}")
        service.child = None
        service.quick_deaths = service.quick_deaths + 1 if now - service.started_at < STEADY_SECONDS else 1
        wait = min(2.0 ** (service.quick_deaths - 1), LONGEST_BACK_OFF_SECONDS)
        service.start_again_at = now + wait
        say(
            f"The {service.title} stopped unexpectedly (exit status {status}); it is started again in {wait:.0f} s. "
            f"The reason should be in {service.log}"
        )

    def stop_all(self) -> None:
        """Ask all, wait for each, kill what is left, also what left its group."""
        running = [service for service in self.services if service.child is not None]
        for service in running:
            if service.child is not None:
                ask_to_stop(service.child)
        started = time.monotonic()
        for service in running:
            if service.child is not None:
                wait_or_kill(service.child, max(service.grace - (time.monotonic() - started), 0.0), self._signals)
                service.child = None
        leftovers.kill_marked(self._environment[leftovers.MARK])


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log file, indented, for showing to a person."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in lines)
