"""A server that DATABASE_URL names is told what it lacks, in words its administrator can act on."""

import sys

import pytest
from django.db import connection

from launcher.messages import LauncherError
from launcher.own_server import Unreachable, ask, server_check

GOOD = {
    "number": "180004",
    "version": "18.4",
    "encoding": "UTF8",
    "database": "leopards",
    "user": "spotid",
    "installed": "0.8.5",
    "available": "0.8.5",
    "may_create": "true",
}


def url(password: str = "") -> str:
    named = connection.settings_dict
    login = f"{named['USER']}:{password or named['PASSWORD']}"
    return f"postgres://{login}@{named['HOST']}:{named['PORT']}/{named['NAME']}"


class Server:
    """Answers what it is asked for first with its facts; `refusal` is what it says to the making of an extension."""

    def __init__(self, refusal: str = "", **facts: str) -> None:
        self.facts, self.refusal, self.statements = GOOD | facts, refusal, list[str]()

    def query(self, statement: str) -> list[str]:
        self.statements.append(statement)
        if statement.startswith("CREATE EXTENSION"):
            if self.refusal:
                raise LauncherError(self.refusal)
            return []
        return ["|".join(self.facts.values())]


def said(server: Server) -> str:
    with pytest.raises(LauncherError) as caught:
        server_check(server.query)
    return str(caught.value)


def test_a_server_with_everything_is_asked_once() -> None:
    server = Server()
    server_check(server.query)
    assert len(server.statements) == 1


def test_the_extension_is_made_where_the_role_may() -> None:
    server = Server(installed="")
    server_check(server.query)
    assert server.statements[1:] == ["CREATE EXTENSION IF NOT EXISTS vector"]


def test_a_role_that_may_not_make_the_extension_learns_who_can_and_how() -> None:
    words = said(Server('permission denied to create extension "vector"\nHINT:  Must be superuser', installed=""))
    assert "permission denied" in words
    assert "in the database leopards" in words
    assert "\n    CREATE EXTENSION vector\n" in words


def test_a_server_without_pgvector_learns_for_which_postgresql() -> None:
    assert "its package for PostgreSQL 18" in said(Server(installed="", available=""))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"installed": "0.7.4"}, "ALTER EXTENSION vector UPDATE"),
        ({"installed": "", "available": "0.5.1"}, "has pgvector 0.5.1"),
        ({"number": "140011", "version": "14.11"}, "is PostgreSQL 14.11"),
        ({"encoding": "SQL_ASCII"}, "encoded in SQL_ASCII"),
        ({"may_create": "false"}, 'ALTER DATABASE "leopards" OWNER TO "spotid"'),
    ],
)
def test_what_will_not_do_is_named(facts: dict[str, str], words: str) -> None:
    assert words in said(Server(**facts))


@pytest.mark.django_db
def test_a_real_server_answers() -> None:
    assert ask(sys.executable, url(), "SELECT 'a b', 1 UNION ALL SELECT 'ü', 2 ORDER BY 2") == ["a b|1", "ü|2"]
    server_check(lambda statement: ask(sys.executable, url(), statement))


@pytest.mark.django_db
def test_a_server_that_lets_us_not_in_is_quoted_without_a_traceback() -> None:
    with pytest.raises(Unreachable, match="password authentication failed") as caught:
        server_check(lambda statement: ask(sys.executable, url("wrong"), statement))
    assert "Traceback" not in str(caught.value)
    assert "wrong" not in str(caught.value)
