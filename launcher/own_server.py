"""A PostgreSQL server that DATABASE_URL names: asked through psycopg, and told apart when it will not do."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from launcher.environment import clean_environ
from launcher.home import Home, read_private_json, write_private_json
from launcher.messages import LauncherError
from launcher.processes import group_options

# Unique rows whose empty fields count as equal came with PostgreSQL 15, index scans that go on with pgvector 0.8.
OLDEST_SERVER = 15
OLDEST_VECTOR = (0, 8)
GUIDE = "“A PostgreSQL of your own” in docs/administrator.md shows all steps."

# The bundled psql speaks no TLS, which many servers ask for; psycopg is what SpotID itself connects by.
_ASK = """
import os, sys
import psycopg
try:
    options = {"autocommit": True, "connect_timeout": 10, "client_encoding": "utf8"}
    with psycopg.connect(os.environ["DATABASE_URL"], **options) as connection:
        cursor = connection.execute(sys.stdin.read())
        for row in cursor.fetchall() if cursor.description else ():
            print("|".join(str(value) for value in row))
except psycopg.Error as error:
    sys.exit(str(error).strip())
"""
_FACTS = """
SELECT current_setting('server_version_num'), split_part(current_setting('server_version'), ' ', 1),
    current_setting('server_encoding'), current_database(), current_user,
    coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), ''),
    coalesce((SELECT default_version FROM pg_available_extensions WHERE name = 'vector'), ''),
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)::text
"""


NOTE_NAME = "database-elsewhere.json"


class Unreachable(LauncherError):
    """The server does not answer, or lets us not in."""


def ask(python: str | Path, url: str, statement: str) -> list[str]:
    """Rows of an SQL statement, one text each, columns divided by `|`. Raises LauncherError with the server's words."""
    done = subprocess.run(
        [str(python), "-c", _ASK],
        # In the environment, because everybody can read a command line.
        env=clean_environ(os.environ) | {"DATABASE_URL": url},
        input=statement,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        **group_options(),
    )
    if done.returncode:
        raise LauncherError(done.stderr.strip())
    return [line for line in done.stdout.splitlines() if line]


def server_check(query: Callable[[str], list[str]]) -> None:
    """Raise LauncherError, with what its administrator can do, for a server or database that SpotID can't use.

    Raises Unreachable where nothing is known because it doesn't answer.
    """
    try:
        number, version, encoding, database, user, installed, available, may_create = query(_FACTS)[0].split("|")
    except (LauncherError, IndexError, ValueError) as error:
        raise Unreachable(
            f"The PostgreSQL server that DATABASE_URL names can't be used:\n    {error}\nThe address is "
            "postgres://user:password@host:port/name; in the password, every sign that is no letter, digit, `-`, `_` "
            f"or `.` is written as `%` and its two hexadecimal digits. {GUIDE}"
        ) from error
    if int(number) < OLDEST_SERVER * 10000:
        raise LauncherError(f"The server is PostgreSQL {version}; SpotID needs {OLDEST_SERVER} or newer.")
    if encoding != "UTF8":
        raise LauncherError(f"The database {database} is encoded in {encoding}; SpotID needs UTF8. {GUIDE}")
    if may_create != "true":
        raise LauncherError(
            f"The role {user} may not make tables in the database {database}. Let the server's administrator run\n"
            f'    ALTER DATABASE "{database}" OWNER TO "{user}"'
        )
    if not installed:
        _make_extension(query, database, available, version)
        installed = available
    if _numbers(installed) < OLDEST_VECTOR:
        needed = ".".join(map(str, OLDEST_VECTOR))
        raise LauncherError(
            f"The database {database} has pgvector {installed}; SpotID needs {needed} or newer. Let the server's "
            "administrator install a newer package, and run in that database\n    ALTER EXTENSION vector UPDATE"
        )


def server_note(home: Home, url: str) -> None:
    """Keep in the home that its database is on another server, and where; never the password."""
    parts = urlsplit(url)
    note = {"server": f"{parts.netloc.rpartition('@')[2]}{parts.path}"}
    if read_private_json(home.path / NOTE_NAME) != note:
        write_private_json(home.path / NOTE_NAME, note)


def server_required(home: Home) -> None:
    """Raise LauncherError where DATABASE_URL is not set and the home's database is on another server.

    A bundled one would begin empty, and its rows would write over the files of the real ones: both are numbered from 1.
    """
    file = home.path / NOTE_NAME
    if not os.environ.get("DATABASE_URL") and file.exists():
        raise LauncherError(
            f"The database of the home folder {home.path} is on the server {read_private_json(file).get('server')}, "
            "and DATABASE_URL is not set. Set it to that server's address, as at the first start. To begin anew with "
            f"the bundled PostgreSQL choose another --home. (If the files in this one belong to it, remove {file}.)"
        )


def _make_extension(query: Callable[[str], list[str]], database: str, available: str, version: str) -> None:
    if not available:
        raise LauncherError(
            f"The server (PostgreSQL {version}) has no pgvector. Install its package for PostgreSQL "
            f"{version.partition('.')[0]} where the server runs. {GUIDE}"
        )
    try:
        query("CREATE EXTENSION IF NOT EXISTS vector")
    except LauncherError as error:
        words = str(error).partition("\n")[0]
        raise LauncherError(
            f"The extension pgvector has to be made in the database {database}, and SpotID's role may not do so "
            f"({words}). Let the server's administrator run, in that database,\n    CREATE EXTENSION vector\n"
            "and start again."
        ) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
