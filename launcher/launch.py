"""What all commands of the launcher share: the environment of children, the database, migrations."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from launcher import leftovers, own_server
from launcher.binaries import Programs, find_programs, run_sql
from launcher.environment import RUN_REQUIREMENTS, Environment, clean_environ
from launcher.home import Home, secret
from launcher.messages import LauncherError, say
from launcher.processes import run_to_end
from launcher.sharing import SharedServer
from launcher.signals import Signals


@dataclass(frozen=True)
class Launch:
    """One run of `spotid.py`. `mark` is written into the environment of every child."""

    checkout: Path
    home: Home
    environment: Environment
    signals: Signals
    mark: str

    @property
    def manage(self) -> list[str]:
        return [str(self.environment.python), str(self.checkout / "manage.py")]


@dataclass(frozen=True)
class Database:
    """A database server. `server` is None when DATABASE_URL named one that is not ours, which nobody looked at yet."""

    url: str
    programs: Programs
    server: SharedServer | None
    python: Path

    def query(self, statement: str) -> list[str]:
        if self.server is None:
            return own_server.ask(self.python, self.url, statement)
        return run_sql(self.programs, self.url, statement)

    def named(self, name: str) -> "Database":
        """Another database of the same server."""
        address, question, options = self.url.partition("?")
        return replace(self, url=f"{address.rpartition('/')[0]}/{name}{question}{options}")


def new_mark() -> str:
    return secrets.token_hex(8)


@contextlib.contextmanager
def database_open(launch: Launch) -> Iterator[Database]:
    """The bundled server, started when need be and shared; or the server that DATABASE_URL names, left alone."""
    programs = find_programs(launch.environment.site_packages)
    named = os.environ.get("DATABASE_URL")
    if named:
        yield Database(named, programs, None, launch.environment.python)
        return
    with SharedServer(launch.home, programs, launch.signals) as server:
        yield Database(server.url, programs, server, launch.environment.python)


def child_environ(launch: Launch, database: Database) -> dict[str, str]:
    """The environment of everything that runs SpotID's own code."""
    environ = clean_environ(os.environ)
    environ.setdefault("SPOTID_SECRET_KEY", secret(launch.home, "secret_key"))
    hosts = environ.get("SPOTID_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
    # By the last name the launcher itself asks whether the pages are there.
    names = [name.strip() for name in (*hosts, "127.0.0.1") if name.strip()]
    environ["SPOTID_ALLOWED_HOSTS"] = ",".join(dict.fromkeys(names))
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return environ | {
        "DATABASE_URL": database.url,
        "SPOTID_HOME": str(launch.home.path),
        "SPOTID_PARENT_PID": str(os.getpid()),
        "PYTHONUNBUFFERED": "1",
        leftovers.MARK: launch.mark,
    }


def run_manage(
    launch: Launch,
    environ: dict[str, str],
    arguments: Sequence[str],
    failure: str,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Run a management command quietly and return its lines; a failure raises LauncherError with their end."""
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        if on_line is not None:
            on_line(line)

    status = run_to_end(
        [*launch.manage, *arguments],
        environment=environ,
        folder=launch.checkout,
        signals=launch.signals,
        on_line=keep,
    )
    if status:
        raise LauncherError(f"{failure}\n" + "\n".join(f"    {line}" for line in lines[-20:]))
    return lines


def migrate(launch: Launch, environ: dict[str, str], database: Database) -> None:
    """Bring the database's tables up to date; takes one query when they are."""
    if not migrations_are_due(launch, database):
        _note_server(launch, database)
        return
    with launch.home.lock("migrate").held(launch.signals.waiting_for("another SpotID that prepares the database")):
        if migrations_are_due(launch, database):
            say("Preparing the database's tables")
            with server_explained(database):
                run_manage(launch, environ, ["migrate", "--noinput"], "The database's tables could not be prepared:")
            _migrated_note(launch).write_text(json.dumps(_requirements_hash(launch)), encoding="utf-8")
    _note_server(launch, database)


def _note_server(launch: Launch, database: Database) -> None:
    if database.server is None:
        own_server.server_note(launch.home, database.url)


@contextlib.contextmanager
def server_explained(database: Database) -> Iterator[None]:
    """Around what prepares the tables: a server of the administrator's own that will not do is named in words.

    Where it did not answer us what is tried has the last word, and our reason is told if that fails, too.
    """
    unreachable = None
    if database.server is None:
        try:
            own_server.server_check(database.query)
        except own_server.Unreachable as error:
            unreachable = error
    try:
        yield
    except LauncherError:
        if unreachable is not None:
            raise unreachable from None
        raise


def migrations_are_due(launch: Launch, database: Database) -> bool:
    """Whether a migration file of the checkout, or one of a package since installed, may not have been applied."""
    on_disk = {f"{file.parent.parent.name}.{file.stem}" for file in launch.checkout.glob("*/migrations/[0-9]*.py")}
    try:
        noted = json.loads(_migrated_note(launch).read_text(encoding="utf-8"))
        applied = set(database.query("SELECT app || '.' || name FROM django_migrations"))
    except (OSError, ValueError, LauncherError):
        return True
    return noted != _requirements_hash(launch) or not on_disk <= applied


def _migrated_note(launch: Launch) -> Path:
    return launch.home.run / "migrated-with.json"


def _requirements_hash(launch: Launch) -> str:
    return hashlib.sha256((launch.checkout / RUN_REQUIREMENTS).read_bytes()).hexdigest()
