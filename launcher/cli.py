"""The command line of `spotid.py`."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from launcher.commands import benchmark_names, run_benchmark, run_client, run_manage_command, run_tests
from launcher.environment import environment_chosen
from launcher.home import home_chosen
from launcher.launch import Launch, new_mark
from launcher.messages import LauncherError, Stopped, complain, say
from launcher.processes import exit_status
from launcher.signals import Signals
from launcher.up import UpOptions, run_up

CHECKOUT = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 8000

OVERVIEW = """\
usage: python3 spotid.py [--home DIR] COMMAND …

SpotID recognises individual animals in camera-trap photos.

  up               install what is missing, start everything and open the browser; Ctrl-C stops it all
  test [ARGS]      run every test; ARGS go to pytest
  manage COMMAND … run a management command, for example `manage ingest DIR --survey NAME` (`manage help` lists them)
  postgres NAME …  run a program of the bundled PostgreSQL on the database, for example `postgres pg_dump -Fc -f FILE`
  bench NAME …     run benchmarks/NAME.py with a database of its own

  --home DIR       the folder with everything that is kept: database, photos, weights (default: var/; or SPOTID_HOME)

`python3 spotid.py up --help` tells more. Environment variables: SPOTID_HOME, SPOTID_VENV (folder of the virtual
environment), SPOTID_ADMIN_PASSWORD (password of a new administrator), DATABASE_URL (a PostgreSQL server with pgvector
to use in place of the bundled one).
"""

USAGE_OF = {
    "manage": "usage: python3 spotid.py manage [--home DIR] COMMAND …\n\n"
    "Runs one of SpotID's management commands with the database running. `manage help` lists them, `manage COMMAND "
    "--help` explains one.",
    "test": "usage: python3 spotid.py test [--home DIR] [pytest arguments]\n\n"
    "Installs what the tests need and runs them; without arguments all of them.",
    "postgres": "usage: python3 spotid.py postgres [--home DIR] PROGRAM …\n\n"
    "Runs a program of the bundled PostgreSQL (pg_dump, pg_restore, psql, …) with the database running and its address "
    "and password in the environment. It ends with the program's exit status.",
    "bench": "usage: python3 spotid.py bench [--home DIR] NAME [arguments]\n\n"
    "Runs benchmarks/NAME.py with an empty database that is dropped afterwards. NAME is one of:",
}

RUNNERS: dict[str, Callable[[Launch, list[str]], int]] = {
    "manage": run_manage_command,
    "test": run_tests,
    "postgres": run_client,
    "bench": run_benchmark,
}


class UsageError(Exception):
    """The command line can't be understood; exit status 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signals = Signals()
    signals.install()
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments), signals)
    except UsageError as error:
        complain(f"{error}\n`python3 spotid.py --help` lists what there is.")
        return 2
    except LauncherError as error:
        complain(str(error))
        return 1
    except Stopped as stopped:
        say("Stopped before it was ready. The next start goes on from here.")
        return exit_status(-stopped.signal_number)


def _dispatch(arguments: list[str], signals: Signals) -> int:
    home, rest = take_home(arguments)
    if not rest:
        complain(OVERVIEW)
        return 2
    command, rest = rest[0], rest[1:]
    if command in ("-h", "--help", "help"):
        say(OVERVIEW)
        return 0
    if command == "up":
        options, named_home = parse_up(rest)
        return run_up(_launch(named_home or home, signals), options)
    if command not in RUNNERS:
        raise UsageError(f"spotid.py: there is no command {command!r}")
    named_home, rest = take_home(rest)
    wants_help = rest[:1] in (["-h"], ["--help"])
    if wants_help or (not rest and command != "test"):
        (say if wants_help else complain)(_usage_of(command))
        return 0 if wants_help else 2
    return RUNNERS[command](_launch(named_home or home, signals), rest)


def _usage_of(command: str) -> str:
    names = "".join(f"\n    {name}" for name in benchmark_names(CHECKOUT)) if command == "bench" else ""
    return USAGE_OF[command] + names


def _launch(home: str | None, signals: Signals) -> Launch:
    environment = environment_chosen(CHECKOUT, os.environ)
    return Launch(CHECKOUT, home_chosen(home, os.environ, CHECKOUT), environment, signals, new_mark())


def take_home(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The value of `--home` at the head of the arguments, and what comes after it."""
    home = None
    while arguments and (arguments[0] == "--home" or arguments[0].startswith("--home=")):
        if arguments[0] == "--home":
            if len(arguments) < 2:
                raise UsageError("spotid.py: --home needs a folder")
            home, arguments = arguments[1], arguments[2:]
        else:
            home, arguments = arguments[0].partition("=")[2], arguments[1:]
    return home, arguments


def parse_up(arguments: list[str]) -> tuple[UpOptions, str | None]:
    """The options of `up` and its `--home`. Wrong ones end with argparse's message and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python3 spotid.py up",
        allow_abbrev=False,
        description="Installs what is missing, starts the database, the worker and the web server, makes the "
        "administrator `admin` on the first run, and loads a demonstration survey into an empty database.",
    )
    parser.add_argument("--home", metavar="DIR", help="where everything is kept (default: var/, or SPOTID_HOME)")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    photos = parser.add_argument_group("photos of your own, in place of the demonstration")
    photos.add_argument("--photos", metavar="DIR", type=Path, help="folder with photos; they are never changed")
    photos.add_argument("--survey", metavar="NAME", help="survey that they belong to; made when it is new")
    photos.add_argument("--population", metavar="NAME", help="population of a new survey (default: named like it)")
    photos.add_argument("--timezone", metavar="TZ", help="time zone of the cameras, for example Asia/Kathmandu")
    photos.add_argument("--station-pattern", metavar="REGEX", help="finds station and camera in a photo's path")
    photos.add_argument("--crops", action="store_true", help="the photos are finished crops of single animals")
    photos.add_argument("--edges", metavar="DIR", type=Path, help="with --crops: edge maps made elsewhere")
    chosen = parser.parse_args(arguments)
    ingest: list[str] = []
    for name in ("population", "timezone", "station_pattern"):
        if getattr(chosen, name):
            # In one piece, so that a value may begin with a dash.
            ingest.append(f"--{name.replace('_', '-')}={getattr(chosen, name)}")
    ingest += ["--crops"] if chosen.crops else []
    ingest += ["--edges", str(chosen.edges.absolute())] if chosen.edges else []
    if (chosen.photos is None) != (chosen.survey is None):
        parser.error("--photos DIR and --survey NAME go together")
    if ingest and chosen.photos is None:
        parser.error("these options need --photos DIR and --survey NAME")
    return UpOptions(
        port=chosen.port,
        browser=not chosen.no_browser,
        photos=chosen.photos.absolute() if chosen.photos else None,
        survey=chosen.survey or "",
        ingest=tuple(ingest),
    ), chosen.home


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError(text)
    return number
