"""`manage`, `postgres`, `bench` and `test`: one command in SpotID's environment, with the database running."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from launcher import leftovers
from launcher.environment import clean_environ, environment_prepare
from launcher.home import home_prepare
from launcher.launch import Database, Launch, child_environ, database_open, migrate, run_manage
from launcher.messages import LauncherError, say
from launcher.own_server import server_required
from launcher.postgres import DATABASE, USER
from launcher.processes import run_in_front

# Commands that look after migrations themselves, or come before there is anything to migrate.
UNMIGRATED = {
    "migrate",
    "makemigrations",
    "showmigrations",
    "sqlmigrate",
    "squashmigrations",
    "optimizemigration",
    "dbshell",
    "help",
    "--help",
    "-h",
    "version",
    "--version",
}
CLIENTS = ("pg_dump", "pg_restore", "psql", "pg_isready", "reindexdb", "vacuumdb")
SCRATCH_DATABASE = "spotid_bench_"


def run_manage_command(launch: Launch, arguments: list[str]) -> int:
    """`spotid.py manage COMMAND …`: its input, output, signals and exit status are the command's."""
    home_prepare(launch.home)
    server_required(launch.home)
    environment_prepare(launch.environment, with_tests=False, signals=launch.signals)
    with database_open(launch) as database:
        environ = child_environ(launch, database)
        if arguments[0] not in UNMIGRATED:
            migrate(launch, environ, database)
        if arguments[0] == "dbshell":
            environ = _without_libpq(environ) | _environ_of_clients(database)
        return run_in_front(
            [*launch.manage, *arguments], environment=environ, folder=Path.cwd(), signals=launch.signals
        )


def run_client(launch: Launch, arguments: list[str]) -> int:
    """`spotid.py postgres PROGRAM …`: a client program of the bundled PostgreSQL, told where the database is."""
    if os.environ.get("DATABASE_URL"):
        raise LauncherError(
            "DATABASE_URL names a PostgreSQL server that is not SpotID's: run that server's own programs, as "
            "docs/administrator.md shows under “A PostgreSQL of your own”."
        )
    if arguments[0] not in CLIENTS:
        raise LauncherError(f"{arguments[0]} is not one of the programs that can be run so: {', '.join(CLIENTS)}.")
    home_prepare(launch.home)
    server_required(launch.home)
    environment_prepare(launch.environment, with_tests=False, signals=launch.signals)
    with database_open(launch) as database:
        return run_in_front(
            [database.programs.program(arguments[0]), *arguments[1:]],
            environment=_without_libpq(clean_environ(os.environ)) | _environ_of_clients(database),
            folder=Path.cwd(),
            signals=launch.signals,
        )


def run_tests(launch: Launch, arguments: list[str]) -> int:
    """`spotid.py test …`: pytest in the checkout; Django makes a database of its own for it on the home's server."""
    home_prepare(launch.home)
    environment_prepare(launch.environment, with_tests=True, signals=launch.signals)
    with database_open(launch) as database, _scratch_home(launch) as home:
        environ = _environ_of_scratch(launch, database, home)
        return run_in_front(
            [launch.environment.python, "-m", "pytest", *(arguments or _everything())],
            environment=environ,
            folder=launch.checkout,
            signals=launch.signals,
        )


def _everything() -> list[str]:
    """All tests in as many processes as there are cores, a file in one of them: each has a database of its own."""
    return ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]


def run_benchmark(launch: Launch, arguments: list[str]) -> int:
    """`spotid.py bench NAME …`: `benchmarks/NAME.py` with an empty, migrated database that is dropped afterwards."""
    name = arguments[0].removesuffix(".py")
    script = launch.checkout / "benchmarks" / f"{name}.py"
    if name not in benchmark_names(launch.checkout):
        known = "\n".join(f"    {known}" for known in benchmark_names(launch.checkout)) or "    none"
        raise LauncherError(f"There is no benchmark named {name}. There are:\n{known}")
    home_prepare(launch.home)
    environment_prepare(launch.environment, with_tests=False, signals=launch.signals)
    with database_open(launch) as server, _scratch_database(server) as database, _scratch_home(launch) as home:
        environ = _environ_of_scratch(launch, database, home) | {"PYTHONPATH": str(launch.checkout)}
        run_manage(launch, environ, ["migrate", "--noinput"], "The scratch database could not be prepared:")
        return run_in_front(
            [launch.environment.python, script, *arguments[1:]],
            environment=environ,
            folder=launch.checkout,
            signals=launch.signals,
        )


def benchmark_names(checkout: Path) -> list[str]:
    """The files of the folder that can be run; the others are what these share."""
    files = (checkout / "benchmarks").glob("[!_]*.py")
    return sorted(file.stem for file in files if '__name__ == "__main__"' in file.read_text(encoding="utf-8"))


def _without_libpq(environ: dict[str, str]) -> dict[str, str]:
    """Without the variables by which the shell may name another server: some of them win over those that we set."""
    return {name: value for name, value in environ.items() if not name.startswith("PG")}


def _environ_of_clients(database: Database) -> dict[str, str]:
    """Where `dbshell` finds psql, and where pg_dump started from it finds the server.

    For the bundled server its own programs come first, because pg_dump refuses a server newer than itself.
    """
    own, others = str(database.programs.folder / "bin"), os.environ.get("PATH", "")
    if database.server is None:
        return {"PATH": os.pathsep.join([others, own])}
    return {
        "PATH": os.pathsep.join([own, others]),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(database.server.port),
        "PGUSER": USER,
        "PGDATABASE": DATABASE,
        "PGPASSWORD": database.server.cluster.password,
    }


def _environ_of_scratch(launch: Launch, database: Database, home: Path) -> dict[str, str]:
    """For children that start servers and workers themselves: those have another parent than the launcher."""
    environ = child_environ(launch, database) | {"SPOTID_HOME": str(home)}
    del environ["SPOTID_PARENT_PID"]
    return environ


@contextlib.contextmanager
def _scratch_database(server: Database) -> Iterator[Database]:
    """An empty database beside the real one. Those of benchmarks that were killed are dropped first."""
    if server.server is not None:
        for name in server.query(rf"SELECT datname FROM pg_database WHERE datname LIKE '{SCRATCH_DATABASE}%'"):
            match = re.fullmatch(rf"{SCRATCH_DATABASE}(\d+)", name)
            if match and (not leftovers.is_alive(int(match.group(1))) or int(match.group(1)) == os.getpid()):
                say(f"Dropping the database of an earlier benchmark, {name}")
                server.query(f"DROP DATABASE {name} WITH (FORCE)")
    name = f"{SCRATCH_DATABASE}{os.getpid()}"
    server.query(f"CREATE DATABASE {name}")
    try:
        yield server.named(name)
    finally:
        server.query(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def _scratch_home(launch: Launch) -> Iterator[Path]:
    """A home for files that go with a scratch database: photos of row 1 there must not overwrite those of row 1 here.

    Weights are shared with the real home, where the system lets us link them.
    """
    around = launch.home.path / "scratch"
    around.mkdir(mode=0o700, exist_ok=True)
    for old in around.iterdir():
        if old.name.isdecimal() and (not leftovers.is_alive(int(old.name)) or int(old.name) == os.getpid()):
            shutil.rmtree(old, ignore_errors=True)
    folder = around / str(os.getpid())
    folder.mkdir(mode=0o700)
    weights = launch.home.path / "weights"
    weights.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        (folder / "weights").symlink_to(weights, target_is_directory=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
