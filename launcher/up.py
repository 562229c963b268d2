"""`spotid.py up`: from nothing to a running SpotID, and down again without a trace."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher import leftovers
from launcher.environment import environment_prepare
from launcher.home import Home, home_prepare, write_private_json
from launcher.launch import Database, Launch, child_environ, database_open, migrate, run_manage
from launcher.messages import LauncherError, Stopped, say
from launcher.own_server import server_required
from launcher.ports import port_is_free
from launcher.processes import Service, Supervisor, ask_to_stop, group_options, last_lines, run_in_front, wait_or_kill

HEALTH_SECONDS = 180.0
WORKER_GRACE_SECONDS = 30.0
WEB_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class UpOptions:
    """`photos`: a folder to ingest in place of the demonstration, with `ingest` as its further arguments."""

    port: int
    browser: bool
    photos: Path | None = None
    survey: str = ""
    ingest: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def jobs(self) -> list[list[str]]:
        """The management commands that bring photos in, one after the other."""
        if self.photos is None:
            return [["load_demonstration", "--if-empty"]]
        return [
            ["ingest", str(self.photos), f"--survey={self.survey}", *self.ingest],
            ["process", f"--survey={self.survey}"],
        ]


def run_up(launch: Launch, options: UpOptions) -> int:
    """Start everything and stay until a signal comes. Exit status 0 after an orderly stop."""
    if options.photos is not None and not options.photos.is_dir():
        raise LauncherError(f"There is no folder {options.photos}")
    home_prepare(launch.home)
    server_required(launch.home)
    lock = launch.home.lock("up")
    if not lock.try_acquire():
        return _already_running(launch, options)
    try:
        _clean_up_after_a_killed_one(launch.home)
        _check_port(options.port)
        started = time.monotonic()
        environment_prepare(launch.environment, with_tests=False, signals=launch.signals)
        with database_open(launch) as database:
            try:
                _run(launch, options, database, started)
            except Stopped:
                say("Everything else is stopped; stopping the database" if database.server else "Stopped.")
    finally:
        _note(launch.home).unlink(missing_ok=True)
        lock.release()
    say(f"SpotID has stopped. All it knows is kept in {launch.home.path}")
    return 0


def _run(launch: Launch, options: UpOptions, database: Database, started: float) -> None:
    """Between a running database and the signal that ends it all, which is raised as Stopped."""
    environ = child_environ(launch, database)
    migrate(launch, environ, database)
    password = _ensure_administrator(launch, environ)
    environ.pop("SPOTID_ADMIN_PASSWORD", None)
    write_private_json(
        _note(launch.home), {"pid": os.getpid(), "port": options.port, "url": options.url, "mark": launch.mark}
    )
    serve = [*launch.manage, "serve", "--port", str(options.port)]
    web = Service("web server", "web", serve, launch.home.log_started("web.log"), WEB_GRACE_SECONDS)
    worker_log = launch.home.log_started("worker.log")
    worker = Service("worker", "worker", [*launch.manage, "run_worker"], worker_log, WORKER_GRACE_SECONDS)
    supervisor = Supervisor([web, worker], environ, launch.checkout, launch.signals)
    jobs = Jobs(launch, options.jobs(), environ)
    try:
        say("Starting the web server and the worker")
        supervisor.start_all()
        _wait_until_healthy(launch, options, supervisor, web)
        _greet(launch, options, password, time.monotonic() - started)
        _stay(launch, supervisor, jobs, database)
    finally:
        say("\nStopping; photos that are being worked on get up to 30 s (Ctrl-C again ends them at once)")
        jobs.ask_to_stop()
        supervisor.stop_all()
        jobs.wait()


def _stay(launch: Launch, supervisor: Supervisor, jobs: "Jobs", database: Database) -> None:
    """Look after everything until a signal is raised as Stopped."""
    look_at_database = 0.0
    while True:
        supervisor.look_after()
        jobs.advance()
        if database.server is not None and time.monotonic() >= look_at_database:
            look_at_database = time.monotonic() + 2.0
            try:
                if database.server.ensure_running():
                    say("The database had stopped unexpectedly; it was started again.")
            except LauncherError as error:
                say(str(error))
                look_at_database = time.monotonic() + 30.0
        launch.signals.sleep(0.2)


class Jobs:
    """Management commands in the background, one after the other, writing to our terminal."""

    def __init__(self, launch: Launch, commands: list[list[str]], environ: dict[str, str]) -> None:
        self._launch = launch
        self._waiting = list(commands)
        self._environ = environ
        self._name = ""
        self._child: subprocess.Popen[Any] | None = None

    def advance(self) -> None:
        """Start the next command when the one before has ended well; tell of one that has not."""
        if self._child is not None:
            status = self._child.poll()
            if status is None:
                return
            self._child = None
            if status:
                self._waiting.clear()
                say(f"`{self._name}` failed (exit status {status}). SpotID goes on running; see the lines above.")
        if self._waiting:
            command = self._waiting.pop(0)
            self._name = command[0]
            self._child = subprocess.Popen(
                [*self._launch.manage, *command],
                env=self._environ,
                cwd=self._launch.checkout,
                stdin=subprocess.DEVNULL,
                **group_options(),
            )

    def ask_to_stop(self) -> None:
        self._waiting.clear()
        if self._child is not None:
            ask_to_stop(self._child)

    def wait(self) -> None:
        if self._child is not None:
            wait_or_kill(self._child, 10.0, self._launch.signals)


def _ensure_administrator(launch: Launch, environ: dict[str, str]) -> str | None:
    """Have an administrator made when there is none; the password if one was invented for it."""
    lines = run_manage(launch, environ, ["ensure_administrator"], "The administrator could not be made:")
    for line in lines:
        if line.startswith("Administrator: admin / "):
            return line.removeprefix("Administrator: admin / ").strip()
    return None


def _wait_until_healthy(launch: Launch, options: UpOptions, supervisor: Supervisor, web: Service) -> None:
    patience = launch.signals.waiting_for("the web server to answer")
    started = time.monotonic()
    while not is_healthy(options.port):
        supervisor.look_after()
        waited = time.monotonic() - started
        if web.quick_deaths >= 3 or waited > HEALTH_SECONDS:
            raise LauncherError(f"The web server does not start. The end of {web.log}:\n{last_lines(web.log)}")
        patience(waited)
        time.sleep(0.1 if waited < 10 else 1.0)


def is_healthy(port: int) -> bool:
    """Whether a SpotID answers on this port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _greet(launch: Launch, options: UpOptions, password: str | None, seconds: float) -> None:
    say()
    say(f"SpotID is running at {options.url} (after {seconds:.0f} s)")
    if password and not os.environ.get("SPOTID_ADMIN_PASSWORD"):
        say(f"Log in as admin with the password {password}")
        say("It is shown this once. `python3 spotid.py manage changepassword admin` sets another.")
    else:
        say("Log in as admin, with the password set before")
    say(f"Ctrl-C stops it. Logs are in {launch.home.logs}")
    say()
    if options.browser:
        open_browser(options.url)


def open_browser(url: str) -> None:
    """Show the page, where there is a screen to show it on; never waited for."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _check_port(port: int) -> None:
    try:
        free = port_is_free(port)
    except PermissionError as error:
        raise LauncherError(f"Port {port} may only be used by root. Choose one above 1023 with --port.") from error
    if not free:
        raise LauncherError(
            f"Port {port} is in use by another program. Choose another one, for example --port {port + 1}."
        )


def _note(home: Home) -> Path:
    return home.run / "up.json"


def _read_note(home: Home) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        note = json.loads(_note(home).read_text(encoding="utf-8"))
        if isinstance(note, dict):
            return note
    return {}


def _clean_up_after_a_killed_one(home: Home) -> None:
    """End what a launcher of this home left running when it was killed. Call it with the home's `up` lock held."""
    note = _read_note(home)
    if not note:
        return
    found = leftovers.kill_marked(str(note["mark"]))
    if found:
        say(f"The last SpotID was killed; ended {found} processes that it left behind.")
    # Where processes can't be found by their mark they notice the launcher's end themselves, within seconds.
    until = time.monotonic() + 15
    while not port_is_free(int(note["port"])) and is_healthy(int(note["port"])) and time.monotonic() < until:
        time.sleep(0.2)
    _note(home).unlink(missing_ok=True)


def _already_running(launch: Launch, options: UpOptions) -> int:
    """Another `up` runs on this home: say where, and give it the photos if there are any."""
    url = _read_note(launch.home).get("url")
    where = f"is already running at {url}" if url else "is already being started"
    say(f"SpotID of the home folder {launch.home.path} {where}")
    if options.photos is not None:
        say("Adding the photos to it")
        environment_prepare(launch.environment, with_tests=False, signals=launch.signals)
        with database_open(launch) as database:
            environ = child_environ(launch, database)
            migrate(launch, environ, database)
            for job in options.jobs():
                status = run_in_front(
                    [*launch.manage, *job], environment=environ, folder=launch.checkout, signals=launch.signals
                )
                if status:
                    return status
    elif url and options.browser:
        open_browser(str(url))
    return 0
